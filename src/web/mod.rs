//! The HTTP interface: requests in, intents to `change`, snapshots of `reconcile` out.
//!
//! Handlers hold no rules: bodies become typed intents in `body`, what is wrong becomes a `problem`, what every
//! request needs is done once in `layers`. Pages, events and chat are further routes beside `api`.
//!
//! **Architecture invariant:** nothing here writes to Git or to the cluster, and no secret that came in goes out again,
//! neither into an answer nor into a log line.

mod answer;
mod api;
mod backend;
mod body;
mod call;
mod fields;
mod history;
mod json;
mod layers;
mod list;
mod monitoring;
mod problem;
mod values;
mod write;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::app::config::Settings;
use crate::auth::Auth;
use crate::change::Changes;
use crate::metrics::Metrics;
use crate::reconcile::Reconciler;
use crate::store::Store;
use backend::Backend;
use problem::Problem;

/// What handlers work with; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    backend: Backend,
    store: Store,
    settings: Arc<Settings>,
    metrics: Metrics,
    auth: Auth,
    started: Instant,
}

impl AppState {
    /// The parts of a running manager.
    #[must_use]
    pub fn new(
        changes: Changes,
        reconciler: Reconciler,
        store: Store,
        settings: Arc<Settings>,
        metrics: Metrics,
        auth: Auth,
    ) -> Self {
        let backend = Backend::Live(changes, reconciler);
        Self { backend, store, settings, metrics, auth, started: Instant::now() }
    }
}

/// Every address that the manager answers, with everything around it.
pub fn router(state: AppState) -> Router {
    let routes = routes();
    let placed = match state.settings.server.base_path.as_str() {
        "" => routes,
        // Probes come from the node and know of no prefix.
        prefix => Router::new().merge(probes()).nest(prefix, routes),
    };
    let answering = placed.fallback(no_route).method_not_allowed_fallback(no_method);
    layers::around(answering, &state).with_state(state)
}

/// All routes.
fn routes() -> Router<AppState> {
    Router::new()
        .merge(probes())
        .route("/api/projects", get(api::list).post(api::create))
        .route("/api/projects/{id}", get(api::read).put(api::change).delete(api::delete))
        .route("/api/projects/{id}/start", post(api::start))
        .route("/api/projects/{id}/stop", post(api::stop))
        .route("/api/projects/{id}/refresh", post(api::refresh))
        .route("/api/projects/{id}/history", get(history::history))
        .route("/api/monitoring/health", get(monitoring::health))
        .route("/api/monitoring/metrics", get(monitoring::metrics))
        .route("/api/monitoring/status", get(monitoring::status))
}

fn probes() -> Router<AppState> {
    Router::new().route("/livez", get(monitoring::livez)).route("/readyz", get(monitoring::readyz))
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-route", "There is nothing at this address", "no such address in this API")
}

async fn no_method() -> Problem {
    let detail = "this address does not know the method; the Allow header lists those that it knows";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "The method is not allowed here", detail)
}

#[cfg(test)]
mod tests;
