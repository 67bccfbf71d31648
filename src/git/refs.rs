//! Reading refs, and moving the branch by compare-and-swap under Git's own lock file.
//!
//! Every git program that writes `refs/heads/main` first makes `refs/heads/main.lock`, and only one can. We do the same,
//! look whether the branch still is where the commit was made, and rename the lock onto the ref. A process killed
//! between the two leaves the lock behind, and then nobody could write again. So our lock is made as a hard link to a
//! file of ours: whoever holds the write lock and finds a branch lock with that file behind it knows that its maker is
//! dead, and takes it away. A lock of another program is removed only when no process can hold it ([`abandoned`]).

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gix::ObjectId;
use gix::refs::Target;
use gix::refs::file::Store;

use super::durable::sync;
use super::objects::revision;
use super::{CommitError, GitError, WriteLock, abandoned};
use crate::project::Revision;

/// How long another program may hold the branch.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Our file behind the lock, in the repository's directory.
const OWN: &str = "claude-manager.ref";

/// What `name` points to, through symbolic refs; `None` when there is no such ref.
pub(super) fn find(refs: &Store, name: &str) -> Result<Option<ObjectId>, GitError> {
    let mut name = name.to_owned();
    for _ in 0..5 {
        let full: &gix::refs::FullNameRef = match name.as_str().try_into() {
            Ok(full) => full,
            Err(_) => return Ok(None),
        };
        let failed = |error: gix::Error| GitError::Io { what: format!("reading {name}"), message: error.to_string() };
        // The ref's own file first: `git pack-refs` writes the packed file before it removes this one, so whoever finds
        // none here has to read the packed file after that, not before.
        let target = match refs.try_find_loose(full).map_err(failed)? {
            Some(loose) => Some(loose.target),
            None => refs.try_find(full).map_err(failed)?.map(|reference| reference.target),
        };
        match target {
            Some(Target::Object(id)) => return Ok(Some(id)),
            Some(Target::Symbolic(next)) => name = next.as_bstr().to_string(),
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Returns what stands behind `prefix` in the name of each ref below it, in order. `prefix` ends with a slash.
pub(super) fn names_below(refs: &Store, prefix: &str) -> Result<Vec<String>, GitError> {
    let failed =
        |error: &dyn std::fmt::Display| GitError::Io { what: format!("reading {prefix}"), message: error.to_string() };
    let prefix_path: &gix::path::RelativePath = prefix.try_into().map_err(|error: gix::Error| failed(&error))?;
    let platform = refs.iter().map_err(|error| failed(&error))?;
    let mut names = Vec::new();
    for reference in platform.prefixed(prefix_path).map_err(|error| failed(&error))? {
        // A ref that cannot be read is no reason to show none of the others.
        let Ok(reference) = reference else { continue };
        let name = reference.name.as_bstr().to_string();
        names.extend(name.strip_prefix(prefix).map(str::to_owned));
    }
    Ok(names)
}

/// Moves `name` from `expected` to `new`, durably.
pub(super) fn compare_and_swap(
    git_dir: &Path,
    refs: &Store,
    name: &str,
    expected: Option<Revision>,
    new: ObjectId,
    _lock: &WriteLock,
) -> Result<(), CommitError> {
    let target = git_dir.join(name);
    let lock = git_dir.join(format!("{name}.lock"));
    let directory = target.parent().unwrap_or(git_dir);
    fs::create_dir_all(directory).map_err(|error| GitError::io("making", directory, &error))?;

    let own = git_dir.join(OWN);
    take_lock(git_dir, &own, &lock, new)?;
    let outcome = (|| {
        let found = find(refs, name)?.map(|id| revision(&id));
        if found != expected {
            return Err(CommitError::HeadMoved { expected, found });
        }
        fs::rename(&lock, &target).map_err(|error| GitError::io("moving the branch", &target, &error))?;
        sync(directory)?;
        Ok(())
    })();
    if outcome.is_err() {
        remove(&lock);
    }
    remove(&own);
    outcome
}

/// Makes `lock` with the new value in it, synced.
fn take_lock(git_dir: &Path, own: &Path, lock: &Path, new: ObjectId) -> Result<(), CommitError> {
    remove_stale(own, lock);
    remove(own);
    write_value(own, new, OpenOptions::new().create(true).truncate(true).write(true))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match fs::hard_link(own, lock) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == IoErrorKind::AlreadyExists => {}
            // A file system without hard links: the lock is made directly, and a stale one is left to people.
            Err(_) => match write_value(lock, new, OpenOptions::new().create_new(true).write(true)) {
                Ok(()) => return Ok(()),
                Err(_) if lock.exists() => {}
                Err(error) => return Err(error.into()),
            },
        }
        if Instant::now() >= deadline {
            if abandoned::remove(git_dir, lock) {
                continue;
            }
            remove(own);
            return Err(CommitError::Locked(lock.display().to_string()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn write_value(path: &Path, value: ObjectId, options: &OpenOptions) -> Result<(), GitError> {
    let failed = |error| GitError::io("writing", path, &error);
    let mut file: File = options.open(path).map_err(failed)?;
    writeln!(file, "{value}").map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Removes a branch lock that a dead writer of ours left: the caller holds the write lock, so no living one exists.
pub(super) fn remove_stale(own: &Path, lock: &Path) {
    if let (Ok(ours), Ok(locked)) = (fs::metadata(own), fs::metadata(lock))
        && (ours.dev(), ours.ino()) == (locked.dev(), locked.ino())
    {
        remove(lock);
    }
}

/// Where our file behind a branch lock is.
pub(super) fn own_file(git_dir: &Path) -> PathBuf {
    git_dir.join(OWN)
}

/// Removes a file that may be gone already.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != IoErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a lock file could not be removed");
    }
}
