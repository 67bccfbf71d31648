//! What an edit does to the tree.

use std::collections::BTreeMap;

use super::RepoPath;

/// New contents by path; `None` removes the file. Paths that are not named keep what they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet(pub BTreeMap<RepoPath, Option<Vec<u8>>>);

impl ChangeSet {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes `content` to `path`.
    pub fn write(&mut self, path: RepoPath, content: impl Into<Vec<u8>>) {
        self.0.insert(path, Some(content.into()));
    }

    /// Removes `path`.
    pub fn remove(&mut self, path: RepoPath) {
        self.0.insert(path, None);
    }
}
