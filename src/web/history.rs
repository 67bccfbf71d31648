//! How the last commits of a project came into the cluster.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::AppState;
use super::api::{Id, name_of};
use super::problem::Problem;
use super::request::Call;
use crate::project::Action;
use crate::store::CommitOutcome;

/// The answer; bounded, so that it has no pages.
#[derive(Debug, Serialize)]
pub(super) struct History {
    items: Vec<Item>,
}

/// One commit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    revision: String,
    author: String,
    seen_at: String,
    digest: String,
    summary: String,
    outcome: String,
    message: String,
    applied_ms: Option<i64>,
    healthy_ms: Option<i64>,
}

/// `GET /api/projects/{id}/history`, the newest first. A deleted project's history can still be read.
pub(super) async fn history(State(state): State<AppState>, id: Id, call: Call) -> Result<Json<History>, Problem> {
    call.permit(Action::Read)?;
    let name = name_of(id)?;
    let passages = state.store.passages(&name).await?;
    Ok(Json(History { items: passages.into_iter().map(item).collect() }))
}

fn item(passage: CommitOutcome) -> Item {
    let seen_at = jiff::Timestamp::from_millisecond(passage.seen_at).unwrap_or_default().to_string();
    let CommitOutcome { revision, author, digest, summary, outcome, message, applied_ms, healthy_ms, .. } = passage;
    Item { revision, author, seen_at, digest, summary, outcome, message, applied_ms, healthy_ms }
}
