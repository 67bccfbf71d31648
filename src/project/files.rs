//! Trees of files as the product reads them: with a change set laid over them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kustomize::{Entry, Files, FilesError, RepoPath, names_below};

use super::ChangeSet;

/// Files in memory that have ids, as those of a Git tree have.
#[cfg(test)]
pub(crate) struct Identified(pub(crate) kustomize::MemoryFiles);

#[cfg(test)]
impl Files for Identified {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        self.0.entry(path)
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        self.0.read(path)
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        self.0.list(directory)
    }

    fn content_id(&self, path: &RepoPath) -> Option<[u8; 20]> {
        use sha2::{Digest, Sha256};
        Sha256::digest(self.0.read(path).ok()?)[..20].try_into().ok()
    }
}

/// A tree with a change set laid over it: what the tree will be when the change is committed.
pub struct Overlaid<'a> {
    /// The tree below.
    pub base: &'a dyn Files,
    /// The changes above.
    pub changes: &'a ChangeSet,
}

impl Files for Overlaid<'_> {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        if let Some(change) = self.changes.0.get(path) {
            return Ok(if change.is_some() { Entry::File } else { Entry::Missing });
        }
        match self.base.entry(path)? {
            // A directory whose last file is removed goes with it, as in Git.
            Entry::Directory | Entry::Missing if self.touches(path) => {
                Ok(if self.list(path)?.is_empty() { Entry::Missing } else { Entry::Directory })
            }
            entry => Ok(entry),
        }
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        match self.changes.0.get(path) {
            Some(Some(content)) => Ok(Arc::from(content.as_slice())),
            Some(None) => Err(FilesError::Missing(path.clone())),
            None => self.base.read(path),
        }
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        let mut names = BTreeSet::new();
        for name in self.base.list(directory)? {
            let Ok(path) = directory.join(&name) else { continue };
            if self.touches(&path) && self.entry(&path)? == Entry::Missing {
                continue;
            }
            names.insert(name);
        }
        let written = self.changes.0.iter().filter(|(_, content)| content.is_some()).map(|(path, _)| path);
        names.extend(names_below(directory, written));
        Ok(names.into_iter().collect())
    }

    fn content_id(&self, path: &RepoPath) -> Option<[u8; 20]> {
        if self.touches(path) { None } else { self.base.content_id(path) }
    }
}

impl Overlaid<'_> {
    /// Whether a change stands at or below `path`.
    fn touches(&self, path: &RepoPath) -> bool {
        self.changes.0.keys().any(|changed| changed.is_within(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kustomize::MemoryFiles;

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    #[test]
    fn an_overlaid_tree_reads_as_if_the_change_were_committed() {
        let mut base = MemoryFiles::default();
        base.insert(path("a/one"), "1");
        base.insert(path("b/two"), "2");
        let mut changes = ChangeSet::default();
        changes.remove(path("a/one"));
        changes.write(path("c/three"), "3");
        let tree = Overlaid { base: &base, changes: &changes };

        assert_eq!(tree.list(&RepoPath::root()).unwrap(), ["b", "c"]);
        assert_eq!(tree.entry(&path("a")).unwrap(), Entry::Missing);
        assert_eq!(tree.entry(&path("c")).unwrap(), Entry::Directory);
        assert_eq!(&*tree.read(&path("c/three")).unwrap(), b"3");
        assert_eq!(tree.read(&path("a/one")), Err(FilesError::Missing(path("a/one"))));
        assert_eq!(&*tree.read(&path("b/two")).unwrap(), b"2");
    }
}
