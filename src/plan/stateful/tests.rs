use serde_json::json;
use std::collections::BTreeMap;

use super::*;
use crate::plan::{Desired, Drift, Live, unit};
use crate::project::{PROJECT_LABEL, ProjectName};
use kustomize::Object;

fn shop() -> Unit {
    Unit::Project(ProjectName::parse("shop").unwrap())
}

fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
    ObjectKey::new(group, kind, Some("n"), name)
}

fn set(mut spec: Value) -> Value {
    spec["selector"]["matchLabels"][PROJECT_LABEL] = json!("shop");
    let labels = json!({PROJECT_LABEL: "shop"});
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "shop-env", "namespace": "n", "labels": labels}, "spec": spec})
}

fn pod(revision: &str, ready: &str) -> Value {
    json!({"metadata": {"name": "shop-env-0", "namespace": "n", "uid": "pod-uid",
            "labels": {PROJECT_LABEL: "shop", "controller-revision-hash": revision},
            "ownerReferences": [{"kind": "StatefulSet", "name": "shop-env"}]},
        "status": {"conditions": [{"type": "Ready", "status": ready}]}})
}

/// What is planned for `desired` where the cluster has `live`, rolled out to revision "two", and these pods.
fn planned(desired: Value, mut live: Value, pods: &[Value]) -> (UnitPlan, Observation) {
    live["metadata"]["uid"] = json!("set-uid");
    live["metadata"]["generation"] = json!(2);
    live["metadata"]["managedFields"] = json!([{"manager": shop().field_manager(), "operation": "Apply", "fieldsV1": {"f:spec": {"f:serviceName": {}}}}]);
    live["status"] = json!({"observedGeneration": 2, "updateRevision": "two", "currentRevision": "one"});
    let seen = |value: &Value| Live::new(value.clone());
    let object = Object { key: key("apps", "StatefulSet", "shop-env"), api_version: "apps/v1".into(), value: desired };
    let mut objects = BTreeMap::from([(object.key.clone(), seen(&live))]);
    objects.extend(pods.iter().map(|pod| (key("", "Pod", name(pod)), seen(pod))));
    let observation = Observation { objects, ..Observation::default() };
    let plan = unit(&shop(), &Desired::of(vec![object]), &observation, &Drift::default());
    (plan, observation)
}

#[test]
fn what_can_change_in_place_is_changed_in_place() {
    let (plan, observation) = planned(
        set(json!({"replicas": 1, "template": {"spec": {"nodeSelector": {"a": "new"}}}})),
        set(json!({"replicas": 1, "template": {"spec": {"nodeSelector": {"a": "old"}}}})),
        &[pod("two", "True")],
    );
    assert!(matches!(plan.actions[0].operation, Operation::Update { .. }), "{plan:?}");
    assert!(restarts(&plan, &observation), "the pod starts again");
    let (scaled, observation) = planned(set(json!({"replicas": 1})), set(json!({"replicas": 0})), &[]);
    assert!(!restarts(&scaled, &observation));
}

#[test]
fn a_set_whose_immutable_fields_change_is_made_anew_around_its_pods() {
    for field in ["serviceName", "podManagementPolicy"] {
        let (plan, _) = planned(set(json!({field: "new"})), set(json!({field: "old"})), &[pod("two", "True")]);
        let [Action { operation: Operation::Recreate { uid, .. }, reason, .. }] = plan.actions.as_slice() else {
            panic!("{field}: {plan:?}")
        };
        assert_eq!(uid, "set-uid");
        assert_eq!(
            *reason,
            format!(
                "spec.{field} cannot be changed in place: made anew around shop-env-0, which is not restarted for it"
            )
        );
    }
}

#[test]
fn a_pod_that_the_new_selector_would_not_find_is_named_and_nothing_is_deleted() {
    let mut desired = set(json!({}));
    desired["spec"]["selector"]["matchLabels"]["app"] = json!("shop");
    let live = set(json!({}));
    let (plan, _) = planned(desired.clone(), live.clone(), &[pod("two", "True")]);
    let [Action { operation: Operation::Update { .. }, reason, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    assert!(reason.contains("while pod shop-env-0 runs") && reason.contains("stop the project first"), "{reason}");
    let (stopped, _) = planned(desired, live, &[]);
    assert!(matches!(stopped.actions[0].operation, Operation::Recreate { .. }), "{stopped:?}");
}

#[test]
fn only_a_pod_that_its_set_waits_for_for_ever_is_released() {
    let spec = |policy: &str| set(json!({"podManagementPolicy": policy, "replicas": 1}));
    let released = |policy: &str, pods: &[Value]| {
        let (plan, _) = planned(spec(policy), spec(policy), pods);
        plan.actions.iter().map(|action| action.key.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(released("OrderedReady", &[pod("one", "False")]), ["shop-env-0"]);
    assert!(released("OrderedReady", &[pod("two", "False")]).is_empty(), "it may still become ready");
    assert!(released("OrderedReady", &[pod("one", "True")]).is_empty(), "the controller replaces a ready one itself");
    assert!(released("Parallel", &[pod("one", "False")]).is_empty(), "and any one here");
    let mut going = pod("one", "False");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert!(released("OrderedReady", &[going]).is_empty());
    let mut going = spec("OrderedReady");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (plan, _) = planned(spec("OrderedReady"), going, &[pod("one", "False")]);
    assert!(plan.actions.is_empty(), "the set goes with its pods: {plan:?}");
}
