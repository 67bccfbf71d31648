use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::plan::{Desired, Drift, Operation, WantedObject, unit};
use crate::project::Sent;
use kustomize::Object;

fn project(name: &str) -> Unit {
    Unit::Project(ProjectName::parse(name).unwrap())
}

fn key(kind: &str) -> ObjectKey {
    let group = if kind == "StatefulSet" { "apps" } else { "" };
    ObjectKey::new(group, kind, Some("team"), "a-env")
}

/// A live object with this label (a project's name, `base`, or nothing), written by these field managers.
fn live(label: &str, managers: &[&str]) -> Live {
    let labels = match label {
        "" => json!({}),
        "base" => json!({SCOPE_LABEL: "base"}),
        label => json!({PROJECT_LABEL: label}),
    };
    let entry = |manager: &&str| json!({"manager": manager, "operation": "Apply", "fieldsV1": {"f:data": {}}});
    let managers: Vec<Value> = managers.iter().map(entry).collect();
    Live::new(json!({"metadata": {"uid": "u", "labels": labels, "managedFields": managers}}))
}

/// The live object at the key of this kind; each of the others stands as said.
fn observed(kind: &str, live: &Live, others: &[(Unit, Standing)]) -> Observation {
    Observation {
        objects: BTreeMap::from([(key(kind), live.clone())]),
        others: others.iter().cloned().collect(),
        ..Observation::default()
    }
}

fn wanted_by(name: &Unit, kind: &str) -> Desired {
    let labels = match name {
        Unit::Base => json!({SCOPE_LABEL: "base"}),
        Unit::Project(name) => json!({PROJECT_LABEL: name.as_str()}),
    };
    let value = json!({"metadata": {"name": "a-env", "labels": labels}});
    Desired::Objects(vec![WantedObject::from(Object { key: key(kind), api_version: "v1".into(), value })])
}

/// What is done about the object by a unit: nothing, or one word for each action and each thing that is held.
fn done(name: &Unit, desired: &Desired, observation: &Observation) -> String {
    let plan = unit(name, desired, observation, &Drift::default());
    let word = |operation: &Operation| match operation {
        Operation::Create(_) => "create",
        Operation::Update { .. } => "update",
        Operation::Recreate { .. } => "recreate",
        Operation::Delete { .. } => "delete",
    };
    let actions = plan.actions.iter().map(|action| word(&action.operation).to_owned());
    let held = plan.held.iter().map(|held| format!("hold: {}", held.reason));
    actions.chain(held).collect::<Vec<_>>().join(", ")
}

const ABSENT: Desired = Desired::Absent { delete_volumes: true };
const OF_A: &str = "claude-manager/a";

#[test]
fn what_is_relabelled_is_healed_by_whoever_applied_it_and_deleted_by_nobody() {
    let (a, b) = (project("a"), project("b"));
    for kind in ["StatefulSet", "Service", "PersistentVolumeClaim", "ConfigMap"] {
        for label in ["b", "nobody", "base", ""] {
            let known = [(b.clone(), Standing::Builds), (Unit::Base, Standing::Builds)];
            let seen = observed(kind, &live(label, &[OF_A, "kubectl-label"]), &known);
            assert_eq!(done(&a, &wanted_by(&a, kind), &seen), "update", "{kind} with the label {label:?}");
            for other in [&b, &Unit::Base] {
                // The tree may say that it is a's, or a may not build at the moment.
                for wants in [BTreeMap::from([(key(kind), a.clone())]), BTreeMap::new()] {
                    let seen = Observation { wanted_elsewhere: wants, ..seen.clone() };
                    for desired in [Desired::Objects(Vec::new()), ABSENT] {
                        assert_eq!(done(other, &desired, &seen), "", "{kind} {label:?}: {other} {desired:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_another_unit_wants_is_deleted_by_nobody_whatever_speaks_for_it() {
    let (a, b) = (project("a"), project("b"));
    let mut seen = observed("Service", &live("b", &["claude-manager/b"]), &[]);
    seen.inventory.insert(key("Service"), Sent::Hash(1));
    assert_eq!(done(&b, &ABSENT, &seen), "delete");
    seen.wanted_elsewhere.insert(key("Service"), a);
    assert_eq!(done(&b, &ABSENT, &seen), "");
}

#[test]
fn an_object_goes_with_the_unit_whose_field_manager_or_inventory_names_it() {
    let b = project("b");
    let (applied, listed) = (&[OF_A][..], &["claude-manager"][..]);
    for (what, unit, label, managers, is_listed, expected) in [
        ("applied", project("a"), "a", applied, false, true),
        ("applied, the label is another's", project("a"), "b", applied, false, true),
        ("applied, without a label", project("a"), "", applied, false, true),
        ("another's", b.clone(), "b", applied, true, false),
        ("by hand with the label", b.clone(), "b", &["kubectl"], false, false),
        ("restored by hand", b.clone(), "b", &["kubectl"], true, true),
        ("made again by another program", b.clone(), "", &["helm"], true, false),
        ("of an earlier version", b.clone(), "b", listed, true, true),
        ("of an earlier version, inventory lost", b, "b", listed, false, false),
        ("of the base", Unit::Base, "base", listed, false, true),
        ("of the base, relabelled", Unit::Base, "b", listed, true, true),
        ("of an earlier version, for the base", Unit::Base, "b", listed, false, false),
    ] {
        let mut seen = observed("Service", &live(label, managers), &[]);
        if is_listed {
            seen.inventory.insert(key("Service"), Sent::Unknown);
        }
        assert_eq!(done(&unit, &ABSENT, &seen) == "delete", expected, "{what}");
    }
}

#[test]
fn an_object_of_another_unit_is_taken_only_where_that_unit_has_given_it_up() {
    let (a, b) = (project("a"), project("b"));
    let taken = |kind: &str, standing| {
        let known: Vec<_> = Option::into_iter(standing).map(|standing| (a.clone(), standing)).collect();
        // Whoever labels it as b's gives b nothing.
        let of = |label: &str| done(&b, &wanted_by(&b, kind), &observed(kind, &live(label, &[OF_A]), &known));
        assert_eq!(of("a"), of("b"), "{kind} {standing:?}");
        of("b")
    };
    assert_eq!(taken("Service", Some(Standing::Builds)), "update");
    assert_eq!(taken("Service", Some(Standing::Deleted)), "update");
    let held = taken("Service", Some(Standing::Unsettled));
    assert!(held.starts_with("hold: belongs to the project a, of which it is not known at the moment"), "{held}");
    let held = taken("Service", None);
    assert!(held.starts_with("hold: belongs to the project a, which neither Git nor this manager knows"), "{held}");
    for standing in [Some(Standing::Builds), Some(Standing::Deleted)] {
        let held = taken("PersistentVolumeClaim", standing);
        assert_eq!(held, "hold: belongs to the project a, whose data it keeps; give the one in Git another name");
    }
}

#[test]
fn a_label_keeps_a_unit_from_what_nobody_has_applied_unless_it_names_nobody() {
    let (a, b) = (project("a"), project("b"));
    let of = |label: &str, standing| {
        done(&b, &wanted_by(&b, "Service"), &observed("Service", &live(label, &["helm"]), &[(a.clone(), standing)]))
    };
    let held = of("a", Standing::Builds);
    assert_eq!(held, "hold: carries the label of the project a; give one of the two another name");
    assert_eq!(of("a", Standing::Unknown), "update");
    assert_eq!(of("b", Standing::Builds), "update", "a person says that it is to be b's");
    // What b had applied is b's, though a restore by hand has left no field manager of b's.
    let mut seen = observed("Service", &live("a", &["kubectl"]), &[(a, Standing::Builds)]);
    seen.inventory.insert(key("Service"), Sent::Unknown);
    assert_eq!(done(&b, &wanted_by(&b, "Service"), &seen), "update");
}

#[test]
fn what_an_earlier_version_applied_under_the_one_field_manager_is_taken_over() {
    let b = project("b");
    let known = [(Unit::Base, Standing::Builds)];
    for label in ["b", ""] {
        let seen = observed("StatefulSet", &live(label, &["claude-manager"]), &known);
        assert_eq!(done(&b, &wanted_by(&b, "StatefulSet"), &seen), "update", "{label:?}");
    }
}
