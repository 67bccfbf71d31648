//! `POST /api/webhooks/trigger`: a prompt from another program, by token or by signature.

use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::chat::read;
use crate::auth::Refusal;
use crate::chat::{Id, NewConversation, NewPrompt};
use crate::metrics::Outcome;
use crate::operations::{OperationError, permit};
use crate::project::{Action, Actor, Principal, ProjectName, Role, Source};
use crate::web::middleware::RequestId;
use crate::web::problem::Problem;
use crate::web::request::read_body;
use crate::web::{AppState, same_origin, signature};

/// The headers that carry a signature; both hold `sha256=` and the MAC in hex.
const SIGNATURES: [&str; 2] = ["x-hub-signature-256", "x-hub-signature"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Trigger {
    #[serde(default)]
    project_id: Option<String>,
    prompt: String,
    #[serde(default)]
    conversation_id: Option<String>,
}

/// `POST /api/webhooks/trigger`
pub(in crate::web) async fn trigger(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let started = Instant::now();
    let result = send(&state, request).await;
    let outcome = Outcome::from(&result);
    state.metrics.webhook("trigger", outcome);
    state.metrics.webhook_processed("trigger", outcome, started.elapsed());
    result
}

async fn send(state: &AppState, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body).await?;
    let principal = match parts.extensions.get::<Principal>().cloned() {
        Some(principal) => principal,
        None => signed(state, &parts.headers, &body)?,
    };
    let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let actor = Actor { principal, source: Source::Webhook, request_id };
    permit(&actor, Action::Chat)?;
    let trigger: Trigger = read(&body)?;
    let project = project(state, trigger.project_id.as_deref())?;
    let conversation = match trigger.conversation_id {
        Some(text) => Id::parse(&text).map_err(|error| Problem::field("conversationId", error.to_string()))?,
        None => {
            if trigger.prompt.trim().is_empty() {
                return Err(Problem::field("prompt", "must not be empty"));
            }
            let line: String = trigger.prompt.lines().next().unwrap_or_default().chars().take(80).collect();
            let new =
                NewConversation { title: Some(line).filter(|line| !line.is_empty()), ..NewConversation::default() };
            let made = state.chat.create(&project, new, &actor).await?;
            Id::parse(&made.id).map_err(|error| Problem::internal(error.to_string()))?
        }
    };
    let new = NewPrompt { id: Id::random(), text: trigger.prompt, attachments: Vec::new(), source: None };
    let accepted = state.chat.send(&project, &conversation, new, &actor).await?;
    let answer = json!({
        "projectId": project, "conversationId": accepted.conversation_id, "promptId": accepted.prompt_id,
    });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

/// Who signs with the webhook's secret, after its signature was found to be good.
fn signed(state: &AppState, headers: &HeaderMap, body: &[u8]) -> Result<Principal, Problem> {
    let refused = || same_origin::refused(Refusal::Missing);
    let secret = state.settings.secrets.webhook_secret.as_ref().ok_or_else(refused)?;
    let header = SIGNATURES.into_iter().find_map(|name| headers.get(name)).ok_or_else(refused)?;
    let good = header.to_str().is_ok_and(|header| signature::is_good(secret, header, body));
    if !good {
        let detail = "the signature does not fit; it must be sha256= and the HMAC-SHA256 of the body, as it was sent, with \
                      the secret of WEBHOOK_SECRET";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "signature", "The signature is not good", detail));
    }
    Ok(Principal {
        id: "webhook".to_owned(),
        name: "Webhook".to_owned(),
        email: "webhook@claude-manager.local".to_owned(),
        role: Role::Operator,
    })
}

/// The project that is named, or the only one that there is.
fn project(state: &AppState, named: Option<&str>) -> Result<ProjectName, Problem> {
    let snapshot = state.operations.loaded()?;
    if let Some(text) = named {
        let name = ProjectName::parse(text).map_err(|_| OperationError::no_such_project(text))?;
        state.operations.project(&name)?;
        return Ok(name);
    }
    let mut names = snapshot.projects.keys();
    match (names.next(), names.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => {
            let choices: Vec<&str> = snapshot.projects.keys().take(50).map(ProjectName::as_str).collect();
            let message = match choices.is_empty() {
                true => "names no project, and there is none; create one first".to_owned(),
                false => format!("is missing, and there are several projects: {}", choices.join(", ")),
            };
            Err(Problem::field("projectId", message).with_member("choices", Value::from(choices)))
        }
    }
}
