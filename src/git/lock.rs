//! One writer at a time: the manager's writes and the check of a push exclude one another.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::GitError;

/// Holds the repository's write lock until it is dropped, or until the process dies however it dies.
#[derive(Debug)]
pub struct WriteLock {
    // Closing the file gives the lock back; the kernel does that for a killed process too.
    _file: File,
}

impl WriteLock {
    /// Waits for the lock of the repository at `path`.
    ///
    /// # Errors
    /// [`GitError::Io`] when the lock file cannot be made or locked.
    pub(super) fn acquire(path: &Path) -> Result<Self, GitError> {
        let path = path.join("claude-manager.lock");
        let failed = |error| GitError::io("locking", &path, &error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(Self { _file: file })
    }
}
