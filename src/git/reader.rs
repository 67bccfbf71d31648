//! The repository for those who only look: files and commits as people read them, and no way to write.

use super::{GitError, LogEntry, Repository};
use crate::project::{Files as _, FilesError, RepoPath, Revision};

/// A handle that only reads; cheap to clone.
#[derive(Clone)]
pub struct Reader(Repository);

/// A folder at one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// The text of the file that was asked for, with U+FFFD for what is no UTF-8; `None` when it is not there.
    pub text: Option<String>,
    /// The newest commits that touched the folder.
    pub commits: Vec<LogEntry>,
}

impl Reader {
    /// Looks at `repository`.
    #[must_use]
    pub const fn new(repository: Repository) -> Self {
        Self(repository)
    }

    /// The file `file` of `revision`, and the newest commits, at most `limit`, that touched the folder around it. Blocks.
    ///
    /// # Errors
    /// [`GitError`] when the history is damaged.
    pub fn folder_of(&self, revision: Revision, file: &RepoPath, limit: usize) -> Result<Folder, GitError> {
        let text = match self.0.tree(revision)?.read(file) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(FilesError::Missing(_)) => None,
            Err(error) => return Err(GitError::Io { what: format!("reading {file}"), message: error.to_string() }),
        };
        let commits = self.0.log(revision, Some(&file.parent()), limit)?;
        Ok(Folder { text, commits })
    }
}
