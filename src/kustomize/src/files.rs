//! A tree of files to read: a Git tree, a directory, or a map.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::RepoPath;

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

/// Returns the first path parts below `directory`, each once: what a listing of it gives.
pub fn names_below<'a>(directory: &RepoPath, paths: impl Iterator<Item = &'a RepoPath>) -> BTreeSet<String> {
    paths
        .filter(|path| *path != directory && path.is_within(directory))
        .filter_map(|path| {
            let rest = path.as_str()[directory.as_str().len()..].trim_start_matches('/');
            rest.split('/').next().map(str::to_owned)
        })
        .collect()
}
