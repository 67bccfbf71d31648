//! The manager's way to an agent: one short HTTP request, to the pod's own address or, from outside of the cluster's
//! network, through the API server.
//!
//! Nothing is kept open between requests. An answer is bounded in size and time, and believed in no further than the
//! types say: what runs in an environment may answer anything.

mod forward;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PORT, Signer, Status};
use crate::project::{ErrorKind, ProjectName};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a whole request may take.
const REQUEST: Duration = Duration::from_secs(5);
/// The longest answer in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// How long the pods' own addresses are not tried again, once the API server's way was the one that worked.
const AROUND: Duration = Duration::from_secs(60);

/// How agents are reached.
#[derive(Clone)]
pub enum Reach {
    /// By the pods' addresses alone: the embedded cluster.
    Direct,
    /// By the pods' addresses, and where those cannot be reached by port-forward through this cluster's API server.
    Cluster(kube::Client),
}

/// Talks to agents; cheap to clone.
#[derive(Clone)]
pub struct Client {
    signer: Signer,
    reach: Reach,
    /// Until when the pods' addresses are passed over.
    around: Arc<Mutex<Option<Instant>>>,
}

/// Why an agent gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers.
    #[error("the agent in {pod} cannot be reached: {reason}")]
    Unreachable {
        /// The pod, as `namespace/name`.
        pod: String,
        /// What was tried and what came of it.
        reason: String,
    },
    /// It does not know this manager's key, or its clock is elsewhere.
    #[error(
        "the agent in {pod} does not let this manager in: {reason}; agent-keys.yaml in the state repository must have \
         the manager's public key"
    )]
    Refused {
        /// The pod, as `namespace/name`.
        pod: String,
        /// What the agent said.
        reason: String,
    },
    /// Something answers that is no agent, or one of another age.
    #[error("{pod} answers, but not as an agent does: {reason}")]
    Protocol {
        /// The pod, as `namespace/name`.
        pod: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// The token could not be made.
    #[error("{0}")]
    Token(String),
}

impl ClientError {
    /// What the error means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } | Self::Refused { .. } => ErrorKind::Unavailable,
            Self::Protocol { .. } | Self::Token(_) => ErrorKind::Internal,
        }
    }
}

impl Client {
    /// A client that signs with `signer` and reaches agents by `reach`.
    #[must_use]
    pub fn new(signer: Signer, reach: Reach) -> Self {
        Self { signer, reach, around: Arc::default() }
    }

    /// How the agent of `project` in the pod `namespace/pod` is doing. `ip` is the pod's address, if it has one yet.
    ///
    /// Takes at most some seconds. Asks in the manager's own name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(
        &self,
        namespace: &str,
        pod: &str,
        ip: Option<IpAddr>,
        project: &ProjectName,
    ) -> Result<Status, ClientError> {
        let token = self.signer.token(project, "manager").map_err(|error| ClientError::Token(error.to_string()))?;
        let named = format!("{namespace}/{pod}");
        let (status, body) = self.get(namespace, pod, ip, "/agent/v1/status", &token).await?;
        let protocol = |reason: String| ClientError::Protocol { pod: named.clone(), reason };
        match status {
            200 => {
                let status: Status = serde_json::from_slice(&body).map_err(|error| protocol(error.to_string()))?;
                if status.project != project.as_str() {
                    return Err(protocol(format!(
                        "it is the agent of another project, {:?}",
                        one_line(&status.project)
                    )));
                }
                Ok(Status { message: one_line(&status.message), ..status })
            }
            401 => Err(ClientError::Refused { pod: named, reason: detail(&body) }),
            other => Err(protocol(format!("status {other}, {}", detail(&body)))),
        }
    }

    async fn get(
        &self,
        namespace: &str,
        pod: &str,
        ip: Option<IpAddr>,
        path: &str,
        token: &str,
    ) -> Result<(u16, Bytes), ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable { pod: format!("{namespace}/{pod}"), reason };
        let direct = match ip {
            None => Err("the pod has no address yet".to_owned()),
            Some(_) if self.goes_around() => Err("its address was not reachable a moment ago".to_owned()),
            Some(ip) => connect(SocketAddr::new(ip, PORT)).await,
        };
        match (direct, &self.reach) {
            (Ok(stream), _) => {
                let sent = timeout(REQUEST, exchange(stream, path, token)).await;
                sent.unwrap_or_else(|_| Err(format!("no answer within {} s", REQUEST.as_secs()))).map_err(unreachable)
            }
            (Err(reason), Reach::Direct) => Err(unreachable(reason)),
            (Err(reason), Reach::Cluster(cluster)) => {
                let forwarded = timeout(REQUEST, forward::exchange(cluster, namespace, pod, path, token)).await;
                let answer = forwarded
                    .unwrap_or_else(|_| Err(format!("no answer within {} s", REQUEST.as_secs())))
                    .map_err(|other| unreachable(format!("{reason}; by port-forward: {other}")))?;
                if ip.is_some() && !self.goes_around() {
                    let mut around = self.around.lock().unwrap_or_else(PoisonError::into_inner);
                    *around = Some(Instant::now() + AROUND);
                }
                Ok(answer)
            }
        }
    }

    fn goes_around(&self) -> bool {
        let around = *self.around.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(self.reach, Reach::Cluster(_)) && around.is_some_and(|until| Instant::now() < until)
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address}: no connection within {} s", CONNECT.as_secs())),
    }
}

/// One request and its answer on a fresh stream.
async fn exchange<S>(stream: S, path: &str, token: &str) -> Result<(u16, Bytes), String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| error.to_string())?;
    let request = hyper::Request::get(path)
        .header("host", "agent")
        .header("authorization", format!("Bearer {token}"))
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    // The connection is driven here and not by a task, so that nothing is left of a request that is given up.
    let driven = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answer => answer,
        answer = driven => answer,
    }
}

/// What a problem's body says, as far as it does.
fn detail(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    one_line(detail.unwrap_or("without a reason"))
}

/// A text from an environment, fit for a log line or a page's sentence.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(1000).collect()
}
