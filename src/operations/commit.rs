//! Writes: an intent becomes a commit, is counted and logged, whether or not the caller waits for it.

use std::future::Future;
use std::time::Instant;

use tracing::Instrument as _;

use super::services::ask;
use super::{OperationError, Operations, permit};
use crate::change::{Committed, Upgraded};
use crate::metrics::Outcome;
use crate::project::{Action, Actor, Intent};

impl Operations {
    /// Commits `intent` (create, change, start, stop or delete) for `actor`. `if_match` is the overlay id that the caller
    /// has read. The snapshot has the commit before this returns.
    ///
    /// A caller that goes away does not take its intent back: it is committed, counted and logged all the same.
    ///
    /// # Errors
    /// [`OperationError`]; nothing was committed then.
    pub async fn submit(
        &self,
        intent: Intent,
        actor: Actor,
        if_match: Option<String>,
    ) -> Result<Committed, OperationError> {
        let operations = self.clone();
        to_its_end(async move {
            let started = Instant::now();
            let (project, subject, operation) = (intent.project().cloned(), intent.subject(), operation(&intent));
            let result = ask!(operations, services => services.submit(intent, actor, if_match).await);
            let outcome = Outcome::from(&result);
            operations.metrics.project_operation(operation, outcome);
            if operation == "create" {
                operations.metrics.project_creation(outcome, started.elapsed());
            }
            let committed = result?;
            let project = project.as_ref().map(tracing::field::display);
            tracing::info!(project, commit = %committed.revision, changed = committed.changed, "{subject}");
            Ok(committed)
        })
        .await
    }

    /// What [`Operations::upgrade`] would write, and what it would keep.
    ///
    /// # Errors
    /// [`OperationError`] when the role of `actor` may not upgrade, or the repository cannot be read.
    pub async fn preview_upgrade(&self, actor: &Actor) -> Result<Upgraded, OperationError> {
        permit(actor, Action::Upgrade)?;
        Ok(ask!(self, services => services.preview_upgrade().await)?)
    }

    /// Commits this program's base into an older state repository.
    ///
    /// # Errors
    /// [`OperationError`]; nothing was committed then.
    pub async fn upgrade(&self, actor: Actor) -> Result<Upgraded, OperationError> {
        let operations = self.clone();
        to_its_end(async move {
            let upgraded = ask!(operations, services => services.upgrade(actor).await)?;
            if let Some(revision) = upgraded.revision {
                tracing::info!(commit = %revision, files = upgraded.written.len(), "the base was upgraded");
            }
            Ok(upgraded)
        })
        .await
    }
}

/// Runs `work` as a task of its own, so that it ends though the caller goes away.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, OperationError>> + Send + 'static,
) -> Result<T, OperationError> {
    let done = tokio::spawn(work.in_current_span()).await;
    done.unwrap_or_else(|error| Err(OperationError::internal(format!("a write ended early: {error}"))))
}

/// The name of an operation in metrics.
const fn operation(intent: &Intent) -> &'static str {
    match intent {
        Intent::Create(_) => "create",
        Intent::Change(..) => "change",
        Intent::Delete(..) => "delete",
        Intent::Start(_) | Intent::Wake(_) => "start",
        Intent::Stop(_) => "stop",
        Intent::TrustAgentKey(_) => "trust-agent-key",
    }
}
