//! A log as the body of an answer: what is there, and what follows.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::stream;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::Process;
use super::lines::Lines;
use crate::embedded::state::Id;
use crate::embedded::{Inner, lock};

/// How much is read at once.
const BLOCK: usize = 32 << 10;
/// How often a file is looked at where the system tells no changes.
const LOOK: Duration = Duration::from_secs(1);

/// Open files, read one after the other.
pub(super) struct Reader {
    files: VecDeque<File>,
    lines: Lines,
}

impl Reader {
    pub(super) fn new(files: Vec<File>, lines: Lines) -> Self {
        Self { files: files.into(), lines }
    }

    /// The next lines; `None` when there are none now. The last file stays open.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut block = vec![0; BLOCK];
        while !self.lines.is_full() {
            let last = self.files.len() == 1;
            let Some(file) = self.files.front_mut() else { break };
            match file.read(&mut block)? {
                0 if last => {
                    // Cut while it is followed: it begins anew.
                    if file.metadata()?.len() < file.stream_position()? {
                        file.seek(SeekFrom::Start(0))?;
                        continue;
                    }
                    break;
                }
                0 => {
                    self.files.pop_front();
                }
                read => {
                    let wanted = self.lines.feed(&block[..read]);
                    if !wanted.is_empty() {
                        return Ok(Some(wanted));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// What is there now.
pub(super) fn once(reader: Reader) -> Body {
    Body::from_stream(stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next() {
            Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
            Ok(None) if reader.lines.is_full() => None,
            Ok(None) => Some((Ok(reader.lines.finish()), None)),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// What is there now and what comes, until the process has ended.
pub(super) fn follow(reader: Reader, directory: &Path, inner: Arc<Inner>, id: Id, process: Process) -> Body {
    let (sender, signals) = mpsc::channel(1);
    let watcher = watch(directory, sender);
    let changes = inner.signal.subscribe();
    let follower = Follower { reader, signals, _watcher: watcher, changes, inner, id, process, ended: false };
    Body::from_stream(stream::unfold(follower, |mut follower| async move {
        let bytes = follower.next().await?;
        Some((Ok::<_, Infallible>(bytes), follower))
    }))
}

struct Follower {
    reader: Reader,
    signals: mpsc::Receiver<()>,
    _watcher: Option<RecommendedWatcher>,
    changes: tokio::sync::watch::Receiver<u64>,
    inner: Arc<Inner>,
    id: Id,
    process: Process,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if self.reader.lines.is_full() {
                return None;
            }
            match self.reader.next() {
                Ok(Some(bytes)) => return Some(bytes),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(pod = %self.id.name, %error, "a log that is followed cannot be read on");
                    return None;
                }
            }
            if self.ended {
                // Its last line may have no end.
                return Some(self.reader.lines.finish()).filter(|rest| !rest.is_empty());
            }
            // Looked at before the next read, so that what was written before the end is read.
            self.ended = !self.process.runs_in(lock(&self.inner.state).get(&self.id).map(|pod| &**pod));
            if self.ended {
                continue;
            }
            tokio::select! {
                signal = self.signals.recv() => {
                    if signal.is_none() {
                        tokio::time::sleep(LOOK).await;
                    }
                }
                changed = self.changes.changed() => self.ended |= changed.is_err(),
            }
        }
    }
}

/// Signals that something in the directory changed; without, the caller looks now and then.
fn watch(directory: &Path, sender: mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
            // Full means that a signal waits already.
            let _ = sender.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(tell).ok()?;
    watcher.watch(directory, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}
