//! What the objects beside the environment say: a Deployment, a Job, an object of any kind that follows the conventions.
//!
//! Only what has failed for good is told: the environment itself speaks for the project otherwise.

use serde_json::Value;

use super::text::quote;
use super::{Verdict, of};
use crate::plan::Observation;
use crate::project::{ObjectKey, Phase, Reason, Unit};

/// The first object of the unit that has failed.
pub(super) fn failed(unit: &Unit, observation: &Observation) -> Option<Verdict> {
    let all = of(unit, observation).filter(|(key, live)| may_fail(key) && !live.is_going);
    all.into_iter().find_map(|(key, live)| judge(key, &live.object))
}

/// Whether the kind has conditions that say so. The built-in ones are not even read, but for those that run something; what
/// the environment is made of has words of its own.
fn may_fail(key: &ObjectKey) -> bool {
    match key.group.as_str() {
        "" | "networking.k8s.io" | "policy" | "rbac.authorization.k8s.io" => false,
        "apps" => key.kind != "StatefulSet",
        _ => true,
    }
}

fn judge(key: &ObjectKey, object: &Value) -> Option<Verdict> {
    let current = object
        .pointer("/status/observedGeneration")
        .is_none_or(|seen| Some(seen) == object.pointer("/metadata/generation"));
    if !current {
        return None;
    }
    let what = match (key.group.as_str(), key.kind.as_str()) {
        ("apps", "Deployment") => condition(object, "Progressing", "False", Some("ProgressDeadlineExceeded"))
            .or_else(|| condition(object, "ReplicaFailure", "True", None))?,
        ("apps", "ReplicaSet") => condition(object, "ReplicaFailure", "True", None)?,
        ("batch", "Job") => condition(object, "Failed", "True", None)?,
        _ => condition(object, "Stalled", "True", None)?,
    };
    let said = match what {
        "" => String::new(),
        what => format!(": {}", quote(what)),
    };
    let message = format!(
        "{} {} has failed{said}. Correct it in the overlay; the environment itself runs on.",
        key.kind, key.name
    );
    Some(Verdict::new(Phase::Failed, Reason::ObjectFailed, message))
}

/// The message of a condition with this status (and reason).
fn condition<'a>(object: &'a Value, kind: &str, status: &str, reason: Option<&str>) -> Option<&'a str> {
    let mut all = object.pointer("/status/conditions").and_then(Value::as_array)?.iter();
    let found = all.find(|condition| {
        condition["type"] == kind
            && condition["status"] == status
            && reason.is_none_or(|reason| condition["reason"] == reason)
    })?;
    Some(found["message"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::plan::Live;
    use crate::project::ProjectName;

    fn told(group: &str, kind: &str, object: Value) -> Option<String> {
        let key = ObjectKey::new(group, kind, None, "a-db");
        judge(&key, &object).map(|verdict| verdict.message)
    }

    fn with(kind: &str, status: &str, reason: &str) -> Value {
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2,
            "conditions": [{"type": kind, "status": status, "reason": reason, "message": "because"}]}})
    }

    #[test]
    fn what_has_failed_for_good_is_told_with_the_clusters_words() {
        let late = with("Progressing", "False", "ProgressDeadlineExceeded");
        let said = told("apps", "Deployment", late.clone()).unwrap();
        assert_eq!(
            said,
            "Deployment a-db has failed: because. Correct it in the overlay; the environment itself runs on."
        );
        assert!(told("apps", "Deployment", with("Progressing", "True", "NewReplicaSetAvailable")).is_none());
        assert!(told("batch", "Job", with("Failed", "True", "BackoffLimitExceeded")).is_some());
        assert!(told("batch", "Job", with("Complete", "True", "")).is_none());
        assert!(told("example.org", "Widget", with("Stalled", "True", "")).is_some());
        assert!(told("example.org", "Widget", with("Ready", "False", "")).is_none(), "it may come");
        let mut older = late;
        older["metadata"]["generation"] = json!(3);
        assert!(told("apps", "Deployment", older).is_none(), "it was said of an earlier generation");
    }

    #[test]
    fn what_goes_or_has_words_of_its_own_is_not_told() {
        let shop = Unit::Project(ProjectName::parse("shop").unwrap());
        let is_told = |group: &str, kind: &str, condition: &str, going: Value| {
            let mut object = with(condition, "True", "");
            object["metadata"]["labels"] = json!({"claude-manager.io/project": "shop"});
            object["metadata"]["deletionTimestamp"] = going;
            let key = ObjectKey::new(group, kind, None, "a-db");
            let objects = BTreeMap::from([(key, Live::new(object))]);
            failed(&shop, &Observation { objects, ..Observation::default() }).is_some()
        };
        assert!(is_told("apps", "Deployment", "ReplicaFailure", Value::Null));
        assert!(is_told("example.org", "Widget", "Stalled", Value::Null));
        assert!(!is_told("apps", "Deployment", "ReplicaFailure", json!("2026-01-01T00:00:00Z")));
        assert!(!is_told("apps", "StatefulSet", "Stalled", Value::Null));
        assert!(!is_told("", "Service", "Stalled", Value::Null));
    }
}
