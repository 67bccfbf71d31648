//! What the root of a tree says: which units there are, and what is done to all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::project::{Entry, Files, ProjectName, RepoPath, Unit};
use kustomize::yaml;
use kustomize::{self, BuildError, Memo};

/// The root and what lies beside it.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) root: Root,
    pub(super) members: Arc<Members>,
    pub(super) projects: Arc<BTreeSet<ProjectName>>,
    /// Folders that are not applied, and why.
    pub(super) warnings: Vec<String>,
    /// Projects whose tombstone gives their volumes up.
    pub(super) volumes_given_up: BTreeSet<ProjectName>,
}

impl Layout {
    /// Reads it.
    ///
    /// # Errors
    /// When the root does not read.
    pub(super) fn read(tree: &dyn Files, memo: &Memo) -> Result<Self, BuildError> {
        let root = read_root(tree)?;
        let (members, warnings) = members(tree, memo)?;
        let projects = members.keys().filter_map(|unit| match unit {
            Unit::Project(name) => Some(name.clone()),
            Unit::Base => None,
        });
        let projects = Arc::new(projects.collect());
        Ok(Self { root, members: Arc::new(members), projects, warnings, volumes_given_up: tombstones(tree) })
    }

    /// Whether it is the same in `tree`, when only `changed` paths differ: edits inside the folders of projects change
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

/// The project in whose folder a path is.
pub(super) fn project_of(path: &RepoPath) -> Option<ProjectName> {
    let (name, _) = path.as_str().strip_prefix("projects/")?.split_once('/')?;
    ProjectName::parse(name).ok()
}

/// The root's resources, by the unit that they belong to.
pub(super) type Members = BTreeMap<Unit, BTreeSet<RepoPath>>;

/// What the root's own kustomization says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Root {
    pub(super) namespace: Option<String>,
    /// A digest of everything but the resources.
    skeleton: [u8; 32],
}

pub(super) fn root_file() -> RepoPath {
    RepoPath::root().join("kustomization.yaml").unwrap_or_default()
}

pub(super) fn own_folder(unit: &Unit) -> Option<RepoPath> {
    match unit {
        Unit::Base => None,
        Unit::Project(name) => RepoPath::parse(&format!("projects/{name}")).ok(),
    }
}

fn read_root(tree: &dyn Files) -> Result<Root, BuildError> {
    let file = root_file();
    let fail = |message: String| BuildError {
        file: file.clone(),
        line: None,
        field: None,
        message,
        hint: Some("the root of the state repository needs a kustomization.yaml; `init` shows one".to_owned()),
    };
    let bytes = tree.read(&file).map_err(|error| fail(error.to_string()))?;
    let read = yaml::read_first(&bytes, yaml::Repeats::LastCounts);
    let (document, _) = read.map_err(|error| fail(format!("is no YAML: {error}")))?;
    let mut fields = document.ok_or_else(|| fail("is empty".to_owned()))?;
    fields.remove("resources");
    let namespace = fields.get("namespace").and_then(yaml::Node::text).map(str::to_owned);
    let rest = fields.to_json().map_err(|error| fail(format!("line {}: {error}", error.mark.line)))?;
    Ok(Root { namespace, skeleton: Sha256::digest(rest.to_string().as_bytes()).into() })
}

/// The root's resources, by the unit that they belong to, and what is not applied.
fn members(tree: &dyn Files, memo: &Memo) -> Result<(Members, Vec<String>), BuildError> {
    let mut units: Members = BTreeMap::from([(Unit::Base, BTreeSet::new())]);
    for path in kustomize::resources(tree, &RepoPath::root(), Some(memo))? {
        let project = path.as_str().strip_prefix("projects/").and_then(|name| ProjectName::parse(name).ok());
        units.entry(project.map_or(Unit::Base, Unit::Project)).or_default().insert(path);
    }
    let mut warnings = Vec::new();
    let projects = RepoPath::parse("projects").unwrap_or_default();
    for name in tree.list(&projects).unwrap_or_default() {
        let listed = ProjectName::parse(&name).is_ok_and(|name| units.contains_key(&Unit::Project(name)));
        let is_overlay = projects
            .join(&format!("{name}/kustomization.yaml"))
            .is_ok_and(|path| matches!(tree.entry(&path), Ok(Entry::File)));
        if !listed && is_overlay {
            warnings.push(format!(
                "projects/{name} is not applied: add `- projects/{name}` to the resources of the root's kustomization.yaml"
            ));
        }
    }
    Ok((units, warnings))
}

fn tombstones(tree: &dyn Files) -> BTreeSet<ProjectName> {
    let folder = RepoPath::parse("tombstones").unwrap_or_default();
    let names = tree.list(&folder).unwrap_or_default();
    let given_up = |name: &ProjectName| {
        let path = folder.join(&format!("{name}.yaml")).ok()?;
        let fields: serde_yaml::Mapping = serde_yaml::from_slice(&tree.read(&path).ok()?).ok()?;
        (fields.get("volumes")?.as_str()? == "delete").then_some(())
    };
    names
        .iter()
        .filter_map(|name| ProjectName::parse(name.strip_suffix(".yaml")?).ok())
        .filter(|name| given_up(name).is_some())
        .collect()
}
