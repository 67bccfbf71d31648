//! `POST /api/webhooks/trigger`: a prompt from another program, by token or by signature.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use ring::hmac;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::chat::read;
use crate::auth::Refusal;
use crate::chat::{Id, NewConversation, NewPrompt};
use crate::operations::{OperationError, permit};
use crate::project::{Action, Actor, Principal, ProjectName, Role, Source};
use crate::web::middleware::RequestId;
use crate::web::problem::Problem;
use crate::web::request::read_body;
use crate::web::{AppState, same_origin};

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
    let (parts, body) = request.into_parts();
    let body = read_body(&parts.headers, body).await?;
    let principal = match parts.extensions.get::<Principal>().cloned() {
        Some(principal) => principal,
        None => signed(&state, &parts.headers, &body)?,
    };
    let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let actor = Actor { principal, source: Source::Webhook, request_id };
    permit(&actor, Action::Chat)?;
    let trigger: Trigger = read(&body)?;
    let project = project(&state, trigger.project_id.as_deref())?;
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
    let given = header.to_str().ok().and_then(|text| text.strip_prefix("sha256=")).and_then(bytes);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    // The comparison takes the same time whatever is wrong.
    let good = given.is_some_and(|given| hmac::verify(&key, body, &given).is_ok());
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

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_whole_or_not_at_all() {
        assert_eq!(bytes("00ff1A"), Some(vec![0, 255, 26]));
        assert_eq!(bytes("0"), None);
        assert_eq!(bytes("zz"), None);
        assert_eq!(bytes("é"), None);
    }
}
