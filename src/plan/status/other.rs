//! What the objects beside the environment say: a Deployment, a Job, a database's StatefulSet, an object of any kind that
//! follows the conventions.
//!
//! One that has failed for good is a failure of the project. One that is not ready yet is told beside what the environment
//! does, which speaks for the project otherwise.

use serde_json::Value;

use super::text::quote;
use super::{Verdict, is_main_name, main_set, of};
use crate::plan::Observation;
use crate::project::{ObjectKey, Phase, Reason, Unit};

/// How an object is doing, when not as it should.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    /// It will not come up by itself; the cluster's words.
    Failed(String),
    /// It is on its way.
    NotReady(String),
}

/// What is to be said of the objects beside `environment`, which is up or stopped.
pub(super) fn beside(unit: &Unit, observation: &Observation, environment: Verdict) -> Verdict {
    let main = main_set(unit, observation).map(|(key, _)| key);
    let is_other = |key: &ObjectKey| Some(key) != main && has_words(unit, key);
    let all = of(unit, observation).filter(|(key, live)| is_other(key) && !live.is_going);
    let mut not_ready = Vec::new();
    for (key, live) in all {
        match judge(key, &live.object) {
            Some(Judgement::Failed(said)) => {
                let said = if said.is_empty() { said } else { format!(": {}", quote(&said)) };
                let message = format!(
                    "{} {} has failed{said}. Correct it in the overlay; the environment itself runs on.",
                    key.kind, key.name
                );
                return Verdict::new(Phase::Failed, Reason::ObjectFailed, message);
            }
            Some(Judgement::NotReady(said)) => not_ready.push((key, said)),
            None => {}
        }
    }
    let Some((key, said)) = not_ready.first() else { return environment };
    let more = super::more(not_ready.len(), "object");
    let message =
        format!("{} {} {} is not ready yet ({}){more}.", environment.message, key.kind, key.name, quote(said));
    Verdict { message, ..environment }
}

/// Whether objects of this kind say how they are doing. Those of most built-in kinds just are, and are not even read.
fn has_words(unit: &Unit, key: &ObjectKey) -> bool {
    match key.group.as_str() {
        "" => key.kind == "Service" && !is_main_name(unit, &key.name),
        "networking.k8s.io" | "policy" | "rbac.authorization.k8s.io" => false,
        _ => true,
    }
}

/// The rules are those of kstatus, but that only what will not come up by itself has failed.
fn judge(key: &ObjectKey, object: &Value) -> Option<Judgement> {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let not_ready = |said: String| Some(Judgement::NotReady(said));
    let failed = |said: &str| Some(Judgement::Failed(said.to_owned()));
    let of = |have: i64, want: i64, what: &str| (have < want).then(|| format!("{have} of {want} {what}"));
    let observed = number("/status/observedGeneration");
    if observed.is_some_and(|observed| Some(observed) != number("/metadata/generation")) {
        return not_ready("its controller has not seen the change".to_owned());
    }
    let wanted = number("/spec/replicas").unwrap_or(1);
    let have = |field: &str| number(&format!("/status/{field}")).unwrap_or(0);
    let not_enough = match (key.group.as_str(), key.kind.as_str()) {
        ("", "Service") => {
            let has_address = object.pointer("/status/loadBalancer/ingress/0").is_some();
            let waits = object.pointer("/spec/type").and_then(Value::as_str) == Some("LoadBalancer") && !has_address;
            waits.then(|| "the load balancer has no address".to_owned())
        }
        ("apps", "Deployment") => {
            let late = condition(object, "Progressing", "False", Some("ProgressDeadlineExceeded"));
            if let Some(said) = late.or_else(|| condition(object, "ReplicaFailure", "True", None)) {
                return failed(said);
            }
            of(have("updatedReplicas"), wanted, "pods updated")
                .or_else(|| of(have("availableReplicas"), wanted, "pods available"))
        }
        ("apps", "ReplicaSet") => {
            if let Some(said) = condition(object, "ReplicaFailure", "True", None) {
                return failed(said);
            }
            of(have("availableReplicas"), wanted, "pods available")
        }
        ("apps", "StatefulSet") => of(have("readyReplicas"), wanted, "pods ready"),
        ("apps", "DaemonSet") => {
            let wanted = have("desiredNumberScheduled");
            of(have("updatedNumberScheduled"), wanted, "pods updated")
                .or_else(|| of(have("numberAvailable"), wanted, "pods available"))
        }
        ("batch", "Job") => return condition(object, "Failed", "True", None).and_then(failed),
        ("autoscaling" | "batch", _) => None,
        _ => {
            if let Some(said) = condition(object, "Stalled", "True", None) {
                return failed(said);
            }
            let said = condition(object, "Reconciling", "True", None)
                .or_else(|| condition(object, "Ready", "False", None))
                .or_else(|| condition(object, "Ready", "Unknown", None))?;
            Some(if said.is_empty() { "it says so" } else { said }.to_owned())
        }
    };
    not_enough.and_then(not_ready)
}

/// The message of a condition with this status (and reason).
pub(super) fn condition<'a>(object: &'a Value, kind: &str, status: &str, reason: Option<&str>) -> Option<&'a str> {
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

    fn told(group: &str, kind: &str, object: Value) -> Option<Judgement> {
        judge(&ObjectKey::new(group, kind, None, "a-db"), &object)
    }

    fn with(kind: &str, status: &str, reason: &str) -> Value {
        json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": {"observedGeneration": 2,
            "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2,
            "conditions": [{"type": kind, "status": status, "reason": reason, "message": "because"}]}})
    }

    fn failed() -> Option<Judgement> {
        Some(Judgement::Failed("because".into()))
    }

    fn not_ready(said: &str) -> Option<Judgement> {
        Some(Judgement::NotReady(said.into()))
    }

    #[test]
    fn what_has_failed_for_good_is_told_apart_from_what_may_come() {
        let late = with("Progressing", "False", "ProgressDeadlineExceeded");
        assert_eq!(told("apps", "Deployment", late.clone()), failed());
        assert_eq!(told("apps", "Deployment", with("Progressing", "True", "NewReplicaSetAvailable")), None);
        assert_eq!(told("apps", "ReplicaSet", with("ReplicaFailure", "True", "")), failed());
        assert_eq!(told("batch", "Job", with("Failed", "True", "BackoffLimitExceeded")), failed());
        assert_eq!(told("batch", "Job", with("Complete", "True", "")), None);
        assert_eq!(told("autoscaling", "HorizontalPodAutoscaler", with("Ready", "False", "")), None);
        assert_eq!(told("example.org", "Widget", with("Stalled", "True", "")), failed());
        for status in ["False", "Unknown"] {
            assert_eq!(told("example.org", "Widget", with("Ready", status, "")), not_ready("because"));
        }
        assert_eq!(told("example.org", "Widget", with("Reconciling", "True", "")), not_ready("because"));
        assert_eq!(told("example.org", "Widget", json!({})), None, "it says nothing");
        let mut older = late;
        older["metadata"]["generation"] = json!(3);
        let said = "its controller has not seen the change";
        assert_eq!(told("apps", "Deployment", older), not_ready(said), "the failure was of an earlier generation");
    }

    #[test]
    fn workloads_are_counted() {
        let short = |field: &str| {
            let mut object = with("X", "True", "");
            object["status"][field] = json!(1);
            object
        };
        assert_eq!(told("apps", "Deployment", short("updatedReplicas")), not_ready("1 of 2 pods updated"));
        assert_eq!(told("apps", "Deployment", short("availableReplicas")), not_ready("1 of 2 pods available"));
        assert_eq!(told("apps", "ReplicaSet", short("availableReplicas")), not_ready("1 of 2 pods available"));
        assert_eq!(told("apps", "StatefulSet", short("readyReplicas")), not_ready("1 of 2 pods ready"));
        let daemons = |updated: i64, available: i64| json!({"status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": updated, "numberAvailable": available}});
        assert_eq!(told("apps", "DaemonSet", daemons(1, 2)), not_ready("1 of 2 pods updated"));
        assert_eq!(told("apps", "DaemonSet", daemons(2, 0)), not_ready("0 of 2 pods available"));
        assert_eq!(told("apps", "DaemonSet", daemons(2, 2)), None);
        let balanced = json!({"spec": {"type": "LoadBalancer"}});
        assert_eq!(told("", "Service", balanced), not_ready("the load balancer has no address"));
        let balanced =
            json!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
        assert_eq!(told("", "Service", balanced), None);
        assert_eq!(told("", "Service", json!({"spec": {"type": "ClusterIP"}})), None);
    }

    #[test]
    fn the_environment_has_words_of_its_own_and_what_goes_has_none() {
        let shop = Unit::Project(ProjectName::parse("shop").unwrap());
        let beside = |objects: &[(&str, &str, &str, Value)]| {
            let live = |(group, kind, name, object): &(&str, &str, &str, Value)| {
                let mut object = object.clone();
                object["metadata"]["labels"] = json!({"claude-manager.io/project": "shop"});
                (ObjectKey::new(*group, *kind, None, *name), Live::new(object))
            };
            let objects: BTreeMap<_, _> = objects.iter().map(live).collect();
            let environment = Verdict::new(Phase::Running, Reason::Ready, "Pod shop-env-0 is ready.");
            let told = super::beside(&shop, &Observation { objects, ..Observation::default() }, environment);
            (told.phase, told.message)
        };
        let (failed, late) = (with("ReplicaFailure", "True", ""), json!({"spec": {"replicas": 2}}));
        let mut going = failed.clone();
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let untouched = (Phase::Running, "Pod shop-env-0 is ready.".to_owned());

        let told = beside(&[("apps", "Deployment", "shop-db", failed.clone())]);
        let said = "Deployment shop-db has failed: because. Correct it in the overlay; the environment itself runs on.";
        assert_eq!(told, (Phase::Failed, said.to_owned()));
        assert_eq!(beside(&[("apps", "Deployment", "shop-db", going)]), untouched);
        assert_eq!(beside(&[("", "Service", "shop-env", json!({"spec": {"type": "LoadBalancer"}}))]), untouched);
        assert_eq!(beside(&[("apps", "StatefulSet", "shop-env", late.clone())]), untouched);
        // A database beside it sorts before it.
        let told = beside(&[
            ("apps", "StatefulSet", "shop-db", late.clone()),
            ("apps", "StatefulSet", "shop-env", late.clone()),
            ("apps", "Deployment", "shop-cache", late),
        ]);
        let said = "Pod shop-env-0 is ready. Deployment shop-cache is not ready yet (0 of 2 pods updated) (and 1 more object).";
        assert_eq!(told, (Phase::Running, said.to_owned()));
    }
}
