//! Tickets over HTTP: JIRA's webhook, the deliveries, and their replay.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::backup::page_of;
use super::json;
use crate::metrics::Outcome;
use crate::project::{Action, ErrorKind};
use crate::store::{Delivery, DeliveryState};
use crate::tickets::Received;
use crate::web::problem::Problem;
use crate::web::request::{Call, read_body_of};
use crate::web::{AppState, signature};

/// The most bytes of a webhook: Data Center sends an issue with all its comments.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// JIRA's header with the signature.
const SIGNATURE: &str = "x-hub-signature";
/// JIRA's header that is the same whenever it sends a webhook again.
const IDENTIFIER: &str = "x-atlassian-webhook-identifier";

/// `POST /api/webhooks/jira`: 202 once the webhook is durable.
pub(in crate::web) async fn receive(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let result = accept(&state, request).await;
    state.metrics.webhook("jira", Outcome::from(&result));
    let delivery = result?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "delivery": delivery }))).into_response())
}

async fn accept(state: &AppState, request: Request) -> Result<String, Problem> {
    let Some(secret) = state.settings.secrets.webhook_secret.as_ref() else {
        let detail = "webhooks of JIRA are not taken while no webhook-secret is set; set it (WEBHOOK_SECRET), give the same \
                      secret to the webhook in JIRA, and start again";
        return Err(Problem::of_kind(ErrorKind::Unavailable, detail));
    };
    let (parts, body) = request.into_parts();
    let header = |name: &str| text(&parts.headers, name);
    // Without one there is no need to read the body.
    let Some(given) = header(SIGNATURE) else {
        return Err(unsigned("X-Hub-Signature is missing; give the webhook in JIRA the secret of webhook-secret"));
    };
    let body = read_body_of(&parts.headers, body, MAX_BODY).await?;
    if !signature::is_good(secret, given, &body) {
        let detail = "X-Hub-Signature does not fit the body and webhook-secret; give the webhook in JIRA the same secret, and \
                      have no proxy change the body";
        return Err(unsigned(detail));
    }
    state.tickets.receive(header(IDENTIFIER), &body).await.map_err(|error| match error {
        Received::NoEvent(_) | Received::NoText => Problem::of_kind(ErrorKind::Invalid, error.to_string()),
        Received::Later(_) => Problem::of_kind(ErrorKind::Unavailable, error.to_string()),
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn unsigned(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "signature", "The signature is not good", detail)
}

/// `GET /api/tickets/deliveries?page=…&limit=…&state=…`
pub(in crate::web) async fn list(State(state): State<AppState>, call: Call) -> Result<Json<Value>, Problem> {
    call.permit(Action::Read)?;
    let (page, limit, only) = page_and_state(call.query()?)?;
    let found = state.tickets.deliveries(only, ((page - 1) * limit) as u64, limit as u32).await?;
    Ok(Json(json!({
        "items": found.items.iter().map(of).collect::<Vec<_>>(),
        "page": page,
        "limit": limit,
        "total": found.total,
        "pages": found.total.div_ceil(limit as u64),
    })))
}

/// Reads the parameters of a list of deliveries.
pub(in crate::web) fn page_and_state(
    mut parameters: Vec<(String, String)>,
) -> Result<(usize, usize, Option<DeliveryState>), Problem> {
    let mut only = None;
    let words = || DeliveryState::ALL.map(DeliveryState::as_str).join(", ");
    for (_, word) in parameters.extract_if(.., |(name, _)| name == "state") {
        let state = DeliveryState::parse(&word);
        only = Some(state.ok_or_else(|| Problem::field("state", format!("must be one of {}", words())))?);
    }
    if let Some((name, _)) = parameters.iter().find(|(name, _)| name != "page" && name != "limit") {
        let message = "is not known here; the parameters are page, limit and state";
        return Err(Problem::field(&json::path("", name), message));
    }
    let (page, limit) = page_of(&parameters)?;
    Ok((page, limit, only))
}

fn of(delivery: &Delivery) -> Value {
    let time = |milliseconds: i64| Timestamp::from_millisecond(milliseconds).ok().map(|time| time.to_string());
    json!({
        "id": delivery.id,
        "issue": delivery.issue_key,
        "event": delivery.event,
        "actor": delivery.actor,
        "state": delivery.state.as_str(),
        "outcome": delivery.outcome,
        "attempts": delivery.attempts,
        "happenedAt": time(delivery.happened_at),
        "receivedAt": time(delivery.received_at),
        "nextAt": Some(delivery.next_at).filter(|next| *next > 0).and_then(time),
        "tookMs": delivery.took_ms,
    })
}

/// The `{id}` of a delivery.
pub(in crate::web) type DeliveryId = Result<Path<String>, PathRejection>;

/// `POST /api/tickets/deliveries/{id}/replay`
pub(in crate::web) async fn replay(
    State(state): State<AppState>,
    id: DeliveryId,
    call: Call,
) -> Result<Response, Problem> {
    call.permit(Action::Chat)?;
    call.no_body()?;
    let id = id.map(|Path(id)| id).unwrap_or_default();
    state.tickets.replay(&id).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "delivery": id }))).into_response())
}
