//! The services that operations stand on: one to write to, and those that are read.
//!
//! This is the seam for tests of what lies above: [`ask`] is the one place that chooses between the services of a running
//! manager and a script with the same functions.

use std::sync::Arc;

use super::error::OperationError;
use super::fetch::PackStream;
use super::plans::{PlanRequest, Planned, resolve};
use crate::agent::Address;
use crate::change::{ChangeError, Changes, Committed, Upgraded};
use crate::cluster::{self, LogError, LogQuery, LogStream};
use crate::git::{self, FetchRequest, Folder, Reader};
use crate::plan::UnitPlan;
use crate::project::layout::overlay_path;
use crate::project::{Actor, ErrorKind, Intent, ProjectName, Revision, Unit};
use crate::reconcile::{self, Deletion, Dependencies, PlanQuery, Reconciler, Snapshot};

/// What answers the operations.
pub(super) enum Services {
    /// The services of a running manager.
    Live(Box<Live>),
    /// Answers that a test wrote down.
    #[cfg(test)]
    Scripted(Arc<super::script::Script>),
}

/// Asks whichever services there are. Both have the same functions; the expression is compiled once for each.
macro_rules! ask {
    ($operations:expr, $services:ident => $call:expr) => {
        match &*$operations.services {
            $crate::operations::services::Services::Live($services) => $call,
            #[cfg(test)]
            $crate::operations::services::Services::Scripted($services) => $call,
        }
    };
}
pub(super) use ask;

/// The services of a running manager.
pub(super) struct Live {
    changes: Changes,
    reconciler: Reconciler,
    reader: Reader,
    parts: Dependencies,
}

impl Live {
    pub(super) fn new(changes: Changes, reconciler: Reconciler, parts: Dependencies) -> Self {
        let reader = Reader::new(parts.repository.clone());
        Self { changes, reconciler, reader, parts }
    }

    /// The newest snapshot.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.reconciler.snapshot()
    }

    /// What keeps writes out of the state repository.
    pub(super) fn write_obstacle(&self) -> Option<String> {
        self.parts.repository.write_obstacle()
    }

    /// Commits an intent. The snapshot has the commit before this returns, so that a read after a write shows it.
    pub(super) async fn submit(
        &self,
        intent: Intent,
        actor: Actor,
        if_match: Option<String>,
    ) -> Result<Committed, ChangeError> {
        let committed = self.changes.submit(intent, actor, if_match).await?;
        self.reconciler.load().await;
        Ok(committed)
    }

    /// Reconciles a project now.
    pub(super) async fn refresh(&self, project: &ProjectName) -> Arc<Snapshot> {
        self.reconciler.refresh(Some(project)).await
    }

    /// Plans a commit against what was observed.
    pub(super) async fn plan(&self, request: &PlanRequest) -> Result<Planned, OperationError> {
        if request.revision.is_none() {
            // The newest head is then the one that is rendered already.
            self.reconciler.load().await;
        }
        let revision = resolve(&self.parts, request.revision.as_deref())?;
        let mut report = reconcile::plan_seen(&self.parts, &self.reconciler, revision, &request.query).await?;
        if request.server {
            reconcile::ask_server(&self.parts, &mut report).await;
        }
        Ok(Planned { revision, report })
    }

    /// Applies plans that are still the same; returns what failed, `None` when the reconciler has ended.
    pub(super) async fn apply(&self, plans: &[UnitPlan], query: &PlanQuery) -> Option<Vec<(Unit, String)>> {
        reconcile::apply_plans(&self.reconciler, plans, query).await
    }

    /// What an upgrade of the base would write.
    pub(super) async fn preview_upgrade(&self) -> Result<Upgraded, ChangeError> {
        self.changes.base().await
    }

    /// Commits this program's base.
    pub(super) async fn upgrade(&self, actor: Actor) -> Result<Upgraded, ChangeError> {
        let upgraded = self.changes.upgrade(actor).await?;
        self.reconciler.load().await;
        Ok(upgraded)
    }

    /// Where a project's agent is.
    pub(super) async fn environment(&self, project: &ProjectName) -> Option<Address> {
        self.reconciler.environment(project).await
    }

    /// What deleting a project would do; `None` when that cannot be known now.
    pub(super) async fn deletion(&self, project: &ProjectName) -> Option<Deletion> {
        self.reconciler.deletion(project).await
    }

    /// A project's overlay at `revision`, and its newest commits, at most `limit`.
    pub(super) async fn overlay(
        &self,
        revision: Revision,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Folder, OperationError> {
        let path = overlay_path(project);
        let reader = self.reader.clone();
        let read = tokio::task::spawn_blocking(move || reader.folder_of(revision, &path, limit)).await;
        let ended = |error| OperationError::internal(format!("reading an overlay ended: {error}"));
        read.map_err(ended)?.map_err(OperationError::internal)
    }

    /// Opens a project's log.
    pub(super) async fn logs(&self, project: &ProjectName, query: &LogQuery) -> Result<LogStream, LogError> {
        cluster::logs(&self.parts.client, &self.parts.namespace, project, query).await
    }

    /// Begins to answer a request of `git fetch`.
    pub(super) fn fetch(&self, protocol: Option<&str>, request: FetchRequest) -> Result<PackStream, OperationError> {
        let stream = git::upload_pack(&self.parts.repository, protocol, request);
        stream.map(|stream| Box::pin(stream) as PackStream).map_err(|error| {
            tracing::error!(%error, "git cannot be started");
            OperationError::new(
                ErrorKind::Unavailable,
                "git cannot be started on the manager's machine; its log says why",
            )
        })
    }
}
