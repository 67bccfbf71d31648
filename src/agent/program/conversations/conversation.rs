//! One conversation: its log, what the log comes to, and the requests of clients about it.

mod requests;
mod write;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use super::fold::Fold;
use super::log::Log;
use super::meta::Meta;
use super::open::OpenBlock;
use super::view::{Cursor, Now, View};
use super::{Shared, Signals, lock};
use crate::agent::chat::{self, Id, State};
use crate::agent::program::claude::{Ask, end_tree};

pub(super) use write::{Stream, TurnEnd};

/// How many events one view holds, and how many bytes of them.
const VIEW_EVENTS: usize = 256;
const VIEW_BYTES: usize = 512 * 1024;
/// How many messages to a runner may wait.
const COMMANDS: usize = 64;

/// A conversation.
pub(in crate::agent::program) struct Conversation {
    id: String,
    directory: PathBuf,
    inner: Mutex<Inner>,
    signals: Arc<Signals>,
    /// Wakes the runner.
    pub(super) wake: Notify,
    commands: mpsc::Sender<Command>,
    version: AtomicU64,
}

/// What a client's request comes to for the runner.
#[derive(Debug)]
pub(super) enum Command {
    /// End the turn.
    Interrupt,
    /// Send an answer to the program. Where it added rules of the project, the number of that change.
    Reply(Value, Option<u64>),
}

/// A conversation and the other end of its commands.
pub(super) struct Opened {
    /// The conversation.
    pub(super) conversation: Arc<Conversation>,
    /// For its runner.
    pub(super) commands: mpsc::Receiver<Command>,
}

pub(super) struct Inner {
    pub(super) meta: Meta,
    log: Log,
    pub(super) fold: Fold,
    open: Option<OpenBlock>,
    /// Why nothing runs though a prompt waits, or though a turn began.
    pub(super) phase: Phase,
    pub(super) tasks: usize,
    /// Requests that can be answered now.
    asks: BTreeMap<String, Ask>,
}

/// What the runner is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// As the log says.
    Settled,
    /// Something starts: the environment, or the program.
    Starting,
    /// Another conversation's turn has the working tree.
    Queued,
}

impl std::ops::Deref for Opened {
    type Target = Conversation;

    fn deref(&self) -> &Conversation {
        &self.conversation
    }
}

impl Conversation {
    /// Opens a conversation. What was left running is ended, and its turn told as interrupted.
    pub(super) fn open(shared: &Shared, directory: PathBuf) -> io::Result<Opened> {
        let file = directory.join("meta.json");
        let mut meta = Meta::read(&file)?;
        if Id::parse(&meta.id).is_err() || directory.file_name().is_none_or(|name| name != meta.id.as_str()) {
            return Err(io::Error::other("its meta.json names another conversation"));
        }
        let mut fold = Fold::default();
        let (log, found) = Log::open(&directory.join("log"), |event| fold.step(event))?;
        if found.torn {
            tracing::warn!(conversation = meta.id, "the last event was cut off in the middle, and is gone");
        }
        if found.damaged {
            tracing::error!(conversation = meta.id, "the log is damaged; what follows is set aside as *.damaged");
        }
        if found.damaged || meta.is_doubtful(&shared.writer, log.last_seq()) {
            meta.epoch = Id::random().to_string();
        }
        let before = meta.process.take();
        let ended = end_tree(before, &meta.id);
        if ended > 0 {
            tracing::warn!(conversation = meta.id, ended, "processes of an earlier run were ended");
        }
        meta.writer = shared.writer.clone();
        meta.closed = None;
        meta.write(&file)?;
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let inner = Inner { meta, log, fold, open: None, phase: Phase::Settled, tasks: 0, asks: BTreeMap::new() };
        let conversation = Self {
            id: inner.meta.id.clone(),
            directory,
            inner: Mutex::new(inner),
            signals: Arc::clone(&shared.signals),
            wake: Notify::new(),
            commands,
            version: AtomicU64::new(0),
        };
        if let Err(error) = conversation.settle("The agent ended during this turn. Nothing of it runs again by itself.")
        {
            tracing::error!(conversation = conversation.id, %error, "the log cannot be written");
        }
        Ok(Opened { conversation: Arc::new(conversation), commands: receiver })
    }

    /// Its id.
    pub(in crate::agent::program) fn id(&self) -> &str {
        &self.id
    }

    /// Its files.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the files are that went with prompts.
    pub(super) fn attachments(&self) -> PathBuf {
        self.directory.join("attachments")
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Tells readers that something changed.
    pub(super) fn touch(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
        self.signals.touch();
    }

    /// Counts changes.
    pub(in crate::agent::program) fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// When its newest event happened.
    pub(super) fn updated_at(&self) -> String {
        self.inner().updated_at()
    }

    /// Whether a turn or a background task runs.
    pub(super) fn is_busy(&self) -> bool {
        let inner = self.inner();
        inner.fold.turn.is_some() || inner.tasks > 0
    }

    /// The conversation as a list has it.
    pub(in crate::agent::program) fn summary(&self) -> chat::Conversation {
        self.inner().summary()
    }

    /// The conversation with what is open in it.
    pub(in crate::agent::program) fn detail(&self) -> chat::ConversationDetail {
        let inner = self.inner();
        let now = inner.now();
        chat::ConversationDetail {
            conversation: inner.summary(),
            open_requests: now.open_requests,
            queue: now.queue,
            background_tasks: now.background_tasks,
        }
    }

    /// What it is doing.
    pub(in crate::agent::program) fn now(&self) -> Now {
        self.inner().now()
    }

    /// Returns the events after `after`, at most `limit` of them, as JSON; with epoch, state and newest number.
    pub(in crate::agent::program) fn page(&self, after: u64, limit: usize) -> io::Result<(Now, Vec<String>)> {
        const BYTES: usize = 8 * 1024 * 1024;
        let inner = self.inner();
        let lines = inner.log.read(after, limit, BYTES)?;
        Ok((inner.now(), lines.iter().map(|line| line.json().to_owned()).collect()))
    }

    /// Returns what is new for a reader, and moves its cursor; `None` when nothing is.
    ///
    /// A reader that has more than there is has another log under the same name, from before the volume was restored: the
    /// log gets a new name.
    pub(in crate::agent::program) fn view(&self, cursor: &mut Cursor) -> io::Result<Option<View>> {
        let version = self.version();
        if cursor.version == Some(version) {
            return Ok(None);
        }
        let mut inner = self.inner();
        let is_same = cursor.epoch.as_deref() == Some(&inner.meta.epoch);
        if is_same && cursor.after > inner.log.last_seq() {
            inner.meta.epoch = Id::random().to_string();
            inner.meta.write(&self.directory.join("meta.json"))?;
            self.touch();
        }
        let epoch = inner.meta.epoch.clone();
        let reset = cursor.epoch.as_ref().is_some_and(|had| *had != epoch);
        if reset {
            *cursor = Cursor::default();
        }
        cursor.epoch = Some(epoch.clone());
        let lines = inner.log.read(cursor.after, VIEW_EVENTS, VIEW_BYTES)?;
        cursor.after = lines.last().map_or(cursor.after, |line| line.seq);
        let more = cursor.after < inner.log.last_seq();
        let delta = match &inner.open {
            Some(open) if !more => open.since(&mut cursor.had),
            _ => None,
        };
        if !more {
            cursor.version = Some(version);
        }
        Ok(Some(View { epoch, reset, lines, more, delta, now: inner.now() }))
    }
}

impl Inner {
    fn updated_at(&self) -> String {
        self.fold.updated_at.clone().unwrap_or_else(|| self.meta.created_at.clone())
    }

    fn state(&self) -> State {
        if !self.fold.requests.is_empty() {
            return State::NeedsYou;
        }
        match (self.fold.turn.is_some(), self.fold.queue.is_empty(), self.phase) {
            (true, _, Phase::Starting) => State::Starting,
            (true, _, Phase::Settled | Phase::Queued) => State::Working,
            (false, true, _) => State::Idle,
            (false, false, Phase::Queued) => State::Queued,
            (false, false, Phase::Starting | Phase::Settled) => State::Starting,
        }
    }

    fn now(&self) -> Now {
        Now {
            epoch: self.meta.epoch.clone(),
            state: self.state(),
            open_requests: self.fold.requests.clone(),
            queue: self.fold.queue.clone(),
            last_seq: self.log.last_seq(),
            background_tasks: self.tasks as u64,
        }
    }

    fn summary(&self) -> chat::Conversation {
        let meta = &self.meta;
        chat::Conversation {
            id: meta.id.clone(),
            title: meta.title.clone().or_else(|| self.fold.title.clone()),
            state: self.state(),
            epoch: meta.epoch.clone(),
            last_seq: self.log.last_seq(),
            cost_usd: self.fold.cost_usd,
            model: meta.model.clone(),
            permission_mode: Some(meta.permission_mode.clone()),
            created_at: meta.created_at.clone(),
            updated_at: self.updated_at(),
        }
    }
}
