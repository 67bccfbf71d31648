//! Projects over HTTP.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};

use super::body;
use super::list::{self, Page};
use super::project_json::{Project, etag, of_state};
use super::write::write;
use crate::project::{Action, Intent, ProjectName, Volumes};
use crate::web::problem::Problem;
use crate::web::request::{Call, Id, name_of};
use crate::web::{AppState, now};

/// `GET /api/projects`
pub(in crate::web) async fn list(State(state): State<AppState>, call: Call) -> Result<Json<Page>, Problem> {
    call.permit(Action::Read)?;
    let request = list::parse(&call.query()?)?;
    let found = state.operations.list(&request)?;
    Ok(Json(Page::of(&state.settings.server, &request, &found)))
}

/// `POST /api/projects`
pub(in crate::web) async fn create(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Create)?;
    let new = body::create(call.json()?, &state.settings.defaults, now().to_string())?;
    write(state, call, Intent::Create(Box::new(new))).await
}

/// `GET /api/projects/{id}`. The tag is the overlay's and serves If-Match; a reader always gets the answer, because phase
/// and reason change while the overlay stays.
pub(in crate::web) async fn read(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let name = name_of(id)?;
    let project = state.operations.project(&name)?;
    let tag = project.overlay_id.as_deref().map(etag);
    let mut response = Json(of_state(&state.settings.server, &name, &project)).into_response();
    if let Some(value) = tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        response.headers_mut().insert(ETAG, value);
    }
    Ok(response)
}

/// `PUT /api/projects/{id}`
pub(in crate::web) async fn change(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Change)?;
    let name = name_of(id)?;
    let snapshot = state.operations.snapshot();
    let current = snapshot.projects.get(&name).and_then(|project| project.spec.as_ref());
    let change = body::change(call.json()?, &state.settings.defaults, &name, current)?;
    write(state, call, Intent::Change(name, Box::new(change))).await
}

/// `DELETE /api/projects/{id}?volumes=keep|delete`
pub(in crate::web) async fn delete(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
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
pub(in crate::web) async fn start(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    scale(state, id, call, Intent::Start).await
}

/// `POST /api/projects/{id}/stop`
pub(in crate::web) async fn stop(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    scale(state, id, call, Intent::Stop).await
}

async fn scale(state: AppState, id: Id, call: Call, intent: fn(ProjectName) -> Intent) -> Result<Response, Problem> {
    call.permit(Action::Scale)?;
    let name = name_of(id)?;
    call.no_body()?;
    write(state, call, intent(name)).await
}

/// `POST /api/projects/{id}/refresh`
pub(in crate::web) async fn refresh(
    State(state): State<AppState>,
    id: Id,
    call: Call,
) -> Result<Json<Project>, Problem> {
    call.permit(Action::Refresh)?;
    let name = name_of(id)?;
    call.no_body()?;
    let project = state.operations.refresh(&call.actor, &name).await?;
    Ok(Json(of_state(&state.settings.server, &name, &project)))
}
