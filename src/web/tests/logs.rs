//! Logs over the API.

use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test]
async fn a_log_is_plain_text_of_the_agent_unless_somebody_wants_another() {
    let app = TestApp::new().await;
    let reply = app.get("/api/projects/alpha/logs").await;
    assert_eq!((reply.status, reply.text.as_str()), (StatusCode::OK, "one\ntwo\n"));
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    app.get("/api/projects/alpha/logs?lines=7&container=ide&follow=true&previous=true&since=10m").await;
    let asked = app.script.asked_logs.lock().unwrap();
    assert_eq!((asked[0].container.as_str(), asked[0].lines, asked[0].follow), ("agent", 100, false));
    let wished = &asked[1];
    assert_eq!((wished.container.as_str(), wished.lines, wished.follow, wished.previous), ("ide", 7, true, true));
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let app = TestApp::new().await;
    for (query, field) in [
        ("lines=0", "lines"),
        ("lines=many", "lines"),
        ("since=soon", "since"),
        ("follow=perhaps", "follow"),
        ("container=a/b", "container"),
        ("tail=5", "tail"),
    ] {
        let reply = app.get(&format!("/api/projects/alpha/logs?{query}")).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "invalid"), "{query}");
        assert_eq!(reply.json()["errors"][0]["field"], field, "{query}");
    }
    assert!(app.script.asked_logs.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_may_look_may_read_and_nobody_else() {
    let app = TestApp::new().await;
    let path = "/api/projects/alpha/logs";
    assert_eq!(app.send("GET", path, &[("authorization", "Bearer viewer")], "").await.status, StatusCode::OK);
    assert_eq!(app.send("GET", path, &[], "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.get("/api/projects/gamma/logs").await.problem(), "not-found");
}

#[tokio::test]
async fn without_a_log_the_answer_says_why_and_what_to_do() {
    let no_pod = TestApp::with(&[], |script| script.log = || Err(LogError::NoPod)).await;
    let reply = no_pod.get("/api/projects/beta/logs").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::CONFLICT, "no-pod"));
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail, "beta is stopped, and its log went with its pod; start it, then ask again");
    let detail = no_pod.get("/api/projects/alpha/logs").await.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail, "alpha has no pod (yet): a sentence");

    let app = TestApp::with(&[], |script| script.log = || Err(LogError::NotStarted("ContainerCreating".into()))).await;
    assert_eq!(app.get("/api/projects/alpha/logs").await.problem(), "no-pod");
    let app = TestApp::with(&[], |script| script.log = || Err(LogError::NoPrevious)).await;
    assert_eq!(app.get("/api/projects/alpha/logs?previous").await.problem(), "no-previous");
    let app = TestApp::with(&[], |script| {
        script.log = || Err(LogError::NoContainer { wanted: "x".into(), known: vec!["agent".into(), "ide".into()] });
    })
    .await;
    let reply = app.get("/api/projects/alpha/logs?container=x").await;
    assert_eq!(reply.json()["errors"][0]["message"], "must be one of agent, ide");
    let app = TestApp::with(&[], |script| {
        script.log = || Err(LogError::Cluster(crate::cluster::Error::Unreachable("connection refused".into())));
    })
    .await;
    assert_eq!(app.get("/api/projects/alpha/logs").await.status, StatusCode::BAD_GATEWAY);
}

/// Begins to follow; the answer's body is still to be read.
async fn follow(app: &TestApp) -> axum::response::Response {
    let request = Request::builder().uri("/api/projects/alpha/logs?follow").header("host", "localhost");
    let request = request.header("authorization", "Bearer admin").body(Body::empty()).unwrap();
    app.router.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn followers_are_bounded_and_their_places_are_free_when_they_go() {
    let endless = || Ok(Box::pin(futures::stream::pending()) as LogStream);
    let app = TestApp::with(&[], |script| script.log = endless).await;
    let mut followers = Vec::new();
    for _ in 0..64 {
        let response = follow(&app).await;
        assert_eq!(response.status(), StatusCode::OK);
        followers.push(response);
    }
    // Not read to its end: it might have none.
    assert_eq!(follow(&app).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(followers.pop());
    assert_eq!(follow(&app).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_follower_ends_when_the_manager_stops() {
    let app = TestApp::with(&[], |script| {
        script.log = || {
            let lines = futures::stream::iter([Ok("one\n".into())]).chain(futures::stream::pending());
            Ok(Box::pin(lines))
        };
    })
    .await;
    let mut body = follow(&app).await.into_body().into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "one\n");
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, body.next()).await.is_err(), "it goes on");
    app.operations.close_streams();
    assert!(tokio::time::timeout(soon, body.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_follower_ends_with_its_session() {
    let endless = || Ok(Box::pin(futures::stream::pending()) as LogStream);
    let app = TestApp::with(&[], |script| script.log = endless).await;
    let cookie = super::sessions::sign_in(&app, "viewer").await;
    let request = Request::builder().uri("/api/projects/alpha/logs?follow").header("host", "localhost");
    let request = request.header("cookie", &cookie).body(Body::empty()).unwrap();
    let mut body = app.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    assert!(tokio::time::timeout(Duration::from_millis(50), body.next()).await.is_err(), "it goes on");
    app.send("POST", "/sign-out", &[("cookie", &cookie), ("sec-fetch-site", "same-origin")], "").await;
    assert!(tokio::time::timeout(Duration::from_secs(5), body.next()).await.unwrap().is_none());
}

static FOLLOWERS: AtomicUsize = AtomicUsize::new(0);

/// Counts for as long as it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        FOLLOWERS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        FOLLOWERS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Looks until `count` follow.
async fn until_followers_are(count: usize) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while FOLLOWERS.load(Ordering::SeqCst) != count {
        assert!(Instant::now() < deadline, "{} follow, not {count}", FOLLOWERS.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_what_it_followed() {
    let app = TestApp::with(&[], |script| {
        script.log = || {
            let counted = Counted::new();
            let lines = futures::stream::iter([Ok("one\n".into())]).chain(futures::stream::pending());
            Ok(Box::pin(lines.inspect(move |_| {
                let _alive = &counted;
            })))
        };
    })
    .await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, app.router.clone()).into_future());
    let mut connections = Vec::new();
    for _ in 0..3 {
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            "GET /api/projects/alpha/logs?follow HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer admin\r\n\r\n";
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"one\n\r\n") {
            assert!(connection.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
        }
        connections.push(connection);
    }
    until_followers_are(3).await;
    // Nothing is written any more, so only the closed connection can tell.
    drop(connections.pop());
    until_followers_are(2).await;
    drop(connections);
    until_followers_are(0).await;
    server.abort();
}
