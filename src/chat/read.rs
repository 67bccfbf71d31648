//! A reader of one conversation.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::Notify;

use super::Chat;
use super::error::ChatError;
use super::feed::{Cursor, Feed};
use super::hub::Hub;
use crate::agent::chat::{BlockKind, Id, OpenRequest, QueuedPrompt, State};
use crate::operations::permit;
use crate::project::{Action, Actor, ProjectName};

/// The most events that are taken at once.
const PAGE: u32 = 100;

/// A reader of one conversation; it ends with its value.
pub struct Subscription {
    chat: Chat,
    hub: Arc<Hub>,
    feed: Arc<Feed>,
    conversation: Id,
    cursor: Cursor,
    reader: Arc<Notify>,
}

/// What a reader is told.
#[derive(Debug)]
pub enum Message {
    /// The log is another one: what the reader has is void.
    Reset {
        /// Its name.
        epoch: String,
    },
    /// An event, as the agent wrote it.
    Event {
        /// The name of the log.
        epoch: String,
        /// The event.
        event: Box<RawValue>,
    },
    /// More of a block that is not finished.
    Delta {
        /// The name of the log.
        epoch: String,
        /// The block's id.
        block: String,
        /// What it is.
        kind: BlockKind,
        /// Where the text belongs, in characters.
        offset: u64,
        /// The text.
        text: String,
    },
    /// What the conversation is doing.
    State {
        /// In one word.
        state: State,
        /// Requests that wait for an answer.
        open_requests: Vec<OpenRequest>,
        /// Prompts that have not started.
        queue: Vec<QueuedPrompt>,
        /// The number of the newest event.
        last_seq: u64,
    },
}

impl Chat {
    /// Subscribes to a conversation from `(epoch, after)` on. `reader` is woken whenever [`Subscription::take`] has
    /// something.
    ///
    /// # Errors
    /// [`ChatError`] when there is no such conversation, or the role does not allow it.
    pub async fn subscribe(
        &self,
        project: &ProjectName,
        conversation: &Id,
        epoch: Option<String>,
        after: u64,
        reader: Arc<Notify>,
        actor: &Actor,
    ) -> Result<Subscription, ChatError> {
        permit(actor, Action::Read)?;
        self.inner.operations.project(project)?;
        let hub = self.hub(project);
        if hub.known(conversation.as_str()).is_none() {
            // It exists, and its copy does, too.
            let detail = self.detail(project, conversation, actor).await?.conversation;
            if !detail.epoch.is_empty() && detail.state != State::Offline {
                super::hub::put(&self.inner, project, &detail, detail.state != State::Idle).await?;
            }
        }
        let feed = hub.feed(&self.inner, conversation.as_str()).await?;
        feed.add_reader(Arc::clone(&reader));
        hub.look();
        reader.notify_one();
        let cursor = Cursor::new(epoch, after);
        Ok(Subscription { chat: self.clone(), hub, feed, conversation: conversation.clone(), cursor, reader })
    }
}

impl Subscription {
    /// Takes what is new, and whether there is more at once.
    ///
    /// # Errors
    /// [`ChatError`] when the copy cannot be read.
    pub async fn take(&mut self) -> Result<(Vec<Message>, bool), ChatError> {
        let mut view = self.feed.view(&mut self.cursor, PAGE as usize);
        let mut messages = Vec::new();
        let epoch = view.epoch;
        if view.reset {
            messages.push(Message::Reset { epoch: epoch.clone() });
        }
        if view.from_store {
            let (store, project) = (&self.chat.inner.store, &self.hub.project);
            let id = self.conversation.as_str();
            let events = store.copied_events(project, id, &epoch, self.cursor.after, PAGE).await?;
            if events.is_empty() {
                return Err(ChatError::Content(format!("no event after {} of {id}", self.cursor.after)));
            }
            for event in events {
                self.cursor.after = event.seq;
                view.events.push(Arc::from(event.event));
            }
            view.more = true;
        }
        for event in view.events {
            let event = RawValue::from_string(event.to_string())?;
            messages.push(Message::Event { epoch: epoch.clone(), event });
        }
        if let Some(delta) = view.delta {
            let super::feed::Delta { block, kind, offset, text } = delta;
            messages.push(Message::Delta { epoch, block, kind, offset, text });
        }
        if let Some((now, last_seq)) = view.now {
            let super::feed::Now { state, open_requests, queue } = now;
            messages.push(Message::State { state, open_requests, queue, last_seq });
        }
        Ok((messages, view.more))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.remove_reader(&self.reader);
        self.hub.nudge();
    }
}
