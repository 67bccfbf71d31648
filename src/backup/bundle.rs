//! Bundles: one file each with a backup and its history, for people who copy files. `git clone <file>` reads one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::git::{Archive, ArchiveError};

/// The directory in BACKUP_DIR.
const FOLDER: &str = "bundles";
/// How many are kept.
const KEPT: usize = 3;
/// The end of the name of a bundle that is being made.
const DRAFT: &str = ".making";

/// Makes the bundle of the backup `name`, and removes the oldest ones.
///
/// # Errors
/// [`ArchiveError`] when it cannot be made; the ones that are there stay.
pub(super) fn make(archive: &Archive, directory: &Path, name: &str) -> Result<PathBuf, ArchiveError> {
    let folder = directory.join(FOLDER);
    let file = folder.join(format!("{name}.bundle"));
    let failed = |error: io::Error| ArchiveError::Command {
        what: format!("making the bundle {}", file.display()),
        message: error.to_string(),
    };
    fs::create_dir_all(&folder).map_err(failed)?;
    remove(&folder, |name| name.ends_with(DRAFT));
    let draft = folder.join(format!("{name}.bundle{DRAFT}"));
    archive.bundle(name, &draft)?;
    fs::rename(&draft, &file).map_err(failed)?;
    fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    let mut names = bundles(&folder);
    names.truncate(names.len().saturating_sub(KEPT));
    remove(&folder, |name| names.iter().any(|old| old == name));
    Ok(file)
}

/// The names of the bundles, oldest first.
fn bundles(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // A name is a time, so that they sort by age. Other files are a person's.
    names.retain(|name| name.strip_suffix(".bundle").is_some_and(|name| super::BackupTime::parse_name(name).is_ok()));
    names.sort_unstable();
    names
}

fn remove(folder: &Path, which: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(&which)
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(file = %entry.path().display(), %error, "an old bundle could not be removed");
        }
    }
}
