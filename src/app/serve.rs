//! `serve`: everything, until it is told to stop.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::wiring::{self, Access, Wired};
use super::{files, telemetry};
use crate::auth::{self, Auth};
use crate::change::Changes;
use crate::chat::Chat;
use crate::config::Settings;
use crate::embedded::{self, LocalRuntime};
use crate::git::Repository;
use crate::log_files::LogFiles;
use crate::operations::Operations;
use crate::project::{Actor, AgentKey, ErrorKind, Intent, Principal, Role, Source};
use crate::reconcile::Reconciler;
use crate::tickets::Tickets;
use crate::web;

/// For how long a start waits for the first lists of the cluster; a large one takes longer, and one that is silent never ends.
const FIRST_LISTS: Duration = Duration::from_secs(5);
/// For how long calls under way are waited for at the end.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// Runs until SIGINT or SIGTERM; a second one ends what the first is waiting for.
pub(super) async fn serve(mut settings: Settings) -> anyhow::Result<ExitCode> {
    let mut files = LogFiles::new();
    telemetry::install(Some(files.writer()), &settings.log).context("the log")?;
    let address = std::net::SocketAddr::new(settings.server.host, settings.server.port);
    // Before anything is opened: a second start must not touch the data of the first.
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on; stop what uses it, or set PORT to another port"))?;
    let address = listener.local_addr().context("the port")?;
    let limits = web::Limits::new(files::connections(settings.server.max_connections));
    let terminal = Terminal::of_this_process();
    terminal.say(&format!("Claude Manager {} is starting", env!("CARGO_PKG_VERSION")));
    terminal.say(&format!("  data        {}", settings.data_dir.display()));
    terminal.say(&format!("  repository  {}", settings.state.repository.as_deref().unwrap_or("state.git in it")));
    let wired = wiring::wire(&settings, Access::Write).await?;
    // The data directory is this manager's now. Without files it serves: the lines are on standard output.
    if let Err(error) = files.begin(&settings.log_directory()) {
        let directory = settings.log_directory();
        tracing::warn!(%error, directory = %directory.display(), "no log files are written; set LOG_DIR to another place");
    }
    terminal.say(&format!("  cluster     {}, namespace {}", wired.cluster, settings.namespace));
    settings.defaults.local_repositories = wired.embedded.is_some();
    let (admin, jwt) = (settings.secrets.admin_token.as_ref(), settings.secrets.jwt_secret.as_ref());
    let auth = Auth::open(&settings.data_dir, admin, jwt).context("the sign-in")?;
    let mut signals = Signals::new().context("the signals")?;
    // Before the reconciler looks: what runs since before is running, and no project seems to start anew.
    let runtime = Pods::run(&wired, &settings).await?;
    let reconciler = Reconciler::start(wired.parts.clone());
    let (parts, nudged) = (&wired.parts, reconciler.clone());
    let nudge = Arc::new(move || nudged.nudge());
    let identities = Arc::clone(&parts.age_identities);
    let changes =
        Changes::start(parts.repository.clone(), &parts.namespace, identities, Arc::clone(&parts.memo), nudge);
    tokio::spawn(trust_own_key(changes.clone(), wiring::agent_key(&wiring::signer(&settings)?)));
    let backups = wiring::backups(&settings, &parts.repository, &parts.metrics).context("backups")?;
    tokio::spawn(backups.clone().keep_schedule());
    tokio::spawn(follow_refs(wired.parts.repository.clone(), reconciler.clone()));
    if wired.parts.repository.remote().is_some() {
        let every = Duration::from_secs(settings.state.poll_seconds);
        tokio::spawn(poll_remote(wired.parts.repository.clone(), reconciler.clone(), every));
    }
    let settings = Arc::new(settings);
    let parts = &wired.parts;
    let operations = Operations::new(changes, reconciler.clone(), backups, parts.clone());
    let (store, metrics) = (parts.store.clone(), parts.metrics.clone());
    let chat = Chat::new(operations.clone(), store.clone(), metrics.clone(), parts.agents.clone());
    let options = wiring::tickets(&settings, wired.embedded.is_some())?;
    let tickets = Tickets::new(options, operations.clone(), chat.clone(), store.clone(), metrics.clone());
    let state = web::AppState::new(
        operations.clone(),
        chat.clone(),
        tickets.clone(),
        store,
        Arc::clone(&settings),
        metrics,
        auth,
    );
    let router = web::router(state);
    // The first answer already knows every project, and how it is doing where the cluster says so soon.
    reconciler.load().await;
    reconciler.cluster_seen(FIRST_LISTS).await;
    // Only now it is known which projects run, so that none is started that runs.
    if let Err(error) = chat.resume().await {
        tracing::error!(%error, "prompts that wait are delivered only after the next one of their project");
    }
    tokio::spawn(tickets.run());
    // "Everywhere" is no address to open.
    let host = if address.ip().is_unspecified() { "localhost".to_owned() } else { address.ip().to_string() };
    let host = if address.is_ipv6() && !address.ip().is_unspecified() { format!("[{host}]") } else { host };
    let site = format!("http://{host}:{}{}", address.port(), settings.server.base_path);
    terminal.ready(&site, &wired, &settings)?;
    let (stop, mut stopping) = watch::channel(());
    // What has no end of its own ends when the program is told to stop; the rest is finished.
    let told = async move {
        let _ = stopping.changed().await;
        operations.close_streams();
    };
    let metrics = wired.parts.metrics.clone();
    let mut server = std::pin::pin!(web::serve(listener, router, limits, metrics, told));
    let fault = tokio::select! {
        () = &mut server => anyhow::bail!("serving ended, see the log; start again"),
        () = signals.next() => None,
        () = reconciler.ended() => Some("the reconciler ended, see the log; start again"),
        () = runtime.ended() => Some("what runs the environments ended, see the log; start again"),
    };
    if fault.is_none() {
        terminal.say("Stopping; Ctrl-C again stops at once.");
    }
    stop.send_replace(());
    let hurry = async move { signals.next().await }.boxed().shared();
    let last_calls = async {
        tokio::select! {
            () = server => {}
            () = hurry.clone() => {}
            () = tokio::time::sleep(LAST_CALLS) => tracing::warn!("calls that did not end are cut off"),
        }
    };
    tokio::join!(last_calls, runtime.stop(hurry.clone()));
    if let Some(fault) = fault {
        anyhow::bail!(fault);
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Where standard output goes. A log that somebody collects never holds the token; a terminal shows the link with it, as
/// the person at it may read the token's file anyway.
struct Terminal {
    is_one: bool,
}

impl Terminal {
    fn of_this_process() -> Self {
        Self { is_one: std::io::stdout().is_terminal() }
    }

    /// Progress, for a person who waits.
    fn say(&self, line: &str) {
        if self.is_one {
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// How to get in. Scripts that start the program with PORT=0 read the address from this line.
    fn ready(&self, site: &str, wired: &Wired, settings: &Settings) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let data = settings.data_dir.display();
        if self.is_one {
            let given = settings.secrets.admin_token.as_ref();
            let token = auth::administrator_token(&settings.data_dir, given).context("the administrator token")?;
            let link = settings.server.public_url.as_deref().unwrap_or(site);
            let _ = writeln!(out, "\nOpen {link}/sign-in?token={token}\nCtrl-C stops everything.\n");
        } else {
            let _ = writeln!(out, "Claude Manager is ready: {site} (cluster: {}, data: {data})", wired.cluster);
            tracing::info!("sign in at {site}/sign-in with the token that `claude-manager token show` prints");
        }
        Ok(())
    }
}

/// Commits this manager's public key where the repository lacks it, so that environments let it in. A repository that was
/// made by hand, by another manager or before there were agents has it so after the first start.
async fn trust_own_key(changes: Changes, key: AgentKey) {
    let principal = Principal {
        id: "manager".to_owned(),
        name: "Claude Manager".to_owned(),
        email: "claude-manager@localhost".to_owned(),
        role: Role::Administrator,
    };
    let actor = Actor { principal, source: Source::Manager, request_id: String::new() };
    loop {
        match changes.submit(Intent::TrustAgentKey(key.clone()), actor.clone(), None).await {
            Ok(committed) if committed.changed => {
                tracing::info!(kid = key.kid, commit = %committed.revision, "committed this manager's key for environments");
                return;
            }
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "environments cannot be told of this manager's key: they will not let it in");
                if error.kind != ErrorKind::Unavailable {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        }
    }
}

/// Whoever moves a ref (the API, a push by path, a person in the repository) is noticed.
async fn follow_refs(repository: Repository, reconciler: Reconciler) {
    match repository.watch() {
        Ok(mut watch) => {
            while watch.changed().await {
                reconciler.nudge();
            }
        }
        Err(error) => {
            tracing::warn!(%error, "changes of the repository cannot be watched; looking every second instead");
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                reconciler.nudge();
            }
        }
    }
}

async fn poll_remote(repository: Repository, reconciler: Reconciler, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let repository = repository.clone();
        match tokio::task::spawn_blocking(move || repository.fetch()).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => reconciler.nudge(),
            Ok(Err(error)) => tracing::warn!(%error, "the remote could not be asked"),
            Err(error) => tracing::error!(%error, "asking the remote failed"),
        }
    }
}

/// What runs the pods: this process those of the embedded cluster, a real one its own.
struct Pods(Option<LocalRuntime>);

impl Pods {
    async fn run(wired: &Wired, settings: &Settings) -> anyhow::Result<Self> {
        let Some(cluster) = &wired.embedded else { return Ok(Self(None)) };
        let program = std::env::current_exe().context("where this program is")?;
        // Agents work elsewhere, where a relative path would mean another file.
        let claude = settings.claude_bin.as_ref().map(std::path::absolute).transpose().context("CLAUDE_BIN")?;
        let options = embedded::Options { data: settings.data_dir.clone(), program, claude };
        Ok(Self(Some(LocalRuntime::start(cluster, options).await?)))
    }

    async fn ended(&self) {
        match &self.0 {
            Some(runtime) => runtime.ended().await,
            None => std::future::pending().await,
        }
    }

    async fn stop(&self, hurry: impl Future<Output = ()>) {
        if let Some(runtime) = &self.0 {
            runtime.stop(hurry).await;
        }
    }
}

/// SIGINT and SIGTERM, one after the other.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
