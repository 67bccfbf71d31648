//! Backups over the network: by token and by SSH key.

use serde_json::json;

use super::{back_up, create_project, head};
use crate::agent::git_server::GitServer;
use crate::agent::ssh::Sshd;
use crate::manager::{Manager, git_ok};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_a_server_and_is_in_no_answer_and_no_log() {
    let server = GitServer::start(Some("hunter2-token")).await;
    git_ok(server.path(), &["init", "-q", "--bare", "-b", "main", "backup.git"]);
    git_ok(&server.path().join("backup.git"), &["config", "http.receivepack", "true"]);
    let url = server.url("backup");
    let environment = [("BACKUP_GIT_REPOSITORY", url.as_str()), ("BACKUP_INTERVAL_HOURS", "0")];
    let mut manager = Manager::start(&[&environment[..], &[("BACKUP_GIT_TOKEN", "hunter2-token")]].concat());
    create_project(&manager, "shop").await;
    let made = back_up(&manager).await;
    let tag = format!("backup/{}", made["timestamp"].as_str().unwrap());
    assert_eq!(git_ok(&server.path().join("backup.git"), &["rev-parse", &tag]).trim(), head(&manager));
    assert_eq!(server.users(), ["x-access-token"]);
    let order = json!({"timestamp": made["timestamp"], "dryRun": true});
    manager.expect("POST", "/api/backup/restore", Some(order), 200).await;

    manager.interrupt();
    manager.set("BACKUP_GIT_TOKEN", "hunter3-wrong");
    manager.run();
    let problem = manager.expect("POST", "/api/backup/create", None, 503).await;
    assert!(problem["detail"].as_str().unwrap().contains("token"), "{problem:#}");
    let status = manager.expect("GET", "/api/backup/status", None, 200).await;
    for text in [problem.to_string(), status.to_string(), manager.log()] {
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_a_server_over_ssh() {
    let Some(server) = Sshd::start().await else { return };
    git_ok(&server.path("."), &["init", "-q", "--bare", "-b", "main", "backup.git"]);
    let (url, key) = (server.url("backup"), server.read("client"));
    let manager = Manager::start(&[
        ("BACKUP_GIT_REPOSITORY", &url),
        ("BACKUP_INTERVAL_HOURS", "0"),
        ("BACKUP_SSH_PRIVATE_KEY", &key),
    ]);
    let made = back_up(&manager).await;
    let tag = format!("backup/{}", made["timestamp"].as_str().unwrap());
    assert_eq!(git_ok(&server.path("backup.git"), &["rev-parse", &tag]).trim(), head(&manager));
    // No key stays on disk, and none is logged.
    let left = std::fs::read_dir(manager.data().join("backup/backup.git")).unwrap();
    let keys = left.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "key"));
    assert_eq!(keys.count(), 0);
    assert!(!manager.log().contains("PRIVATE KEY"), "{}", manager.log());
}
