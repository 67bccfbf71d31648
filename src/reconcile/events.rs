//! Kubernetes events about projects, for those who look at the cluster: when one fails, and when it is well again.

use serde_json::Value;

use crate::cluster::{self, Announcement};
use crate::plan::Observation;
use crate::project::{Phase, ProjectName, ProjectStatus, Reason};

/// What there is to announce of a project's status; most changes are nobody's concern. `told` is the failure that was
/// announced last; a project that is seen for the first time (`is_first`) is as it was before this process began.
pub(super) fn announcement(
    project: &ProjectName,
    told: &mut Option<Reason>,
    is_first: bool,
    now: &ProjectStatus,
    observation: &Observation,
) -> Option<Announcement> {
    let before = *told;
    match now.phase {
        Phase::Failed => *told = Some(now.reason),
        Phase::Running | Phase::Stopped => *told = None,
        // Perhaps on its way out of the failure.
        _ => {}
    }
    if *told == before || is_first {
        return None;
    }
    let mut sets = observation.objects.iter().filter(|(key, _)| key.group == "apps" && key.kind == "StatefulSet");
    let (key, live) = sets.find(|(key, _)| key.name.starts_with(project.as_str()))?;
    Some(Announcement {
        object: key.clone(),
        uid: live.object.pointer("/metadata/uid").and_then(Value::as_str)?.to_owned(),
        warning: told.is_some(),
        reason: format!("{:?}", now.reason),
        message: now.message.clone(),
    })
}

/// Tells the cluster, in a task of its own. Nobody waits for it, and one that is lost is no loss.
pub(super) fn announce(client: &kube::Client, announcement: Announcement) {
    let client = client.clone();
    tokio::spawn(async move {
        if let Err(error) = cluster::announce(&client, &announcement).await {
            tracing::debug!(object = %announcement.object, %error, "an event could not be written");
        }
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::plan::Live;
    use crate::project::ObjectKey;

    fn status(phase: Phase, reason: Reason) -> ProjectStatus {
        ProjectStatus { phase, reason, message: "m".into(), applied_revision: None }
    }

    #[test]
    fn only_what_goes_wrong_and_what_is_well_again_is_announced() {
        let shop = ProjectName::parse("shop").unwrap();
        let key = ObjectKey::new("apps", "StatefulSet", Some("n"), "shop-env");
        let live = Live::new(json!({"metadata": {"uid": "u"}}));
        let observation = Observation { objects: BTreeMap::from([(key, live)]), ..Observation::default() };
        let mut state = None;
        let mut told = |is_first: bool, phase, reason| {
            let news = announcement(&shop, &mut state, is_first, &status(phase, reason), &observation);
            news.map(|news| (news.warning, news.reason))
        };
        assert_eq!(told(false, Phase::Starting, Reason::ContainersStarting), None);
        assert_eq!(told(false, Phase::Failed, Reason::ImagePullFailed), Some((true, "ImagePullFailed".to_owned())));
        assert_eq!(told(false, Phase::Failed, Reason::ImagePullFailed), None, "on change only");
        assert_eq!(told(false, Phase::Failed, Reason::CrashLoop), Some((true, "CrashLoop".to_owned())));
        assert_eq!(told(false, Phase::Starting, Reason::ContainersStarting), None, "not yet");
        assert_eq!(told(false, Phase::Running, Reason::Ready), Some((false, "Ready".to_owned())));
        assert_eq!(told(false, Phase::Stopped, Reason::Stopped), None);
        assert_eq!(
            told(true, Phase::Failed, Reason::CrashLoop),
            None,
            "it had failed before the start of this process"
        );
        assert_eq!(told(false, Phase::Running, Reason::Ready), Some((false, "Ready".to_owned())));
    }
}
