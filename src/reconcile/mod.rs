//! Brings the cluster to the head of the repository, and keeps it there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::plan::UnitPlan;
use crate::project::{ProjectName, ProjectSpec, ProjectStatus, Revision};

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
}

/// A handle on the reconciler; cheap to clone.
#[derive(Clone)]
pub struct Reconciler {}

impl Reconciler {
    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        todo!()
    }

    /// Says that the head may have moved. Carries no data, never waits.
    pub fn nudge(&self) {
        todo!()
    }

    /// Reconciles now (one project, or all) and waits until its actions are done.
    pub async fn refresh(&self, project: Option<&ProjectName>) -> Arc<Snapshot> {
        let _ = project;
        todo!()
    }
}
