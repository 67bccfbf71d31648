//! Conversations with Claude Code: relays between edges and agents, and keeps copies.
//!
//! *Takes* what people and programs do in a conversation, as an [`Actor`]. *Gives* the agent's answers, and for readers a
//! [`Subscription`] of what happens. One task per project holds one WebSocket to its agent while anybody reads there or
//! something runs there, and writes the copy; readers take from the copy and from memory, each at its own pace.
//!
//! *Guarantees.* A prompt is durable before it is acknowledged: at the agent, or in the outbox while the environment does
//! not run. The outbox delivers it once, as the agent knows prompts by their ids. A reader gets each event after its own
//! `(epoch, seq)` once and in order. Nothing is buffered for a slow reader.
//!
//! **Architecture invariant:** the agent's log is the truth. Nothing here makes events, and no copy is ever sent to an agent.

mod conversations;
mod error;
mod feed;
mod hub;
mod outbox;
mod overview;
mod prompts;
mod read;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::agent;
use crate::metrics::Metrics;
use crate::operations::Operations;
use crate::project::{Actor, Principal, ProjectName, Role, Source};
use crate::store::Store;
use hub::Hub;

pub use crate::agent::EventLines;
pub use crate::agent::chat::{
    Answer, AnswerAccepted, Conversation, ConversationDetail, Event, EventKind, Id, Interrupted, NewAnswer,
    NewConversation, NewPrompt, NoticeLevel, OpenRequest, Outcome, PERMISSION_MODES, PromptCancelled, QueuedPrompt,
    RequestKind, State, word,
};
pub use error::ChatError;
pub use overview::Glance;
pub use prompts::{Accepted, Waiting};
pub use read::{Message, Subscription};

/// The chat of a running manager; cheap to clone.
#[derive(Clone)]
pub struct Chat {
    inner: Arc<Inner>,
}

/// What all parts of the chat work with.
struct Inner {
    operations: Operations,
    store: Store,
    metrics: Metrics,
    agents: Option<agent::Client>,
    hubs: Mutex<BTreeMap<ProjectName, Arc<Hub>>>,
}

impl Chat {
    /// Relays for the projects of `operations`, to the agents that `agents` reaches.
    #[must_use]
    pub fn new(operations: Operations, store: Store, metrics: Metrics, agents: Option<agent::Client>) -> Self {
        Self { inner: Arc::new(Inner { operations, store, metrics, agents, hubs: Mutex::default() }) }
    }

    /// Goes on where the process before this one ended: delivers what waits, and follows what ran.
    ///
    /// # Errors
    /// [`ChatError::Store`] when the database does not answer.
    pub async fn resume(&self) -> Result<(), ChatError> {
        for project in self.inner.store.projects_to_follow().await? {
            let hub = self.hub(&project);
            hub.look();
            hub.deliver();
        }
        Ok(())
    }

    /// Counts a socket of a reader as open until the guard is dropped.
    #[must_use]
    pub fn connection(&self) -> crate::metrics::ChatConnection {
        self.inner.metrics.chat_connection()
    }

    /// The hub of a project, made and started when there is none.
    fn hub(&self, project: &ProjectName) -> Arc<Hub> {
        let mut hubs = self.inner.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let hub = hubs.entry(project.clone()).or_insert_with(|| {
            let hub = Arc::new(Hub::new(project.clone()));
            tokio::spawn(hub::run(Arc::clone(&self.inner), Arc::clone(&hub)));
            tokio::spawn(outbox::run(Arc::clone(&self.inner), Arc::clone(&hub)));
            hub
        });
        Arc::clone(hub)
    }

    /// The agent of a project; `None` while none runs.
    async fn environment(&self, project: &ProjectName) -> Option<(&agent::Client, agent::Address)> {
        let agents = self.inner.agents.as_ref()?;
        Some((agents, self.inner.operations.environment(project).await?))
    }

    /// The agent of a project that has to run.
    async fn running(&self, project: &ProjectName) -> Result<(&agent::Client, agent::Address), ChatError> {
        self.inner.operations.project(project)?;
        self.environment(project).await.ok_or_else(|| ChatError::Offline(project.clone()))
    }
}

/// An actor as the outbox keeps it.
#[derive(Serialize, Deserialize)]
struct KeptActor {
    id: String,
    name: String,
    email: String,
    role: Role,
    source: Source,
    request_id: String,
}

impl KeptActor {
    fn of(actor: &Actor) -> Self {
        let Principal { id, name, email, role } = actor.principal.clone();
        Self { id, name, email, role, source: actor.source, request_id: actor.request_id.clone() }
    }

    fn actor(self) -> Actor {
        let principal = Principal { id: self.id, name: self.name, email: self.email, role: self.role };
        Actor { principal, source: self.source, request_id: self.request_id }
    }
}
