//! The only writer of desired state: an intent in, a commit out.
//!
//! *Flow.* policy (pure) → edit on the head → render the changed project and check its objects → secrets encrypted →
//! commit with compare-and-swap → nudge. When the head moved meanwhile the edit is made again on the new head.
//!
//! One task takes all intents that wait, applies each on the tip of the one before, makes their commits durable
//! together and then answers everybody: many writers cost one sync (or one push), and none of them waits for a lock.
//! [`check_push`] holds a person's push to the same checks.

mod cleartext;
mod message;
mod push;
mod queue;
mod restore;
mod secrets;
mod upgrade;
mod writer;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::git::Repository;
use crate::project::{Action, Actor, ErrorKind, FieldError, Intent, ProjectSpec, Revision, Role, allows};
use crate::sops::Identity;
use kustomize::Memo;
use writer::Writer;

pub use push::check_push;
pub use restore::{Restoration, Restored};
pub use upgrade::{Upgraded, look, upgrade};

/// How many intents may wait; whoever comes later waits to get in.
const WAITING: usize = 1024;

/// A commit that was made and is durable.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The commit; the head as it was when nothing had to change.
    pub revision: Revision,
    /// Whether a commit was made.
    pub changed: bool,
    /// The project as it reads in that commit; `None` after a delete.
    pub project: Option<ProjectSpec>,
    /// The blob id of its overlay, the ETag.
    pub overlay_id: Option<String>,
}

/// Why nothing was committed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ChangeError {
    /// What it means to the caller.
    pub kind: ErrorKind,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// The fields at fault.
    pub fields: Vec<FieldError>,
}

impl ChangeError {
    fn new(kind: ErrorKind, message: impl ToString) -> Self {
        Self { kind, message: message.to_string(), fields: Vec::new() }
    }
}

/// Called after every batch that moved the head; has to return at once.
pub type Nudge = Arc<dyn Fn() + Send + Sync>;

/// A handle on the queue of writes; cheap to clone. The queue ends when the last handle is dropped.
#[derive(Clone)]
pub struct Changes {
    queue: mpsc::Sender<queue::Request>,
    repository: Repository,
    age_identities: Arc<Vec<Identity>>,
    nudge: Nudge,
}

impl Changes {
    /// Starts the queue on the current runtime. A root for another `namespace` than the given one takes no writes. Secrets are encrypted for the recipients that the repository names and
    /// for the holder of `age_identities`, which also decrypt what is there. `memo` is best shared with whoever renders the
    /// same repository.
    #[must_use]
    pub fn start(
        repository: Repository,
        namespace: &str,
        age_identities: Arc<Vec<Identity>>,
        memo: Arc<Memo>,
        nudge: Nudge,
    ) -> Self {
        let (queue, requests) = mpsc::channel(WAITING);
        let writer = Writer::new(namespace.to_owned(), Arc::clone(&age_identities), memo);
        tokio::spawn(queue::run(repository.clone(), writer, Arc::clone(&nudge), requests));
        Self { queue, repository, age_identities, nudge }
    }

    /// What renewing the base would do.
    ///
    /// # Errors
    /// [`ChangeError`] when the repository cannot be read.
    pub async fn base(&self) -> Result<Upgraded, ChangeError> {
        let repository = self.repository.clone();
        let looked = tokio::task::spawn_blocking(move || look(&repository)).await;
        looked.unwrap_or_else(|error| Err(ChangeError::new(ErrorKind::Internal, error)))
    }

    /// Renews the base, for `actor`. It concerns every project and no intent, so that it goes beside the queue: the commit
    /// is made again when the queue was faster.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was committed then.
    pub async fn upgrade(&self, actor: Actor) -> Result<Upgraded, ChangeError> {
        may(&actor, Action::Upgrade)?;
        let repository = self.repository.clone();
        let done = tokio::task::spawn_blocking(move || upgrade(&repository, Some(&actor))).await;
        let upgraded = done.unwrap_or_else(|error| Err(ChangeError::new(ErrorKind::Internal, error)))?;
        if upgraded.revision.is_some() {
            (self.nudge)();
        }
        Ok(upgraded)
    }

    /// Commits `intent` for `actor`. `if_match` is the overlay id that the caller has read.
    ///
    /// A caller that goes away does not take its intent back.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing was committed then.
    pub async fn submit(
        &self,
        intent: Intent,
        actor: Actor,
        if_match: Option<String>,
    ) -> Result<Committed, ChangeError> {
        may(&actor, intent.action())?;
        let (answer, answered) = oneshot::channel();
        let request = queue::Request { work: Arc::new(queue::Work { intent, actor, if_match }), answer };
        let stopped = || ChangeError::new(ErrorKind::Unavailable, "the server is stopping; try again");
        self.queue.send(request).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

fn may(actor: &Actor, action: Action) -> Result<(), ChangeError> {
    if allows(actor.principal.role, action) {
        return Ok(());
    }
    let (role, needed) = (actor.principal.role, Role::needed_for(action));
    let message = format!("{} has the role {role}, and this needs the role {needed}", actor.principal.name);
    Err(ChangeError::new(ErrorKind::Forbidden, message))
}
