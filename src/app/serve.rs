//! `serve`: everything, until it is told to stop.

use std::future::IntoFuture;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::config::Settings;
use super::telemetry;
use super::wiring::{self, Access, Wired};
use crate::auth::{self, Auth};
use crate::change::Changes;
use crate::git::{self, Repository};
use crate::reconcile::Reconciler;
use crate::web;

/// Runs until SIGINT or SIGTERM.
pub(super) async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    telemetry::install(&settings.log).context("the log")?;
    let address = std::net::SocketAddr::new(settings.server.host, settings.server.port);
    // Before anything is opened: a second start must not touch the data of the first.
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on; stop what uses it, or set PORT to another port"))?;
    let address = listener.local_addr().context("the port")?;
    let terminal = Terminal::of_this_process();
    terminal.say(&format!("Claude Manager {} is starting", env!("CARGO_PKG_VERSION")));
    terminal.say(&format!("  data        {}", settings.data_dir.display()));
    terminal.say(&format!("  repository  {}", settings.state.repository.as_deref().unwrap_or("state.git in it")));
    let wired = wiring::wire(&settings, Access::Write).await?;
    terminal.say(&format!("  cluster     {}, namespace {}", wired.cluster, settings.namespace));
    let auth = Auth::open(&settings.data_dir).context("the administrator token")?;
    let reconciler = Reconciler::start(wired.parts.clone());
    let changes = Changes::start(wired.parts.repository.clone(), Arc::clone(&wired.parts.age_identities), {
        let reconciler = reconciler.clone();
        Arc::new(move || reconciler.nudge())
    });
    tokio::spawn(follow_refs(wired.parts.repository.clone(), reconciler.clone()));
    if wired.parts.repository.remote().is_some() {
        let every = Duration::from_secs(settings.state.poll_seconds);
        tokio::spawn(poll_remote(wired.parts.repository.clone(), reconciler.clone(), every));
    }
    let settings = Arc::new(settings);
    let parts = &wired.parts;
    let services = web::Services {
        changes,
        reconciler: reconciler.clone(),
        reader: git::Reader::new(parts.repository.clone()),
        client: parts.client.clone(),
        namespace: parts.namespace.clone(),
    };
    let state = web::AppState::new(services, parts.store.clone(), Arc::clone(&settings), parts.metrics.clone(), auth);
    let router = web::router(state.clone());
    // The first answer already knows every project.
    reconciler.load().await;
    // "Everywhere" is no address to open.
    let host = if address.ip().is_unspecified() { "localhost".to_owned() } else { address.ip().to_string() };
    let host = if address.is_ipv6() && !address.ip().is_unspecified() { format!("[{host}]") } else { host };
    let stopped = stopped().context("the signals")?;
    let site = format!("http://{host}:{}{}", address.port(), settings.server.base_path);
    terminal.ready(&site, &wired, &settings)?;
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stopping(stopped, state)).into_future() => {
            served.context("serving")?;
        }
        () = reconciler.ended() => anyhow::bail!("the reconciler ended, see the log; start again"),
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
            let token = auth::administrator_token(&settings.data_dir).context("the administrator token")?;
            let link = settings.server.public_url.as_deref().unwrap_or(site);
            let _ = writeln!(out, "\nOpen {link}/sign-in?token={token}\nCtrl-C stops everything.\n");
        } else {
            let _ = writeln!(out, "Claude Manager is ready: {site} (cluster: {}, data: {data})", wired.cluster);
            tracing::info!("sign in at {site}/sign-in with the token in {data}/admin-token");
        }
        Ok(())
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

/// What has no end of its own ends when the program is told to stop; the rest is finished.
async fn stopping(stopped: impl Future<Output = ()>, state: web::AppState) {
    stopped.await;
    state.close_streams();
}

/// Ends with the first SIGINT or SIGTERM after this call.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
