//! A stream to an agent, by whichever way it was opened.

use std::time::Duration;

use futures::future::BoxFuture;
use kube::api::Portforwarder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long the API server's own words about a failed port-forward are waited for.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open stream, and what has to live as long as it.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) forward: Option<Forward>,
}

/// A port-forward; it ends with its value.
pub(super) struct Forward {
    forwarder: Portforwarder,
    refused: Option<BoxFuture<'static, Option<String>>>,
}

impl Connection {
    pub(super) fn direct(stream: TcpStream) -> Self {
        // Frames are small, and each is waited for.
        let _ = stream.set_nodelay(true);
        Self { stream: Box::new(stream), forward: None }
    }

    pub(super) const fn is_forwarded(&self) -> bool {
        self.forward.is_some()
    }
}

impl Forward {
    pub(super) fn new(forwarder: Portforwarder, refused: Option<BoxFuture<'static, Option<String>>>) -> Self {
        Self { forwarder, refused }
    }

    /// Returns why the exchange failed: what the API server says, else `error`.
    pub(super) async fn reason(mut self, error: String) -> String {
        let Some(refused) = self.refused.take() else { return error };
        tokio::time::timeout(LAST_WORDS, refused).await.ok().flatten().unwrap_or(error)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.forwarder.abort();
    }
}
