//! A commit that restarts many environments restarts them by turns, and breaks no more than have one.

use serde_json::Value;

use super::{append, project, push, update};
use crate::control_plane::{ControlPlane, MISSING_IMAGE};
use crate::git_server::GitServer;
use crate::manager::{Manager, git_ok};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_to_the_base_goes_round_by_turns_and_a_bad_one_stops_at_the_first() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2 * NAMES.len());
    let namespace = cluster.namespace("turns");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    for name in NAMES {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
    }
    for name in NAMES {
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    let clone = manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "rollout: {restarts: 1}\n");
    push(&clone, "One at a time");

    // A base that breaks: one environment is broken by it, the others run on and say that they wait.
    let base = clone.join("base/statefulset.yaml");
    let good = std::fs::read_to_string(&base).expect("the base");
    let bad = good
        .replace("terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 61")
        .replace("image: claude-dev-env", &format!("image: {MISSING_IMAGE}"));
    assert_ne!(good, bad);
    std::fs::write(&base, bad).expect("written");
    push(&clone, "A base with a bad image");
    let listed = |wanted: fn(&[Value]) -> bool| {
        let manager = &manager;
        async move {
            for _ in 0..600 {
                let list = manager.expect("GET", "/api/projects?limit=10", None, 200).await;
                let items = list["items"].as_array().expect("items").clone();
                if wanted(&items) {
                    return items;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            panic!("never as wanted: {:#}", manager.expect("GET", "/api/projects?limit=10", None, 200).await);
        }
    };
    let items = listed(|items| {
        let waiting = items.iter().filter(|item| item["message"].to_string().contains("its turn")).count();
        let failed = items.iter().filter(|item| item["phase"] == "Failed").count();
        waiting == 3 && failed == 1
    })
    .await;
    assert!(items.iter().any(|item| item["reason"] == "ImagePullFailed"), "{items:#?}");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let sets = cluster.objects(&namespace, "statefulset");
    let changed =
        sets.iter().filter(|set| set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 61).count();
    assert_eq!(changed, 1, "three environments still run as they did");

    // A single project that somebody changes does not wait.
    manager.expect("POST", "/api/projects/d/stop", None, 200).await;
    manager.project_until("d", |project| project["phase"] == "Stopped").await;

    // The commit that mends it goes round, one at a time.
    update(&clone);
    std::fs::write(&base, good.replace("terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 62"))
        .expect("written");
    push(&clone, "A base that works");
    let mut most = 0;
    for _ in 0..1200 {
        let list = manager.expect("GET", "/api/projects?limit=10", None, 200).await;
        let items = list["items"].as_array().expect("items");
        most = most.max(items.iter().filter(|item| item["phase"] == "Starting").count());
        if items.iter().filter(|item| item["phase"] == "Running").count() == 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    for name in ["a", "b", "c"] {
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    assert!(most <= 1, "{most} restarted at once");
    let sets = cluster.objects(&namespace, "statefulset");
    assert!(sets.iter().all(|set| set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 62));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_environment_is_asked_whether_a_turn_runs_before_it_restarts() {
    // Real agents: with the embedded cluster each answers on its own address.
    let server = GitServer::start().await;
    let manager = Manager::start(&[("LOG_LEVEL", "debug")]);
    for name in ["a", "b"] {
        let mut body = project(name);
        body["gitRepository"] = server.url("app").into();
        manager.expect("POST", "/api/projects", Some(body), 201).await;
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    let clone = manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "rollout: {restarts: 1}\n");
    let base = clone.join("base/statefulset.yaml");
    let text = std::fs::read_to_string(&base).expect("the base");
    let changed = text.replace("terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 61");
    assert_ne!(text, changed);
    std::fs::write(&base, changed).expect("written");
    push(&clone, "Another minute, one at a time");
    let head = git_ok(&clone, &["rev-parse", "HEAD"]).trim().to_owned();
    for name in ["a", "b"] {
        let is_there = |project: &Value| project["appliedRevision"] == *head && project["phase"] == "Running";
        manager.project_until(name, is_there).await;
    }
    let log = manager.log();
    let asked = log.lines().filter(|line| line.contains("asked whether a turn runs")).count();
    assert_eq!(asked, 2, "each once, and both are idle: {log}");
}
