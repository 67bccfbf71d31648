//! What a restored tree needs beside its files: lines in the root, no tombstones, this manager's key.

use super::{EditError, agent_keys, exists, root};
use crate::project::layout::{tombstone_path, tombstones};
use crate::project::{AgentKey, ChangeSet, Entry, Files, Overlaid, ProjectName, RepoPath};

/// Changes to a whole tree that comes from a backup.
#[derive(Clone, Debug, Default)]
pub struct RestoredTree {
    /// The changes.
    pub changes: ChangeSet,
    /// The tombstones that are left out.
    pub tombstones: Vec<RepoPath>,
}

/// Returns the changes to `files`, a whole tree from a backup: its tombstones go, because a restore deletes no volume, and
/// `key` is added to the agent keys, because environments would not let this manager in otherwise.
///
/// # Errors
/// [`EditError`] when the files of the agent keys or the root cannot be edited.
pub fn whole(files: &dyn Files, key: Option<&AgentKey>) -> Result<RestoredTree, EditError> {
    let mut restored = RestoredTree::default();
    let folder = tombstones();
    for name in files.list(&folder)? {
        let Ok(path) = folder.join(&name) else { continue };
        if path.parent() == folder && files.entry(&path)? == Entry::File {
            restored.changes.remove(path.clone());
            restored.tombstones.push(path);
        }
    }
    if let Some(key) = key {
        let added = agent_keys::add(&Overlaid { base: files, changes: &restored.changes }, key)?;
        restored.changes.0.extend(added.0);
    }
    Ok(restored)
}

/// Returns the changes to `files` that list the project `name`, whose folder came from a backup, and give up none of its
/// volumes.
///
/// # Errors
/// [`EditError`] when the root cannot be edited.
pub fn project(files: &dyn Files, name: &ProjectName) -> Result<ChangeSet, EditError> {
    let mut changes = ChangeSet::default();
    root::list(files, name, &mut changes)?;
    if exists(files, &tombstone_path(name))? {
        changes.remove(tombstone_path(name));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::MemoryFiles;

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    #[test]
    fn a_whole_tree_loses_its_tombstones_and_keeps_the_keys_that_it_had() {
        let mut files = MemoryFiles::default();
        files.insert(path("kustomization.yaml"), "resources:\n- agent-keys.yaml\n- projects/a\n");
        files.insert(path("agent-keys.yaml"), agent_keys::TEMPLATE);
        files.insert(path("tombstones/gone.yaml"), "volumes: delete\n");
        let key = AgentKey { kid: "k1".to_owned(), pem: "PEM\n".to_owned() };
        let restored = whole(&files, Some(&key)).unwrap();
        assert_eq!(restored.tombstones, [path("tombstones/gone.yaml")]);
        assert_eq!(restored.changes.0[&path("tombstones/gone.yaml")], None);
        let keys = String::from_utf8(restored.changes.0[&path("agent-keys.yaml")].clone().unwrap()).unwrap();
        assert!(keys.contains("k1.pem"), "{keys}");
        assert!(whole(&files, None).unwrap().changes.0.len() == 1);
    }

    #[test]
    fn a_project_gets_its_line_back_and_its_tombstone_goes() {
        let mut files = MemoryFiles::default();
        files.insert(path("kustomization.yaml"), "resources:\n- projects/a\n- projects/c\n");
        files.insert(path("tombstones/b.yaml"), "volumes: delete\n");
        let changes = project(&files, &ProjectName::parse("b").unwrap()).unwrap();
        let root = String::from_utf8(changes.0[&path("kustomization.yaml")].clone().unwrap()).unwrap();
        assert_eq!(root, "resources:\n- projects/a\n- projects/b\n- projects/c\n");
        assert_eq!(changes.0[&path("tombstones/b.yaml")], None);
        assert!(project(&files, &ProjectName::parse("a").unwrap()).unwrap().is_empty());
    }
}
