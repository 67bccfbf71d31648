use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::desired::Packed;
use crate::plan::{Action, Content, Held, Live, Packer};
use crate::project::{ProjectName, Revision, Unit};
use kustomize::Object;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("", "ConfigMap", None, name)
}

fn value(name: &str) -> serde_json::Value {
    json!({"metadata": {"name": name}})
}

fn wants(names: &[&str]) -> DesiredUnit {
    let object = |name: &&str| Object { key: key(name), api_version: "v1".into(), value: value(name) };
    DesiredUnit {
        revision: Revision::from_bytes([1; 20]),
        objects: Ok(Arc::new(Packed::of(&Packer::default(), names.iter().map(object).collect()))),
        spec: None,
        overlay_id: None,
        suspended: None,
    }
}

fn hash(name: &str) -> Sent {
    Sent::Hash(plan::object_hash(&value(name)))
}

fn plan(actions: &[(&str, Operation)], held: &[&str]) -> UnitPlan {
    let action = |(name, operation): &(&str, Operation)| Action {
        key: key(name),
        api_version: "v1".into(),
        stage: 1,
        operation: operation.clone(),
        reason: String::new(),
        changes: Vec::new(),
    };
    let held = held.iter().map(|name| Held { key: key(name), reason: String::new() }).collect();
    let unit = Unit::Project(ProjectName::parse("a").unwrap());
    UnitPlan { unit, actions: actions.iter().map(action).collect(), held }
}

#[test]
fn a_write_under_way_is_no_record_of_what_was_sent() {
    let before = Inventory::from([(key("old"), hash("old")), (key("same"), hash("before"))]);
    let delete = || Operation::Delete { uid: "u".into() };
    let update = || Operation::Update { object: Content::default(), take_over: false };
    let create = Operation::Create(Content::default());
    let actions = [("new", create), ("old", delete()), ("gone", delete()), ("same", update()), ("found", update())];
    let plan = plan(&actions, &[]);
    let hashes = hashes(Some(&wants(&["new", "same", "found", "other"])), &plan);
    assert_eq!(hashes.keys().cloned().collect::<Vec<_>>(), [key("found"), key("new"), key("same")]);
    let expected = [
        (key("new"), hash("new")),
        (key("old"), hash("old")),
        (key("gone"), Sent::Unknown),
        (key("same"), Sent::Unsettled),
        (key("found"), Sent::Unknown),
    ];
    assert_eq!(during(&before, &plan, &hashes), Inventory::from(expected));
}

#[test]
fn at_rest_what_is_there_counts_as_sent_and_what_is_another_units_is_not_remembered() {
    let seen = |object: serde_json::Value| Live::new(object);
    let theirs = json!({"metadata": {"managedFields": [{"manager": "claude-manager/b", "operation": "Apply"}]}});
    let going = json!({"metadata": {"deletionTimestamp": "2026-11-24T03:00:00Z"}});
    let clean = Live { applied: Some(plan::object_hash(&value("clean"))), ..seen(json!({})) };
    let observation = Observation {
        objects: BTreeMap::from([
            (key("found"), seen(json!({}))),
            (key("theirs"), seen(theirs)),
            (key("going"), seen(going)),
            (key("clean"), clean),
        ]),
        ..Observation::default()
    };
    let before =
        Inventory::from([(key("clean"), Sent::Unsettled), (key("kept"), hash("kept")), (key("left"), hash("left"))]);
    let names = ["found", "theirs", "going", "clean", "deleted", "left"];
    let after = at_rest(&before, Some(&wants(&names)), &plan(&[], &["theirs", "going", "kept"]), &observation);
    let expected = [
        (key("found"), hash("found")),
        (key("going"), Sent::Unknown),
        (key("clean"), hash("clean")),
        (key("kept"), hash("kept")),
        (key("deleted"), Sent::Unknown),
        // It is not there and not made again, as the policy says.
        (key("left"), hash("left")),
    ];
    assert_eq!(after, Inventory::from(expected));
}
