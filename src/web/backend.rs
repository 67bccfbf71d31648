//! The services that the API stands on: one place to write to, and three to read from.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::plan::Asked;
use super::problem::Problem;
use crate::change::{ChangeError, Changes, Committed, Upgraded};
use crate::cluster::{self, LogError, LogQuery, LogStream};
use crate::git::{self, Folder};
use crate::plan::UnitPlan;
use crate::project::{Actor, Intent, ProjectName, RepoPath, Revision, Unit};
use crate::reconcile::{self, Deletion, OnceReport, Reconciler, Snapshot};

/// What the interface is made of, as the running manager has it.
#[derive(Clone)]
pub struct Services {
    /// Where intents go.
    pub changes: Changes,
    /// Where snapshots come from.
    pub reconciler: Reconciler,
    /// Overlays and commits as people read them.
    pub reader: git::Reader,
    /// What the reconciler works with: for plans, and for logs.
    pub parts: reconcile::Dependencies,
    /// Plans of whole commits are made one at a time.
    pub planning: Arc<Semaphore>,
}

/// Where intents go and snapshots come from.
#[derive(Clone)]
pub(super) enum Backend {
    /// The services themselves.
    Live(Arc<Services>),
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
            Self::Live(services) => {
                let committed = services.changes.submit(intent, actor, if_match).await?;
                // Whoever reads after a write sees it.
                services.reconciler.load().await;
                Ok(committed)
            }
            #[cfg(test)]
            Self::Scripted(script) => script.submit(intent, actor, if_match).await,
        }
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        match self {
            Self::Live(services) => services.reconciler.snapshot(),
            #[cfg(test)]
            Self::Scripted(script) => script.snapshot(),
        }
    }

    pub(super) async fn refresh(&self, project: &ProjectName) -> Arc<Snapshot> {
        match self {
            Self::Live(services) => services.reconciler.refresh(Some(project)).await,
            #[cfg(test)]
            Self::Scripted(script) => script.snapshot(),
        }
    }

    /// What a commit would change in the cluster, and which commit that is.
    pub(super) async fn plan(&self, asked: &Asked) -> Result<(Revision, OnceReport), Problem> {
        match self {
            Self::Live(services) => {
                let _place = match asked.query.project {
                    Some(_) => None,
                    None => {
                        let busy = |error| Problem::internal(format!("no plans any more: {error}"));
                        Some(services.planning.acquire().await.map_err(busy)?)
                    }
                };
                let parts = &services.parts;
                if asked.revision.is_none() {
                    // So that the newest head is the one that is rendered already.
                    services.reconciler.load().await;
                }
                let resolve = || parts.repository.resolve(asked.revision.as_deref().unwrap_or("HEAD"));
                let revision = tokio::task::block_in_place(resolve)
                    .map_err(|error| Problem::of_kind(error.kind(), error.to_string()))?;
                let mut report = reconcile::plan_seen(parts, &services.reconciler, revision, &asked.query).await?;
                if asked.server {
                    reconcile::ask_server(parts, &mut report).await;
                }
                Ok((revision, report))
            }
            #[cfg(test)]
            Self::Scripted(script) => script.plan(asked),
        }
    }

    /// Has plans done that were looked at; gives what was not done, and why.
    pub(super) async fn apply(&self, plans: &[UnitPlan], asked: &Asked) -> Result<Vec<(Unit, String)>, Problem> {
        match self {
            Self::Live(services) => {
                let applied = reconcile::apply_plans(&services.reconciler, plans, &asked.query).await;
                applied.ok_or_else(|| Problem::internal("the reconciler has ended".to_owned()))
            }
            #[cfg(test)]
            Self::Scripted(script) => Ok(script.apply(plans)),
        }
    }

    /// What renewing the base would do.
    pub(super) async fn base(&self) -> Result<Upgraded, ChangeError> {
        match self {
            Self::Live(services) => services.changes.base().await,
            #[cfg(test)]
            Self::Scripted(script) => Ok(script.base()),
        }
    }

    /// Renews the base.
    pub(super) async fn upgrade(&self, actor: Actor) -> Result<Upgraded, ChangeError> {
        match self {
            Self::Live(services) => {
                let upgraded = services.changes.upgrade(actor).await?;
                services.reconciler.load().await;
                Ok(upgraded)
            }
            #[cfg(test)]
            Self::Scripted(script) => Ok(script.base()),
        }
    }

    /// What deleting a project would do; `None` when that cannot be known now.
    pub(super) async fn deletion(&self, project: &ProjectName) -> Option<Deletion> {
        match self {
            Self::Live(services) => services.reconciler.deletion(project).await,
            #[cfg(test)]
            Self::Scripted(script) => script.deletion(project),
        }
    }

    /// A project's overlay at `revision`, and its newest commits, at most `limit`.
    pub(super) async fn overlay(
        &self,
        revision: Revision,
        project: &ProjectName,
        limit: usize,
    ) -> Result<Folder, Problem> {
        match self {
            Self::Live(services) => {
                let path = RepoPath::parse(&format!("projects/{project}/kustomization.yaml"));
                let path = path.map_err(|error| Problem::internal(error.to_string()))?;
                let reader = services.reader.clone();
                let read = tokio::task::spawn_blocking(move || reader.folder_of(revision, &path, limit)).await;
                let folder = read.map_err(|error| Problem::internal(format!("reading an overlay ended: {error}")))?;
                folder.map_err(|error| Problem::internal(error.to_string()))
            }
            #[cfg(test)]
            Self::Scripted(script) => Ok(script.folder()),
        }
    }

    /// A project's log.
    pub(super) async fn logs(&self, project: &ProjectName, query: &LogQuery) -> Result<LogStream, LogError> {
        match self {
            Self::Live(services) => {
                cluster::logs(&services.parts.client, &services.parts.namespace, project, query).await
            }
            #[cfg(test)]
            Self::Scripted(script) => script.logs(query),
        }
    }
}
