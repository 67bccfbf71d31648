//! Backups and restores, for every caller: who may, how long a caller waits, and the plan of a restore.
//!
//! Viewers read the state and the list, operators make backups, administrators restore and export: an export has every
//! project's encrypted secrets in it.

use std::time::Duration;

use super::plans::Planned;
use super::{OperationError, Operations, permit};
use crate::backup::{BackupError, Backups, Catalog, Export, LastBackup, RestoreOrder, Status};
use crate::change::{Changes, Restored};
use crate::cluster::{self, Overview};
use crate::project::{Action, Actor, ErrorKind};
use crate::reconcile::{self, Dependencies, PlanQuery, Reconciler};

/// How long a caller waits for its backup; it goes on without the caller.
const PATIENCE: Duration = Duration::from_secs(20);

/// What backups and restores work with.
pub(super) struct BackupServices {
    pub(super) backups: Backups,
    pub(super) changes: Changes,
    pub(super) reconciler: Reconciler,
    pub(super) parts: Dependencies,
}

/// What became of the wish for a backup.
#[derive(Clone, Debug)]
pub enum BackupOutcome {
    /// It is complete.
    Complete(LastBackup),
    /// It is still being made; the status tells how it ends.
    Running,
}

/// What a restore did, or would do.
#[derive(Debug)]
pub struct RestoreOutcome {
    /// The name of the backup.
    pub backup: String,
    /// The commit and what is in it.
    pub restored: Restored,
    /// Of a dry run, what the commit would do to the cluster; or why that cannot be said now.
    pub plan: Option<Result<Planned, String>>,
}

impl Operations {
    fn backup_services(&self) -> Result<&BackupServices, OperationError> {
        let missing = || OperationError::new(ErrorKind::Unavailable, "this process makes no backups; `serve` does");
        self.backups.as_deref().ok_or_else(missing)
    }

    /// Returns how backups are doing.
    ///
    /// # Errors
    /// [`OperationError`] when this process makes none.
    pub fn backup_status(&self) -> Result<Status, OperationError> {
        Ok(self.backup_services()?.backups.status())
    }

    /// Returns the backups from `offset` on, at most `limit`, newest first.
    ///
    /// # Errors
    /// [`OperationError`] when the local copy cannot be read.
    pub async fn list_backups(&self, offset: usize, limit: usize) -> Result<Catalog, OperationError> {
        Ok(self.backup_services()?.backups.list(offset, limit).await?)
    }

    /// Makes a backup now.
    ///
    /// # Errors
    /// [`OperationError`] of the kind `Conflict` while another one runs, or why it failed.
    pub async fn create_backup(&self, actor: &Actor) -> Result<BackupOutcome, OperationError> {
        permit(actor, Action::BackUp)?;
        let backups = &self.backup_services()?.backups;
        tracing::info!(by = %actor.principal.name, "a backup was asked for");
        match tokio::time::timeout(PATIENCE, backups.create()).await {
            Ok(made) => Ok(BackupOutcome::Complete(made?)),
            Err(_) => Ok(BackupOutcome::Running),
        }
    }

    /// Restores a backup by a commit; a dry run makes its plan and moves nothing.
    ///
    /// # Errors
    /// [`OperationError`]; nothing was changed then.
    pub async fn restore_backup(&self, actor: &Actor, order: RestoreOrder) -> Result<RestoreOutcome, OperationError> {
        permit(actor, Action::Restore)?;
        let services = self.backup_services()?;
        let (is_dry, project) = (order.dry_run, order.project.clone());
        let (backup, restored) = services.backups.restore(&services.changes, order, actor.clone()).await?;
        if !is_dry {
            services.reconciler.load().await;
            return Ok(RestoreOutcome { backup, restored, plan: None });
        }
        services.reconciler.load().await;
        let ended = |error| OperationError::internal(format!("no plans are made any more: {error}"));
        let _turn = self.planning.acquire().await.map_err(ended)?;
        let query = PlanQuery { project, corrects: false };
        let made = reconcile::plan_seen(&services.parts, &services.reconciler, restored.revision, &query).await;
        let revision = restored.revision;
        let plan = made.map(|report| Planned { revision, report }).map_err(|error| error.to_string());
        Ok(RestoreOutcome { backup, restored, plan: Some(plan) })
    }

    /// Prepares the tree of a backup, or of the head, for download.
    ///
    /// # Errors
    /// [`OperationError`] when there is no such backup.
    pub async fn export_tree(&self, actor: &Actor, timestamp: Option<&str>) -> Result<Export, OperationError> {
        permit(actor, Action::Export)?;
        let export = self.backup_services()?.backups.export(timestamp).await?;
        tracing::info!(by = %actor.principal.name, commit = %export.revision, "the state repository is exported");
        Ok(export)
    }

    /// Asks what the cluster has.
    ///
    /// # Errors
    /// [`OperationError`] when this process serves no cluster.
    pub async fn cluster_overview(&self) -> Result<Overview, OperationError> {
        let parts = &self.backup_services()?.parts;
        Ok(cluster::overview(&parts.client, &parts.namespace).await)
    }
}

impl From<BackupError> for OperationError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Change(error) => error.into(),
            BackupError::Time(error) => Self::field("timestamp", error.to_string()),
            error => Self::new(error.kind(), error.to_string()),
        }
    }
}
