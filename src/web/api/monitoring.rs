//! How the manager itself is doing: probes, health, key figures, metrics.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::operations::{Component, Health};
use crate::project::{Action, Phase};
use crate::web::problem::Problem;
use crate::web::request::Call;
use crate::web::{AppState, now};

/// `GET /livez`: the process answers. Nothing outside can make this fail, so nothing outside restarts the process.
pub(in crate::web) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: requests can be served.
pub(in crate::web) async fn readyz(State(state): State<AppState>) -> Response {
    let components = state.operations.health().await;
    let down: Vec<String> = components
        .iter()
        .filter(|component| component.health == Health::Down)
        .map(|component| format!("{}: {}\n", component.name, component.message))
        .collect();
    if down.is_empty() { "ok\n".into_response() } else { (status_code(Health::Down), down.concat()).into_response() }
}

/// `GET /api/monitoring/health`
pub(in crate::web) async fn health(State(state): State<AppState>) -> Response {
    let components = state.operations.health().await;
    let overall = Health::of_all(&components);
    (status_code(overall), Json(report(&components, overall))).into_response()
}

/// `GET /api/monitoring/status`
pub(in crate::web) async fn status(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let snapshot = state.operations.snapshot();
    let components = state.operations.health().await;
    let overall = Health::of_all(&components);
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
    Ok((status_code(overall), Json(body)).into_response())
}

/// `GET /api/monitoring/metrics`: figures that describe a moment are set when they are asked for.
pub(in crate::web) async fn metrics(State(state): State<AppState>) -> Response {
    let snapshot = state.operations.snapshot();
    state.metrics.set_projects(snapshot.projects.values().map(|project| project.status.phase));
    for component in state.operations.health().await {
        state.metrics.set_health(component.name, component.health == Health::Ok);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}

const fn status_code(health: Health) -> StatusCode {
    match health {
        Health::Ok | Health::Degraded => StatusCode::OK,
        Health::Down => StatusCode::SERVICE_UNAVAILABLE,
    }
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
