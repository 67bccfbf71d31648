//! Brings the cluster to the head of the repository, and keeps it there.
//!
//! *Flow.* Three loops that never wait for one another. `follow` reads the head and renders what changed
//! (`desired`). `driver` compares it with what was observed, starts one apply for each unit that differs, and heals
//! drift the same way. Health is read from the watch cache whenever it changes; no worker is held while waiting.
//!
//! *Guarantees.* Signals carry no data: whoever is woken reads the head itself. A newer commit pre-empts the work for
//! an older one. One unit's failure delays no other. A unit that does not build is left as it is.
//!
//! Figures are in `tests/bench/README.md`.
//!
//! **Architecture invariant:** this module writes nothing to Git, and to the cluster only through `cluster::apply`.

mod agents;
mod claims;
mod contention;
mod crash_logs;
mod deletion_guard;
mod driver;
mod events;
mod execute;
mod follow;
mod history;
mod inventory;
mod on_demand;
mod once;
mod queue;
mod rollout;
mod store_writer;
mod unit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

pub use on_demand::PlanQuery;
pub use on_demand::{apply_plans, plan_seen};
pub use once::{OnceError, OnceReport, ask_server, check_at, plan_at, reconcile_once, reconcile_planned};

use crate::agent;
use crate::git;
use crate::metrics::Metrics;
use crate::plan::{Drift, UnitPlan};
use crate::project::{ProjectName, ProjectSpec, ProjectStatus, Revision, Unit};
use crate::sops;
use crate::store::Store;
use kustomize::Memo;

/// What is known at one moment; never changed, only replaced.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The head that the projects below were read from.
    pub head: Option<Revision>,
    /// Every project of the head, and those whose objects still go.
    pub projects: BTreeMap<ProjectName, Arc<ProjectState>>,
    /// What is wrong with the tree as a whole (the root's kustomization, the base-wide objects).
    pub base_error: Option<String>,
    /// Folders under `projects/` that the root does not list, and other warnings.
    pub warnings: Vec<String>,
    /// Why the cluster does not answer; `None` while it does.
    pub cluster: Option<String>,
    /// Whether the cluster was seen as a whole at least once.
    pub synced: bool,
}

/// One project in a [`Snapshot`].
#[derive(Clone, Debug)]
pub struct ProjectState {
    /// The project as its overlay reads; `None` when it does not build or is deleted.
    pub spec: Option<ProjectSpec>,
    /// Its phase, reason and message.
    pub status: ProjectStatus,
    /// The blob id of `projects/<name>/kustomization.yaml`: the ETag.
    pub overlay_id: Option<String>,
    /// The last commit that touched its folder.
    pub revision: Option<Revision>,
    /// When that commit was made, RFC 3339.
    pub updated_at: Option<String>,
    /// What still differs between Git and the cluster.
    pub plan: Arc<UnitPlan>,
    /// How many objects Git wants; 0 when it does not build or is deleted.
    pub objects: usize,
}

/// What deleting a project would do to the cluster as it is now.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// When its volumes are kept.
    pub keeping_volumes: UnitPlan,
    /// When they go with it.
    pub with_volumes: UnitPlan,
}

/// What the reconciler works with.
#[derive(Clone)]
pub struct Dependencies {
    /// The state repository.
    pub repository: git::Repository,
    /// The cluster.
    pub client: kube::Client,
    /// Where the inventory is kept.
    pub store: Store,
    /// The age identities that decrypt secrets.
    pub age_identities: Arc<Vec<sops::Identity>>,
    /// What builds remember of one another.
    pub memo: Arc<Memo>,
    /// The namespace to observe.
    pub namespace: String,
    /// The way to the agents of environments, where there is one.
    pub agents: Option<agent::Client>,
    /// Counters.
    pub metrics: Metrics,
}

/// A handle on the reconciler; cheap to clone. The loops end when the last handle is dropped.
#[derive(Clone)]
pub struct Reconciler {
    signals: mpsc::Sender<follow::Signal>,
    messages: mpsc::Sender<driver::Message>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

impl Reconciler {
    /// Starts the loops.
    #[must_use]
    pub fn start(parts: Dependencies) -> Self {
        // One waiting signal is enough: whoever reads it reads the head itself.
        let (signals, signalled) = mpsc::channel(64);
        let (messages, received) = mpsc::channel(256);
        let (publish, snapshot) = watch::channel(Arc::new(Snapshot::default()));
        tokio::spawn(follow::run(parts.clone(), signalled, messages.clone()));
        tokio::spawn(driver::run(parts, received, messages.downgrade(), publish));
        let reconciler = Self { signals, messages, snapshot };
        reconciler.nudge();
        reconciler
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Follows the snapshots: wakes whenever there is a newer one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Returns when a loop has ended, which only a defect can make it do while a handle is held: the program is then better
    /// started anew than left without it.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.signals.closed() => {}
            () = self.messages.closed() => {}
        }
    }

    /// Waits until the cluster was seen as a whole or is known not to answer, but no longer than `patience`.
    pub async fn cluster_seen(&self, patience: Duration) {
        let mut snapshots = self.subscribe();
        let is_seen = snapshots.wait_for(|snapshot| snapshot.synced || snapshot.cluster.is_some());
        let _ = tokio::time::timeout(patience, is_seen).await;
    }

    /// Says that the head may have moved. Carries no data, never waits.
    pub fn nudge(&self) {
        // A full queue already holds a signal that will read the newest head.
        let _ = self.signals.try_send(follow::Signal::default());
    }

    /// Reads the head now and waits until the snapshot shows what it wants (not until the cluster does).
    pub async fn load(&self) -> Arc<Snapshot> {
        let (done, wait) = oneshot::channel();
        if self.signals.send(follow::Signal { done: Some(done) }).await.is_ok() {
            let _ = wait.await;
        }
        self.snapshot()
    }

    /// Reconciles now (one project, or all) and waits until its actions are done or have failed.
    pub async fn refresh(&self, project: Option<&ProjectName>) -> Arc<Snapshot> {
        self.load().await;
        let (done, wait) = oneshot::channel();
        let message = driver::Message::Refresh(project.cloned(), done);
        if self.messages.send(message).await.is_ok() {
            let _ = wait.await;
        }
        self.snapshot()
    }

    /// What is known of one unit, or of all.
    async fn seen(&self, only: Option<Unit>) -> Option<driver::PlanInputs> {
        let (answer, wait) = oneshot::channel();
        self.messages.send(driver::Message::PlanInputs(only, answer)).await.ok()?;
        wait.await.ok()
    }

    /// Has each unit's plan done that has this hash, and gives what was not done, and why.
    async fn grant(&self, plans: BTreeMap<Unit, String>, drift: Option<Drift>) -> Option<Vec<(Unit, String)>> {
        let (done, wait) = oneshot::channel();
        self.messages.send(driver::Message::Grant(driver::Grant { plans, drift, done })).await.ok()?;
        wait.await.ok()
    }

    /// Returns where the agent of `project` is; `None` while none runs or the cluster was not seen.
    pub async fn environment(&self, project: &ProjectName) -> Option<agent::Address> {
        let (answer, wait) = oneshot::channel();
        self.messages.send(driver::Message::Environment(project.clone(), answer)).await.ok()?;
        let pod = wait.await.ok().flatten()?;
        Some(agent::Address { project: project.clone(), namespace: pod.namespace, pod: pod.name, ip: pod.ip })
    }

    /// What deleting `project` would do; `None` while the cluster was not seen as a whole, or knows nothing of it.
    pub async fn deletion(&self, project: &ProjectName) -> Option<Deletion> {
        let (answer, wait) = oneshot::channel();
        self.messages.send(driver::Message::Deletion(project.clone(), answer)).await.ok()?;
        wait.await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_ends_is_noticed() {
        let (signals, signalled) = mpsc::channel(1);
        let (messages, received) = mpsc::channel(1);
        let (_publish, snapshot) = watch::channel(Arc::new(Snapshot::default()));
        let reconciler = Reconciler { signals, messages, snapshot };
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, reconciler.ended()).await.is_err(), "both run");
        drop(received);
        assert!(tokio::time::timeout(soon, reconciler.ended()).await.is_ok());
        drop(signalled);
        // Nobody waits for ever on a loop that is gone.
        assert!(tokio::time::timeout(soon, reconciler.refresh(None)).await.is_ok());
    }
}
