//! One question to an agent over HTTP.

use std::net::Ipv4Addr;
use std::time::Duration;

use http::Request;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::address::PORT;

/// Whether `GET path` is answered with success within `timeout`.
pub(super) async fn ask(address: Ipv4Addr, path: String, timeout: Duration) -> bool {
    tokio::time::timeout(timeout, get(address, &path))
        .await
        .ok()
        .flatten()
        .is_some_and(|code| (200..400).contains(&code))
}

/// A connection for each question: one that is kept open would say less about whether the agent still takes new ones.
async fn get(address: Ipv4Addr, path: &str) -> Option<u16> {
    let stream = TcpStream::connect((address, PORT)).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get(path)
        .header(http::header::HOST, format!("{address}:{PORT}"))
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let answer = async move { sender.send_request(request).await.ok().map(|answer| answer.status().as_u16()) };
    let (answer, ()) = tokio::join!(answer, async {
        let _ = connection.await;
    });
    answer
}
