//! A git server on the loopback address: `git http-backend` behind a few lines of CGI that ask for a token.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::manager::git_ok;

/// A running server; stops with the runtime of its test.
pub(crate) struct GitServer {
    shared: Arc<Shared>,
    address: String,
}

struct Shared {
    directory: TempDir,
    token: Option<String>,
    /// Whether packs are held back.
    holding: AtomicBool,
    /// How many requests are held back now.
    held: AtomicUsize,
    users: Mutex<Vec<String>>,
}

impl GitServer {
    /// Starts one. With a token it lets nobody in who does not show it as a password.
    pub(crate) async fn start(token: Option<&str>) -> Self {
        let shared = Arc::new(Shared {
            directory: tempfile::tempdir().unwrap(),
            token: token.map(str::to_owned),
            holding: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            users: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { shared, address }
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}.git", self.address)
    }

    pub(crate) fn path(&self) -> &Path {
        self.shared.directory.path()
    }

    /// Makes a repository with a commit on each branch; the first is its default.
    pub(super) fn repository(&self, name: &str, branches: &[&str]) {
        repository(self.path(), name, branches);
    }

    /// Adds one repository to another as a submodule, by an address relative to it.
    pub(super) fn submodule(&self, repository: &str, branch: &str, part: &str) {
        let work = self.path().join("work");
        let bare = self.path().join(format!("{repository}.git"));
        git_ok(self.path(), &["clone", "-q", "-b", branch, bare.to_str().unwrap(), "work"]);
        let head = git_ok(&self.path().join(format!("{part}.git")), &["rev-parse", "HEAD"]);
        let modules = format!("[submodule \"{part}\"]\n\tpath = {part}\n\turl = ../{part}.git\n");
        std::fs::write(work.join(".gitmodules"), modules).unwrap();
        git_ok(&work, &["add", ".gitmodules"]);
        let entry = format!("160000,{},{part}", head.trim());
        git_ok(&work, &["update-index", "--add", "--cacheinfo", &entry]);
        git_ok(&work, &["commit", "-q", "-m", "a part"]);
        git_ok(&work, &["push", "-q", "origin", branch]);
        std::fs::remove_dir_all(work).unwrap();
    }

    /// Holds packs back from now on.
    pub(super) fn hold(&self) {
        self.shared.holding.store(true, Ordering::SeqCst);
    }

    /// Whether somebody waits for a pack.
    pub(super) fn held(&self) -> bool {
        self.shared.held.load(Ordering::SeqCst) > 0
    }

    pub(super) fn release(&self) {
        self.shared.holding.store(false, Ordering::SeqCst);
    }

    /// The user names that were shown, each once.
    pub(crate) fn users(&self) -> Vec<String> {
        let mut users = self.shared.users.lock().unwrap().clone();
        users.sort();
        users.dedup();
        users
    }
}

/// Makes a bare repository `name.git` in a directory.
pub(super) fn repository(directory: &Path, name: &str, branches: &[&str]) {
    let work = directory.join(format!("{name}-work"));
    git_ok(directory, &["init", "-q", "-b", branches[0], work.to_str().unwrap()]);
    for branch in branches {
        git_ok(&work, &["checkout", "-q", "-B", branch]);
        std::fs::write(work.join("file"), branch).unwrap();
        git_ok(&work, &["add", "file"]);
        git_ok(&work, &["commit", "-q", "-m", branch]);
    }
    git_ok(&work, &["checkout", "-q", branches[0]]);
    git_ok(directory, &["clone", "-q", "--bare", work.to_str().unwrap(), &format!("{name}.git")]);
    std::fs::remove_dir_all(work).unwrap();
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if let Some(token) = &shared.token {
        let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let pair = shown.and_then(|text| STANDARD.decode(text.strip_prefix("Basic ")?).ok());
        let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let (user, password) = pair.split_once(':').unwrap_or_default();
        if password != token {
            let ask = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
            return (StatusCode::UNAUTHORIZED, ask, "who are you?").into_response();
        }
        shared.users.lock().unwrap().push(user.to_owned());
    }
    if request.uri().path().ends_with("/git-upload-pack") {
        shared.held.fetch_add(1, Ordering::SeqCst);
        while shared.holding.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shared.held.fetch_sub(1, Ordering::SeqCst);
    }
    backend(&shared, request).await
}

/// What `git http-backend` answers (RFC 3875).
async fn backend(shared: &Shared, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", shared.directory.path())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = tokio::spawn(async move {
        let _ = input.write_all(&body).await;
    });
    let output = child.wait_with_output().await.unwrap().stdout;
    writer.await.unwrap();
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut response = Response::builder().status(200);
    for line in head.lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap().parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    let content = Bytes::copy_from_slice(output.get(end + 4..).unwrap_or_default());
    response.body(axum::body::Body::from(content)).unwrap()
}
