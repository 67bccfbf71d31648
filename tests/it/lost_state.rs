//! A start that finds something missing: nothing is made in its place, the way out is said, and it works.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::manager::{Manager, git_ok};

/// A manager with two projects, one of them with a secret; stopped.
async fn stopped(environment: &[(&str, &str)]) -> Manager {
    let mut manager = Manager::start(environment);
    for name in ["shop", "till"] {
        let body =
            json!({"name": name, "shortName": name, "gitRepository": "https://h/x", "anthropicApiKey": "sk-ant-old"});
        manager.expect("POST", "/api/projects", Some(body), 201).await;
        manager.project_until(name, |project| project["status"]["phase"] != "Pending").await;
    }
    manager.interrupt();
    manager
}

fn head(state: &Path) -> String {
    git_ok(state, &["rev-parse", "main"]).trim().to_owned()
}

/// Starts a manager that is to refuse, with these settings changed; what it says.
fn refused(manager: &Manager, more: &[(&str, &str)]) -> String {
    let mut command = manager.command(&["serve"]);
    command.envs(more.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the program");
    let begun = Instant::now();
    while process.try_wait().expect("a child").is_none() {
        if begun.elapsed() > Duration::from_secs(20) {
            process.kill().expect("killed");
            panic!("it is not refused: {:?}", process.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = process.wait_with_output().expect("the output");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!told.contains("panicked"), "{told}");
    told
}

/// Runs the commands that a refusal gives: the indented lines.
fn follow(told: &str, wanted: impl Fn(&str) -> bool) {
    let lines: Vec<&str> =
        told.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| wanted(line)).collect();
    assert!(!lines.is_empty(), "no way out in:\n{told}");
    for line in lines {
        let output = Command::new("sh").args(["-c", line]).output().expect("a shell");
        assert!(output.status.success(), "{line}: {output:?}");
    }
}

async fn both_projects_are_there(manager: &Manager) {
    for name in ["shop", "till"] {
        manager.expect("GET", &format!("/api/projects/{name}"), None, 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_branch_comes_back_by_the_command_that_is_said() {
    let mut manager = stopped(&[]).await;
    let state = manager.data().join("state.git");
    let before = head(&state);
    git_ok(&state, &["update-ref", "-d", "refs/heads/main"]);
    let told = refused(&manager, &[]);
    assert!(told.contains("has no branch main") && told.contains("not the first start"), "{told}");
    assert!(told.contains(&format!("update-ref refs/heads/main {before}")), "{told}");
    assert_eq!(git_ok(&state, &["for-each-ref", "refs/heads"]), "");
    follow(&told, |line| line.contains("update-ref"));
    manager.run();
    both_projects_are_there(&manager).await;
    assert_eq!(head(&state), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_repository_comes_back_from_the_backup_that_is_named() {
    let mut manager = stopped(&[]).await;
    manager.run();
    let (status, answer) = manager.api("POST", "/api/backup/create", None).await;
    assert!(status < 300, "{answer:#}");
    manager.interrupt();
    let state = manager.data().join("state.git");
    fs::remove_dir_all(&state).expect("removed");
    let told = refused(&manager, &[]);
    assert!(told.contains("state.git is missing") && !state.exists(), "{told}");
    follow(&told, |line| line.contains("git clone") || line.starts_with("mv "));
    manager.run();
    both_projects_are_there(&manager).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_age_key_is_not_replaced_before_somebody_says_so() {
    let mut manager = stopped(&[]).await;
    let key = manager.data().join("age.key");
    let text = fs::read(&key).expect("the key");
    fs::remove_file(&key).expect("removed");
    let told = refused(&manager, &[]);
    assert!(told.contains("age.key is missing") && told.contains("SOPS_AGE_KEY_FILE"), "{told}");
    assert!(told.contains("claude-manager age-key new") && !key.exists(), "{told}");
    // `init` makes none either.
    let init = manager.command(&["init", "elsewhere"]).output().expect("the program");
    assert!(!init.status.success() && !key.exists(), "{init:?}");

    fs::write(&key, &text).expect("put back");
    manager.run();
    both_projects_are_there(&manager).await;
    manager.interrupt();

    fs::remove_file(&key).expect("removed");
    let made = manager.command(&["age-key", "new"]).output().expect("the program");
    assert!(made.status.success() && String::from_utf8_lossy(&made.stdout).contains("\nage1"), "{made:?}");
    let again = manager.command(&["age-key", "new"]).output().expect("the program");
    assert!(!again.status.success(), "{again:?}");
    manager.run();
    // Whoever did so is told what is not readable any more.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let health = manager.expect("GET", "/api/monitoring/health", None, 200).await;
        if health["components"]["secrets"]["message"].as_str().is_some_and(|told| told.contains("2 of 2 projects")) {
            assert_eq!(health["status"], "degraded");
            break;
        }
        assert!(Instant::now() < deadline, "{health:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let doctor = manager.command(&["doctor"]).output().expect("the program");
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(!doctor.status.success() && told.contains("FAIL  overlays"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_on_top_of_a_damaged_head() {
    let mut manager = stopped(&[]).await;
    let state = manager.data().join("state.git");
    let copy = manager.beside("copy.git").display().to_string();
    git_ok(&state, &["clone", "-q", "--bare", ".", &copy]);
    let before = head(&state);
    let object = |id: &str| state.join("objects").join(&id[..2]).join(&id[2..]);
    let root = git_ok(&state, &["rev-parse", "main^{tree}"]).trim().to_owned();
    let project = git_ok(&state, &["rev-parse", "main:projects/shop"]).trim().to_owned();
    // As loose objects, whatever wrote them.
    let packs = state.join("objects/pack");
    let moved = manager.beside("packs");
    fs::rename(&packs, &moved).expect("moved");
    fs::create_dir(&packs).expect("made");
    for pack in fs::read_dir(&moved)
        .expect("packs")
        .flatten()
        .filter(|pack| pack.path().extension().is_some_and(|e| e == "pack"))
    {
        let unpacked = Command::new("git")
            .arg("-C")
            .arg(&state)
            .args(["unpack-objects", "-q"])
            .stdin(fs::File::open(pack.path()).expect("a pack"))
            .status();
        assert!(unpacked.expect("git").success());
    }
    for id in [&before, &root, &project] {
        let path = object(id);
        let bytes = fs::read(&path).expect("a loose object");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, &bytes[..bytes.len() / 2]).expect("truncated");
        let told = refused(&manager, &[]);
        assert!(told.contains("is damaged") && told.contains(&before) && told.contains(id.as_str()), "{told}");
        assert_eq!(fs::read_to_string(state.join("refs/heads/main")).expect("the branch").trim(), before);
        let doctor = manager.command(&["doctor"]).output().expect("the program");
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(!doctor.status.success() && said.contains("FAIL"), "{said}");
        if id == &project {
            let told = told.replace("BACKUP ", &format!("{copy} "));
            follow(&told, |line| line.contains("git clone") || line.starts_with("mv "));
        } else {
            fs::write(&path, &bytes).expect("put back");
        }
    }
    manager.run();
    both_projects_are_there(&manager).await;
    assert_eq!(head(&state), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_branch_is_refused_with_those_that_there_are() {
    let mut manager = stopped(&[]).await;
    let state = manager.data().join("state.git");
    let told = refused(&manager, &[("STATE_GIT_BRANCH", "mian")]);
    assert!(told.contains("has no branch mian") && told.contains("It has: main"), "{told}");
    assert_eq!(git_ok(&state, &["for-each-ref", "--format=%(refname)", "refs/heads"]).trim(), "refs/heads/main");
    manager.run();
    both_projects_are_there(&manager).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_remote_is_a_first_start_and_a_misspelt_branch_or_an_emptied_remote_none() {
    let home = tempfile::tempdir().expect("a directory");
    git_ok(home.path(), &["init", "-q", "--bare", "remote.git"]);
    git_ok(home.path(), &["init", "-q", "--bare", "empty.git"]);
    let (remote, empty) = (home.path().join("remote.git"), home.path().join("empty.git"));
    let mut manager = stopped(&[("STATE_GIT_REPOSITORY", &remote.display().to_string())]).await;
    let before = head(&remote);
    let told = refused(&manager, &[("STATE_GIT_BRANCH", "mian")]);
    assert!(told.contains("has no branch mian") && told.contains("It has: main"), "{told}");

    // The volume is lost, and the remote is there: still nothing new beside its branch, and no key for its secrets.
    let kept = manager.beside("kept");
    fs::rename(manager.data(), &kept).expect("moved");
    let told = refused(&manager, &[("STATE_GIT_BRANCH", "mian")]);
    assert!(told.contains("It has: main"), "{told}");
    let told = refused(&manager, &[]);
    assert!(told.contains("age.key is missing") && !manager.data().join("age.key").exists(), "{told}");
    let key = kept.join("age.key").display().to_string();
    manager.set("SOPS_AGE_KEY_FILE", &key);
    manager.run();
    both_projects_are_there(&manager).await;
    manager.interrupt();

    fs::remove_dir_all(manager.data().join("state.git")).expect("removed");
    let told = refused(&manager, &[("STATE_GIT_REPOSITORY", &empty.display().to_string())]);
    assert!(told.contains("is empty") && told.contains("not the first start"), "{told}");
    assert_eq!(git_ok(&empty, &["for-each-ref"]), "");
    assert_eq!(git_ok(&remote, &["for-each-ref", "--format=%(refname)", "refs/heads"]).trim(), "refs/heads/main");
    assert!(git_ok(&remote, &["log", "--format=%H", "main"]).contains(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_was_killed_is_gone_on_with() {
    let mut manager = stopped(&[]).await;
    let data = manager.data();
    // As it is between the first objects and the branch.
    git_ok(&data.join("state.git"), &["update-ref", "-d", "refs/heads/main"]);
    for name in ["manager.db", "manager.db-wal", "manager.db-shm", "admin-token", "cluster/objects.jsonl"] {
        let _ = fs::remove_file(data.join(name));
    }
    let _ = fs::remove_dir_all(data.join("volumes"));
    refused(&manager, &[]);
    fs::write(data.join("first-start"), "").expect("written");
    manager.run();
    manager.expect("GET", "/api/projects/shop", None, 404).await;
    assert!(!data.join("first-start").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_nowhere_in_the_data_directory() {
    let manager = Manager::embedded();
    let body = json!({"name": "x", "shortName": "shop", "gitRepository": "https://h/x", "anthropicApiKey": "sk-ant-first-value"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    until(&manager, "sk-ant-first-value", true).await;
    let change = json!({"anthropicApiKey": "sk-ant-second-value"});
    manager.expect("PUT", "/api/projects/shop", Some(change), 200).await;
    until(&manager, "sk-ant-second-value", true).await;
    until(&manager, "sk-ant-first-value", false).await;
    manager.expect("DELETE", "/api/projects/shop", None, 202).await;
    until(&manager, "sk-ant-second-value", false).await;
}

/// Waits until a secret value is, or is not, in any file, in clear or as a Secret has it.
async fn until(manager: &Manager, value: &str, wanted: bool) {
    use base64::Engine as _;
    let forms = [value.to_owned(), base64::engine::general_purpose::STANDARD.encode(value)];
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = holding(&manager.data(), &forms);
        if found.is_empty() != wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{value}: wanted {wanted}, in {found:?}\n{}", manager.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn holding(directory: &Path, forms: &[String]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(holding(&path, forms));
        } else if let Ok(bytes) = fs::read(&path)
            && forms.iter().any(|form| bytes.windows(form.len()).any(|part| part == form.as_bytes()))
        {
            found.push(path);
        }
    }
    found
}
