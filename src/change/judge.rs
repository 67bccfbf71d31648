//! Renders a unit as the reconciler will, and holds its objects to the checks.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

use crate::git::{GitError, Repository};
use crate::plan::{self, Policy};
use crate::project::{Entry, Files, ProjectName, RepoPath, Revision, Unit};
use kustomize::{self, BuildError, Memo, Object};

/// So many versions of the policy are looked at for one that reads.
const POLICIES: usize = 100;

/// What the root's kustomization says about everything below it.
pub(super) struct Root {
    /// Its `namespace`.
    pub(super) namespace: Option<String>,
    /// The projects that it lists.
    pub(super) projects: BTreeSet<ProjectName>,
    /// Everything else that it lists.
    base: BTreeSet<RepoPath>,
    /// What the builds of its units have in common, above all this root: read for each, a fleet would cost its square.
    memo: Arc<Memo>,
}

/// Reads roots, and remembers the last one: nearly all edits leave it as it is.
pub(super) struct Roots {
    memo: Arc<Memo>,
    last: Mutex<Option<(RootIds, Arc<Root>)>>,
}

/// By what the kustomization of a root is known: what stands at each name that it may have.
type RootIds = [Option<[u8; 20]>; kustomize::FILE_NAMES.len()];

impl Roots {
    /// A reader that shares `memo` with others.
    pub(super) const fn new(memo: Arc<Memo>) -> Self {
        Self { memo, last: Mutex::new(None) }
    }

    /// What builds remember.
    pub(super) fn memo(&self) -> &Memo {
        &self.memo
    }

    /// The root of a tree. Whether all that it lists is there is not looked at.
    ///
    /// # Errors
    /// Sentences that name the file and the way out.
    pub(super) fn of(&self, files: &dyn Files) -> Result<Arc<Root>, String> {
        let ids = root_ids(files);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(ids), Some((known, root))) = (&ids, &*last)
            && known == ids
        {
            return Ok(Arc::clone(root));
        }
        let outline =
            kustomize::outline(files, &RepoPath::root(), Some(&self.memo)).map_err(|error| sentence(&error))?;
        let mut root = Root {
            namespace: outline.namespace,
            projects: BTreeSet::new(),
            base: BTreeSet::new(),
            memo: Arc::clone(&self.memo),
        };
        for path in outline.resources {
            let name = path.as_str().strip_prefix("projects/").and_then(|name| ProjectName::parse(name).ok());
            match name {
                Some(name) => drop(root.projects.insert(name)),
                None => drop(root.base.insert(path)),
            }
        }
        let root = Arc::new(root);
        *last = ids.map(|ids| (ids, Arc::clone(&root)));
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

impl Root {
    /// Reads the root of a tree; all that it lists has to be there.
    ///
    /// # Errors
    /// Sentences that name the file and the way out.
    pub(super) fn read(files: &dyn Files) -> Result<Arc<Self>, String> {
        let roots = Roots::new(Arc::default());
        kustomize::resources(files, &RepoPath::root(), Some(&roots.memo)).map_err(|error| sentence(&error))?;
        roots.of(files)
    }

    /// The objects of a unit, checked by the policy that is accepted already; of a project that the root does not list,
    /// none.
    ///
    /// # Errors
    /// Sentences that name the file or object and the way out.
    pub(super) fn render(&self, files: &dyn Files, unit: &Unit, policy: &Policy) -> Result<Vec<Object>, Vec<String>> {
        let folder = match unit {
            Unit::Base => None,
            Unit::Project(name) => Some(crate::edit::directory(name)),
        };
        let keep = |path: &RepoPath| match &folder {
            Some(folder) => path == folder,
            None => self.base.contains(path),
        };
        let part = kustomize::build_part(files, &RepoPath::root(), &keep, folder.is_none(), Some(&self.memo));
        let objects = match part.together {
            None => part.result,
            Some(_) => share_of_whole(files, folder.as_ref(), &self.memo),
        };
        let objects = objects.map_err(|error| vec![sentence(&error)])?;
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let context = plan::Context { namespace, policy, projects: &self.projects };
        let violations = plan::check(unit, &objects, &context);
        if violations.is_empty() { Ok(objects) } else { Err(violations.iter().map(ToString::to_string).collect()) }
    }
}

/// The objects of one entry of the root, or those that belong to no project, in a build of all of them.
fn share_of_whole(files: &dyn Files, folder: Option<&RepoPath>, memo: &Memo) -> Result<Vec<Object>, BuildError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut whole = kustomize::build_together(files, &RepoPath::root(), threads, Some(memo))?;
    let Some(folder) = folder else {
        let is_project = |path: &RepoPath| path.as_str().strip_prefix("projects/").is_some_and(is_name);
        if let Some((_, error)) = whole.broken.into_iter().find(|(path, _)| !is_project(path)) {
            return Err(error);
        }
        let base = whole.entries.into_iter().filter(|(path, _)| !is_project(path));
        return Ok(whole.own.into_iter().chain(base.flat_map(|(_, objects)| objects)).collect());
    };
    match whole.broken.remove(folder) {
        Some(error) => Err(error),
        None => Ok(whole.entries.remove(folder).unwrap_or_default()),
    }
}

fn is_name(text: &str) -> bool {
    ProjectName::parse(text).is_ok()
}

/// An error of the engine with its way out.
pub(super) fn sentence(error: &BuildError) -> String {
    match &error.hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

/// The policy that judges what comes after `head`: its own, or while that does not read, the last one that did.
pub(super) fn policy_in_force(repository: &Repository, head: Option<Revision>) -> Result<Policy, GitError> {
    let Some(head) = head else { return Ok(Policy::default()) };
    if let Ok(policy) = Policy::read(&repository.tree(head)?) {
        return Ok(policy);
    }
    let file = RepoPath::parse(plan::POLICY_FILE).unwrap_or_default();
    let entries = repository.log(head, Some(&file), POLICIES)?;
    let trees = entries.iter().filter_map(|entry| repository.tree(entry.revision).ok());
    Ok(Policy::newest_valid(trees).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{ChangeSet, Identified, MemoryFiles, Overlaid};

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    #[test]
    fn a_root_is_read_again_only_when_it_is_another() {
        let mut files = Identified(MemoryFiles::default());
        files.0.insert(path("kustomization.yaml"), "resources: [projects/a, projects/b, base]\n");
        let roots = Roots::new(Arc::default());
        let projects = |root: &Root| root.projects.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
        let first = roots.of(&files).unwrap();
        assert_eq!(projects(&first), ["a", "b"]);
        let mut changes = ChangeSet::default();
        changes.write(path("projects/a/kustomization.yaml"), "resources: [../../base]\n");
        let edited = Overlaid { base: &files, changes: &changes };
        assert!(Arc::ptr_eq(&first, &roots.of(&edited).unwrap()));

        let mut changes = ChangeSet::default();
        changes.write(path("kustomization.yaml"), "resources: [projects/b]\n");
        assert_eq!(projects(&roots.of(&Overlaid { base: &files, changes: &changes }).unwrap()), ["b"]);
        assert_eq!(projects(&roots.of(&files).unwrap()), ["a", "b"], "it was not stored");
        let mut changes = ChangeSet::default();
        changes.write(path("Kustomization"), "resources: []\n");
        assert!(roots.of(&Overlaid { base: &files, changes: &changes }).is_err(), "there are two");
        files.0.insert(path("kustomization.yaml"), "resources: [projects/c]\n");
        assert_eq!(projects(&roots.of(&files).unwrap()), ["c"]);
    }

    #[test]
    fn what_a_push_brings_has_to_be_there_and_what_an_edit_does_not_touch_need_not() {
        let mut files = Identified(MemoryFiles::default());
        files.0.insert(path("kustomization.yaml"), "resources: [projects/a]\n");
        assert_eq!(Roots::new(Arc::default()).of(&files).unwrap().projects.len(), 1);
        let told = Root::read(&files).map(|root| root.projects.len()).unwrap_err();
        assert!(told.contains("projects/a does not exist"), "{told}");
    }
}
