//! What a revision wants, unit by unit, remembering what an earlier revision already rendered.
//!
//! Takes a tree and the paths that changed since the last one; gives each unit's objects or the reason why it has none.
//! A unit is rendered again only when something that its last build looked at has changed. Reads no cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;

use super::packed::Packed;
use crate::plan::{self, Packer, Policy};
use crate::project::{Files, ObjectKey, ProjectName, ProjectSpec, Reason, RepoPath, Revision, Unit};
use crate::sops;
use kustomize::{self, BuildError, Inputs, Memo};

mod known;
mod render;
mod root;

use known::Known;
use render::Common;
pub(super) use render::render_failed;
use root::{Layout, Root, own_folder};

/// What each unit should be.
pub(super) type WantedUnits = BTreeMap<Unit, Arc<DesiredUnit>>;

/// Everything that one revision wants.
#[derive(Clone, Debug, Default)]
pub(super) struct DesiredTree {
    /// Every unit that the root lists; one that was not rendered for this revision is the same thing as before.
    pub(super) units: Arc<WantedUnits>,
    /// The units that were rendered for this revision; the others are as they were.
    pub(super) rendered: BTreeSet<Unit>,
    /// Projects whose tombstone gives their volumes up.
    pub(super) volumes_given_up: BTreeSet<ProjectName>,
    /// Folders that are not applied, and why.
    pub(super) warnings: Vec<String>,
    /// The policy in force.
    pub(super) policy: Arc<Policy>,
}

/// What one unit should be.
#[derive(Clone, Debug)]
pub(super) struct DesiredUnit {
    /// The revision that this was rendered from.
    pub(super) revision: Revision,
    /// The objects with the decrypted secrets, or why there are none.
    pub(super) objects: Result<Arc<Packed>, UnitError>,
    /// A project as its overlay reads.
    pub(super) spec: Option<ProjectSpec>,
    /// The blob id of a project's overlay.
    pub(super) overlay_id: Option<String>,
    /// Why the overlay wants nothing to be applied; `None` when it does not say so.
    pub(super) suspended: Option<String>,
}

/// Why a unit cannot be applied. Nothing of it is touched then: neither changed nor pruned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct UnitError {
    /// The stable word.
    pub(super) reason: Reason,
    /// What is wrong, where, and what to do.
    pub(super) message: String,
}

/// Renders revisions, and remembers what each unit's build looked at.
pub(super) struct Renderer {
    identities: Arc<Vec<sops::Identity>>,
    /// What builds remember: parsed files, and the bases that units share.
    memo: Arc<Memo>,
    /// The root of the last tree.
    layout: Option<Layout>,
    /// The last policy that could be read.
    policy: Option<Policy>,
    packer: Packer,
    known: Known,
    last: DesiredTree,
}

impl Renderer {
    /// A renderer that decrypts with `identities`, and knows no revision yet.
    pub(super) fn new(identities: Arc<Vec<sops::Identity>>, memo: Arc<Memo>) -> Self {
        let (known, last) = (Known::default(), DesiredTree::default());
        Self { identities, memo, layout: None, policy: None, packer: Packer::default(), known, last }
    }

    /// Takes the policy that is in force while the tree's own does not read.
    pub(super) fn fall_back_on(&mut self, policy: Policy) {
        self.policy.get_or_insert(policy);
    }

    /// Renders `tree`, the files of `revision`. `changed` names every path that differs from the tree of the last
    /// call; when that is not known, what each unit looked at is compared by its ids.
    ///
    /// # Errors
    /// [`BuildError`] when the root itself does not build; the last answer stays what it was.
    pub(super) fn render(
        &mut self,
        tree: &dyn Files,
        revision: Revision,
        changed: Option<&BTreeSet<RepoPath>>,
    ) -> Result<DesiredTree, BuildError> {
        let (layout, same_members) = match (&self.layout, changed) {
            (Some(layout), Some(changed)) if layout.stays(tree, changed) => (layout.clone(), true),
            _ => (Layout::read(tree, &self.memo)?, false),
        };
        let together = kustomize::reaches_over_parts(tree, &RepoPath::root(), Some(&self.memo))?;
        let mut warnings = layout.warnings.clone();
        // What a broken file last said stays in force.
        let mut same_policy = true;
        match Policy::read(tree) {
            Ok(policy) if self.policy.as_ref() == Some(&policy) => {}
            Ok(policy) => {
                self.policy = Some(policy);
                same_policy = false;
            }
            Err(error) => warnings.push(format!("{error}; the last valid policy stays in force")),
        }
        let policy = self.policy.clone().unwrap_or_default();
        let namespace = layout.root.namespace.clone().unwrap_or_default();
        let common = Common {
            tree,
            revision,
            root: &layout.root,
            context: plan::Context { namespace: &namespace, policy: &policy, projects: &layout.projects },
            identities: &self.identities,
            memo: &self.memo,
            packer: &self.packer,
        };

        let same_root = self.layout.as_ref().is_some_and(|last| last.root == layout.root);
        if !(same_root && same_policy) {
            self.known = Known::default();
        }
        if !same_members {
            self.known.keep_only(&layout.members);
        }
        // Where the root itself reaches over its parts, none of them is worth to be built.
        let mut rendered = BTreeSet::new();
        if together.is_none() {
            let stale = self.known.stale(tree, &layout.members, same_members, changed);
            let fresh = in_parallel(&stale, |unit| common.render(unit, &layout.members[unit]));
            for (unit, fresh) in stale.into_iter().zip(fresh) {
                self.known.put(unit.clone(), fresh);
                rendered.insert(unit);
            }
        }
        let mut next = DesiredTree {
            rendered,
            warnings,
            volumes_given_up: layout.volumes_given_up.clone(),
            policy: Arc::new(policy.clone()),
            ..DesiredTree::default()
        };
        match together.map(|reason| (reason, true)).or_else(|| self.known.together().map(|reason| (reason, false))) {
            None => {
                next.units = Arc::new(self.known.units());
                if self.known.may_claim_twice() {
                    refuse_double_claims(&mut next);
                }
            }
            Some((reason, all)) => {
                self.render_together(&common, &layout, &reason, all, &mut next);
                refuse_double_claims(&mut next);
            }
        }
        self.layout = Some(layout);
        self.last = next.clone();
        Ok(next)
    }

    /// Renders all units from one build, because of `reason`. When that fails, those of `all` fail that reach over others:
    /// each one, or only those that say so.
    fn render_together(
        &self,
        common: &Common<'_>,
        layout: &Layout,
        reason: &BuildError,
        all: bool,
        next: &mut DesiredTree,
    ) {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let mut built = kustomize::build_together(common.tree, &RepoPath::root(), threads, Some(common.memo));
        if let Err(error) = &built {
            next.warnings.push(format!("{reason}, but a build of all of them fails: {error}"));
        }
        next.rendered.clear();
        next.units = Arc::new(self.known.units());
        for (unit, members) in layout.members.iter() {
            let share = match &mut built {
                Err(_) if !all && !self.known.reaches_over_others(unit) => continue,
                Err(error) => Err(error.clone()),
                Ok(whole) => match members.iter().find_map(|member| whole.broken.get(member)) {
                    Some(error) => Err(error.clone()),
                    None => {
                        let mut objects = if *unit == Unit::Base { std::mem::take(&mut whole.own) } else { Vec::new() };
                        objects.extend(members.iter().filter_map(|member| whole.entries.remove(member)).flatten());
                        Ok(objects)
                    }
                },
            };
            let mut desired = common.desired(unit, share, &mut Inputs::default());
            // Units that came out as they were are as they were.
            match self.last.units.get(unit) {
                Some(last) if last.is_as(&desired) => desired.revision = last.revision,
                Some(_) | None => drop(next.rendered.insert(unit.clone())),
            }
            Arc::make_mut(&mut next.units).insert(unit.clone(), Arc::new(desired));
        }
    }
}

impl DesiredUnit {
    /// Whether both want the same.
    fn is_as(&self, other: &Self) -> bool {
        let objects = match (&self.objects, &other.objects) {
            (Ok(a), Ok(b)) => a.digest() == b.digest(),
            (Err(a), Err(b)) => a == b,
            (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        };
        objects && self.spec == other.spec && self.overlay_id == other.overlay_id && self.suspended == other.suspended
    }
}

/// Two units that want one object would overwrite each other for ever: the one whose name the object carries has it,
/// else the first; the other is refused.
fn refuse_double_claims(tree: &mut DesiredTree) {
    let mut claims: BTreeMap<&ObjectKey, Vec<&Unit>> = BTreeMap::new();
    for (unit, desired) in &*tree.units {
        for object in desired.objects.iter().flat_map(|objects| objects.iter()) {
            claims.entry(&object.key).or_default().push(unit);
        }
    }
    let mut refused = Vec::new();
    for (key, units) in claims.into_iter().filter(|(_, units)| units.len() > 1) {
        let named = |unit: &&&Unit| matches!(unit, Unit::Project(name) if key.name.starts_with(&format!("{name}-")));
        let owner = units.iter().filter(named).max_by_key(|unit| unit.to_string().len()).or(units.first());
        for unit in units.iter().filter(|unit| Some(unit) != owner.as_ref()) {
            let owner = owner.map(ToString::to_string).unwrap_or_default();
            refused.push(((*unit).clone(), format!("{key} also belongs to {owner}; rename one of them")));
        }
    }
    for (unit, message) in refused {
        if let Some(desired) = Arc::make_mut(&mut tree.units).get_mut(&unit) {
            let error = UnitError { reason: Reason::PolicyViolation, message };
            *desired = Arc::new(DesiredUnit { objects: Err(error), ..DesiredUnit::clone(desired) });
            tree.rendered.insert(unit);
        }
    }
}

/// Runs `work` for each item on all cores, in order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    if items.len() < 4 || cores == 1 {
        return items.iter().map(work).collect();
    }
    let size = items.len().div_ceil(cores);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            items.chunks(size).map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<R>>())).collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}

#[cfg(test)]
mod tests;
