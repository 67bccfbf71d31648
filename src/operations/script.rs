//! Services that follow a script, for tests of the edges: each function answers what the test wrote down, and remembers
//! what it was asked. Its functions are those of `services::Live`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::error::OperationError;
use super::fetch::PackStream;
use super::plans::{PlanRequest, Planned};
use crate::agent::Address;
use crate::change::{ChangeError, Committed, Upgraded};
use crate::cluster::{LogError, LogQuery, LogStream};
use crate::git::{FetchRequest, Folder};
use crate::plan::UnitPlan;
use crate::project::{Actor, ErrorKind, Intent, ProjectName, Revision, Unit};
use crate::reconcile::{Deletion, OnceError, OnceReport, PlanQuery, Snapshot};

/// What the services answer, and what was asked of them.
pub(crate) struct Script {
    pub(crate) snapshot: Mutex<Arc<Snapshot>>,
    pub(crate) submitted: Mutex<Vec<(Intent, Actor, Option<String>)>>,
    pub(crate) answer: fn(&Intent) -> Result<Committed, ChangeError>,
    /// How long a commit takes.
    pub(crate) pause: Duration,
    pub(crate) deletion: Option<Deletion>,
    pub(crate) folder: Folder,
    pub(crate) log: fn() -> Result<LogStream, LogError>,
    pub(crate) asked_logs: Mutex<Vec<LogQuery>>,
    /// The names of commits that plans are made of; others do not exist.
    pub(crate) branches: Vec<&'static str>,
    /// What the plan of everything says beside the plans of the snapshot.
    pub(crate) plan_errors: Vec<(Unit, String)>,
    /// The hashes of the plans that were applied.
    pub(crate) applied: Mutex<Vec<String>>,
    /// What cannot be applied.
    pub(crate) failures: Vec<(Unit, String)>,
    pub(crate) upgraded: Upgraded,
    /// Where agents run.
    pub(crate) environments: Mutex<BTreeMap<ProjectName, Address>>,
}

impl Script {
    /// A script with this snapshot, and with these answers to commits and logs.
    pub(crate) fn new(
        snapshot: Snapshot,
        answer: fn(&Intent) -> Result<Committed, ChangeError>,
        log: fn() -> Result<LogStream, LogError>,
    ) -> Self {
        Self {
            snapshot: Mutex::new(Arc::new(snapshot)),
            submitted: Mutex::default(),
            answer,
            pause: Duration::ZERO,
            deletion: None,
            folder: Folder::default(),
            log,
            asked_logs: Mutex::default(),
            branches: vec!["main"],
            plan_errors: Vec::new(),
            applied: Mutex::default(),
            failures: Vec::new(),
            upgraded: Upgraded { revision: None, written: Vec::new(), kept: Vec::new() },
            environments: Mutex::default(),
        }
    }

    #[allow(clippy::unused_self, reason = "the live services have the same method")]
    pub(super) const fn write_obstacle(&self) -> Option<String> {
        None
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.lock().unwrap().clone()
    }

    pub(super) async fn submit(
        &self,
        intent: Intent,
        actor: Actor,
        if_match: Option<String>,
    ) -> Result<Committed, ChangeError> {
        tokio::time::sleep(self.pause).await;
        let answer = (self.answer)(&intent);
        self.submitted.lock().unwrap().push((intent, actor, if_match));
        answer
    }

    pub(super) async fn refresh(&self, _: &ProjectName) -> Arc<Snapshot> {
        self.snapshot()
    }

    pub(super) async fn plan(&self, request: &PlanRequest) -> Result<Planned, OperationError> {
        if request.revision.as_deref().is_some_and(|revision| !self.branches.contains(&revision)) {
            return Err(OperationError::new(ErrorKind::NotFound, "there is no such commit"));
        }
        let snapshot = self.snapshot();
        let Some(revision) = snapshot.head.filter(|_| snapshot.synced) else {
            return Err(OnceError::Cluster("not seen".to_owned()).into());
        };
        let named = |name: &ProjectName| request.query.project.as_ref().is_none_or(|project| project == name);
        let mut report = OnceReport::default();
        for (name, project) in snapshot.projects.iter().filter(|(name, _)| named(name)) {
            report.plans.push((*project.plan).clone());
            if request.query.project.is_some() {
                report.objects = BTreeMap::from([(Unit::Project(name.clone()), project.objects)]);
            }
        }
        if request.query.project.is_none() {
            report.errors.clone_from(&self.plan_errors);
        }
        Ok(Planned { revision, report })
    }

    pub(super) async fn apply(&self, plans: &[UnitPlan], _: &PlanQuery) -> Option<Vec<(Unit, String)>> {
        self.applied.lock().unwrap().push(crate::plan::plan_hash(plans));
        Some(self.failures.clone())
    }

    pub(super) async fn preview_upgrade(&self) -> Result<Upgraded, ChangeError> {
        Ok(self.upgraded.clone())
    }

    pub(super) async fn upgrade(&self, _: Actor) -> Result<Upgraded, ChangeError> {
        Ok(self.upgraded.clone())
    }

    pub(super) async fn environment(&self, project: &ProjectName) -> Option<Address> {
        self.environments.lock().unwrap().get(project).cloned()
    }

    pub(super) async fn deletion(&self, _: &ProjectName) -> Option<Deletion> {
        self.deletion.clone()
    }

    pub(super) async fn overlay(&self, _: Revision, _: &ProjectName, _: usize) -> Result<Folder, OperationError> {
        Ok(self.folder.clone())
    }

    /// No repository is behind a script.
    pub(super) fn fetch(&self, _: Option<&str>, _: FetchRequest) -> Result<PackStream, OperationError> {
        Err(OperationError::new(ErrorKind::Unavailable, "a script has no repository"))
    }

    pub(super) async fn logs(&self, _: &ProjectName, query: &LogQuery) -> Result<LogStream, LogError> {
        self.asked_logs.lock().unwrap().push(query.clone());
        (self.log)()
    }
}
