//! `/api/chat/ws`: any number of conversations of any number of projects on one socket.
//!
//! The socket pulls: when something is new, it takes from each subscription what its reader does not have and writes it.
//! Nothing is kept for a slow reader, and one that takes nothing for a while is closed; it comes back with the newest
//! `(epoch, seq)` that it has. Commands run beside that, and are answered by their `ref`. A viewer reads; commands need an
//! operator. The socket is closed when the token expires or the session is signed out.

use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message as Packet;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::chat::parse;
use crate::auth::Ended;
use crate::chat::{Chat, Id, Message, NewAnswer, NewPrompt, Subscription};
use crate::operations::permit;
use crate::project::{Action, Actor, Principal, ProjectName, Source};
use crate::web::middleware::RequestId;
use crate::web::problem::Problem;
use crate::web::websocket::{Socket, upgrade};
use crate::web::{AppState, same_origin};

/// The address, for problems.
const PATH: &str = "/api/chat/ws";
/// The longest message of a client in bytes.
const MAX_MESSAGE: usize = 1024 * 1024;
/// The most subscriptions of one socket.
const MAX_SUBSCRIPTIONS: usize = 200;
/// The most commands of one socket that run at once.
const MAX_COMMANDS: usize = 32;
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(30);
/// How often a quiet socket is tried.
const PING: Duration = Duration::from_secs(20);
/// How long a client may be silent, its answers to pings included.
const SILENT: Duration = Duration::from_secs(65);

/// `GET /api/chat/ws`
pub(in crate::web) async fn open(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let principal = request.extensions().get::<Principal>().cloned();
    let request_id = request.extensions().get::<RequestId>().cloned();
    let (Some(principal), Some(RequestId(request_id))) = (principal, request_id) else {
        return Err(Problem::internal("a route is outside the layers that know the caller".to_owned()));
    };
    // A foreign page can open a socket here, and its browser would send the cookie.
    if !request.headers().contains_key(AUTHORIZATION)
        && !same_origin::is_from_here(&state.settings.server, request.headers())
    {
        return Err(same_origin::foreign());
    }
    let actor = Actor { principal, source: Source::Chat, request_id };
    permit(&actor, Action::Read)?;
    let ended = state.ended(request.extensions());
    let chat = state.chat.clone();
    upgrade(&state, request, MAX_MESSAGE, move |socket| serve(socket, chat, actor, ended))
}

/// What a client sends.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ClientFrame {
    Subscribe {
        project: String,
        conversation: String,
        #[serde(default)]
        epoch: Option<String>,
        #[serde(default)]
        after: Option<u64>,
    },
    Unsubscribe {
        project: String,
        conversation: String,
    },
    Prompt {
        project: String,
        conversation: String,
        #[serde(flatten)]
        prompt: Map<String, Value>,
    },
    Cancel {
        project: String,
        conversation: String,
        #[serde(alias = "prompt", alias = "id")]
        prompt_id: String,
    },
    Interrupt {
        project: String,
        conversation: String,
    },
    Answer {
        project: String,
        conversation: String,
        #[serde(alias = "request", alias = "id")]
        request_id: String,
        #[serde(flatten)]
        answer: Map<String, Value>,
    },
}

type Key = (ProjectName, Id);

struct Connection {
    socket: Socket,
    chat: Chat,
    actor: Actor,
    reader: Arc<Notify>,
    subscriptions: BTreeMap<Key, Subscription>,
    commands: FuturesUnordered<BoxFuture<'static, Done>>,
    heard: Instant,
}

/// A command that has ended: its `ref`, and what the acknowledgement has beside it.
struct Done {
    reference: Value,
    outcome: Result<Outcome, Problem>,
}

enum Outcome {
    Plain(Value),
    Subscribed(Key, Box<Subscription>),
}

enum End {
    Gone,
    Access(Ended),
    Slow,
    Error,
}

async fn serve(socket: Socket, chat: Chat, actor: Actor, ended: impl Future<Output = Ended> + Send) {
    let _counted = chat.connection();
    let mut connection = Connection {
        socket,
        chat,
        actor,
        reader: Arc::default(),
        subscriptions: BTreeMap::new(),
        commands: FuturesUnordered::new(),
        heard: Instant::now(),
    };
    let ended = pin!(ended);
    let frame = match connection.run(ended).await {
        End::Gone => return,
        End::Slow => CloseFrame { code: CloseCode::Policy, reason: "too slow; come back with the newest seq".into() },
        End::Access(ended) => {
            let reason = match ended {
                Ended::Expired => "the token or the session has expired; sign in again",
                Ended::SignedOut => "the session was signed out; sign in again",
            };
            CloseFrame { code: CloseCode::Policy, reason: reason.into() }
        }
        End::Error => CloseFrame { code: CloseCode::Error, reason: "a conversation cannot be read".into() },
    };
    let _ = timeout(Duration::from_secs(1), connection.socket.close(Some(frame))).await;
}

impl Connection {
    async fn run(&mut self, mut ended: Pin<&mut impl Future<Output = Ended>>) -> End {
        let mut ping = Instant::now() + PING;
        let mut more = false;
        loop {
            let room = self.commands.len() < MAX_COMMANDS;
            let reader = Arc::clone(&self.reader);
            let step = tokio::select! {
                biased;
                why = &mut ended => Err(End::Access(why)),
                Some(done) = self.commands.next(), if !self.commands.is_empty() => self.done(done).await,
                // What a client sends beyond that waits in its socket.
                packet = self.socket.next(), if room => match packet {
                    Some(Ok(Packet::Text(text))) => {
                        self.heard = Instant::now();
                        self.take(&text)
                    }
                    Some(Ok(Packet::Close(_)) | Err(_)) | None => Err(End::Gone),
                    Some(Ok(_)) => {
                        self.heard = Instant::now();
                        Ok(())
                    }
                },
                () = std::future::ready(()), if more => self.pump().await.map(|again| more = again),
                () = reader.notified() => self.pump().await.map(|again| more = again),
                () = sleep_until(ping) => {
                    ping = Instant::now() + PING;
                    if self.heard.elapsed() > SILENT { Err(End::Gone) } else { self.write(Packet::Ping(Vec::new().into())).await }
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Writes what is new; returns whether there is more at once.
    async fn pump(&mut self) -> Result<bool, End> {
        let mut any_more = false;
        let mut frames = VecDeque::new();
        for ((project, conversation), subscription) in &mut self.subscriptions {
            let (messages, more) = subscription.take().await.map_err(|error| {
                tracing::error!(%project, %conversation, %error, "a conversation cannot be read");
                End::Error
            })?;
            any_more |= more;
            frames.extend(messages.into_iter().filter_map(|message| frame(project, conversation, message)));
            // What one subscription has is written before the next one is asked.
            while let Some(frame) = frames.pop_front() {
                write(&mut self.socket, Packet::text(frame)).await?;
            }
        }
        Ok(any_more)
    }

    /// Begins what a client's frame asks for.
    fn take(&mut self, text: &str) -> Result<(), End> {
        let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let reference = value["ref"].clone();
        let command = match serde_json::from_value::<ClientFrame>(value) {
            Ok(frame) => self.command(frame),
            Err(error) => {
                let reason: String = error.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
                let detail = format!(
                    "the frame cannot be read ({reason}); there are subscribe, unsubscribe, prompt, cancel, interrupt and \
                     answer"
                );
                std::future::ready(Err(Problem::field("", detail))).boxed()
            }
        };
        self.commands.push(command.map(|outcome| Done { reference, outcome }).boxed());
        Ok(())
    }

    fn command(&mut self, frame: ClientFrame) -> BoxFuture<'static, Result<Outcome, Problem>> {
        let (chat, actor) = (self.chat.clone(), self.actor.clone());
        match frame {
            ClientFrame::Subscribe { project, conversation, epoch, after } => {
                let (reader, full) = (Arc::clone(&self.reader), self.subscriptions.len() >= MAX_SUBSCRIPTIONS);
                async move {
                    let (project, id) = parse(&project, &conversation)?;
                    if full {
                        return Err(Problem::field("", "this socket has too many subscriptions; open another"));
                    }
                    let made = chat.subscribe(&project, &id, epoch, after.unwrap_or(0), reader, &actor).await?;
                    Ok(Outcome::Subscribed((project, id), Box::new(made)))
                }
                .boxed()
            }
            ClientFrame::Unsubscribe { project, conversation } => {
                let ended = parse(&project, &conversation).map(|key| drop(self.subscriptions.remove(&key)));
                std::future::ready(ended.map(|()| Outcome::Plain(json!({})))).boxed()
            }
            ClientFrame::Prompt { project, conversation, prompt } => async move {
                let (project, id) = parse(&project, &conversation)?;
                let new: NewPrompt = rest(prompt)?;
                let accepted = chat.send(&project, &id, new, &actor).await?;
                Ok(Outcome::Plain(json!(accepted)))
            }
            .boxed(),
            ClientFrame::Cancel { project, conversation, prompt_id } => async move {
                let (project, id) = parse(&project, &conversation)?;
                let prompt = Id::parse(&prompt_id).map_err(|error| Problem::field("promptId", error.to_string()))?;
                Ok(Outcome::Plain(json!(chat.cancel(&project, &id, &prompt, &actor).await?)))
            }
            .boxed(),
            ClientFrame::Interrupt { project, conversation } => async move {
                let (project, id) = parse(&project, &conversation)?;
                Ok(Outcome::Plain(json!(chat.interrupt(&project, &id, &actor).await?)))
            }
            .boxed(),
            ClientFrame::Answer { project, conversation, request_id, answer } => async move {
                let (project, id) = parse(&project, &conversation)?;
                let new: NewAnswer = rest(answer)?;
                Ok(Outcome::Plain(json!(chat.answer(&project, &id, &request_id, &new, &actor).await?)))
            }
            .boxed(),
        }
    }

    /// Answers a command that has ended.
    async fn done(&mut self, done: Done) -> Result<(), End> {
        let Done { reference, outcome } = done;
        let mut frame = match outcome {
            Ok(Outcome::Plain(fields)) => {
                let mut frame = json!({"type": "ack"});
                if let (Some(frame), Value::Object(fields)) = (frame.as_object_mut(), fields) {
                    frame.extend(fields);
                }
                frame
            }
            Ok(Outcome::Subscribed(key, subscription)) => {
                self.subscriptions.insert(key, *subscription);
                self.reader.notify_one();
                json!({"type": "ack"})
            }
            Err(problem) => {
                if problem.status().is_server_error() {
                    tracing::warn!(cause = problem.cause(), "a command of the chat failed");
                }
                let body = problem.body(&self.actor.request_id, PATH);
                json!({"type": "error", "problem": serde_json::from_slice::<Value>(&body).unwrap_or_default()})
            }
        };
        if !reference.is_null() {
            frame["ref"] = reference;
        }
        self.write(Packet::text(frame.to_string())).await
    }

    async fn write(&mut self, packet: Packet) -> Result<(), End> {
        write(&mut self.socket, packet).await
    }
}

async fn write(socket: &mut Socket, packet: Packet) -> Result<(), End> {
    match timeout(WRITE, socket.send(packet)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Slow),
    }
}

/// What a frame has beside its address, as a request of its type.
fn rest<T: serde::de::DeserializeOwned>(mut fields: Map<String, Value>) -> Result<T, Problem> {
    fields.remove("ref");
    serde_json::from_value(Value::Object(fields)).map_err(|error| {
        let reason: String = error.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
        Problem::field("", format!("the frame is not as it should be: {reason}"))
    })
}

/// A message as it goes out.
fn frame(project: &ProjectName, conversation: &Id, message: Message) -> Option<String> {
    #[derive(Serialize)]
    struct EventFrame<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        project: &'a ProjectName,
        conversation: &'a Id,
        epoch: String,
        event: Box<RawValue>,
    }
    let value = match message {
        Message::Event { epoch, event } => {
            return serde_json::to_string(&EventFrame { kind: "event", project, conversation, epoch, event }).ok();
        }
        Message::Reset { epoch } => json!({"type": "reset", "epoch": epoch}),
        Message::Delta { epoch, block, kind, offset, text } => {
            json!({"type": "delta", "epoch": epoch, "block": block, "kind": kind, "offset": offset, "text": text})
        }
        Message::State { state, open_requests, queue, last_seq } => json!({
            "type": "state", "state": state, "openRequests": open_requests, "queue": queue, "lastSeq": last_seq,
        }),
    };
    let mut value = value;
    value["project"] = json!(project);
    value["conversation"] = json!(conversation);
    Some(value.to_string())
}
