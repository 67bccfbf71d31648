//! A scripted Messages API on loopback: the newest user text that names a script says which, and the number of answers
//! after it which step.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{head, post};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// One block of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    Text {
        words: Vec<String>,
        pause: Duration,
    },
    Thinking(String),
    Tool {
        name: String,
        input: Value,
    },
    /// Writes the plan into the file that the request names.
    Plan(String),
}

/// A text, word by word.
pub(crate) fn text(text: &str) -> Block {
    Block::Text { words: text.split_inclusive(' ').map(str::to_owned).collect(), pause: Duration::from_millis(2) }
}

/// A text of `count` words with a pause before each.
pub(crate) fn slow(count: usize, pause: u64) -> Block {
    Block::Text { words: (0..count).map(|n| format!("word{n} ")).collect(), pause: Duration::from_millis(pause) }
}

/// A thought.
pub(crate) fn thinking(text: &str) -> Block {
    Block::Thinking(text.to_owned())
}

/// The use of a tool.
pub(crate) fn tool(name: &str, input: Value) -> Block {
    Block::Tool { name: name.to_owned(), input }
}

/// Writes a plan into its file.
pub(crate) fn plan(text: &str) -> Block {
    Block::Plan(text.to_owned())
}

/// Plans are shown from the file that Claude Code names for them.
fn plan_file(body: &Value) -> String {
    let text = body.to_string();
    let mut paths = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c)));
    paths.rfind(|path| path.contains("/plans/") && path.ends_with(".md")).expect("a plan file").to_owned()
}

type Steps = Vec<Vec<Block>>;

#[derive(Default)]
struct Shared {
    scripts: BTreeMap<String, Steps>,
    requests: Vec<(HeaderMap, Value)>,
    failure: Option<u16>,
    words: usize,
}

/// The running server.
#[derive(Clone)]
pub(crate) struct Model {
    address: String,
    shared: Arc<Mutex<Shared>>,
}

impl Model {
    pub(crate) async fn start() -> Self {
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/", head(|| async {}))
            .route("/v1/messages", post(messages))
            .route("/v1/messages/count_tokens", post(|| async { axum::Json(json!({"input_tokens": 7})) }))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What to answer to a prompt with the text `name`: one list of blocks for each request.
    pub(crate) fn script(&self, name: &str, steps: Steps) {
        self.shared.lock().unwrap().scripts.insert(name.to_owned(), steps);
    }

    /// Answers every request with an error from now on.
    pub(crate) fn fail(&self, status: u16) {
        self.shared.lock().unwrap().failure = Some(status);
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.shared.lock().unwrap().requests.len()
    }

    /// The newest request's body.
    pub(crate) fn last(&self) -> Value {
        self.shared.lock().unwrap().requests.last().expect("a request").1.clone()
    }

    /// A header of the newest request.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let shared = self.shared.lock().unwrap();
        Some(shared.requests.last()?.0.get(name)?.to_str().ok()?.to_owned())
    }

    /// Waits until `count` words of slow texts were sent.
    pub(crate) async fn until_streaming(&self, count: usize) {
        self.shared.lock().unwrap().words = 0;
        let start = Instant::now();
        while self.shared.lock().unwrap().words < count {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing streams");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn messages(State(shared): State<Arc<Mutex<Shared>>>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let (blocks, number) = {
        let mut locked = shared.lock().unwrap();
        locked.requests.push((headers, body.clone()));
        if let Some(status) = locked.failure {
            let error = json!({"type": "error", "error": {"type": "authentication_error", "message": "scripted"}});
            return (StatusCode::from_u16(status).unwrap(), axum::Json(error)).into_response();
        }
        (step(&locked.scripts, &body), locked.requests.len())
    };
    let write = |text: String| tool("Write", json!({"file_path": plan_file(&body), "content": text}));
    let blocks = blocks.into_iter().map(|block| match block {
        Block::Plan(text) => write(text),
        other => other,
    });
    let blocks: Vec<Block> = blocks.collect();
    let (sender, receiver) = mpsc::channel::<String>(16);
    let model = body["model"].clone();
    tokio::spawn(async move { send(sender, blocks, number, model, shared).await });
    let chunks = futures::stream::unfold(receiver, |mut receiver| async {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Bytes::from(chunk)), receiver))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(chunks)).into_response()
}

/// The blocks to answer a request with.
fn step(scripts: &BTreeMap<String, Steps>, body: &Value) -> Vec<Block> {
    let messages = body["messages"].as_array().unwrap();
    let named = |message: &Value| -> Option<Steps> {
        let texts: Vec<&str> = match &message["content"] {
            Value::String(text) => vec![text],
            Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect(),
            _ => vec![],
        };
        texts.iter().rev().find_map(|text| scripts.get(text.trim()).cloned())
    };
    for (index, message) in messages.iter().enumerate().rev() {
        if message["role"] == "user"
            && let Some(steps) = named(message)
        {
            let answered = messages[index..].iter().filter(|message| message["role"] == "assistant").count();
            return steps.get(answered).cloned().unwrap_or_else(|| vec![text("Done.")]);
        }
    }
    vec![text("I have no script for this.")]
}

async fn send(
    sender: mpsc::Sender<String>,
    blocks: Vec<Block>,
    number: usize,
    model: Value,
    shared: Arc<Mutex<Shared>>,
) {
    let event = |kind: &str, mut fields: Value| {
        fields["type"] = json!(kind);
        format!("event: {kind}\ndata: {fields}\n\n")
    };
    let usage = |output: usize| {
        json!({"input_tokens": 100, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 50,
        "output_tokens": output})
    };
    let start = json!({"message": {"id": format!("msg_{number:04}"), "type": "message", "role": "assistant", "model": model,
        "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(1)}});
    let mut parts: Vec<(Duration, String)> = vec![(Duration::ZERO, event("message_start", start))];
    let mut stop = "end_turn";
    for (index, block) in blocks.iter().enumerate() {
        let mut part = |pause, kind, fields| parts.push((pause, event(kind, fields)));
        match block {
            Block::Text { words, pause } => {
                let empty = json!({"index": index, "content_block": {"type": "text", "text": ""}});
                part(Duration::ZERO, "content_block_start", empty);
                for word in words {
                    let delta = json!({"index": index, "delta": {"type": "text_delta", "text": word}});
                    part(*pause, "content_block_delta", delta);
                }
            }
            Block::Thinking(text) => {
                let empty =
                    json!({"index": index, "content_block": {"type": "thinking", "thinking": "", "signature": ""}});
                part(Duration::ZERO, "content_block_start", empty);
                for delta in [
                    json!({"type": "thinking_delta", "thinking": text}),
                    json!({"type": "signature_delta", "signature": "c2lnbmVk"}),
                ] {
                    part(Duration::ZERO, "content_block_delta", json!({"index": index, "delta": delta}));
                }
            }
            Block::Plan(_) => unreachable!("it became the use of a tool"),
            Block::Tool { name, input } => {
                stop = "tool_use";
                let id = format!("toolu_{number:04}_{index}");
                let empty = json!({"index": index,
                    "content_block": {"type": "tool_use", "id": id, "name": name, "input": {}}});
                part(Duration::ZERO, "content_block_start", empty);
                let delta = json!({"type": "input_json_delta", "partial_json": input.to_string()});
                part(Duration::ZERO, "content_block_delta", json!({"index": index, "delta": delta}));
            }
        }
        part(Duration::ZERO, "content_block_stop", json!({"index": index}));
    }
    let end = json!({"delta": {"stop_reason": stop, "stop_sequence": null}, "usage": usage(20)});
    parts.push((Duration::ZERO, event("message_delta", end)));
    parts.push((Duration::ZERO, event("message_stop", json!({}))));
    for (pause, part) in parts {
        tokio::time::sleep(pause).await;
        if pause > Duration::from_millis(10) {
            shared.lock().unwrap().words += 1;
        }
        if sender.send(part).await.is_err() {
            return;
        }
    }
}
