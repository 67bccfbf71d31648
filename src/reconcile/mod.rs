//! Brings the cluster to the head of the repository, and keeps it there.
//!
//! *Flow.* Three loops that never wait for one another. `follow` reads the head and renders what changed
//! (`desired`). `driver` compares it with what was observed, starts one apply for each unit that differs, and heals
//! drift the same way. Health is read from the watch cache whenever it changes; no worker is held while waiting.
//!
//! *Guarantees.* Signals carry no data: whoever is woken reads the head itself. A newer commit pre-empts the work for
//! an older one. One unit's failure delays no other. A unit that does not build is left as it is.
//!
//! # Figures
//! `cargo bench --bench reconciler -- PROJECTS` with the stages that are named, on 27 November 2026: release build, 2 cores of a virtual
//! machine that API server, etcd, controllers and manager share, so that what one of them uses the others lack; seven objects
//! for each project. The speed of the machine changes by half within the hour, so that only what was measured in turns can be
//! compared.
//!
//! *Cold.* A build gives its objects kind by kind, and a loop that applies them so comes to the StatefulSets, whose controller
//! works on the same cores, when it is nearly done. The manager makes whole environments, the first within a second, and has
//! that controller beside it all the time; so does a loop that goes project by project. In turns (`-- 500 --only cold`), of
//! the loops before and after each of four runs: 86, 115, 116 and 134 % of one with 32 requests on their way, kind by kind;
//! 98, 98, 107 and 116 % of one with 128, project by project; 76, 80, 89 and 94 % of one with 128, kind by kind.
//!
//! The small program on Flux's libraries (`-- 500 --only flux`) takes 113.8 s and 10,502 requests where the manager takes 10.0 s
//! and 3,501, 11 times as long, and 94.6 s and 7,002 requests when there is nothing to do.
//!
//! *One project changed*, in several rounds (`-- 1000 --only change`, `-- 5000 --only change,drift,quiet`): at 1,000 projects p50 38
//! to 65 and p95 74 to 130 ms beside a plain apply of the same with 18 to 29 and 39 to 43, at 5,000 p50 43 to 50 and p95 52 to 92
//! beside 17 to 20 and 23 to 46. About 10 ms of it wait for the disk, so that the commit is there after a power cut.
//!
//! *A start* reads who changed each project last from the store, and looks only at the commits that came after that. With 10,000
//! commits (embedded cluster): 1.5 s at 1,000 projects and 5.3 s at 5,000; the first look, which goes through all of them, 3.7
//! and 15.3 s.
//!
//! *Drift* costs the API server 12 to 19 ms of processor time for each of its 200 requests (4 for one of a cold apply: to
//! apply on what is there is dearer), and is healed as fast as by a plain healer that writes back whatever it sees changed.
//! Four rounds at 1,000: p95 1,550 to 1,812 ms beside its 1,409 to 1,816. At 5,000, in nine rounds, 821 to 2,853 beside 713 to
//! 2,565: whoever falls into a collection of the API server's garbage, of which it has gigabytes then, takes twice as long.
//!
//! "Beside three bad ones" is a project with a bad image, one whose overlay is no YAML and one over quota, which come and go
//! three times. Four such rounds at 500 projects (`-- 500 --only bad`): p95 79, 91, 90 and 89 ms beside them, 88, 88, 93 and 81
//! without, p50 47, 60, 62 and 64 beside 51, 57, 56 and 50. What is marked with a star is of an earlier version.
//! ```text
//!                                             1,000 projects             5,000 projects
//! plain loop of 128, kind by kind             17.7 s before              94.4; 64.8 s before another
//! check of the push of all of them            1.2 s                      8.4; 5.6 s
//! manager, cold, to the last answer           18.0 s                     111.6; 117.0 s in the other
//! its processor time of these                 5.1 s                      30.9; 30.2 s
//! one project changed just before and after   p50 47 ms, p95 98 ms *     p50 66 ms, p95 101 ms
//! the same beside three bad ones              p50 66 ms, p95 107 ms *    p50 46 ms, p95 108 ms
//! the three mended, push to healthy           at most 289 ms *           at most 878 ms
//! one object of each changed by one commit *  3.2 s, 1,000 requests      22.7 s, 5,000 requests
//! two of each, first shown to the server *    7.6 s, 4,000 requests      98.1 s, 20,000 requests
//! resync and 5 s of quiet                     0 requests                 0 requests, or watches that are renewed
//! restart until all is settled                1.9 to 3.2 s, 0 writes     11.8 and 14.4 s, 0 writes
//! memory after the cold apply, at most        60 MB                      125 MB (program's file: 23 MB)
//! memory after all of this and a restart      62 MB at most              131 MB at most
//! ```
//!
//! **Architecture invariant:** this module writes nothing to Git, and to the cluster only through `cluster::apply`.

mod agents;
mod contention;
mod crash_logs;
mod deletion_guard;
mod driver;
mod events;
mod execute;
mod follow;
mod history;
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
