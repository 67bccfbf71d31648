//! The server's edge: many idle connections, slow clients, tokens of the command line.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::manager::Manager;

fn connect(manager: &Manager) -> TcpStream {
    let socket = TcpStream::connect(manager.url("").replace("http://", "")).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    socket
}

fn ask(socket: &mut TcpStream, path: &str) -> String {
    let _ = socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    let mut answer = vec![0; 4096];
    let count = socket.read(&mut answer).unwrap_or_default();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_with_1024_files_serves_beside_1100_idle_connections() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more files for the test");
    let manager = Manager::with_files("-n 1024");
    let idle: Vec<TcpStream> = (0..1100).map(|_| connect(&manager)).collect();

    assert!(ask(&mut connect(&manager), "/livez").starts_with("HTTP/1.1 200"));
    manager.expect("GET", "/api/projects", None, 200).await;
    let body = json!({"name": "One", "shortName": "one", "gitRepository": "https://git.example/x.git"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    let (_, metrics) = manager.api("GET", "/api/monitoring/metrics", None).await;
    let metrics = metrics.as_str().expect("text").to_owned();
    let line = metrics.lines().find(|line| line.contains("closed_total{reason=\"evicted\"}")).expect("counted");
    assert!(line.rsplit(' ').next().expect("a number").parse::<u32>().expect("a number") >= 332, "{line}");
    drop(idle);
    let doctor = manager.command(&["doctor"]).output().expect("the program");
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("768 connections are served and not 2048"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_holds_less_than_20_kb() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more files for the test");
    let manager = Manager::start(&[("BACKUP_INTERVAL_HOURS", "0")]);
    let memory = || {
        let text = std::fs::read_to_string(format!("/proc/{}/status", manager.pid())).expect("a status");
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("a line").to_owned();
        line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("a number")
    };
    let open = |count: usize| {
        let mut used: Vec<TcpStream> = (0..count).map(|_| connect(&manager)).collect();
        for socket in &mut used {
            assert!(ask(socket, "/livez").starts_with("HTTP/1.1 200"));
        }
        used
    };
    // What the process grows by once, whoever comes, is not what a connection holds.
    let _first = open(500);
    std::thread::sleep(Duration::from_secs(5));
    let before = memory();
    let mut used = open(1000);
    let mut each = u64::MAX;
    for _ in 0..10 {
        std::thread::sleep(Duration::from_secs(2));
        each = each.min(memory().saturating_sub(before) / 1000);
        if each < 20 {
            break;
        }
    }
    assert!(each < 20, "{each} KB");
    assert!(ask(&mut used[0], "/livez").starts_with("HTTP/1.1 200"), "it is still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_soft_limit_of_files_is_raised_and_a_slow_head_is_closed() {
    let manager = Manager::with_files("-S -n 512");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", manager.pid())).expect("limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert!(numbers[0] == numbers[1] && numbers[0] != "512", "{line}");

    let mut slow = connect(&manager);
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: local").expect("sent");
    let begun = std::time::Instant::now();
    assert_eq!(slow.read(&mut [0; 10]).expect("an end"), 0);
    assert!((8..16).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_command_line_has_its_role_and_its_commits_carry_its_name() {
    let mut manager = Manager::embedded();
    let made = |arguments: &[&str]| {
        manager.command(&[&["token", "create"], arguments].concat()).output().expect("the program")
    };
    let viewer = manager.token_of("viewer");
    let named = made(&["--role", "operator", "--ttl", "1h", "--name", "Ana Lopes", "--email", "ana@example.org"]);
    let ana = String::from_utf8(named.stdout).expect("text").trim().to_owned();
    assert_eq!((viewer.split('.').count(), ana.split('.').count()), (3, 3));
    for bad in
        [&["--role", "owner"][..], &["--role", "viewer", "--ttl", "soon"], &["--role", "viewer", "--name", "a<b"], &[]]
    {
        assert!(!made(bad).status.success(), "{bad:?}");
    }
    let http = crate::http::client();
    let create = json!({"name": "One", "shortName": "one", "gitRepository": "https://git.example/x.git"});
    let send = |token: &str| http.post(manager.url("/api/projects")).bearer_auth(token).json(&create).send();
    let refused = send(&viewer).await.expect("an answer");
    assert_eq!(refused.status(), 403);
    let problem: serde_json::Value = refused.json().await.expect("JSON");
    assert!(problem["detail"].as_str().expect("a text").contains("needs the role operator"), "{problem}");
    assert_eq!(send(&ana).await.expect("an answer").status(), 201);
    let author =
        crate::manager::git_ok(&manager.data().join("state.git"), &["log", "-1", "--format=%an <%ae>", "main"]);
    assert_eq!(author.trim(), "Ana Lopes <ana@example.org>");

    let missing = tempfile::tempdir().expect("a directory");
    let none = manager.command(&["token", "create", "--role", "viewer"]).env("DATA_DIR", missing.path()).output();
    let none = String::from_utf8_lossy(&none.expect("the program").stderr).into_owned();
    assert!(none.contains("jwt-secret is not there yet") && none.contains("JWT_SECRET"), "{none}");
    manager.set("JWT_SECRET", "too-short");
    let short = manager.command(&["token", "create", "--role", "viewer"]).output().expect("the program");
    let short = String::from_utf8_lossy(&short.stderr).into_owned();
    assert!(short.contains("JWT_SECRET must have at least 32 characters") && !short.contains("too-short"), "{short}");
    let doctor = manager.command(&["doctor"]).output().expect("the program");
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("JWT_SECRET must have"), "{doctor:?}");
}
