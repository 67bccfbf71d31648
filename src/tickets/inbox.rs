//! Takes webhooks in: stores them durably, those that wait together in one transaction, and only then answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::{Inner, Tickets, names, now};
use crate::jira::{Event, NoEvent};
use crate::store::{NewDelivery, StoreError};

/// How many webhooks may wait for the database; those that come later wait to get in.
pub(super) const WAITING: usize = 512;
/// The most that one transaction stores.
const BATCH: usize = 128;
/// With so many deliveries waiting, JIRA is asked to come again.
const MOST: u64 = 50_000;
/// The longest identifier of JIRA's that is taken.
const LONGEST: usize = 200;

/// A webhook to store, and whom to tell.
pub(super) struct Request {
    new: NewDelivery,
    stored: oneshot::Sender<Result<(), String>>,
}

/// Why a webhook was not stored.
#[derive(Debug, thiserror::Error)]
pub enum Received {
    /// The body is no event of JIRA's; sending it again helps nothing.
    #[error("{0}")]
    NoEvent(#[from] NoEvent),
    /// The body is no text.
    #[error("the body is no UTF-8")]
    NoText,
    /// It can be sent again later.
    #[error("{0}")]
    Later(String),
}

impl Tickets {
    /// Stores a webhook whose signature is good, and returns the delivery's id. It is durable when this returns; the same
    /// webhook again gives the same id. `identifier` is JIRA's own, where it sent one.
    ///
    /// # Errors
    /// [`Received`]; nothing was stored then.
    pub async fn receive(&self, identifier: Option<&str>, body: &[u8]) -> Result<String, Received> {
        let event = Event::parse(body)?;
        let text = std::str::from_utf8(body).map_err(|_| Received::NoText)?;
        // A NUL is no part of a text in PostgreSQL; in JSON it is escaped, so that none is lost.
        if text.contains('\0') {
            return Err(Received::NoEvent(NoEvent::NotJson));
        }
        let identifier = identifier.filter(|identifier| !identifier.is_empty() && identifier.len() <= LONGEST);
        let id = names::delivery(identifier, body);
        let (issue, issue_key) = event.issue.map(|issue| (issue.id, issue.key)).unwrap_or_default();
        let actor = event.actor.name.chars().filter(|c| !c.is_control()).take(100).collect();
        let received_at = now();
        let happened_at = if event.at > 0 { event.at } else { received_at };
        let new = NewDelivery {
            id: id.clone(),
            issue,
            issue_key,
            event: event.name,
            actor,
            happened_at,
            received_at,
            body: text.to_owned(),
        };
        let _receiving = Receiving::new(&self.inner.receiving);
        let stopping = || Received::Later("the manager is stopping".to_owned());
        let (stored, answer) = oneshot::channel();
        self.inner.inbox.send(Request { new, stored }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.map_err(Received::Later)?;
        Ok(id)
    }
}

/// A webhook that is being taken in, as long as the value lives.
struct Receiving<'a>(&'a AtomicUsize);

impl<'a> Receiving<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits while webhooks are being taken in, at most half a second: JIRA waits for the answer, and SQLite has one writer.
pub(super) async fn quiet(inner: &Inner) {
    for _ in 0..50 {
        if inner.receiving.load(Ordering::Relaxed) == 0 {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Runs until the process ends.
pub(super) async fn run(inner: Arc<Inner>, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::with_capacity(BATCH);
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        let (new, waiting): (Vec<NewDelivery>, Vec<_>) =
            batch.drain(..).map(|request| (request.new, request.stored)).unzip();
        let result = store(&inner, &new).await;
        if let Err(error) = &result {
            tracing::error!(error, count = new.len(), "webhooks could not be stored");
        }
        for stored in waiting {
            // A client that went away was stored all the same.
            let _ = stored.send(result.clone());
        }
        inner.work.notify_one();
    }
}

async fn store(inner: &Inner, new: &[NewDelivery]) -> Result<(), String> {
    let failed = |error: StoreError| {
        tracing::error!(%error, "the database failed");
        "the manager's database does not answer".to_owned()
    };
    let (waiting, _) = inner.store.count_deliveries().await.map_err(failed)?;
    if waiting > MOST {
        return Err(format!("{waiting} deliveries wait already"));
    }
    inner.store.add_deliveries(new).await.map_err(failed)
}
