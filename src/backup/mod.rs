//! Backups of the state repository: on schedule and on request, to another Git repository and to this disk.
//!
//! A backup is a tag `backup/<time>` on a commit of the state repository. It is kept in a bare repository in BACKUP_DIR,
//! written as a bundle beside it, and pushed to BACKUP_GIT_REPOSITORY, where the branch follows by fast-forward. It is
//! complete once it was fetched back and compared. A restore is a commit through `change`.
//!
//! *Guarantees.* Nothing in the backup repository is overwritten or removed. One backup runs at a time in one BACKUP_DIR. A
//! process that is killed in the middle makes the backup again at its next start.
//!
//! *Caveats.* Volumes are no part of backups, and neither is the age key: without it the secrets of a backup cannot be read.

mod bundle;
mod catalog;
mod export;
mod record;
mod restore;
mod run;
mod schedule;
mod target;
mod time;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::change::ChangeError;
use crate::git::{Archive, ArchiveError, GitError, Remote, Repository};
use crate::metrics::{Metrics, Outcome};
use crate::project::{AgentKey, ErrorKind, Revision};
use record::{Record, Success};

pub use catalog::{Catalog, Item};
pub use export::{Export, ExportError};
pub use restore::RestoreOrder;
pub use target::is_same_repository;
pub use time::{BackupTime, BackupTimeError};

/// Said wherever a person might think otherwise.
pub const VOLUMES_NOTE: &str =
    "Backups hold the state repository: projects, settings and encrypted secrets. Volumes are no part of them.";

/// What backups are of, and where they go.
#[derive(Clone, Debug)]
pub struct Options {
    /// BACKUP_DIR.
    pub directory: PathBuf,
    /// BACKUP_GIT_REPOSITORY, opened with its credentials; without it backups stay in `directory`.
    pub remote: Option<Remote>,
    /// BACKUP_GIT_BRANCH.
    pub branch: String,
    /// BACKUP_INTERVAL_HOURS; without it backups are made on request only.
    pub interval: Option<Duration>,
    /// The addresses of the state repository, which `remote` must differ from.
    pub state_addresses: Vec<String>,
    /// The key that environments have to let in after a restore of everything.
    pub agent_key: Option<AgentKey>,
}

/// Why there is no backup, or none that was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackupError {
    /// The target is the state repository.
    #[error(
        "BACKUP_GIT_REPOSITORY ({target}) is the state repository itself ({state}); a backup has to go elsewhere: name \
         another repository, or leave it unset for backups in BACKUP_DIR only"
    )]
    OwnRepository {
        /// BACKUP_GIT_REPOSITORY.
        target: String,
        /// The address of the state repository.
        state: String,
    },
    /// The target is the repository in BACKUP_DIR.
    #[error(
        "BACKUP_GIT_REPOSITORY ({0}) is the local copy in BACKUP_DIR; name a repository elsewhere, or leave it unset for \
         backups in BACKUP_DIR only"
    )]
    LocalCopy(String),
    /// BACKUP_DIR cannot be used.
    #[error("the backup directory {path} cannot be used: {message}; set BACKUP_DIR to a place that can be written")]
    Directory {
        /// BACKUP_DIR.
        path: String,
        /// What the system said.
        message: String,
    },
    /// Another backup has not ended yet.
    #[error("a backup is being made{}; ask again when it has ended", since.map(|at| format!(" since {at}")).unwrap_or_default())]
    Running {
        /// When it began; unknown when another process makes it.
        since: Option<Timestamp>,
    },
    /// There is no such backup.
    #[error("there is no backup {0}; GET /api/backup/list names them")]
    Unknown(String),
    /// The text is no time of a backup.
    #[error("timestamp: {0}")]
    Time(#[from] BackupTimeError),
    /// The backup is no tree of a state repository.
    #[error("the backup {name} cannot be restored: {reason}")]
    NotRestorable {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A repository failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The restore was refused.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A defect.
    #[error("the backup ended early: {0}")]
    Internal(String),
}

impl BackupError {
    /// What the error means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::OwnRepository { .. } | Self::LocalCopy(_) | Self::Running { .. } | Self::NotRestorable { .. } => {
                ErrorKind::Conflict
            }
            Self::Directory { .. } => ErrorKind::Unavailable,
            Self::Unknown(_) => ErrorKind::NotFound,
            Self::Time(_) => ErrorKind::Invalid,
            Self::Archive(error) => error.kind(),
            Self::Change(error) => error.kind,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }
}

impl From<GitError> for BackupError {
    fn from(error: GitError) -> Self {
        Self::Archive(error.into())
    }
}

/// What one backup works with.
struct Setup {
    state: Repository,
    archive: Archive,
    directory: PathBuf,
    branch: String,
    interval: Option<Duration>,
    state_addresses: Vec<String>,
    agent_key: Option<AgentKey>,
}

/// A handle on the backups; cheap to clone.
#[derive(Clone)]
pub struct Backups {
    inner: Arc<Inner>,
}

struct Inner {
    setup: Setup,
    record: Mutex<Record>,
    /// Held while a backup runs.
    running: Arc<tokio::sync::Mutex<()>>,
    /// Woken when a backup has ended.
    ended: Notify,
    /// When the remote was last asked for its backups, and what it said if it did not answer.
    refreshed: Mutex<(Option<Instant>, Option<String>)>,
    metrics: Metrics,
    started: Timestamp,
    /// From 0 to 1; spreads the backups of many managers.
    chance: f64,
}

/// How backups are doing.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `ok`, `failed`, `overdue` or `waiting` (for the first one).
    pub state: &'static str,
    /// One sentence for people.
    pub message: String,
    /// BACKUP_GIT_REPOSITORY.
    pub repository: Option<String>,
    /// BACKUP_GIT_BRANCH.
    pub branch: String,
    /// BACKUP_DIR.
    pub directory: String,
    /// Seconds between two backups; `null` when they are made on request only.
    pub interval_seconds: Option<u64>,
    /// Since when one is being made.
    pub running_since: Option<Timestamp>,
    /// The last one that succeeded.
    pub last: Option<LastBackup>,
    /// When the next one is due.
    pub next: Option<Timestamp>,
    /// What went wrong since the last success.
    pub failure: Option<LastFailure>,
    /// What backups do not hold.
    pub note: &'static str,
}

/// The last backup that succeeded.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastBackup {
    /// Its name, which a restore takes.
    pub timestamp: String,
    /// When it was complete.
    pub completed_at: Timestamp,
    /// Seconds since then.
    pub age_seconds: i64,
    /// The commit.
    pub revision: Revision,
    /// Whether it is in the backup repository, and was read back from there.
    pub pushed: bool,
    /// Why the branch there was not moved, and what to do.
    pub branch_refused: Option<String>,
}

/// What went wrong since the last success.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastFailure {
    /// When the first failed.
    pub since: Timestamp,
    /// When the last failed.
    pub at: Timestamp,
    /// How many have failed.
    pub attempts: u32,
    /// Why the last failed, and what to do.
    pub reason: String,
}

impl Backups {
    /// Opens BACKUP_DIR for backups of `state`. Makes none yet.
    ///
    /// # Errors
    /// [`BackupError`] when the directory cannot be used, or the target is the state repository.
    pub fn open(state: Repository, options: Options, metrics: Metrics) -> Result<Self, BackupError> {
        let Options { directory, remote, branch, interval, state_addresses, agent_key } = options;
        let unusable = |message: String| BackupError::Directory { path: directory.display().to_string(), message };
        // The key for a server is in it while git runs.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| unusable(error.to_string()))?;
        // Git runs elsewhere than this process may.
        let directory = directory.canonicalize().map_err(|error| unusable(error.to_string()))?;
        let address = remote.as_ref().map(|remote| remote.url().to_owned());
        let archive = Archive::open(&directory.join("backup.git"), &branch, remote)?;
        let setup = Setup { state, archive, directory, branch, interval, state_addresses, agent_key };
        run::refuse_own_repository(&setup)?;
        let target = format!("{}#{}", address.as_deref().unwrap_or("local"), setup.branch);
        let record = Record::read(&setup.directory, &target, Timestamp::now());
        if let Some(last) = &record.last {
            metrics.set_last_backup(last.at.as_second());
        }
        Ok(Self {
            inner: Arc::new(Inner {
                setup,
                record: Mutex::new(record),
                running: Arc::default(),
                ended: Notify::new(),
                refreshed: Mutex::default(),
                metrics,
                started: Timestamp::now(),
                chance: rand::random(),
            }),
        })
    }

    /// Makes the backups that are due, for ever.
    pub async fn keep_schedule(self) {
        self.take_over().await;
        loop {
            let Some(due) = self.next_due() else {
                self.inner.ended.notified().await;
                continue;
            };
            let wait = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
            if !wait.is_zero() {
                // A clock that is set is noticed within the hour.
                let ended = tokio::time::timeout(wait.min(Duration::from_secs(3600)), self.inner.ended.notified());
                let _ = ended.await;
                continue;
            }
            self.take_over().await;
            if self.next_due().is_some_and(|due| due > Timestamp::now()) {
                continue;
            }
            match self.create().await {
                Ok(_) | Err(BackupError::Running { .. }) => {}
                // Told and recorded already.
                Err(error) => tracing::debug!(%error, "a scheduled backup failed"),
            }
            // Another process may hold the directory: its backup is not waited for at full speed.
            if self.next_due().is_some_and(|due| due <= Timestamp::now()) {
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
    }

    /// Makes a backup now and returns it once it is complete. Going away does not end it.
    ///
    /// # Errors
    /// [`BackupError::Running`] while another one runs, or why it failed.
    pub async fn create(&self) -> Result<LastBackup, BackupError> {
        let busy = || BackupError::Running { since: self.record().running };
        let turn = Arc::clone(&self.inner.running).try_lock_owned().map_err(|_| busy())?;
        let this = self.clone();
        let made = tokio::spawn(async move { this.make(turn).await }).await;
        let success = made.map_err(|error| BackupError::Internal(error.to_string()))??;
        Ok(last_backup(&success, Timestamp::now()))
    }

    async fn make(&self, turn: OwnedMutexGuard<()>) -> Result<Success, BackupError> {
        let directory_lock = self.lock_directory()?;
        let begun = Instant::now();
        let before = {
            let mut record = self.record();
            let before = record.clone();
            record.running = Some(Timestamp::now());
            before
        };
        self.save();
        tracing::info!("a backup begins");
        let inner = Arc::clone(&self.inner);
        let made = tokio::task::spawn_blocking(move || run::back_up(&inner.setup, &before)).await;
        let made = made.unwrap_or_else(|error| Err(BackupError::Internal(error.to_string())));
        match &made {
            Ok(success) => {
                self.record().succeeded(success.clone());
                self.inner.metrics.set_last_backup(success.at.as_second());
                if success.pushed {
                    *self.refreshed() = (Some(Instant::now()), None);
                }
                match &success.branch_refused {
                    None => tracing::info!(backup = %success.name, commit = %success.revision, "a backup is complete"),
                    Some(why) => tracing::warn!(backup = %success.name, "a backup is complete as a tag only: {why}"),
                }
            }
            Err(error) => {
                self.record().failed(Timestamp::now(), error.to_string());
                tracing::error!(%error, "a backup failed");
            }
        }
        self.save();
        self.inner.metrics.backup(Outcome::from(&made), begun.elapsed());
        drop((directory_lock, turn));
        self.inner.ended.notify_waiters();
        made
    }

    /// One backup in one directory at a time, whichever process makes it.
    fn lock_directory(&self) -> Result<File, BackupError> {
        let path = self.inner.setup.directory.join("lock");
        let unusable = |error: std::io::Error| BackupError::Directory {
            path: path.display().to_string(),
            message: error.to_string(),
        };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(BackupError::Running { since: None }),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// Takes the newest backup of this history for the last one, whoever made it: another replica, or this manager before
    /// it lost its disk.
    async fn take_over(&self) {
        if self.inner.setup.archive.remote().is_none() || !self.refresh().await {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let found = tokio::task::spawn_blocking(move || catalog::newest_of_history(&inner.setup)).await;
        match found {
            Ok(Ok(Some(success))) => {
                let mut record = self.record();
                if record.last.as_ref().is_none_or(|last| last.name < success.name) {
                    self.inner.metrics.set_last_backup(success.at.as_second());
                    record.last = Some(success);
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the newest backup could not be read"),
            Err(error) => tracing::error!(%error, "reading the newest backup ended early"),
        }
    }

    /// Asks the remote for its backups. Returns whether it answered.
    async fn refresh(&self) -> bool {
        let inner = Arc::clone(&self.inner);
        let asked = tokio::task::spawn_blocking(move || inner.setup.archive.refresh()).await;
        let error = match asked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = &error {
            tracing::warn!(%error, "the list of backups could not be fetched");
        }
        let answered = error.is_none();
        *self.refreshed() = (Some(Instant::now()), error);
        answered
    }

    /// Returns how backups are doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let now = Timestamp::now();
        let (record, setup) = (self.record().clone(), &self.inner.setup);
        let is_running = self.inner.running.try_lock().is_err();
        let repository = setup.archive.remote().map(|remote| remote.url().to_owned());
        let is_overdue = schedule::is_overdue(&record, setup.interval, self.inner.started, now);
        let state = match (&record.failure, &record.last) {
            (Some(_), _) => "failed",
            (None, _) if is_overdue => "overdue",
            (None, Some(_)) => "ok",
            (None, None) => "waiting",
        };
        let mut message = match (&record.failure, &record.last) {
            (Some(failure), _) => format!("Backups fail since {}: {}", failure.since, failure.reason),
            (None, last) if is_overdue => {
                let last =
                    last.as_ref().map_or("no backup yet".to_owned(), |last| format!("the last is {}", last.name));
                format!("Backups are overdue: {last}. The log says why.")
            }
            (None, Some(last)) => format!("The last backup is {}.", last.name),
            (None, None) if setup.interval.is_none() => "There is no backup yet; make one.".to_owned(),
            (None, None) => "There is no backup yet; the first comes soon after the start.".to_owned(),
        };
        if let Some(refused) = record.last.as_ref().and_then(|last| last.branch_refused.as_deref()) {
            message = format!("{message} {refused}");
        }
        if repository.is_none() {
            message.push_str(" Backups are kept on this disk only; set BACKUP_GIT_REPOSITORY to have them elsewhere.");
        }
        Status {
            state,
            message,
            repository,
            branch: setup.branch.clone(),
            directory: setup.directory.display().to_string(),
            interval_seconds: setup.interval.map(|interval| interval.as_secs()),
            running_since: record.running.filter(|_| is_running),
            last: record.last.as_ref().map(|last| last_backup(last, now)),
            next: self.next_due(),
            failure: record.failure.map(|failure| LastFailure {
                since: failure.since,
                at: failure.at,
                attempts: failure.attempts,
                reason: failure.reason,
            }),
            note: VOLUMES_NOTE,
        }
    }

    fn next_due(&self) -> Option<Timestamp> {
        schedule::next_due(&self.record(), self.inner.setup.interval, self.inner.started, self.inner.chance)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.inner.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refreshed(&self) -> MutexGuard<'_, (Option<Instant>, Option<String>)> {
        self.inner.refreshed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self) {
        let record = self.record().clone();
        if let Err(error) = record.write(&self.inner.setup.directory) {
            tracing::warn!(%error, directory = %self.inner.setup.directory.display(), "the record of backups could not be written");
        }
    }
}

fn last_backup(success: &Success, now: Timestamp) -> LastBackup {
    LastBackup {
        timestamp: success.name.clone(),
        completed_at: success.at,
        age_seconds: now.duration_since(success.at).as_secs(),
        revision: success.revision,
        pushed: success.pushed,
        branch_refused: success.branch_refused.clone(),
    }
}
