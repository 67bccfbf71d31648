//! Whether what the branch names is all there, and which commits are left where a branch is gone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::objects::object_id;
use super::process::{RunError, git, run};
use super::{GitError, Repository, directory, refs};
use crate::project::{Revision, layout};

/// How long `git fsck` may take.
const LIMIT: Duration = Duration::from_secs(120);
/// So many lost commits are compared with one another.
const MOST_LOST: usize = 64;

/// Whether the bare repository at `path` has any object.
#[must_use]
pub fn has_objects(path: &Path) -> bool {
    let folders = fs::read_dir(path.join("objects")).into_iter().flatten().flatten();
    folders
        .filter(|folder| folder.file_name() != "info")
        .any(|folder| fs::read_dir(folder.path()).is_ok_and(|mut entries| entries.next().is_some()))
}

impl Repository {
    /// Returns the names of all branches, without `refs/heads/`.
    ///
    /// # Errors
    /// [`GitError::Io`] when the refs cannot be read.
    pub fn branches(&self) -> Result<Vec<String>, GitError> {
        refs::names_below(self.refs(), "refs/heads/")
    }

    /// Reads the commit, its root directory and the directory of each project. Files are not read, so that it stays cheap
    /// at every start; [`Repository::fsck`] looks at everything.
    ///
    /// # Errors
    /// [`GitError::Object`] names the first object that is missing or damaged.
    pub fn check_commit(&self, commit: Revision) -> Result<(), GitError> {
        let objects = self.objects();
        let root = objects.directory(objects.commit(object_id(commit))?.tree)?;
        for entry in root.entries.iter().filter(|entry| entry.mode.is_tree()) {
            objects.directory(entry.oid)?;
        }
        let projects = directory::find(&root, layout::projects().as_str()).filter(|entry| entry.mode.is_tree());
        let Some(projects) = projects else { return Ok(()) };
        for project in objects.directory(projects.oid)?.entries.iter().filter(|entry| entry.mode.is_tree()) {
            objects.directory(project.oid)?;
        }
        Ok(())
    }

    /// Returns the newest readable commits that no branch has to name: those that nothing refers to, and those of other
    /// refs; with `known`, only the ones that hold it in their history.
    #[must_use]
    pub fn lost_heads(&self, known: Option<Revision>) -> Vec<Revision> {
        let mut command = git(self.path());
        command.args(["fsck", "--connectivity-only", "--no-reflogs", "--no-progress"]);
        let output = run(command, LIMIT).map(|output| output.stdout).unwrap_or_default();
        let dangling = output.lines().filter_map(|line| line.strip_prefix("dangling commit "));
        let mut found: Vec<Revision> = dangling.filter_map(|id| Revision::parse(id).ok()).collect();
        for name in refs::names_below(self.refs(), "refs/").unwrap_or_default() {
            found.extend(self.resolve(&format!("refs/{name}")).ok());
        }
        found.extend(known);
        found.sort_unstable_by_key(|found| std::cmp::Reverse(self.time(*found).unwrap_or_default()));
        found.dedup();
        found.truncate(MOST_LOST);
        found.retain(|found| {
            let holds = |known| *found == known || self.is_ancestor(known, *found).unwrap_or(false);
            self.check_commit(*found).is_ok() && known.is_none_or(holds)
        });
        // What another one has in its history is no head.
        let all = found.clone();
        let is_newest =
            |one: &Revision| !all.iter().any(|other| other != one && self.is_ancestor(*one, *other).unwrap_or(false));
        found.retain(is_newest);
        found
    }

    /// Lets git look whether everything that the refs name is there. Returns what it complains about, in a few lines.
    ///
    /// # Errors
    /// [`GitError::Io`] when git cannot be run or does not end in time.
    pub fn fsck(&self) -> Result<Option<String>, GitError> {
        let mut command = git(self.path());
        command.args(["fsck", "--connectivity-only", "--no-dangling", "--no-progress"]);
        let what = format!("git fsck in {}", self.path().display());
        let output = run(command, LIMIT).map_err(|error| match error {
            RunError::Start(error) => GitError::Io { what: what.clone(), message: error.to_string() },
            RunError::TimedOut(limit) => {
                GitError::Io { what: what.clone(), message: format!("no end within {} seconds", limit.as_secs()) }
            }
        })?;
        if output.success {
            return Ok(None);
        }
        let lines = output.stderr.lines().chain(output.stdout.lines()).filter(|line| !line.trim().is_empty());
        let told: Vec<&str> = lines.take(5).collect();
        Ok(Some(if told.is_empty() { "git fsck failed without a word".to_owned() } else { told.join("\n") }))
    }
}
