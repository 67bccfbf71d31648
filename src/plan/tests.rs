//! What holds for every plan, against a small model of server-side apply.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::project::{Inventory, ProjectName, Sent};
use kustomize::Object;

/// The lists that the model merges by one key. Its own table: the code's would hide its own mistakes.
const KEYED: [(&str, &str); 4] =
    [("containers", "name"), ("env", "name"), ("volumes", "name"), ("volumeMounts", "mountPath")];

fn key_of_list(name: &str) -> Option<&'static str> {
    KEYED.iter().find(|(list, _)| *list == name).map(|(_, key)| *key)
}

/// The field set of an applied value, as the server records it.
fn field_set(name: &str, value: &Value) -> Value {
    let mut set = Map::new();
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                set.insert(format!("f:{name}"), field_set(name, value));
            }
        }
        Value::Array(list) => {
            if let Some(key) = key_of_list(name) {
                for element in list {
                    let mut below = field_set("", element);
                    below["."] = json!({});
                    set.insert(format!("k:{}", json!({ key: element[key] })), below);
                }
            }
        }
        _ => {}
    }
    Value::Object(set)
}

/// Merges `applied` into `live`; members that `before` had and `applied` has not, go.
fn merge(name: &str, live: Option<&Value>, applied: &Value, before: Option<&Value>) -> Value {
    match (live, applied) {
        (Some(Value::Object(live)), Value::Object(applied)) => {
            let before = before.and_then(Value::as_object);
            let mut merged = live.clone();
            merged
                .retain(|name, _| applied.contains_key(name) || before.is_none_or(|before| !before.contains_key(name)));
            for (name, value) in applied {
                let before = before.and_then(|before| before.get(name));
                merged.insert(name.clone(), merge(name, live.get(name), value, before));
            }
            Value::Object(merged)
        }
        (Some(Value::Array(live)), Value::Array(applied)) if key_of_list(name).is_some() => {
            let key = key_of_list(name).unwrap();
            let find = |list: &[Value], wanted: &Value| list.iter().find(|e| e[key] == wanted[key]).cloned();
            let before = before.and_then(Value::as_array).cloned().unwrap_or_default();
            let mut merged: Vec<Value> = applied
                .iter()
                .map(|element| merge("", find(live, element).as_ref(), element, find(&before, element).as_ref()))
                .collect();
            let foreign = live.iter().filter(|e| find(applied, e).is_none() && find(&before, e).is_none());
            merged.extend(foreign.cloned());
            Value::Array(merged)
        }
        _ => applied.clone(),
    }
}

/// A cluster that answers forced applies by one manager, and deletes.
#[derive(Default)]
struct Cluster {
    objects: BTreeMap<ObjectKey, (Value, Value)>,
    clock: u64,
    /// What the store remembers; not used while `forgets`.
    sent: Inventory,
    forgets: bool,
}

impl Cluster {
    fn observe(&self) -> Observation {
        let live = |(key, (live, _)): (&ObjectKey, &(Value, Value))| (key.clone(), Live::new(live.clone()));
        let inventory = if self.forgets { Inventory::new() } else { self.sent.clone() };
        Observation { objects: self.objects.iter().map(live).collect(), inventory, ..Observation::default() }
    }

    fn execute(&mut self, plan: &UnitPlan) {
        for action in &plan.actions {
            self.clock += 1;
            match &action.operation {
                Operation::Create(object) | Operation::Update { object, .. } | Operation::Recreate { object, .. } => {
                    let found = self.objects.get(&action.key).cloned();
                    let (live, before) = found.map_or((None, None), |(live, before)| (Some(live), Some(before)));
                    let mut merged = merge("", live.as_ref(), object, before.as_ref());
                    let mut fields = field_set("", object);
                    fields
                        .as_object_mut()
                        .unwrap()
                        .retain(|name, _| !matches!(name.as_str(), "f:kind" | "f:apiVersion"));
                    fields["f:metadata"].as_object_mut().unwrap().remove("f:name");
                    merged["metadata"]["uid"] = json!(action.key.name);
                    merged["metadata"]["resourceVersion"] = json!(self.clock.to_string());
                    merged["metadata"]["managedFields"] =
                        json!([{"manager": plan.unit.field_manager(), "operation": "Apply", "fieldsV1": fields}]);
                    self.objects.insert(action.key.clone(), (merged, (**object).clone()));
                    self.sent.insert(action.key.clone(), Sent::Hash(object.hash()));
                }
                Operation::Delete { uid } => {
                    self.sent.remove(&action.key);
                    let (live, _) = self.objects.remove(&action.key).unwrap();
                    assert_eq!(live["metadata"]["uid"], json!(uid));
                }
            }
        }
    }

    /// Somebody sets a field, and owns it from then on.
    fn edit(&mut self, key: &ObjectKey, replicas: u8) {
        let Some((live, _)) = self.objects.get_mut(key) else { return };
        live["spec"]["replicas"] = json!(replicas);
        let ours = &mut live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
        if let Some(fields) = ours.as_object_mut() {
            fields.remove("f:replicas");
        }
        let theirs = json!({"manager": "ana", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}});
        live["metadata"]["managedFields"].as_array_mut().unwrap().push(theirs);
    }
}

/// A named list with some of its possible elements.
fn some_of(key: &'static str, names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    proptest::collection::btree_map(proptest::sample::select(names), "[a-c]{0,2}", 0..=names.len()).prop_map(
        move |elements| {
            let element = |(name, value): (&str, String)| json!({key: name, "value": value});
            Value::Array(elements.into_iter().map(element).collect())
        },
    )
}

fn container() -> impl Strategy<Value = Value> {
    (some_of("name", &["A", "B", "C"]), some_of("mountPath", &["/a", "/b"]), proptest::option::of(0_u8..3), "[xy]")
        .prop_map(|(env, mounts, cpu, image)| {
            let mut container = json!({"image": image, "env": env, "volumeMounts": mounts, "args": [image]});
            if let Some(cpu) = cpu {
                container["resources"] = json!({"requests": {"cpu": format!("{cpu}000m")}});
            }
            container
        })
}

fn object() -> impl Strategy<Value = Object> {
    let containers =
        proptest::collection::btree_map(proptest::sample::select(&["agent", "ide"][..]), container(), 0..=2);
    let labels = proptest::collection::btree_map("[ab]", "[ab]", 0..2);
    (proptest::sample::select(&["a", "b", "c"][..]), containers, 0_u8..3, labels).prop_map(
        |(name, containers, replicas, mut labels)| {
            labels.insert("claude-manager.io/project".to_owned(), "x".to_owned());
            let containers: Vec<Value> = containers
                .into_iter()
                .map(|(name, mut container)| {
                    container["name"] = json!(name);
                    container
                })
                .collect();
            let value = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name, "labels": labels},
                "spec": {"replicas": replicas, "template": {"spec": {"containers": containers}}}});
            Object { key: stateful_set(name), api_version: "apps/v1".to_owned(), value }
        },
    )
}

fn stateful_set(name: &str) -> ObjectKey {
    ObjectKey::new("apps", "StatefulSet", Some("team"), name)
}

/// What Git says at one moment: at most one object of each name.
fn tree() -> impl Strategy<Value = Desired> {
    proptest::collection::vec(object(), 0..4).prop_map(|objects| {
        let objects: BTreeMap<ObjectKey, Object> = objects.into_iter().map(|o| (o.key.clone(), o)).collect();
        Desired::of(objects.into_values().collect())
    })
}

fn x() -> Unit {
    Unit::Project(ProjectName::parse("x").unwrap())
}

proptest! {
    #[test]
    fn after_an_apply_there_is_nothing_left_to_do(
        steps in proptest::collection::vec((tree(), proptest::option::of(0_u8..3)), 1..5),
        forgets: bool,
    ) {
        let mut cluster = Cluster { forgets, ..Cluster::default() };
        for (git, edit) in steps {
            if let Some(replicas) = edit {
                cluster.edit(&stateful_set("a"), replicas);
            }
            let plan = unit(&x(), &git, &cluster.observe(), &Drift::default());
            prop_assert_eq!(&plan, &unit(&x(), &git, &cluster.observe(), &Drift::default()), "the same input gives the same plan");
            prop_assert!(plan.actions.is_sorted_by_key(|action| action.stage));
            cluster.execute(&plan);

            let again = unit(&x(), &git, &cluster.observe(), &Drift::default());
            prop_assert_eq!(&again.actions, &Vec::new());

            // And what is there is what Git says, no more and no less.
            let Desired::Objects(objects) = &git else { unreachable!() };
            prop_assert_eq!(cluster.objects.len(), objects.len());
            for object in objects {
                let (live, _) = &cluster.objects[&object.key];
                for field in ["/spec", "/metadata/labels"] {
                    prop_assert_eq!(live.pointer(field), object.content.pointer(field));
                }
            }
        }
    }
}

/// The pointers of all scalars below `value`, and of its empty lists and maps.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(name, value)| leaves(value, &format!("{at}/{name}"), found));
        }
        Value::Array(list) if !list.is_empty() => {
            list.iter().enumerate().for_each(|(index, value)| leaves(value, &format!("{at}/{index}"), found));
        }
        Value::Array(_) | Value::Object(_) => {}
        _ => found.push(at.to_owned()),
    }
}

proptest! {
    #[test]
    fn no_edit_of_a_desired_value_goes_unnoticed(object in object(), which: proptest::sample::Index) {
        let mut pointers = Vec::new();
        leaves(&object.value["spec"], "/spec", &mut pointers);
        let pointer = which.get(&pointers);

        let mut cluster = Cluster::default();
        let git = Desired::of(vec![object.clone()]);
        cluster.execute(&unit(&x(), &git, &cluster.observe(), &Drift::default()));
        let (live, _) = cluster.objects.get_mut(&object.key).unwrap();
        *live.pointer_mut(pointer).unwrap() = json!("edited");

        let plan = unit(&x(), &git, &cluster.observe(), &Drift::default());
        prop_assert_eq!(plan.actions.len(), 1, "{}", pointer);
        prop_assert!(!plan.actions[0].changes.is_empty());
    }
}

#[test]
fn an_unchanged_object_is_known_by_its_version_alone() {
    let object =
        Object { key: stateful_set("a"), api_version: "apps/v1".to_owned(), value: json!({"spec": {"replicas": 1}}) };
    let git = Desired::of(vec![object.clone()]);
    let observe = |applied: Option<u64>| {
        // The server stored something else than was sent, and always will.
        let live = json!({"metadata": {"resourceVersion": "7"}, "spec": {"replicas": "one"}});
        let live = Live { applied, ..Live::new(live) };
        Observation { objects: BTreeMap::from([(object.key.clone(), live)]), ..Observation::default() }
    };
    let hash = object_hash(&object.value);
    let actions = |observation| unit(&x(), &git, &observation, &Drift::default()).actions.len();
    assert_eq!(actions(observe(Some(hash))), 0);
    assert_eq!(actions(observe(None)), 1, "somebody wrote since");
    assert_eq!(actions(observe(Some(hash ^ 1))), 1, "Git says something else since");
}

#[test]
fn actions_come_in_stages_and_do_not_print_what_they_write() {
    let object = |group: &str, kind: &str| {
        let key = ObjectKey::new(group, kind, None, "a");
        Object { key, api_version: "v1".to_owned(), value: json!({"stringData": {"key": "hunter2"}}) }
    };
    let objects = vec![object("apps", "StatefulSet"), object("", "Service"), object("", "Secret")];
    let plan = unit(&x(), &Desired::of(objects), &Observation::default(), &Drift::default());
    let kinds: Vec<_> = plan.actions.iter().map(|action| action.key.kind.as_str()).collect();
    assert_eq!(kinds, ["Secret", "Service", "StatefulSet"]);
    assert!(!format!("{plan:?}").contains("hunter2") && !format!("{plan:?}").contains("aHVudGVyMg"));
}

#[test]
fn a_deleted_project_is_gone_when_only_kept_volumes_are_left() {
    let live = |kind: &str, more: Value| {
        let key = ObjectKey::new("", kind, None, "x");
        let mut object = json!({"metadata": {"uid": "1", "labels": {"claude-manager.io/project": "x"},
            "managedFields": [{"manager": x().field_manager(), "operation": "Apply", "fieldsV1": {"f:spec": {}}}]}});
        more.as_object().unwrap().iter().for_each(|(name, value)| object["metadata"][name] = value.clone());
        Observation { objects: BTreeMap::from([(key, Live::new(object))]), ..Observation::default() }
    };
    let going = json!({"deletionTimestamp": "2026-11-24T03:00:00Z"});
    let table = [
        (Observation::default(), false, true),
        (live("PersistentVolumeClaim", json!({})), false, true),
        (live("PersistentVolumeClaim", json!({})), true, false),
        (live("PersistentVolumeClaim", going.clone()), true, false),
        (live("Service", json!({})), false, false),
        (live("Service", going), false, false),
        (live("Pod", json!({})), false, false),
        (live("ConfigMap", json!({"managedFields": []})), false, true),
    ];
    for (observation, delete_volumes, expected) in table {
        let plan = unit(&x(), &Desired::Absent { delete_volumes }, &observation, &Drift::default());
        assert_eq!(is_gone(&plan, &observation), expected, "{:?} {delete_volumes}", observation.objects.keys());
    }
}

#[test]
fn a_deleted_object_is_drift_once_it_was_applied_and_made_again_where_that_is_corrected_or_for_a_commit() {
    let key = ObjectKey::new("", "Service", Some("team"), "x");
    let service = Object { key, api_version: "v1".into(), value: json!({}) };
    let desired = Desired::of(vec![service]);
    let of = |mode, was_applied| {
        let observation = Observation { was_applied, ..Observation::default() };
        let plan = unit(&x(), &desired, &observation, &Drift { mode, ..Drift::default() });
        (plan.actions.len(), plan.held.len())
    };
    for mode in [DriftMode::Correct, DriftMode::Warn, DriftMode::Ignore] {
        assert_eq!(of(mode, false), (1, 0), "a commit makes it: {mode:?}");
    }
    assert_eq!(of(DriftMode::Correct, true), (1, 0));
    assert_eq!(of(DriftMode::Warn, true), (0, 1));
    assert_eq!(of(DriftMode::Ignore, true), (0, 0));
}

/// What one commit after another wants of an object, in fields whose values the API server may store alike.
const ALIKE: [(&str, &str); 6] = [
    (r#"{"data": {"type": "x"}}"#, r#"{"data": {"type": ""}}"#),
    (r#"{"spec": {"sizeLimit": "1024Mi"}}"#, r#"{"spec": {"sizeLimit": "1Gi"}}"#),
    (r#"{"spec": {"suspend": true}}"#, r#"{"spec": {"suspend": null}}"#),
    (r#"{"spec": {"readOnly": true}}"#, r#"{"spec": {"readOnly": false}}"#),
    (r#"{"spec": {"args": ["x"]}}"#, r#"{"spec": {"args": []}}"#),
    (r#"{"spec": {"ports": [{"targetPort": 90}]}}"#, r#"{"spec": {"ports": [{"targetPort": 0}]}}"#),
];

#[test]
fn a_change_in_git_is_sent_however_alike_the_server_may_store_it_and_only_once() {
    for (kind, (before, after)) in
        ["Service", "StatefulSet", "Widget"].into_iter().flat_map(|kind| ALIKE.map(|one| (kind, one)))
    {
        let group = match kind {
            "StatefulSet" => "apps",
            "Widget" => "example.org",
            _ => "",
        };
        let key = ObjectKey::new(group, kind, Some("team"), "a");
        let git = |text: &str| {
            let value = serde_json::from_str(text).unwrap();
            Desired::of(vec![Object { key: key.clone(), api_version: "v1".into(), value }])
        };
        let hash = |text: &str| object_hash(&serde_json::from_str(text).unwrap());
        // The server stores what was wanted last, as far as any comparison can tell.
        let mut live: Value = serde_json::from_str(after).unwrap();
        live["metadata"] = json!({"uid": "u", "managedFields": [{"manager": x().field_manager(), "operation": "Apply",
            "fieldsV1": {"f:data": {"f:type": {}}, "f:spec": {"f:args": {}, "f:sizeLimit": {}}}}]});
        let actions = |text: &str, sent: Sent| {
            let observation = Observation {
                objects: BTreeMap::from([(key.clone(), Live::new(live.clone()))]),
                inventory: BTreeMap::from([(key.clone(), sent)]),
                ..Observation::default()
            };
            unit(&x(), &git(text), &observation, &Drift::default()).actions
        };
        let sent = actions(after, Sent::Hash(hash(before)));
        let [Action { operation: Operation::Update { object, take_over: false }, .. }] = sent.as_slice() else {
            panic!("{kind} {after}: {sent:?}");
        };
        assert_eq!(object.hash(), hash(after), "{kind} {after}");
        assert_eq!(actions(after, Sent::Hash(hash(after))), Vec::new(), "{kind} {after}: it was sent");
        assert_eq!(actions(after, Sent::Unknown), Vec::new(), "{kind} {after}: a store without a record sends nothing");
        assert_eq!(actions(after, Sent::Unsettled).len(), 1, "{kind} {after}: it may not have been sent");
    }
}

#[test]
fn where_drift_is_left_a_commit_is_sent_without_it_once() {
    let key = stateful_set("a");
    let value = json!({"metadata": {"annotations": {"a": "1"}}, "spec": {"replicas": 1}});
    let live = json!({"metadata": {"uid": "u", "annotations": {"a": "1"}, "managedFields": [
            {"manager": x().field_manager(), "operation": "Apply", "fieldsV1": {"f:metadata": {"f:annotations": {"f:a": {}}}}},
            {"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
        "spec": {"replicas": 3}});
    let (hash, warn) = (object_hash(&value), Drift { mode: DriftMode::Warn, ..Drift::default() });
    let git = Desired::of(vec![Object { key: key.clone(), api_version: "apps/v1".into(), value }]);
    let plan = |sent| {
        let observation = Observation {
            objects: BTreeMap::from([(key.clone(), Live::new(live.clone()))]),
            inventory: BTreeMap::from([(key.clone(), sent)]),
            ..Observation::default()
        };
        unit(&x(), &git, &observation, &warn)
    };
    let changed = plan(Sent::Hash(hash ^ 1));
    let [Action { operation: Operation::Update { object, .. }, .. }] = changed.actions.as_slice() else {
        panic!("{changed:?}");
    };
    assert_eq!((object["spec"].get("replicas"), changed.held.len()), (None, 1));
    let after = plan(Sent::Hash(hash));
    assert_eq!((after.actions.len(), after.held.len()), (0, 1));
}
