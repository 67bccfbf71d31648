//! Verdicts on single units, for writes: what an edit costs grows with what it touches, and not with the fleet.
//!
//! The verdict on a unit is the reconciler's. Two things that [`Renderer`](super::Renderer) knows from having rendered all
//! units are found out otherwise. Who else claims an object: names begin with their project's, so that few projects can
//! ([`claims::named_by`]). Whether another unit's objects change what this one refers to: the base is asked for that;
//! variables and names of other projects are not.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::claims;
use super::parallel::in_parallel;
use super::secret::ReadSecret;
use super::unit::{Accepted, Judge, Part};
use super::volumes;
use super::{Root, RootError, UnitError};
use crate::plan::Policy;
use crate::project::layout::name_prefix;
use crate::project::{Entry, Files, ObjectKey, ProjectName, RepoPath, Unit};
use kustomize::{BuildError, Inputs, Memo, Object, Together};

/// Reads trees one after another, and remembers the last root and base: nearly all edits leave them as they are.
pub struct Reader {
    memo: Arc<Memo>,
    root: Mutex<Option<(RootIds, Arc<Root>)>>,
    base: Mutex<Option<Base>>,
}

/// By what the kustomization of a root is known: what stands at each name that it may have.
type RootIds = [Option<[u8; 20]>; kustomize::FILE_NAMES.len()];

/// The base's verdict, and what it was made from.
struct Base {
    frame: [u8; 32],
    members: BTreeSet<RepoPath>,
    policy: Policy,
    inputs: Inputs,
    judged: Arc<Judged>,
}

/// A unit for itself: without regard to what others claim.
struct Judged {
    verdict: Result<Accepted, UnitError>,
    keys: BTreeSet<ObjectKey>,
    names: kustomize::Names,
}

impl Reader {
    /// Makes a reader that shares `memo` with others.
    #[must_use]
    pub const fn new(memo: Arc<Memo>) -> Self {
        Self { memo, root: Mutex::new(None), base: Mutex::new(None) }
    }

    /// Returns what builds remember.
    #[must_use]
    pub fn memo(&self) -> &Memo {
        &self.memo
    }

    /// Reads the root of a tree.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn root(&self, files: &dyn Files) -> Result<Arc<Root>, RootError> {
        let ids = root_ids(files);
        let mut last = lock(&self.root);
        if let (Some(ids), Some((known, root))) = (&ids, &*last)
            && known == ids
        {
            return Ok(Arc::clone(root));
        }
        let root = Arc::new(Root::read(files, &self.memo)?);
        if let Some(ids) = ids {
            *last = Some((ids, Arc::clone(&root)));
        }
        Ok(root)
    }
}

/// `None` when it is not stored yet.
fn root_ids(files: &dyn Files) -> Option<RootIds> {
    let mut ids = RootIds::default();
    for (id, name) in ids.iter_mut().zip(kustomize::FILE_NAMES) {
        let path = RepoPath::parse(name).ok()?;
        if !matches!(files.entry(&path), Ok(Entry::Missing)) {
            *id = Some(files.content_id(&path)?);
        }
    }
    Some(ids)
}

/// The verdicts on the units of one tree. Each is found once, when it is asked for.
pub struct Verdicts<'a> {
    reader: &'a Reader,
    judge: Judge<'a>,
    judged: Mutex<BTreeMap<Unit, Arc<Judged>>>,
    whole: Mutex<Option<Result<Together, BuildError>>>,
}

impl<'a> Verdicts<'a> {
    /// Judges the units of `tree`, which `root` is of, by `policy`.
    #[must_use]
    pub fn new(
        reader: &'a Reader,
        tree: &'a dyn Files,
        root: &'a Root,
        policy: &'a Policy,
        read: ReadSecret<'a>,
    ) -> Self {
        let judge = Judge { tree, root, policy, read, memo: &reader.memo };
        Self { reader, judge, judged: Mutex::default(), whole: Mutex::default() }
    }

    /// Returns what may be applied of a unit.
    ///
    /// # Errors
    /// [`UnitError`], which the reconciler would give, too.
    pub fn of(&self, unit: &Unit) -> Result<Accepted, UnitError> {
        let judged = self.judged(unit);
        if let Some((key, owner)) = self.rivals(unit, &judged).find_map(|(key, rival)| {
            let owner = claims::owner(key, &[unit.min(&rival), unit.max(&rival)])?;
            (owner != unit).then(|| (key.clone(), owner.clone()))
        }) {
            return Err(claims::refusal(&key, &owner));
        }
        judged.verdict.clone()
    }

    /// Whether the root lists a unit.
    pub(super) fn lists(&self, unit: &Unit) -> bool {
        self.judge.root.members.contains_key(unit)
    }

    /// The claims that a unit's build makes; none when it does not build.
    pub(super) fn claims(&self, unit: &Unit) -> BTreeSet<String> {
        self.judged(unit).verdict.as_ref().map(|accepted| accepted.claims.clone()).unwrap_or_default()
    }

    /// The units, beside `unit`, on whose verdicts it has a say: projects whose name its own begins with, and those that
    /// want an object that it wants.
    fn neighbours(&self, unit: &Unit) -> BTreeSet<Unit> {
        let judged = self.judged(unit);
        let mut units: BTreeSet<Unit> = self.rivals(unit, &judged).map(|(_, rival)| rival).collect();
        if let Unit::Project(name) = unit {
            units.extend(claims::named_by(&name_prefix(name), unit, self.judge.root.projects()));
        }
        units
    }

    /// The units that want objects of `unit`, with the objects.
    fn rivals<'s>(&'s self, unit: &'s Unit, judged: &'s Judged) -> impl Iterator<Item = (&'s ObjectKey, Unit)> {
        judged.keys.iter().flat_map(move |key| {
            let base = (*unit != Unit::Base).then_some(Unit::Base);
            let named = claims::named_by(&key.name, unit, self.judge.root.projects());
            let wants = |other: &Unit| self.judged(other).keys.contains(key);
            base.into_iter().chain(named).filter(wants).map(move |other| (key, other)).collect::<Vec<_>>()
        })
    }

    fn judged(&self, unit: &Unit) -> Arc<Judged> {
        if let Some(known) = lock(&self.judged).get(unit) {
            return Arc::clone(known);
        }
        let judged = if *unit == Unit::Base { self.base() } else { self.project(unit) };
        lock(&self.judged).insert(unit.clone(), Arc::clone(&judged));
        judged
    }

    fn project(&self, unit: &Unit) -> Arc<Judged> {
        let part = self.judge.build(unit);
        let reaches = part.together.is_some() || part.names.meet(&self.judged(&Unit::Base).names);
        Arc::new(self.judged_part(unit, part, reaches).0)
    }

    /// The base as the reader remembers it, when that is still so.
    fn base(&self) -> Arc<Judged> {
        let (tree, root, frame) = (self.judge.tree, super::root::root_file(), self.judge.root.frame);
        let members = self.judge.root.members.get(&Unit::Base).cloned().unwrap_or_default();
        if let Some(last) = &*lock(&self.reader.base)
            && last.frame == frame
            && last.members == members
            && last.policy == *self.judge.policy
            && last.inputs.hold_but_for(tree, Some(&root))
        {
            return Arc::clone(&last.judged);
        }
        let part = self.judge.build(&Unit::Base);
        let reaches = part.together.is_some();
        let (judged, inputs) = self.judged_part(&Unit::Base, part, reaches);
        let judged = Arc::new(judged);
        if !reaches {
            let policy = self.judge.policy.clone();
            let base = Base { frame, members, policy, inputs, judged: Arc::clone(&judged) };
            *lock(&self.reader.base) = Some(base);
        }
        judged
    }

    fn judged_part(&self, unit: &Unit, part: Part, reaches: bool) -> (Judged, Inputs) {
        let mut inputs = part.inputs;
        let built = if reaches { self.share(unit) } else { part.built };
        let (objects, spec) = self.judge.verdict(unit, built, &mut inputs);
        let keys = objects.iter().flatten().map(|object| object.key.clone()).collect();
        // The objects themselves are not kept: a push may alter a whole fleet.
        let claims = |objects: Vec<Object>| volumes::claims(objects.iter().map(|object| (&object.key, &object.value)));
        let verdict = objects.map(|objects| Accepted { spec, claims: claims(objects) });
        (Judged { verdict, keys, names: part.names }, inputs)
    }

    /// The unit's share of a build of all of them.
    fn share(&self, unit: &Unit) -> Result<Vec<Object>, BuildError> {
        let mut whole = lock(&self.whole);
        let whole = whole.get_or_insert_with(|| {
            let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
            kustomize::build_together(self.judge.tree, &RepoPath::root(), threads, Some(self.judge.memo))
        });
        let whole = whole.as_ref().map_err(Clone::clone)?;
        share_of(whole, unit, self.judge.root)
    }
}

/// The objects of a unit in a build of all of them.
pub(super) fn share_of(whole: &Together, unit: &Unit, root: &Root) -> Result<Vec<Object>, BuildError> {
    let members = || root.members.get(unit).into_iter().flatten();
    if let Some(error) = members().find_map(|member| whole.broken.get(member)) {
        return Err(error.clone());
    }
    let own = whole.own.iter().filter(|_| *unit == Unit::Base);
    let entries = members().filter_map(|member| whole.entries.get(member)).flatten();
    Ok(own.chain(entries).cloned().collect())
}

/// Returns what refuses a change from the tree of `before` to that of `after`, unit by unit.
///
/// `units` are those that the change may alter, each with whether it touches the unit's own directory: one that was broken
/// before and is not touched is no reason to refuse a change.
#[must_use]
pub fn judge_change(
    before: Option<&Verdicts<'_>>,
    after: &Verdicts<'_>,
    units: &BTreeMap<Unit, bool>,
) -> Vec<(Unit, UnitError)> {
    let was_broken = |unit: &Unit| before.is_some_and(|before| before.lists(unit) && before.of(unit).is_err());
    // Each unit's own build, on all cores; what they claim is compared in order.
    let all: Vec<&Unit> = units.keys().collect();
    after.judged(&Unit::Base);
    in_parallel(&all, |unit| {
        after.judged(unit);
        if let Some(before) = before.filter(|before| before.lists(unit)) {
            before.judged(unit);
        }
    });
    let mut refused = Vec::new();
    let mut neighbours = BTreeSet::new();
    for (unit, touched) in units {
        match after.of(unit) {
            Err(error) if *touched || !was_broken(unit) => refused.push((unit.clone(), error)),
            Err(_) => {}
            Ok(accepted) => {
                if let (Unit::Project(name), Some(before)) = (unit, before.filter(|before| before.lists(unit)))
                    && let Some(message) = renamed_volumes(name, before, &accepted)
                {
                    refused.push((unit.clone(), UnitError::policy(message)));
                }
            }
        }
        neighbours.extend(after.neighbours(unit));
    }
    for unit in neighbours.into_iter().filter(|unit| !units.contains_key(unit)) {
        if let Err(error) = after.of(&unit)
            && !was_broken(&unit)
        {
            refused.push((unit, error));
        }
    }
    refused
}

fn renamed_volumes(name: &ProjectName, before: &Verdicts<'_>, after: &Accepted) -> Option<String> {
    volumes::renamed(name, &before.claims(&Unit::Project(name.clone())), &after.claims)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
