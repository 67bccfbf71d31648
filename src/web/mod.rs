//! The HTTP interface: requests in, intents to `change`, snapshots of `reconcile` out.
//!
//! Handlers hold no rules: bodies become typed intents in `body`, what is wrong becomes a `problem`, what every
//! request needs is done once in `layers`. Pages are further routes beside `api`: the same intents and snapshots, for
//! people. Events and chat will be others.
//!
//! **Architecture invariant:** nothing here writes to Git or to the cluster, and no secret that came in goes out again,
//! neither into an answer nor into a log line.

mod api;
mod backend;
mod body;
mod fields;
mod history;
mod json;
mod list;
mod logs;
mod middleware;
mod monitoring;
mod pages;
mod parse;
mod plan;
mod problem;
mod project_json;
mod request;
mod same_origin;
mod write;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::auth::Auth;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::store::Store;
use backend::Backend;
use logs::Readers;
use problem::Problem;

pub use backend::Services;

/// What handlers work with; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    backend: Backend,
    store: Store,
    settings: Arc<Settings>,
    metrics: Metrics,
    auth: Auth,
    readers: Readers,
    started: Instant,
}

impl AppState {
    /// The parts of a running manager.
    #[must_use]
    pub fn new(services: Services, store: Store, settings: Arc<Settings>, metrics: Metrics, auth: Auth) -> Self {
        let backend = Backend::Live(Arc::new(services));
        Self { backend, store, settings, metrics, auth, readers: Readers::new(), started: Instant::now() }
    }

    /// Ends the answers that would go on for ever, so that the program can stop.
    pub fn close_streams(&self) {
        self.readers.close();
    }
}

/// Every address that the manager answers, with everything around it.
pub fn router(state: AppState) -> Router {
    let routes = routes();
    let placed = match state.settings.server.base_path.as_str() {
        "" => routes,
        // Probes come from the node and know of no prefix.
        prefix => {
            // The prefix itself is an address below it; with a slash at its end it is not.
            Router::new().merge(probes()).route(&format!("{prefix}/"), get(pages::home)).nest(prefix, routes)
        }
    };
    let answering = placed.fallback(no_route).method_not_allowed_fallback(no_method);
    middleware::around(answering, &state).with_state(state)
}

/// All routes.
fn routes() -> Router<AppState> {
    Router::new()
        .merge(probes())
        .merge(pages::routes())
        .route("/api/projects", get(api::list).post(api::create))
        .route("/api/projects/{id}", get(api::read).put(api::change).delete(api::delete))
        .route("/api/projects/{id}/start", post(api::start))
        .route("/api/projects/{id}/stop", post(api::stop))
        .route("/api/projects/{id}/logs", get(logs::read))
        .route("/api/projects/{id}/refresh", post(api::refresh))
        .route("/api/projects/{id}/history", get(history::history))
        .route("/api/projects/{id}/plan", get(plan::of_project).post(plan::apply_project))
        .route("/api/plan", get(plan::of_commit).post(plan::apply_head))
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
