//! How the manager itself is doing: probes, health, key figures, metrics, log.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tracing::Level;

use crate::chat::Glance;
use crate::log_files::{self, Filter, Service};
use crate::operations::{Component, Health, Snapshot};
use crate::project::{Action, ErrorKind, Phase, ProjectStatus, Reason};
use crate::web::problem::Problem;
use crate::web::request::Call;
use crate::web::{AppState, now};

/// The most lines of one answer.
const MOST_LINES: usize = 1000;

/// `GET /livez`: the process answers. Nothing outside can make this fail, so nothing outside restarts the process.
pub(in crate::web) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: requests can be served.
pub(in crate::web) async fn readyz(State(state): State<AppState>) -> Response {
    let components = state.health().await;
    let down: Vec<String> = components
        .iter()
        .filter(|component| component.health == Health::Down)
        .map(|component| format!("{}: {}\n", component.name, component.message))
        .collect();
    if down.is_empty() { "ok\n".into_response() } else { (status_code(Health::Down), down.concat()).into_response() }
}

/// `GET /api/monitoring/health`
pub(in crate::web) async fn health(State(state): State<AppState>) -> Response {
    let components = state.health().await;
    let overall = Health::of_all(&components);
    (status_code(overall), Json(report(&components, overall))).into_response()
}

/// `GET /api/monitoring/status`
pub(in crate::web) async fn status(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let snapshot = state.operations.snapshot();
    let components = state.health().await;
    let overall = Health::of_all(&components);
    let mut body = report(&components, overall);
    let unsynced = snapshot.projects.values().filter(|project| !project.plan.actions.is_empty()).count();
    body["version"] = json!(env!("CARGO_PKG_VERSION"));
    body["uptimeSeconds"] = json!(state.started.elapsed().as_secs());
    body["revision"] = json!(snapshot.head);
    body["projects"] = json!({ "total": snapshot.projects.len(), "unsynced": unsynced, "phases": phases(&snapshot) });
    body["warnings"] = json!(snapshot.warnings);
    Ok((status_code(overall), Json(body)).into_response())
}

fn phases(snapshot: &Snapshot) -> Map<String, Value> {
    let count = |phase| snapshot.projects.values().filter(|project| project.status.phase == phase).count();
    Phase::ALL.map(|phase| (phase.as_str().to_owned(), count(phase).into())).into_iter().collect()
}

/// `GET /api/monitoring/metrics`: figures that describe a moment are set when they are asked for.
pub(in crate::web) async fn metrics(State(state): State<AppState>) -> Response {
    let snapshot = state.operations.snapshot();
    state.metrics.set_projects(snapshot.projects.values().map(|project| project.status.phase));
    for component in state.health().await {
        state.metrics.set_health(component.name, component.health == Health::Ok);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}

/// `GET /api/monitoring/dashboard`: what is on the dashboard: what needs a person, what runs, what ended last, the fleet.
pub(in crate::web) async fn dashboard(State(state): State<AppState>, call: Call) -> Result<Json<Value>, Problem> {
    call.permit(Action::Read)?;
    let snapshot = state.operations.loaded()?;
    let glances = state.chat.overview(Glance::MOST, &call.actor).await?;
    let components = state.health().await;
    let tickets = state.tickets.state().await?;
    let of = |glance: &Glance| {
        let mut value = json!(glance.conversation);
        value["project"] = json!(glance.project);
        value
    };
    let requests = glances.iter().flat_map(|glance| {
        glance
            .requests
            .iter()
            .map(|event| json!({ "project": glance.project, "conversation": glance.conversation.id, "event": event }))
    });
    let named = |is_one: &dyn Fn(&ProjectStatus) -> bool| -> Vec<Value> {
        let found = snapshot.projects.iter().filter(|(_, project)| is_one(&project.status));
        found
            .map(|(name, project)| {
                let status = &project.status;
                json!({ "id": name, "phase": status.phase, "reason": status.reason, "message": status.message })
            })
            .collect()
    };
    Ok(Json(json!({
        "timestamp": now().to_string(),
        "needsYou": {
            "requests": requests.collect::<Vec<_>>(),
            "failed": named(&|status| status.phase == Phase::Failed),
            "heldDeletions": named(&|status| status.reason == Reason::DeletionHeld),
            "deadDeliveries": tickets.dead,
        },
        "working": glances.iter().filter(|glance| !glance.is_over()).map(of).collect::<Vec<_>>(),
        "finished": glances.iter().filter(|glance| glance.is_over()).map(of).collect::<Vec<_>>(),
        "projects": { "total": snapshot.projects.len(), "phases": phases(&snapshot) },
        "health": report(&components, Health::of_all(&components)),
    })))
}

/// `GET /api/monitoring/logs?service=…&level=…&limit=…`: the newest lines of the manager's own log, newest first.
pub(in crate::web) async fn logs(State(state): State<AppState>, call: Call) -> Result<Json<Value>, Problem> {
    call.permit(Action::Read)?;
    let filter = log_filter(call.query()?)?;
    Ok(Json(json!({ "items": lines(&state, filter).await?, "limit": filter.limit })))
}

/// Which lines a query asks for. A name that is not known would be a filter that filters nothing.
pub(in crate::web) fn log_filter(query: Vec<(String, String)>) -> Result<Filter, Problem> {
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in query {
        if !["service", "level", "limit"].contains(&name.as_str()) {
            return Err(Problem::field(&name, "is not known here; there are service, level and limit"));
        }
        // A form sends what was left empty, too.
        if !value.is_empty() {
            given.insert(name, value);
        }
    }
    let service = given.remove("service").map(|text| {
        let found = Service::ALL.into_iter().find(|service| service.as_str() == text);
        let choices = Service::ALL.map(Service::as_str).join(", ");
        found.ok_or_else(|| Problem::field("service", format!("must be one of {choices}")))
    });
    let level = given.remove("level").map(|text| match text.as_str() {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        _ => Err(Problem::field("level", "must be one of error, warn, info, debug, trace".to_owned())),
    });
    let limit = given.remove("limit").map(|text| {
        let found = text.parse().ok().filter(|limit| (1..=MOST_LINES).contains(limit));
        found.ok_or_else(|| Problem::field("limit", format!("must be a number from 1 to {MOST_LINES}")))
    });
    Ok(Filter {
        service: service.transpose()?,
        level: level.transpose()?.unwrap_or(Level::TRACE),
        limit: limit.transpose()?.unwrap_or(100),
    })
}

/// The lines of the log that a filter lets through.
pub(in crate::web) async fn lines(state: &AppState, filter: Filter) -> Result<Vec<Map<String, Value>>, Problem> {
    let directory = state.settings.log_directory();
    let shown = directory.display().to_string();
    let read = tokio::task::spawn_blocking(move || log_files::read(&directory, &filter)).await;
    read.map_err(|error| Problem::internal(error.to_string()))?.map_err(|error| {
        Problem::of_kind(ErrorKind::Unavailable, format!("the log files in {shown} cannot be read: {error}"))
    })
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
