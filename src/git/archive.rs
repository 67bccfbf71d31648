//! A bare repository that keeps backups of the state repository as tags, and pushes them to another repository.
//!
//! A backup is the tag `refs/tags/backup/<name>` on a commit of the state repository. The remote's tags are mirrored below
//! `refs/remotes/backup/tags/`, and its branch as `refs/remotes/backup/branch`, so that they are listed and read without
//! the network.
//!
//! *Guarantees.* A branch of the remote moves by fast-forward only, and no tag of the remote is moved or removed. What
//! [`Archive::read_back`] accepts was fetched from the remote into an empty repository.
//!
//! *Caveats.* Everything here blocks. Transfers of one archive exclude one another.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::objects::{object_id, revision};
use super::process::{Output, RunError, git, run};
use super::remote::{Remote, RemoteError, remote_says};
use super::repository::init;
use super::{CommitError, GitError, Repository, Tree, refs};
use crate::project::{ErrorKind, Revision};

/// Where the head of the state repository is fetched to.
const STATE: &str = "refs/claude-manager/state";
/// The backups of this archive.
const TAGS: &str = "refs/tags/backup/";
/// The backups of the remote.
const REMOTE_TAGS: &str = "refs/remotes/backup/tags/";
/// The branch of the remote.
const REMOTE_BRANCH: &str = "refs/remotes/backup/branch";
/// How long one transfer, or one local command, may take.
const LIMIT: Duration = Duration::from_secs(600);
/// From so many packs on they are joined: each backup brings one.
const PACKS: usize = 20;

/// Why the archive did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArchiveError {
    /// A repository cannot be read or written.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The remote did not answer, or refused.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// What the remote has is not what was pushed.
    #[error("the backup repository does not have what was pushed: {0}")]
    Mismatch(String),
    /// A git command on the local copy failed.
    #[error("{what} failed: {message}")]
    Command {
        /// What was tried, with the path.
        what: String,
        /// What git said.
        message: String,
    },
}

impl ArchiveError {
    /// What the error means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Git(error) => error.kind(),
            Self::Remote(error) => error.kind(),
            Self::Mismatch(_) | Self::Command { .. } => ErrorKind::Unavailable,
        }
    }
}

impl From<CommitError> for ArchiveError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Git(error) => Self::Git(error),
            CommitError::Remote(error) => Self::Remote(error),
            error @ (CommitError::HeadMoved { .. } | CommitError::Locked(_)) => {
                Self::Command { what: "moving a ref of the local copy".to_owned(), message: error.to_string() }
            }
        }
    }
}

/// A tag below `backup/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedTag {
    /// The name behind `backup/`.
    pub name: String,
    /// Whether the local copy has made it or taken it over.
    pub is_local: bool,
    /// Whether the remote had it when it was last asked.
    pub is_remote: bool,
}

/// What became of the remote's branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchOutcome {
    /// It names the commit of the backup.
    Moved,
    /// The remote refused to move it, with these words.
    Refused(String),
}

/// How the remote's branch relates to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The branch has commits that the commit lacks, and nothing else differs.
    Ahead,
    /// Both have commits that the other lacks.
    Diverged,
    /// They have no commit in common.
    Unrelated,
}

/// The archive at one path.
pub struct Archive {
    repository: Repository,
    remote: Option<Remote>,
    /// The branch of the remote, as in `refs/heads/main`.
    branch: String,
    /// One transfer at a time: they share refs and the key file.
    transfer: Mutex<()>,
}

impl Archive {
    /// Opens the archive at `path`, or makes it. `branch` is the short name of the branch that is pushed to `remote`.
    ///
    /// # Errors
    /// [`GitError`] when `path` is something else or cannot be written, or the branch has no possible name.
    pub fn open(path: &Path, branch: &str, remote: Option<Remote>) -> Result<Self, GitError> {
        remove_abandoned_locks(path);
        let repository = Repository::prepare(path, branch, None)?;
        let branch = repository.branch().to_owned();
        Ok(Self { repository, remote, branch, transfer: Mutex::new(()) })
    }

    /// Returns where the archive is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.repository.path()
    }

    /// Returns the remote that backups are pushed to.
    #[must_use]
    pub const fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Copies the head of `state` with its history and returns it.
    ///
    /// # Errors
    /// [`ArchiveError`] when `state` has no commit yet or cannot be read.
    pub fn copy_head(&self, state: &Repository) -> Result<Revision, ArchiveError> {
        let _one = self.lock_transfer();
        let refspec = format!("+{}:{STATE}", state.branch());
        let path = state.path().display().to_string();
        let arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", &path, &refspec];
        self.local("copying the state repository", &arguments)?;
        let found = refs::find(self.repository.refs(), STATE)?;
        found.map(|id| revision(&id)).ok_or_else(|| ArchiveError::Command {
            what: "copying the state repository".to_owned(),
            message: "it has no commit".to_owned(),
        })
    }

    /// Makes the tag `backup/<name>` and moves the local branch to `commit`, durably.
    ///
    /// # Errors
    /// [`ArchiveError`] when there is such a tag already, or nothing can be written.
    pub fn tag(&self, name: &str, commit: Revision) -> Result<(), ArchiveError> {
        let (path, store) = (self.path(), self.repository.refs());
        let lock = self.repository.lock()?;
        refs::compare_and_swap(path, store, &format!("{TAGS}{name}"), None, object_id(commit), &lock)?;
        let before = self.repository.head()?;
        refs::compare_and_swap(path, store, &self.branch, before, object_id(commit), &lock)?;
        Ok(())
    }

    /// Returns the backups of the archive and its remote, by name.
    ///
    /// # Errors
    /// [`GitError`] when the refs cannot be read.
    pub fn tags(&self) -> Result<Vec<ArchivedTag>, GitError> {
        let mut tags: BTreeMap<String, ArchivedTag> = BTreeMap::new();
        for prefix in [TAGS, REMOTE_TAGS] {
            for name in refs::names_below(self.repository.refs(), prefix)? {
                let tag = ArchivedTag { name: name.clone(), is_local: false, is_remote: false };
                let tag = tags.entry(name).or_insert(tag);
                if prefix == TAGS { tag.is_local = true } else { tag.is_remote = true }
            }
        }
        Ok(tags.into_values().collect())
    }

    /// Returns the commit of the backup `name`: the local one where there is one, as nobody else moves it.
    ///
    /// # Errors
    /// [`GitError::UnknownRevision`] when there is no such tag, or it names no commit.
    pub fn find(&self, name: &str) -> Result<Revision, GitError> {
        let local = self.repository.resolve(&format!("{TAGS}{name}"));
        local.or_else(|_| self.repository.resolve(&format!("{REMOTE_TAGS}{name}")))
    }

    /// Returns the commit of the remote's branch when it was last asked.
    ///
    /// # Errors
    /// [`GitError`] when it cannot be read.
    pub fn remote_branch(&self) -> Result<Option<Revision>, GitError> {
        Ok(refs::find(self.repository.refs(), REMOTE_BRANCH)?.map(|id| revision(&id)))
    }

    /// Returns the files of a commit of the archive.
    ///
    /// # Errors
    /// [`GitError::Object`] when there is no such commit.
    pub fn tree(&self, commit: Revision) -> Result<Tree, GitError> {
        self.repository.tree(commit)
    }

    /// Returns when a commit of the archive was made.
    ///
    /// # Errors
    /// [`GitError::Object`] when there is no such commit.
    pub fn time(&self, commit: Revision) -> Result<jiff::Timestamp, GitError> {
        self.repository.time(commit)
    }

    /// Asks the remote for its backups and its branch, with their objects. Does nothing without a remote.
    ///
    /// # Errors
    /// [`ArchiveError::Remote`] when it does not answer; the mirrored refs stay as they were.
    pub fn refresh(&self) -> Result<(), ArchiveError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let _one = self.lock_transfer();
        let short = self.branch.trim_start_matches("refs/heads/");
        let has_branch = remote.branch_tip(self.path(), short)?.is_some();
        let tags = format!("+{TAGS}*:{REMOTE_TAGS}*");
        let branch = format!("+{}:{REMOTE_BRANCH}", self.branch);
        let mut arguments =
            vec!["fetch", "--quiet", "--no-tags", "--prune", "--no-write-fetch-head", "--no-recurse-submodules"];
        arguments.extend(["--", remote.url(), &tags]);
        if has_branch {
            arguments.push(&branch);
        } else if self.remote_branch()?.is_some() {
            self.local("forgetting the remote's branch", &["update-ref", "-d", REMOTE_BRANCH])?;
        }
        let output = remote.run_within(self.path(), "fetching from", &arguments, LIMIT)?;
        if output.success {
            return Ok(());
        }
        Err(remote.failure("fetching from", &output.stderr, false).into())
    }

    /// Pushes the tag `backup/<name>`, and the branch by fast-forward. A refused branch is an answer, no error. Does
    /// nothing without a remote.
    ///
    /// # Errors
    /// [`ArchiveError::Remote`] when the remote does not have the tag afterwards.
    pub fn push(&self, name: &str, commit: Revision) -> Result<BranchOutcome, ArchiveError> {
        let Some(remote) = &self.remote else { return Ok(BranchOutcome::Moved) };
        let _one = self.lock_transfer();
        let tag = format!("{TAGS}{name}");
        let (to_tag, to_branch) = (format!("{tag}:{tag}"), format!("{commit}:{}", self.branch));
        let arguments = ["push", "--porcelain", "--no-verify", "--", remote.url(), &to_tag, &to_branch];
        let output = remote.run_within(self.path(), "pushing to", &arguments, LIMIT)?;
        // `<flag> TAB <from>:<to> TAB <summary>`; only `!` is a refusal.
        let line = |target: &str| {
            output.stdout.lines().find_map(|line| {
                let (flag, rest) = line.split_once('\t')?;
                let (names, summary) = rest.split_once('\t')?;
                (names.rsplit_once(':')?.1 == target).then(|| (flag == "!", summary.to_owned()))
            })
        };
        let refusal = |summary: &str| match remote_says(&output.stderr) {
            words if words.is_empty() => summary.to_owned(),
            words => format!("{summary}: {words}"),
        };
        match line(&tag) {
            Some((false, _)) => {}
            Some((true, summary)) => return Err(remote.failure("pushing to", &refusal(&summary), true).into()),
            None => return Err(remote.failure("pushing to", &output.stderr, false).into()),
        }
        match line(&self.branch) {
            Some((true, summary)) => Ok(BranchOutcome::Refused(refusal(&summary))),
            Some((false, _)) => Ok(BranchOutcome::Moved),
            None => Ok(BranchOutcome::Refused("the remote said nothing about the branch".to_owned())),
        }
    }

    /// Returns how the remote's branch, as last asked for, relates to `commit`; `None` when the branch is in the history of
    /// `commit` or is not there.
    ///
    /// # Errors
    /// [`ArchiveError`] when the history cannot be read.
    pub fn relation(&self, commit: Revision) -> Result<Option<Relation>, ArchiveError> {
        let Some(tip) = self.remote_branch()? else { return Ok(None) };
        if self.repository.is_ancestor(tip, commit)? {
            return Ok(None);
        }
        if self.repository.is_ancestor(commit, tip)? {
            return Ok(Some(Relation::Ahead));
        }
        let output = self.output("comparing histories", &["merge-base", &tip.to_string(), &commit.to_string()])?;
        Ok(Some(if output.success { Relation::Diverged } else { Relation::Unrelated }))
    }

    /// Fetches the backup `name` from the remote into an empty repository at `scratch`, and compares: the tag (and, when
    /// `with_branch`, the branch) has to name `commit`, its tree has to be the same and whole. `scratch` is removed.
    ///
    /// # Errors
    /// [`ArchiveError::Mismatch`] with what differs, or [`ArchiveError::Remote`].
    pub fn read_back(
        &self,
        name: &str,
        commit: Revision,
        with_branch: bool,
        scratch: &Path,
    ) -> Result<(), ArchiveError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let _one = self.lock_transfer();
        let tag = format!("{TAGS}{name}");
        let listed = remote.run_within(
            self.path(),
            "reading back from",
            &["ls-remote", "--", remote.url(), &tag, &self.branch],
            LIMIT,
        )?;
        if !listed.success {
            return Err(remote.failure("reading back from", &listed.stderr, false).into());
        }
        let named: BTreeMap<&str, &str> =
            listed.stdout.lines().filter_map(|line| line.split_once('\t')).map(|(id, name)| (name, id)).collect();
        let wanted = commit.to_string();
        let mut expected = vec![tag.as_str()];
        expected.extend(with_branch.then_some(self.branch.as_str()));
        for name in expected {
            let found = named.get(name).copied().unwrap_or("nothing");
            if found != wanted {
                return Err(ArchiveError::Mismatch(format!("{name} names {found}, not {wanted}")));
            }
        }
        let compared = self.compare(remote, &tag, commit, scratch);
        remove_directory(scratch);
        compared
    }

    fn compare(&self, remote: &Remote, tag: &str, commit: Revision, scratch: &Path) -> Result<(), ArchiveError> {
        remove_directory(scratch);
        init(scratch, &self.branch)?;
        // The server is still the one whose host key was seen first.
        let hosts = "claude-manager.known-hosts";
        let _ = fs::copy(self.path().join(hosts), scratch.join(hosts));
        let refspec = format!("{tag}:{tag}");
        let arguments =
            ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1", "--", remote.url(), &refspec];
        let output = remote.run_within(scratch, "reading back from", &arguments, LIMIT)?;
        if !output.success {
            return Err(remote.failure("reading back from", &output.stderr, false).into());
        }
        let copy = Repository::open(scratch, None)?;
        let fetched = copy.resolve(tag)?;
        let (theirs, ours) = (copy.tree(fetched)?.id(), self.tree(commit)?.id());
        if fetched != commit || theirs != ours {
            return Err(ArchiveError::Mismatch(format!("{tag} has the tree {theirs}, not {ours}")));
        }
        let what = format!("checking {}", scratch.display());
        let checked = run_git(scratch, &what, &["fsck", "--full", "--no-dangling", "--no-progress"])?;
        if checked.success { Ok(()) } else { Err(ArchiveError::Mismatch(first_line(&checked.stderr))) }
    }

    /// Writes a bundle of the local branch with its history and the tag `backup/<name>` to `file`, durably.
    ///
    /// # Errors
    /// [`ArchiveError`] when it cannot be written.
    pub fn bundle(&self, name: &str, file: &Path) -> Result<(), ArchiveError> {
        let (path, tag) = (file.display().to_string(), format!("{TAGS}{name}"));
        // A clone of the bundle, or of the archive, checks this branch out.
        self.local("naming the branch", &["symbolic-ref", "HEAD", &self.branch])?;
        self.local("making a bundle", &["bundle", "create", "--quiet", &path, "HEAD", &self.branch, &tag])?;
        self.local("checking a bundle", &["bundle", "verify", "--quiet", &path])?;
        super::durable::sync(file)?;
        Ok(())
    }

    /// Joins the packs of the archive when there are many.
    ///
    /// # Errors
    /// [`ArchiveError`] when git cannot; the archive is as it was.
    pub fn tidy(&self) -> Result<(), ArchiveError> {
        let packs = fs::read_dir(self.path().join("objects/pack")).into_iter().flatten().flatten();
        let packs = packs.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack")).count();
        // One of the 256 directories of loose objects stands for all.
        let loose = fs::read_dir(self.path().join("objects/17")).into_iter().flatten().count() * 256;
        if packs < PACKS && loose < 5000 {
            return Ok(());
        }
        let _one = self.lock_transfer();
        self.local("joining packs", &["repack", "-a", "-d", "--quiet"])
    }

    fn lock_transfer(&self) -> std::sync::MutexGuard<'_, ()> {
        self.transfer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs git on the local copy; a failure is an error.
    fn local(&self, what: &str, arguments: &[&str]) -> Result<(), ArchiveError> {
        let output = self.output(what, arguments)?;
        if output.success {
            return Ok(());
        }
        let what = format!("{what} ({})", self.path().display());
        Err(ArchiveError::Command { what, message: first_line(&output.stderr) })
    }

    fn output(&self, what: &str, arguments: &[&str]) -> Result<Output, ArchiveError> {
        run_git(self.path(), what, arguments)
    }
}

fn run_git(git_dir: &Path, what: &str, arguments: &[&str]) -> Result<Output, ArchiveError> {
    let mut command = git(git_dir);
    command.args(arguments);
    run(command, LIMIT).map_err(|error| {
        let message = match error {
            RunError::Start(error) => format!("{error}; install git, and have it on the PATH"),
            RunError::TimedOut(limit) => format!("it did not end within {} seconds", limit.as_secs()),
        };
        ArchiveError::Command { what: what.to_owned(), message }
    })
}

fn first_line(stderr: &str) -> String {
    let line = stderr.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("git failed without a word");
    line.trim_start_matches("fatal: ").trim_start_matches("error: ").chars().filter(|c| !c.is_control()).collect()
}

/// Removes lock files that a git program which was killed has left: no command of ours runs longer than `LIMIT`.
fn remove_abandoned_locks(path: &Path) {
    let mut directories = vec![path.to_owned(), path.join("refs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let file = entry.path();
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && directory != path {
                directories.push(file);
                continue;
            }
            let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
            let is_lock = file.extension().is_some_and(|extension| extension == "lock");
            // The write lock is held by the kernel and its file stays.
            let is_ours = entry.file_name() == "claude-manager.lock";
            if is_lock && !is_ours && metadata.is_file() && age.is_some_and(|age| age > LIMIT) {
                tracing::warn!(file = %file.display(), "removed a lock file of a git program that was killed");
                let _ = fs::remove_file(&file);
            }
        }
    }
}

fn remove_directory(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a directory could not be removed");
    }
}
