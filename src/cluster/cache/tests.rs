use serde_json::{Value, json};

use super::*;
use crate::cluster::kinds::Resource;
use crate::project::{FIELD_MANAGER, PROJECT_LABEL, ProjectName};

fn value(version: u64, replicas: u64, ready: u64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {
            "name": "a-env", "namespace": "n", "resourceVersion": version.to_string(),
            "labels": {PROJECT_LABEL: "a"},
            "managedFields": [{"manager": FIELD_MANAGER}, {"manager": "kube-controller-manager", "subresource": "status"}, {"manager": "kubectl-edit"}],
        },
        "spec": {"replicas": replicas}, "status": {"readyReplicas": ready},
    })
}

thread_local! {
    static KEEPER: Keeper = Keeper::default();
}

fn head(version: u64) -> Head {
    Head::read(&value(version, 1, 0).to_string(), None).unwrap()
}

fn read(value: &Value) -> CacheEntry {
    let text = value.to_string();
    KEEPER.with(|keeper| keeper.read(Head::read(&text, None).unwrap(), &text, None)).unwrap()
}

fn object(version: u64, replicas: u64, ready: u64) -> CacheEntry {
    read(&value(version, replicas, ready))
}

fn unit() -> Unit {
    Unit::Project(ProjectName::parse("a").unwrap())
}

fn only(cache: &Cache) -> Live {
    cache.live(Some(&unit())).into_values().next().unwrap()
}

#[test]
fn an_older_event_never_replaces_the_answer_to_a_newer_write() {
    let mut cache = Cache::default();
    cache.recorded(object(5, 1, 0), 7);
    assert!(cache.seen(object(4, 0, 0)).is_empty());
    assert_eq!(only(&cache).object["spec"]["replicas"], 1);
    assert_eq!(cache.seen(object(6, 0, 0)), BTreeSet::from([unit()]));
    assert_eq!(only(&cache).object["spec"]["replicas"], 0);
}

#[test]
fn a_deleted_object_is_not_brought_back_by_a_late_answer() {
    let mut cache = Cache::default();
    cache.seen(object(5, 1, 0));
    assert_eq!(cache.deleted(&head(6)), BTreeSet::from([unit()]));
    cache.recorded(object(5, 1, 0), 7);
    assert!(cache.live(None).is_empty());
    cache.seen(object(8, 1, 0));
    assert_eq!(cache.live(None).len(), 1);
}

#[test]
fn the_deletion_of_a_predecessor_does_not_take_its_successor_away() {
    let mut cache = Cache::default();
    cache.recorded(object(9, 1, 0), 7);
    assert!(cache.deleted(&head(6)).is_empty());
    assert_eq!(cache.live(None).len(), 1);
}

#[test]
fn a_clean_apply_holds_through_changes_of_status_and_no_longer_than_the_spec() {
    let mut cache = Cache::default();
    cache.recorded(object(5, 1, 0), 7);
    cache.seen(object(6, 1, 1));
    assert_eq!(only(&cache).applied, Some(7));
    cache.seen(object(7, 0, 1));
    assert_eq!(only(&cache).applied, None);
}

#[test]
fn a_clean_apply_counts_even_when_the_watch_was_faster_than_the_answer() {
    let mut cache = Cache::default();
    cache.seen(object(5, 1, 0));
    cache.seen(object(6, 1, 1));
    cache.recorded(object(5, 1, 0), 7);
    assert_eq!(only(&cache).applied, Some(7));
}

#[test]
fn what_a_new_list_does_not_name_is_gone_and_its_lower_versions_are_believed() {
    let kind = Kind::new("apps", "StatefulSet");
    let mut cache = Cache::default();
    cache.seen(object(50, 1, 0));
    let mut listing = cache.begin_list();
    assert_eq!(cache.listed(&mut listing, object(3, 0, 0)), BTreeSet::from([unit()]));
    assert!(cache.end_list(&listing, &kind).is_empty());
    assert_eq!(only(&cache).object["spec"]["replicas"], 0);
    let listing = cache.begin_list();
    assert!(cache.end_list(&listing, &Kind::new("", "Service")).is_empty());
    assert_eq!(cache.end_list(&listing, &kind), BTreeSet::from([unit()]));
    assert!(cache.live(None).is_empty() && cache.units().next().is_none());
}

#[test]
fn a_write_during_a_list_is_newer_than_the_list() {
    let mut cache = Cache::default();
    let mut listing = cache.begin_list();
    cache.recorded(object(9, 1, 0), 7);
    assert!(cache.listed(&mut listing, object(8, 0, 0)).is_empty());
    assert_eq!(only(&cache).object["spec"]["replicas"], 1);
}

#[test]
fn what_controllers_own_of_the_status_is_not_kept() {
    let mut cache = Cache::default();
    cache.seen(object(5, 1, 0));
    let managers = only(&cache).object["metadata"]["managedFields"].clone();
    assert_eq!(managers, json!([{"manager": FIELD_MANAGER}, {"manager": "kubectl-edit"}]));
}

#[test]
fn an_object_that_moves_to_another_project_changes_both() {
    let mut cache = Cache::default();
    cache.seen(object(5, 1, 0));
    let mut moved = value(6, 1, 0);
    moved["metadata"]["labels"][PROJECT_LABEL] = json!("b");
    assert_eq!(cache.seen(read(&moved)).len(), 2);
    assert!(cache.live(Some(&unit())).is_empty());
}

#[test]
fn an_answer_that_the_watch_has_told_already_is_not_read() {
    let mut cache = Cache::default();
    assert!(!cache.confirmed(&head(5), 7), "nothing is known");
    cache.seen(object(5, 1, 0));
    assert!(!cache.confirmed(&head(4), 7), "something else is known");
    assert!(!cache.is_news(&head(5)) && cache.confirmed(&head(5), 7));
    assert_eq!(only(&cache).applied, Some(7));
}

#[test]
fn an_answer_that_was_overtaken_by_a_change_of_what_is_wanted_is_no_clean_apply() {
    let mut cache = Cache::default();
    cache.seen(object(6, 0, 0));
    cache.recorded(object(5, 1, 0), 7);
    assert_eq!(only(&cache).applied, None);
}

#[test]
fn items_of_a_list_are_of_the_kind_of_the_list() {
    let mut item = value(5, 1, 0);
    let whole = read(&item);
    item.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "apiVersion" | "kind"));
    let text = item.to_string();
    assert!(Head::read(&text, None).is_none());
    let resource = Resource {
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        kind: "StatefulSet".to_owned(),
        plural: "statefulsets".to_owned(),
        namespaced: true,
    };
    let head = Head::read(&text, Some(&resource)).unwrap();
    let listed = KEEPER.with(|keeper| keeper.read(head, &text, Some(&resource))).unwrap();
    let mut cache = Cache::default();
    cache.seen(whole);
    let mut listing = cache.begin_list();
    assert!(cache.listed(&mut listing, listed).is_empty(), "it is the same object, which is no change");
    assert_eq!(only(&cache).object["kind"], "StatefulSet");
}

/// The object with this label, as the project a has applied it.
fn labelled(version: u64, label: Option<&str>) -> CacheEntry {
    let mut object = value(version, 1, 0);
    object["metadata"]["labels"] = label.map_or_else(|| json!({}), |label| json!({PROJECT_LABEL: label}));
    object["metadata"]["managedFields"][0] = json!({"manager": "claude-manager/a", "operation": "Apply"});
    read(&object)
}

#[test]
fn an_object_whose_label_is_changed_or_taken_away_is_still_found_by_whoever_applied_it() {
    let other = Unit::Project(ProjectName::parse("b").unwrap());
    let mut cache = Cache::default();
    cache.seen(labelled(5, Some("a")));
    assert_eq!(cache.seen(labelled(6, Some("b"))), BTreeSet::from([unit(), other.clone()]));
    let live = only(&cache);
    assert_eq!((live.label.as_ref(), &*live.appliers), (Some(&other), &[unit()][..]));
    assert!(live.is_of(&unit()) && !live.is_of(&other));
    assert_eq!(cache.seen(labelled(7, None)), BTreeSet::from([unit(), other.clone()]));
    assert!(cache.live(Some(&other)).is_empty());
    assert_eq!(only(&cache).label, None);

    // Once nothing says that it is ours, it is passed over.
    let mut strange = value(8, 1, 0);
    strange["metadata"]["labels"] = json!({});
    assert_eq!(cache.seen(read(&strange)), BTreeSet::from([unit()]));
    assert!(cache.live(None).is_empty() && cache.units().next().is_none());
    assert!(cache.seen(read(&strange)).is_empty());
}

#[test]
fn objects_of_others_cost_a_list_nothing_and_their_deletions_are_not_remembered() {
    let mut strange = value(8, 1, 0);
    strange["metadata"]["labels"] = json!({});
    let mut cache = Cache::default();
    let mut listing = cache.begin_list();
    assert!(cache.listed(&mut listing, read(&strange)).is_empty());
    assert!(listing.keys.is_empty());
    assert!(cache.deleted(&head(9)).is_empty() && cache.gone.is_empty());
}
