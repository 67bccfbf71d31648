//! The base of this program into an older state repository, as one commit.

use std::sync::Arc;

use jiff::Timestamp;

use super::message::one_line;
use super::push::policy_in_force;
use super::{ChangeError, ErrorKind};
use crate::desired::{Reader, Verdicts, judge_change};
use crate::edit;
use crate::git::{Batch, CommitError, CommitMeta, Person, Repository};
use crate::project::{Actor, ChangeSet, Files, Overlaid, RepoPath, Revision, Unit};
use crate::sops;

/// The trailer of the commits that write the base.
const SOURCE: (&str, &str) = ("Source", "upgrade");
/// More commits than this are not searched for the last upgrade.
const LOOK_BACK: usize = 100_000;
/// How often the commit is made again because somebody else moved the head.
const TRIES: usize = 10;

/// Files that are kept, and why.
type Kept = Vec<(RepoPath, &'static str)>;

/// What an upgrade did.
#[derive(Clone, Debug)]
pub struct Upgraded {
    /// The commit; `None` when there was nothing to write.
    pub revision: Option<Revision>,
    /// The files that were written.
    pub written: Vec<RepoPath>,
    /// Files that were kept, and why.
    pub kept: Vec<(RepoPath, &'static str)>,
}

/// What [`upgrade`] would do now; its `revision` is `None`. Blocks.
///
/// # Errors
/// [`ChangeError`] when the repository fails.
pub fn look(repository: &Repository) -> Result<Upgraded, ChangeError> {
    let batch = repository.begin()?;
    let (changes, kept) = prepare(repository, &batch)?;
    Ok(Upgraded { revision: None, written: changes.0.into_keys().collect(), kept })
}

/// Commits the base of this program where the repository has an older one, in the name of `actor` or of the manager itself.
/// Blocks.
///
/// # Errors
/// [`ChangeError`] when a project that builds would not build any more, or when the repository fails; nothing was committed
/// then.
pub fn upgrade(repository: &Repository, actor: Option<&Actor>) -> Result<Upgraded, ChangeError> {
    for _ in 0..TRIES {
        match once(repository, actor) {
            Ok(Ok(upgraded)) => return Ok(upgraded),
            // What somebody committed meanwhile may be an edit of the base.
            Ok(Err(CommitError::HeadMoved { .. })) => {}
            Ok(Err(error)) => return Err(ChangeError::new(error.kind(), error)),
            Err(error) => return Err(error),
        }
    }
    let busy = "the state repository changes faster than the base can be renewed; try again later";
    Err(ChangeError::new(ErrorKind::Unavailable, busy))
}

fn once(repository: &Repository, actor: Option<&Actor>) -> Result<Result<Upgraded, CommitError>, ChangeError> {
    let mut batch = repository.begin()?;
    let (changes, kept) = prepare(repository, &batch)?;
    if changes.is_empty() {
        return Ok(Ok(Upgraded { revision: None, written: Vec::new(), kept }));
    }
    must_build(repository, &batch, &changes)?;
    let revision = batch.commit(&changes, &meta(actor))?;
    if let Err(error) = batch.publish() {
        return Ok(Err(error));
    }
    Ok(Ok(Upgraded { revision: Some(revision), written: changes.0.into_keys().collect(), kept }))
}

fn meta(actor: Option<&Actor>) -> CommitMeta {
    let mut message = format!("Upgrade the base to {}\n\n{}: {}\n", env!("CARGO_PKG_VERSION"), SOURCE.0, SOURCE.1);
    let author = match actor {
        Some(Actor { principal, request_id, .. }) => {
            message.push_str(&format!("Request-Id: {}\n", one_line(request_id)));
            Person { name: principal.name.clone(), email: principal.email.clone() }
        }
        None => Person::manager(),
    };
    CommitMeta { author, committer: Person::manager(), time: Timestamp::now(), message }
}

/// What is to be written, and what is kept.
fn prepare(repository: &Repository, batch: &Batch) -> Result<(ChangeSet, Kept), ChangeError> {
    let failed = |error: &dyn std::fmt::Display| ChangeError::new(ErrorKind::Unavailable, error);
    let before = batch.tree()?;
    let Some(tip) = batch.tip() else {
        return Err(ChangeError::new(ErrorKind::Conflict, "the state repository has no commit yet"));
    };
    let history = repository.log(tip, None, LOOK_BACK)?;
    let is_upgrade =
        |trailers: &[(String, String)]| trailers.iter().any(|(key, value)| (key.as_str(), value.as_str()) == SOURCE);
    // Without an earlier upgrade, the base is that of the first commit.
    let last = history.iter().find(|entry| is_upgrade(&entry.trailers)).or(history.last());
    let written = repository.tree(last.map_or(tip, |entry| entry.revision))?;
    let edit::upgrade::Upgrade { mut changes, mut kept } =
        edit::upgrade::upgrade(&before, &written).map_err(|error| failed(&error))?;
    // An upgrade leaves a person's edit in its own commit, so that the commit of a file, too, has to be an upgrade's.
    let first = history.last().map(|entry| entry.revision);
    for path in changes.0.keys().cloned().collect::<Vec<_>>() {
        let last = repository.log(tip, Some(&path), 1)?.pop();
        let is_ours = last.is_none_or(|entry| is_upgrade(&entry.trailers) || Some(entry.revision) == first);
        if !is_ours {
            changes.0.remove(&path);
            kept.push((path, "it was edited here"));
        }
    }
    Ok((changes, kept))
}

/// Refuses what a project that may be applied could not build on. Encrypted files are not touched by an upgrade, and are
/// judged as far as one can see.
fn must_build(repository: &Repository, batch: &Batch, changes: &ChangeSet) -> Result<(), ChangeError> {
    let before = batch.tree()?;
    let after = Overlaid { base: &before, changes };
    let policy = policy_in_force(repository, batch.tip())?;
    let conflict = |message: String| ChangeError::new(ErrorKind::Conflict, message);
    let (reader, read) = (Reader::new(Arc::default()), sops::read_without_key);
    let root = |files: &dyn Files| reader.root(files).map_err(|error| conflict(error.to_string()));
    let (root_before, root_after) = (root(&before)?, root(&after)?);
    let old = Verdicts::new(&reader, &before, &root_before, &policy, &read);
    let new = Verdicts::new(&reader, &after, &root_after, &policy, &read);
    let units = root_after.projects().iter().map(|name| (Unit::Project(name.clone()), false)).collect();
    match judge_change(Some(&old), &new, &units).into_iter().next() {
        None => Ok(()),
        Some((unit, error)) => Err(conflict(format!("the project {unit} would not build on the new base: {error}"))),
    }
}
