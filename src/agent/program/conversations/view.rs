//! What a reader of a conversation gets next. Readers pull: nothing is kept for one that is slow.

use super::log::Line;
use super::open::{Delta, Had};
use crate::agent::chat::{OpenRequest, QueuedPrompt, State};

/// How far a reader is.
#[derive(Clone, Debug, Default)]
pub(in crate::agent::program) struct Cursor {
    /// The log that it reads; `None` for one that has nothing yet.
    pub(in crate::agent::program) epoch: Option<String>,
    /// The newest event that it has.
    pub(in crate::agent::program) after: u64,
    /// What it has of the open block.
    pub(super) had: Had,
    /// The change of the conversation that it has seen.
    pub(super) version: Option<u64>,
}

impl Cursor {
    /// A reader that has the events of `epoch` up to `after`.
    pub(in crate::agent::program) fn new(epoch: Option<String>, after: u64) -> Self {
        let after = if epoch.is_some() { after } else { 0 };
        Self { epoch, after, ..Self::default() }
    }
}

/// What is new.
#[derive(Debug)]
pub(in crate::agent::program) struct View {
    /// The name of the log.
    pub(in crate::agent::program) epoch: String,
    /// Whether what the reader has is void.
    pub(in crate::agent::program) reset: bool,
    /// New events.
    pub(in crate::agent::program) lines: Vec<Line>,
    /// Whether there are more of them than this view holds; what follows is then left out.
    pub(in crate::agent::program) more: bool,
    /// More of the open block.
    pub(in crate::agent::program) delta: Option<Delta>,
    /// What the conversation is doing.
    pub(in crate::agent::program) now: Now,
}

/// What a conversation is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::agent::program) struct Now {
    /// The name of the log.
    pub(in crate::agent::program) epoch: String,
    /// In one word.
    pub(in crate::agent::program) state: State,
    /// Requests that wait.
    pub(in crate::agent::program) open_requests: Vec<OpenRequest>,
    /// Prompts that wait.
    pub(in crate::agent::program) queue: Vec<QueuedPrompt>,
    /// The newest event.
    pub(in crate::agent::program) last_seq: u64,
    /// Tasks in the background.
    pub(in crate::agent::program) background_tasks: u64,
}

impl Line {
    /// The event's JSON.
    pub(in crate::agent::program) fn json(&self) -> &str {
        &self.text
    }
}
