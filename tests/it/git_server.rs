//! A Git server on loopback, by plain files over HTTP, for agents to clone from.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::manager::git_ok;

/// A server with one small repository, `app`.
pub(crate) struct GitServer {
    directory: tempfile::TempDir,
    address: String,
}

impl GitServer {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let work = directory.path().join("work");
        std::fs::create_dir(&work).expect("made");
        git_ok(&work, &["init", "-q", "-b", "main"]);
        std::fs::write(work.join("README"), "Hello\n").expect("written");
        git_ok(&work, &["add", "README"]);
        git_ok(&work, &["commit", "-q", "-m", "Begin"]);
        git_ok(directory.path(), &["clone", "-q", "--bare", "work", "app.git"]);
        git_ok(&directory.path().join("app.git"), &["update-server-info"]);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let router = Router::new().fallback(file).with_state(directory.path().to_owned());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { directory, address }
    }

    /// The address of a repository; only `app` is there.
    pub(crate) fn url(&self, name: &str) -> String {
        assert!(self.directory.path().exists());
        format!("http://{}/{name}.git", self.address)
    }
}

async fn file(State(directory): State<PathBuf>, request: Request) -> Response {
    let below = request.uri().path().trim_start_matches('/');
    if Path::new(below).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match std::fs::read(directory.join(below)) {
        Ok(bytes) => bytes.into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
