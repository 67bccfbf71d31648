//! The HTTP interface: requests in, operations called, answers out.
//!
//! `router` has every address, `middleware` what is done for each request, `api` the REST handlers, and `pages` the same
//! for people. Handlers hold no rules: what is to be done, and who may, is decided in [`crate::operations`]; `problem`
//! maps its errors to HTTP.
//!
//! **Architecture invariant:** nothing here writes to Git or to the cluster or knows how that is done, and no secret that
//! came in goes out again, neither into an answer nor into a log line.

mod access;
mod api;
mod middleware;
mod pages;
mod problem;
mod request;
mod router;
mod same_origin;
mod server;
mod signature;
mod websocket;

use std::sync::Arc;
use std::time::Instant;

use axum::http::Extensions;
use tokio::sync::Semaphore;

use crate::auth::{Auth, Ended, Grant};
use crate::chat::Chat;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::operations::{Component, Health, Operations};
use crate::store::Store;
use crate::tickets::{Standing, Tickets};

pub use router::router;
pub use server::{Limits, serve};

/// What handlers work with; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    operations: Operations,
    chat: Chat,
    tickets: Tickets,
    /// Sessions, and answers to requests with an Idempotency-Key: both are HTTP's own.
    store: Store,
    settings: Arc<Settings>,
    metrics: Metrics,
    auth: Auth,
    /// One for each WebSocket that may be open.
    sockets: Arc<Semaphore>,
    started: Instant,
}

impl AppState {
    /// The parts of a running manager.
    #[must_use]
    pub fn new(
        operations: Operations,
        chat: Chat,
        tickets: Tickets,
        store: Store,
        settings: Arc<Settings>,
        metrics: Metrics,
        auth: Auth,
    ) -> Self {
        let sockets = Arc::new(Semaphore::new(websocket::MAX_SOCKETS));
        Self { operations, chat, tickets, store, settings, metrics, auth, sockets, started: Instant::now() }
    }
}

impl AppState {
    /// How each part of the manager is doing, JIRA included.
    async fn health(&self) -> Vec<Component> {
        let mut parts = self.operations.health().await;
        // Without an answer of the database there is no figure of deliveries, and its own part says why.
        if let Ok(state) = self.tickets.state().await {
            let health = if state.standing == Standing::Fails { Health::Degraded } else { Health::Ok };
            parts.push(Component { name: "jira", health, message: state.message });
        }
        parts
    }

    /// Waits until the caller of a request is let in no longer: the token expires, or the session is signed out. Every answer
    /// that goes on (a socket, a followed log, an event stream) ends then.
    fn ended(&self, extensions: &Extensions) -> impl Future<Output = Ended> + Send + use<> {
        let grant = extensions.get::<Grant>().cloned().unwrap_or_default();
        self.auth.ended(&self.store, &grant)
    }
}

/// The time, to the second: no answer needs more.
fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests;
