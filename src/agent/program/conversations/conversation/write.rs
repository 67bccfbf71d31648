//! What the runner writes down.

use std::fs::File;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Conversation, Inner};
use crate::agent::chat::{BlockKind, EventKind, Outcome, Usage, WithdrawReason};
use crate::agent::program::claude::{Ask, Mark};
use crate::agent::program::conversations::bounds::{MAX_INPUT, cut, cut_value};
use crate::agent::program::conversations::open::OpenBlock;
use crate::agent::program::conversations::rules::extend;

impl Conversation {
    /// Writes an event. Durable only after [`Conversation::sync`].
    pub(in super::super) fn record(&self, kind: EventKind) -> io::Result<u64> {
        let seq = self.inner().record(kind)?;
        self.touch();
        Ok(seq)
    }

    /// Makes all that was written durable.
    pub(in super::super) async fn sync(&self) -> io::Result<()> {
        let file = self.inner().log.file();
        sync(file).await
    }

    /// Takes an open block, its text, and its end.
    pub(in super::super) fn stream(&self, change: Stream) {
        let mut inner = self.inner();
        match change {
            Stream::Open(id, kind) => inner.open = Some(OpenBlock::new(id, kind)),
            Stream::Text(text) => {
                if let Some(open) = &mut inner.open {
                    open.push(&text);
                }
            }
        }
        drop(inner);
        self.touch();
    }

    /// Writes the events that finish a block, in the same moment in which the block stops being open; without one, what
    /// there is of the block.
    pub(in super::super) fn finish(&self, event: Option<EventKind>) -> io::Result<()> {
        let mut inner = self.inner();
        let open = inner.open.take();
        let kind = event.or_else(|| open.and_then(OpenBlock::cut_off));
        if let Some(kind) = kind {
            inner.record(kind)?;
        }
        drop(inner);
        self.touch();
        Ok(())
    }

    /// Writes a request, which can be answered from now on.
    pub(in super::super) fn ask(&self, ask: Ask) -> io::Result<()> {
        let (input, truncated) = cut_value(&ask.input, MAX_INPUT);
        let mut inner = self.inner();
        inner.record(EventKind::Request {
            request_id: ask.id.clone(),
            request_kind: ask.kind,
            tool: ask.tool.clone(),
            tool_use_id: ask.tool_use.clone(),
            description: ask.description.as_deref().map(|text| cut(text, 4096).0),
            input,
            choices: ask.choices(),
            rules: ask.rules.iter().map(ToString::to_string).collect(),
            truncated,
        })?;
        inner.asks.insert(ask.id.clone(), ask);
        drop(inner);
        self.touch();
        Ok(())
    }

    /// Writes that a request is void, if it is open.
    pub(in super::super) fn withdraw(&self, id: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.asks.remove(id);
        if inner.fold.requests.iter().any(|open| open.request_id == id) {
            let (request_id, reason) = (id.to_owned(), WithdrawReason::Cancelled);
            inner.record(EventKind::RequestWithdrawn { request_id, reason })?;
        }
        drop(inner);
        self.touch();
        Ok(())
    }

    /// Ends the running turn in the log, with what is open in it. Does nothing where none runs.
    pub(in super::super) fn end_turn(&self, end: TurnEnd) -> io::Result<()> {
        let mut inner = self.inner();
        let open = inner.open.take().and_then(OpenBlock::cut_off);
        inner.asks.clear();
        if let Some(open) = open {
            inner.record(open)?;
        }
        let requests: Vec<String> = inner.fold.requests.iter().map(|open| open.request_id.clone()).collect();
        for request_id in requests {
            let reason = if end.restarted { WithdrawReason::Restarted } else { WithdrawReason::Cancelled };
            inner.record(EventKind::RequestWithdrawn { request_id, reason })?;
        }
        if let Some(prompt_ids) = inner.fold.turn.clone() {
            let began = inner.fold.turn_at.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
            let took = began.map(|began| Timestamp::now().as_millisecond() - began.as_millisecond());
            inner.record(EventKind::TurnEnded {
                outcome: end.outcome,
                prompt_ids,
                usage: end.usage,
                cost_usd: end.cost_usd,
                duration_ms: took.and_then(|took| u64::try_from(took).ok()).unwrap_or(0),
                message: end.message,
                model: end.model,
            })?;
            self.signals.worked();
        }
        drop(inner);
        self.touch();
        Ok(())
    }

    /// Ends a turn whose process is gone.
    pub(in super::super) fn settle(&self, message: &str) -> io::Result<()> {
        self.end_turn(TurnEnd::cut_off(message.to_owned()))
    }

    /// Changes what is kept beside the log.
    pub(in super::super) fn change(&self, change: impl FnOnce(&mut Inner)) -> io::Result<()> {
        let mut inner = self.inner();
        let before = inner.meta.clone();
        change(&mut inner);
        if inner.meta != before
            && let Err(error) = inner.meta.write(&self.directory.join("meta.json"))
        {
            inner.meta = before;
            return Err(error);
        }
        Ok(())
    }

    /// Notes which process runs, or that none does.
    pub(in super::super) fn mark(&self, process: Option<Mark>) -> io::Result<()> {
        self.change(|inner| {
            inner.meta.process = process;
            if process.is_none() {
                inner.tasks = 0;
            }
        })
    }

    /// Keeps rules for this conversation.
    pub(in super::super) fn keep_rules(&self, rules: &[String], directories: &[String]) -> io::Result<()> {
        self.change(|inner| {
            extend(&mut inner.meta.rules, rules);
            extend(&mut inner.meta.directories, directories);
        })
    }

    /// Closes the log: it is whole up to its newest event.
    pub(in super::super) fn close(&self) -> io::Result<()> {
        let mut inner = self.inner();
        if let Some(file) = inner.log.file() {
            file.sync_data()?;
        }
        inner.meta.closed = Some(inner.log.last_seq());
        inner.meta.process = None;
        inner.meta.write(&self.directory.join("meta.json"))
    }
}

/// A change of the open block.
#[derive(Debug)]
pub(in super::super) enum Stream {
    /// A block begins.
    Open(String, BlockKind),
    /// More of it.
    Text(String),
}

/// How a turn ended.
#[derive(Debug)]
pub(in super::super) struct TurnEnd {
    /// In one word.
    pub(in super::super) outcome: Outcome,
    /// Its tokens.
    pub(in super::super) usage: Usage,
    /// Its dollars.
    pub(in super::super) cost_usd: f64,
    /// Why.
    pub(in super::super) message: Option<String>,
    /// The model.
    pub(in super::super) model: Option<String>,
    /// Whether because a process ended.
    pub(in super::super) restarted: bool,
}

impl TurnEnd {
    /// A turn whose process ended under it.
    pub(in super::super) fn cut_off(message: String) -> Self {
        Self {
            outcome: Outcome::Interrupted,
            usage: Usage::default(),
            cost_usd: 0.0,
            message: Some(message),
            model: None,
            restarted: true,
        }
    }

    /// A turn that could not run.
    pub(in super::super) fn failed(message: String) -> Self {
        Self { outcome: Outcome::Failed, ..Self::cut_off(message) }
    }
}

impl Inner {
    pub(super) fn record(&mut self, kind: EventKind) -> io::Result<u64> {
        let event = self.log.append(Timestamp::now().to_string(), kind)?;
        self.fold.step(&event);
        Ok(event.seq)
    }
}

pub(super) async fn sync(file: Option<Arc<File>>) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    tokio::task::spawn_blocking(move || file.sync_data()).await.map_err(io::Error::other)?
}
