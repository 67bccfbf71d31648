//! Tickets: webhooks of JIRA become projects and prompts, and Claude's answers become a comment.
//!
//! *Flow.* `inbox` stores a webhook durably and acknowledges it → `work` takes deliveries, of each issue one at a time and in
//! the order in which they happened → `decision` (pure) says what one leads to → `act` does it → `answers` follows the
//! conversation → `comments` writes the one comment of the issue.
//!
//! *Guarantees.* An acknowledged delivery is worked off, or kept as dead with its reason until it is replayed. Nothing is done
//! twice after a crash: a project is found by the issue's key, conversations and prompts have ids that are made from the issue
//! and the act, and a comment is found by its mark before another one is written.
//!
//! **Architecture invariant:** a ticket's text reaches Claude as data only, and no decision depends on what it says beyond the
//! address of a repository.

mod act;
mod answers;
mod comment;
mod comments;
mod decision;
mod inbox;
mod kept;
mod names;
mod prompt;
mod repository;
mod state;
mod ticket;
mod work;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, OnceCell, mpsc};

use crate::chat::Chat;
use crate::config::ProjectDefaults;
use crate::jira;
use crate::metrics::Metrics;
use crate::operations::{OperationError, Operations};
use crate::store::{Delivery, DeliveryState, Store, StoreError};

pub use inbox::Received;
pub use state::{Standing, State};

/// What tickets need to know of the settings.
#[derive(Clone)]
pub struct Options {
    /// The client of JIRA; `None` while JIRA_BASE_URL or jira-api-key is not set.
    pub jira: Option<jira::Client>,
    /// JIRA_BASE_URL.
    pub site: Option<String>,
    /// JIRA_REPOSITORY_FIELD.
    pub repository_field: Option<String>,
    /// Whether a new ticket makes a project.
    pub may_create: bool,
    /// Whether webhooks can be signed: webhook-secret is set.
    pub has_secret: bool,
    /// What a new project gets.
    pub defaults: ProjectDefaults,
    /// The manager's address for browsers, with BASE_PATH, without a slash at its end.
    pub public_url: Option<String>,
}

/// The tickets of a running manager; cheap to clone.
#[derive(Clone)]
pub struct Tickets {
    inner: Arc<Inner>,
}

/// What all parts work with.
struct Inner {
    options: Options,
    operations: Operations,
    chat: Chat,
    store: Store,
    metrics: Metrics,
    /// This process, in claims.
    owner: String,
    inbox: mpsc::Sender<inbox::Request>,
    /// How many webhooks are being taken in.
    receiving: AtomicUsize,
    /// A delivery may be due.
    work: Notify,
    /// A comment may be due.
    comments: Notify,
    /// The issues whose conversations are followed.
    followed: Mutex<BTreeSet<String>>,
    /// The manager's account in JIRA, once JIRA has said it.
    account: OnceCell<jira::Account>,
    /// The id of the field with the repository, once JIRA has said it.
    field: OnceCell<String>,
    /// How the last call of JIRA went.
    reached: Mutex<state::Reached>,
}

/// One page of deliveries.
#[derive(Clone, Debug)]
pub struct DeliveryPage {
    /// The deliveries, the newest first.
    pub items: Vec<Delivery>,
    /// How many there are on all pages.
    pub total: u64,
}

impl Tickets {
    /// Makes the tickets; [`Tickets::run`] starts the work.
    #[must_use]
    pub fn new(options: Options, operations: Operations, chat: Chat, store: Store, metrics: Metrics) -> Self {
        let (inbox, requests) = mpsc::channel(inbox::WAITING);
        let inner = Arc::new(Inner {
            options,
            operations,
            chat,
            store,
            metrics,
            owner: format!("{:016x}", rand::random::<u64>()),
            inbox,
            receiving: AtomicUsize::new(0),
            work: Notify::new(),
            comments: Notify::new(),
            followed: Mutex::default(),
            account: OnceCell::new(),
            field: OnceCell::new(),
            reached: Mutex::default(),
        });
        tokio::spawn(inbox::run(Arc::clone(&inner), requests));
        Self { inner }
    }

    /// Works until the process ends: goes on with what an earlier process left, then takes what comes. To be started once
    /// the state repository was read, so that no project is made that is there.
    pub async fn run(self) {
        let inner = self.inner;
        if let Err(error) = inner.store.release_deliveries().await {
            tracing::error!(%error, "deliveries of an earlier process are worked off only when their time has run out");
        }
        match inner.store.watched_tickets().await {
            Ok(issues) => issues.into_iter().for_each(|issue| answers::follow(&inner, issue)),
            Err(error) => tracing::error!(%error, "answers to tickets are written only after the next prompt"),
        }
        tokio::join!(work::run(Arc::clone(&inner)), comments::run(Arc::clone(&inner)), state::watch(&inner));
    }

    /// Returns a page of the deliveries, the newest first, of a state or of all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn deliveries(
        &self,
        state: Option<DeliveryState>,
        offset: u64,
        limit: u32,
    ) -> Result<DeliveryPage, StoreError> {
        let (items, total) = self.inner.store.deliveries(state, offset, limit).await?;
        Ok(DeliveryPage { items, total })
    }

    /// Whether a new ticket makes a project.
    #[must_use]
    pub fn may_create(&self) -> bool {
        self.inner.options.may_create
    }

    /// Has a delivery worked off again. What it did before is not done twice.
    ///
    /// # Errors
    /// [`OperationError`] when there is none of this id.
    pub async fn replay(&self, id: &str) -> Result<(), OperationError> {
        if !self.inner.store.replay_delivery(id).await? {
            return Err(OperationError::no_such("delivery", id));
        }
        self.inner.work.notify_one();
        Ok(())
    }
}

/// The time, in milliseconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
