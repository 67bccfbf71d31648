//! The chat end to end: the real manager with its embedded cluster, real agents, the real Claude Code, and a scripted model
//! on loopback. What is needed beside is installed by `tests/claude/install.sh`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::agent::claude::model::{self, Model, text, tool};
use crate::control_plane::skipped;
use crate::git_server::GitServer;
use crate::manager::{Manager, git_ok};

/// How long anything may take on a machine under load.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program that is tested; `None`, loudly, where it is not installed.
pub(crate) fn claude() -> Option<PathBuf> {
    let version = std::env::var("CLAUDE_TEST_VERSION").unwrap_or_else(|_| "2.1.332".to_owned());
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let path = cache.join(format!("claude-manager/claude-{version}/claude"));
    if path.is_file() {
        return Some(path);
    }
    skipped(&format!("Claude Code {version} is not installed; run tests/claude/install.sh"));
    None
}

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A manager with the running project `shop`, whose gateway is the model.
pub(crate) struct Scene {
    pub(crate) manager: Manager,
    model: Model,
    _server: GitServer,
}

impl Scene {
    pub(crate) async fn start(program: &std::path::Path) -> Self {
        let (server, model) = (GitServer::start().await, Model::start().await);
        // The same one after a restart: it is in the name of the session's cookie, too.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let manager =
            Manager::start(&[("CLAUDE_BIN", program.to_str().unwrap()), ("WEBHOOK_SECRET", "hush"), ("PORT", &port)]);
        let project = json!({
            "name": "Shop", "shortName": "shop", "gitRepository": server.url("app"), "anthropicApiKey": "sk-test-key",
            "anthropicBaseUrl": model.address(),
        });
        manager.expect("POST", "/api/projects", Some(project), 201).await;
        manager.project_until("shop", |project| project["phase"] == "Running").await;
        Self { manager, model, _server: server }
    }

    /// A text that comes slowly, a tool that has to be permitted, and `Made.`.
    pub(crate) fn script_a_tool(&self, prompt: &str) {
        let long = vec![model::slow(12, 100), tool("Bash", json!({"command": "touch made.txt"}))];
        self.model.script(prompt, vec![long, vec![text("Made.")]]);
    }

    pub(crate) fn script_a_text(&self, prompt: &str, answer: &str) {
        self.model.script(prompt, vec![vec![text(answer)]]);
    }

    /// Kills the manager and starts it again on the same port, so that an open page finds it.
    pub(crate) fn restart(&mut self) {
        self.manager.kill();
        self.manager.run();
    }

    /// Sends a prompt into the conversation that was used last.
    pub(crate) async fn prompt_in_the_newest(&self, text: &str) {
        let list = self.manager.expect("GET", "/api/projects/shop/conversations", None, 200).await;
        let conversation = list["items"][0]["id"].as_str().expect("a conversation").to_owned();
        let body = json!({"id": id(77), "text": text});
        self.manager.expect("POST", &Self::path(&conversation, "/prompts"), Some(body), 202).await;
    }

    async fn create(&self) -> String {
        let made = self.manager.expect("POST", "/api/projects/shop/conversations", Some(json!({})), 201).await;
        made["id"].as_str().unwrap().to_owned()
    }

    fn path(conversation: &str, rest: &str) -> String {
        format!("/api/projects/shop/conversations/{conversation}{rest}")
    }

    async fn events(&self, conversation: &str) -> Value {
        self.manager.expect("GET", &Self::path(conversation, "/events?limit=1000"), None, 200).await
    }

    /// Waits until the events are as wanted.
    async fn until(&self, conversation: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let page = self.events(conversation).await;
            let items = page["items"].as_array().unwrap();
            if wanted(items) {
                return items.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "never as wanted: {page:#}\n{}", self.manager.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn socket(&self) -> Socket {
        let url = self.manager.url("/api/chat/ws").replace("http://", "ws://");
        let mut request = url.into_client_request().unwrap();
        let address = request.uri().authority().unwrap().to_string();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.manager.token()).parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        Socket(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }
}

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// All frames up to the one that is wanted; `None` when the socket ends before.
    async fn try_until(&mut self, wanted: impl Fn(&Value) -> bool) -> Option<Vec<Value>> {
        let mut frames: Vec<Value> = Vec::new();
        loop {
            let next = timeout(PATIENCE, self.0.next()).await.unwrap_or_else(|_| panic!("no frame after {frames:#?}"));
            let frame: Value = match next {
                Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => continue,
            };
            let is_last = wanted(&frame);
            frames.push(frame);
            if is_last {
                return Some(frames);
            }
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.try_until(wanted).await.expect("an open socket")
    }
}

fn seqs(frames: &[Value]) -> Vec<u64> {
    frames
        .iter()
        .filter(|frame| frame["type"] == "event")
        .map(|frame| frame["event"]["seq"].as_u64().unwrap())
        .collect()
}

fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["kind"] == kind).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_streams_asks_is_answered_and_is_still_read_when_the_project_is_stopped() {
    let Some(program) = claude() else { return };
    let scene = Scene::start(&program).await;
    let (manager, model) = (&scene.manager, &scene.model);
    let long = vec![model::slow(12, 30), tool("Bash", json!({"command": "touch made.txt"}))];
    model.script("make", vec![long, vec![text("Made.")]]);
    model.script("wake", vec![vec![text("Awake.")]]);
    let conversation = scene.create().await;
    let place = json!({"project": "shop", "conversation": conversation});
    let frame = |kind: &str, more: Value| {
        let mut frame = place.clone();
        frame["type"] = json!(kind);
        frame["ref"] = json!(kind);
        frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        frame
    };
    let mut socket = scene.socket().await;
    socket.send(frame("subscribe", json!({}))).await;
    socket.until(|frame| frame["ref"] == "subscribe" && frame["type"] == "ack").await;
    assert!(
        manager
            .api("GET", "/api/monitoring/metrics", None)
            .await
            .1
            .as_str()
            .unwrap()
            .contains("active_chat_connections 1")
    );

    // The prompt goes by the socket, and the same id again by REST runs nothing twice.
    socket.send(frame("prompt", json!({"id": id(1), "text": "make"}))).await;
    let mut frames = socket.until(|frame| frame["event"]["kind"] == "request").await;
    let ack = frames.iter().find(|frame| frame["ref"] == "prompt").expect("an answer");
    assert_eq!((&ack["type"], &ack["promptId"]), (&json!("ack"), &json!(id(1))), "{ack}");
    let body = json!({"id": id(1), "text": "make"});
    let again = manager.expect("POST", &Scene::path(&conversation, "/prompts"), Some(body), 202).await;
    assert_eq!(again, json!({"conversationId": conversation, "promptId": id(1)}));
    let body = json!({"id": id(1), "text": "other"});
    manager.expect("POST", &Scene::path(&conversation, "/prompts"), Some(body), 409).await;
    let deltas: Vec<&Value> =
        frames.iter().filter(|frame| frame["type"] == "delta" && frame["kind"] == "text").collect();
    let spoken = frames.iter().find(|frame| frame["event"]["kind"] == "text").expect("a text");
    let mut told = String::new();
    for delta in &deltas {
        assert_eq!((&delta["block"], &delta["offset"]), (&spoken["event"]["block"], &json!(told.chars().count())));
        told.push_str(delta["text"].as_str().unwrap());
    }
    assert!(deltas.len() > 2 && spoken["event"]["text"].as_str().unwrap().starts_with(&told), "{deltas:?}");

    let request = frames.last().unwrap()["event"]["requestId"].clone();
    let waiting = socket.until(|frame| frame["type"] == "state" && frame["state"] == "needsYou").await;
    assert_eq!(waiting.last().unwrap()["openRequests"][0]["requestId"], request);
    frames.extend(waiting);
    socket.send(frame("answer", json!({"requestId": request, "answer": "allow"}))).await;
    frames.extend(socket.until(|frame| frame["event"]["kind"] == "turnEnded").await);
    assert_eq!(frames.last().unwrap()["event"]["outcome"], "done");
    let last = seqs(&frames).len() as u64;
    assert_eq!(seqs(&frames), (1..=last).collect::<Vec<_>>(), "each once and in order");
    socket.send(json!({"type": "hum", "ref": 7})).await;
    let error = socket.until(|frame| frame["ref"] == 7).await;
    assert_eq!(
        (&error.last().unwrap()["type"], &error.last().unwrap()["problem"]["status"]),
        (&json!("error"), &json!(400))
    );
    assert_eq!(model.requests(), 2);

    // Stopped: the copy answers, and a prompt starts the project by a commit.
    let live = scene.events(&conversation).await;
    manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    manager.project_until("shop", |project| project["phase"] == "Stopped").await;
    let copy = scene.events(&conversation).await;
    assert_eq!((&copy["state"], &copy["items"], &copy["epoch"]), (&json!("offline"), &live["items"], &live["epoch"]));
    socket.until(|frame| frame["type"] == "state" && frame["state"] == "offline").await;
    manager.expect("POST", &Scene::path(&conversation, "/interrupt"), None, 409).await;

    let signature = {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hush");
        let body = json!({"prompt": "wake", "conversationId": conversation}).to_string();
        let mac = ring::hmac::sign(&key, body.as_bytes());
        let hex: String = mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        (body, format!("sha256={hex}"))
    };
    let http = crate::http::client();
    let send = |body: String, signature: String| {
        let request = http.post(manager.url("/api/webhooks/trigger")).header("x-hub-signature-256", signature);
        request.body(body).send()
    };
    assert_eq!(send(signature.0.clone() + " ", signature.1.clone()).await.unwrap().status(), 401, "another body");
    let answer = send(signature.0, signature.1).await.unwrap();
    assert_eq!(answer.status(), 202);
    let triggered: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((&triggered["projectId"], &triggered["conversationId"]), (&json!("shop"), &json!(conversation)));
    let starting = socket.until(|frame| frame["type"] == "state" && frame["state"] == "starting").await;
    assert_eq!(starting.last().unwrap()["queue"][0]["promptId"], triggered["promptId"], "{starting:#?}");
    let events = scene.until(&conversation, |events| count(events, "turnEnded") == 2).await;
    assert_eq!(count(&events, "prompt"), 2, "{events:#?}");
    let woken = socket.until(|frame| frame["event"]["kind"] == "turnEnded").await;
    assert_eq!(seqs(&woken).first(), Some(&(last + 1)));
    let log = git_ok(&manager.data().join("state.git"), &["log", "-1", "--format=%B", "main"]);
    assert!(log.contains("shop: start for a prompt") && log.contains("Source: webhook"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_the_manager_loses_no_event_and_no_prompt_that_waits() {
    let Some(program) = claude() else { return };
    let mut scene = Scene::start(&program).await;
    scene.model.script("long", vec![vec![model::slow(60, 100)]]);
    scene.model.script("after", vec![vec![text("After.")]]);
    let conversation = scene.create().await;
    let mut socket = scene.socket().await;
    socket.send(json!({"type": "subscribe", "project": "shop", "conversation": conversation})).await;
    let body = json!({"id": id(1), "text": "long"});
    scene.manager.expect("POST", &Scene::path(&conversation, "/prompts"), Some(body), 202).await;
    let mut frames = socket.until(|frame| frame["type"] == "delta").await;
    let epoch = frames.iter().find(|frame| frame["type"] == "event").unwrap()["epoch"].clone();

    // Killed in the middle of a turn; the turn goes on, and the client comes back with what it has.
    scene.manager.kill();
    assert!(socket.try_until(|_| false).await.is_none());
    scene.manager.run();
    let mut socket = scene.socket().await;
    let after = seqs(&frames).last().copied().unwrap();
    socket
        .send(json!({"type": "subscribe", "project": "shop", "conversation": conversation, "epoch": epoch, "after": after}))
        .await;
    frames.extend(socket.until(|frame| frame["event"]["kind"] == "turnEnded").await);
    let got = seqs(&frames);
    assert_eq!(got, (1..=got.len() as u64).collect::<Vec<_>>(), "{frames:#?}");
    assert!(frames.iter().all(|frame| frame["type"] != "reset"), "{frames:#?}");

    // A prompt for a stopped project survives the manager, and is delivered once.
    scene.manager.project_until("shop", |project| project["phase"] == "Running").await;
    scene.manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    scene.manager.project_until("shop", |project| project["phase"] == "Stopped").await;
    let body = json!({"id": id(2), "text": "after"});
    scene.manager.expect("POST", &Scene::path(&conversation, "/prompts"), Some(body), 202).await;
    scene.manager.kill();
    scene.manager.run();
    let events = scene.until(&conversation, |events| count(events, "turnEnded") == 2).await;
    assert_eq!(count(&events, "prompt"), 2, "{events:#?}");
    assert_eq!(scene.model.requests(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_on_this_machine_is_cloned_where_environments_are_processes_of_it() {
    let manager = Manager::embedded();
    let repository = manager.beside("app");
    std::fs::create_dir(&repository).unwrap();
    git_ok(&repository, &["init", "-q", "-b", "main"]);
    std::fs::write(repository.join("notes"), "mine").unwrap();
    git_ok(&repository, &["add", "notes"]);
    git_ok(&repository, &["commit", "-q", "-m", "Begin"]);
    let project = json!({"name": "Here", "shortName": "here", "gitRepository": repository});
    let made = manager.expect("POST", "/api/projects", Some(project), 201).await;
    assert_eq!(made["gitRepository"], format!("file://{}", repository.display()));
    manager.project_until("here", |project| project["phase"] == "Running").await;
    let clone = manager.data().join("volumes/claude-manager/here-workspace/app/notes");
    assert_eq!(std::fs::read_to_string(clone).unwrap(), "mine");
}
