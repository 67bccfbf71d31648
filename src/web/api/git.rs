//! `/git/state.git`: the state repository over Git's smart HTTP protocol, to read. Tokens come as a password or as a bearer.

use std::io::Read as _;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;

use crate::operations::FetchRequest;
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::request::Call;

/// The most bytes of a request of Git, as they come and unpacked. It names the commits that the client has.
const MAX_REQUEST: usize = 8 * 1024 * 1024;

/// `GET /git/state.git/info/refs?service=git-upload-pack`
pub(in crate::web) async fn info_refs(State(state): State<AppState>, call: Call) -> Result<Response, Problem> {
    let query = call.query()?;
    let service = query.iter().find(|(name, _)| name == "service").map(|(_, value)| value.as_str());
    match service {
        Some("git-upload-pack") => {}
        Some("git-receive-pack") => return Ok(no_push(&state)),
        _ => {
            return Ok(refusal("the manager speaks Git's smart protocol only; use git 1.6.6 or newer"));
        }
    }
    let protocol = protocol(&call.headers);
    let stream = state.operations.fetch(&call.actor, protocol, FetchRequest::Advertisement).await?;
    // Version 2 begins without the name of the service.
    let is_second = protocol.is_some_and(|text| text.split(':').any(|part| part == "version=2"));
    let head = if is_second { Bytes::new() } else { Bytes::from_static(b"001e# service=git-upload-pack\n0000") };
    let head = futures::stream::iter((!head.is_empty()).then_some(Ok(head)));
    Ok(answer("application/x-git-upload-pack-advertisement", Body::from_stream(head.chain(stream))))
}

/// `POST /git/state.git/git-upload-pack`
pub(in crate::web) async fn upload_pack(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let call = Call::read(request, MAX_REQUEST).await?;
    let content_type = call.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content_type != Some(b"application/x-git-upload-pack-request") {
        let detail = "this address is for git fetch and git clone";
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "The body has the wrong type",
            detail,
        ));
    }
    let body = unpacked(&call)?;
    let stream = state.operations.fetch(&call.actor, protocol(&call.headers), FetchRequest::Pack(body)).await?;
    Ok(answer("application/x-git-upload-pack-result", Body::from_stream(stream)))
}

/// `POST /git/state.git/git-receive-pack`
pub(in crate::web) async fn receive_pack(State(state): State<AppState>) -> Response {
    no_push(&state)
}

fn protocol(headers: &HeaderMap) -> Option<&str> {
    headers.get("git-protocol").and_then(|value| value.to_str().ok())
}

/// The body of a request. Git packs longer ones.
fn unpacked(call: &Call) -> Result<Bytes, Problem> {
    match call.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => return Ok(call.body.clone()),
        Some(b"gzip" | b"x-gzip") => {}
        Some(_) => return Err(Problem::field("Content-Encoding", "must be gzip or identity")),
    }
    let mut body = Vec::new();
    let most = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX);
    let mut decoder = flate2::read::GzDecoder::new(&call.body[..]).take(most + 1);
    match decoder.read_to_end(&mut body) {
        Ok(count) if count <= MAX_REQUEST => Ok(body.into()),
        Ok(_) => {
            let detail = format!("the unpacked body must have at most {MAX_REQUEST} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail))
        }
        Err(_) => Err(Problem::field("", "the body is no gzip")),
    }
}

fn answer(content_type: &'static str, body: Body) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Tells where to push. Git shows a refusal to the person only as plain text.
fn no_push(state: &AppState) -> Response {
    let place = match &state.settings.state.repository {
        Some(address) => format!("push to {address} instead"),
        None => "push to the directory state.git in the manager's data directory instead".to_owned(),
    };
    refusal(&format!("pushing over HTTP follows; {place}, or change projects on the pages and by the API"))
}

fn refusal(text: &str) -> Response {
    let mut response = (StatusCode::FORBIDDEN, format!("{text}\n")).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
