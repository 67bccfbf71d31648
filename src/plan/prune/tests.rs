use serde_json::json;

use super::*;
use crate::plan::Content;
use crate::plan::{Drift, Live, unit};
use crate::project::{ProjectName, Sent};
use kustomize::Object;

fn project(name: &str) -> Unit {
    Unit::Project(ProjectName::parse(name).unwrap())
}

fn key(kind: &str, name: &str) -> ObjectKey {
    let group = if kind == "StatefulSet" { "apps" } else { "" };
    ObjectKey::new(group, kind, Some("team"), name)
}

fn desired(keys: &[&ObjectKey]) -> Desired {
    let object = |key: &&ObjectKey| Object {
        key: (*key).clone(),
        api_version: if key.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", key.group) },
        value: json!({"metadata": {"name": key.name, "labels": {"claude-manager.io/project": "a"}}}),
    };
    Desired::of(keys.iter().map(object).collect())
}

/// A live object as our apply leaves it, with more on top.
fn live(key: &ObjectKey, more: Value) -> (ObjectKey, Live) {
    let mut object = json!({
        "metadata": {"name": key.name, "uid": format!("uid-{}", key.name), "labels": {"claude-manager.io/project": "a"},
            "managedFields": [{"manager": "claude-manager/a", "operation": "Apply",
                "fieldsV1": {"f:metadata": {"f:labels": {"f:claude-manager.io/project": {}}}}}]}
    });
    merge(&mut object, more);
    (key.clone(), Live::new(object))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

fn observed(objects: impl IntoIterator<Item = (ObjectKey, Live)>) -> Observation {
    Observation { objects: objects.into_iter().collect(), ..Observation::default() }
}

/// What a plan does, one line each: `delete Service x`, `hold ConfigMap y: why`.
fn transcript(desired: &Desired, observation: &Observation) -> Vec<String> {
    let plan = unit(&project("a"), desired, observation, &Drift::default());
    let action = |action: &Action| {
        let verb = match action.operation {
            Operation::Create(_) => "create",
            Operation::Update { .. } => "update",
            Operation::Recreate { .. } => "remake",
            Operation::Delete { .. } => "delete",
        };
        format!("{verb} {} {}", action.key.kind, action.key.name)
    };
    let held = plan.held.iter().map(|held| format!("hold {} {}: {}", held.key.kind, held.key.name, held.reason));
    plan.actions.iter().map(action).chain(held).collect()
}

const ABSENT: Desired = Desired::Absent { delete_volumes: false };

#[test]
fn a_deleted_project_goes_workload_first_and_its_volumes_stay() {
    let observation = observed([
        live(&key("ConfigMap", "a-env-24bcdfghkm"), json!({})),
        live(&key("Service", "a-env"), json!({})),
        live(&key("PersistentVolumeClaim", "a-workspace"), json!({})),
        live(&key("StatefulSet", "a-env"), json!({})),
    ]);
    assert_eq!(
        transcript(&ABSENT, &observation),
        [
            "delete StatefulSet a-env",
            "delete Service a-env",
            "delete ConfigMap a-env-24bcdfghkm",
            "hold PersistentVolumeClaim a-workspace: volumes are kept; `volumes: delete` in tombstones/a.yaml gives it up",
        ]
    );
    assert_eq!(
        transcript(&Desired::Absent { delete_volumes: true }, &observation),
        [
            "delete StatefulSet a-env",
            "delete Service a-env",
            "delete ConfigMap a-env-24bcdfghkm",
            "delete PersistentVolumeClaim a-workspace",
        ]
    );
}

#[test]
fn a_volume_that_only_left_the_overlay_stays() {
    let observation = observed([live(&key("PersistentVolumeClaim", "a-workspace"), json!({}))]);
    assert_eq!(
        transcript(&desired(&[]), &observation),
        [
            "hold PersistentVolumeClaim a-workspace: volumes are kept; delete it by hand if its data is not wanted any more"
        ]
    );
}

#[test]
fn an_annotation_keeps_an_object_that_leaves_git() {
    let kept = json!({"metadata": {"annotations": {"claude-manager.io/prune": "disabled"}}});
    let other = json!({"metadata": {"annotations": {"claude-manager.io/prune": "no"}}});
    let observation = observed([live(&key("ConfigMap", "a-kept"), kept), live(&key("ConfigMap", "a-other"), other)]);
    assert_eq!(
        transcript(&desired(&[]), &observation),
        ["delete ConfigMap a-other", "hold ConfigMap a-kept: the annotation claude-manager.io/prune keeps it"]
    );
}

#[test]
fn namespaces_and_volumes_of_the_cluster_are_never_deleted() {
    let observation =
        observed([live(&key("Namespace", "team"), json!({})), live(&key("PersistentVolume", "pv"), json!({}))]);
    let plan = unit(&project("a"), &Desired::Absent { delete_volumes: true }, &observation, &Drift::default());
    assert_eq!((plan.actions.len(), plan.held.len()), (0, 2));
}

#[test]
fn only_what_was_applied_for_the_unit_is_deleted() {
    let unowned =
        json!({"metadata": {"managedFields": [{"manager": "ana", "operation": "Update", "fieldsV1": {"f:data": {}}}]}});
    let made_by_hand = live(&key("ConfigMap", "by-hand"), unowned.clone());
    let without_record = live(&key("ConfigMap", "no-record"), json!({"metadata": {"managedFields": []}}));
    let by = |manager: &str| json!([{"manager": manager, "operation": "Apply", "fieldsV1": {"f:data": {}}}]);
    let of_another = live(&key("ConfigMap", "b-env"), json!({"metadata": {"managedFields": by("claude-manager/b")}}));
    let controlled = json!([{"kind": "X", "controller": true}]);
    let derived = live(
        &key("ConfigMap", "derived"),
        json!({"metadata": {"ownerReferences": controlled, "managedFields": by("x-controller")}}),
    );
    let pod = live(&key("Pod", "a-env-0"), json!({}));
    let mut observation = observed([made_by_hand, without_record, of_another, derived, pod]);
    assert!(transcript(&ABSENT, &observation).is_empty());

    // The inventory remembers what was applied under another field manager, or before an edit wiped the record.
    let inventory = [key("ConfigMap", "by-hand"), key("ConfigMap", "derived"), key("Pod", "a-env-0")];
    observation.inventory = inventory.map(|key| (key, Sent::Unknown)).into();
    assert_eq!(transcript(&ABSENT, &observation), ["delete ConfigMap by-hand"]);

    // An owner that somebody adds to an object of ours makes it nobody else's.
    for owners in [controlled, json!([{"kind": "X"}])] {
        let owned = live(&key("ConfigMap", "owned"), json!({"metadata": {"ownerReferences": owners}}));
        assert_eq!(transcript(&ABSENT, &observed([owned])), ["delete ConfigMap owned"]);
    }
}

#[test]
fn a_delete_names_the_very_object() {
    let observation = observed([live(&key("Service", "a-env"), json!({"apiVersion": "v1"}))]);
    let plan = unit(&project("a"), &ABSENT, &observation, &Drift::default());
    assert_eq!(plan.actions[0].operation, Operation::Delete { uid: "uid-a-env".to_owned() });
    assert_eq!((plan.actions[0].api_version.as_str(), plan.actions[0].reason.as_str()), ("v1", "not in Git any more"));
}

#[test]
fn base_wide_objects_go_with_their_scope() {
    let labels = json!({"metadata": {"labels": {"claude-manager.io/project": null, "claude-manager.io/scope": "base"},
        "managedFields": [{"manager": "claude-manager", "operation": "Apply", "fieldsV1": {"f:data": {}}}]}});
    let observation = observed([live(&key("ConfigMap", "keys"), labels), live(&key("ConfigMap", "a-x"), json!({}))]);
    let plan = unit(&Unit::Base, &desired(&[]), &observation, &Drift::default());
    assert_eq!(plan.actions.iter().map(|action| action.key.name.as_str()).collect::<Vec<_>>(), ["keys"]);
}

#[test]
fn an_object_that_is_already_going_is_not_deleted_twice_nor_made_too_early() {
    let service = key("Service", "a-env");
    let going = json!({"metadata": {"deletionTimestamp": "2026-11-24T03:00:00Z", "finalizers": ["x.io/y"]}});
    let observation = observed([live(&service, going)]);
    assert_eq!(transcript(&ABSENT, &observation), ["hold Service a-env: is being deleted (waits for x.io/y)"]);
    assert_eq!(
        transcript(&desired(&[&service]), &observation),
        ["hold Service a-env: is being deleted (waits for x.io/y); it is made again when it is gone"]
    );
}

#[test]
fn an_old_config_map_goes_only_when_the_rollout_that_left_it_is_complete() {
    let (old, new) = (key("ConfigMap", "a-env-24bcdfghkm"), key("ConfigMap", "a-env-9bcdfghkm5"));
    let set = key("StatefulSet", "a-env");
    let git = desired(&[&set, &new]);
    let pod = |name: &str, revision: &str| {
        live(
            &key("Pod", name),
            json!({"metadata": {"labels": {"controller-revision-hash": revision},
            "ownerReferences": [{"kind": "StatefulSet", "name": "a-env"}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        )
    };
    let status = |generation: i64, observed: i64, current: &str, update: &str, updated: i64| {
        live(
            &set,
            json!({"metadata": {"generation": generation}, "spec": {"replicas": 1},
            "status": {"observedGeneration": observed, "currentRevision": current, "updateRevision": update,
                "updatedReplicas": updated, "replicas": 1}}),
        )
    };
    let configs = || [live(&old, json!({})), live(&new, json!({}))];
    let at = |set: (ObjectKey, Live), pods: Vec<(ObjectKey, Live)>| {
        transcript(&git, &observed(configs().into_iter().chain([set]).chain(pods)))
    };
    let held = "hold ConfigMap a-env-24bcdfghkm: still in use: the rollout of StatefulSet a-env is not complete";

    // The new template is stored, the controller has not looked.
    assert_eq!(at(status(2, 1, "one", "one", 1), vec![pod("a-env-0", "one")]), [held]);
    // The controller has looked, the old pod still runs.
    assert_eq!(at(status(2, 2, "one", "two", 0), vec![pod("a-env-0", "one")]), [held]);
    // A late old pod holds it even when the figures are fine.
    assert_eq!(at(status(2, 2, "two", "two", 1), vec![pod("a-env-0", "one")]), [held]);
    // Old pod gone, no new one yet.
    assert_eq!(at(status(2, 2, "one", "two", 0), vec![]), [held]);
    // The new pod runs.
    assert_eq!(at(status(2, 2, "two", "two", 1), vec![pod("a-env-0", "two")]), ["delete ConfigMap a-env-24bcdfghkm"]);
}

#[test]
fn an_old_config_map_waits_for_the_apply_that_starts_the_rollout() {
    let (old, new, set) =
        (key("ConfigMap", "a-env-24bcdfghkm"), key("ConfigMap", "a-env-9bcdfghkm5"), key("StatefulSet", "a-env"));
    let stale = json!({"metadata": {"generation": 1, "labels": {"claude-manager.io/project": "a"}}, "spec": {"replicas": 0},
        "status": {"observedGeneration": 1}});
    let mut git = desired(&[&set, &new]);
    if let Desired::Objects(objects) = &mut git {
        let mut changed = (*objects[0].content).clone();
        changed["spec"] = json!({"replicas": 0, "template": {"spec": {"volumes": [{"name": "x"}]}}});
        objects[0].content = Content::new(changed);
    }
    let observation = observed([live(&old, json!({})), live(&set, stale)]);
    assert_eq!(
        transcript(&git, &observation),
        [
            "create ConfigMap a-env-9bcdfghkm5",
            "update StatefulSet a-env",
            "hold ConfigMap a-env-24bcdfghkm: still in use: StatefulSet a-env is about to change",
        ]
    );
}

#[test]
fn a_stopped_project_needs_its_old_config_map_no_more_once_its_pods_are_gone() {
    let (old, set) = (key("ConfigMap", "a-env-24bcdfghkm"), key("StatefulSet", "a-env"));
    let stopped = || {
        live(
            &set,
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 0},
            "status": {"observedGeneration": 2, "currentRevision": "one", "updateRevision": "two", "replicas": 0}}),
        )
    };
    let pod = live(
        &key("Pod", "a-env-0"),
        json!({"metadata": {"labels": {"controller-revision-hash": "two"},
        "ownerReferences": [{"name": "a-env"}]}}),
    );
    let going = observed([live(&old, json!({})), stopped(), pod]);
    assert_eq!(transcript(&desired(&[&set]), &going).len(), 1);
    assert!(transcript(&desired(&[&set]), &going)[0].starts_with("hold"));
    let gone = observed([live(&old, json!({})), stopped()]);
    assert_eq!(transcript(&desired(&[&set]), &gone), ["delete ConfigMap a-env-24bcdfghkm"]);
}

#[test]
fn a_config_map_without_a_hash_goes_at_once() {
    let observation = observed([
        live(&key("ConfigMap", "a-settings"), json!({})),
        live(&key("StatefulSet", "a-env"), json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}})),
    ]);
    assert_eq!(transcript(&desired(&[&key("StatefulSet", "a-env")]), &observation), ["delete ConfigMap a-settings"]);
}
