//! How the last commits of a project came into the cluster.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::operations::CommitOutcome;
use crate::project::Action;
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::request::{Call, Id, name_of};

/// The answer; bounded, so that it has no pages.
#[derive(Debug, Serialize)]
pub(in crate::web) struct History {
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
pub(in crate::web) async fn history(
    State(state): State<AppState>,
    id: Id,
    call: Call,
) -> Result<Json<History>, Problem> {
    call.permit(Action::Read)?;
    let name = name_of(id)?;
    let outcomes = state.operations.history(&name).await?;
    Ok(Json(History { items: outcomes.into_iter().map(item).collect() }))
}

fn item(outcome: CommitOutcome) -> Item {
    let seen_at = jiff::Timestamp::from_millisecond(outcome.seen_at).unwrap_or_default().to_string();
    let CommitOutcome { revision, author, digest, summary, outcome, message, applied_ms, healthy_ms, .. } = outcome;
    Item { revision, author, seen_at, digest, summary, outcome, message, applied_ms, healthy_ms }
}
