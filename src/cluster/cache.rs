//! The copy of the live objects: what was seen last of each, by watch or as the answer to a write of ours.
//!
//! No input or output and no clock, so that every order of events can be tested.

mod entry;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use entry::{CacheEntry, Head, Keeper};
use entry::{Kept, Owners, Prints};

use super::kinds::Kind;
use crate::plan::{Content, Live, Packed};
use crate::project::{ObjectKey, Unit};

/// How many deletions are remembered, so that a late answer to a write brings no deleted object back.
const REMEMBERED_DELETIONS: usize = 4096;

#[derive(Debug)]
struct Entry {
    object: Packed,
    /// The resource version; empty where the object has none.
    version: Box<str>,
    applied: Option<u64>,
    prints: Prints,
    is_going: bool,
    owners: Owners,
    tick: u64,
}

impl Entry {
    fn live(&self) -> Live {
        Live {
            object: Content::packed(self.object.clone(), None),
            label: self.owners.label.clone(),
            appliers: self.owners.appliers.clone(),
            is_going: self.is_going,
            applied: self.applied,
        }
    }

    /// The resource version as a number, where it is one.
    fn number(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

/// The objects that the label or the field manager of a unit is on. An object is found by both: a label that somebody
/// changes or takes away hides it from nobody. Every other object is passed over.
#[derive(Debug, Default)]
pub(super) struct Cache {
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
    /// The objects that the label or the field manager of one unit is on, or of all units.
    pub(super) fn live(&self, unit: Option<&Unit>) -> BTreeMap<ObjectKey, Live> {
        match unit {
            None => self.objects.iter().map(|(key, entry)| (key.clone(), entry.live())).collect(),
            Some(unit) => self.of_and_at(unit, std::iter::empty()),
        }
    }

    /// The same of one unit, and the objects at `keys`, whosever they are.
    pub(super) fn of_and_at<'a>(
        &self,
        unit: &Unit,
        keys: impl Iterator<Item = &'a ObjectKey>,
    ) -> BTreeMap<ObjectKey, Live> {
        let own = self.by_unit.get(unit).into_iter().flatten();
        let mut found: BTreeMap<ObjectKey, Live> =
            own.filter_map(|key| self.objects.get(key).map(|entry| (key.clone(), entry.live()))).collect();
        for key in keys {
            if let Some(entry) = self.objects.get(key).filter(|entry| !entry.owners.units().any(|own| own == unit)) {
                found.insert(key.clone(), entry.live());
            }
        }
        found
    }

    /// Every unit of which an object is there.
    pub(super) fn units(&self) -> impl Iterator<Item = &Unit> {
        self.by_unit.keys()
    }

    /// The units of an object.
    pub(super) fn units_of(&self, key: &ObjectKey) -> BTreeSet<Unit> {
        self.objects.get(key).map(|entry| entry.owners.units().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn begin_list(&mut self) -> Listing {
        self.tick += 1;
        Listing { began: self.tick, keys: BTreeSet::new() }
    }

    /// Takes one object of a list. Gives the units for which something changed.
    pub(super) fn listed(&mut self, listing: &mut Listing, object: CacheEntry) -> BTreeSet<Unit> {
        let key = &object.head.key;
        if object.kept.is_some() {
            listing.keys.insert(key.clone());
        }
        // A list is the truth of its moment, even when its version is lower than ours (a cluster restored from a
        // backup counts anew); only what came after its beginning is newer.
        let newer = self.objects.get(key).is_some_and(|entry| entry.tick > listing.began);
        if newer && !self.is_news(&object.head) {
            return BTreeSet::new();
        }
        self.gone.remove(key);
        self.put(object)
    }

    /// Ends a list: what it did not name is gone.
    pub(super) fn end_list(&mut self, listing: &Listing, kind: &Kind) -> BTreeSet<Unit> {
        let stale: Vec<ObjectKey> = self
            .objects
            .keys()
            .filter(|key| key.group == kind.group && key.kind == kind.kind)
            // One that was written after the beginning goes too, though the list may just have missed it: its event
            // brings it back, while nothing would ever take away one that is really gone.
            .filter(|key| !listing.keys.contains(*key))
            .cloned()
            .collect();
        stale.iter().flat_map(|key| self.remove(key)).collect()
    }

    /// Takes an object from a watch event.
    pub(super) fn seen(&mut self, object: CacheEntry) -> BTreeSet<Unit> {
        if self.is_news(&object.head) { self.put(object) } else { BTreeSet::new() }
    }

    /// Takes a deletion from a watch event.
    pub(super) fn deleted(&mut self, object: &Head) -> BTreeSet<Unit> {
        let key = &object.key;
        if let (Some(version), Some(entry)) = (object.number(), self.objects.get(key))
            && entry.number().is_some_and(|known| known > version)
        {
            // Deleted and made again, and the answer to the second write was here first.
            return BTreeSet::new();
        }
        if let Some(version) = object.number().filter(|_| self.objects.contains_key(key)) {
            if self.gone.len() >= REMEMBERED_DELETIONS {
                let oldest = self.gone.iter().min_by_key(|(_, version)| **version).map(|(key, _)| key.clone());
                oldest.map(|key| self.gone.remove(&key));
            }
            self.gone.insert(key.clone(), version);
        }
        self.remove(key)
    }

    /// Takes that this version of an object is the answer to a write of ours, when that is what is known of it: `hash` is of
    /// what was sent. Otherwise the answer has to be read, for [`Cache::recorded`].
    pub(super) fn confirmed(&mut self, head: &Head, hash: u64) -> bool {
        let known =
            self.objects.get_mut(&head.key).filter(|entry| !head.version.is_empty() && entry.version == head.version);
        known.map(|entry| entry.applied = Some(hash)).is_some()
    }

    /// Takes the answer to a write of ours: `hash` is of what was sent.
    pub(super) fn recorded(&mut self, object: CacheEntry, hash: u64) -> BTreeSet<Unit> {
        let key = object.head.key.clone();
        let Some(prints) = object.kept.as_ref().map(|kept| kept.prints).filter(|_| !object.head.version.is_empty())
        else {
            return BTreeSet::new();
        };
        let changed = self.seen(object);
        // The watch may have been faster, and be further on: then the fact of the clean apply holds as long as nothing but
        // status came after it.
        if let Some(entry) = self.objects.get_mut(&key).filter(|entry| entry.prints.wanted == prints.wanted) {
            entry.applied = Some(hash);
        }
        changed
    }

    /// Whether an object is newer than all that is known of it.
    pub(super) fn is_news(&self, head: &Head) -> bool {
        // Versions that are no numbers cannot be compared; then the last one to come is believed.
        let Some(version) = head.number() else { return true };
        let known = self.objects.get(&head.key).and_then(Entry::number);
        let gone = self.gone.get(&head.key).copied();
        known.max(gone).is_none_or(|known| known < version)
    }

    fn put(&mut self, object: CacheEntry) -> BTreeSet<Unit> {
        let CacheEntry { head: Head { key, version }, kept } = object;
        let Some(Kept { owners, is_going, prints, object }) = kept else {
            // Neither label nor field manager is left, so the object is not ours any more.
            return self.remove(&key);
        };
        self.tick += 1;
        let mut applied = None;
        let mut changed: BTreeSet<Unit> = owners.units().cloned().collect();
        if let Some(before) = self.objects.get_mut(&key) {
            if before.prints == prints {
                before.tick = self.tick;
                return BTreeSet::new();
            }
            // A controller's status must not make us look at every field again.
            applied = before.applied.filter(|_| before.prints.wanted == prints.wanted);
            if before.owners != owners {
                let former: Vec<Unit> = before.owners.units().cloned().collect();
                former.iter().for_each(|unit| self.forget(unit, &key));
                changed.extend(former);
            }
        }
        for unit in owners.units() {
            self.by_unit.entry(unit.clone()).or_default().insert(key.clone());
        }
        self.objects.insert(key, Entry { object, version, applied, prints, is_going, owners, tick: self.tick });
        changed
    }

    /// Removes an object. Gives the units for which that is a change.
    fn remove(&mut self, key: &ObjectKey) -> BTreeSet<Unit> {
        let entry = self.objects.remove(key);
        let units: BTreeSet<Unit> = entry.iter().flat_map(|entry| entry.owners.units()).cloned().collect();
        units.iter().for_each(|unit| self.forget(unit, key));
        units
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

#[cfg(test)]
mod tests;
