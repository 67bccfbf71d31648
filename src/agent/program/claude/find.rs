//! Finds the program: CLAUDE_BIN, else the first `claude` in PATH. Its version is asked for once per file.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::Problem;

/// How long the program may take to tell its version, on a busy machine and from a cold disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where Claude Code is.
#[derive(Debug, Default)]
pub(in crate::agent::program) struct Install {
    configured: Option<PathBuf>,
    known: Mutex<Option<Known>>,
    /// One question at a time.
    asking: tokio::sync::Mutex<()>,
}

/// A program that was asked for its version.
#[derive(Clone, Debug)]
struct Known {
    path: PathBuf,
    stamp: Stamp,
    version: Result<String, String>,
}

/// Path and version of the Claude Code that an agent of this machine would run.
///
/// # Errors
/// What is missing, and the way to bring it.
pub async fn find_claude(configured: Option<PathBuf>) -> Result<(PathBuf, String), String> {
    Install::new(configured).ask().await.map_err(|problem| problem.message())
}

/// Tells one file from its successor.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(u64, u64, i64, i64);

impl Install {
    /// The program at `configured`, else the one that PATH finds.
    pub(in crate::agent::program) fn new(configured: Option<PathBuf>) -> Self {
        Self { configured: configured.filter(|path| !path.as_os_str().is_empty()), ..Self::default() }
    }

    /// Returns path and version, as far as they are known without starting the program.
    pub(in crate::agent::program) fn known(&self) -> Result<(PathBuf, Option<String>), Problem> {
        let (path, stamp) = self.find()?;
        match self.remembered(&path, &stamp) {
            None => Ok((path, None)),
            Some(Ok(version)) => Ok((path, Some(version))),
            Some(Err(reason)) => Err(Problem::Broken { path: path.display().to_string(), reason }),
        }
    }

    /// Returns path and version; starts the program when its file is a new one.
    pub(in crate::agent::program) async fn ask(&self) -> Result<(PathBuf, String), Problem> {
        let _one = self.asking.lock().await;
        let (path, stamp) = self.find()?;
        let version = match self.remembered(&path, &stamp) {
            Some(version) => version,
            None => {
                let version = version(&path).await;
                let known = Known { path: path.clone(), stamp, version: version.clone() };
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                version
            }
        };
        match version {
            Ok(version) => Ok((path, version)),
            Err(reason) => Err(Problem::Broken { path: path.display().to_string(), reason }),
        }
    }

    fn remembered(&self, path: &Path, stamp: &Stamp) -> Option<Result<String, String>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.path == path && known.stamp == *stamp).map(|known| known.version.clone())
    }

    fn find(&self) -> Result<(PathBuf, Stamp), Problem> {
        if let Some(path) = &self.configured {
            return match stamp(path) {
                Some(stamp) => Ok((path.clone(), stamp)),
                None => Err(Problem::NoSuchProgram(path.display().to_string())),
            };
        }
        let places = std::env::var_os("PATH").unwrap_or_default();
        let mut candidates = std::env::split_paths(&places).filter(|place| place.is_absolute());
        candidates
            .find_map(|place| {
                let path = place.join("claude");
                stamp(&path).map(|stamp| (path, stamp))
            })
            .ok_or(Problem::NotInstalled)
    }
}

/// `None` for what is no file that can be run.
fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let runs = meta.permissions().mode() & 0o111 != 0;
    runs.then(|| Stamp(meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// Asks `claude --version`, which answers such as `2.1.332 (Claude Code)`.
async fn version(path: &Path) -> Result<String, String> {
    let asked = Command::new(path)
        .arg("--version")
        .env("DISABLE_AUTOUPDATER", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, asked)
        .await
        .map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_version = word.starts_with(|c: char| c.is_ascii_digit())
        && word.len() <= 64
        && word.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    if output.status.success() && is_version { Ok(word.to_owned()) } else { Err(format!("{}", output.status)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(directory: &Path, text: &str) -> PathBuf {
        let path = directory.join("claude");
        // A file of another inode each time, as an installation makes it.
        let draft = directory.join("draft");
        std::fs::write(&draft, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(draft, &path).unwrap();
        path
    }

    #[tokio::test]
    async fn a_new_file_is_asked_again_and_an_old_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let count = directory.path().join("count");
        let install = Install::new(Some(script(
            directory.path(),
            &format!("echo x >> {}; echo '2.1.332 (Claude Code)'", count.display()),
        )));
        assert_eq!(install.known().unwrap().1, None);
        for _ in 0..2 {
            assert_eq!(install.ask().await.unwrap().1, "2.1.332");
        }
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
        assert_eq!(install.known().unwrap().1.as_deref(), Some("2.1.332"));

        script(directory.path(), "echo 3.0.0");
        assert_eq!(install.known().unwrap().1, None);
        assert_eq!(install.ask().await.unwrap().1, "3.0.0");
        script(directory.path(), "echo broken >&2; exit 3");
        assert!(matches!(install.ask().await, Err(Problem::Broken { .. })));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let install = Install::new(Some("/nowhere/claude".into()));
        assert_eq!(install.ask().await, Err(Problem::NoSuchProgram("/nowhere/claude".to_owned())));
        assert!(install.known().is_err());
    }
}
