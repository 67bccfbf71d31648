//! What is remembered of each unit: what it should be, and what was looked at to find that out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::DesiredUnit;
use super::render::Rendered;
use super::root::{Members, project_of, root_file};
use crate::kustomize::{BuildError, Inputs};
use crate::project::{Files, ObjectKey, RepoPath, Unit};

/// The units of the last tree. What one commit costs grows with what it touches, and not with the units.
#[derive(Default)]
pub(super) struct Known {
    units: BTreeMap<Unit, KnownUnit>,
    /// Units that have an error, which may be about more than their own files.
    failing: BTreeSet<Unit>,
    /// Units that reach over others.
    reaching: BTreeMap<Unit, BuildError>,
    /// Paths in the folders of projects, with the other units that looked at them.
    abroad: BTreeMap<RepoPath, BTreeSet<Unit>>,
    claims: Claims,
}

struct KnownUnit {
    desired: Arc<DesiredUnit>,
    inputs: Inputs,
}

impl Known {
    /// Forgets the units that are none any more.
    pub(super) fn keep_only(&mut self, members: &Members) {
        if self.units.len() == members.len() && self.units.keys().eq(members.keys()) {
            return;
        }
        let gone: Vec<Unit> = self.units.keys().filter(|unit| !members.contains_key(*unit)).cloned().collect();
        gone.iter().for_each(|unit| self.forget(unit));
    }

    /// The units whose last answer may not hold in `tree`. Nobody knows what differs when `changed` is not given; then
    /// what was looked at is compared.
    pub(super) fn stale(&self, tree: &dyn Files, members: &Members, changed: Option<&BTreeSet<RepoPath>>) -> Vec<Unit> {
        let root = root_file();
        let mut stale = self.failing.clone();
        if self.units.len() < members.len() {
            stale.extend(members.keys().filter(|unit| !self.units.contains_key(*unit)).cloned());
        }
        // The base's own members may be others.
        if let (Some(base), Some(own)) = (self.units.get(&Unit::Base), members.get(&Unit::Base))
            && own.iter().any(|path| !base.inputs.contains(path))
        {
            stale.insert(Unit::Base);
        }
        let Some(changed) = changed else {
            let holds = |known: &KnownUnit| known.inputs.hold_but_for(tree, Some(&root));
            stale.extend(self.units.iter().filter(|(_, known)| !holds(known)).map(|(unit, _)| unit.clone()));
            return stale.into_iter().collect();
        };
        let mut shared = Vec::new();
        for path in changed.iter().filter(|path| **path != root) {
            match project_of(path).map(Unit::Project) {
                Some(unit) => {
                    stale.extend(self.abroad.get(path).into_iter().flatten().cloned());
                    if members.contains_key(&unit) {
                        stale.insert(unit);
                    }
                }
                None => shared.push(path),
            }
        }
        if !shared.is_empty() {
            let touched = |known: &KnownUnit| shared.iter().any(|path| known.inputs.contains(path));
            stale.extend(self.units.iter().filter(|(_, known)| touched(known)).map(|(unit, _)| unit.clone()));
        }
        stale.into_iter().collect()
    }

    /// Remembers a unit.
    pub(super) fn put(&mut self, unit: Unit, rendered: Rendered) {
        self.forget(&unit);
        if rendered.desired.objects.is_err() {
            self.failing.insert(unit.clone());
        }
        if let Some(reason) = rendered.together {
            self.reaching.insert(unit.clone(), reason);
        }
        for path in abroad(&unit, &rendered.inputs) {
            self.abroad.entry(path.clone()).or_default().insert(unit.clone());
        }
        for object in rendered.desired.objects.iter().flat_map(|objects| objects.iter()) {
            self.claims.add(&object.key);
        }
        self.units.insert(unit, KnownUnit { desired: Arc::new(rendered.desired), inputs: rendered.inputs });
    }

    fn forget(&mut self, unit: &Unit) {
        let Some(known) = self.units.remove(unit) else { return };
        self.failing.remove(unit);
        self.reaching.remove(unit);
        for path in abroad(unit, &known.inputs) {
            if let Some(units) = self.abroad.get_mut(path) {
                units.remove(unit);
                if units.is_empty() {
                    self.abroad.remove(path);
                }
            }
        }
        for object in known.desired.objects.iter().flat_map(|objects| objects.iter()) {
            self.claims.take(&object.key);
        }
    }

    /// All units as each is for itself.
    pub(super) fn units(&self) -> BTreeMap<Unit, Arc<DesiredUnit>> {
        self.units.iter().map(|(unit, known)| (unit.clone(), Arc::clone(&known.desired))).collect()
    }

    /// Why some unit cannot be rendered for itself.
    pub(super) fn together(&self) -> Option<BuildError> {
        self.reaching.values().next().cloned()
    }

    pub(super) fn reaches_over_others(&self, unit: &Unit) -> bool {
        self.reaching.contains_key(unit)
    }

    /// Whether two units may want one object.
    pub(super) fn may_claim_twice(&self) -> bool {
        self.claims.twice > 0
    }
}

/// What a unit looked at in the folders of projects other than its own.
fn abroad<'a>(unit: &'a Unit, inputs: &'a Inputs) -> impl Iterator<Item = &'a RepoPath> {
    inputs.iter().filter(move |path| project_of(path).map(Unit::Project).is_some_and(|of| of != *unit))
}

/// How many units want each object, by short names of the objects: a name that two share is looked into.
#[derive(Default)]
struct Claims {
    counts: HashMap<u64, u32>,
    twice: usize,
}

impl Claims {
    fn name(key: &ObjectKey) -> u64 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }

    fn add(&mut self, key: &ObjectKey) {
        let count = self.counts.entry(Self::name(key)).or_default();
        *count += 1;
        self.twice += usize::from(*count == 2);
    }

    fn take(&mut self, key: &ObjectKey) {
        let name = Self::name(key);
        let Some(count) = self.counts.get_mut(&name) else { return };
        self.twice -= usize::from(*count == 2);
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&name);
        }
    }
}
