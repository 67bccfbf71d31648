//! What the API says about a project.

use serde::Serialize;

use crate::config::ServerSettings;
use crate::operations::{Committed, ProjectState, Snapshot};
use crate::project::{Phase, ProjectName, ProjectSpec, ProjectStatus, Reason, Resources, Revision, Storage};

/// A project as clients see it. What an overlay that does not build cannot say is `null`; no field is ever left out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::web) struct Project {
    pub(in crate::web) id: ProjectName,
    pub(in crate::web) name: String,
    pub(in crate::web) short_name: ProjectName,
    pub(in crate::web) git_repository: Option<String>,
    pub(in crate::web) git_branch: Option<String>,
    pub(in crate::web) phase: Phase,
    pub(in crate::web) reason: Reason,
    pub(in crate::web) message: String,
    pub(in crate::web) replicas: Option<u32>,
    pub(in crate::web) resources: Option<Resources>,
    pub(in crate::web) storage: Option<Storage>,
    /// Measured CPU and memory; `null` while nobody measures.
    usage: Option<()>,
    pub(in crate::web) image: Option<String>,
    pub(in crate::web) jira_issue: Option<String>,
    /// Why nothing of it is applied; `null` when it is.
    pub(in crate::web) suspended: Option<String>,
    urls: Urls,
    pub(in crate::web) revision: Option<Revision>,
    pub(in crate::web) applied_revision: Option<Revision>,
    pub(in crate::web) created_at: Option<String>,
    pub(in crate::web) updated_at: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Urls {
    #[serde(rename = "self")]
    this: String,
}

/// Where clients find things: PUBLIC_URL, or paths on the host that they asked.
pub(in crate::web) fn link(server: &ServerSettings, path: &str) -> String {
    format!("{}{path}", server.public_url.as_deref().unwrap_or(&server.base_path))
}

/// The path of a project in the API.
pub(in crate::web) fn project_path(name: &ProjectName) -> String {
    format!("/api/projects/{name}")
}

/// The strong ETag of an overlay.
pub(in crate::web) fn etag(overlay_id: &str) -> String {
    format!("\"{overlay_id}\"")
}

/// A project of a snapshot.
pub(in crate::web) fn of_state(server: &ServerSettings, name: &ProjectName, state: &ProjectState) -> Project {
    project(server, name, state.spec.clone(), state.status.clone(), state.revision, state.updated_at.clone())
}

/// A project right after its commit. The snapshot may be older than the commit: then the project is pending.
pub(in crate::web) fn of_commit(
    server: &ServerSettings,
    name: &ProjectName,
    committed: &Committed,
    snapshot: &Snapshot,
    now: String,
) -> Project {
    let state = snapshot.projects.get(name);
    if let Some(state) = state.filter(|state| state.overlay_id.is_some() && state.overlay_id == committed.overlay_id) {
        return of_state(server, name, state);
    }
    let status = ProjectStatus {
        phase: Phase::Pending,
        reason: Reason::WaitingForApply,
        message: format!("Commit {} waits to be applied.", committed.revision.short()),
        applied_revision: state.and_then(|state| state.status.applied_revision),
    };
    project(server, name, committed.project.clone(), status, Some(committed.revision), Some(now))
}

fn project(
    server: &ServerSettings,
    name: &ProjectName,
    spec: Option<ProjectSpec>,
    status: ProjectStatus,
    revision: Option<Revision>,
    updated_at: Option<String>,
) -> Project {
    let mut project = Project {
        id: name.clone(),
        name: name.to_string(),
        short_name: name.clone(),
        git_repository: None,
        git_branch: None,
        phase: status.phase,
        reason: status.reason,
        message: status.message,
        replicas: None,
        resources: None,
        storage: None,
        usage: None,
        image: None,
        jira_issue: None,
        suspended: None,
        urls: Urls { this: link(server, &project_path(name)) },
        revision,
        applied_revision: status.applied_revision,
        created_at: None,
        updated_at,
    };
    if let Some(spec) = spec {
        project.name = spec.name;
        project.git_repository = Some(spec.git_repository);
        project.git_branch = spec.git_branch;
        project.replicas = Some(spec.replicas);
        project.resources = Some(spec.resources);
        project.storage = Some(spec.storage);
        project.image = Some(spec.image);
        project.jira_issue = spec.jira_issue;
        project.suspended = spec.suspended;
        project.created_at = spec.created_at;
    }
    project
}
