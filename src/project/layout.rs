//! Where things stand in the state repository: the only place that names its paths.

use super::{ProjectName, RepoPath, Unit};

/// The directory of the projects' directories.
const PROJECTS: &str = "projects/";
/// The directory of the tombstones.
const TOMBSTONES: &str = "tombstones";
/// The name of a unit's encrypted file, in its directory.
pub const SECRETS_FILE: &str = "secrets.sops.yaml";
/// The rules by which `sops` encrypts new files.
pub const SOPS_CONFIG: &str = ".sops.yaml";
/// The Secret with the keys that all projects share.
pub const DEFAULT_SECRET: &str = "claude-defaults";

/// Returns the directory of a project.
#[must_use]
pub fn directory(name: &ProjectName) -> RepoPath {
    fixed(&format!("{PROJECTS}{name}"))
}

/// Returns the directory of all projects.
#[must_use]
pub fn projects() -> RepoPath {
    fixed(PROJECTS)
}

/// Returns the path of a project's overlay. A project is one when this file exists.
#[must_use]
pub fn overlay_path(name: &ProjectName) -> RepoPath {
    fixed(&format!("{PROJECTS}{name}/kustomization.yaml"))
}

/// Returns the path of a unit's encrypted Secret; the file may be absent.
#[must_use]
pub fn secrets_path(unit: &Unit) -> RepoPath {
    match unit {
        Unit::Base => fixed(SECRETS_FILE),
        Unit::Project(name) => fixed(&format!("{PROJECTS}{name}/{SECRETS_FILE}")),
    }
}

/// Returns the name of the Secret that a unit's encrypted file holds.
#[must_use]
pub fn secret_name(unit: &Unit) -> String {
    match unit {
        Unit::Base => DEFAULT_SECRET.to_owned(),
        Unit::Project(name) => format!("{name}-secrets"),
    }
}

/// Returns the beginning of the name of each of a project's objects.
#[must_use]
pub fn name_prefix(name: &ProjectName) -> String {
    format!("{name}-")
}

/// Returns the name of a project's StatefulSet.
#[must_use]
pub fn environment_name(name: &ProjectName) -> String {
    format!("{name}-env")
}

/// Returns the path of the file that gives up the volumes of a deleted project.
#[must_use]
pub fn tombstone_path(name: &ProjectName) -> RepoPath {
    fixed(&format!("{TOMBSTONES}/{name}.yaml"))
}

/// Returns the directory of the tombstones.
#[must_use]
pub fn tombstones() -> RepoPath {
    fixed(TOMBSTONES)
}

/// Returns the project whose directory is `path`.
#[must_use]
pub fn project_at(path: &RepoPath) -> Option<ProjectName> {
    ProjectName::parse(path.as_str().strip_prefix(PROJECTS)?).ok()
}

/// Returns the project in whose directory `path` lies.
#[must_use]
pub fn project_of(path: &RepoPath) -> Option<ProjectName> {
    let (name, _) = path.as_str().strip_prefix(PROJECTS)?.split_once('/')?;
    ProjectName::parse(name).ok()
}

/// Paths made of fixed parts and project names are always paths.
fn fixed(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_a_project_and_back() {
        let name = ProjectName::parse("checkout").unwrap();
        assert_eq!(project_at(&directory(&name)), Some(name.clone()));
        for path in [overlay_path(&name), secrets_path(&Unit::Project(name.clone()))] {
            assert_eq!(project_of(&path), Some(name.clone()), "{path}");
        }
        for path in [directory(&name), tombstone_path(&name), secrets_path(&Unit::Base), fixed("projects/A/x")] {
            assert_eq!(project_of(&path), None, "{path}");
        }
    }
}
