//! `/agent/v1/conversations` by HTTP: see [`crate::agent::chat`].

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::upgrade::upgrade;
use super::{Agent, authenticate, problem, refused, socket};
use crate::agent::chat::{
    ConversationList, MAX_PAGE, NewAnswer, NewConversation, NewPrompt, State as ConversationState,
};
use crate::agent::program::conversations::ChatError;

/// The largest body of a prompt: its attachments in base64.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// The largest body of anything else.
const MAX_SMALL_BODY: usize = 256 * 1024;

/// All routes of conversations.
pub(super) fn routes() -> Router<Agent> {
    Router::new()
        .route("/agent/v1/conversations", get(list).post(create))
        .route("/agent/v1/conversations/{conversation}", get(detail))
        .route("/agent/v1/conversations/{conversation}/events", get(events))
        .route("/agent/v1/conversations/{conversation}/prompts/{prompt}", delete(cancel))
        .route("/agent/v1/conversations/{conversation}/interrupt", post(interrupt))
        .route("/agent/v1/conversations/{conversation}/requests/{request}", post(answer))
        .layer(DefaultBodyLimit::max(MAX_SMALL_BODY))
        .merge(
            Router::new()
                .route("/agent/v1/conversations/{conversation}/prompts", post(prompt))
                .layer(DefaultBodyLimit::max(MAX_BODY)),
        )
        .route("/agent/v1/ws", get(open))
}

async fn list(State(agent): State<Agent>, headers: HeaderMap) -> Result<Response, Response> {
    actor(&agent, &headers)?;
    Ok(Json(ConversationList { items: agent.conversations.list() }).into_response())
}

async fn create(State(agent): State<Agent>, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    actor(&agent, &headers)?;
    let new: NewConversation = read(&body)?;
    let (conversation, is_new) = agent.conversations.create(new).map_err(told)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(conversation.summary())).into_response())
}

async fn detail(
    State(agent): State<Agent>,
    Path(conversation): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    actor(&agent, &headers)?;
    let conversation = agent.conversations.get(&conversation).map_err(told)?;
    Ok(Json(conversation.detail()).into_response())
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    after: u64,
    limit: Option<u64>,
}

/// A page as it goes out: events are not read again.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    epoch: String,
    state: ConversationState,
    last_seq: u64,
    items: Vec<Box<RawValue>>,
}

async fn events(
    State(agent): State<Agent>,
    Path(conversation): Path<String>,
    range: Result<Query<Range>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    actor(&agent, &headers)?;
    let Query(range) = range.map_err(|_| invalid("after and limit are whole numbers"))?;
    let conversation = agent.conversations.get(&conversation).map_err(told)?;
    let limit = range.limit.unwrap_or(200).clamp(1, MAX_PAGE);
    let page = conversation.page(range.after, usize::try_from(limit).unwrap_or(200));
    let (now, lines) = page.map_err(|error| told(error.into()))?;
    let items = lines.into_iter().map(RawValue::from_string).collect::<Result<_, _>>();
    let items = items.map_err(|error| told(std::io::Error::other(error).into()))?;
    Ok(Json(Page { epoch: now.epoch, state: now.state, last_seq: now.last_seq, items }).into_response())
}

async fn prompt(
    State(agent): State<Agent>,
    Path(conversation): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let actor = actor(&agent, &headers)?;
    let conversation = agent.conversations.get(&conversation).map_err(told)?;
    let new: NewPrompt = read(&body)?;
    let accepted = conversation.accept(&agent.conversations, new, &actor).await.map_err(told)?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

async fn cancel(
    State(agent): State<Agent>,
    Path((conversation, prompt)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let actor = actor(&agent, &headers)?;
    let conversation = agent.conversations.get(&conversation).map_err(told)?;
    Ok(Json(conversation.cancel(&prompt, &actor).await.map_err(told)?).into_response())
}

async fn interrupt(
    State(agent): State<Agent>,
    Path(conversation): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    actor(&agent, &headers)?;
    let conversation = agent.conversations.get(&conversation).map_err(told)?;
    let interrupted = conversation.interrupt().map_err(told)?;
    Ok((StatusCode::ACCEPTED, Json(interrupted)).into_response())
}

async fn answer(
    State(agent): State<Agent>,
    Path((conversation, request)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    let actor = actor(&agent, &headers)?;
    let conversation = agent.conversations.get(&conversation).map_err(told)?;
    let new: NewAnswer = read(&body)?;
    let accepted = conversation.answer(&agent.conversations, &request, new, &actor).await.map_err(told)?;
    Ok(Json(accepted).into_response())
}

async fn open(State(agent): State<Agent>, request: Request<Body>) -> Result<Response, Response> {
    actor(&agent, request.headers())?;
    Ok(upgrade(request, move |socket| socket::serve(socket, agent.conversations)))
}

/// Who is behind the request: the token's subject.
#[allow(clippy::result_large_err, reason = "it is the answer")]
fn actor(agent: &Agent, headers: &HeaderMap) -> Result<String, Response> {
    authenticate(&agent.world, headers).map(|claims| claims.sub).map_err(refused)
}

#[allow(clippy::result_large_err, reason = "it is the answer")]
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| invalid(&format!("the body {error}")))
}

fn invalid(detail: &str) -> Response {
    problem(StatusCode::UNPROCESSABLE_ENTITY, crate::agent::chat::word::INVALID, detail)
}

fn told(error: ChatError) -> Response {
    let (status, word) = error.kind();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = problem(status, word, &error.to_string());
    if matches!(error, ChatError::NotWritable(_)) {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    }
    response
}
