//! Backups that go wrong: a target that is away, refuses, has another history, or a process that is killed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Target, back_up, create_project, head, status_until};
use crate::manager::{Manager, git_ok};

/// Makes pushes to the target wait until a file is removed; gives that file, and the one that says that a push waits.
fn slow(target: &Target) -> (std::path::PathBuf, std::path::PathBuf) {
    let (gate, waiting) = (target.directory.path().join("gate"), target.directory.path().join("waiting"));
    std::fs::write(&gate, "").unwrap();
    let hook = target.path().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let script =
        format!("#!/bin/sh\ntouch '{}'\nwhile test -e '{}'; do sleep 0.1; done\n", waiting.display(), gate.display());
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    (gate, waiting)
}

async fn until_exists(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !path.exists() {
        assert!(Instant::now() < deadline, "{} never appeared", path.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_away_is_told_and_the_next_try_makes_the_same_backup() {
    let target = Target::new();
    let manager = target.manager(&[]);
    back_up(&manager).await;
    create_project(&manager, "shop").await;
    let away = target.directory.path().join("away.git");
    std::fs::rename(target.path(), &away).unwrap();

    let problem = manager.expect("POST", "/api/backup/create", None, 503).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("pushing to") && detail.contains("check the path"), "{detail}");
    manager.expect("POST", "/api/backup/create", None, 503).await;
    let status = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert_eq!((&status["state"], &status["failure"]["attempts"]), (&json!("failed"), &json!(2)), "{status:#}");
    assert!(status["failure"]["since"].as_str() <= status["failure"]["at"].as_str());
    let health = manager.expect("GET", "/api/monitoring/health", None, 200).await;
    assert_eq!(
        (&health["status"], &health["components"]["backup"]["status"]),
        (&json!("degraded"), &json!("degraded"))
    );
    let listed = manager.expect("GET", "/api/backup/list", None, 200).await;
    assert_eq!(listed["total"], 2, "two tries for one commit are one backup: {listed:#}");
    assert_eq!((&listed["items"][0]["isLocal"], &listed["items"][0]["isRemote"]), (&json!(true), &json!(false)));

    std::fs::rename(&away, target.path()).unwrap();
    let made = back_up(&manager).await;
    assert_eq!(made["timestamp"], listed["items"][0]["timestamp"]);
    assert_eq!(target.commit_of("main"), head(&manager));
    let health = manager.expect("GET", "/api/monitoring/health", None, 200).await;
    assert_eq!(health["components"]["backup"]["status"], "ok", "{health:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backup_is_made_at_the_next_start() {
    let target = Target::new();
    let mut manager = target.manager(&[("BACKUP_INTERVAL_HOURS", "1000")]);
    status_until(&manager, "backed up", |status| status["last"].is_object()).await;
    create_project(&manager, "shop").await;
    let head = head(&manager);
    let (gate, waiting) = slow(&target);
    let (http, url, token) = (crate::http::client(), manager.url("/api/backup/create"), manager.token());
    let asked = tokio::spawn(async move { http.post(url).bearer_auth(token).send().await });
    until_exists(&waiting).await;

    manager.kill();
    assert!(asked.await.unwrap().is_err());
    std::fs::remove_file(&gate).unwrap();
    manager.run();

    let done = status_until(&manager, "made again", |status| status["last"]["revision"] == head.as_str()).await;
    assert_eq!((&done["state"], &done["failure"]), (&json!("ok"), &json!(null)), "{done:#}");
    let name = format!("backup/{}", done["last"]["timestamp"].as_str().unwrap());
    assert_eq!(target.commit_of(&name), head);
    assert_eq!(target.tags().len(), 2, "the killed backup has the same name: {:?}", target.tags());
    git_ok(&manager.data().join("backup/backup.git"), &["fsck", "--full", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_runs_at_a_time() {
    let target = Target::new();
    let manager = target.manager(&[]);
    let (gate, waiting) = slow(&target);
    let (http, url, token) = (crate::http::client(), manager.url("/api/backup/create"), manager.token());
    let first = tokio::spawn(async move { http.post(url).bearer_auth(token).send().await.unwrap().status() });
    until_exists(&waiting).await;
    let problem = manager.expect("POST", "/api/backup/create", None, 409).await;
    assert!(problem["detail"].as_str().unwrap().contains("a backup is being made since"), "{problem:#}");
    let status = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert!(status["runningSince"].is_string(), "{status:#}");
    std::fs::remove_file(&gate).unwrap();
    assert_eq!(first.await.unwrap(), 201);
    back_up(&manager).await;
    let status = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert!(status["runningSince"].is_null(), "{status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_is_never_overwritten_and_the_tag_is_there_all_the_same() {
    let target = Target::new();
    let unrelated = target.commit(&[("2023-12-01T10-30-00-000Z/project.yaml", "kind: Pod\n")], None);
    git_ok(&target.path(), &["update-ref", "refs/heads/main", &unrelated]);
    let manager = target.manager(&[]);

    let made = back_up(&manager).await;

    let why = made["branchRefused"].as_str().unwrap();
    assert!(why.contains("nothing to do with the state repository") && why.contains("BACKUP_GIT_BRANCH"), "{why}");
    assert_eq!(target.commit_of("main"), unrelated);
    assert_eq!(target.commit_of(&format!("backup/{}", made["timestamp"].as_str().unwrap())), head(&manager));
    let status = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert!(status["message"].as_str().unwrap().contains("nothing to do with"), "{status:#}");
    // The exports of the manager before this one are listed, and no more.
    let listed = manager.expect("GET", "/api/backup/list", None, 200).await;
    let old = &listed["items"][1];
    assert_eq!(
        (&old["timestamp"], &old["restorable"]),
        (&json!("2023-12-01T10-30-00-000Z"), &json!(false)),
        "{listed:#}"
    );
    let order = json!({"timestamp": "2023-12-01T10:30:00Z"});
    let problem = manager.expect("POST", "/api/backup/restore", Some(order), 409).await;
    assert!(problem["detail"].as_str().unwrap().contains("manager before this one"), "{problem:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_somebody_else_has_moved_is_not_taken_back() {
    let target = Target::new();
    let manager = target.manager(&[]);
    back_up(&manager).await;
    let theirs = target.commit(&[("notes.md", "hello\n")], Some(&head(&manager)));
    git_ok(&target.path(), &["update-ref", "refs/heads/main", &theirs]);
    let ahead = back_up(&manager).await;
    assert!(ahead["branchRefused"].as_str().unwrap().contains("is ahead of"), "{ahead:#}");
    create_project(&manager, "shop").await;
    let diverged = back_up(&manager).await;
    assert!(diverged["branchRefused"].as_str().unwrap().contains("are never overwritten"), "{diverged:#}");
    assert_eq!(target.commit_of("main"), theirs);
    // Fast-forward again once the branch is back in the history.
    git_ok(&target.path(), &["update-ref", "refs/heads/main", &format!("{theirs}^")]);
    let made = back_up(&manager).await;
    assert!(made["branchRefused"].is_null(), "{made:#}");
    assert_eq!(target.commit_of("main"), head(&manager));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_has_instead_is_no_backup() {
    let target = Target::new();
    let manager = target.manager(&[]);
    // A server that takes the push and puts something else there.
    let other = target.commit(&[("a", "b\n")], None);
    let hook = target.path().join("hooks/post-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let script = format!("#!/bin/sh\nwhile read old new name; do git update-ref \"$name\" {other}; done\n");
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let problem = manager.expect("POST", "/api/backup/create", None, 503).await;
    assert!(problem["detail"].as_str().unwrap().contains("does not have what was pushed"), "{problem:#}");
    let status = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert_eq!((&status["state"], &status["last"]), (&json!("failed"), &json!(null)), "{status:#}");
}

#[test]
fn the_state_repository_is_no_target() {
    let manager = Manager::start(&[("BACKUP_INTERVAL_HOURS", "0")]);
    let state = manager.data().join("state.git");
    let link = manager.beside("link");
    std::os::unix::fs::symlink(&state, &link).unwrap();
    let mut manager = manager;
    manager.interrupt();
    let copy = manager.data().join("backup/backup.git");
    for (target, word) in [
        (state.display().to_string(), "is the state repository itself"),
        (format!("file://{}/", state.display()), "is the state repository itself"),
        (link.display().to_string(), "is the state repository itself"),
        (manager.data().join("state").display().to_string(), "is the state repository itself"),
        (copy.display().to_string(), "is the local copy"),
    ] {
        let mut command = manager.command(&["serve"]);
        command.env("BACKUP_GIT_REPOSITORY", &target).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut refused = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while refused.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                refused.kill().unwrap();
                panic!("{target}: the manager starts although its backup goes nowhere else");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = refused.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(word), "{target}: {text}");
    }
    manager.run();
}
