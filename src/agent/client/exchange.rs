//! One HTTP request and its answer on a fresh stream.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Method;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;

use super::connection::Connection;

/// A request to an agent.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    /// JSON; empty for none.
    pub(super) body: Bytes,
    /// How long all of it may take.
    pub(super) patience: Duration,
    /// The longest answer in bytes.
    pub(super) max_answer: usize,
}

/// What an agent answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Request {
    /// Reads `path`; short and quick.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            body: Bytes::new(),
            patience: Duration::from_secs(5),
            max_answer: 64 * 1024,
        }
    }

    /// Sends a JSON body to `path`.
    pub(super) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, body: body.into(), patience: Duration::from_secs(20), ..Self::get(path) }
    }

    /// The same request with another bound for its answer.
    pub(super) fn up_to(self, max_answer: usize) -> Self {
        Self { max_answer, patience: Duration::from_secs(20), ..self }
    }
}

/// Sends the request, and reads the answer.
pub(super) async fn exchange(connection: Connection, request: Request, token: &str) -> Result<Answer, String> {
    let Connection { stream, forward } = connection;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, driver) = handshake.await.map_err(|error| error.to_string())?;
    let max_answer = request.max_answer;
    let request = hyper::Request::builder()
        .method(request.method)
        .uri(request.path)
        .header("host", "agent")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("connection", "close")
        .body(Full::new(request.body))
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), max_answer).collect().await.map_err(|error| error.to_string())?;
        Ok(Answer { status, body: body.to_bytes() })
    };
    // The connection is driven here and not by a task, so that nothing is left of a request that is given up.
    let driven = async {
        let _ = driver.await;
        std::future::pending().await
    };
    let answer: Result<Answer, String> = tokio::select! {
        answer = answer => answer,
        answer = driven => answer,
    };
    match (answer, forward) {
        (Err(error), Some(forward)) => Err(forward.reason(error).await),
        (answer, _) => answer,
    }
}
