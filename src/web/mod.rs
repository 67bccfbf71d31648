//! The HTTP interface: requests in, operations called, answers out.
//!
//! `router` has every address, `middleware` what is done for each request, `api` the REST handlers, and `pages` the same
//! for people. Handlers hold no rules: what is to be done, and who may, is decided in [`crate::operations`]; `problem`
//! maps its errors to HTTP.
//!
//! **Architecture invariant:** nothing here writes to Git or to the cluster or knows how that is done, and no secret that
//! came in goes out again, neither into an answer nor into a log line.

mod api;
mod middleware;
mod pages;
mod problem;
mod request;
mod router;
mod same_origin;
mod signature;
mod websocket;

use std::sync::Arc;
use std::time::Instant;

use crate::auth::Auth;
use crate::chat::Chat;
use crate::config::Settings;
use crate::metrics::Metrics;
use crate::operations::Operations;
use crate::store::Store;
use crate::tickets::Tickets;

pub use router::router;

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
        Self { operations, chat, tickets, store, settings, metrics, auth, started: Instant::now() }
    }
}

/// The time, to the second: no answer needs more.
fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests;
