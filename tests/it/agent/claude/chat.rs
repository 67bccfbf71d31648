//! A client of the agent's conversations.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use claude_manager::project::ProjectName;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::model::Model;
use crate::agent::environment::Environment;

/// How long anything may take on a machine under load.
const PATIENCE: Duration = Duration::from_secs(90);

/// An environment with Claude Code, and a client of it.
pub(super) struct Chat {
    pub(super) environment: Environment,
    program: PathBuf,
    variables: Vec<(String, String)>,
    http: reqwest::Client,
}

/// An id that is the same each time.
pub(super) fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// What happened, in one word each.
pub(super) fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().unwrap()).collect()
}

pub(super) fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["kind"] == kind).count()
}

impl Chat {
    /// Starts an environment whose gateway is the model.
    pub(super) async fn start(program: &Path, model: &Model) -> Self {
        let mut chat = Self::new(program);
        chat.environment.secret("anthropic-api-key", "sk-test-key");
        chat.environment.secret("anthropic-base-url", model.address());
        chat.restart();
        chat.environment.until(|status| status["ready"] == true && status["claude"]["version"].is_string()).await;
        chat
    }

    /// An environment that is not started, without credentials.
    pub(super) fn new(program: &Path) -> Self {
        let environment = Environment::new();
        let http = crate::http::client();
        Self { environment, program: program.to_owned(), variables: Vec::new(), http }
    }

    pub(super) fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the agent, again or for the first time.
    pub(super) fn restart(&mut self) {
        let mut variables = vec![("CLAUDE_BIN", self.program.to_str().unwrap())];
        variables.extend(self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.environment.start(&variables);
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.environment.root().join("workspace")
    }

    fn token(&self) -> String {
        self.environment.signer().token(&ProjectName::parse("checkout").unwrap(), "user:ada").unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/agent/v1/conversations{path}", self.environment.address())
    }

    async fn sent(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.bearer_auth(self.token()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        self.sent(self.http.get(self.url(path))).await
    }

    pub(super) async fn post(&self, conversation: &str, path: &str, body: Value) -> (u16, Value) {
        self.sent(self.http.post(self.url(&format!("/{conversation}{path}"))).json(&body)).await
    }

    /// Makes a conversation; its id.
    pub(super) async fn create(&self, body: Value) -> String {
        let (status, made) = self.sent(self.http.post(self.url("")).json(&body)).await;
        assert_eq!(status, 201, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn try_create(&self, body: Value) -> (u16, Value) {
        self.sent(self.http.post(self.url("")).json(&body)).await
    }

    pub(super) async fn prompt(&self, conversation: &str, id: &str, text: &str) -> (u16, Value) {
        self.post(conversation, "/prompts", json!({"id": id, "text": text})).await
    }

    pub(super) async fn delete(&self, conversation: &str, prompt: &str) -> (u16, Value) {
        self.sent(self.http.delete(self.url(&format!("/{conversation}/prompts/{prompt}")))).await
    }

    pub(super) async fn answer(&self, conversation: &str, request: &Value, body: Value) -> (u16, Value) {
        let id = request["requestId"].as_str().unwrap();
        self.post(conversation, &format!("/requests/{id}"), body).await
    }

    pub(super) async fn events(&self, conversation: &str) -> Vec<Value> {
        let (status, page) = self.get(&format!("/{conversation}/events?limit=1000")).await;
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().unwrap().clone()
    }

    /// Waits until the events are as wanted.
    pub(super) async fn until(&self, conversation: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let start = Instant::now();
        loop {
            let events = self.events(conversation).await;
            if wanted(&events) {
                return events;
            }
            assert!(start.elapsed() < PATIENCE, "never as wanted: {events:#?}\n{}", self.environment.log());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Waits for a request that is open.
    pub(super) async fn request(&self, conversation: &str) -> Value {
        let start = Instant::now();
        loop {
            let detail = self.get(&format!("/{conversation}")).await.1;
            if let Some(open) = detail["openRequests"].get(0) {
                let events = self.events(conversation).await;
                return events.into_iter().find(|event| event["requestId"] == open["requestId"]).unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "no request: {detail:#}\n{}", self.environment.log());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    pub(super) async fn socket(&self) -> Socket {
        let address = self.environment.address();
        let mut request = format!("ws://{address}/agent/v1/ws").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token()).parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        Socket(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }
}

/// A WebSocket of frames.
pub(super) struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    pub(super) async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("a frame").expect("an open socket").unwrap();
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// All frames up to the one that is wanted.
    pub(super) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next().await;
            let is_last = wanted(&frame);
            frames.push(frame);
            if is_last {
                return frames;
            }
        }
    }
}
