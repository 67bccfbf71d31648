//! The chat over HTTP, by socket and as pages; the agent is a script on a loopback address of its own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::pages::check;
use super::*;
use crate::agent::{Address, PORT};

const CONVERSATION: &str = "00000000-0000-4000-8000-00000000000c";
const PROMPT: &str = "00000000-0000-4000-8000-000000000001";

/// What a scripted agent was sent, and how it answers prompts.
#[derive(Clone, Default)]
struct Agent {
    sent: Arc<Mutex<Vec<(String, Value)>>>,
    problem: Arc<Mutex<Option<(u16, &'static str)>>>,
    refusals: Arc<AtomicU8>,
}

fn summary(last_seq: u64) -> Value {
    json!({"id": CONVERSATION, "title": "Shop <b>", "state": "idle", "epoch": "e1", "lastSeq": last_seq, "costUsd": 0.5,
        "createdAt": "2026-11-24T00:00:00Z", "updatedAt": "2026-11-24T00:01:00Z"})
}

fn events() -> Value {
    json!([
        {"seq": 1, "at": "t", "kind": "prompt", "promptId": PROMPT, "text": "Hello <script>", "source": "ui", "actor": "ana"},
        {"seq": 2, "at": "t", "kind": "hologram", "depth": 3},
        {"seq": 3, "at": "t", "kind": "text", "block": "b1", "text": "See:\n```sh\nls & rm\n```\nDone."},
        {"seq": 4, "at": "t", "kind": "request", "requestId": "r1", "requestKind": "permission", "tool": "Bash",
            "input": {"command": "touch x"}, "choices": ["allow", "allowSession", "deny"], "rules": ["Bash(touch *)"]},
    ])
}

impl Agent {
    /// Answers as the agent of `alpha` from now on.
    async fn start(app: &TestApp) -> Self {
        Self::default().serve(app).await
    }

    /// The same with answers to prompts that are set already.
    async fn serve(self, app: &TestApp) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(10);
        let ip: std::net::IpAddr = [127, 0, 77, NEXT.fetch_add(1, Ordering::Relaxed)].into();
        let agent = self;
        let place = "/agent/v1/conversations/{id}";
        let router = Router::new()
            .route("/agent/v1/status", get(|| async { StatusCode::NOT_FOUND }))
            .route(
                "/agent/v1/conversations",
                get(|| async { Json(json!({"items": [summary(4)]})) })
                    .post(|| async { (StatusCode::CREATED, Json(summary(0))) }),
            )
            .route(
                place,
                get(|| async {
                    let mut detail = summary(4);
                    detail["state"] = json!("needsYou");
                    detail["openRequests"] =
                        json!([{"requestId": "r1", "requestKind": "permission", "tool": "Bash", "seq": 4, "at": "t"}]);
                    Json(detail)
                }),
            )
            .route(
                &format!("{place}/events"),
                get(|query: axum::extract::Query<BTreeMap<String, String>>| async move {
                    let after: u64 = query["after"].parse().unwrap();
                    let items: Vec<Value> = events()
                        .as_array()
                        .unwrap()
                        .iter()
                        .filter(|event| event["seq"].as_u64() > Some(after))
                        .cloned()
                        .collect();
                    Json(json!({"epoch": "e1", "state": "idle", "lastSeq": 4, "items": items}))
                }),
            )
            .route(&format!("{place}/prompts"), post(Self::prompt))
            .route(&format!("{place}/requests/{{request}}"), post(Self::answer))
            .layer(axum::extract::DefaultBodyLimit::max(32 * 1024 * 1024))
            .with_state(agent.clone());
        let listener = TcpListener::bind((ip, PORT)).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let alpha =
            Address { project: name("alpha"), namespace: "team".into(), pod: "alpha-env-0".into(), ip: Some(ip) };
        app.script.environments.lock().unwrap().insert(name("alpha"), alpha);
        agent
    }

    async fn prompt(State(agent): State<Self>, Json(body): Json<Value>) -> Response {
        let problem = *agent.problem.lock().unwrap();
        if let Some((status, word)) = problem {
            agent.refusals.fetch_add(1, Ordering::Relaxed);
            let body = json!({"type": format!("tag:x,2026:problem/{word}"), "title": "t", "status": status,
                "detail": "give an API key"});
            return (StatusCode::from_u16(status).unwrap(), Json(body)).into_response();
        }
        let accepted = json!({"conversationId": CONVERSATION, "promptId": body["id"], "epoch": "e1", "seq": 5});
        agent.sent.lock().unwrap().push(("prompt".to_owned(), body));
        (StatusCode::ACCEPTED, Json(accepted)).into_response()
    }

    async fn answer(State(agent): State<Self>, Json(body): Json<Value>) -> Response {
        let accepted = json!({"requestId": "r1", "answer": body["answer"]});
        agent.sent.lock().unwrap().push(("answer".to_owned(), body));
        Json(accepted).into_response()
    }
}

fn path(project: &str, rest: &str) -> String {
    format!("/api/projects/{project}/conversations/{CONVERSATION}{rest}")
}

#[tokio::test]
async fn a_prompt_for_a_stopped_project_waits_once_and_starts_it() {
    let app = TestApp::with(&[], |script| {
        let snapshot = script.snapshot.get_mut().unwrap();
        let mut beta = (*snapshot.projects[&name("beta")]).clone();
        beta.spec.as_mut().unwrap().replicas = 0;
        let mut projects = snapshot.projects.clone();
        projects.insert(name("beta"), Arc::new(beta));
        *snapshot = Arc::new(Snapshot { projects, ..super::snapshot() });
    })
    .await;
    let new = json!({"id": CONVERSATION, "title": "Later"});
    let made = app.json("POST", "/api/projects/beta/conversations", &[], &new).await;
    assert_eq!((made.status, &made.json()["state"]), (StatusCode::CREATED, &json!("offline")));

    let prompt = json!({"id": PROMPT, "text": "wake up"});
    let first = app.json("POST", &path("beta", "/prompts"), &[], &prompt).await;
    let again = app.json("POST", &path("beta", "/prompts"), &[], &prompt).await;
    let other = app.json("POST", &path("beta", "/prompts"), &[], &json!({"id": PROMPT, "text": "other"})).await;

    assert_eq!((first.status, first.json()), (StatusCode::ACCEPTED, again.json()));
    assert_eq!(first.json(), json!({"conversationId": CONVERSATION, "promptId": PROMPT}));
    assert_eq!((other.status, other.problem().as_str()), (StatusCode::CONFLICT, "prompt-conflict"));
    let submitted = app.script.submitted.lock().unwrap().clone();
    // The script's snapshot stays stopped, so the outbox may ask again; a second wake of a running project commits nothing.
    let is_wake = |intent: &Intent| matches!(intent, Intent::Wake(project) if project.as_str() == "beta");
    assert!(!submitted.is_empty() && submitted.iter().all(|(intent, ..)| is_wake(intent)), "{submitted:?}");
    let detail = app.get(&path("beta", "")).await.json();
    assert_eq!((&detail["state"], &detail["queue"][0]["promptId"]), (&json!("starting"), &json!(PROMPT)));
    let page = app.get(&path("beta", "/events")).await.json();
    assert_eq!(page, json!({"epoch": "", "state": "starting", "lastSeq": 0, "items": []}));
    let list = app.get("/api/projects/beta/conversations").await.json();
    assert_eq!((&list["items"][0]["title"], &list["items"][0]["state"]), (&json!("Later"), &json!("starting")));

    let taken = app
        .send("DELETE", &path("beta", &format!("/prompts/{PROMPT}")), &[("authorization", "Bearer operator")], "")
        .await;
    assert_eq!(taken.json(), json!({"promptId": PROMPT, "cancelled": true}));
    assert_eq!(app.get(&path("beta", "")).await.json()["state"], "offline");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_viewers_only_read() {
    let app = TestApp::new().await;
    let agent = Agent::start(&app).await;
    let prompt = json!({"id": PROMPT, "text": "x"});
    for (path, body, status, word) in [
        (path("gamma", "/prompts"), prompt.clone(), 404, "not-found"),
        ("/api/projects/alpha/conversations/x/prompts".to_owned(), prompt.clone(), 404, "not-found"),
        (path("alpha", "/prompts"), json!({"id": "x", "text": "x"}), 400, "invalid"),
        (path("alpha", "/prompts"), json!({"id": PROMPT, "text": " "}), 400, "invalid"),
        (path("alpha", "/prompts"), json!({"id": PROMPT, "text": "x", "txt": 1}), 400, "invalid"),
        (path("alpha", "/requests/r1"), json!({"answer": "perhaps"}), 400, "invalid"),
        (path("alpha", "/requests/%2e%2e"), json!({"answer": "allow"}), 404, "not-found"),
        (path("beta", "/requests/r1"), json!({"answer": "allow"}), 409, "offline"),
    ] {
        let reply = app.json("POST", &path, &[], &body).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (status, word), "{path} {body}: {}", reply.text);
    }
    let viewer = [("authorization", "Bearer viewer"), ("content-type", "application/json")];
    let refused = app.send("POST", &path("alpha", "/prompts"), &viewer, &prompt.to_string()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(app.send("GET", &path("alpha", "/events?after=2"), &viewer[..1], "").await.json()["items"][0]["seq"], 3);
    assert!(agent.sent.lock().unwrap().is_empty());

    *agent.problem.lock().unwrap() = Some((503, "claude-credentials-missing"));
    let reply = app.json("POST", &path("alpha", "/prompts"), &[], &prompt).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (503, "claude-credentials-missing"));
    assert_eq!(reply.json()["detail"], "give an API key");
    *agent.problem.lock().unwrap() = None;
    assert_eq!(app.json("POST", &path("alpha", "/prompts"), &[], &prompt).await.status, StatusCode::ACCEPTED);
    assert_eq!(agent.sent.lock().unwrap()[0].1["source"], "api");
    assert!(app.metrics.render().contains("chat_messages_total{kind=\"prompt\",source=\"api\"} 1"));
}

#[tokio::test]
async fn a_webhook_comes_with_a_token_or_a_signature() {
    let app = TestApp::with(&[("WEBHOOK_SECRET", "hush")], |_| {}).await;
    let agent = Agent::start(&app).await;
    let body = json!({"projectId": "alpha", "conversationId": CONVERSATION, "prompt": "go"}).to_string();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"hush");
    let hex: String =
        ring::hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let good = format!("sha256={hex}");
    for (headers, status) in [
        (vec![("x-hub-signature", good.as_str())], 202),
        (vec![("x-hub-signature-256", good.as_str())], 202),
        (vec![("authorization", "Bearer operator")], 202),
        (vec![("authorization", "Bearer viewer")], 403),
        (vec![("authorization", "Bearer wrong")], 401),
        (vec![("x-hub-signature-256", "sha256=00")], 401),
        (vec![("x-hub-signature-256", hex.as_str())], 401),
        (vec![], 401),
    ] {
        let reply = app.send("POST", "/api/webhooks/trigger", &headers, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{headers:?}: {}", reply.text);
    }
    assert_eq!(agent.sent.lock().unwrap().len(), 3);
    assert_eq!(agent.sent.lock().unwrap()[0].1["source"], "webhook");
    let reply = app.json("POST", "/api/webhooks/trigger", &[], &json!({"prompt": "go"})).await;
    assert_eq!((reply.status.as_u16(), &reply.json()["choices"]), (400, &json!(["alpha", "beta"])), "{}", reply.text);
    // Without the secret nothing is open.
    let closed = TestApp::new().await;
    let reply = closed.send("POST", "/api/webhooks/trigger", &[("x-hub-signature-256", good.as_str())], &body).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

/// A socket of the app, served on loopback.
async fn socket(
    address: std::net::SocketAddr,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Error> {
    let mut request = format!("ws://localhost:{}/api/chat/ws", address.port()).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}

async fn answer(socket: &mut WebSocketStream<TcpStream>, frame: Value) -> Value {
    socket.send(Message::text(frame.to_string())).await.unwrap();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("a frame");
        if let Message::Text(text) = next.unwrap().unwrap() {
            let got: Value = serde_json::from_str(&text).unwrap();
            if got["ref"] == frame["ref"] {
                return got;
            }
        }
    }
}

#[tokio::test]
async fn a_socket_answers_each_frame_by_its_ref_and_foreign_pages_get_none() {
    let app = TestApp::new().await;
    let agent = Agent::start(&app).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = app.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let cookie = super::sessions::sign_in(&app, "admin").await;
    for headers in [
        vec![],
        vec![("authorization", "Bearer wrong")],
        vec![("cookie", cookie.as_str())],
        vec![("cookie", cookie.as_str()), ("origin", "https://evil.example")],
    ] {
        let refused = socket(address, &headers).await;
        assert!(matches!(refused, Err(Error::Http(_))), "{headers:?}");
    }
    let here = format!("http://localhost:{}", address.port());
    assert!(socket(address, &[("cookie", cookie.as_str()), ("origin", &here)]).await.is_ok());

    let mut viewer = socket(address, &[("authorization", "Bearer viewer")]).await.unwrap();
    let place = |kind: &str, more: Value| {
        let mut frame = json!({"type": kind, "ref": kind, "project": "alpha", "conversation": CONVERSATION});
        frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        frame
    };
    let subscribed = answer(&mut viewer, place("subscribe", json!({"epoch": "e1", "after": 2}))).await;
    assert_eq!(subscribed, json!({"type": "ack", "ref": "subscribe"}));
    assert!(app.metrics.render().contains("active_chat_connections 1"));
    for (frame, status) in [
        (place("prompt", json!({"id": PROMPT, "text": "x"})), 403),
        (place("answer", json!({"requestId": "r1", "answer": "allow"})), 403),
        (place("interrupt", json!({})), 403),
        (json!({"type": "subscribe", "ref": 1, "project": "gamma", "conversation": CONVERSATION}), 404),
        (json!({"type": "subscribe", "ref": 2, "project": "beta", "conversation": CONVERSATION}), 404),
        (json!({"type": "dance", "ref": {"a": 1}}), 400),
        (json!({"type": "subscribe", "ref": "x"}), 400),
    ] {
        let error = answer(&mut viewer, frame.clone()).await;
        assert_eq!(
            (&error["type"], &error["problem"]["status"]),
            (&json!("error"), &json!(status)),
            "{frame}: {error}"
        );
    }
    let ended = answer(&mut viewer, place("unsubscribe", json!({}))).await;
    assert_eq!(ended["type"], "ack");
    let mut operator = socket(address, &[("authorization", "Bearer operator")]).await.unwrap();
    let accepted = answer(&mut operator, place("prompt", json!({"id": PROMPT, "text": "x"}))).await;
    assert_eq!((&accepted["type"], &accepted["promptId"]), (&json!("ack"), &json!(PROMPT)), "{accepted}");
    let accepted =
        answer(&mut operator, place("answer", json!({"requestId": "r1", "answer": "deny", "message": "no"}))).await;
    assert_eq!((&accepted["type"], &accepted["answer"]), (&json!("ack"), &json!("deny")), "{accepted}");
    assert_eq!(agent.sent.lock().unwrap()[1].1, json!({"answer": "deny", "message": "no"}));
}

/// The code and the reason of the frame that closes a socket.
async fn closed(socket: &mut WebSocketStream<TcpStream>) -> (u16, String) {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("an end");
        if let Some(Ok(Message::Close(frame))) = next {
            let frame = frame.expect("a reason");
            return (frame.code.into(), frame.reason.to_string());
        }
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_token_and_with_its_session() {
    let app = TestApp::new().await;
    let _agent = Agent::start(&app).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = app.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let here = format!("http://localhost:{}", address.port());
    let (mine, other) =
        (super::sessions::sign_in(&app, "admin").await, super::sessions::sign_in(&app, "operator").await);
    let mut first = socket(address, &[("cookie", mine.as_str()), ("origin", &here)]).await.unwrap();
    let mut second = socket(address, &[("cookie", other.as_str()), ("origin", &here)]).await.unwrap();
    let token = format!("Bearer {}", app.token(Role::Viewer, 2));
    let mut short = socket(address, &[("authorization", &token)]).await.unwrap();
    let subscribe = json!({"type": "subscribe", "ref": 1, "project": "alpha", "conversation": CONVERSATION});
    for open in [&mut first, &mut second, &mut short] {
        assert_eq!(answer(open, subscribe.clone()).await["type"], "ack");
    }

    app.send("POST", "/sign-out", &[("cookie", &mine), ("sec-fetch-site", "same-origin")], "").await;

    let (code, reason) = closed(&mut first).await;
    assert_eq!(code, 1008);
    assert!(reason.contains("signed out"), "{reason}");
    let (code, reason) = closed(&mut short).await;
    assert_eq!(code, 1008);
    assert!(reason.contains("expired"), "{reason}");
    let still =
        answer(&mut second, json!({"type": "unsubscribe", "ref": 2, "project": "alpha", "conversation": CONVERSATION}));
    assert_eq!(still.await["type"], "ack", "another session goes on");
}

#[tokio::test]
async fn a_large_attachment_fits_into_a_prompt_and_into_nothing_else() {
    let app = TestApp::new().await;
    let agent = Agent::start(&app).await;
    let data = "A".repeat(3 * 1024 * 1024);
    let attachments = json!([{"name": "a.png", "mediaType": "image/png", "data": data}]);
    let prompt = json!({"id": PROMPT, "text": "x", "attachments": attachments});
    let reply = app.json("POST", &path("alpha", "/prompts"), &[], &prompt).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text);
    assert_eq!(agent.sent.lock().unwrap().len(), 1);
    let other = app.json("POST", &path("alpha", "/requests/r1"), &[], &prompt).await;
    assert_eq!(other.status, StatusCode::PAYLOAD_TOO_LARGE);
    let huge = json!({"id": PROMPT, "text": "x".repeat(17 * 1024 * 1024)});
    let reply = app.json("POST", &path("alpha", "/prompts"), &[], &huge).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(reply.json()["detail"].as_str().unwrap().contains("16777216"), "{}", reply.text);
}

#[tokio::test]
async fn the_page_shows_the_history_and_its_forms_answer() {
    let app = TestApp::new().await;
    let agent = Agent::start(&app).await;
    let cookie = super::sessions::sign_in(&app, "admin").await;
    let browser = [("accept", "text/html"), ("cookie", cookie.as_str())];
    let here = format!("/projects/alpha/chat/{CONVERSATION}");

    let page = app.send("GET", &here, &browser, "").await;
    check(&here, &page.text);
    for shown in [
        "Hello &lt;script&gt;",
        "ls &amp; rm",
        "Shop &lt;b&gt;",
        "touch x",
        "Allow once",
        "Deny",
        "Bash(touch *)",
        "class=\"ask-strip\"",
    ] {
        assert!(page.text.contains(shown), "{shown} is missing in {}", page.text);
    }
    assert!(page.text.contains("data-last=\"4\"") && !page.text.contains("<script>") && !page.text.contains("```"));
    assert!(
        page.text.contains("<div class=\"code\"><header>sh</header><pre tabindex=\"0\">"),
        "Markdown: {}",
        page.text
    );
    let fragment = app.send("GET", &format!("/fragments{here}?after=2"), &browser, "").await;
    let block = |text: &str| text.split("data-seq=\"3\"").nth(1).unwrap().split("data-seq").next().unwrap().to_owned();
    assert_eq!(block(&fragment.text), block(&page.text), "a block that grew is the block that is loaded");
    assert!(fragment.text.contains("data-seq=\"3\"") && !fragment.text.contains("data-seq=\"1\""), "{}", fragment.text);
    let dashboard = app.send("GET", "/", &browser, "").await.text;
    check("/", &dashboard);
    for path in ["/chat", "/projects/alpha/chat", "/projects/beta/chat"] {
        check(path, &app.send("GET", path, &browser, "").await.text);
    }

    let form = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let fields = "q0=Which%3F&a0=Blue&a0=Red&q1=Also%3F&a1=A&o1=mine&answer=allow&message=";
    let reply = app.send("POST", &format!("{here}/requests/r1"), &form, fields).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
    let reply = app.send("POST", &here, &form, &format!("id={PROMPT}&text=More%0D%0Atext")).await;
    assert_eq!(reply.header("location"), format!("{here}#composer"));
    let sent = agent.sent.lock().unwrap().clone();
    assert_eq!(sent[0].1, json!({"answer": "allow", "answers": {"Which?": ["Blue", "Red"], "Also?": "mine"}}));
    assert_eq!((&sent[1].1["text"], &sent[1].1["source"]), (&json!("More\ntext"), &json!("ui")));
    let reply = app.send("POST", "/projects/beta/chat", &form, "text=Begin").await;
    assert!(reply.header("location").starts_with("/projects/beta/chat/"), "{}", reply.text);
    let waiting = app.send("GET", reply.header("location"), &browser, "").await.text;
    assert!(waiting.contains("Starting") && waiting.contains("Take back"), "{waiting}");
}

#[tokio::test]
async fn a_prompt_that_the_agent_refuses_is_kept_with_the_reason_until_it_is_taken_back() {
    let app = TestApp::new().await;
    let cookie = super::sessions::sign_in(&app, "admin").await;
    let browser = [("accept", "text/html"), ("cookie", cookie.as_str())];
    let here = format!("/projects/alpha/chat/{CONVERSATION}");
    app.json("POST", "/api/projects/alpha/conversations", &[], &json!({"id": CONVERSATION})).await;
    let prompt = json!({"id": PROMPT, "text": "Do <i>it</i>"});
    assert_eq!(app.json("POST", &path("alpha", "/prompts"), &[], &prompt).await.status, StatusCode::ACCEPTED);
    let waiting = app.send("GET", &here, &browser, "").await.text;
    assert!(waiting.contains("waits for the environment") && waiting.contains("Kept by the manager"), "{waiting}");

    let agent = Agent::default();
    *agent.problem.lock().unwrap() = Some((422, "invalid"));
    let agent = agent.serve(&app).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let page = loop {
        let page = app.send("GET", &here, &browser, "").await.text;
        if page.contains("not delivered") {
            break page;
        }
        assert!(Instant::now() < deadline, "{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    check(&here, &page);
    assert!(
        page.contains("Refused: ") && page.contains("give an API key") && page.contains("Do &lt;i&gt;it"),
        "{page}"
    );

    // It is not tried again, though the outbox would by now.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(agent.refusals.load(Ordering::Relaxed), 1);

    // The next one is not held up by it.
    *agent.problem.lock().unwrap() = None;
    let second = json!({"id": "00000000-0000-4000-8000-000000000002", "text": "more"});
    assert_eq!(app.json("POST", &path("alpha", "/prompts"), &[], &second).await.status, StatusCode::ACCEPTED);
    assert_eq!(agent.sent.lock().unwrap().len(), 1);
    let operator = [("authorization", "Bearer operator")];
    app.send("DELETE", &path("alpha", &format!("/prompts/{PROMPT}")), &operator, "").await;
    assert!(!app.send("GET", &here, &browser, "").await.text.contains("not delivered"));
}
