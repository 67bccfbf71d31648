//! Objects from memory onto the disk, for good.
//!
//! *Rationale.* The object database library renames objects into place without syncing them. After a power cut such an
//! object can be there and empty, and whoever writes the same content later finds it "already there". So objects are
//! written into a folder of their own, synced, and only then renamed into place; then the directories are synced. The
//! caller moves the branch only after that.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use gix::objs::Write;
use gix::odb::loose;
use gix::odb::memory::Storage;

use super::{GitError, WriteLock};

/// Git's own name for such a folder, so that `git prune` knows it; one name is enough, the lock admits one writer.
const STAGING: &str = "tmp_objdir-claude-manager";
/// Syncs wait for the disk, not for a processor: some of them at once let the disk put them together.
const SYNC_THREADS: usize = 8;

/// Makes every staged object durable below `objects`.
pub(super) fn write_objects(objects: &Path, staged: &Storage, _lock: &WriteLock) -> Result<(), GitError> {
    let staging = objects.join(STAGING);
    // What a killed writer left behind.
    remove_staging(&staging)?;
    if staged.is_empty() {
        return Ok(());
    }
    fs::create_dir(&staging).map_err(|error| GitError::io("making", &staging, &error))?;
    let store = loose::Store::at(&staging, gix::hash::Kind::Sha1);

    let mut to_sync = Vec::new();
    let mut to_move = Vec::new();
    let mut directories = BTreeSet::new();
    for (id, (kind, bytes)) in staged.iter() {
        let hex = id.to_string();
        let directory = objects.join(&hex[..2]);
        let target = directory.join(&hex[2..]);
        directories.insert(directory);
        if target.exists() {
            // Perhaps from a writer that was killed before its directories were synced.
            to_sync.push(target);
            continue;
        }
        let written = store.write_buf_with_known_id(*kind, bytes, *id);
        written.map_err(|error| GitError::Io {
            what: format!("writing an object into {}", staging.display()),
            message: GitError::whole(&error),
        })?;
        let path = store.object_path(id);
        to_sync.push(path.clone());
        to_move.push((path, target));
    }

    sync_all(&to_sync)?;
    for directory in &directories {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != IoErrorKind::AlreadyExists => {
                return Err(GitError::io("making", directory, &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    for (from, to) in &to_move {
        fs::rename(from, to).map_err(|error| GitError::io("moving an object to", to, &error))?;
    }
    let mut all: Vec<PathBuf> = directories.into_iter().collect();
    all.push(objects.to_owned());
    sync_all(&all)?;
    remove_staging(&staging)
}

fn remove_staging(staging: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(staging) {
        Err(error) if error.kind() != IoErrorKind::NotFound => Err(GitError::io("removing", staging, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Syncs files or directories, several at once when there are many.
fn sync_all(paths: &[PathBuf]) -> Result<(), GitError> {
    if paths.len() <= SYNC_THREADS {
        return paths.iter().try_for_each(|path| sync(path));
    }
    let share = paths.len().div_ceil(SYNC_THREADS);
    std::thread::scope(|scope| {
        let workers: Vec<_> = paths
            .chunks(share)
            .map(|paths| scope.spawn(move || paths.iter().try_for_each(|path| sync(path))))
            .collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Syncs one file or directory.
pub(super) fn sync(path: &Path) -> Result<(), GitError> {
    let file = File::open(path).map_err(|error| GitError::io("opening", path, &error))?;
    file.sync_all().map_err(|error| GitError::io("syncing", path, &error))
}
