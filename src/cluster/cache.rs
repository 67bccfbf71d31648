//! The copy of the live objects: what was seen last of each, by watch or as the answer to a write of ours.
//!
//! No input or output and no clock, so that every order of events can be tested.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::kinds::{Kind, Resource};
use crate::plan::{Live, Packed, Packer};
use crate::project::{ObjectKey, PROJECT_LABEL, ProjectName, SCOPE_LABEL, Unit};

/// How many deletions are remembered, so that a late answer to a write brings no deleted object back.
const REMEMBERED_DELETIONS: usize = 4096;

/// Which objects of a kind one watch is for. The two never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Those of projects.
    Projects,
    /// Those of the tree as a whole.
    Base,
}

impl Scope {
    pub(super) const ALL: [Self; 2] = [Self::Projects, Self::Base];

    /// The label selector.
    pub(super) fn selector(self) -> String {
        match self {
            Self::Projects => PROJECT_LABEL.to_owned(),
            Self::Base => format!("{SCOPE_LABEL}=base,!{PROJECT_LABEL}"),
        }
    }

    fn of(unit: &Unit) -> Self {
        match unit {
            Unit::Base => Self::Base,
            Unit::Project(_) => Self::Projects,
        }
    }
}

#[derive(Debug)]
struct Entry {
    object: Packed,
    /// The resource version; empty where the object has none.
    version: Box<str>,
    applied: Option<(u64, String)>,
    unit: Unit,
    tick: u64,
}

impl Entry {
    fn live(&self) -> Live {
        Live { object: Arc::new(self.object.unpack()), applied: self.applied.clone() }
    }

    /// The resource version as a number, where it is one.
    fn number(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Cache {
    packer: Packer,
    objects: BTreeMap<ObjectKey, Entry>,
    by_unit: BTreeMap<Unit, BTreeSet<ObjectKey>>,
    gone: BTreeMap<ObjectKey, u64>,
    tick: u64,
}

/// A list under way.
#[derive(Debug)]
pub(super) struct Listing {
    began: u64,
    keys: BTreeSet<ObjectKey>,
}

impl Cache {
    /// The objects of one unit, or of all.
    pub(super) fn live(&self, unit: Option<&Unit>) -> BTreeMap<ObjectKey, Live> {
        match unit {
            None => self.objects.iter().map(|(key, entry)| (key.clone(), entry.live())).collect(),
            Some(unit) => self.of_and_at(unit, std::iter::empty()),
        }
    }

    /// The live objects of one unit, and those at `keys`, whosever they are.
    pub(super) fn of_and_at<'a>(
        &self,
        unit: &Unit,
        keys: impl Iterator<Item = &'a ObjectKey>,
    ) -> BTreeMap<ObjectKey, Live> {
        let own = self.by_unit.get(unit).into_iter().flatten();
        let mut found: BTreeMap<ObjectKey, Live> =
            own.filter_map(|key| self.objects.get(key).map(|entry| (key.clone(), entry.live()))).collect();
        for key in keys {
            if let Some(entry) = self.objects.get(key).filter(|entry| entry.unit != *unit) {
                found.insert(key.clone(), entry.live());
            }
        }
        found
    }

    /// Every unit of which an object is there.
    pub(super) fn units(&self) -> BTreeSet<Unit> {
        self.by_unit.keys().cloned().collect()
    }

    /// The units of the objects of this kind and name.
    pub(super) fn units_of(&self, kind: &str, name: &str) -> BTreeSet<Unit> {
        let found = self.objects.iter().filter(|(key, _)| key.kind == kind && key.name == name);
        found.map(|(_, entry)| entry.unit.clone()).collect()
    }

    pub(super) fn begin_list(&mut self) -> Listing {
        self.tick += 1;
        Listing { began: self.tick, keys: BTreeSet::new() }
    }

    /// Takes one object of a list. Gives the units for which something changed.
    pub(super) fn listed(&mut self, listing: &mut Listing, object: Value) -> BTreeSet<Unit> {
        let Some(key) = key_of(&object) else { return BTreeSet::new() };
        listing.keys.insert(key.clone());
        // A list is the truth of its moment, even when its version is lower than ours (a cluster restored from a
        // backup counts anew); only what came after its beginning is newer.
        let newer = self.objects.get(&key).is_some_and(|entry| entry.tick > listing.began);
        if newer && !self.is_progress(&key, &object) {
            return BTreeSet::new();
        }
        self.gone.remove(&key);
        self.put(key, object)
    }

    /// Ends a list: what it did not name is gone.
    pub(super) fn end_list(&mut self, listing: &Listing, kind: &Kind, scope: Scope) -> BTreeSet<Unit> {
        let stale: Vec<ObjectKey> = self
            .objects
            .iter()
            .filter(|(key, entry)| key.group == kind.group && key.kind == kind.kind && Scope::of(&entry.unit) == scope)
            // One that was written after the beginning goes too, though the list may just have missed it: its event
            // brings it back, while nothing would ever take away one that is really gone.
            .filter(|(key, _)| !listing.keys.contains(*key))
            .map(|(key, _)| key.clone())
            .collect();
        stale.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Takes an object from a watch event.
    pub(super) fn seen(&mut self, object: Value) -> BTreeSet<Unit> {
        match key_of(&object) {
            Some(key) if self.is_progress(&key, &object) => self.put(key, object),
            _ => BTreeSet::new(),
        }
    }

    /// Takes a deletion from a watch event.
    pub(super) fn deleted(&mut self, object: &Value) -> BTreeSet<Unit> {
        let Some(key) = key_of(object) else { return BTreeSet::new() };
        if let (Some(version), Some(entry)) = (version_of(object), self.objects.get(&key))
            && entry.number().is_some_and(|known| known > version)
        {
            // Deleted and made again, and the answer to the second write was here first.
            return BTreeSet::new();
        }
        if let Some(version) = version_of(object) {
            if self.gone.len() >= REMEMBERED_DELETIONS {
                let oldest = self.gone.iter().min_by_key(|(_, version)| **version).map(|(key, _)| key.clone());
                oldest.map(|key| self.gone.remove(&key));
            }
            self.gone.insert(key.clone(), version);
        }
        self.remove(&key).into_iter().collect()
    }

    /// Takes the answer to a write of ours: `hash` is of what was sent.
    pub(super) fn recorded(&mut self, mut object: Value, hash: u64) -> BTreeSet<Unit> {
        let Some(key) = key_of(&object) else { return BTreeSet::new() };
        let Some(version) = version_text(&object).map(str::to_owned) else { return BTreeSet::new() };
        let mut changed = BTreeSet::new();
        if self.is_progress(&key, &object) {
            changed = self.put(key.clone(), object);
        } else {
            // The watch was faster, and may be further on: then the fact of the clean apply holds as long as nothing
            // but status came after it.
            let Some(entry) = self.objects.get(&key) else { return changed };
            trim(&mut object);
            if *entry.version != *version && !same_but_status(&entry.object.unpack(), &object) {
                return changed;
            }
        }
        if let Some(entry) = self.objects.get_mut(&key) {
            entry.applied = Some((hash, entry.version.to_string()));
        }
        changed
    }

    /// Whether `object` is newer than all that is known of it.
    fn is_progress(&self, key: &ObjectKey, object: &Value) -> bool {
        // Versions that are no numbers cannot be compared; then the last one to come is believed.
        let Some(version) = version_of(object) else { return true };
        let known = self.objects.get(key).and_then(Entry::number);
        let gone = self.gone.get(key).copied();
        known.max(gone).is_none_or(|known| known < version)
    }

    fn put(&mut self, key: ObjectKey, mut object: Value) -> BTreeSet<Unit> {
        let Some(unit) = unit_of(&object) else {
            // The label is gone, so the object is not ours any more.
            return self.remove(&key).into_iter().collect();
        };
        trim(&mut object);
        self.tick += 1;
        let version: Box<str> = version_text(&object).unwrap_or_default().into();
        let mut applied = None;
        let mut changed = BTreeSet::from([unit.clone()]);
        if let Some(mut before) = self.objects.remove(&key) {
            let known = before.object.unpack();
            if known == object {
                before.tick = self.tick;
                self.objects.insert(key, before);
                return BTreeSet::new();
            }
            // A controller's status must not make us look at every field again.
            applied = (before.applied)
                .filter(|(_, applied)| **applied == *before.version && same_but_status(&known, &object))
                .map(|(hash, _)| (hash, version.to_string()));
            if before.unit != unit {
                self.forget(&before.unit, &key);
                changed.insert(before.unit);
            }
        }
        self.by_unit.entry(unit.clone()).or_default().insert(key.clone());
        let packed = self.packer.pack(&key, &object);
        self.objects.insert(key, Entry { object: packed, version, applied, unit, tick: self.tick });
        changed
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Unit> {
        let entry = self.objects.remove(key)?;
        self.forget(&entry.unit, key);
        Some(entry.unit)
    }

    fn forget(&mut self, unit: &Unit, key: &ObjectKey) {
        if let Some(keys) = self.by_unit.get_mut(unit) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_unit.remove(unit);
            }
        }
    }
}

/// Lists leave `apiVersion` and `kind` of their items out.
pub(super) fn complete(mut item: Value, resource: &Resource) -> Value {
    if let Some(fields) = item.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| resource.api_version().into());
        fields.entry("kind").or_insert_with(|| resource.kind.clone().into());
    }
    item
}

/// The identity of a live object.
pub(super) fn key_of(object: &Value) -> Option<ObjectKey> {
    let api_version = object["apiVersion"].as_str()?;
    let metadata = &object["metadata"];
    Some(ObjectKey {
        group: api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: object["kind"].as_str()?.to_owned(),
        namespace: metadata["namespace"].as_str().map(str::to_owned),
        name: metadata["name"].as_str()?.to_owned(),
    })
}

fn unit_of(object: &Value) -> Option<Unit> {
    let labels = &object["metadata"]["labels"];
    if let Some(project) = labels[PROJECT_LABEL].as_str() {
        return ProjectName::parse(project).ok().map(Unit::Project);
    }
    (labels[SCOPE_LABEL] == "base").then_some(Unit::Base)
}

fn version_text(object: &Value) -> Option<&str> {
    object["metadata"]["resourceVersion"].as_str()
}

fn version_of(object: &Value) -> Option<u64> {
    version_text(object)?.parse().ok()
}

/// Leaves only those of the managed fields that plans look at: everybody's but what controllers say of the status.
fn trim(object: &mut Value) {
    if object["kind"] == "Pod" && object["apiVersion"] == "v1" {
        trim_pod(object);
    }
    if let Some(managers) = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut) {
        managers.retain(|entry| {
            let subresource = entry["subresource"].as_str().unwrap_or_default();
            matches!(subresource, "" | "scale")
        });
    }
}

/// Nobody compares pods with Git: what they are made of is in their template, and what they do is in their status.
fn trim_pod(pod: &mut Value) {
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.retain(|field, _| matches!(field.as_str(), "nodeName" | "volumes"));
    }
}

fn same_but_status(one: &Value, other: &Value) -> bool {
    let same = |one: &Value, other: &Value, but: [&str; 2]| {
        let fields = |value: &Value| {
            value.as_object().map_or(0, |fields| fields.keys().filter(|name| !but.contains(&name.as_str())).count())
        };
        let known = one.as_object().into_iter().flatten().filter(|(name, _)| !but.contains(&name.as_str()));
        fields(one) == fields(other) && known.into_iter().all(|(name, value)| other.get(name) == Some(value))
    };
    same(one, other, ["status", "metadata"])
        && same(&one["metadata"], &other["metadata"], ["resourceVersion", "managedFields"])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project::FIELD_MANAGER;

    fn object(version: u64, replicas: u64, ready: u64) -> Value {
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
        assert_eq!(cache.deleted(&object(6, 1, 0)), BTreeSet::from([unit()]));
        cache.recorded(object(5, 1, 0), 7);
        assert!(cache.live(None).is_empty());
        cache.seen(object(8, 1, 0));
        assert_eq!(cache.live(None).len(), 1);
    }

    #[test]
    fn the_deletion_of_a_predecessor_does_not_take_its_successor_away() {
        let mut cache = Cache::default();
        cache.recorded(object(9, 1, 0), 7);
        assert!(cache.deleted(&object(6, 1, 0)).is_empty());
        assert_eq!(cache.live(None).len(), 1);
    }

    #[test]
    fn a_clean_apply_holds_through_changes_of_status_and_no_longer_than_the_spec() {
        let mut cache = Cache::default();
        cache.recorded(object(5, 1, 0), 7);
        cache.seen(object(6, 1, 1));
        assert_eq!(only(&cache).applied, Some((7, "6".to_owned())));
        cache.seen(object(7, 0, 1));
        assert_eq!(only(&cache).applied, None);
    }

    #[test]
    fn a_clean_apply_counts_even_when_the_watch_was_faster_than_the_answer() {
        let mut cache = Cache::default();
        cache.seen(object(5, 1, 0));
        cache.seen(object(6, 1, 1));
        cache.recorded(object(5, 1, 0), 7);
        assert_eq!(only(&cache).applied, Some((7, "6".to_owned())));
    }

    #[test]
    fn what_a_new_list_does_not_name_is_gone_and_its_lower_versions_are_believed() {
        let kind = Kind::new("apps", "StatefulSet");
        let mut cache = Cache::default();
        cache.seen(object(50, 1, 0));
        let mut listing = cache.begin_list();
        assert_eq!(cache.listed(&mut listing, object(3, 0, 0)), BTreeSet::from([unit()]));
        assert!(cache.end_list(&listing, &kind, Scope::Projects).is_empty());
        assert_eq!(only(&cache).object["spec"]["replicas"], 0);
        let listing = cache.begin_list();
        assert!(cache.end_list(&listing, &kind, Scope::Base).is_empty());
        assert_eq!(cache.end_list(&listing, &kind, Scope::Projects), BTreeSet::from([unit()]));
        assert!(cache.live(None).is_empty() && cache.units().is_empty());
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
        let mut moved = object(6, 1, 0);
        moved["metadata"]["labels"][PROJECT_LABEL] = json!("b");
        assert_eq!(cache.seen(moved).len(), 2);
        assert!(cache.live(Some(&unit())).is_empty());
    }
}
