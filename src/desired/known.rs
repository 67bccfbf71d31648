//! What is remembered of each unit: what it should be, and what was looked at to find that out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::fleet::{DesiredUnit, WantedUnits};
use super::root::{Members, root_file};
use crate::project::layout::project_of;
use crate::project::{Files, ObjectKey, RepoPath, Unit};
use kustomize::{BuildError, Inputs, Names};

/// The units of the last tree. What one commit costs grows with what it touches, and not with the units.
#[derive(Default)]
pub(super) struct Known {
    units: BTreeMap<Unit, KnownUnit>,
    /// Units that have an error, which may be about the other units that there are.
    failing: BTreeSet<Unit>,
    /// Units that reach over others.
    reaching: BTreeMap<Unit, BuildError>,
    /// Units that may name an object of another one whose name the build changes, or the other way round.
    crossing: BTreeSet<Unit>,
    /// How many units have changed each name, and how many ask for each in vain.
    changed_names: Counts,
    missing_names: Counts,
    /// Paths in the folders of projects, with the other units that looked at them.
    abroad: BTreeMap<RepoPath, BTreeSet<Unit>>,
    claims: Claims,
}

/// A unit that was rendered for itself.
pub(super) struct Rendered {
    pub(super) desired: DesiredUnit,
    pub(super) inputs: Inputs,
    /// Why this is not its share of the whole.
    pub(super) together: Option<BuildError>,
    pub(super) names: Names,
}

struct KnownUnit {
    desired: Arc<DesiredUnit>,
    inputs: Inputs,
    names: Names,
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

    /// The units whose last answer may not hold in `tree`, whose `members` may be others than they were. Nobody knows what
    /// differs when `changed` is not given; then what was looked at is compared.
    pub(super) fn stale(
        &self,
        tree: &dyn Files,
        members: &Members,
        same_members: bool,
        changed: Option<&BTreeSet<RepoPath>>,
    ) -> Vec<Unit> {
        let root = root_file();
        let mut stale = if same_members { BTreeSet::new() } else { self.failing.clone() };
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
        let names = rendered.names;
        for name in &names.changed {
            self.changed_names.add(*name);
        }
        for name in &names.missing {
            self.missing_names.add(*name);
        }
        if self.crosses(&names) {
            self.crossing.insert(unit.clone());
        }
        self.units.insert(unit, KnownUnit { desired: Arc::new(rendered.desired), inputs: rendered.inputs, names });
    }

    fn forget(&mut self, unit: &Unit) {
        let Some(known) = self.units.remove(unit) else { return };
        self.failing.remove(unit);
        self.reaching.remove(unit);
        self.crossing.remove(unit);
        for name in &known.names.changed {
            self.changed_names.take(*name);
        }
        for name in &known.names.missing {
            self.missing_names.take(*name);
        }
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
    pub(super) fn units(&self) -> WantedUnits {
        self.units.iter().map(|(unit, known)| (unit.clone(), Arc::clone(&known.desired))).collect()
    }

    /// Why some unit cannot be rendered for itself.
    pub(super) fn together(&self) -> Option<BuildError> {
        self.reaching.values().next().cloned().or_else(|| {
            let unit = self.crossing.iter().find(|unit| self.reaches_over_others(unit))?;
            Some(BuildError {
                file: root_file(),
                line: None,
                field: None,
                message: format!(
                    "{unit} and the objects of the root name one another, and the build changes the names"
                ),
                hint: None,
            })
        })
    }

    pub(super) fn reaches_over_others(&self, unit: &Unit) -> bool {
        let crosses = || self.units.get(unit).is_some_and(|known| self.crosses(&known.names));
        self.reaching.contains_key(unit) || (self.crossing.contains(unit) && crosses())
    }

    /// Whether any unit may name what another one has renamed, as far as `names` of one of them say.
    fn crosses(&self, names: &Names) -> bool {
        let own = |list: &[u64], name: &u64| u32::from(list.binary_search(name).is_ok());
        names.missing.iter().any(|name| self.changed_names.of(*name) > own(&names.changed, name))
            || names.changed.iter().any(|name| self.missing_names.of(*name) > own(&names.missing, name))
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
    counts: Counts,
    twice: usize,
}

impl Claims {
    fn name(key: &ObjectKey) -> u64 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }

    fn add(&mut self, key: &ObjectKey) {
        self.twice += usize::from(self.counts.add(Self::name(key)) == 2);
    }

    fn take(&mut self, key: &ObjectKey) {
        self.twice -= usize::from(self.counts.take(Self::name(key)) == 1);
    }
}

/// How often each short name is there.
#[derive(Default)]
struct Counts(HashMap<u64, u32>);

impl Counts {
    fn of(&self, name: u64) -> u32 {
        self.0.get(&name).copied().unwrap_or_default()
    }

    /// Gives the new count.
    fn add(&mut self, name: u64) -> u32 {
        let count = self.0.entry(name).or_default();
        *count += 1;
        *count
    }

    fn take(&mut self, name: u64) -> u32 {
        let Some(count) = self.0.get_mut(&name) else { return 0 };
        *count -= 1;
        let left = *count;
        if left == 0 {
            self.0.remove(&name);
        }
        left
    }
}
