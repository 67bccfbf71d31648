//! What the product can do, once: REST, pages and the command line call it, and so will tickets, chat, schedules and MCP.
//!
//! *Takes* an [`Actor`] with an intent, a plan request or a project's name. *Gives* a commit, a plan, a snapshot or a
//! log; an [`OperationError`] says what is wrong and what to do, in words that fit an HTTP answer, a ticket comment and a
//! terminal alike.
//!
//! *Rules that are enforced here*, whoever calls: a plan is applied only by its hash and by a role that may do so; one
//! that deletes volumes needs an administrator; plans of everything are made one at a time; so many logs are read at once.
//! Roles for commits are enforced by `change`, which no caller gets around.
//!
//! **Architecture invariant:** nothing here knows HTTP, and nothing here writes to Git or to the cluster by itself.

mod backup;
mod commit;
mod error;
mod fetch;
mod health;
mod list;
mod logs;
mod once;
mod plans;
mod project;
#[cfg(test)]
mod script;
mod services;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::backup::Backups;
use crate::change::Changes;
use crate::metrics::Metrics;
use crate::project::{Action, Actor, ErrorKind, Role, allows};
use crate::reconcile::{Dependencies, Reconciler};
use crate::store::Store;
use backup::BackupServices;
use logs::LogReaders;
use services::{Live, Services};

pub use crate::backup::{Catalog, Export, Item, LastBackup, RestoreOrder, Status, VOLUMES_NOTE};
pub use crate::change::{Committed, Restored, Upgraded};
pub use crate::cluster::{LogQuery, LogStream, Node, Overview, Quota, Since, StorageClass};
pub use crate::git::{FetchRequest, Folder, LogEntry};
pub use crate::reconcile::{Deletion, OnceReport, PlanQuery, ProjectState, Snapshot};
pub use crate::store::CommitOutcome;
pub use backup::{BackupOutcome, RestoreOutcome};
pub use error::{ErrorCode, OperationError};
pub use fetch::PackStream;
pub use health::{Component, Health};
pub use list::{ListRequest, ProjectPage, Sort};
pub use once::{plan_once, reconcile_once};
pub use plans::{PlanOutcome, PlanRequest, Planned};
#[cfg(test)]
pub(crate) use script::Script;

/// The operations of a running manager; cheap to clone.
#[derive(Clone)]
pub struct Operations {
    services: Arc<Services>,
    backups: Option<Arc<BackupServices>>,
    store: Store,
    metrics: Metrics,
    /// Plans of whole commits are made one at a time: each renders every project.
    planning: Arc<Semaphore>,
    readers: LogReaders,
    fetches: Arc<Semaphore>,
}

impl Operations {
    /// The operations over the services of a running manager.
    #[must_use]
    pub fn new(changes: Changes, reconciler: Reconciler, backups: Backups, parts: Dependencies) -> Self {
        let (store, metrics) = (parts.store.clone(), parts.metrics.clone());
        let for_backups =
            BackupServices { backups, changes: changes.clone(), reconciler: reconciler.clone(), parts: parts.clone() };
        let live = Services::Live(Box::new(Live::new(changes, reconciler, parts)));
        Self { backups: Some(Arc::new(for_backups)), ..Self::over(live, store, metrics) }
    }

    /// The operations over answers that a test wrote down.
    #[cfg(test)]
    pub(crate) fn scripted(script: Arc<Script>, store: Store, metrics: Metrics) -> Self {
        Self::over(Services::Scripted(script), store, metrics)
    }

    fn over(services: Services, store: Store, metrics: Metrics) -> Self {
        let planning = Arc::new(Semaphore::new(1));
        let (readers, fetches) = (LogReaders::new(), Arc::new(Semaphore::new(fetch::AT_ONCE)));
        Self { services: Arc::new(services), backups: None, store, metrics, planning, readers, fetches }
    }
}

/// Refuses what the role of `actor` does not allow.
///
/// # Errors
/// An [`OperationError`] of the kind `Forbidden` that names the role and the action.
pub fn permit(actor: &Actor, action: Action) -> Result<(), OperationError> {
    let role = actor.principal.role;
    if allows(role, action) {
        return Ok(());
    }
    let what = match action {
        Action::Read => "read",
        Action::Refresh => "refresh projects",
        Action::Apply => "apply plans",
        Action::Create => "create projects",
        Action::Change => "change projects",
        Action::Scale => "start or stop projects",
        Action::Chat => "send prompts or answer requests",
        Action::Delete => "delete projects",
        Action::DeleteVolumes => "delete volumes",
        Action::ManageKeys => "say which managers environments let in",
        Action::Upgrade => "renew the base of the environments",
        Action::BackUp => "make backups",
        Action::Export => "export the state repository",
        Action::Restore => "restore backups",
    };
    let needed = Role::needed_for(action);
    let message = format!("the role {role} may not {what}; this needs the role {needed}");
    Err(OperationError::new(ErrorKind::Forbidden, message))
}

#[cfg(test)]
mod tests;
