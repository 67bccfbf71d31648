//! `claude-manager agent`: what runs inside an environment.
//!
//! Takes [`Options`], runs until SIGTERM or SIGINT. One thread: an environment that nobody uses should cost nothing.
//!
//! *Order.* The workspace's lock is taken first; then credentials are made ready for Git and Claude Code; then the port is
//! opened and the repository cloned. Where directories are hidden from the agent, [`launch`] did so before it was executed.

mod access;
mod claude;
mod clone;
mod conversations;
mod credential;
mod failure;
mod git;
#[cfg(target_os = "linux")]
mod hide;
mod install;
mod launch;
mod layout;
mod lock;
#[cfg(target_os = "linux")]
mod orphans;
mod secrets;
mod server;
mod source;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{PORT, Readiness, Verifier};
use crate::project::ProjectName;
use layout::Layout;
use source::Source;

pub use claude::{find_claude, run_child};
pub use credential::{CredentialRequest, answer as credential};
pub use install::install;
pub use launch::{LaunchOptions, encode as encode_variables, launch};
pub use lock::{Holder, holder};

/// How the agent is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every path of the environment lies under it; `/` in a pod.
    pub root: PathBuf,
    /// Where to listen; every address of the machine, on [`PORT`], when absent.
    pub listen: Option<SocketAddr>,
    /// The project.
    pub project: ProjectName,
    /// The pod, for whoever finds the lock.
    pub pod_uid: Option<String>,
    /// GIT_REPOSITORY: what to clone.
    pub repository: Option<String>,
    /// GIT_BRANCH: which branch of it.
    pub branch: Option<String>,
    /// How Claude Code is run.
    pub claude: ClaudeOptions,
}

/// How Claude Code is run.
#[derive(Clone, Debug)]
pub struct ClaudeOptions {
    /// CLAUDE_BIN: the program; the first `claude` in PATH when absent.
    pub program: Option<PathBuf>,
    /// How long a process without work is kept.
    pub idle: Duration,
    /// How long a turn may be silent before it is interrupted.
    pub silent: Duration,
}

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another agent works here.
    #[error("another agent works on {}: {who}; stop it first", workspace.display())]
    Held {
        /// The workspace.
        workspace: PathBuf,
        /// What its lock file says of it.
        who: String,
    },
    /// The port cannot be opened.
    #[error("{address} cannot be listened on: {source}; stop what uses it, or give --listen another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory could not be taken away.
    #[error("{what} cannot be hidden: {reason}")]
    Hide {
        /// The directory, or what else stands in the way.
        what: String,
        /// Why not.
        reason: String,
    },
    /// Its variables did not arrive.
    #[error("the variables on standard input cannot be read: {0}; `agent launch` is for the manager alone")]
    Variables(std::io::Error),
    /// The agent could not be executed after its confinement.
    #[error("{} cannot be executed: {source}{}", program.display(), execution_hint(source))]
    Execute {
        /// This program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or folder operation failed.
    #[error("{} {what}: {source}", path.display())]
    File {
        /// What was tried, as in `cannot be made`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gave no way to run at all.
    #[error("the agent cannot run: {0}")]
    System(std::io::Error),
}

impl AgentError {
    /// The exit code: 75 (`EX_TEMPFAIL`) where another agent is in the way, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Held { .. } => 75,
            Self::Listen { .. }
            | Self::Hide { .. }
            | Self::Variables(_)
            | Self::Execute { .. }
            | Self::File { .. }
            | Self::System(_) => 1,
        }
    }

    fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}

/// What to do about a program that cannot be executed, as the end of a sentence.
fn execution_hint(source: &std::io::Error) -> &'static str {
    if source.kind() == std::io::ErrorKind::ArgumentListTooLong {
        "; a variable of the container is too long for this system: mount its Secret or ConfigMap as a file"
    } else {
        ""
    }
}

/// How the environment is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    reason: Readiness,
    message: String,
}

/// What every part of the running agent knows.
struct World {
    options: Options,
    layout: Layout,
    /// The repository; `None` without one, and what is wrong with the setting where it is none.
    source: Result<Option<Source>, String>,
    condition: watch::Sender<Condition>,
    verifier: Verifier,
    started: Timestamp,
}

/// Runs the agent until it is told to stop.
///
/// # Errors
/// [`AgentError`] when it cannot start; what goes wrong later is told by its status and log.
pub fn run(options: Options) -> Result<(), AgentError> {
    let layout = Layout::new(&options.root)?;
    access::temporary(&layout)?;
    let address = options.listen.unwrap_or(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT));
    let lock = lock::Lock::take(&layout)?;
    let (repository, branch) = (options.repository.as_deref(), options.branch.as_deref());
    let source = Source::parse(repository, branch, layout.is_whole_machine());
    let first = Condition { reason: Readiness::Cloning, message: "The agent is starting.".to_owned() };
    let world = Arc::new(World {
        verifier: Verifier::new(options.project.clone(), layout.agent_keys()),
        condition: watch::Sender::new(first),
        started: Timestamp::now(),
        source,
        layout,
        options,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AgentError::System)?;
    runtime.block_on(async {
        let listener = listen(address, world.options.listen.is_none()).await?;
        let address = listener.local_addr().map_err(AgentError::System)?;
        lock.sign(&world.options, address, world.started)?;
        access::prepare(&world).await;
        let conversations = conversations::Conversations::open(Arc::clone(&world));
        tracing::info!(version = env!("CARGO_PKG_VERSION"), project = %world.options.project, %address, "the agent runs");
        let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::System)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::System)?;
        tokio::select! {
            ended = server::serve(listener, Arc::clone(&world), conversations.clone()) => ended.map_err(AgentError::System)?,
            () = clone::keep(&world) => {}
            () = conversations.look() => {}
            () = orphans() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        conversations.stop().await;
        tracing::info!("the agent stops");
        Ok(())
    })
}

/// Looks after what loses its parent, where that is the agent's part.
async fn orphans() {
    #[cfg(target_os = "linux")]
    orphans::keep().await;
    #[cfg(not(target_os = "linux"))]
    std::future::pending::<()>().await;
}

/// Opens the port; where there is no IPv6, of IPv4 alone.
async fn listen(address: SocketAddr, may_fall_back: bool) -> Result<TcpListener, AgentError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(source) if may_fall_back && source.kind() != std::io::ErrorKind::AddrInUse => {
            let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            TcpListener::bind(address).await.map_err(|source| AgentError::Listen { address, source })
        }
        Err(source) => Err(AgentError::Listen { address, source }),
    }
}
