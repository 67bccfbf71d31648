//! `/agent/v1/ws`: what is new in any number of conversations, on one socket.
//!
//! The socket pulls: after each change it takes from every subscribed conversation what its reader does not have yet, and
//! writes it. While a slow reader blocks the write, changes add up in the logs and not in memory here, and the next look
//! takes them together. A reader that takes nothing for a while is closed; it comes back with the number of its newest event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use futures::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::upgrade::Socket;
use crate::agent::chat::{ClientFrame, Problem, ServerFrame, word};
use crate::agent::program::conversations::{Conversation, Conversations, Cursor, Now, View};

/// How long one write may take.
const WRITE: Duration = Duration::from_secs(30);
/// How often a quiet socket is tried.
const PING: Duration = Duration::from_secs(20);
/// How long a client may be silent, its answers to pings included.
const SILENT: Duration = Duration::from_secs(65);
/// The most subscriptions of one socket.
const MAX_SUBSCRIPTIONS: usize = 1000;

/// Serves a socket until either side ends it.
pub(super) async fn serve(socket: Socket, conversations: Conversations) {
    let mut connection =
        Connection { socket, conversations, subscriptions: BTreeMap::new(), watched: None, heard: Instant::now() };
    let end = connection.run().await;
    let frame = match end {
        End::Gone => return,
        End::Slow => CloseFrame { code: CloseCode::Policy, reason: "too slow; come back with the newest seq".into() },
        End::Error => CloseFrame { code: CloseCode::Error, reason: "a log cannot be read".into() },
    };
    let _ = timeout(Duration::from_secs(1), connection.socket.close(Some(frame))).await;
}

struct Connection {
    socket: Socket,
    conversations: Conversations,
    subscriptions: BTreeMap<String, Subscription>,
    /// The states that were told, by conversation, where all of them are watched.
    watched: Option<BTreeMap<String, Now>>,
    heard: Instant,
}

struct Subscription {
    conversation: Arc<Conversation>,
    cursor: Cursor,
    /// The state that was told last.
    told: Option<Now>,
}

/// Why a socket ends.
enum End {
    Gone,
    Slow,
    Error,
}

impl Connection {
    async fn run(&mut self) -> End {
        let mut changes = self.conversations.changes();
        let mut ping = Instant::now() + PING;
        loop {
            changes.borrow_and_update();
            let more = match self.pump().await {
                Ok(more) => more,
                Err(end) => return end,
            };
            tokio::select! {
                biased;
                message = self.socket.next() => {
                    self.heard = Instant::now();
                    let text = match message {
                        Some(Ok(Message::Text(text))) => text,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Gone,
                        Some(Ok(_)) => continue,
                    };
                    if let Err(end) = self.take(&text).await {
                        return end;
                    }
                }
                () = std::future::ready(()), if more => {}
                changed = changes.changed() => if changed.is_err() { return End::Gone },
                () = sleep_until(ping) => {
                    if self.heard.elapsed() > SILENT {
                        return End::Gone;
                    }
                    ping = Instant::now() + PING;
                    if let Err(end) = self.write(Message::Ping(Vec::new().into())).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Writes what is new; returns whether there is more.
    async fn pump(&mut self) -> Result<bool, End> {
        let mut more = false;
        let subscribed: Vec<String> = self.subscriptions.keys().cloned().collect();
        for id in subscribed {
            let Some(subscription) = self.subscriptions.get_mut(&id) else { continue };
            let view = subscription.conversation.view(&mut subscription.cursor).map_err(|error| {
                tracing::error!(conversation = id, %error, "the log cannot be read");
                End::Error
            })?;
            let Some(view) = view else { continue };
            more |= view.more;
            let frames = frames(&id, view, &mut subscription.told);
            for frame in frames {
                self.write(Message::text(frame)).await?;
            }
        }
        self.pump_states().await?;
        Ok(more)
    }

    async fn pump_states(&mut self) -> Result<(), End> {
        let Some(mut told) = self.watched.take() else { return Ok(()) };
        for conversation in self.conversations.all() {
            let now = conversation.now();
            if told.get(conversation.id()) != Some(&now) {
                self.write(Message::text(state(conversation.id(), &now).to_string())).await?;
                told.insert(conversation.id().to_owned(), now);
            }
        }
        self.watched = Some(told);
        Ok(())
    }

    /// Carries out a client's frame.
    async fn take(&mut self, text: &str) -> Result<(), End> {
        let frame = serde_json::from_str(text).unwrap_or(ClientFrame::Unknown(Value::Null));
        let (reference, done) = match frame {
            ClientFrame::Subscribe { reference, conversation, epoch, after } => {
                (reference, self.subscribe(&conversation, epoch, after.unwrap_or(0)))
            }
            ClientFrame::Unsubscribe { reference, conversation } => {
                self.subscriptions.remove(&conversation.to_ascii_lowercase());
                (reference, Ok(()))
            }
            ClientFrame::Watch { reference } => {
                self.watched = Some(BTreeMap::new());
                (reference, Ok(()))
            }
            ClientFrame::Unknown(value) => {
                let reference = value["ref"].as_str().map(str::to_owned);
                let detail = "this is no frame that this agent knows; it takes subscribe, unsubscribe and watch";
                (reference, Err(problem(422, word::INVALID, detail)))
            }
        };
        let answer = match done {
            Ok(()) => ServerFrame::Ack { reference },
            Err(problem) => ServerFrame::Error { reference, problem },
        };
        let text = serde_json::to_string(&answer).map_err(|_| End::Error)?;
        self.write(Message::text(text)).await
    }

    fn subscribe(&mut self, id: &str, epoch: Option<String>, after: u64) -> Result<(), Problem> {
        let found = self.conversations.get(id).map_err(|error| {
            let (status, word) = error.kind();
            problem(status, word, &error.to_string())
        });
        let conversation = found?;
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(problem(429, word::LIMIT, "this socket has too many subscriptions; open another"));
        }
        let subscription = Subscription { cursor: Cursor::new(epoch, after), told: None, conversation };
        self.subscriptions.insert(subscription.conversation.id().to_owned(), subscription);
        Ok(())
    }

    async fn write(&mut self, message: Message) -> Result<(), End> {
        match timeout(WRITE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Slow),
        }
    }
}

/// The frames of a view, in their order.
fn frames(id: &str, view: View, told: &mut Option<Now>) -> Vec<String> {
    let epoch = &view.epoch;
    let mut frames = Vec::new();
    if view.reset {
        *told = None;
        frames.push(json!({"type": "reset", "conversation": id, "epoch": epoch}).to_string());
    }
    for line in &view.lines {
        // The line goes out as it is in the file.
        let Ok(event) = serde_json::from_str::<&RawValue>(line.json()) else { continue };
        let frame = EventFrame { kind: "event", conversation: id, epoch, event };
        frames.extend(serde_json::to_string(&frame));
    }
    if let Some(delta) = view.delta {
        let frame = ServerFrame::Delta {
            conversation: id.to_owned(),
            epoch: epoch.clone(),
            block: delta.block,
            kind: delta.kind,
            offset: delta.offset,
            text: delta.text,
        };
        frames.extend(serde_json::to_string(&frame));
    }
    if !view.more {
        // The newest number alone is known from the events.
        let differs = told.as_ref().is_none_or(|told| Now { last_seq: view.now.last_seq, ..told.clone() } != view.now);
        if differs {
            frames.push(state(id, &view.now).to_string());
            *told = Some(view.now);
        }
    }
    frames
}

#[derive(serde::Serialize)]
struct EventFrame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    conversation: &'a str,
    epoch: &'a str,
    event: &'a RawValue,
}

fn state(id: &str, now: &Now) -> Value {
    json!({
        "type": "state",
        "conversation": id,
        "epoch": now.epoch,
        "state": now.state,
        "openRequests": now.open_requests,
        "queue": now.queue,
        "lastSeq": now.last_seq,
        "backgroundTasks": now.background_tasks,
    })
}

fn problem(status: u16, word: &str, detail: &str) -> Problem {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    Problem {
        type_: format!("tag:claude-manager.io,2026:problem/{word}"),
        title: title.to_owned(),
        status,
        detail: detail.to_owned(),
    }
}
