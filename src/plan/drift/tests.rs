use serde_json::json;
use std::collections::BTreeMap;

use super::*;
use crate::plan::{Desired, Live, Observation, Operation, Policy, UnitPlan, unit};
use crate::project::PROJECT_LABEL;
use kustomize::Object;

/// That of the project's own applies.
const OURS: &str = "claude-manager/shop";

fn drift(text: &str) -> Drift {
    Policy::parse(format!("schemaVersion: 1\ndrift: {text}\n").as_bytes()).unwrap().drift
}

fn shop() -> Unit {
    Unit::Project(ProjectName::parse("shop").unwrap())
}

fn key() -> ObjectKey {
    ObjectKey::new("apps", "StatefulSet", Some("n"), "shop-env")
}

/// Git wants one replica of image 1, and the cluster has this many of that image; both fields were set by these managers.
fn plan(drift: &Drift, replicas: (u64, &str), image: (&str, &str), annotation: &str) -> UnitPlan {
    plan_after(false, drift, replicas, image, annotation)
}

/// As [`plan`], where the cluster may have been as Git says before. Replicas may be `nobody`'s.
fn plan_after(
    was_applied: bool,
    drift: &Drift,
    replicas: (u64, &str),
    image: (&str, &str),
    annotation: &str,
) -> UnitPlan {
    let set = |replicas: u64, image: &str| {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {"name": "shop-env", "namespace": "n", "labels": {PROJECT_LABEL: "shop"}},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "agent", "image": image}]}}}})
    };
    let mut desired = set(1, "i:1");
    desired["metadata"]["annotations"] = json!({"a": annotation});
    let mut live = set(replicas.0, image.0);
    live["metadata"]["annotations"] = json!({"a": "old"});
    live["metadata"]["uid"] = json!("u");
    let mut managers: BTreeMap<&str, Value> = BTreeMap::new();
    let mut owns = |manager: &'static str, pointer: &[&str]| {
        let mut at = managers.entry(manager).or_insert_with(|| json!({}));
        for step in pointer {
            at = &mut at[*step];
        }
        *at = json!({});
    };
    let known = |manager: &str| ["hpa-1", "kubectl-edit", OURS].into_iter().find(|known| *known == manager).unwrap();
    owns(OURS, &["f:metadata", "f:annotations", "f:a"]);
    if replicas.1 != "nobody" {
        owns(known(replicas.1), &["f:spec", "f:replicas"]);
    }
    owns(known(image.1), &["f:spec", "f:template", "f:spec", "f:containers", r#"k:{"name":"agent"}"#, "f:image"]);
    let entries = managers.into_iter().map(|(manager, fields)| {
        let operation = if manager == OURS { "Apply" } else { "Update" };
        json!({"manager": manager, "operation": operation, "fieldsV1": fields})
    });
    live["metadata"]["managedFields"] = entries.collect();
    let object = Object { key: key(), api_version: "apps/v1".into(), value: desired };
    let observation =
        Observation { objects: BTreeMap::from([(key(), Live::new(live))]), was_applied, ..Observation::default() };
    unit(&shop(), &Desired::of(vec![object]), &observation, drift)
}

/// What the only action of a plan sends.
fn sent(plan: &UnitPlan) -> &Value {
    match plan.actions.as_slice() {
        [Action { operation: Operation::Update { object, .. }, .. }] => object,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_nobody_owns_is_drift_only_once_the_cluster_was_as_git_says() {
    let warn = drift("{mode: warn}");
    let scaled_to_none = (0, "nobody");
    let image = ("i:1", OURS);
    let plan = plan_after(true, &warn, scaled_to_none, image, "old");
    assert!(plan.actions.is_empty(), "{plan:?}");
    assert!(plan.held[0].reason.starts_with("differs in spec.replicas and is left so"), "{plan:?}");
    // Before that it may be a default of the server that a commit changes.
    let plan = plan_after(false, &warn, scaled_to_none, image, "old");
    assert_eq!(sent(&plan)["spec"]["replicas"], 1);
    // A rule for the field, and the rule for everything, which corrects.
    let field = drift("{fields: [{kind: StatefulSet, path: spec.replicas}]}");
    assert_eq!(plan_after(true, &field, scaled_to_none, image, "old"), plan_of_nothing());
    assert_eq!(plan_after(true, &drift("{}"), scaled_to_none, image, "old").actions.len(), 1);
}

fn plan_of_nothing() -> UnitPlan {
    UnitPlan { unit: shop(), actions: Vec::new(), held: Vec::new() }
}

#[test]
fn drift_is_changed_back_unless_git_says_otherwise() {
    let ours = ("i:1", OURS);
    let corrected = plan(&Drift::default(), (3, "hpa-1"), ours, "old");
    assert_eq!(sent(&corrected)["spec"]["replicas"], 1);
    assert_eq!(drifted_by(&corrected.actions[0]), Some("hpa-1"), "{}", corrected.actions[0].reason);

    for rules in [
        "{mode: ignore}",
        "{projects: {shop: ignore}}",
        "{managers: [{name: 'hpa*'}]}",
        "{fields: [{path: spec.replicas}]}",
    ] {
        let plan = plan(&drift(rules), (3, "hpa-1"), ours, "old");
        assert!(plan.actions.is_empty() && plan.held.is_empty(), "{rules}: {plan:?}");
    }
    let warned = plan(&drift("{mode: warn}"), (3, "hpa-1"), ours, "old");
    assert!(warned.actions.is_empty());
    assert_eq!(
        warned.held[0].reason,
        "differs in spec.replicas (by hpa-1) and is left so, as drift in claude-manager.yaml says"
    );
    // Rules for others are none for this.
    for rules in [
        "{projects: {other: ignore}}",
        "{managers: [{name: hpa}]}",
        "{fields: [{path: spec.rep}]}",
        "{fields: [{kind: Deployment, path: spec.replicas}]}",
    ] {
        assert_eq!(plan(&drift(rules), (3, "hpa-1"), ours, "old").actions.len(), 1, "{rules}");
    }
    // The exact rule has the last word.
    let exact = drift("{mode: ignore, fields: [{path: spec.replicas, mode: correct}]}");
    assert_eq!(plan(&exact, (3, "hpa-1"), ours, "old").actions.len(), 1);
}

#[test]
fn what_is_left_alone_is_not_sent_while_git_changes_something_else() {
    let rules = drift("{mode: warn}");
    let changed = plan(&rules, (3, "hpa-1"), ("i:2", "kubectl-edit"), "new");
    let sent = sent(&changed);
    assert_eq!(sent["metadata"]["annotations"]["a"], "new");
    assert!(sent["spec"].get("replicas").is_none(), "its owner keeps it: {sent}");
    assert_eq!(sent["spec"]["template"]["spec"]["containers"], json!([{"name": "agent"}]));
    assert!(
        matches!(&changed.actions[0].operation, Operation::Update { take_over: false, .. }),
        "or the edit would go with it"
    );
    assert_eq!(changed.held.len(), 1);
    // What Git itself changes is no drift, whatever the mode.
    let git = plan(&rules, (3, OURS), ("i:1", OURS), "old");
    assert_eq!(self::sent(&git)["spec"]["replicas"], 1);
}

#[test]
fn an_element_of_an_atomic_list_goes_with_its_list() {
    let mut object = json!({"spec": {"args": ["a", "b"], "x": 1}});
    leave_out(&mut object, &[Step::Field("spec".into()), Step::Field("args".into()), Step::Index(1)]);
    assert_eq!(object, json!({"spec": {"x": 1}}));
}
