//! What the agent answers on its port: probes for the kubelet, `/agent/v1` for managers.

mod chat;
mod socket;
mod upgrade;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rustix::fs::Access;
use tokio::net::TcpListener;

use super::conversations::Conversations;
use super::{Condition, World, clone};
use crate::agent::{Claims, PROTOCOL, Readiness, Refusal, Status};

/// Answers until the process ends.
pub(super) async fn serve(
    listener: TcpListener,
    world: Arc<World>,
    conversations: Conversations,
) -> std::io::Result<()> {
    axum::serve(listener, router(Agent { world, conversations })).await
}

/// What handlers know.
#[derive(Clone)]
struct Agent {
    world: Arc<World>,
    conversations: Conversations,
}

/// All routes. Below `/agent/v1` each handler asks for a token first.
fn router(agent: Agent) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/agent/v1/status", get(status))
        .merge(chat::routes())
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no-route", "there is nothing at this address") })
        .method_not_allowed_fallback(|| async {
            problem(StatusCode::METHOD_NOT_ALLOWED, "method", "this address does not know the method")
        })
        .with_state(agent)
}

/// The word alone: the kubelet needs no more, and anybody may ask.
async fn readyz(State(Agent { world, .. }): State<Agent>) -> (StatusCode, &'static str) {
    let condition = condition(&world);
    let ready = condition.reason == Readiness::Ready;
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, condition.reason.as_str())
}

async fn status(State(Agent { world, conversations }): State<Agent>, headers: HeaderMap) -> Response {
    if let Err(refusal) = authenticate(&world, &headers) {
        return refused(refusal);
    }
    let condition = condition(&world);
    Json(Status {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        project: world.options.project.to_string(),
        ready: condition.reason == Readiness::Ready,
        busy: conversations.is_busy(),
        reason: condition.reason,
        message: condition.message,
        repository: clone::repository(&world),
        started_at: world.started.to_string(),
        last_activity_at: conversations.last_activity().map(|at| at.to_string()),
        claude: Some(conversations.claude()),
    })
    .into_response()
}

/// How the environment is now: what the clone says, and whether the volumes can be written.
fn condition(world: &World) -> Condition {
    let volumes = [("workspace", world.layout.workspace()), ("configuration", world.layout.config())];
    let closed = volumes.iter().find_map(|(name, path)| {
        let error = rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).err()?;
        Some((name, std::io::Error::from(error)))
    });
    match closed {
        Some((name, error)) => Condition {
            reason: Readiness::CloneFailed,
            message: format!("The {name} volume cannot be written: {error}; look at the volume and its rights."),
        },
        None => world.condition.borrow().clone(),
    }
}

/// Whose request it is.
fn authenticate(world: &World, headers: &HeaderMap) -> Result<Claims, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let (scheme, token) = value.to_str().ok().and_then(|text| text.trim().split_once(' ')).ok_or(Refusal::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Malformed);
    }
    world.verifier.verify(token.trim())
}

fn refused(refusal: Refusal) -> Response {
    let mut response = problem(StatusCode::UNAUTHORIZED, "unauthenticated", &refusal.to_string());
    let challenge = match refusal {
        Refusal::Missing => "Bearer realm=\"claude-manager-agent\"",
        _ => "Bearer realm=\"claude-manager-agent\", error=\"invalid_token\"",
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

/// An error as RFC 9457 has it.
fn problem(status: StatusCode, word: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": format!("tag:claude-manager.io,2026:problem/{word}"),
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let kind = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}
