//! What the API says about a project.

use serde_json::{Value, json};

use crate::app::config::ServerSettings;
use crate::change::Committed;
use crate::project::{Phase, ProjectName, ProjectSpec, ProjectStatus, Reason, Revision};
use crate::reconcile::{ProjectState, Snapshot};

/// Where clients find things: PUBLIC_URL, or paths on the host that they asked.
pub(super) fn link(server: &ServerSettings, path: &str) -> String {
    format!("{}{path}", server.public_url.as_deref().unwrap_or(&server.base_path))
}

/// The path of a project in the API.
pub(super) fn project_path(name: &ProjectName) -> String {
    format!("/api/projects/{name}")
}

/// The strong ETag of an overlay.
pub(super) fn etag(overlay_id: &str) -> String {
    format!("\"{overlay_id}\"")
}

/// A project of a snapshot.
pub(super) fn of_state(server: &ServerSettings, name: &ProjectName, state: &ProjectState) -> Value {
    project(server, name, state.spec.as_ref(), &state.status, state.revision.as_ref(), state.updated_at.as_deref())
}

/// A project right after its commit. The snapshot may be older than the commit: then the project is pending.
pub(super) fn of_commit(
    server: &ServerSettings,
    name: &ProjectName,
    committed: &Committed,
    snapshot: &Snapshot,
    now: &str,
) -> Value {
    let state = snapshot.projects.get(name);
    if let Some(state) = state.filter(|state| state.overlay_id.is_some() && state.overlay_id == committed.overlay_id) {
        return of_state(server, name, state);
    }
    let status = ProjectStatus {
        phase: Phase::Pending,
        reason: Reason::WaitingForApply,
        message: format!("commit {} waits to be applied", committed.revision.short()),
        applied_revision: state.and_then(|state| state.status.applied_revision),
    };
    project(server, name, committed.project.as_ref(), &status, Some(&committed.revision), Some(now))
}

fn project(
    server: &ServerSettings,
    name: &ProjectName,
    spec: Option<&ProjectSpec>,
    status: &ProjectStatus,
    revision: Option<&Revision>,
    updated_at: Option<&str>,
) -> Value {
    json!({
        "id": name,
        "name": spec.map_or(name.as_str(), |spec| spec.name.as_str()),
        "shortName": name,
        "gitRepository": spec.map(|spec| &spec.git_repository),
        "gitBranch": spec.and_then(|spec| spec.git_branch.as_ref()),
        "phase": status.phase,
        "reason": status.reason,
        "message": status.message,
        "replicas": spec.map(|spec| spec.replicas),
        "resources": spec.map(|spec| &spec.resources),
        "storage": spec.map(|spec| &spec.storage),
        "usage": null,
        "image": spec.map(|spec| &spec.image),
        "jiraIssue": spec.and_then(|spec| spec.jira_issue.as_ref()),
        "urls": { "self": link(server, &project_path(name)) },
        "revision": revision,
        "appliedRevision": status.applied_revision,
        "createdAt": spec.and_then(|spec| spec.created_at.as_ref()),
        "updatedAt": updated_at,
    })
}
