//! Kubernetes events about projects, for those who look at the cluster: when one fails, and when it is well again.

use serde_json::Value;

use crate::cluster::{self, Announcement};
use crate::plan::Observation;
use crate::project::{Phase, ProjectName, ProjectStatus};

/// What there is to announce when a project's status changes; most changes are nobody's concern.
pub(super) fn announcement(
    project: &ProjectName,
    before: &ProjectStatus,
    now: &ProjectStatus,
    observation: &Observation,
) -> Option<Announcement> {
    let failed = |status: &ProjectStatus| status.phase == Phase::Failed;
    let is_news = match (failed(before), failed(now)) {
        (_, true) => (before.phase, before.reason) != (now.phase, now.reason),
        (true, false) => matches!(now.phase, Phase::Running | Phase::Stopped),
        (false, false) => false,
    };
    if !is_news {
        return None;
    }
    let mut sets = observation.objects.iter().filter(|(key, _)| key.group == "apps" && key.kind == "StatefulSet");
    let (key, live) = sets.find(|(key, _)| key.name.starts_with(project.as_str()))?;
    Some(Announcement {
        object: key.clone(),
        uid: live.object.pointer("/metadata/uid").and_then(Value::as_str)?.to_owned(),
        warning: failed(now),
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
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::plan::Live;
    use crate::project::{ObjectKey, Reason};

    fn status(phase: Phase, reason: Reason) -> ProjectStatus {
        ProjectStatus { phase, reason, message: "m".into(), applied_revision: None }
    }

    #[test]
    fn only_what_goes_wrong_and_what_is_well_again_is_announced() {
        let shop = ProjectName::parse("shop").unwrap();
        let key = ObjectKey {
            group: "apps".into(),
            kind: "StatefulSet".into(),
            namespace: Some("n".into()),
            name: "shop-env".into(),
        };
        let live = Live { object: Arc::new(json!({"metadata": {"uid": "u"}})), applied: None };
        let observation = Observation { objects: BTreeMap::from([(key, live)]), ..Observation::default() };
        let told =
            |before, now| announcement(&shop, &before, &now, &observation).map(|told| (told.warning, told.reason));
        let starting = || status(Phase::Starting, Reason::ContainersStarting);
        let running = || status(Phase::Running, Reason::Ready);
        let pull = || status(Phase::Failed, Reason::ImagePullFailed);
        assert_eq!(told(starting(), pull()), Some((true, "ImagePullFailed".to_owned())));
        assert_eq!(told(pull(), pull()), None, "on change only");
        assert_eq!(told(pull(), status(Phase::Failed, Reason::CrashLoop)), Some((true, "CrashLoop".to_owned())));
        assert_eq!(told(pull(), starting()), None, "not yet");
        assert_eq!(told(pull(), running()), Some((false, "Ready".to_owned())));
        assert_eq!(told(starting(), running()), None);
    }
}
