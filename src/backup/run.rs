//! One backup: copy the head, tag it, bundle it, push it, read it back. Blocks.

use jiff::Timestamp;

use super::record::{Record, Success};
use super::{BackupError, BackupTime, Setup, bundle, target};
use crate::git::{ArchiveError, BranchOutcome, Relation};
use crate::project::Revision;

/// Makes one backup.
///
/// # Errors
/// [`BackupError`]; what was made locally stays, and the next try goes on from there.
pub(super) fn back_up(setup: &Setup, record: &Record) -> Result<Success, BackupError> {
    refuse_own_repository(setup)?;
    let archive = &setup.archive;
    let revision = archive.copy_head(&setup.state)?;
    let name = match unpushed(setup, record, revision)? {
        Some(name) => name,
        None => {
            let name = new_name(setup)?;
            archive.tag(&name, revision)?;
            name
        }
    };
    bundle::make(archive, &setup.directory, &name)?;
    let Some(remote) = archive.remote() else {
        return Ok(Success { name, at: Timestamp::now(), revision, pushed: false, branch_refused: None });
    };
    let outcome = archive.push(&name, revision)?;
    let scratch = setup.directory.join("read-back.git");
    archive.read_back(&name, revision, outcome == BranchOutcome::Moved, &scratch)?;
    let mut branch_refused = None;
    if let BranchOutcome::Refused(words) = outcome {
        branch_refused = Some(way_out(setup, remote.url(), revision, &words)?);
    } else if let Err(error) = archive.refresh() {
        // The backup itself is complete; only the list may lack what others have made.
        tracing::warn!(%error, "the list of backups could not be fetched");
    }
    if let Err(error) = archive.tidy() {
        tracing::warn!(%error, "the local copy of backups could not be packed");
    }
    Ok(Success { name, at: Timestamp::now(), revision, pushed: true, branch_refused })
}

/// Refuses a backup into the repository that it is of, or into the local copy itself.
pub(super) fn refuse_own_repository(setup: &Setup) -> Result<(), BackupError> {
    let Some(remote) = setup.archive.remote() else { return Ok(()) };
    if let Some(state) = setup.state_addresses.iter().find(|state| target::is_same_repository(remote.url(), state)) {
        return Err(BackupError::OwnRepository { target: remote.url().to_owned(), state: state.clone() });
    }
    if target::is_same_repository(remote.url(), &setup.archive.path().display().to_string()) {
        return Err(BackupError::LocalCopy(remote.url().to_owned()));
    }
    Ok(())
}

/// Returns the local backup of this very commit that a failed try has left and the remote lacks.
fn unpushed(setup: &Setup, record: &Record, revision: Revision) -> Result<Option<String>, BackupError> {
    if record.failure.is_none() && record.running.is_none() {
        return Ok(None);
    }
    let tags = setup.archive.tags().map_err(ArchiveError::from)?;
    let newest = tags.into_iter().rev().find(|tag| tag.is_local && BackupTime::parse_name(&tag.name).is_ok());
    let is_done = |name: &str| record.last.as_ref().is_some_and(|last| last.name == name);
    Ok(newest
        .filter(|tag| !tag.is_remote && !is_done(&tag.name))
        .map(|tag| tag.name)
        .filter(|name| setup.archive.find(name).is_ok_and(|commit| commit == revision)))
}

/// Returns the name of a backup made now, which no other has.
fn new_name(setup: &Setup) -> Result<String, BackupError> {
    let tags = setup.archive.tags().map_err(ArchiveError::from)?;
    loop {
        let name = BackupTime::at(Timestamp::now()).to_string();
        if !tags.iter().any(|tag| tag.name == name) {
            return Ok(name);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Says why the branch was not moved and what to do. The tag is there.
fn way_out(setup: &Setup, url: &str, revision: Revision, words: &str) -> Result<String, BackupError> {
    if let Err(error) = setup.archive.refresh() {
        // The backup itself is complete; only the reason is told less exactly.
        tracing::warn!(%error, "the branch of the backup repository could not be fetched");
    }
    let branch = &setup.branch;
    let tip = setup.archive.remote_branch().map_err(ArchiveError::from)?;
    let tip = tip.map(|tip| format!(" (at {})", tip.short())).unwrap_or_default();
    let other =
        "To have a branch as well, set BACKUP_GIT_BRANCH to a name that is free there, or use an empty repository";
    Ok(match setup.archive.relation(revision)? {
        Some(Relation::Unrelated) => format!(
            "{branch} of {url}{tip} has a history that has nothing to do with the state repository, and it is never \
             overwritten. The tag is there. {other}."
        ),
        Some(Relation::Diverged) => format!(
            "{branch} of {url}{tip} has commits that the state repository lacks, and they are never overwritten. The tag \
             is there. {other}, or move that branch away on the server."
        ),
        Some(Relation::Ahead) => format!(
            "{branch} of {url}{tip} is ahead of the state repository. The tag is there. Restore its newest backup, or set \
             BACKUP_GIT_BRANCH to another name."
        ),
        None => format!(
            "{url} does not let the branch {branch} be moved: {words}. The tag is there. Let the account push to the \
             branch, or set BACKUP_GIT_BRANCH to another name."
        ),
    })
}
