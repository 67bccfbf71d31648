//! The pre-receive hook: where a push meets the same checks as a write of ours.
//!
//! While the hook runs, the pushed objects are in quarantine: a directory beside the object database, which only the
//! hook's environment names. The check reads them through a directory of its own whose `info/alternates` names both.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::objects::open_store;
use super::{GitError, Repository, durable};

/// Where the objects of a push are while it is being checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// The quarantine first, then what it borrows from.
    object_directories: Vec<PathBuf>,
}

impl Quarantine {
    /// Reads what git tells a hook; `None` when nothing is in quarantine.
    ///
    /// `variable` looks an environment variable up: `GIT_OBJECT_DIRECTORY` and `GIT_ALTERNATE_OBJECT_DIRECTORIES`.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let quarantine = variable("GIT_OBJECT_DIRECTORY").or_else(|| variable("GIT_QUARANTINE_PATH"))?;
        let borrowed = variable("GIT_ALTERNATE_OBJECT_DIRECTORIES").unwrap_or_default();
        let directories = std::iter::once(quarantine.as_str()).chain(borrowed.split(':'));
        Some(Self { object_directories: directories.filter(|text| !text.is_empty()).map(PathBuf::from).collect() })
    }
}

/// How the scratch directories are named; git takes names like this for temporary ones, too.
const SCRATCH: &str = "tmp_objdir-claude-manager-push-";
/// No check of a push runs this long.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Removes the scratch directories of checks that were killed.
pub(super) fn remove_abandoned(objects: &Path) {
    let Ok(entries) = fs::read_dir(objects) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(SCRATCH)) {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED) {
            drop(Scratch(entry.path()));
        }
    }
}

/// A directory that goes with its value.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a scratch directory could not be removed");
        }
    }
}

impl Repository {
    /// Opens the repository at `path` as the check of a push sees it: with the pushed objects.
    ///
    /// # Errors
    /// [`GitError`] when it cannot be opened.
    pub fn open_in_push(path: &Path, quarantine: Option<&Quarantine>) -> Result<Self, GitError> {
        let Some(quarantine) = quarantine else { return Self::open(path, None) };
        let scratch = path.join("objects").join(format!("{SCRATCH}{}", std::process::id()));
        let failed = |error| GitError::io("making", &scratch, &error);
        fs::create_dir_all(scratch.join("info")).map_err(failed)?;
        let guard = Scratch(scratch.clone());
        let mut alternates = String::new();
        for directory in &quarantine.object_directories {
            // Relative paths are relative to where git runs the hook: the repository.
            alternates.push_str(&path.join(directory).display().to_string());
            alternates.push('\n');
        }
        alternates.push_str(&path.join("objects").display().to_string());
        alternates.push('\n');
        fs::write(scratch.join("info/alternates"), alternates).map_err(failed)?;
        let store = open_store(&scratch)?;
        Self::with_store(path, None, store, Some(guard))
    }

    /// Installs the hook that has `program` judge each push: `<program> hook pre-receive`, in the repository, with the
    /// updates on its standard input.
    ///
    /// # Errors
    /// [`GitError::Io`] when the file cannot be written.
    pub fn install_hook(&self, program: &Path) -> Result<(), GitError> {
        let hooks = self.path().join("hooks");
        let hook = hooks.join("pre-receive");
        let failed = |error| GitError::io("writing", &hook, &error);
        let quoted = program.display().to_string().replace('\'', r"'\''");
        let script = format!(
            "#!/bin/sh\n\
             # Every push is checked as a write through the API is. Written at each start of Claude Manager.\n\
             exec '{quoted}' hook pre-receive\n"
        );
        if fs::read_to_string(&hook).is_ok_and(|there| there == script) {
            return Ok(());
        }
        fs::create_dir_all(&hooks).map_err(failed)?;
        let making = hooks.join("pre-receive.new");
        fs::write(&making, script).map_err(failed)?;
        fs::set_permissions(&making, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        durable::sync(&making)?;
        fs::rename(&making, &hook).map_err(failed)?;
        durable::sync(&hooks)
    }
}
