//! The repository for those who only look: files and commits as people read them, and no way to write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{GitError, LogEntry, Repository};
use crate::project::{Files as _, FilesError, RepoPath, Revision};

/// How many folders are remembered.
const REMEMBERED: usize = 256;

/// A handle that only reads; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    repository: Repository,
    /// What was read: at one commit a folder never changes, and a walk along the history is dear.
    known: Arc<Mutex<FolderCache>>,
}

/// Folders by commit, file, and how many commits were asked for.
type FolderCache = BTreeMap<(Revision, RepoPath, usize), Folder>;

/// A folder at one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// The text of the file that was asked for, with U+FFFD for what is no UTF-8; `None` when it is not there.
    pub text: Option<String>,
    /// The newest commits that touched the folder, back to the one that made it.
    pub commits: Vec<LogEntry>,
}

impl Reader {
    /// Looks at `repository`.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self { repository, known: Arc::default() }
    }

    /// The file `file` of `revision`, and the newest commits, at most `limit`, that touched the folder around it. Blocks;
    /// the closer `revision` is to the folder's last change, the less there is to walk.
    ///
    /// # Errors
    /// [`GitError`] when the history is damaged.
    pub fn folder_of(&self, revision: Revision, file: &RepoPath, limit: usize) -> Result<Folder, GitError> {
        let key = (revision, file.clone(), limit);
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = lock().get(&key) {
            return Ok(folder.clone());
        }
        let text = match self.repository.tree(revision)?.read(file) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(FilesError::Missing(_)) => None,
            Err(error) => return Err(GitError::Io { what: format!("reading {file}"), message: error.to_string() }),
        };
        let folder = Folder { text, commits: self.repository.log_of_life(revision, &file.parent(), limit)? };
        let mut known = lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, folder.clone());
        Ok(folder)
    }
}
