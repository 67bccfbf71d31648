//! Connections: taken, bounded and ended. What is in them is `router`'s.
//!
//! *Guarantees.* So many connections are served at a time. When all places are taken, the connection that has been idle
//! longest is closed for a new one, first at the address that has most; if none is idle, the new one is answered with 503.
//! Some places are kept for probes, so that `/livez` and `/readyz` are answered then, too. A head that does not arrive, a
//! connection that is not used, and a reader that takes nothing are ended after a while. An idle connection holds its socket
//! and little else: the state of the protocol is given up until it is used again.
//!
//! *Caveats.* Clients behind one proxy share an address. A request that is being answered is never ended for another one.

mod connection;
mod places;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::metrics::Metrics;
use places::Places;

/// How often connections are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long accepting rests after it failed: files ran out, usually.
const REST: Duration = Duration::from_millis(50);
/// How often a failure to accept is logged.
const LOG_AGAIN: Duration = Duration::from_secs(60);

/// The limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many are served at a time.
    pub connections: usize,
    /// How many more are read far enough to answer a probe, or to refuse.
    pub reserve: usize,
    /// How long a request's head may take.
    pub head: Duration,
    /// How long a connection may be unused.
    pub idle: Duration,
    /// When an unused connection gives up the state of the protocol.
    pub park: Duration,
    /// How long a reader may take nothing, or less than some 30 KB.
    pub stall: Duration,
}

impl Limits {
    /// The limits for so many connections.
    #[must_use]
    pub const fn new(connections: usize) -> Self {
        Self {
            connections,
            reserve: 16,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            park: Duration::from_secs(2),
            stall: Duration::from_secs(30),
        }
    }
}

/// What all connections share.
struct Shared {
    router: Router,
    places: Arc<Places>,
    limits: Limits,
}

/// Serves until `stop`, then finishes what is being answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    metrics: Metrics,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Places::new(metrics));
    let shared = Arc::new(Shared { router, places, limits });
    let (stopping, stopped) = watch::channel(false);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop);
    let mut logged = None::<Instant>;
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            _ = look.tick() => shared.places.look(&shared.limits),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(&shared, stream, peer, stopped.clone()),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of files or memory. One idle connection less makes room for the next.
                    shared.places.evict();
                    if logged.is_none_or(|at| at.elapsed() > LOG_AGAIN) {
                        tracing::error!(%error, "a connection could not be accepted; raise the limit of open files");
                        logged = Some(Instant::now());
                    }
                    sleep(REST).await;
                }
            },
        }
    }
    drop((listener, stopped));
    stopping.send_replace(true);
    // Each connection holds a receiver.
    stopping.closed().await;
}

/// Gives a connection its place, or none.
fn admit(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr, stopped: watch::Receiver<bool>) {
    let Some(place) = shared.places.take(peer.ip(), &shared.limits) else {
        // Dropping it closes it.
        return;
    };
    // Answers are written whole; waiting for more of them only delays the last part.
    let _ = stream.set_nodelay(true);
    tokio::spawn(connection::run(Arc::clone(shared), stream, place, stopped));
}

/// Errors of accept(2) that say nothing of the next connection.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests;
