//! Lock files of git programs that were killed.
//!
//! Git makes `refs/heads/main.lock` and closes it before it renames it onto the ref, so that the kernel does not know who
//! holds it. A lock is taken for abandoned when it is older than a ref update takes and no process works in the repository:
//! git changes into the directory, or is given it by argument.
//!
//! *Caveat.* Processes of other machines or containers on the same volume are not seen; a lock of theirs is respected for
//! [`AGE`] only. Git then finds its lock gone, and fails without having moved the branch.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The age that no lock of a ref update reaches.
pub(super) const AGE: Duration = Duration::from_secs(10);

/// Returns how old a lock file is; `None` without one.
pub(super) fn age(lock: &Path) -> Option<Duration> {
    let made = fs::metadata(lock).and_then(|metadata| metadata.modified()).ok()?;
    Some(SystemTime::now().duration_since(made).unwrap_or_default())
}

/// Removes `lock` when no process can hold it. Returns whether it did.
pub(super) fn remove(git_dir: &Path, lock: &Path) -> bool {
    if age(lock).is_none_or(|age| age < AGE) || is_in_use(git_dir) {
        return false;
    }
    let removed = fs::remove_file(lock).is_ok();
    if removed {
        tracing::warn!(file = %lock.display(), "removed a lock that a killed git program had left");
    }
    removed
}

/// Whether a git program works in the repository, or one may that cannot be looked at. True where processes cannot be seen.
fn is_in_use(git_dir: &Path) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    let own = std::process::id().to_string();
    processes
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.as_bytes().iter().all(u8::is_ascii_digit) && name != own.as_str()
        })
        .any(|entry| works_in(&entry.path(), git_dir))
}

fn works_in(process: &Path, git_dir: &Path) -> bool {
    let is_git = fs::read_to_string(process.join("comm")).map_or(true, |name| name.starts_with("git"));
    match fs::read_link(process.join("cwd")) {
        Ok(directory) if directory.starts_with(git_dir) => return true,
        Ok(_) => {}
        // A process that ended has no directory; one of another user does not show it.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return is_git,
        Err(_) => return false,
    }
    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
    let path = git_dir.as_os_str().as_bytes();
    is_git && arguments.windows(path.len().max(1)).any(|part| part == path)
}
