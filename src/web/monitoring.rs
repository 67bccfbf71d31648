//! How the manager itself is doing: probes, health, key figures, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::AppState;
use super::problem::Problem;
use super::request::Call;
use super::write::now;
use crate::project::{Action, Phase};
use crate::reconcile::Snapshot;

/// A part of the manager, or something that it needs.
struct Component {
    name: &'static str,
    health: Health,
    message: String,
}

/// From good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Ok,
    /// The manager serves, with less.
    Degraded,
    /// The manager cannot do its own part.
    Down,
}

impl Health {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Ok | Self::Degraded => StatusCode::OK,
            Self::Down => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// `GET /livez`: the process answers. Nothing outside can make this fail, so nothing outside restarts the process.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: requests can be served.
pub(super) async fn readyz(State(state): State<AppState>) -> Response {
    let components = components(&state, &state.backend.snapshot()).await;
    let down: Vec<String> = components
        .iter()
        .filter(|component| component.health == Health::Down)
        .map(|component| format!("{}: {}\n", component.name, component.message))
        .collect();
    if down.is_empty() { "ok\n".into_response() } else { (Health::Down.status(), down.concat()).into_response() }
}

/// `GET /api/monitoring/health`
pub(super) async fn health(State(state): State<AppState>) -> Response {
    let components = components(&state, &state.backend.snapshot()).await;
    let overall = overall(&components);
    (overall.status(), Json(report(&components, overall))).into_response()
}

/// `GET /api/monitoring/status`
pub(super) async fn status(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let snapshot = state.backend.snapshot();
    let components = components(&state, &snapshot).await;
    let overall = overall(&components);
    let mut body = report(&components, overall);
    let mut phases: Map<String, Value> = Map::new();
    for phase in Phase::ALL {
        let count = snapshot.projects.values().filter(|project| project.status.phase == phase).count();
        phases.insert(phase.as_str().to_owned(), count.into());
    }
    let unsynced = snapshot.projects.values().filter(|project| !project.plan.actions.is_empty()).count();
    body["version"] = json!(env!("CARGO_PKG_VERSION"));
    body["uptimeSeconds"] = json!(state.started.elapsed().as_secs());
    body["revision"] = json!(snapshot.head);
    body["projects"] = json!({ "total": snapshot.projects.len(), "unsynced": unsynced, "phases": phases });
    body["warnings"] = json!(snapshot.warnings);
    Ok((overall.status(), Json(body)).into_response())
}

/// `GET /api/monitoring/metrics`: figures that describe a moment are set when they are asked for.
pub(super) async fn metrics(State(state): State<AppState>) -> Response {
    let snapshot = state.backend.snapshot();
    state.metrics.set_projects(snapshot.projects.values().map(|project| project.status.phase));
    for component in components(&state, &snapshot).await {
        state.metrics.set_health(component.name, component.health == Health::Ok);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}

async fn components(state: &AppState, snapshot: &Snapshot) -> [Component; 3] {
    let store = match state.store.ping().await {
        Ok(()) => (Health::Ok, format!("{} answers", state.store.dialect())),
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            (Health::Down, "the database does not answer".to_owned())
        }
    };
    let repository = match (&snapshot.head, &snapshot.base_error) {
        (None, _) => (Health::Down, "the state repository has not been read yet".to_owned()),
        (Some(head), None) => (Health::Ok, format!("at commit {}", head.short())),
        (Some(_), Some(error)) => (Health::Degraded, error.clone()),
    };
    let kubernetes = match &snapshot.cluster {
        None => (Health::Ok, "the cluster answers".to_owned()),
        Some(error) => (Health::Degraded, error.clone()),
    };
    [("store", store), ("repository", repository), ("kubernetes", kubernetes)]
        .map(|(name, (health, message))| Component { name, health, message })
}

fn overall(components: &[Component]) -> Health {
    components.iter().map(|component| component.health).max().unwrap_or(Health::Ok)
}

fn report(components: &[Component], overall: Health) -> Value {
    let parts: Map<String, Value> = components
        .iter()
        .map(|component| {
            let value = json!({ "status": component.health.as_str(), "message": component.message });
            (component.name.to_owned(), value)
        })
        .collect();
    json!({ "status": overall.as_str(), "timestamp": now().to_string(), "components": parts })
}
