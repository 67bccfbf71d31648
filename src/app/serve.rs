//! `serve`: everything, until it is told to stop.

use std::future::IntoFuture;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::config::Settings;
use super::telemetry;
use super::wiring::{self, Access};
use crate::auth::Auth;
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
    let wired = wiring::wire(&settings, Access::Write).await?;
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
    // For people and for scripts that start it with PORT=0.
    let _ = writeln!(
        std::io::stdout(),
        "Claude Manager is ready: http://{address}{} (cluster: {}, data: {})",
        settings.server.base_path,
        wired.cluster,
        settings.data_dir.display()
    );
    tokio::select! {
        served = axum::serve(listener, router).with_graceful_shutdown(stopping(state)).into_future() => {
            served.context("serving")?;
        }
        () = reconciler.ended() => anyhow::bail!("the reconciler ended, see the log; start again"),
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
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
async fn stopping(state: web::AppState) {
    stopped().await;
    state.close_streams();
}

async fn stopped() {
    let interrupt = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
