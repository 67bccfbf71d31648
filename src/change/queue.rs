//! The queue: everything that waits becomes one batch of commits.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::push::policy_in_force;
use super::writer::Writer;
use super::{ChangeError, Committed, Nudge};
use crate::git::{CommitError, GitError, Repository};
use crate::project::{Actor, ErrorKind, Intent};

/// How many intents at most share a sync: whoever comes first should not wait for too many others.
const BATCH: usize = 128;
/// How often a batch is made again because somebody else moved the head.
const TRIES: usize = 10;

/// One caller.
pub(super) struct Request {
    pub(super) work: Arc<Work>,
    pub(super) answer: oneshot::Sender<CommitAnswer>,
}

/// What a caller gets.
pub(super) type CommitAnswer = Result<Committed, ChangeError>;

/// What a caller wants.
pub(super) struct Work {
    pub(super) intent: Intent,
    pub(super) actor: Actor,
    pub(super) if_match: Option<String>,
}

/// Runs until every handle on the queue is gone and everything in it is answered.
pub(super) async fn run(repository: Repository, writer: Writer, nudge: Nudge, mut requests: mpsc::Receiver<Request>) {
    let writer = Arc::new(writer);
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        let (works, answers): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|request: Request| (request.work, request.answer)).unzip();
        let (repository, writer) = (repository.clone(), Arc::clone(&writer));
        let count = works.len();
        let outcomes = tokio::task::spawn_blocking(move || write_all(&repository, &writer, &works)).await;
        let outcomes = outcomes.unwrap_or_else(|panic| {
            tracing::error!(%panic, "a write panicked; nothing of its batch was committed");
            let error = ChangeError::new(ErrorKind::Internal, "an internal error; nothing was committed");
            std::iter::repeat_with(|| Err(error.clone())).take(count).collect()
        });
        if outcomes.iter().any(|outcome| matches!(outcome, Ok(committed) if committed.changed)) {
            nudge();
        }
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Nobody waits any more: the commit counts all the same.
            let _ = answer.send(outcome);
        }
    }
}

/// One outcome for each work, in order. Blocks.
fn write_all(repository: &Repository, writer: &Writer, works: &[Arc<Work>]) -> Vec<CommitAnswer> {
    for _ in 0..TRIES {
        match write_once(repository, writer, works) {
            Ok(answers) => return answers,
            // The edits are made again on the new head: a text merge could not know what is meant.
            Err(CommitError::HeadMoved { .. }) => {}
            Err(error) => {
                if error.kind() == ErrorKind::Internal {
                    tracing::error!(%error, "a batch could not be committed");
                }
                let error = ChangeError::new(error.kind(), error);
                return works.iter().map(|_| Err(error.clone())).collect();
            }
        }
    }
    let busy = "the state repository changes faster than edits can be made; try again later";
    works.iter().map(|_| Err(ChangeError::new(ErrorKind::Unavailable, busy))).collect()
}

/// Applies every work on top of the one before. An error of one is its own; an error of the commits is everybody's,
/// because a refusal may rest on a commit of the same batch ("exists already").
fn write_once(repository: &Repository, writer: &Writer, works: &[Arc<Work>]) -> Result<Vec<CommitAnswer>, CommitError> {
    let mut batch = repository.begin()?;
    // No intent changes the policy, so that one reading serves the whole batch.
    let policy = policy_in_force(repository, batch.tip())?;
    let answers = works.iter().map(|work| writer.write(&mut batch, work, &policy)).collect();
    batch.publish()?;
    Ok(answers)
}

impl From<GitError> for ChangeError {
    fn from(error: GitError) -> Self {
        Self::new(error.kind(), error)
    }
}
