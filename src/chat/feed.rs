//! One conversation as readers see it: how far its copy is, its newest events, the open block, and what it is doing.
//!
//! Readers pull: each has a [`Cursor`], and is only told that there is something new. What is older than the events in
//! memory comes from the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::agent::chat::{BlockKind, OpenRequest, QueuedPrompt, State};

/// The most events in memory.
const RECENT: usize = 256;
/// The most bytes of them.
const RECENT_BYTES: usize = 1024 * 1024;
/// The longest open block in bytes; its event brings all of it.
const MAX_OPEN: usize = 256 * 1024;

/// What a conversation is doing, for readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Now {
    pub(super) state: State,
    pub(super) open_requests: Vec<OpenRequest>,
    pub(super) queue: Vec<QueuedPrompt>,
}

/// What a reader has.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    epoch: Option<String>,
    pub(super) after: u64,
    /// The block of the last delta, and how many bytes and characters of it were given.
    block: (String, usize, u64),
    told: Option<Now>,
}

impl Cursor {
    /// A reader that has the events of `epoch` up to `after`.
    pub(super) fn new(epoch: Option<String>, after: u64) -> Self {
        Self { epoch, after, ..Self::default() }
    }
}

/// What is new for a reader.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) epoch: String,
    pub(super) reset: bool,
    pub(super) events: Vec<Arc<str>>,
    /// The events after the cursor are in the store only.
    pub(super) from_store: bool,
    pub(super) delta: Option<Delta>,
    pub(super) now: Option<(Now, u64)>,
    pub(super) more: bool,
}

#[derive(Debug)]
pub(super) struct Delta {
    pub(super) block: String,
    pub(super) kind: BlockKind,
    pub(super) offset: u64,
    pub(super) text: String,
}

/// One conversation; shared by its hub and its readers.
pub(super) struct Feed {
    inner: Mutex<Inner>,
}

struct Inner {
    epoch: String,
    last_seq: u64,
    recent: VecDeque<(u64, Arc<str>)>,
    bytes: usize,
    open: Option<Open>,
    /// What the agent said last; `None` while it is not reached.
    agent: Option<Now>,
    /// Prompts that wait for the environment.
    waiting: Vec<QueuedPrompt>,
    /// The events up to here are still to come, as the agent's answers say.
    expected: u64,
    background: u64,
    readers: Vec<Arc<Notify>>,
}

struct Open {
    block: String,
    kind: BlockKind,
    text: String,
}

impl Feed {
    pub(super) fn new(epoch: String, last_seq: u64, busy: bool) -> Self {
        let inner = Inner {
            epoch,
            last_seq,
            recent: VecDeque::new(),
            bytes: 0,
            open: None,
            agent: None,
            waiting: Vec::new(),
            // A copy of a busy conversation is behind, by how much is not known.
            expected: if busy { last_seq + 1 } else { 0 },
            background: 0,
            readers: Vec::new(),
        };
        Self { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `reader` woken whenever something is new.
    pub(super) fn add_reader(&self, reader: Arc<Notify>) {
        self.inner().readers.push(reader);
    }

    pub(super) fn remove_reader(&self, reader: &Arc<Notify>) {
        let mut inner = self.inner();
        if let Some(at) = inner.readers.iter().position(|one| Arc::ptr_eq(one, reader)) {
            inner.readers.swap_remove(at);
        }
    }

    /// Whether the agent's events are wanted: somebody reads, something runs, or the copy is behind.
    pub(super) fn is_wanted(&self) -> bool {
        let inner = self.inner();
        let runs = inner.agent.as_ref().is_some_and(|now| now.state != State::Idle);
        !inner.readers.is_empty() || runs || inner.background > 0 || inner.expected > inner.last_seq
    }

    /// How far the copy is.
    pub(super) fn position(&self) -> (String, u64) {
        let inner = self.inner();
        (inner.epoch.clone(), inner.last_seq)
    }

    /// Takes note that the agent has events up to `seq` of this log.
    pub(super) fn expect(&self, epoch: &str, seq: u64) {
        let mut inner = self.inner();
        // Of another log all events are to come, and it is named with the first.
        inner.expected = if inner.epoch == epoch { inner.expected.max(seq) } else { inner.last_seq + 1 };
    }

    /// Whether an event is the next one; `None` when one before it is missing, false when it is there already.
    pub(super) fn is_next(&self, epoch: &str, seq: u64) -> Option<bool> {
        let inner = self.inner();
        if inner.epoch != epoch {
            return (seq == 1 || inner.epoch.is_empty()).then_some(true);
        }
        (seq <= inner.last_seq + 1).then_some(seq == inner.last_seq + 1)
    }

    /// Begins another log.
    pub(super) fn reset(&self, epoch: &str) {
        let mut inner = self.inner();
        if inner.epoch != epoch {
            inner.epoch = epoch.to_owned();
            inner.last_seq = 0;
            inner.expected = 0;
            inner.recent.clear();
            inner.bytes = 0;
            inner.open = None;
            inner.wake();
        }
    }

    /// Adds events that are in the store by now. `blocks` are the blocks that they finish.
    pub(super) fn append(&self, epoch: &str, events: Vec<(u64, Arc<str>)>) {
        self.reset(epoch);
        let mut inner = self.inner();
        for (seq, event) in events {
            if inner.open.as_ref().is_some_and(|open| event.contains(open.block.as_str())) {
                inner.open = None;
            }
            inner.last_seq = seq;
            inner.bytes += event.len();
            inner.recent.push_back((seq, event));
            while inner.recent.len() > RECENT || (inner.bytes > RECENT_BYTES && inner.recent.len() > 1) {
                let gone = inner.recent.pop_front().map_or(0, |(_, event)| event.len());
                inner.bytes -= gone;
            }
        }
        inner.wake();
    }

    /// Takes more of an open block.
    pub(super) fn delta(&self, delta: Delta) {
        let mut inner = self.inner();
        if inner.open.as_ref().is_none_or(|open| open.block != delta.block) {
            inner.open = Some(Open { block: delta.block.clone(), kind: delta.kind, text: String::new() });
        }
        let Some(open) = &mut inner.open else { return };
        // After a reconnect the block begins at its start again.
        let offset = usize::try_from(delta.offset).unwrap_or(usize::MAX);
        let have = open.text.chars().count();
        let new: String = delta.text.chars().skip(have.saturating_sub(offset)).collect();
        if offset <= have && open.text.len() + new.len() <= MAX_OPEN {
            open.text.push_str(&new);
        }
        inner.wake();
    }

    /// Takes what the agent says that the conversation does.
    pub(super) fn state(&self, epoch: &str, now: Now, last_seq: u64, background: u64) {
        let mut inner = self.inner();
        inner.background = background;
        if inner.epoch == epoch {
            // What was expected is known now.
            inner.expected = last_seq;
        } else if last_seq > 0 {
            inner.expected = inner.last_seq + 1;
        } else {
            inner.expected = 0;
        }
        if now.state == State::Idle {
            inner.open = None;
        }
        if inner.agent.as_ref() != Some(&now) {
            inner.agent = Some(now);
            inner.wake();
        }
    }

    /// Takes note that the agent is not reached.
    pub(super) fn offline(&self) {
        let mut inner = self.inner();
        if inner.agent.take().is_some() {
            inner.open = None;
            inner.wake();
        }
    }

    /// Gives up waiting for events: the conversation is not in its environment any more.
    pub(super) fn forget(&self) {
        let mut inner = self.inner();
        inner.expected = 0;
        inner.background = 0;
        inner.agent = None;
        inner.wake();
    }

    /// Takes the prompts that wait for the environment.
    pub(super) fn waiting(&self, waiting: Vec<QueuedPrompt>) {
        let mut inner = self.inner();
        if inner.waiting != waiting {
            inner.waiting = waiting;
            inner.wake();
        }
    }

    /// Returns what is new for a reader, and moves its cursor; at most `limit` events.
    pub(super) fn view(&self, cursor: &mut Cursor, limit: usize) -> View {
        let inner = self.inner();
        let mut view = View { epoch: inner.epoch.clone(), ..View::default() };
        if cursor.epoch.as_ref().is_some_and(|had| *had != inner.epoch && !inner.epoch.is_empty()) {
            *cursor = Cursor::default();
            view.reset = true;
        }
        if !inner.epoch.is_empty() {
            cursor.epoch = Some(inner.epoch.clone());
        }
        if cursor.after < inner.last_seq {
            let first = inner.recent.front().map_or(u64::MAX, |(seq, _)| *seq);
            if first > cursor.after + 1 {
                view.from_store = true;
                return view;
            }
            let after = cursor.after;
            let new = inner.recent.iter().filter(|(seq, _)| *seq > after).take(limit);
            for (seq, event) in new {
                view.events.push(Arc::clone(event));
                cursor.after = *seq;
            }
        }
        view.more = cursor.after < inner.last_seq;
        if view.more {
            return view;
        }
        if let Some(open) = &inner.open {
            if cursor.block.0 != open.block {
                cursor.block = (open.block.clone(), 0, 0);
            }
            if let Some(text) = open.text.get(cursor.block.1..).filter(|text| !text.is_empty()) {
                let offset = cursor.block.2;
                view.delta = Some(Delta { block: open.block.clone(), kind: open.kind, offset, text: text.to_owned() });
                cursor.block = (open.block.clone(), open.text.len(), offset + text.chars().count() as u64);
            }
        }
        let now = inner.now();
        if cursor.told.as_ref() != Some(&now) {
            cursor.told = Some(now.clone());
            view.now = Some((now, inner.last_seq));
        }
        view
    }
}

impl Inner {
    fn now(&self) -> Now {
        let waits = !self.waiting.is_empty();
        match &self.agent {
            None => Now {
                state: if waits { State::Starting } else { State::Offline },
                open_requests: Vec::new(),
                queue: self.waiting.clone(),
            },
            Some(now) => {
                let mut now = now.clone();
                if waits && now.state == State::Idle {
                    now.state = State::Starting;
                }
                now.queue.extend(self.waiting.iter().cloned());
                now
            }
        }
    }

    fn wake(&self) {
        for reader in &self.readers {
            reader.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(seqs: std::ops::RangeInclusive<u64>) -> Vec<(u64, Arc<str>)> {
        seqs.map(|seq| (seq, Arc::from(format!("{{\"seq\":{seq}}}")))).collect()
    }

    fn delta(offset: u64, text: &str) -> Delta {
        Delta { block: "b".into(), kind: BlockKind::Text, offset, text: text.into() }
    }

    #[test]
    fn a_reader_gets_each_event_once_and_old_ones_from_the_store() {
        let feed = Feed::new("e".into(), 0, false);
        feed.append("e", events(1..=10));
        let mut cursor = Cursor { epoch: Some("e".into()), after: 7, ..Cursor::default() };
        assert_eq!(feed.view(&mut cursor, 2).events.len(), 2);
        let view = feed.view(&mut cursor, 2);
        assert_eq!((view.events.len(), view.more), (1, false));
        assert!(feed.view(&mut cursor, 2).events.is_empty());
        feed.append("e", events(11..=1000));
        assert!(feed.view(&mut cursor, 2).from_store);
        assert!(feed.view(&mut Cursor { after: 990, ..Cursor::default() }, 100).events.len() == 10);
        assert_eq!(feed.is_next("e", 1001), Some(true));
        assert_eq!(feed.is_next("e", 1000), Some(false));
        assert_eq!(feed.is_next("e", 1002), None);
    }

    #[test]
    fn another_epoch_resets_a_reader() {
        let feed = Feed::new("e".into(), 0, false);
        feed.append("e", events(1..=3));
        let mut cursor = Cursor { epoch: Some("older".into()), after: 9, ..Cursor::default() };
        let view = feed.view(&mut cursor, 10);
        assert!(view.reset && view.events.len() == 3, "{view:?}");
        feed.append("f", events(1..=1));
        let view = feed.view(&mut cursor, 10);
        assert!(view.reset && view.events.len() == 1 && view.epoch == "f", "{view:?}");
    }

    #[test]
    fn deltas_that_come_again_after_a_reconnect_are_not_given_twice() {
        let feed = Feed::new("e".into(), 0, false);
        let mut cursor = Cursor::default();
        feed.delta(delta(0, "é"));
        feed.delta(delta(1, "ab"));
        let first = feed.view(&mut cursor, 10).delta.unwrap();
        assert_eq!((first.offset, first.text.as_str()), (0, "éab"));
        feed.delta(delta(0, "éabc"));
        let second = feed.view(&mut cursor, 10).delta.unwrap();
        assert_eq!((second.offset, second.text.as_str()), (3, "c"));
        feed.append("e", vec![(1, Arc::from(r#"{"seq":1,"block":"b"}"#))]);
        assert!(feed.view(&mut cursor, 10).delta.is_none());
    }

    #[test]
    fn a_prompt_that_waits_is_seen_as_starting() {
        let feed = Feed::new(String::new(), 0, false);
        assert_eq!(feed.inner().now().state, State::Offline);
        let queued =
            QueuedPrompt { prompt_id: "p".into(), text: "x".into(), actor: "a".into(), seq: 0, at: "t".into() };
        feed.waiting(vec![queued]);
        let now = feed.inner().now();
        assert_eq!((now.state, now.queue.len()), (State::Starting, 1));
        assert!(!feed.is_wanted());
    }
}
