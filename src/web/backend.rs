//! The two services that the API stands on: one place to write to, one to read from.

use std::sync::Arc;

use crate::change::{ChangeError, Changes, Committed};
use crate::project::{Actor, Intent, ProjectName};
use crate::reconcile::{Reconciler, Snapshot};

/// Where intents go and snapshots come from.
#[derive(Clone)]
pub(super) enum Backend {
    /// The services themselves.
    Live(Changes, Reconciler),
    /// Answers that a test wrote down.
    #[cfg(test)]
    Scripted(Arc<super::tests::Script>),
}

impl Backend {
    pub(super) async fn submit(
        &self,
        intent: Intent,
        actor: Actor,
        if_match: Option<String>,
    ) -> Result<Committed, ChangeError> {
        match self {
            Self::Live(changes, reconciler) => {
                let committed = changes.submit(intent, actor, if_match).await?;
                // Whoever reads after a write sees it.
                reconciler.load().await;
                Ok(committed)
            }
            #[cfg(test)]
            Self::Scripted(script) => script.submit(intent, actor, if_match).await,
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        match self {
            Self::Live(_, reconciler) => reconciler.snapshot(),
            #[cfg(test)]
            Self::Scripted(script) => script.snapshot(),
        }
    }

    pub(super) async fn refresh(&self, project: &ProjectName) -> Arc<Snapshot> {
        match self {
            Self::Live(_, reconciler) => reconciler.refresh(Some(project)).await,
            #[cfg(test)]
            Self::Scripted(script) => script.snapshot(),
        }
    }
}
