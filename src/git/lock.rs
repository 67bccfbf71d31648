//! One writer of the manager at a time. A push does not take this lock: git compares the branch itself when it moves it.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::GitError;

/// How long another process may hold the lock. One that is stopped holds it for ever, and callers need an answer.
const PATIENCE: Duration = Duration::from_secs(10);

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
    /// [`GitError::Io`] when the lock file cannot be made or locked, or another process holds it for [`PATIENCE`].
    pub(super) fn acquire(path: &Path) -> Result<Self, GitError> {
        let path = path.join("claude-manager.lock");
        let failed = |error| GitError::io("locking", &path, &error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => {
                    let what = format!("locking {}", path.display());
                    let message = "another process holds the lock; try again, and end that process if it hangs";
                    return Err(GitError::Io { what, message: message.to_owned() });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}
