//! Reading projects: their state, overlay and history, and what deleting one would do.

use std::sync::Arc;

use super::services::ask;
use super::{OperationError, Operations, permit};
use crate::agent::Address;
use crate::git::Folder;
use crate::metrics::Outcome;
use crate::project::{Action, Actor, ErrorKind, ProjectName, Revision};
use crate::reconcile::{Deletion, ProjectState, Snapshot};
use crate::store::CommitOutcome;

impl Operations {
    /// The newest snapshot, also before the state repository was read.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        ask!(self, services => services.snapshot())
    }

    /// The newest snapshot of a state repository that was read. Before that, an empty list or "not found" would be a
    /// wrong answer, not an early one.
    ///
    /// # Errors
    /// An [`OperationError`] of the kind `Unavailable` until the repository was read.
    pub fn loaded(&self) -> Result<Arc<Snapshot>, OperationError> {
        let snapshot = self.snapshot();
        if snapshot.head.is_some() {
            return Ok(snapshot);
        }
        let message = "the state repository has not been read yet; try again in a moment";
        Err(OperationError::new(ErrorKind::Unavailable, message))
    }

    /// The state of one project.
    ///
    /// # Errors
    /// [`OperationError`] when there is no such project, or the state repository was not read yet.
    pub fn project(&self, name: &ProjectName) -> Result<Arc<ProjectState>, OperationError> {
        find(&*self.loaded()?, name)
    }

    /// Reconciles a project now, waits until its actions are done or have failed, and returns its state.
    ///
    /// # Errors
    /// [`OperationError`] when the role of `actor` may not do this, or there is no such project.
    pub async fn refresh(&self, actor: &Actor, name: &ProjectName) -> Result<Arc<ProjectState>, OperationError> {
        permit(actor, Action::Refresh)?;
        // The snapshot may not have a project of the newest push yet, so the reconciler is asked in any case.
        let snapshot = ask!(self, services => services.refresh(name).await);
        let state = find(&snapshot, name)?;
        self.metrics.project_operation("refresh", Outcome::Success);
        Ok(state)
    }

    /// Returns where the agent of a project is; `None` while none runs.
    pub async fn environment(&self, name: &ProjectName) -> Option<Address> {
        ask!(self, services => services.environment(name).await)
    }

    /// What deleting a project would do to the cluster; `None` when that cannot be known now.
    pub async fn preview_deletion(&self, name: &ProjectName) -> Option<Deletion> {
        ask!(self, services => services.deletion(name).await)
    }

    /// A project's overlay at `revision`, and its newest commits, at most `limit`.
    ///
    /// # Errors
    /// [`OperationError`] when the repository is damaged.
    pub async fn overlay(
        &self,
        revision: Revision,
        name: &ProjectName,
        limit: usize,
    ) -> Result<Folder, OperationError> {
        ask!(self, services => services.overlay(revision, name, limit).await)
    }

    /// How the last commits of a project came into the cluster, the newest first. That of a deleted project can still be
    /// read.
    ///
    /// # Errors
    /// [`OperationError`] when the database does not answer.
    pub async fn history(&self, name: &ProjectName) -> Result<Vec<CommitOutcome>, OperationError> {
        Ok(self.store.passages(name).await?)
    }
}

fn find(snapshot: &Snapshot, name: &ProjectName) -> Result<Arc<ProjectState>, OperationError> {
    let state = snapshot.projects.get(name).cloned();
    state.ok_or_else(|| OperationError::no_such_project(name.as_str()))
}
