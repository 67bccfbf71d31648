//! What a revision wants, unit by unit, remembering what an earlier revision already rendered.
//!
//! Takes a tree and the paths that changed since the last one; gives each unit's objects or the reason why it has none.
//! A unit is rendered again only when something that its last build looked at has changed. Reads no cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;

use super::known::{Known, Rendered};
use super::packed::Packed;
use super::parallel::in_parallel;
use super::root::{self, Root, RootError};
use super::secret::{ReadSecret, SharedReadSecret};
use super::unit::Judge;
use super::verdicts::{Verdicts, share_of};
use super::{UnitError, claims, volumes};
use crate::plan::{Packer, Policy};
use crate::project::layout::{overlay_path, project_of};
use crate::project::{Files, ObjectKey, ProjectName, ProjectSpec, RepoPath, Revision, SUSPENDED_ANNOTATION, Unit};
use kustomize::{BuildError, Inputs, Memo, Object};

/// What each unit should be.
pub(crate) type WantedUnits = BTreeMap<Unit, Arc<DesiredUnit>>;

/// Everything that one revision wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct DesiredTree {
    /// Every unit that the root lists; one that was not rendered for this revision is the same thing as before.
    pub(crate) units: Arc<WantedUnits>,
    /// The units that were rendered for this revision; the others are as they were.
    pub(crate) rendered: BTreeSet<Unit>,
    /// Projects whose tombstone gives their volumes up.
    pub(crate) volumes_given_up: BTreeSet<ProjectName>,
    /// Folders that are not applied, and why.
    pub(crate) warnings: Vec<String>,
    /// Those of them that the root and the directories beside it give.
    root_warnings: Vec<String>,
    /// The policy in force.
    pub(crate) policy: Arc<Policy>,
}

/// What one unit should be.
#[derive(Clone, Debug)]
pub(crate) struct DesiredUnit {
    /// The revision that this was rendered from.
    pub(crate) revision: Revision,
    /// The objects with the decrypted secrets, or why there are none.
    pub(crate) objects: Result<Arc<Packed>, UnitError>,
    /// A project as its overlay reads.
    pub(crate) spec: Option<ProjectSpec>,
    /// The blob id of a project's overlay.
    pub(crate) overlay_id: Option<String>,
    /// Why the overlay wants nothing to be applied; `None` when it does not say so.
    pub(crate) suspended: Option<String>,
}

/// Renders revisions, and remembers what each unit's build looked at.
pub(crate) struct Renderer {
    read: SharedReadSecret,
    /// What builds remember: parsed files, and the bases that units share.
    memo: Arc<Memo>,
    /// The namespace that a tree has to keep, where one is in force.
    namespace: Option<String>,
    /// The root of the last tree, and the digest of what it does to all units.
    root: Option<(Root, [u8; 32])>,
    /// The last policy that could be read.
    policy: Option<Policy>,
    packer: Packer,
    known: Known,
    last: DesiredTree,
}

/// What all units of one tree have in common.
struct Common<'a> {
    judge: Judge<'a>,
    revision: Revision,
    packer: &'a Packer,
}

impl Renderer {
    /// Makes a renderer that reads encrypted files with `read`, and knows no revision yet.
    pub(crate) fn new(read: SharedReadSecret, memo: Arc<Memo>) -> Self {
        let (known, last) = (Known::default(), DesiredTree::default());
        Self { read, memo, namespace: None, root: None, policy: None, packer: Packer::default(), known, last }
    }

    /// Refuses trees whose root is for another namespace.
    pub(crate) fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Takes the policy that is in force while the tree's own does not read.
    pub(crate) fn fall_back_on(&mut self, policy: Policy) {
        self.policy.get_or_insert(policy);
    }

    /// Renders a tree that is not accepted yet, by the policy of the branch that it would come to.
    ///
    /// # Errors
    /// As [`Renderer::render`].
    pub(crate) fn propose(
        &mut self,
        tree: &dyn Files,
        revision: Revision,
        policy: Policy,
    ) -> Result<DesiredTree, RootError> {
        let warning = Policy::read(tree).err().map(|error| error.to_string());
        self.render_by(policy, tree, revision, None, warning)
    }

    /// Renders `tree`, the files of `revision`, by its own policy. `changed` names every path that differs from the tree of
    /// the last call; when that is not known, what each unit looked at is compared by its ids.
    ///
    /// # Errors
    /// [`RootError`] when nothing of the tree can be applied; the last answer stays what it was.
    pub(crate) fn render(
        &mut self,
        tree: &dyn Files,
        revision: Revision,
        changed: Option<&BTreeSet<RepoPath>>,
    ) -> Result<DesiredTree, RootError> {
        // What a broken file last said stays in force.
        let (policy, warning) = match Policy::read(tree) {
            Ok(policy) => (policy, None),
            Err(error) => {
                let warning = format!("{error}; the last valid policy stays in force");
                (self.policy.clone().unwrap_or_default(), Some(warning))
            }
        };
        self.render_by(policy, tree, revision, changed, warning)
    }

    fn render_by(
        &mut self,
        policy: Policy,
        tree: &dyn Files,
        revision: Revision,
        changed: Option<&BTreeSet<RepoPath>>,
        warning: Option<String>,
    ) -> Result<DesiredTree, RootError> {
        let (root, frame, same_members) = match (&self.root, changed) {
            (Some((root, frame)), Some(changed)) if root.stays(tree, changed) => (root.clone(), *frame, true),
            _ => (Root::read(tree, &self.memo)?, root::skeleton(tree)?, false),
        };
        root.keeps_namespace(self.namespace.as_deref())?;
        let together = kustomize::reaches_over_parts(tree, &RepoPath::root(), Some(&self.memo))?;
        let (mut warnings, volumes_given_up) = match same_members {
            true => (self.last.root_warnings.clone(), self.last.volumes_given_up.clone()),
            false => (root::unlisted(tree, &root), root::tombstones(tree)),
        };
        let root_warnings = warnings.clone();
        warnings.extend(warning);
        let same_policy = self.policy.as_ref() == Some(&policy);
        let read: ReadSecret<'_> = &|text| (self.read)(text);
        let judge = Judge { tree, root: &root, policy: &policy, read, memo: &self.memo };
        let common = Common { judge, revision, packer: &self.packer };

        let same_root =
            self.root.as_ref().is_some_and(|(last, known)| *known == frame && last.namespace() == root.namespace());
        if !(same_root && same_policy) {
            self.known = Known::default();
        }
        if !same_members {
            self.known.keep_only(&root.members);
        }
        // Where the root itself reaches over its parts, none of them is worth to be built.
        let mut rendered = BTreeSet::new();
        if together.is_none() {
            let stale = self.known.stale(tree, &root.members, same_members, changed);
            let fresh = in_parallel(&stale, |unit| common.render(unit));
            for (unit, fresh) in stale.into_iter().zip(fresh) {
                self.known.put(unit.clone(), fresh);
                rendered.insert(unit);
            }
        }
        let mut next = DesiredTree {
            rendered,
            warnings,
            root_warnings,
            volumes_given_up,
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
                self.render_together(&common, &reason, all, &mut next);
                refuse_double_claims(&mut next);
            }
        }
        self.policy = Some(policy);
        self.root = Some((root, frame));
        self.last = next.clone();
        Ok(next)
    }

    /// Renders all units from one build, because of `reason`. When that fails, those of `all` fail that reach over others:
    /// each one, or only those that say so.
    fn render_together(&self, common: &Common<'_>, reason: &BuildError, all: bool, next: &mut DesiredTree) {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let Judge { tree, root, memo, .. } = common.judge;
        let built = kustomize::build_together(tree, &RepoPath::root(), threads, Some(memo));
        if let Err(error) = &built {
            next.warnings.push(format!("{reason}, but a build of all of them fails: {error}"));
        }
        next.rendered.clear();
        next.units = Arc::new(self.known.units());
        for unit in root.members.keys() {
            let share = match &built {
                Err(_) if !all && !self.known.reaches_over_others(unit) => continue,
                Err(error) => Err(error.clone()),
                Ok(whole) => share_of(whole, unit, root),
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

impl Common<'_> {
    /// Renders one unit for itself. Never fails as a whole: what is wrong becomes the unit's own error.
    fn render(&self, unit: &Unit) -> Rendered {
        let mut part = self.judge.build(unit);
        let desired = self.desired(unit, part.built, &mut part.inputs);
        Rendered { desired, inputs: part.inputs, together: part.together, names: part.names }
    }

    /// A unit of what its build gave.
    fn desired(&self, unit: &Unit, built: Result<Vec<Object>, BuildError>, inputs: &mut Inputs) -> DesiredUnit {
        let (objects, spec) = self.judge.verdict(unit, built, inputs);
        let suspended = objects.iter().flatten().find_map(suspension);
        let objects = objects.map(|objects| Arc::new(Packed::of(self.packer, objects)));
        let overlay = match unit {
            Unit::Base => None,
            Unit::Project(name) => self.judge.tree.content_id(&overlay_path(name)),
        };
        let overlay_id = overlay.map(|id| Revision::from_bytes(id).to_string());
        DesiredUnit { revision: self.revision, objects, spec, overlay_id, suspended }
    }
}

/// What the main object says about being left alone; `false` is as good as nothing.
fn suspension(object: &Object) -> Option<String> {
    if object.key.kind != "StatefulSet" {
        return None;
    }
    let why = object.value.get("metadata")?.get("annotations")?.get(SUSPENDED_ANNOTATION)?.as_str()?;
    match why {
        "" | "false" => None,
        "true" => Some(String::new()),
        why => Some(why.to_owned()),
    }
}

impl DesiredTree {
    /// Refuses the projects whose claims get other names than they have in the tree of `before`; `changed` are the paths
    /// that differ.
    pub(crate) fn refuse_renamed_volumes(&mut self, before: &Verdicts<'_>, changed: &BTreeSet<RepoPath>) {
        let touched: BTreeSet<Option<ProjectName>> = changed.iter().map(project_of).collect();
        let mut refused = Vec::new();
        for (unit, desired) in self.units.iter() {
            let (Unit::Project(name), Ok(objects)) = (unit, &desired.objects) else { continue };
            let is_touched = touched.contains(&None) || touched.contains(&Some(name.clone()));
            if !(is_touched && before.lists(unit)) {
                continue;
            }
            let wanted = objects.wanted();
            let after = volumes::claims(wanted.iter().map(|object| (&object.key, &*object.content)));
            let message = volumes::renamed(name, &before.claims(unit), &after);
            refused.extend(message.map(|message| (unit.clone(), UnitError::policy(message))));
        }
        for (unit, error) in refused {
            self.refuse(&unit, error);
        }
    }

    /// Refuses a unit, whatever it was found to be.
    pub(crate) fn refuse(&mut self, unit: &Unit, error: UnitError) {
        if let Some(desired) = Arc::make_mut(&mut self.units).get_mut(unit) {
            *desired = Arc::new(DesiredUnit { objects: Err(error), ..DesiredUnit::clone(desired) });
            self.rendered.insert(unit.clone());
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
        let Some(owner) = claims::owner(key, &units) else { continue };
        for unit in units.iter().filter(|unit| **unit != owner) {
            refused.push(((*unit).clone(), claims::refusal(key, owner)));
        }
    }
    for (unit, error) in refused {
        tree.refuse(&unit, error);
    }
}

#[cfg(test)]
mod tests;
