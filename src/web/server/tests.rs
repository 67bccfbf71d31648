//! Connections over real sockets, with short times.

use std::net::SocketAddr;

use axum::body::Body;
use axum::routing::get;
use futures::StreamExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Running {
    address: SocketAddr,
    metrics: Metrics,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<()>,
}

fn short(connections: usize) -> Limits {
    let (head, idle) = (Duration::from_millis(1500), Duration::from_secs(4));
    Limits { head, idle, park: Duration::ZERO, stall: Duration::from_secs(2), reserve: 2, connections }
}

async fn start(limits: Limits) -> Running {
    let big = || async {
        let part = bytes(1024 * 1024);
        Body::from_stream(futures::stream::repeat(part).map(Ok::<_, std::io::Error>))
    };
    let router = Router::new()
        .route("/", get(|| async { "here" }).post(|body: String| async move { body }))
        .route("/livez", get(|| async { "alive" }))
        .route(
            "/slow",
            get(|| async {
                sleep(Duration::from_secs(3)).await;
                "slow"
            }),
        )
        .route("/endless", get(big));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Metrics::new().unwrap();
    let (stop, stopped) = oneshot::channel();
    let told = async move { drop(stopped.await) };
    let ended = tokio::spawn(serve(listener, router, limits, metrics.clone(), told));
    Running { address, metrics, stop: Some(stop), ended }
}

fn bytes(count: usize) -> axum::body::Bytes {
    vec![b'x'; count].into()
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    fn closed(&self, reason: &str) -> u64 {
        let text = self.metrics.render();
        let line = text.lines().find(|line| line.contains(&format!("reason=\"{reason}\""))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// Sends a request; the answer as far as it came with the first part.
async fn ask(socket: &mut TcpStream, request: &[u8]) -> std::io::Result<String> {
    socket.write_all(request).await?;
    let mut answer = vec![0; 4096];
    let count = timeout(Duration::from_secs(10), socket.read(&mut answer)).await.expect("an answer")?;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}

/// Whether the server ends the connection within so many seconds.
async fn ends(socket: &mut TcpStream, seconds: u64) -> bool {
    let mut rest = Vec::new();
    timeout(Duration::from_secs(seconds), socket.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn a_slow_head_is_ended_and_a_used_connection_is_not() {
    let server = start(short(100)).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    let mut used = server.connect().await;
    let drip = tokio::spawn(async move {
        for byte in GET.iter().chain(GET) {
            if slow.write_all(&[*byte]).await.is_err() {
                return true;
            }
            sleep(Duration::from_millis(200)).await;
        }
        false
    });
    // Parked between its requests, and answered all the same.
    for _ in 0..4 {
        assert!(ask(&mut used, GET).await.unwrap().ends_with("here"));
        sleep(Duration::from_millis(1100)).await;
    }
    assert!(drip.await.unwrap(), "one byte after the other is no head");
    assert!(ends(&mut silent, 1).await);
    assert_eq!(server.closed("slow-head"), 2);
    assert!(
        ask(&mut used, b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap().ends_with("slow"),
        "an answer may take longer"
    );
    assert!(ends(&mut used, 7).await, "nothing is asked any more");
    assert_eq!(server.closed("idle"), 1);
}

#[tokio::test]
async fn requests_that_come_in_parts_or_at_once_are_all_answered() {
    let server = start(short(100)).await;
    let mut socket = server.connect().await;
    let half = b"GET / HTTP/1.1\r\nHo";
    // A whole request and a half: the half must not be lost while the connection is idle.
    let first = ask(&mut socket, &[GET, half].concat()).await.unwrap();
    assert!(first.ends_with("here"), "{first}");
    sleep(Duration::from_millis(1200)).await;
    assert!(ask(&mut socket, b"st: localhost\r\n\r\n").await.unwrap().ends_with("here"));
    let post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n";
    socket.write_all(post).await.unwrap();
    sleep(Duration::from_millis(1200)).await;
    assert!(ask(&mut socket, b"body").await.unwrap().ends_with("body"));
    let both = ask(&mut socket, &[GET, GET].concat()).await.unwrap();
    let rest = if both.matches("here").count() < 2 { ask(&mut socket, b"").await.unwrap() } else { String::new() };
    assert_eq!((both + &rest).matches("here").count(), 2);
    let mut large = server.connect().await;
    // A last read may bring as much as is held already, and is judged whole.
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    // With the rest of the head unread, the close may overtake the answer.
    let answer = ask(&mut large, head.as_bytes()).await.unwrap_or_default();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_ended() {
    let server = start(short(100)).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(5500)).await;
    assert_eq!(server.closed("stalled"), 1);
    let mut reader = server.connect().await;
    reader.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let begun = std::time::Instant::now();
    let mut part = vec![0; 256 * 1024];
    while begun.elapsed() < Duration::from_secs(4) {
        assert!(reader.read(&mut part).await.unwrap() > 0, "one that reads slowly goes on");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.closed("stalled"), 1);
}

#[tokio::test]
async fn idle_connections_make_room_and_probes_have_their_own() {
    let mut server = start(Limits { head: Duration::from_secs(30), ..short(20) }).await;
    let mut idle = Vec::new();
    for _ in 0..60 {
        idle.push(server.connect().await);
    }
    assert!(ask(&mut server.connect().await, GET).await.unwrap().ends_with("here"));
    assert!(server.closed("evicted") >= 41, "{}", server.closed("evicted"));
    drop(idle);

    // All places are busy.
    let mut busy = Vec::new();
    for _ in 0..20 {
        let mut socket = server.connect().await;
        socket.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        busy.push(socket);
    }
    sleep(Duration::from_millis(300)).await;
    let refused = ask(&mut server.connect().await, GET).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("too-many-connections"), "{refused}");
    let probe = ask(&mut server.connect().await, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert!(probe.ends_with("alive") && probe.contains("connection: close"), "{probe}");
    let (_one, _two) = (server.connect().await, server.connect().await);
    sleep(Duration::from_millis(100)).await;
    assert!(ends(&mut server.connect().await, 2).await, "the reserve is full, too");
    assert!(server.closed("refused") >= 1);
    for mut socket in busy {
        assert!(ask(&mut socket, b"").await.unwrap().ends_with("slow"), "no answer was cut off");
    }
    server.stop.take();
    timeout(Duration::from_secs(5), server.ended).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn stopping_finishes_what_is_being_answered_and_nothing_else() {
    let mut server = start(short(100)).await;
    let (mut busy, mut idle) = (server.connect().await, server.connect().await);
    assert!(ask(&mut idle, GET).await.unwrap().ends_with("here"));
    let _silent = server.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(200)).await;
    server.stop.take();
    assert!(ask(&mut busy, b"").await.unwrap().ends_with("slow"));
    timeout(Duration::from_secs(2), server.ended).await.expect("it stops").unwrap();
    assert!(ends(&mut idle, 1).await);
}
