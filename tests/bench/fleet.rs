//! The figures that the README names, measured: `cargo bench --bench fleet [-- PROJECTS]`.
//!
//! Start to serving and memory with ten projects on the embedded cluster; a call to a running environment, and the memory of
//! fifty of them with their manager, on this machine; commit to applied on the real API server with
//! many projects, beside `kubectl apply --server-side -k` of the same tree in the same run. Prints one line a figure.

#![allow(dead_code, missing_docs, reason = "the harness is shared with the integration tests, which use all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark whose set-up fails has nothing to say")]

#[path = "../it/control_plane.rs"]
mod control_plane;
#[path = "../it/git_server.rs"]
mod git_server;
#[path = "../it/http.rs"]
mod http;
#[path = "../it/manager.rs"]
mod manager;

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;
use serde_json::{Value, json};

use control_plane::ControlPlane;
use git_server::GitServer;
use manager::Manager;

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let projects = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(100);
    on_the_embedded_cluster().await;
    on_this_machine().await;
    match ControlPlane::get() {
        Some(cluster) => on_the_real_api_server(cluster, projects).await,
        None => say("commit to applied: not measured, there is no control plane"),
    }
}

fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn project(name: &str) -> Value {
    json!({"name": name, "shortName": name, "gitRepository": "https://git.example/team/app.git", "anthropicApiKey": "x"})
}

async fn on_the_embedded_cluster() {
    let mut manager = Manager::embedded();
    for number in 0..10 {
        let name = format!("p{number}");
        manager.expect("POST", "/api/projects", Some(project(&name)), 201).await;
        manager.project_until(&name, |project| project["appliedRevision"].is_string()).await;
    }
    let mut starts = Vec::new();
    for _ in 0..5 {
        manager.kill();
        let start = Instant::now();
        manager.run();
        while manager.api("GET", "/readyz", None).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        starts.push(start.elapsed());
    }
    manager.project_until("p9", |project| project["appliedRevision"].is_string()).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    say(&format!("start to serving, 10 projects, median of 5: {:?}", median(&mut starts)));
    let status = std::fs::read_to_string(format!("/proc/{}/status", manager.pid())).unwrap_or_default();
    for field in ["VmRSS", "VmHWM"] {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap_or("not known here");
        say(&format!("memory, 10 projects: {}", line.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
}

/// Environments that run here, each with a small repository to clone.
async fn on_this_machine() {
    const ALL: usize = 50;
    let server = GitServer::start().await;
    let mut manager = Manager::embedded();
    let make = |number: usize| json!({"name": number.to_string(), "shortName": format!("p{number}"), "gitRepository": server.url("app")});
    let mut times = Vec::new();
    for number in 0..10 {
        let begun = Instant::now();
        manager.expect("POST", "/api/projects", Some(make(number)), 201).await;
        while manager.api("GET", &format!("/api/projects/p{number}"), None).await.1["phase"] != "Running" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times.push(begun.elapsed());
    }
    let worst = times.iter().max().copied().unwrap_or_default();
    say(&format!("create to Running, local repository, median of 10: {:?}, worst {worst:?}", median(&mut times)));
    for number in 10..ALL {
        manager.expect("POST", "/api/projects", Some(make(number)), 201).await;
    }
    for number in 0..ALL {
        manager.project_until(&format!("p{number}"), |project| project["phase"] == "Running").await;
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = processor_time(manager.pid());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let busy = processor_time(manager.pid()) - before;
    say(&format!(
        "manager with {ALL} running environments: {} kB, {busy} ms of processor time in 20 s",
        resident(manager.pid())
    ));
    let mut agents: Vec<u64> = manager.agents().iter().map(|pid| resident(pid.unsigned_abs())).collect();
    agents.sort_unstable();
    let (middle, largest) = (agents[agents.len() / 2], agents[agents.len() - 1]);
    say(&format!("idle agents, {} of them: median {middle} kB, largest {largest} kB", agents.len()));
    say(&format!("Ctrl-C with {ALL} running environments: {:?}", manager.interrupt()));
}

/// The resident memory of a process in kB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// The processor time of a process in milliseconds, by ticks of ten.
fn processor_time(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) * 10
}

async fn on_the_real_api_server(cluster: &ControlPlane, projects: usize) {
    let namespace = cluster.namespace("bench");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    let begun = Instant::now();
    for number in 0..projects {
        let name = format!("p{number}");
        manager.expect("POST", "/api/projects", Some(project(&name)), 201).await;
        manager.expect("POST", &format!("/api/projects/{name}/stop"), None, 200).await;
    }
    for number in 0..projects {
        manager.project_until(&format!("p{number}"), |project| project["phase"] == "Stopped").await;
    }
    say(&format!("{projects} projects made and stopped, one call after another: {:?}", begun.elapsed()));

    let sets: Api<StatefulSet> = Api::namespaced(cluster.client().await, &namespace);
    let (mut calls, mut times) = (Vec::new(), Vec::new());
    for round in 0..40 {
        let name = format!("p{}", (round * 7) % projects);
        let display = format!("Round {round}");
        let called = Instant::now();
        manager.expect("PUT", &format!("/api/projects/{name}"), Some(json!({"name": display})), 200).await;
        let committed = Instant::now();
        loop {
            let set = sets.get(&format!("{name}-env")).await.expect("the StatefulSet");
            let annotations = set.metadata.annotations.unwrap_or_default();
            if annotations.get("claude-manager.io/display-name") == Some(&display) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times.push(committed.elapsed());
        calls.push(called.elapsed());
    }
    for (what, mut times) in [("commit acknowledged", times), ("call", calls)] {
        let worst = times.iter().max().copied().unwrap_or_default();
        say(&format!(
            "{what} to applied, {projects} projects, median of 40: {:?}, worst {worst:?}",
            median(&mut times)
        ));
    }

    let clone = manager.clone_state("clone");
    let mut peer = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let path = clone.display().to_string();
        cluster.expect(["apply", "--server-side", "--force-conflicts", "--field-manager=peer", "-k", &path]);
        peer.push(start.elapsed());
    }
    say(&format!("peer: kubectl apply --server-side -k, {projects} projects, median of 3: {:?}", median(&mut peer)));
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}
