//! A tree of files to read: a Git tree, a directory, a map, or one of them with changes laid over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ChangeSet, RepoPath};

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link or submodule; never followed.
    Other,
    /// Nothing.
    Missing,
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// There is no such file.
    #[error("{0} does not exist")]
    Missing(RepoPath),
    /// Something else stands there.
    #[error("{0} is not a regular file")]
    NotAFile(RepoPath),
    /// The store below failed.
    #[error("{path} could not be read: {message}")]
    Unreadable {
        /// The path that was asked for.
        path: RepoPath,
        /// What the store said.
        message: String,
    },
}

/// A tree of files at one moment. Two reads of one path give the same bytes.
pub trait Files: Send + Sync {
    /// What stands at `path`.
    ///
    /// # Errors
    /// [`FilesError::Unreadable`] when the store fails; a missing path is an answer.
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError>;

    /// The bytes of a regular file.
    ///
    /// # Errors
    /// [`FilesError`] when there is no regular file or the store fails.
    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError>;

    /// The names in a directory, sorted; empty when there is no such directory.
    ///
    /// # Errors
    /// [`FilesError::Unreadable`] when the store fails.
    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError>;

    /// A content id of what stands at `path` (a Git blob or tree id), where the store knows one without reading:
    /// equal ids mean equal content.
    fn content_id(&self, path: &RepoPath) -> Option<[u8; 20]>;
}

/// Files in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(BTreeMap<RepoPath, Arc<[u8]>>);

impl MemoryFiles {
    /// Adds or replaces a file.
    pub fn insert(&mut self, path: RepoPath, content: impl Into<Vec<u8>>) {
        self.0.insert(path, Arc::from(content.into()));
    }

    /// All files in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&RepoPath, &Arc<[u8]>)> {
        self.0.iter()
    }
}

impl Files for MemoryFiles {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        if self.0.contains_key(path) {
            return Ok(Entry::File);
        }
        let below = self.0.keys().any(|other| other.is_within(path));
        Ok(if below { Entry::Directory } else { Entry::Missing })
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        match (self.0.get(path), self.entry(path)?) {
            (Some(content), _) => Ok(Arc::clone(content)),
            (None, Entry::Missing) => Err(FilesError::Missing(path.clone())),
            (None, _) => Err(FilesError::NotAFile(path.clone())),
        }
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        Ok(names_below(directory, self.0.keys()).into_iter().collect())
    }

    fn content_id(&self, _: &RepoPath) -> Option<[u8; 20]> {
        None
    }
}

/// Files in memory that have ids, as those of a Git tree have.
#[cfg(test)]
pub(crate) struct Identified(pub(crate) MemoryFiles);

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

/// The first path parts below `directory`, each once.
fn names_below<'a>(directory: &RepoPath, paths: impl Iterator<Item = &'a RepoPath>) -> BTreeSet<String> {
    paths
        .filter(|path| *path != directory && path.is_within(directory))
        .filter_map(|path| {
            let rest = path.as_str()[directory.as_str().len()..].trim_start_matches('/');
            rest.split('/').next().map(str::to_owned)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
