//! The manager's way to an agent: short HTTP requests and one WebSocket, to the pod's own address or, from outside of the
//! cluster's network, through the API server.
//!
//! No connection is kept between requests. An answer is bounded in size and time, and believed in no further than the
//! types say: what runs in an environment may answer anything.

mod connection;
mod conversations;
mod exchange;
mod forward;
mod socket;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

use self::connection::Connection;
use self::exchange::{Answer, Request};
use super::{PORT, Signer, Status, chat};
use crate::project::{ErrorKind, ProjectName};

pub use conversations::EventLines;
pub use socket::{AgentSocket, Frame};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the API server may take to open a way to a pod.
const FORWARD: Duration = Duration::from_secs(5);
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

/// Where the agent of a project is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The project.
    pub project: ProjectName,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's address, if it has one yet.
    pub ip: Option<IpAddr>,
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
    /// The agent refuses the call, and says why.
    #[error("{}", .0.detail)]
    Problem(Box<chat::Problem>),
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
            Self::Problem(problem) if problem.status < 500 => ErrorKind::Conflict,
            Self::Problem(_) => ErrorKind::Unavailable,
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
        let (namespace, pod, project) = (namespace.to_owned(), pod.to_owned(), project.clone());
        let at = Address { project, namespace, pod, ip };
        let answer = self.call(&at, "manager", Request::get("/agent/v1/status")).await?;
        let status: Status = at.read(&answer)?;
        if status.project != at.project.as_str() {
            return Err(at.strange(format!("it is the agent of another project, {:?}", one_line(&status.project))));
        }
        Ok(Status { message: one_line(&status.message), ..status })
    }

    /// Sends a request in the name of the principal `actor`; gives the answer when it is a good one.
    async fn call(&self, at: &Address, actor: &str, request: Request) -> Result<Answer, ClientError> {
        let token = self.token(at, actor)?;
        let connection = self.connect(at).await?;
        let (forwarded, limit) = (connection.is_forwarded(), request.patience);
        let sent = timeout(limit, exchange::exchange(connection, request, &token)).await;
        let answer = sent
            .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
            .map_err(|reason| at.unreachable(reason))?;
        if forwarded {
            self.go_around();
        }
        at.judge(answer)
    }

    fn token(&self, at: &Address, actor: &str) -> Result<String, ClientError> {
        self.signer.token(&at.project, actor).map_err(|error| ClientError::Token(error.to_string()))
    }

    /// Opens a stream to the agent: directly, else through the API server.
    async fn connect(&self, at: &Address) -> Result<Connection, ClientError> {
        let direct = match at.ip {
            None => Err("the pod has no address yet".to_owned()),
            Some(_) if self.goes_around() => Err("its address was not reachable a moment ago".to_owned()),
            Some(ip) => connect(SocketAddr::new(ip, PORT)).await,
        };
        match (direct, &self.reach) {
            (Ok(stream), _) => Ok(Connection::direct(stream)),
            (Err(reason), Reach::Direct) => Err(at.unreachable(reason)),
            (Err(reason), Reach::Cluster(cluster)) => {
                let opened = timeout(FORWARD, forward::open(cluster, &at.namespace, &at.pod)).await;
                opened
                    .unwrap_or_else(|_| Err(format!("no connection within {} s", FORWARD.as_secs())))
                    .map_err(|other| at.unreachable(format!("{reason}; by port-forward: {other}")))
            }
        }
    }

    /// Notes that the API server's way works, so that the pods' addresses are passed over for a while.
    fn go_around(&self) {
        if !self.goes_around() {
            *self.around.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + AROUND);
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

impl Address {
    fn named(&self) -> String {
        format!("{}/{}", self.namespace, self.pod)
    }

    fn unreachable(&self, reason: String) -> ClientError {
        ClientError::Unreachable { pod: self.named(), reason }
    }

    fn strange(&self, reason: String) -> ClientError {
        ClientError::Protocol { pod: self.named(), reason }
    }

    /// Returns good answers, and turns the others into errors.
    fn judge(&self, answer: Answer) -> Result<Answer, ClientError> {
        match answer.status {
            200..300 => Ok(answer),
            401 => Err(ClientError::Refused { pod: self.named(), reason: detail(&answer.body) }),
            400..600 => match serde_json::from_slice::<chat::Problem>(&answer.body) {
                Ok(problem) => Err(ClientError::Problem(Box::new(chat::Problem {
                    type_: one_line(&problem.type_),
                    title: one_line(&problem.title),
                    status: answer.status,
                    detail: one_line(&problem.detail),
                }))),
                Err(_) => Err(self.strange(format!("status {}, {}", answer.status, detail(&answer.body)))),
            },
            other => Err(self.strange(format!("status {other}"))),
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, answer: &Answer) -> Result<T, ClientError> {
        serde_json::from_slice(&answer.body).map_err(|error| self.strange(error.to_string()))
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
