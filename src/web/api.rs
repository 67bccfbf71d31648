//! Projects over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};

use super::list::{ListQuery, Page};
use super::problem::Problem;
use super::project_json::{Project, etag, of_state};
use super::request::{Call, no_such_project, project_name};
use super::write::{now, write};
use super::{AppState, body};
use crate::metrics::Outcome;
use crate::project::{Action, ErrorKind, Intent, ProjectName, Volumes};
use crate::reconcile::Snapshot;

/// The `{id}` of a path; what does not decode is no project either.
pub(super) type Id = Result<Path<String>, PathRejection>;

pub(super) fn name_of(id: Id) -> Result<ProjectName, Problem> {
    project_name(&id.map(|Path(text)| text).unwrap_or_default())
}

/// The newest snapshot. Before the first one, an empty list or a 404 would be a wrong answer, not an early one.
pub(super) fn known(state: &AppState) -> Result<Arc<Snapshot>, Problem> {
    let snapshot = state.backend.snapshot();
    if snapshot.head.is_some() {
        return Ok(snapshot);
    }
    Err(Problem::of_kind(ErrorKind::Unavailable, "the state repository has not been read yet; try again in a moment"))
}

/// `GET /api/projects`
pub(super) async fn list(State(state): State<AppState>, call: Call) -> Result<Json<Page>, Problem> {
    call.permit(Action::Read)?;
    let query = ListQuery::parse(&call.query()?)?;
    let snapshot = known(&state)?;
    Ok(Json(query.answer(&state.settings.server, &snapshot)))
}

/// `POST /api/projects`
pub(super) async fn create(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Create)?;
    let new = body::create(call.json()?, &state.settings.defaults, now().to_string())?;
    write(state, call, Intent::Create(Box::new(new))).await
}

/// `GET /api/projects/{id}`. The tag is the overlay's and serves If-Match; a reader always gets the answer, because phase
/// and reason change while the overlay stays.
pub(super) async fn read(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let name = name_of(id)?;
    let snapshot = known(&state)?;
    let project = snapshot.projects.get(&name).ok_or_else(|| no_such_project(name.as_str()))?;
    let tag = project.overlay_id.as_deref().map(etag);
    let mut response = Json(of_state(&state.settings.server, &name, project)).into_response();
    if let Some(value) = tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        response.headers_mut().insert(ETAG, value);
    }
    Ok(response)
}

/// `PUT /api/projects/{id}`
pub(super) async fn change(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Change)?;
    let name = name_of(id)?;
    let snapshot = state.backend.snapshot();
    let current = snapshot.projects.get(&name).and_then(|project| project.spec.as_ref());
    let change = body::change(call.json()?, &state.settings.defaults, &name, current)?;
    write(state, call, Intent::Change(name, Box::new(change))).await
}

/// `DELETE /api/projects/{id}?volumes=keep|delete`
pub(super) async fn delete(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Delete)?;
    let name = name_of(id)?;
    call.no_body()?;
    let parameters = call.query()?;
    let volumes = match parameters.as_slice() {
        [] => Volumes::Keep,
        [(key, value)] if key == "volumes" => match value.as_str() {
            "keep" => Volumes::Keep,
            "delete" => Volumes::Delete,
            _ => return Err(Problem::field("volumes", "must be keep or delete")),
        },
        _ => return Err(Problem::field("", "the only parameter here is volumes=keep or volumes=delete, once")),
    };
    write(state, call, Intent::Delete(name, volumes)).await
}

/// `POST /api/projects/{id}/start`
pub(super) async fn start(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    scale(state, id, call, Intent::Start).await
}

/// `POST /api/projects/{id}/stop`
pub(super) async fn stop(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    scale(state, id, call, Intent::Stop).await
}

async fn scale(state: AppState, id: Id, call: Call, intent: fn(ProjectName) -> Intent) -> Result<Response, Problem> {
    call.permit(Action::Scale)?;
    let name = name_of(id)?;
    call.no_body()?;
    write(state, call, intent(name)).await
}

/// `POST /api/projects/{id}/refresh`
pub(super) async fn refresh(State(state): State<AppState>, id: Id, call: Call) -> Result<Json<Project>, Problem> {
    call.permit(Action::Refresh)?;
    let name = name_of(id)?;
    call.no_body()?;
    // A project of the newest push may be missing in the snapshot, so the reconciler is asked in any case.
    let snapshot = state.backend.refresh(&name).await;
    let project = snapshot.projects.get(&name).ok_or_else(|| no_such_project(name.as_str()))?;
    state.metrics.project_operation("refresh", Outcome::Success);
    Ok(Json(of_state(&state.settings.server, &name, project)))
}
