//! Backups and restores of the real program, with real git repositories as targets.

mod drill;
mod failures;
mod restore;
mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::manager::{Manager, git, git_ok};

/// An empty bare repository to back up into.
struct Target {
    directory: TempDir,
}

impl Target {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        git_ok(directory.path(), &["init", "-q", "--bare", "-b", "main", "backup.git"]);
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("backup.git")
    }

    fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// A manager that backs up here on request only, with further variables.
    fn manager(&self, more: &[(&str, &str)]) -> Manager {
        let url = self.url();
        let mut environment = vec![("BACKUP_GIT_REPOSITORY", url.as_str()), ("BACKUP_INTERVAL_HOURS", "0")];
        environment.extend_from_slice(more);
        Manager::start(&environment)
    }

    fn tags(&self) -> Vec<String> {
        git_ok(&self.path(), &["tag", "--list"]).lines().map(str::to_owned).collect()
    }

    fn commit_of(&self, name: &str) -> String {
        git_ok(&self.path(), &["rev-parse", name]).trim().to_owned()
    }

    /// Makes a commit of these files in the repository, on no branch; its id.
    fn commit(&self, files: &[(&str, &str)], parent: Option<&str>) -> String {
        let work = self.directory.path().join("work");
        git_ok(self.directory.path(), &["clone", "-q", "backup.git", "work"]);
        match parent {
            Some(parent) => git_ok(&work, &["checkout", "-q", "--detach", parent]),
            None => git_ok(&work, &["checkout", "-q", "--orphan", "other"]),
        };
        let _ = git(&work, &["rm", "-rq", "--cached", "."]);
        for (name, content) in files {
            let file = work.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, content).unwrap();
            git_ok(&work, &["add", "-f", name]);
        }
        git_ok(&work, &["commit", "-qm", "another history"]);
        git_ok(&work, &["push", "-q", "origin", "HEAD:refs/heads/made"]);
        let commit = git_ok(&work, &["rev-parse", "HEAD"]).trim().to_owned();
        git_ok(&self.path(), &["update-ref", "-d", "refs/heads/made"]);
        std::fs::remove_dir_all(work).unwrap();
        commit
    }
}

fn project(name: &str) -> Value {
    json!({
        "name": name,
        "shortName": name,
        "gitRepository": "https://git.example/team/app.git",
        "anthropicApiKey": "sk-ant-very-secret"
    })
}

async fn create_project(manager: &Manager, name: &str) {
    manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
}

async fn back_up(manager: &Manager) -> Value {
    manager.expect("POST", "/api/backup/create", None, 201).await
}

fn head(manager: &Manager) -> String {
    git_ok(&manager.data().join("state.git"), &["rev-parse", "main"]).trim().to_owned()
}

fn tree_of(repository: &Path, commit: &str) -> String {
    git_ok(repository, &["rev-parse", &format!("{commit}^{{tree}}")]).trim().to_owned()
}

async fn status_until(manager: &Manager, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = manager.expect("GET", "/api/backup/status", None, 200).await;
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "never {what}: {status:#}\n{}", manager.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_a_tag_and_the_branch_of_the_same_commit_and_a_bundle_on_disk() {
    let target = Target::new();
    let manager = target.manager(&[]);
    create_project(&manager, "shop").await;
    let before = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert_eq!((&before["state"], &before["last"]), (&json!("waiting"), &json!(null)));

    let made = back_up(&manager).await;

    let (name, head) = (made["timestamp"].as_str().unwrap(), head(&manager));
    assert_eq!((made["revision"].as_str().unwrap(), &made["pushed"]), (head.as_str(), &json!(true)));
    assert_eq!(target.tags(), [format!("backup/{name}")]);
    assert_eq!(target.commit_of(&format!("backup/{name}")), head);
    assert_eq!(target.commit_of("main"), head);
    let status = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert_eq!((&status["state"], &status["last"]["timestamp"]), (&json!("ok"), &json!(name)), "{status:#}");
    assert!(status["note"].as_str().unwrap().contains("Volumes are no part"), "{status:#}");
    let listed = manager.expect("GET", "/api/backup/list", None, 200).await;
    let item = &listed["items"][0];
    assert_eq!((&listed["total"], &item["timestamp"], &item["projects"]), (&json!(1), &json!(name), &json!(1)));
    assert_eq!((&item["restorable"], &item["isLocal"], &item["isRemote"]), (&json!(true), &json!(true), &json!(true)));

    // The bundle is a repository of its own; old ones go.
    for _ in 0..4 {
        back_up(&manager).await;
    }
    let bundles = std::fs::read_dir(manager.data().join("backup/bundles")).unwrap();
    let mut bundles: Vec<PathBuf> = bundles.map(|entry| entry.unwrap().path()).collect();
    bundles.sort();
    assert_eq!(bundles.len(), 3, "{bundles:?}");
    git_ok(&manager.beside("."), &["clone", "-q", &bundles[2].display().to_string(), "from-bundle"]);
    assert_eq!(git_ok(&manager.beside("from-bundle"), &["rev-parse", "HEAD"]).trim(), head);
    assert!(!manager.data().join("backup/read-back.git").exists());

    // Pages of the list, newest first.
    let listed = manager.expect("GET", "/api/backup/list?page=2&limit=2", None, 200).await;
    assert_eq!((&listed["total"], &listed["pages"]), (&json!(5), &json!(3)));
    let names: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|item| item["timestamp"].as_str().unwrap()).collect();
    assert!(names.len() == 2 && names[0] > names[1] && names[1] > name, "{names:?}");

    // Health and metrics.
    let health = manager.expect("GET", "/api/monitoring/health", None, 200).await;
    assert_eq!(health["components"]["backup"]["status"], "ok", "{health:#}");
    let metrics = manager.expect("GET", "/api/monitoring/metrics", None, 200).await;
    assert!(metrics.as_str().unwrap().contains("backup_duration_seconds_count{result=\"success\"} 5"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_the_same_bytes_each_time_and_unpacks_to_the_tree() {
    let target = Target::new();
    let manager = target.manager(&[]);
    create_project(&manager, "shop").await;
    let name = back_up(&manager).await["timestamp"].as_str().unwrap().to_owned();
    create_project(&manager, "later").await;
    let http = crate::http::client();
    let mut exports = Vec::new();
    for path in ["/api/backup/export", "/api/backup/export", &format!("/api/backup/export?timestamp={name}")] {
        let response = http.get(manager.url(path)).bearer_auth(manager.token()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/gzip");
        assert!(response.headers()["content-disposition"].to_str().unwrap().ends_with(".tar.gz\""));
        exports.push(response.bytes().await.unwrap());
    }
    assert_eq!(exports[0], exports[1]);
    for (export, folder, projects) in [(&exports[0], "now", vec!["later", "shop"]), (&exports[2], "then", vec!["shop"])]
    {
        let place = manager.beside(folder);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("export.tar.gz"), export).unwrap();
        let unpacked = std::process::Command::new("tar")
            .args(["-xzf", "export.tar.gz", "--strip-components=1"])
            .current_dir(&place)
            .status();
        assert!(unpacked.unwrap().success());
        let mut found: Vec<String> = std::fs::read_dir(place.join("projects"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, projects);
        let overlay = std::fs::read_to_string(place.join("projects/shop/kustomization.yaml")).unwrap();
        let commit = if folder == "now" { head(&manager) } else { format!("backup/{name}") };
        let repository = if folder == "now" { manager.data().join("state.git") } else { target.path() };
        assert_eq!(overlay, git_ok(&repository, &["show", &format!("{commit}:projects/shop/kustomization.yaml")]));
    }
    manager.expect("GET", "/api/backup/export?timestamp=2001-01-01T00:00:00Z", None, 404).await;
    manager.expect("GET", "/api/backup/export?format=zip", None, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_are_made_on_schedule_and_a_restart_does_not_begin_it_anew() {
    let target = Target::new();
    let mut manager = target.manager(&[("BACKUP_INTERVAL_HOURS", "1")]);
    let first = status_until(&manager, "backed up", |status| status["last"].is_object()).await;
    let interval = |status: &Value| {
        let time = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        time(&status["next"]).duration_since(time(&status["last"]["completedAt"])).as_secs()
    };
    assert!((3600..=3600 + 180).contains(&interval(&first)), "{first:#}");

    manager.interrupt();
    manager.run();
    // Longer than a first backup takes.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let again = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert_eq!(again["last"]["timestamp"], first["last"]["timestamp"]);
    assert_eq!(target.tags().len(), 1);

    // Two hours pass.
    manager.interrupt();
    let record = manager.data().join("backup/status.json");
    let mut text: Value = serde_json::from_str(&std::fs::read_to_string(&record).unwrap()).unwrap();
    let then = jiff::Timestamp::now() - Duration::from_secs(7200);
    text["last"]["at"] = json!(then.to_string());
    std::fs::write(&record, text.to_string()).unwrap();
    manager.run();
    let last = &first["last"]["timestamp"];
    status_until(&manager, "backed up again", |status| status["last"]["timestamp"] != *last).await;
    assert_eq!(target.tags().len(), 2);

    // A manager that has lost its disk takes the backups of its history over, where the state is elsewhere.
    manager.interrupt();
    std::fs::remove_dir_all(manager.data().join("backup")).unwrap();
    manager.run();
    let over = status_until(&manager, "taken over", |status| status["last"].is_object()).await;
    assert_eq!(format!("backup/{}", over["last"]["timestamp"].as_str().unwrap()), target.tags()[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_repository_backups_are_kept_on_this_disk_and_the_status_says_so() {
    let manager = Manager::start(&[("BACKUP_INTERVAL_HOURS", "0")]);
    create_project(&manager, "shop").await;
    let made = back_up(&manager).await;
    assert_eq!(made["pushed"], false);
    let status = manager.expect("GET", "/api/backup/status", None, 200).await;
    assert_eq!((&status["state"], &status["repository"], &status["next"]), (&json!("ok"), &json!(null), &json!(null)));
    assert!(status["message"].as_str().unwrap().contains("on this disk only"), "{status:#}");
    manager.expect("DELETE", "/api/projects/shop", None, 202).await;
    let order = json!({"timestamp": made["timestamp"], "project": "shop"});
    let restored = manager.expect("POST", "/api/backup/restore", Some(order), 200).await;
    assert_eq!(restored["changed"], true, "{restored:#}");
    manager.project_until("shop", |project| project["shortName"] == "shop").await;
    let info = manager.expect("GET", "/api/backup/cluster-info", None, 200).await;
    assert!(info["version"].as_str().unwrap().contains("embedded"), "{info:#}");
    assert!(info["nodes"].is_null() && info["problems"].to_string().contains("nodes"), "{info:#}");
}
