//! The list of backups, newest first, with what can be done with each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::record::Success;
use super::{BackupError, BackupTime, Backups, Setup};
use crate::git::{ArchivedTag, GitError, Tree};
use crate::project::{Entry, Files, RepoPath, Revision};

/// How old the list of the remote may be.
const FRESH: Duration = Duration::from_secs(60);
/// How long a list waits for the remote; it goes on asking behind.
const PATIENCE: Duration = Duration::from_secs(5);
/// The file that every state repository has.
const ROOT: &str = "kustomization.yaml";
/// Where the predecessor wrote its exports, on the branch.
const PREDECESSOR: [&str; 3] = ["", "backups", "backup"];

/// One page of the list.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalog {
    /// The backups of this page, newest first.
    pub items: Vec<Item>,
    /// How many there are on all pages.
    pub total: usize,
    /// Why the backup repository could not be asked: its part of the list is as old as the last answer.
    pub stale: Option<String>,
}

/// One backup.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Its name, which a restore takes when it can be restored.
    pub timestamp: String,
    /// The tag, or the directory on the branch.
    pub place: String,
    /// The commit.
    pub revision: Option<Revision>,
    /// How many projects it has.
    pub projects: Option<usize>,
    /// Whether it is in BACKUP_DIR.
    pub is_local: bool,
    /// Whether it is in the backup repository.
    pub is_remote: bool,
    /// Whether it can be restored.
    pub restorable: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Where a backup is.
enum Found {
    Tag(ArchivedTag),
    Directory(String, Revision),
}

impl Backups {
    /// Returns the backups from `offset` on, at most `limit`, newest first; those whose name is no time come last.
    ///
    /// # Errors
    /// [`BackupError`] when the local copy cannot be read. A remote that does not answer is told in the list.
    pub async fn list(&self, offset: usize, limit: usize) -> Result<Catalog, BackupError> {
        self.refresh_if_old().await;
        let stale = self.refreshed().1.clone();
        let inner = Arc::clone(&self.inner);
        let read = tokio::task::spawn_blocking(move || page(&inner.setup, offset, limit)).await;
        let (items, total) = read.map_err(|error| BackupError::Internal(error.to_string()))??;
        Ok(Catalog { items, total, stale })
    }

    /// Returns the name, the commit and the files of the backup that `text` names.
    ///
    /// # Errors
    /// [`BackupError::Time`], [`BackupError::Unknown`], or [`BackupError::NotRestorable`] when it is no tree of ours.
    pub async fn find(&self, text: &str) -> Result<(String, Revision, Tree), BackupError> {
        let time = BackupTime::parse(text)?;
        self.refresh_if_old().await;
        let inner = Arc::clone(&self.inner);
        let read = tokio::task::spawn_blocking(move || find(&inner.setup, time)).await;
        read.map_err(|error| BackupError::Internal(error.to_string()))?
    }

    async fn refresh_if_old(&self) {
        let is_fresh = self.refreshed().0.is_some_and(|at: Instant| at.elapsed() < FRESH);
        if is_fresh || self.inner.setup.archive.remote().is_none() {
            return;
        }
        let this = self.clone();
        let asking = tokio::spawn(async move { this.refresh().await });
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            self.refreshed().1.get_or_insert("the backup repository has not answered yet".to_owned());
        }
    }
}

fn page(setup: &Setup, offset: usize, limit: usize) -> Result<(Vec<Item>, usize), BackupError> {
    let mut found: Vec<(Option<BackupTime>, String, Found)> = Vec::new();
    for tag in setup.archive.tags()? {
        found.push((BackupTime::parse_name(&tag.name).ok(), tag.name.clone(), Found::Tag(tag)));
    }
    for (name, path, revision) in directories(setup)? {
        found.push((BackupTime::parse_name(&name).ok(), name, Found::Directory(path, revision)));
    }
    found.sort_by(|(a, a_name, _), (b, b_name, _)| b.cmp(a).then_with(|| b_name.cmp(a_name)));
    let total = found.len();
    let items = found.into_iter().skip(offset).take(limit).map(|(time, name, found)| match found {
        Found::Tag(tag) => of_tag(setup, time, &tag),
        Found::Directory(path, revision) => Item {
            timestamp: name,
            place: path.clone(),
            revision: Some(revision),
            projects: None,
            is_local: false,
            is_remote: true,
            restorable: false,
            reason: Some(format!(
                "it is an export of the manager before this one, in the directory {path} of the branch; read it there and \
                 make its projects anew"
            )),
        },
    });
    Ok((items.collect(), total))
}

fn of_tag(setup: &Setup, time: Option<BackupTime>, tag: &ArchivedTag) -> Item {
    let mut item = Item {
        timestamp: tag.name.clone(),
        place: format!("backup/{}", tag.name),
        revision: None,
        projects: None,
        is_local: tag.is_local,
        is_remote: tag.is_remote,
        restorable: false,
        reason: None,
    };
    let read = setup.archive.find(&tag.name).and_then(|revision| Ok((revision, setup.archive.tree(revision)?)));
    match read {
        Err(error) => item.reason = Some(error.to_string()),
        Ok((revision, tree)) => {
            item.revision = Some(revision);
            item.projects = projects(&tree);
            item.reason = match time {
                None => Some("its name is no time: this manager did not make it".to_owned()),
                Some(_) => foreign(&tree),
            };
        }
    }
    item.restorable = item.reason.is_none();
    item
}

/// Why a tree is not one of a state repository.
fn foreign(tree: &Tree) -> Option<String> {
    let root = RepoPath::parse(ROOT).unwrap_or_default();
    match tree.entry(&root) {
        Ok(Entry::File) => None,
        Ok(_) => Some(format!(
            "it has no {ROOT}, so it is no state repository: a backup of the manager before this one, or of another program"
        )),
        Err(error) => Some(error.to_string()),
    }
}

fn projects(tree: &Tree) -> Option<usize> {
    let folder = RepoPath::parse("projects").ok()?;
    let names = tree.list(&folder).ok()?;
    let is_project = |name: &&String| {
        let overlay = folder.join(name).and_then(|path| path.join(ROOT));
        overlay.is_ok_and(|path| matches!(tree.entry(&path), Ok(Entry::File)))
    };
    Some(names.iter().filter(is_project).count())
}

/// The exports of the predecessor on the remote's branch: name, path, commit of the branch.
fn directories(setup: &Setup) -> Result<Vec<(String, String, Revision)>, GitError> {
    let Some(tip) = setup.archive.remote_branch()? else { return Ok(Vec::new()) };
    let Ok(tree) = setup.archive.tree(tip) else { return Ok(Vec::new()) };
    if foreign(&tree).is_none() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for parent in PREDECESSOR {
        let Ok(folder) = RepoPath::parse(parent) else { continue };
        for name in tree.list(&folder).unwrap_or_default() {
            let stem = name.split('.').next().unwrap_or_default().to_owned();
            let Ok(path) = folder.join(&name) else { continue };
            if BackupTime::parse_name(&stem).is_ok() {
                found.push((stem, path.to_string(), tip));
            }
        }
    }
    Ok(found)
}

fn find(setup: &Setup, time: BackupTime) -> Result<(String, Revision, Tree), BackupError> {
    let name = time.to_string();
    let tags = setup.archive.tags()?;
    let mut name = match tags.iter().any(|tag| tag.name == name) {
        true => Some(name),
        false => None,
    };
    if name.is_none() && time.is_whole_second() {
        // RFC 3339 times are often given without a fraction.
        let second = time.timestamp().as_second();
        let mut within = tags
            .iter()
            .filter(|tag| BackupTime::parse_name(&tag.name).is_ok_and(|other| other.timestamp().as_second() == second));
        name = within.next().filter(|_| within.next().is_none()).map(|tag| tag.name.clone());
    }
    let Some(name) = name else {
        if let Some((name, path, _)) = directories(setup)?.into_iter().find(|(name, ..)| *name == time.to_string()) {
            let reason = format!("it is an export of the manager before this one, in the directory {path}");
            return Err(BackupError::NotRestorable { name, reason });
        }
        return Err(BackupError::Unknown(time.to_string()));
    };
    let revision = setup.archive.find(&name).map_err(|error| match error {
        GitError::UnknownRevision(_) => {
            BackupError::NotRestorable { name: name.clone(), reason: "its tag names no commit".to_owned() }
        }
        error => error.into(),
    })?;
    let tree = setup.archive.tree(revision)?;
    match foreign(&tree) {
        None => Ok((name, revision, tree)),
        Some(reason) => Err(BackupError::NotRestorable { name, reason }),
    }
}

/// The newest backup in the remote whose commit is in the history of the state repository.
pub(super) fn newest_of_history(setup: &Setup) -> Result<Option<Success>, BackupError> {
    let Some(head) = setup.state.head()? else { return Ok(None) };
    let now = jiff::Timestamp::now();
    for tag in setup.archive.tags()?.into_iter().rev().filter(|tag| tag.is_remote) {
        let Ok(time) = BackupTime::parse_name(&tag.name) else { continue };
        // A name that lies ahead would put the next backup off until then.
        if time.timestamp() > now {
            continue;
        }
        let Ok(revision) = setup.archive.find(&tag.name) else { continue };
        let is_ours = setup.state.tree(revision).is_ok() && setup.state.is_ancestor(revision, head)?;
        return Ok(is_ours.then(|| Success {
            name: tag.name,
            at: time.timestamp(),
            revision,
            pushed: true,
            branch_refused: None,
        }));
    }
    Ok(None)
}
