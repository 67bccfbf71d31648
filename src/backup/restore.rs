//! A restore: the files of a backup, handed to `change`.

use std::sync::Arc;

use super::{BackupError, Backups};
use crate::change::{Changes, Restoration, Restored};
use crate::project::{Actor, ProjectName, Revision};

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct RestoreOrder {
    /// The time of the backup, by its name or in RFC 3339.
    pub timestamp: String,
    /// Only this project; everything when absent.
    pub project: Option<ProjectName>,
    /// The head that the caller has seen the plan for.
    pub expected_head: Option<Revision>,
    /// Whether to change nothing.
    pub dry_run: bool,
}

impl Backups {
    /// Restores for `actor` through `changes`. Returns the name of the backup and what was done.
    ///
    /// # Errors
    /// [`BackupError`]; nothing was changed then.
    pub async fn restore(
        &self,
        changes: &Changes,
        order: RestoreOrder,
        actor: Actor,
    ) -> Result<(String, Restored), BackupError> {
        let (name, _, tree) = self.find(&order.timestamp).await?;
        let restoration = Restoration {
            tree: Arc::new(tree),
            backup: name.clone(),
            project: order.project,
            agent_key: self.inner.setup.agent_key.clone(),
            expected_head: order.expected_head,
            dry_run: order.dry_run,
        };
        let (is_dry, by) = (order.dry_run, actor.principal.name.clone());
        let restored = changes.restore(restoration, actor).await?;
        if !is_dry {
            tracing::info!(backup = %name, commit = %restored.revision, %by, changed = restored.changed, "restored");
        }
        Ok((name, restored))
    }
}
