//! Turns a request into a WebSocket (RFC 6455).

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::AppState;
use super::problem::Problem;
use crate::project::ErrorKind;

/// An open WebSocket.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// How many may be open at a time.
pub(super) const MAX_SOCKETS: usize = 512;

/// Answers with the protocol's change and gives the socket to `serve`; messages may have `max_message` bytes.
pub(super) fn upgrade<F, S>(
    state: &AppState,
    mut request: Request,
    max_message: usize,
    serve: S,
) -> Result<Response, Problem>
where
    S: FnOnce(Socket) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let key = accept_key(request.headers());
    let (Some(key), Some(upgrade)) = (key, request.extensions_mut().remove::<OnUpgrade>()) else {
        let (status, detail) = (StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket, version 13");
        let problem = Problem::new(status, "websocket", "A WebSocket is wanted here", detail);
        return Err(problem.with_header(header::UPGRADE, HeaderValue::from_static("websocket")));
    };
    let Ok(place) = Arc::clone(&state.sockets).try_acquire_owned() else {
        let detail = format!("{MAX_SOCKETS} WebSockets are open already; close one, or try again in a moment");
        return Err(Problem::of_kind(ErrorKind::Unavailable, detail));
    };
    tokio::spawn(async move {
        let _place = place;
        let Ok(upgraded) = upgrade.await else { return };
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(max_message);
        config.max_frame_size = Some(max_message);
        serve(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await).await;
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, key),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// The answer to a client's key, when its headers ask for a WebSocket.
fn accept_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let has = |name, word: &str| {
        let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let asked = has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asked)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}
