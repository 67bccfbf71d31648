//! Conversations over HTTP: `/api/projects/{id}/conversations…`.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::json;
use crate::chat::{ChatError, Id as ChatId, NewAnswer, NewConversation, NewPrompt};
use crate::operations::OperationError;
use crate::project::{Action, ProjectName};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::request::{Call, Id, name_of};

/// How many events a page has unless the request says so.
const PAGE: u64 = 200;

/// The most bytes of a prompt's body: its attachments are in it, in base64.
pub(in crate::web) const MAX_PROMPT_BODY: usize = 16 * 1024 * 1024;

/// `{id}` and `{conversation}`.
pub(in crate::web) type Place = Result<Path<(String, String)>, PathRejection>;
/// The same with one id more.
pub(in crate::web) type Within = Result<Path<(String, String, String)>, PathRejection>;

/// `GET /api/projects/{id}/conversations`
pub(in crate::web) async fn list(State(state): State<AppState>, id: Id, call: Call) -> Result<Json<Value>, Problem> {
    call.permit(Action::Read)?;
    let project = name_of(id)?;
    let items = state.chat.list(&project, &call.actor).await?;
    Ok(Json(json!({ "total": items.len(), "items": items })))
}

/// `POST /api/projects/{id}/conversations`
pub(in crate::web) async fn create(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Chat)?;
    let project = name_of(id)?;
    let new: NewConversation = if call.body.is_empty() { NewConversation::default() } else { body(&call)? };
    let made = state.chat.create(&project, new, &call.actor).await?;
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// `GET /api/projects/{id}/conversations/{conversation}`
pub(in crate::web) async fn detail(
    State(state): State<AppState>,
    place: Place,
    call: Call,
) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let (project, conversation) = place_of(place)?;
    Ok(Json(state.chat.detail(&project, &conversation, &call.actor).await?).into_response())
}

/// `GET /api/projects/{id}/conversations/{conversation}/events?after=SEQ&limit=N`
pub(in crate::web) async fn events(
    State(state): State<AppState>,
    place: Place,
    call: Call,
) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let (project, conversation) = place_of(place)?;
    let (mut after, mut limit) = (0, PAGE);
    for (name, value) in call.query()? {
        let slot = match name.as_str() {
            "after" => &mut after,
            "limit" => &mut limit,
            _ => return Err(Problem::field(&json::path("", &name), "is not known here; there are after and limit")),
        };
        *slot = value.parse().map_err(|_| Problem::field(&name, "must be a whole number"))?;
    }
    Ok(Json(state.chat.events(&project, &conversation, after, limit, &call.actor).await?).into_response())
}

/// `POST /api/projects/{id}/conversations/{conversation}/prompts`
pub(in crate::web) async fn prompt(
    State(state): State<AppState>,
    place: Place,
    request: Request,
) -> Result<Response, Problem> {
    // The rule of the address has refused callers without the role, so a large body is read for operators only.
    let call = Call::read(request, MAX_PROMPT_BODY).await?;
    call.permit(Action::Chat)?;
    let (project, conversation) = place_of(place)?;
    let new: NewPrompt = body(&call)?;
    let accepted = state.chat.send(&project, &conversation, new, &call.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// `DELETE /api/projects/{id}/conversations/{conversation}/prompts/{prompt}`
pub(in crate::web) async fn cancel(
    State(state): State<AppState>,
    within: Within,
    call: Call,
) -> Result<Response, Problem> {
    call.permit(Action::Chat)?;
    call.no_body()?;
    let (project, conversation, prompt) = within_of(within)?;
    let prompt = ChatId::parse(&prompt).map_err(|_| Problem::from(ChatError::NoPrompt))?;
    Ok(Json(state.chat.cancel(&project, &conversation, &prompt, &call.actor).await?).into_response())
}

/// `POST /api/projects/{id}/conversations/{conversation}/interrupt`
pub(in crate::web) async fn interrupt(
    State(state): State<AppState>,
    place: Place,
    call: Call,
) -> Result<Response, Problem> {
    call.permit(Action::Chat)?;
    call.no_body()?;
    let (project, conversation) = place_of(place)?;
    let found = state.chat.interrupt(&project, &conversation, &call.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(found)).into_response())
}

/// `POST /api/projects/{id}/conversations/{conversation}/requests/{request}`
pub(in crate::web) async fn answer(
    State(state): State<AppState>,
    within: Within,
    call: Call,
) -> Result<Response, Problem> {
    call.permit(Action::Chat)?;
    let (project, conversation, request) = within_of(within)?;
    let new: NewAnswer = body(&call)?;
    let accepted = state.chat.answer(&project, &conversation, &request, &new, &call.actor).await?;
    Ok(Json(accepted).into_response())
}

/// The JSON body as a request of its type.
pub(super) fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Problem> {
    read(call.json()?)
}

/// A JSON text as a request of its type.
pub(super) fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    let (value, duplicates) = json::parse(text).map_err(|message| Problem::field("", message))?;
    if !duplicates.is_empty() {
        return Err(Problem::fields(duplicates));
    }
    serde_json::from_value(value).map_err(|error| {
        let reason: String = error.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
        Problem::field("", format!("the body is not as it should be: {reason}"))
    })
}

/// The project and the conversation that a path names. What can be no id names nothing.
pub(in crate::web) fn place_of(place: Place) -> Result<(ProjectName, ChatId), Problem> {
    let (project, conversation) = place.map(|Path(texts)| texts).unwrap_or_default();
    parse(&project, &conversation)
}

pub(in crate::web) fn within_of(within: Within) -> Result<(ProjectName, ChatId, String), Problem> {
    let (project, conversation, third) = within.map(|Path(texts)| texts).unwrap_or_default();
    let (project, conversation) = parse(&project, &conversation)?;
    Ok((project, conversation, third))
}

/// A project's name and a conversation's id.
pub(super) fn parse(project: &str, conversation: &str) -> Result<(ProjectName, ChatId), Problem> {
    let name = ProjectName::parse(project).map_err(|_| OperationError::no_such_project(project))?;
    let id = ChatId::parse(conversation).map_err(|_| Problem::from(ChatError::NoConversation))?;
    Ok((name, id))
}
