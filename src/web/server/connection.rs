//! One connection: parked while nothing comes, else read, answered and written as HTTP/1.1.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Request, Response, StatusCode};
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt;

use super::Shared;
use super::places::{Phase, Place, Seat, Wish};
use super::stream::Stream;

/// The most bytes of a head before its last read, and of what is read or written at once.
const MAX_BUFFER: usize = 64 * 1024;

/// Why the protocol's state was given up.
#[derive(PartialEq, Eq)]
enum Outcome {
    /// Nothing comes for a while.
    Parked,
    /// The connection has ended.
    Ended,
}

/// Serves a connection to its end.
pub(super) async fn run(shared: Arc<Shared>, socket: TcpStream, place: Place, mut stopped: watch::Receiver<bool>) {
    let (socket, place) = (Arc::new(socket), Arc::new(place));
    let seat = Arc::clone(&place.seat);
    loop {
        seat.set_parked(true);
        tokio::select! {
            ready = socket.readable() => if ready.is_err() { return },
            wish = seat.woken() => match wish {
                Wish::Close => return,
                Wish::Park | Wish::None => continue,
            },
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        seat.set_parked(false);
        let stream = Stream { socket: Arc::clone(&socket), place: Arc::clone(&place) };
        // Boxed, so that a parked connection does not hold the room for it.
        let outcome = Box::pin(serve(&shared, stream, &seat, &mut stopped)).await;
        if outcome == Outcome::Ended {
            return;
        }
    }
}

async fn serve(shared: &Shared, stream: Stream, seat: &Arc<Seat>, stopped: &mut watch::Receiver<bool>) -> Outcome {
    let service = service_fn(|request| answer(shared.router.clone(), Arc::clone(seat), request));
    let connection = http1::Builder::new()
        .max_buf_size(MAX_BUFFER)
        // `Places::look` has the times.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            wish = seat.woken() => match wish {
                Wish::Close => return Outcome::Ended,
                Wish::Park if seat.may_park() && !stopping => return Outcome::Parked,
                Wish::Park | Wish::None => {}
            },
            _ = stopped.wait_for(|stopped| *stopped), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            // What a client did wrong is no news.
            _ = connection.as_mut() => return Outcome::Ended,
        }
    }
}

fn answer(
    router: Router,
    seat: Arc<Seat>,
    request: Request<Incoming>,
) -> BoxFuture<'static, Result<Response<Answered>, Infallible>> {
    async move {
        seat.set(Phase::Busy);
        let is_probe = matches!(request.uri().path(), "/livez" | "/readyz");
        let mut response = match seat.is_reserve && !is_probe {
            true => full(),
            false => router.oneshot(request.map(Body::new)).await?,
        };
        if seat.is_reserve {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            seat.set(Phase::Upgraded);
        }
        Ok(response.map(|body| Answered { body, seat }))
    }
    .boxed()
}

/// The answer when all places are taken.
fn full() -> Response<Body> {
    let text = "{\"type\":\"tag:claude-manager.io,2026:problem/too-many-connections\",\"title\":\"Too many connections\",\
                \"status\":503,\"detail\":\"all connections of the manager are in use; try again in a moment, or set \
                MAX_CONNECTIONS\"}";
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}

/// The body of an answer; the connection is idle when it has been written.
struct Answered {
    body: Body,
    seat: Arc<Seat>,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        if self.seat.phase() == Phase::Busy {
            self.seat.set(Phase::Idle);
        }
    }
}
