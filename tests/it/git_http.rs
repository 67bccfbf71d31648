//! The state repository over HTTP, with the real git.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::manager::{Manager, git, git_ok};

impl Manager {
    /// A new token with this role.
    pub(crate) fn token_of(&self, role: &str) -> String {
        let made = self.command(&["token", "create", "--role", role, "--ttl", "10m"]).output().expect("the program");
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).expect("text").trim().to_owned()
    }

    /// The repository's address with a password.
    fn remote(&self, password: &str) -> String {
        self.url("/git/state.git").replacen("http://", &format!("http://anybody:{password}@"), 1)
    }
}

/// Runs git without a way to ask for a password.
fn ask(directory: &Path, arguments: &[&str]) -> Output {
    git(directory, &[&["-c", "core.askPass=true", "-c", "credential.helper="], arguments].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn project(manager: &Manager, name: &str) {
    let body = json!({"name": name, "shortName": name, "gitRepository": "https://git.example/x.git"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_and_fetches_with_a_token_and_is_told_where_to_push() {
    let manager = Manager::embedded();
    project(&manager, "one").await;
    let home = manager.data().parent().expect("a parent").to_owned();
    let viewer = manager.token_of("viewer");
    let url = manager.remote(&viewer);

    git_ok(&home, &["clone", "-q", &url, "whole"]);
    let whole = home.join("whole");
    assert!(whole.join("projects/one/kustomization.yaml").is_file());
    let refs = git_ok(&whole, &["ls-remote", "origin"]);
    assert!(refs.contains("refs/heads/main") && !refs.contains("refs/claude-manager"), "{refs}");

    let header = format!("http.extraHeader=Authorization: Bearer {viewer}");
    let plain = manager.url("/git/state.git");
    git_ok(&home, &["-c", &header, "clone", "-q", "--depth", "1", &plain, "shallow"]);
    assert_eq!(git_ok(&home.join("shallow"), &["rev-list", "--count", "HEAD"]).trim(), "1");
    git_ok(&home, &["clone", "-q", "--filter=blob:none", &url, "partial"]);
    assert!(home.join("partial/projects/one/kustomization.yaml").is_file(), "missing blobs are fetched");
    git_ok(&home, &["-c", "protocol.version=0", "clone", "-q", &url, "old"]);

    project(&manager, "two").await;
    for clone in ["whole", "shallow", "partial", "old"] {
        let config = ["-c", header.as_str()];
        let config = if clone == "shallow" { &config[..] } else { &[] };
        git_ok(&home.join(clone), &[config, &["pull", "-q", "--ff-only"]].concat());
        assert!(home.join(clone).join("projects/two/kustomization.yaml").is_file(), "{clone}");
    }
    let (head, _) = (git_ok(&whole, &["rev-parse", "HEAD"]), ());
    assert_eq!(head, git_ok(&manager.data().join("state.git"), &["rev-parse", "main"]));
    git_ok(&home, &["clone", "-q", &manager.remote(&manager.token()), "by-administrator"]);

    std::fs::write(whole.join("note.md"), "x").expect("a file");
    git_ok(&whole, &["add", "-A"]);
    git_ok(&whole, &["commit", "-qm", "Note"]);
    let pushed = ask(&whole, &["push", "-q"]);
    assert!(!pushed.status.success());
    assert!(said(&pushed).contains("pushing over HTTP follows; push to the directory state.git"), "{}", said(&pushed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_or_a_hostile_path_gets_nothing() {
    let manager = Manager::embedded();
    let home = manager.data().parent().expect("a parent").to_owned();
    for password in ["wrong", "", "eyJhbGciOiJub25lIn0.e30."] {
        let output = ask(&home, &["clone", "-q", &manager.remote(password), "none"]);
        assert!(!output.status.success() && said(&output).contains("Authentication failed"), "{}", said(&output));
    }
    let output = ask(&home, &["clone", "-q", &manager.url("/git/state.git"), "none"]);
    assert!(!output.status.success(), "without a password");
    assert!(!home.join("none").exists());

    let token = manager.token();
    for (path, status) in [
        ("/git/state.git/HEAD", "404"),
        ("/git/state.git/config", "404"),
        ("/git/state.git/objects/info/packs", "404"),
        ("/git/../git/state.git/info/refs?service=git-upload-pack", "404"),
        ("/git/..%2f..%2fetc/info/refs?service=git-upload-pack", "404"),
        ("/git/other.git/info/refs?service=git-upload-pack", "404"),
        ("/git/state.git/info/refs", "403"),
        ("/git/state.git/info/refs?service=git-upload-archive", "403"),
        ("/git/state.git/info/refs?service=--upload-pack=x", "403"),
    ] {
        // A client of ours would tidy the path.
        let answer = raw(&manager, "GET", path, &[&format!("Authorization: Bearer {token}")], b"");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let bearer = format!("Authorization: Bearer {token}");
    let kind = "Content-Type: application/x-git-upload-pack-request";
    for (headers, body, status) in [
        (vec![bearer.as_str()], &b"0000"[..], "415"),
        (vec![&bearer, kind, "Content-Encoding: gzip"], b"no gzip", "400"),
        (vec![&bearer, kind, "Content-Encoding: br"], b"0000", "400"),
        (vec![kind], b"0000", "401"),
    ] {
        let answer = raw(&manager, "POST", "/git/state.git/git-upload-pack", &headers, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers:?}: {answer}");
    }
    // Garbage ends the program, and the connection before the end of its answer.
    raw(&manager, "POST", "/git/state.git/git-upload-pack", &[&bearer, kind], b"zzzz what is this");
    manager.expect("GET", "/api/projects", None, 200).await;
}

/// Sends a request and gives the beginning of the answer.
fn raw(manager: &Manager, method: &str, path: &str, headers: &[&str], body: &[u8]) -> String {
    let mut socket = send(manager, method, path, headers, body);
    let mut answer = vec![0; 4096];
    let count = socket.read(&mut answer).unwrap_or_default();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

fn send(manager: &Manager, method: &str, path: &str, headers: &[&str], body: &[u8]) -> TcpStream {
    let address = manager.url("").replace("http://", "");
    let mut socket = TcpStream::connect(&address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n");
    socket.write_all(&[head.as_bytes(), body].concat()).expect("sent");
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_ends_the_program_with_its_children() {
    let manager = Manager::embedded();
    let state = manager.data().join("state.git");
    // 40 MB that cannot be packed, on a branch that the manager does not look at.
    let mut noise = vec![0_u8; 40 * 1024 * 1024];
    let mut seed = 1_u64;
    for part in noise.chunks_mut(8) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        part.copy_from_slice(&seed.rotate_left(29).to_le_bytes()[..part.len()]);
    }
    std::fs::write(manager.beside("noise"), noise).expect("a file");
    let noise = manager.beside("noise").display().to_string();
    let blob = git_ok(&state, &["hash-object", "-w", &noise]).trim().to_owned();

    let bearer = format!("Authorization: Bearer {}", manager.token_of("viewer"));
    let kind = "Content-Type: application/x-git-upload-pack-request";
    let body = format!("0012command=fetch\n00010032want {blob}\n0009done\n0000");
    let headers = [bearer.as_str(), kind, "Git-Protocol: version=2"];
    let mut socket = send(&manager, "POST", "/git/state.git/git-upload-pack", &headers, body.as_bytes());
    let mut part = vec![0; 64 * 1024];
    socket.read_exact(&mut part).expect("the beginning of a pack");
    assert!(String::from_utf8_lossy(&part).contains("packfile"), "{}", String::from_utf8_lossy(&part[..500]));
    let group = group_of_fetch(manager.pid());
    assert!(!group.is_empty(), "the program waits for its reader");
    // A program that writes meets a closed pipe and ends by itself; one that is busy elsewhere, as a stopped one, does not.
    for pid in &group {
        assert!(Command::new("kill").args(["-STOP", &pid.to_string()]).status().expect("kill").success());
    }

    drop(socket);

    let deadline = Instant::now() + Duration::from_secs(10);
    while group.iter().any(|pid| is_alive(*pid)) {
        assert!(Instant::now() < deadline, "still there: {group:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Fields of `/proc/PID/stat` behind the name: state, parent, process group.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|fields| fields[0] != "Z")
}

/// The processes in the groups of the `git upload-pack` children of a process.
fn group_of_fetch(parent: u32) -> Vec<u32> {
    let pids: Vec<u32> = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let line = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_child = |pid: &u32| stat(*pid).is_some_and(|fields| fields[1] == parent.to_string());
    let leaders: Vec<String> = pids
        .iter()
        .filter(|pid| is_child(pid) && line(**pid).contains("upload-pack"))
        .map(ToString::to_string)
        .collect();
    pids.into_iter().filter(|pid| stat(*pid).is_some_and(|fields| leaders.contains(&fields[2]))).collect()
}
