//! One project's hub: holds one WebSocket to its agent while that is wanted, and writes what comes into the copies.
//!
//! The socket watches the states of all conversations, so that a copy that is behind is noticed and caught up. After a break
//! it subscribes with the copy's `(epoch, seq)`: events come again from there on, without a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{Instant, sleep, timeout};

use super::Inner;
use super::error::ChatError;
use super::feed::{Delta, Feed, Now};
use crate::agent::chat::{ClientFrame, Conversation, Id, QueuedPrompt, ServerFrame, State};
use crate::agent::{Address, AgentSocket, Client, Frame};
use crate::project::ProjectName;
use crate::store::{ConversationCopy, EventCopy, WaitingPrompt};

/// The most events that one transaction writes.
const BATCH: usize = 100;
/// The first and the longest time between two tries to reach an agent.
const DELAYS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// How long a socket is kept that is not wanted any more.
const LINGER: Duration = Duration::from_secs(10);

/// One project's hub.
pub(super) struct Hub {
    pub(super) project: ProjectName,
    feeds: Mutex<BTreeMap<String, Arc<Feed>>>,
    /// Something is to be looked at: a reader came, a prompt was sent.
    wake: Notify,
    /// The socket is wanted for a look, whether or not somebody reads.
    look: Mutex<bool>,
    /// The outbox has something.
    pub(super) outbox: Notify,
    /// Held while a prompt leaves the outbox, in either way.
    pub(super) delivering: AsyncMutex<()>,
}

impl Hub {
    pub(super) fn new(project: ProjectName) -> Self {
        Self {
            project,
            feeds: Mutex::default(),
            wake: Notify::new(),
            look: Mutex::new(false),
            outbox: Notify::new(),
            delivering: AsyncMutex::new(()),
        }
    }

    fn feeds(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Feed>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the states of all conversations looked at soon.
    pub(super) fn look(&self) {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_one();
    }

    /// Has the hub look at whether its socket is still wanted.
    pub(super) fn nudge(&self) {
        self.wake.notify_one();
    }

    /// Has the outbox looked at soon.
    pub(super) fn deliver(&self) {
        self.outbox.notify_one();
    }

    /// The feed of a conversation, if somebody needed it lately.
    pub(super) fn known(&self, conversation: &str) -> Option<Arc<Feed>> {
        self.feeds().get(conversation).cloned()
    }

    /// The feed of a conversation, from the copy where it is not in memory.
    pub(super) async fn feed(&self, inner: &Inner, conversation: &str) -> Result<Arc<Feed>, ChatError> {
        if let Some(feed) = self.known(conversation) {
            return Ok(feed);
        }
        let copy = inner.store.conversation(&self.project, conversation).await?.unwrap_or_default();
        let waiting = self.waiting_in(inner, conversation).await?;
        let feed = Feed::new(copy.epoch, copy.last_seq, copy.busy);
        feed.waiting(waiting);
        let mut feeds = self.feeds();
        Ok(Arc::clone(feeds.entry(conversation.to_owned()).or_insert_with(|| Arc::new(feed))))
    }

    /// The prompts of a conversation that wait for the environment.
    pub(super) async fn waiting_in(&self, inner: &Inner, conversation: &str) -> Result<Vec<QueuedPrompt>, ChatError> {
        let waiting = inner.store.waiting(&self.project).await?;
        let waits = |one: &&WaitingPrompt| one.conversation == conversation && !super::outbox::is_refused(one);
        Ok(waiting.iter().filter(waits).map(super::outbox::queued).collect())
    }

    /// Tells readers of a conversation which prompts wait.
    pub(super) async fn tell_waiting(&self, inner: &Inner, conversation: &str) -> Result<(), ChatError> {
        let waiting = self.waiting_in(inner, conversation).await?;
        if let Some(feed) = self.known(conversation) {
            feed.waiting(waiting);
        }
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) || self.feeds().values().any(|feed| feed.is_wanted())
    }

    fn offline(&self) {
        self.feeds().values().for_each(|feed| feed.offline());
    }
}

/// Runs until the process ends.
pub(super) async fn run(inner: Arc<Inner>, hub: Arc<Hub>) {
    let mut delay = DELAYS.0;
    loop {
        while !hub.is_wanted() {
            hub.feeds().retain(|_, feed| Arc::strong_count(feed) > 1);
            hub.wake.notified().await;
        }
        let Some(agents) = &inner.agents else {
            hub.offline();
            hub.wake.notified().await;
            continue;
        };
        let began = Instant::now();
        match inner.operations.environment(&hub.project).await {
            None => hub.offline(),
            Some(at) => match follow(&inner, &hub, agents, &at).await {
                Ok(()) => continue,
                Err(error) => {
                    tracing::debug!(project = %hub.project, %error, "the agent's socket ended");
                    if began.elapsed() > DELAYS.1 {
                        delay = DELAYS.0;
                    } else if delay >= DELAYS.1 {
                        hub.offline();
                    }
                }
            },
        }
        // A wake-up makes it try at once again; nothing is asked more often than that.
        let _ = timeout(delay, hub.wake.notified()).await;
        sleep(Duration::from_millis(20)).await;
        delay = (delay * 2).min(DELAYS.1);
    }
}

/// Follows the agent until its socket ends, or is not wanted any more.
async fn follow(inner: &Inner, hub: &Hub, agents: &Client, at: &Address) -> Result<(), ChatError> {
    let mut socket = agents.socket(at).await?;
    *hub.look.lock().unwrap_or_else(PoisonError::into_inner) = false;
    socket.send(&ClientFrame::Watch { reference: None }).await?;
    let stored = copy_summaries(inner, hub, agents, at).await?;
    let (subscribed, refused) = (BTreeSet::new(), BTreeSet::new());
    let mut follower = Follower { inner, hub, agents, at, socket, subscribed, refused, stored };
    let mut unwanted: Option<Instant> = None;
    loop {
        follower.subscribe().await?;
        let wanted = hub.is_wanted();
        if !wanted && unwanted.is_some_and(|since| since.elapsed() >= LINGER) {
            return Ok(());
        }
        unwanted = if wanted { None } else { unwanted.or(Some(Instant::now())) };
        tokio::select! {
            frame = follower.socket.next() => follower.take(frame?).await?,
            () = hub.wake.notified() => *hub.look.lock().unwrap_or_else(PoisonError::into_inner) = false,
            () = sleep(LINGER), if !wanted => {}
        }
    }
}

/// Writes how the agent describes its conversations, where the copies say something else; returns which copies are there,
/// and whether each says that it is busy.
async fn copy_summaries(
    inner: &Inner,
    hub: &Hub,
    agents: &Client,
    at: &Address,
) -> Result<BTreeMap<String, bool>, ChatError> {
    let copies = inner.store.conversations(&hub.project).await?;
    let copies: BTreeMap<&str, &ConversationCopy> =
        copies.iter().map(|copy| (copy.conversation.as_str(), copy)).collect();
    let mut stored = BTreeMap::new();
    for conversation in agents.conversations(at, "manager").await? {
        let busy = conversation.state != State::Idle;
        let summary = serde_json::to_string(&conversation)?;
        if copies.get(conversation.id.as_str()).is_none_or(|copy| copy.summary != summary || copy.busy != busy) {
            put(inner, &hub.project, &conversation, busy).await?;
        }
        stored.insert(conversation.id, busy);
    }
    Ok(stored)
}

struct Follower<'a> {
    inner: &'a Inner,
    hub: &'a Hub,
    agents: &'a Client,
    at: &'a Address,
    socket: AgentSocket,
    subscribed: BTreeSet<String>,
    /// What the agent did not have when it was subscribed to: the outbox may bring it later.
    refused: BTreeSet<String>,
    /// The conversations whose copy is known to be there, and whether it says that they are busy.
    stored: BTreeMap<String, bool>,
}

impl Follower<'_> {
    /// Subscribes to what is wanted, from where the copy is.
    async fn subscribe(&mut self) -> Result<(), ChatError> {
        let wanted: Vec<(String, Arc<Feed>)> = {
            let feeds = self.hub.feeds();
            let new = feeds.iter().filter(|(id, feed)| !self.subscribed.contains(*id) && feed.is_wanted());
            new.map(|(id, feed)| (id.clone(), Arc::clone(feed))).collect()
        };
        for (id, feed) in wanted {
            let (epoch, after) = feed.position();
            let epoch = Some(epoch).filter(|epoch| !epoch.is_empty());
            let reference = Some(id.clone());
            let after = epoch.as_ref().map(|_| after);
            self.socket.send(&ClientFrame::Subscribe { reference, conversation: id.clone(), epoch, after }).await?;
            self.subscribed.insert(id);
        }
        Ok(())
    }

    async fn take(&mut self, first: Frame) -> Result<(), ChatError> {
        let mut next = Some(first);
        while let Some(frame) = next.take() {
            match frame {
                Frame::Event { conversation, epoch, seq, prompt, json } => {
                    let event = EventCopy { seq, prompt: prompt.unwrap_or_default(), event: json };
                    next = self.events(conversation, epoch, event).await?;
                }
                Frame::Other(frame) => self.other(frame).await?,
            }
        }
        Ok(())
    }

    /// Writes an event and those that are there already behind it; returns the frame that is something else.
    async fn events(
        &mut self,
        conversation: String,
        epoch: String,
        first: EventCopy,
    ) -> Result<Option<Frame>, ChatError> {
        let feed = self.hub.feed(self.inner, &conversation).await?;
        let mut events = Vec::new();
        match feed.is_next(&epoch, first.seq) {
            Some(true) => events.push(first),
            Some(false) => {}
            None => {
                // The agent sends events in order; the subscription is made again from the copy's end.
                self.subscribed.remove(&conversation);
                return Ok(None);
            }
        }
        let mut other = None;
        while events.len() < BATCH {
            let ready = futures::FutureExt::now_or_never(self.socket.next());
            match ready {
                Some(Ok(Frame::Event { conversation: one, epoch: of, seq, prompt, json }))
                    if one == conversation
                        && of == epoch
                        && events.last().is_some_and(|last: &EventCopy| last.seq + 1 == seq) =>
                {
                    events.push(EventCopy { seq, prompt: prompt.unwrap_or_default(), event: json });
                }
                Some(Ok(frame)) => {
                    other = Some(frame);
                    break;
                }
                Some(Err(error)) => {
                    self.write(&feed, &conversation, &epoch, events).await?;
                    return Err(error.into());
                }
                None => break,
            }
        }
        self.write(&feed, &conversation, &epoch, events).await?;
        Ok(other)
    }

    /// Writes events into the copy, then shows them to readers.
    async fn write(
        &mut self,
        feed: &Feed,
        conversation: &str,
        epoch: &str,
        events: Vec<EventCopy>,
    ) -> Result<(), ChatError> {
        if events.is_empty() {
            return Ok(());
        }
        if !self.stored.contains_key(conversation) {
            self.store_summary(conversation, true).await?;
        }
        self.inner.store.add_events(&self.hub.project, conversation, epoch, &events).await?;
        feed.append(epoch, events.into_iter().map(|event| (event.seq, Arc::from(event.event))).collect());
        Ok(())
    }

    async fn other(&mut self, frame: ServerFrame) -> Result<(), ChatError> {
        match frame {
            ServerFrame::Ack { .. } | ServerFrame::Unknown(_) | ServerFrame::Event { .. } => {}
            ServerFrame::Error { reference, problem } => {
                tracing::warn!(project = %self.hub.project, detail = problem.detail, "a subscription was refused");
                self.refused.extend(reference.clone());
                if let Some(feed) = reference.and_then(|id| self.hub.known(&id)) {
                    feed.forget();
                }
            }
            ServerFrame::Delta { conversation, block, kind, offset, text, .. } => {
                if let Some(feed) = self.hub.known(&conversation) {
                    feed.delta(Delta { block, kind, offset, text });
                }
            }
            ServerFrame::Reset { conversation, epoch } => {
                let feed = self.hub.feed(self.inner, &conversation).await?;
                self.inner.store.add_events(&self.hub.project, &conversation, &epoch, &[]).await?;
                feed.reset(&epoch);
            }
            ServerFrame::State { conversation, epoch, state, open_requests, queue, last_seq, background_tasks } => {
                let id = Id::parse(&conversation).map_err(|error| ChatError::Content(error.to_string()))?;
                let feed = self.hub.feed(self.inner, id.as_str()).await?;
                let busy = state != State::Idle || background_tasks > 0;
                feed.state(&epoch, Now { state, open_requests, queue }, last_seq, background_tasks);
                if self.refused.remove(id.as_str()) {
                    // It is there now.
                    self.subscribed.remove(id.as_str());
                }
                if self.stored.get(id.as_str()) != Some(&busy) {
                    self.store_summary(id.as_str(), busy).await?;
                }
            }
        }
        Ok(())
    }

    /// Writes how the agent describes a conversation.
    async fn store_summary(&mut self, conversation: &str, busy: bool) -> Result<(), ChatError> {
        let id = Id::parse(conversation).map_err(|error| ChatError::Content(error.to_string()))?;
        let detail = self.agents.conversation(self.at, "manager", &id).await?;
        put(self.inner, &self.hub.project, &detail.conversation, busy).await?;
        self.stored.insert(conversation.to_owned(), busy);
        Ok(())
    }
}

/// Writes how an agent describes a conversation.
pub(super) async fn put(
    inner: &Inner,
    project: &ProjectName,
    conversation: &Conversation,
    busy: bool,
) -> Result<(), ChatError> {
    let copy = ConversationCopy {
        conversation: conversation.id.clone(),
        summary: serde_json::to_string(conversation)?,
        busy,
        updated_at: conversation.updated_at.clone(),
        ..ConversationCopy::default()
    };
    Ok(inner.store.put_conversation(project, &copy).await?)
}
