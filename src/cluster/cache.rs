//! The copy of the live objects: what was seen last of each, by watch or as the answer to a write of ours.
//!
//! No input or output and no clock, so that every order of events can be tested.

mod entry;

use std::collections::{BTreeMap, BTreeSet};

use entry::Prints;
pub(super) use entry::{CacheEntry, Head, Keeper};

use super::kinds::Kind;
use crate::plan::{Content, Live, Packed};
use crate::project::{ObjectKey, PROJECT_LABEL, SCOPE_LABEL, Unit};

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
    applied: Option<u64>,
    prints: Prints,
    is_going: bool,
    unit: Unit,
    tick: u64,
}

impl Entry {
    fn live(&self) -> Live {
        Live {
            object: Content::packed(self.object.clone(), None),
            owner: Some(self.unit.clone()),
            is_going: self.is_going,
            applied: self.applied,
        }
    }

    /// The resource version as a number, where it is one.
    fn number(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

/// See the module's text.
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
    pub(super) fn units(&self) -> impl Iterator<Item = &Unit> {
        self.by_unit.keys()
    }

    /// The unit of an object.
    pub(super) fn unit_of(&self, key: &ObjectKey) -> Option<Unit> {
        self.objects.get(key).map(|entry| entry.unit.clone())
    }

    pub(super) fn begin_list(&mut self) -> Listing {
        self.tick += 1;
        Listing { began: self.tick, keys: BTreeSet::new() }
    }

    /// Takes one object of a list. Gives the units for which something changed.
    pub(super) fn listed(&mut self, listing: &mut Listing, object: CacheEntry) -> BTreeSet<Unit> {
        let key = &object.head.key;
        listing.keys.insert(key.clone());
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
        if let Some(version) = object.number() {
            if self.gone.len() >= REMEMBERED_DELETIONS {
                let oldest = self.gone.iter().min_by_key(|(_, version)| **version).map(|(key, _)| key.clone());
                oldest.map(|key| self.gone.remove(&key));
            }
            self.gone.insert(key.clone(), version);
        }
        self.remove(key).into_iter().collect()
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
        let (key, prints) = (object.head.key.clone(), object.prints);
        if object.head.version.is_empty() {
            return BTreeSet::new();
        }
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
        let CacheEntry { head: Head { key, version }, unit, is_going, prints, object } = object;
        let Some(unit) = unit else {
            // The label is gone, so the object is not ours any more.
            return self.remove(&key).into_iter().collect();
        };
        self.tick += 1;
        let mut applied = None;
        let mut changed = BTreeSet::from([unit.clone()]);
        if let Some(before) = self.objects.get_mut(&key) {
            if before.prints == prints {
                before.tick = self.tick;
                return BTreeSet::new();
            }
            // A controller's status must not make us look at every field again.
            applied = before.applied.filter(|_| before.prints.wanted == prints.wanted);
            if before.unit != unit {
                let former = before.unit.clone();
                self.forget(&former, &key);
                changed.insert(former);
            }
        }
        self.by_unit.entry(unit.clone()).or_default().insert(key.clone());
        self.objects.insert(key, Entry { object, version, applied, prints, is_going, unit, tick: self.tick });
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

#[cfg(test)]
mod tests;
