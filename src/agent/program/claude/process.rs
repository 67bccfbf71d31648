//! One process: lines in, lines out, and its end.

use std::collections::VecDeque;
use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::{Credentials, Mark, Start, mark_of};

/// The longest line that is read; what is longer is passed over.
const MAX_LINE: usize = 32 * 1024 * 1024;
/// How long the process may take to read what it is sent.
const WRITE: Duration = Duration::from_secs(60);
/// How long output is waited for after the process has ended: a command that it left may hold the pipe.
const DRAIN: Duration = Duration::from_millis(500);
/// How long the process may go on after it closed its output.
const CLOSE: Duration = Duration::from_secs(5);
/// How much of its error output is kept.
const TAIL: usize = 20;

/// A running process of Claude Code. Dropped, it is killed.
pub(in crate::agent::program) struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    errors: Arc<Mutex<VecDeque<String>>>,
    mark: Mark,
    exit: Option<ExitStatus>,
    /// A command of Claude's may print its variables: the key is in no event.
    credentials: Credentials,
}

/// What a process gives.
#[derive(Debug)]
pub(in crate::agent::program) enum Input {
    /// A line of its output.
    Line(String),
    /// It has ended.
    End(Exit),
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(in crate::agent::program) struct Exit {
    /// Whether by its own will and without an error.
    pub(in crate::agent::program) clean: bool,
    /// How, for people.
    pub(in crate::agent::program) text: String,
    /// The end of its error output.
    pub(in crate::agent::program) errors: String,
}

/// How to end a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent::program) enum Ending {
    /// By request, which ends its background tasks, too; by signals when that takes too long.
    Orderly,
    /// At once.
    Kill,
}

impl Process {
    /// Starts a process.
    pub(in crate::agent::program) fn start(start: &Start<'_>) -> io::Result<Self> {
        let mut child = start.command().spawn()?;
        let closed = || io::Error::other("it has no input and output");
        let stdin = child.stdin.take().ok_or_else(closed)?;
        let stdout = child.stdout.take().ok_or_else(closed)?;
        let stderr = child.stderr.take().ok_or_else(closed)?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        let errors = Arc::default();
        let credentials = start.credentials.clone();
        tokio::spawn(collect(stderr, Arc::clone(&errors), credentials.clone(), start.conversation.to_owned()));
        let lines = Lines::new(BufReader::with_capacity(64 * 1024, stdout));
        Ok(Self { child, stdin, lines, errors, mark: mark_of(pid), exit: None, credentials })
    }

    /// Which process it is, to find it again.
    pub(in crate::agent::program) const fn mark(&self) -> Mark {
        self.mark
    }

    /// Sends one message.
    pub(in crate::agent::program) async fn send(&mut self, message: &Value) -> io::Result<()> {
        let line = format!("{message}\n");
        let written = async {
            self.stdin.write_all(line.as_bytes()).await?;
            self.stdin.flush().await
        };
        let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not read its input"));
        timeout(WRITE, written).await.unwrap_or_else(late)
    }

    /// Returns the next line, or how it ended. Nothing is lost when this is given up and called again.
    pub(in crate::agent::program) async fn next(&mut self) -> Input {
        loop {
            if let Some(status) = self.exit {
                let left = timeout(DRAIN, self.lines.next()).await;
                return match left {
                    Ok(Some(line)) => Input::Line(self.credentials.mask(line)),
                    _ => Input::End(self.exit_of(Some(status))),
                };
            }
            tokio::select! {
                biased;
                line = self.lines.next() => match line {
                    Some(line) => return Input::Line(self.credentials.mask(line)),
                    None => match timeout(CLOSE, self.child.wait()).await {
                        Ok(status) => return Input::End(self.exit_of(status.ok())),
                        Err(_) => {
                            let _ = self.child.start_kill();
                            let status = self.child.wait().await.ok();
                            return Input::End(self.exit_of(status));
                        }
                    },
                },
                status = self.child.wait() => match status {
                    Ok(status) => self.exit = Some(status),
                    Err(_) => return Input::End(self.exit_of(None)),
                },
            }
        }
    }

    /// Ends it; returns the lines that it still gave, and how it ended.
    pub(in crate::agent::program) async fn end(mut self, ending: Ending) -> (Vec<String>, Exit) {
        let mut lines = Vec::new();
        if ending == Ending::Orderly {
            let request = super::answer::control("end", serde_json::json!({"subtype": "end_session"}));
            if self.send(&request).await.is_ok()
                && let Some(exit) = self.drain(&mut lines, Duration::from_secs(5)).await
            {
                return (lines, exit);
            }
            self.signal(rustix::process::Signal::TERM);
            if let Some(exit) = self.drain(&mut lines, Duration::from_secs(2)).await {
                return (lines, exit);
            }
        }
        let _ = self.child.start_kill();
        let exit = self.drain(&mut lines, Duration::from_secs(2)).await;
        let exit = exit.unwrap_or_else(|| self.exit_of(None));
        (lines, exit)
    }

    async fn drain(&mut self, lines: &mut Vec<String>, time: Duration) -> Option<Exit> {
        let drained = async {
            loop {
                match self.next().await {
                    Input::Line(line) => lines.push(line),
                    Input::End(exit) => return exit,
                }
            }
        };
        timeout(time, drained).await.ok()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn exit_of(&self, status: Option<ExitStatus>) -> Exit {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        Exit {
            clean: status.is_some_and(|status| status.success()),
            text: status.map_or_else(|| "in an unknown way".to_owned(), |status| status.to_string()),
            errors: errors.iter().cloned().collect::<Vec<_>>().join("\n"),
        }
    }
}

/// Keeps and logs the error output.
async fn collect(
    stream: impl AsyncRead + Unpin,
    into: Arc<Mutex<VecDeque<String>>>,
    credentials: Credentials,
    conversation: String,
) {
    let mut lines = Lines::new(BufReader::new(stream));
    while let Some(line) = lines.next().await {
        let line: String = credentials.mask(line).chars().filter(|c| !c.is_control()).take(1000).collect();
        if line.trim().is_empty() {
            continue;
        }
        tracing::info!(conversation, "claude: {line}");
        let mut errors = into.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.len() == TAIL {
            errors.pop_front();
        }
        errors.push_back(line);
    }
}

/// Lines of bounded length, from a stream that may be given up between two polls.
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    skipping: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    const fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), skipping: false }
    }

    /// `None` at the end, and where the stream fails. A last line without its end was cut off, and is none.
    async fn next(&mut self) -> Option<String> {
        loop {
            let available = self.reader.fill_buf().await.ok()?;
            if available.is_empty() {
                return None;
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(available.len());
            if !self.skipping {
                self.line.extend_from_slice(&available[..taken]);
            }
            self.reader.consume(end.map_or(taken, |end| end + 1));
            if self.line.len() > MAX_LINE {
                tracing::warn!("a line of more than {MAX_LINE} bytes is passed over");
                self.line = Vec::new();
                self.skipping = true;
            }
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                if !std::mem::take(&mut self.skipping) {
                    return Some(String::from_utf8_lossy(&line).into_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_whole_or_left_out() {
        let mut text = b"one\n\xff two\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', MAX_LINE + 10));
        text.extend_from_slice(b"\nthree\ncut");
        let mut lines = Lines::new(BufReader::new(&text[..]));
        let mut read = Vec::new();
        while let Some(line) = lines.next().await {
            read.push(line);
        }
        assert_eq!(read, ["one", "\u{fffd} two", "three"]);
    }
}
