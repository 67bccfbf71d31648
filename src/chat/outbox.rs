//! The outbox: prompts that were accepted while their environment did not run, delivered in their order once its agent
//! answers.
//!
//! *Guarantees.* A prompt leaves the outbox after the agent has taken it, so a crash in between delivers it again; the agent
//! knows it by its id then. A project that nobody has started yet for its prompt is started after a crash, too.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::error::ChatError;
use super::hub::{Hub, put};
use super::{Inner, KeptActor};
use crate::agent::chat::{Id, NewConversation, NewPrompt, QueuedPrompt};
use crate::agent::{Address, Client, ClientError};
use crate::project::Intent;
use crate::store::{StoreError, WaitingPrompt};

/// The first and the longest time between two tries.
const DELAYS: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(5));

/// What the problem of a prompt begins with that its agent refused: it is kept until a person takes it back.
const REFUSED: &str = "Refused: ";

/// Whether the agent refused a prompt, so that it is not delivered again.
pub(super) fn is_refused(one: &WaitingPrompt) -> bool {
    one.problem.starts_with(REFUSED)
}

/// Runs until the process ends.
pub(super) async fn run(inner: Arc<Inner>, hub: Arc<Hub>) {
    let mut delay = DELAYS.0;
    loop {
        match round(&inner, &hub).await {
            Ok(true) => {
                delay = DELAYS.0;
                hub.outbox.notified().await;
            }
            Ok(false) => {
                if timeout(delay, hub.outbox.notified()).await.is_ok() {
                    delay = DELAYS.0;
                }
                delay = (delay * 2).min(if is_coming(&inner, &hub) { Duration::from_millis(300) } else { DELAYS.1 });
            }
            Err(error) => {
                tracing::warn!(project = %hub.project, %error, "prompts that wait could not be looked at");
                tokio::time::sleep(DELAYS.1).await;
            }
        }
    }
}

/// Whether the environment is wanted, so that it may run soon.
fn is_coming(inner: &Inner, hub: &Hub) -> bool {
    let snapshot = inner.operations.snapshot();
    snapshot.projects.get(&hub.project).and_then(|state| state.spec.as_ref()).is_some_and(|spec| spec.replicas > 0)
}

/// Starts the project where a prompt needs it, and delivers what can be delivered; returns whether the outbox is empty.
async fn round(inner: &Inner, hub: &Hub) -> Result<bool, ChatError> {
    let waiting = deliverable(inner, hub).await?;
    let Some(newest) = waiting.last() else { return Ok(true) };
    if waiting.iter().any(|one| !one.woken) {
        // The process ended between the prompt and the commit.
        if let Err(error) = wake(inner, hub, newest).await {
            tracing::warn!(project = %hub.project, %error, "the project of a prompt could not be started");
        }
    }
    let Some(agents) = &inner.agents else { return Ok(false) };
    let Some(at) = inner.operations.environment(&hub.project).await else { return Ok(false) };
    for one in waiting {
        let guard = hub.delivering.lock().await;
        // It may have been taken back meanwhile.
        let still = inner.store.waiting(&hub.project).await?;
        if !still.iter().any(|other| other.prompt == one.prompt && other.conversation == one.conversation) {
            continue;
        }
        let delivered = deliver(inner, hub, agents, &at, &one).await;
        let problem = match delivered {
            Ok(()) => None,
            Err(Undelivered::Later(reason)) => Some(reason),
            Err(Undelivered::Never(reason)) => {
                tracing::error!(project = %hub.project, prompt = one.prompt, reason, "a prompt that waited was refused");
                let reason = format!("{REFUSED}{reason}");
                inner.store.note_waiting(&hub.project, &one.conversation, &one.prompt, one.woken, &reason).await?;
                drop(guard);
                hub.tell_waiting(inner, &one.conversation).await?;
                continue;
            }
            Err(Undelivered::Store(error)) => return Err(error.into()),
        };
        match &problem {
            None => drop(inner.store.remove_waiting(&hub.project, &one.conversation, &one.prompt).await?),
            Some(reason) if *reason != one.problem => {
                inner.store.note_waiting(&hub.project, &one.conversation, &one.prompt, one.woken, reason).await?;
            }
            Some(_) => {}
        }
        drop(guard);
        hub.look();
        hub.tell_waiting(inner, &one.conversation).await?;
        if problem.is_some() {
            return Ok(false);
        }
    }
    Ok(deliverable(inner, hub).await?.is_empty())
}

/// The prompts that are still to be delivered.
async fn deliverable(inner: &Inner, hub: &Hub) -> Result<Vec<WaitingPrompt>, StoreError> {
    let mut waiting = inner.store.waiting(&hub.project).await?;
    waiting.retain(|one| !is_refused(one));
    Ok(waiting)
}

enum Undelivered {
    /// Trying again may help.
    Later(String),
    /// The agent will not take it.
    Never(String),
    Store(StoreError),
}

impl From<ClientError> for Undelivered {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Problem(problem) if problem.status < 500 && problem.status != 429 => {
                Self::Never(error.to_string())
            }
            _ => Self::Later(error.to_string()),
        }
    }
}

/// Gives one prompt to the agent, with its conversation where that is not there yet.
async fn deliver(
    inner: &Inner,
    hub: &Hub,
    agents: &Client,
    at: &Address,
    one: &WaitingPrompt,
) -> Result<(), Undelivered> {
    let never = |what: &str| Undelivered::Never(format!("the outbox holds {what} that cannot be read"));
    let actor = serde_json::from_str::<KeptActor>(&one.actor).map_err(|_| never("an actor"))?.actor();
    let prompt: NewPrompt = serde_json::from_str(&one.body).map_err(|_| never("a prompt"))?;
    let id = Id::parse(&one.conversation).map_err(|_| never("a conversation's id"))?;
    let copy = inner.store.conversation(&hub.project, id.as_str()).await.map_err(Undelivered::Store)?;
    let pending = copy.map(|copy| copy.pending).filter(|pending| !pending.is_empty());
    if let Some(pending) = pending {
        let new: NewConversation = serde_json::from_str(&pending).map_err(|_| never("a conversation"))?;
        let made = agents.create_conversation(at, &actor.principal.id, &new).await?;
        put(inner, &hub.project, &made, true).await.map_err(|error| Undelivered::Later(error.to_string()))?;
    }
    let accepted = agents.send_prompt(at, &actor.principal.id, &id, &prompt).await?;
    tracing::info!(project = %hub.project, conversation = %id, prompt = one.prompt, "a prompt that waited was delivered");
    if let Ok(feed) = hub.feed(inner, id.as_str()).await {
        feed.expect(&accepted.epoch, accepted.seq);
    }
    Ok(())
}

/// Starts the project of a prompt where it is stopped, and notes it for all that wait.
pub(super) async fn wake(inner: &Inner, hub: &Hub, one: &WaitingPrompt) -> Result<(), ChatError> {
    if !is_coming(inner, hub) {
        let actor = serde_json::from_str::<KeptActor>(&one.actor)?.actor();
        inner.operations.submit(Intent::Wake(hub.project.clone()), actor, None).await?;
    }
    for waiting in inner.store.waiting(&hub.project).await?.into_iter().filter(|waiting| !waiting.woken) {
        let WaitingPrompt { conversation, prompt, problem, .. } = waiting;
        inner.store.note_waiting(&hub.project, &conversation, &prompt, true, &problem).await?;
    }
    Ok(())
}

/// A waiting prompt as the queue shows it.
pub(super) fn queued(one: &WaitingPrompt) -> QueuedPrompt {
    let text = serde_json::from_str::<NewPrompt>(&one.body).map(|prompt| prompt.text).unwrap_or_default();
    let actor = serde_json::from_str::<KeptActor>(&one.actor).map(|actor| actor.id).unwrap_or_default();
    let at = Timestamp::from_millisecond(one.accepted_at).unwrap_or_default().to_string();
    QueuedPrompt { prompt_id: one.prompt.clone(), text: text.chars().take(200).collect(), actor, seq: 0, at }
}
