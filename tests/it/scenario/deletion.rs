//! A commit that takes many projects away at once takes none away until somebody confirms it.

use super::{append, project, push, update};
use crate::manager::{Manager, git_ok};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

async fn with_projects() -> Manager {
    let manager = Manager::embedded();
    for name in NAMES {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
    }
    for name in NAMES {
        manager.project_until(name, |project| project["appliedRevision"].is_string()).await;
    }
    manager
}

async fn count(manager: &Manager) -> u64 {
    manager.expect("GET", "/api/projects", None, 200).await["total"].as_u64().expect("a total")
}

/// Waits until a project is not known any more.
async fn gone(manager: &Manager, name: &str) {
    for _ in 0..300 {
        if manager.api("GET", &format!("/api/projects/{name}"), None).await.0 == 404 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!(
        "{name} is still there: {:#}\n{}",
        manager.api("GET", &format!("/api/projects/{name}"), None).await.1,
        manager.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_loses_the_list_deletes_nothing_until_it_is_confirmed_or_reverted() {
    let mut manager = with_projects().await;
    let clone = manager.clone_state("clone");
    let root = clone.join("kustomization.yaml");
    let text = std::fs::read_to_string(&root).expect("the root");
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("projects/") || line.ends_with("/a")).collect();
    std::fs::write(&root, without.join("\n") + "\n").expect("written");
    git_ok(
        &clone,
        &[
            "rm",
            "-rq",
            "projects/b",
            "projects/c",
            "projects/d",
            "projects/e",
            "projects/f",
            "projects/g",
            "projects/h",
        ],
    );
    push(&clone, "Merge gone wrong");

    for start in ["as it runs", "after a start"] {
        let held = manager.project_until("b", |b| b["reason"] == "DeletionHeld").await;
        let message = held["message"].as_str().expect("a message");
        assert!(
            message.contains("7 of 8 projects") && message.contains("Confirm-Deletions: yes"),
            "{start}: {message}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(count(&manager).await, 8, "{start}: nothing is gone");
        // The others are worked for all the same.
        manager.expect("POST", "/api/projects/a/stop", None, 200).await;
        manager.project_until("a", |a| a["phase"] == "Stopped").await;
        manager.expect("POST", "/api/projects/a/start", None, 200).await;
        manager.kill();
        manager.run();
    }

    // A revert is as good as if nothing had been.
    update(&clone);
    let bad = git_ok(&clone, &["log", "-1", "--format=%H", "--grep=Merge gone wrong"]);
    git_ok(&clone, &["revert", "--no-edit", bad.trim()]);
    git_ok(&clone, &["push", "-q"]);
    manager.project_until("b", |b| b["reason"] != "DeletionHeld").await;

    // Meant this time: the same commit, and then somebody's word.
    git_ok(&clone, &["revert", "--no-edit", "HEAD"]);
    git_ok(&clone, &["push", "-q"]);
    manager.project_until("b", |b| b["reason"] == "DeletionHeld").await;
    git_ok(&clone, &["commit", "-q", "--allow-empty", "-m", "Confirm the deletions\n\nConfirm-Deletions: yes"]);
    git_ok(&clone, &["push", "-q"]);
    for name in &NAMES[1..] {
        gone(&manager, name).await;
    }
    assert_eq!(count(&manager).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_deletes_needs_no_second_word() {
    let manager = with_projects().await;
    for name in &NAMES[1..] {
        assert_eq!(manager.api("DELETE", &format!("/api/projects/{name}"), None).await.0 / 100, 2);
    }
    for name in &NAMES[1..] {
        gone(&manager, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_annotation_keeps_of_an_earlier_deletion_is_no_mass_deletion_after_a_start() {
    let mut manager = with_projects().await;
    let clone = manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "policy: {prune: {projects: 2, percent: 0}}\n");
    for name in ["a", "b", "c", "d"] {
        let keep = "- target: {kind: Service}\n  patch: |-\n    - op: add\n      path: /metadata/annotations\n      value: \
                    {claude-manager.io/prune: disabled}\n";
        append(&clone, &format!("projects/{name}/kustomization.yaml"), keep);
    }
    push(&clone, "Keep four Services whatever happens");
    let head = git_ok(&clone, &["rev-parse", "HEAD"]).trim().to_owned();
    for name in NAMES {
        manager.project_until(name, |project| project["appliedRevision"] == *head).await;
    }
    for name in ["a", "b", "c", "d"] {
        assert_eq!(manager.api("DELETE", &format!("/api/projects/{name}"), None).await.0 / 100, 2);
    }
    for name in ["a", "b", "c", "d"] {
        gone(&manager, name).await;
    }
    manager.kill();
    manager.run();
    // Two more by a push are as many as the policy allows: what is left of the others is kept, and goes nowhere.
    update(&clone);
    let root = clone.join("kustomization.yaml");
    let text = std::fs::read_to_string(&root).expect("the root");
    let lines: Vec<&str> =
        text.lines().filter(|line| !["projects/e", "projects/f"].iter().any(|p| line.ends_with(p))).collect();
    std::fs::write(&root, lines.join("\n") + "\n").expect("written");
    git_ok(&clone, &["rm", "-rq", "projects/e", "projects/f"]);
    push(&clone, "Two less");
    for name in ["e", "f"] {
        gone(&manager, name).await;
    }
    assert_eq!(count(&manager).await, 2);
}
