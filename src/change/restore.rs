//! A tree of a backup as a commit on the head: all of it, or one project.
//!
//! The candidate commit is stored before it is checked, so that its plan can be made; only the branch makes it count. It is
//! held to the checks of a push, and every secrets file that it brings has to decrypt.

use std::sync::Arc;

use jiff::Timestamp;

use super::message::text as message;
use super::push::check_commit;
use super::{ChangeError, Changes, ErrorKind, may};
use crate::edit;
use crate::git::{Batch, CommitError, CommitMeta, GitError, Person, Repository, Tree};
use crate::project::layout;
use crate::project::{Action, Actor, AgentKey, ChangeSet, Entry, Files, ProjectName, RepoPath, Revision, Source};
use crate::sops::{self, Identity};

/// How often the commit is made again because the head moved.
const TRIES: usize = 10;
/// More reasons than this help nobody.
const MAX_REASONS: usize = 20;

/// What is to be restored.
#[derive(Clone)]
pub struct Restoration {
    /// The files of the backup.
    pub tree: Arc<Tree>,
    /// The name of the backup, for the commit.
    pub backup: String,
    /// Only this project; everything when absent.
    pub project: Option<ProjectName>,
    /// The key that environments have to let in after a restore of everything.
    pub agent_key: Option<AgentKey>,
    /// The head that the caller has seen the plan for.
    pub expected_head: Option<Revision>,
    /// Whether to stop before the branch moves.
    pub dry_run: bool,
}

/// What a restore did, or would do.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The commit; of a dry run the one that was stored for its plan. The head when nothing differs.
    pub revision: Revision,
    /// The head before.
    pub head: Revision,
    /// Whether anything differs from the head.
    pub changed: bool,
    /// The files that differ.
    pub files: Vec<RepoPath>,
    /// Projects of the head that the backup does not have.
    pub deleted: Vec<ProjectName>,
    /// What the caller should know.
    pub notes: Vec<String>,
}

impl Changes {
    /// Commits `restoration` for `actor`. Goes beside the queue, as an upgrade does.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was committed then. [`ErrorKind::Conflict`] names what does not pass the checks.
    pub async fn restore(&self, restoration: Restoration, actor: Actor) -> Result<Restored, ChangeError> {
        may(&actor, Action::Restore)?;
        let (repository, identities) = (self.repository.clone(), Arc::clone(&self.age_identities));
        let is_dry = restoration.dry_run;
        let work = move || restore(&repository, &identities, &restoration, &actor);
        let done = tokio::task::spawn_blocking(work).await;
        let restored = done.unwrap_or_else(|error| Err(ChangeError::new(ErrorKind::Internal, error)))?;
        if restored.changed && !is_dry {
            (self.nudge)();
        }
        Ok(restored)
    }
}

fn restore(
    repository: &Repository,
    identities: &Arc<Vec<Identity>>,
    restoration: &Restoration,
    actor: &Actor,
) -> Result<Restored, ChangeError> {
    for _ in 0..TRIES {
        match once(repository, identities, restoration, actor)? {
            Ok(restored) => return Ok(restored),
            Err(CommitError::HeadMoved { .. }) => {}
            Err(error) => return Err(ChangeError::new(error.kind(), error)),
        }
    }
    let busy = "the state repository changes faster than the restore can be made; try again later";
    Err(ChangeError::new(ErrorKind::Unavailable, busy))
}

fn once(
    repository: &Repository,
    identities: &Arc<Vec<Identity>>,
    restoration: &Restoration,
    actor: &Actor,
) -> Result<Result<Restored, CommitError>, ChangeError> {
    let mut batch = repository.begin()?;
    let head = batch.start().ok_or_else(|| {
        ChangeError::new(ErrorKind::Conflict, "the state repository has no commit yet; start the manager once more")
    })?;
    if let Some(expected) = restoration.expected_head.filter(|expected| *expected != head) {
        let message = format!(
            "the state repository is at {} by now, not at {}: look at the plan again; nothing was restored",
            head.short(),
            expected.short()
        );
        return Err(ChangeError::new(ErrorKind::PreconditionFailed, message));
    }
    let (revision, notes) = stage(&mut batch, restoration, actor)?;
    batch.store()?;
    // A plan is no reason to keep writers waiting; a commit has to be checked against a head that stands still.
    let batch = if restoration.dry_run { None } else { Some(batch) };
    let changed = revision != head;
    let files: Vec<RepoPath> = match changed {
        true => repository.diff_paths(Some(head), revision)?.into_iter().collect(),
        false => Vec::new(),
    };
    let after = repository.tree(revision)?;
    if changed {
        check(repository, identities, head, revision, &after, &files, &restoration.backup)?;
    }
    let restored = Restored { revision, head, changed, deleted: deleted(&after, &files), files, notes };
    if let Some(batch) = batch
        && let Err(error) = batch.publish()
    {
        return Ok(Err(error));
    }
    Ok(Ok(restored))
}

/// Commits the restored files in the batch.
fn stage(batch: &mut Batch, restoration: &Restoration, actor: &Actor) -> Result<(Revision, Vec<String>), ChangeError> {
    let mut notes = vec!["Volumes are no part of backups: they stay as they are, and new ones are empty.".to_owned()];
    let unreadable = |error: GitError| {
        ChangeError::new(error.kind(), format!("the backup {} cannot be restored: {error}", restoration.backup))
    };
    let (staged, changes): (Tree, ChangeSet) = match &restoration.project {
        None => {
            let staged = batch.graft(&restoration.tree, &RepoPath::root()).map_err(unreadable)?;
            let adjusted = edit::restore::whole(&staged, restoration.agent_key.as_ref())?;
            for path in &adjusted.tombstones {
                notes.push(format!("{path} of the backup is left out: a restore deletes no volumes."));
            }
            (staged, adjusted.changes)
        }
        Some(name) => {
            let overlay = layout::overlay_path(name);
            if !matches!(restoration.tree.entry(&overlay), Ok(Entry::File)) {
                let message = format!("the backup {} has no project {name}", restoration.backup);
                return Err(ChangeError::new(ErrorKind::NotFound, message));
            }
            let staged = batch.graft(&restoration.tree, &layout::directory(name)).map_err(unreadable)?;
            let changes = edit::restore::project(&staged, name)?;
            (staged, changes)
        }
    };
    let revision = batch.commit_tree(&staged, &changes, &meta(restoration, actor))?;
    let revision = revision.ok_or_else(|| ChangeError::new(ErrorKind::Internal, "the restore made no commit"))?;
    Ok((revision, notes))
}

fn meta(restoration: &Restoration, actor: &Actor) -> CommitMeta {
    let backup = &restoration.backup;
    let subject = match &restoration.project {
        Some(name) => format!("{name}: restore from the backup {backup}"),
        None => format!("Restore everything from the backup {backup}"),
    };
    let principal = &actor.principal;
    let tag = format!("backup/{backup}");
    CommitMeta {
        author: Person { name: principal.name.clone(), email: principal.email.clone() },
        committer: Person::manager(),
        time: Timestamp::now(),
        message: message(
            &subject,
            &[("Source", Source::Restore.as_str()), ("Request-Id", &actor.request_id), ("Backup", &tag)],
        ),
    }
}

/// Refuses what a push would not be let in with, and secrets that this manager cannot read.
fn check(
    repository: &Repository,
    identities: &Arc<Vec<Identity>>,
    head: Revision,
    revision: Revision,
    after: &Tree,
    files: &[RepoPath],
    backup: &str,
) -> Result<(), ChangeError> {
    let mut reasons = Vec::new();
    for path in files.iter().filter(|path| path.file_name().ends_with(".sops.yaml")) {
        // `.sops.yaml` itself says who is to read the others.
        if path.file_name() == ".sops.yaml" || !matches!(after.entry(path), Ok(Entry::File)) {
            continue;
        }
        let content = after.read(path).map_err(|error| error.to_string());
        let text =
            content.and_then(|bytes| String::from_utf8(bytes.to_vec()).map_err(|_| "it is no UTF-8 text".to_owned()));
        let read = text.and_then(|text| sops::decrypt(&text, identities).map_err(|error| error.to_string()));
        if let Err(error) = read {
            reasons.push(format!(
                "{path} cannot be decrypted: {error}. Give the manager the age key of that time as well \
                 (SOPS_AGE_KEY takes several lines)"
            ));
        }
    }
    reasons.extend(check_commit(repository, head, revision, identities)?);
    if reasons.is_empty() {
        return Ok(());
    }
    let more = reasons.len().saturating_sub(MAX_REASONS);
    reasons.truncate(MAX_REASONS);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    let message = format!("the backup {backup} does not pass the checks, nothing was restored: {}", reasons.join("; "));
    Err(ChangeError::new(ErrorKind::Conflict, message))
}

/// The projects whose overlay is among `files` and gone in `after`.
fn deleted(after: &Tree, files: &[RepoPath]) -> Vec<ProjectName> {
    let gone = files.iter().filter(|path| matches!(after.entry(path), Ok(Entry::Missing)));
    gone.filter_map(|path| layout::project_of(path).filter(|name| layout::overlay_path(name) == *path)).collect()
}
