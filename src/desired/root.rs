//! The root of a tree: which units there are, and what is done to all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::sentence;
use crate::project::layout::{self, project_at, project_of};
use crate::project::{Entry, Files, ProjectName, RepoPath, Unit};
use kustomize::{BuildError, Memo, yaml};

/// Why nothing of a tree can be applied: its root does not read, or is for another namespace. What was wanted before stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RootError(String);

impl From<BuildError> for RootError {
    fn from(error: BuildError) -> Self {
        Self(sentence(&error))
    }
}

/// The root's resources, by the unit that they belong to.
pub(super) type Members = BTreeMap<Unit, BTreeSet<RepoPath>>;

/// What the root's kustomization says about everything below it. An entry that it lists need not be there: that is its
/// unit's error, and costs no other unit anything.
#[derive(Clone, Debug)]
pub struct Root {
    /// Its `namespace`.
    namespace: Option<String>,
    /// The projects that it lists.
    projects: Arc<BTreeSet<ProjectName>>,
    pub(super) members: Arc<Members>,
    /// A digest of its text without the lines that list projects: what an edit of one of them leaves as it is.
    pub(super) frame: [u8; 32],
}

impl Root {
    /// Reads the root of a tree.
    ///
    /// # Errors
    /// [`RootError`] names the file and the way out.
    pub fn read(tree: &dyn Files, memo: &Memo) -> Result<Self, RootError> {
        let outline = kustomize::outline(tree, &RepoPath::root(), Some(memo))?;
        let mut members: Members = BTreeMap::from([(Unit::Base, BTreeSet::new())]);
        for path in outline.resources {
            let unit = project_at(&path).map_or(Unit::Base, Unit::Project);
            members.entry(unit).or_default().insert(path);
        }
        let projects = members.keys().filter_map(|unit| match unit {
            Unit::Project(name) => Some(name.clone()),
            Unit::Base => None,
        });
        let projects = Arc::new(projects.collect());
        Ok(Self { namespace: outline.namespace, projects, members: Arc::new(members), frame: frame(tree) })
    }

    /// Returns its `namespace`.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Returns the projects that it lists.
    #[must_use]
    pub fn projects(&self) -> &BTreeSet<ProjectName> {
        &self.projects
    }

    /// Refuses a root that leaves the namespace `in_force`: everything lives in one, and another one would leave all of it,
    /// volumes included, behind.
    ///
    /// # Errors
    /// [`RootError`] names both.
    pub fn keeps_namespace(&self, in_force: Option<&str>) -> Result<(), RootError> {
        match (self.namespace(), in_force) {
            (None, _) => Err(RootError(
                "kustomization.yaml: `namespace` is missing; it says where everything goes, so put it back".to_owned(),
            )),
            (Some(now), Some(before)) if now != before => Err(RootError(format!(
                "kustomization.yaml: `namespace` changes from {before} to {now}; that would leave every project and its \
                 volumes behind, so put {before} back (a manager for {now} is another installation, with \
                 KUBERNETES_NAMESPACE={now})"
            ))),
            (Some(_), _) => Ok(()),
        }
    }

    /// Whether it is the same in `tree`, when only `changed` paths differ: edits inside the directories of projects change
    /// nothing here, and are nearly all there is.
    pub(super) fn stays(&self, tree: &dyn Files, changed: &BTreeSet<RepoPath>) -> bool {
        changed.iter().all(|path| match project_of(path).map(Unit::Project) {
            Some(unit) => self.members.get(&unit).is_some_and(|members| {
                members.iter().all(|member| *member != *path && matches!(tree.entry(member), Ok(Entry::Directory)))
            }),
            None => false,
        })
    }
}

/// The path of a root's kustomization.
pub(super) fn root_file() -> RepoPath {
    RepoPath::parse(kustomize::FILE_NAMES[0]).unwrap_or_default()
}

/// The text of a root is not parsed for this: one of thousands of lines would take its time for each project that comes.
fn frame(tree: &dyn Files) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for path in kustomize::FILE_NAMES.iter().filter_map(|name| RepoPath::parse(name).ok()) {
        let Ok(bytes) = tree.read(&path) else { continue };
        hasher.update(path.as_str());
        for line in bytes.split(|byte| *byte == b'\n') {
            let entry = std::str::from_utf8(line).ok().and_then(|line| line.trim().strip_prefix("- "));
            let is_project = entry.is_some_and(|entry| {
                RepoPath::parse(entry).is_ok_and(|path| path.as_str() == entry && project_at(&path).is_some())
            });
            if !is_project {
                hasher.update((line.len() as u64).to_be_bytes());
                hasher.update(line);
            }
        }
    }
    hasher.finalize().into()
}

/// A digest of everything that the root's kustomization says but its resources.
///
/// # Errors
/// When it does not read.
pub(super) fn skeleton(tree: &dyn Files) -> Result<[u8; 32], RootError> {
    let paths = kustomize::FILE_NAMES.iter().filter_map(|name| RepoPath::parse(name).ok());
    let Some(file) = paths.into_iter().find(|path| matches!(tree.entry(path), Ok(Entry::File))) else {
        return Ok([0; 32]);
    };
    let fail = |message: String| RootError(format!("{file}: {message}"));
    let bytes = tree.read(&file).map_err(|error| fail(error.to_string()))?;
    let (document, _) = yaml::read_first(&bytes, yaml::Repeats::LastCounts).map_err(|error| fail(error.to_string()))?;
    let mut fields = document.ok_or_else(|| fail("is empty".to_owned()))?;
    fields.remove("resources");
    let rest = fields.to_json().map_err(|error| fail(format!("line {}: {error}", error.mark.line)))?;
    Ok(Sha256::digest(rest.to_string().as_bytes()).into())
}

/// The projects' directories that the root does not list, each as a warning.
pub(super) fn unlisted(tree: &dyn Files, root: &Root) -> Vec<String> {
    let projects = layout::projects();
    let names = tree.list(&projects).unwrap_or_default().into_iter();
    let is_overlay = |name: &String| {
        let path = projects.join(&format!("{name}/{}", kustomize::FILE_NAMES[0]));
        path.is_ok_and(|path| matches!(tree.entry(&path), Ok(Entry::File)))
    };
    let unlisted = names.filter(|name| !root.projects.contains(name.as_str()) && is_overlay(name));
    let warn = |name: String| {
        let path = format!("{projects}/{name}");
        format!("{path} is not applied: add `- {path}` to the resources of the root's kustomization.yaml")
    };
    unlisted.map(warn).collect()
}

/// The projects whose tombstone gives their volumes up.
pub(super) fn tombstones(tree: &dyn Files) -> BTreeSet<ProjectName> {
    let names = tree.list(&layout::tombstones()).unwrap_or_default();
    let given_up = |name: &ProjectName| {
        let bytes = tree.read(&layout::tombstone_path(name)).ok()?;
        let fields: serde_yaml::Mapping = serde_yaml::from_slice(&bytes).ok()?;
        (fields.get("volumes")?.as_str()? == "delete").then_some(())
    };
    names
        .iter()
        .filter_map(|name| ProjectName::parse(name.strip_suffix(".yaml")?).ok())
        .filter(|name| given_up(name).is_some())
        .collect()
}
