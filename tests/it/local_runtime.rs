//! Environments as processes of this machine: the real program with its real agents, from the outside.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::control_plane::skipped;
use crate::git_server::GitServer;
use crate::manager::Manager;

mod api;
mod first_stage;

fn project(name: &str, repository: &str) -> Value {
    json!({"name": name, "shortName": name, "gitRepository": repository, "anthropicApiKey": "sk-ant-one"})
}

fn volume(manager: &Manager, claim: &str) -> PathBuf {
    manager.data().join("volumes/claude-manager").join(claim)
}

/// What the runtime has written down of a pod's agent.
fn record(manager: &Manager, project: &str) -> Value {
    let path = manager.data().join(format!("pods/claude-manager/{project}-env-0/pod.json"));
    serde_json::from_slice(&fs::read(path).unwrap_or_default()).unwrap_or_default()
}

fn log(manager: &Manager, project: &str) -> String {
    let path = manager.data().join(format!("pods/claude-manager/{project}-env-0/agent.log"));
    fs::read_to_string(path).unwrap_or_default()
}

/// The agent of the only project that has one.
fn agent(manager: &Manager) -> i32 {
    let agents = manager.agents();
    assert_eq!(agents.len(), 1, "{agents:?}\n{}", manager.log());
    agents[0]
}

fn runs(pid: i32) -> bool {
    // A process that has ended and whose parent is gone may be listed for a moment.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

fn kill(pid: i32) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
}

async fn eventually<T>(what: &str, manager: &Manager, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never {what}\n{}", manager.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn running(manager: &Manager, name: &str) -> Value {
    manager.project_until(name, |project| project["phase"] == "Running").await
}

#[tokio::test(flavor = "multi_thread")]
async fn create_stop_start_and_delete_act_on_the_process_and_the_workspace_survives() {
    let server = GitServer::start().await;
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("checkout", &server.url("app"))), 201).await;
    running(&manager, "checkout").await;
    let first = agent(&manager);
    let workspace = volume(&manager, "checkout-workspace");
    let cloned = workspace.join("app/README");
    assert_eq!(fs::read_to_string(&cloned).unwrap(), "Hello\n", "{}", log(&manager, "checkout"));
    fs::write(workspace.join("app/notes"), "mine").unwrap();

    manager.expect("POST", "/api/projects/checkout/stop", None, 200).await;
    manager.project_until("checkout", |project| project["phase"] == "Stopped").await;
    assert!(!runs(first));
    assert_eq!(manager.agents(), [0; 0]);
    assert_eq!(fs::read_to_string(workspace.join("app/notes")).unwrap(), "mine");
    assert!(!manager.data().join("pods/claude-manager/checkout-env-0").exists());

    manager.expect("POST", "/api/projects/checkout/start", None, 200).await;
    running(&manager, "checkout").await;
    let second = agent(&manager);
    assert_ne!(first, second);
    assert_eq!(fs::read_to_string(workspace.join("app/notes")).unwrap(), "mine");

    let gone = |answer: &(u16, Value)| answer.0 == 404;
    manager.api("DELETE", "/api/projects/checkout", None).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while !gone(&manager.api("GET", "/api/projects/checkout", None).await) {
        assert!(Instant::now() < deadline, "never gone\n{}", manager.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!runs(second));
    assert_eq!(fs::read_to_string(workspace.join("app/notes")).unwrap(), "mine", "the volumes stay");

    manager.expect("POST", "/api/projects", Some(project("checkout", &server.url("app"))), 201).await;
    running(&manager, "checkout").await;
    assert_eq!(fs::read_to_string(workspace.join("app/notes")).unwrap(), "mine", "and are found again");
    manager.api("DELETE", "/api/projects/checkout?volumes=delete", None).await;
    eventually("removed", &manager, || (!workspace.exists()).then_some(())).await;
    eventually("removed", &manager, || (!volume(&manager, "checkout-config").exists()).then_some(())).await;
    assert_eq!(manager.agents(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_outlives_a_killed_manager_and_one_that_is_killed_itself_is_started_again() {
    let server = GitServer::start().await;
    let mut manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("checkout", &server.url("app"))), 201).await;
    running(&manager, "checkout").await;
    let pid = agent(&manager);
    let address = record(&manager, "checkout")["address"].clone();

    manager.kill();
    assert!(runs(pid));
    manager.run();
    // Not "running again": it has never been anything else.
    let found = manager.expect("GET", "/api/projects/checkout", None, 200).await;
    assert_eq!(found["phase"], "Running", "{found:#}\n{}", manager.log());
    assert_eq!(agent(&manager), pid);
    assert_eq!(record(&manager, "checkout")["restarts"], 0);

    // Adopted, and still looked after.
    kill(pid);
    let next = eventually("started again", &manager, || manager.agents().into_iter().find(|next| *next != pid)).await;
    running(&manager, "checkout").await;
    assert!(runs(next) && !runs(pid));
    let after = record(&manager, "checkout");
    assert_eq!((&after["restarts"], &after["address"]), (&json!(1), &address));
    kill(next);
    eventually("started again", &manager, || (record(&manager, "checkout")["restarts"] == 2).then_some(())).await;

    // Its pod is deleted while nobody looks: the next start ends it.
    running(&manager, "checkout").await;
    let last = agent(&manager);
    manager.kill();
    let mut objects = fs::OpenOptions::new().append(true).open(manager.data().join("cluster/objects.jsonl")).unwrap();
    let gone = |kind: &str, api: &str, name: &str| json!({"version": 1_000_000, "gone": {"apiVersion": api, "kind": kind, "metadata": {"namespace": "claude-manager", "name": name}}});
    use std::io::Write as _;
    writeln!(objects, "{}", gone("StatefulSet", "apps/v1", "checkout-env")).unwrap();
    writeln!(objects, "{}", gone("Pod", "v1", "checkout-env-0")).unwrap();
    assert!(runs(last));
    manager.run();
    assert!(!runs(last), "{}", manager.log());
    running(&manager, "checkout").await;
    assert_ne!(agent(&manager), last);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_stay_is_a_crash_loop() {
    let server = GitServer::start().await;
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("checkout", &server.url("app"))), 201).await;
    running(&manager, "checkout").await;
    manager.expect("POST", "/api/projects/checkout/stop", None, 200).await;
    manager.project_until("checkout", |project| project["phase"] == "Stopped").await;

    let lock = File::open(volume(&manager, "checkout-workspace").join(".claude-manager/agent.lock")).unwrap();
    lock.lock().unwrap();
    manager.expect("POST", "/api/projects/checkout/start", None, 200).await;
    let failed = manager.project_until("checkout", |project| project["phase"] == "Failed").await;
    assert_eq!(failed["reason"], "CrashLoop");
    assert!(failed["message"].as_str().unwrap().contains("exit code 75"), "{failed:#}");
    // Its own last words say why, and are asked for without anybody's doing.
    let said = |project: &Value| project["message"].as_str().is_some_and(|text| text.contains("Its last lines: "));
    let failed = manager.project_until("checkout", said).await;
    assert!(failed["message"].as_str().unwrap().contains("another agent works on"), "{failed:#}");

    drop(lock);
    running(&manager, "checkout").await;
    assert!(record(&manager, "checkout")["restarts"].as_u64().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_in_the_files_without_a_restart() {
    let server = GitServer::start().await;
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("checkout", &server.url("app"))), 201).await;
    running(&manager, "checkout").await;
    let pid = agent(&manager);
    let secrets = manager.data().join("pods/claude-manager/checkout-env-0/root/etc/claude-manager/project-secrets");
    let key = || fs::read_to_string(secrets.join("anthropic-api-key")).unwrap_or_default();
    assert_eq!(key(), "sk-ant-one");
    manager.expect("PUT", "/api/projects/checkout", Some(json!({"anthropicApiKey": "sk-ant-two"})), 200).await;
    eventually("renewed", &manager, || (key() == "sk-ant-two").then_some(())).await;
    assert_eq!(agent(&manager), pid);
    running(&manager, "checkout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_no_process_and_no_wait_and_the_next_start_finds_everything() {
    let server = GitServer::start().await;
    let mut manager = Manager::embedded();
    for name in ["one", "two"] {
        manager.expect("POST", "/api/projects", Some(project(name, &server.url("app"))), 201).await;
    }
    for name in ["one", "two"] {
        running(&manager, name).await;
    }
    let before: BTreeSet<i32> = manager.agents().into_iter().collect();
    let addresses = ["one", "two"].map(|name| record(&manager, name)["address"].clone());
    assert_eq!(before.len(), 2);
    assert_ne!(addresses[0], addresses[1]);
    let took = manager.interrupt();
    assert!(before.iter().all(|pid| !runs(*pid)), "{}", manager.log());
    assert!(took < Duration::from_secs(5), "{took:?}\n{}", manager.log());

    manager.run();
    for name in ["one", "two"] {
        running(&manager, name).await;
    }
    assert_eq!(addresses, ["one", "two"].map(|name| record(&manager, name)["address"].clone()));
    assert!(manager.agents().iter().all(|pid| !before.contains(pid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_knows_nothing_of_the_managers_environment() {
    let server = GitServer::start().await;
    let key = claude_manager::sops::generate(jiff::Timestamp::now()).1;
    let key = secrecy::ExposeSecret::expose_secret(&key).lines().last().unwrap().to_owned();
    let manager = Manager::start(&[
        ("SOPS_AGE_KEY", &key),
        ("DEFAULT_ANTHROPIC_API_KEY", "sk-ant-not-for-you"),
        ("JWT_SECRET", "jwt-not-for-you-0123456789abcdef01"),
        ("WEBHOOK_SECRET", "hook-not-for-you"),
        ("JIRA_API_KEY", "jira-not-for-you"),
        ("SOMETHING_ELSE", "not-for-you"),
        ("LC_TIME", "C"),
        ("https_proxy", "http://127.0.0.1:1"),
    ]);
    manager.expect("POST", "/api/projects", Some(project("checkout", &server.url("app"))), 201).await;
    running(&manager, "checkout").await;
    let pid = agent(&manager);
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("its environment");
    let environment = String::from_utf8_lossy(&environment).replace('\0', "\n");
    assert!(!environment.contains("not-for-you") && !environment.contains(&key), "{environment}");
    let names: BTreeSet<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    for name in ["PATH", "HOME", "LC_TIME", "https_proxy", "GIT_REPOSITORY"] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    for name in ["DATA_DIR", "PORT", "NODE_ENV", "SOPS_AGE_KEY", "DATABASE_URL"] {
        assert!(!names.contains(name), "{name} is in {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_starts_cannot_read_the_data_directory() {
    let server = GitServer::start().await;
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("checkout", &server.url("app"))), 201).await;
    running(&manager, "checkout").await;
    manager.expect("POST", "/api/projects/checkout/stop", None, 200).await;
    manager.project_until("checkout", |project| project["phase"] == "Stopped").await;

    // Git runs this hook after it has cloned, within the agent.
    let (workspace, data) = (volume(&manager, "checkout-workspace"), manager.data());
    let script = format!(
        "#!/bin/sh\nexec > {0}/found 2>&1\ncat {1}/admin-token\ncat {1}/age.key\nls {1}/volumes\ncat {0}/kept/README\necho end\n",
        workspace.display(),
        data.display()
    );
    let hook = workspace.join("template/hooks/post-checkout");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::rename(workspace.join("app"), workspace.join("kept")).unwrap();
    let git = format!("[init]\n\ttemplateDir = {}\n", workspace.join("template").display());
    fs::write(volume(&manager, "checkout-config").join(".gitconfig"), git).unwrap();
    manager.expect("POST", "/api/projects/checkout/start", None, 200).await;
    let found = workspace.join("found");
    let told = || fs::read_to_string(&found).ok().filter(|told| told.ends_with("end\n"));
    let told = eventually("asked", &manager, told).await;
    if log(&manager, "checkout").contains("no Landlock") {
        skipped("this kernel has no Landlock");
        return;
    }
    let token = manager.token();
    assert!(!told.contains(&token) && !told.contains("AGE-SECRET-KEY"), "{told}");
    assert_eq!(told.matches("ermission denied").count(), 3, "{told}");
    assert!(told.contains("Hello"), "its own volume it can read: {told}");
}

/// Whether `path` is below `directory`, links resolved.
fn is_below(path: &Path, directory: &Path) -> bool {
    fs::canonicalize(path).unwrap().starts_with(fs::canonicalize(directory).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_sees_its_volumes_and_files_where_its_template_says() {
    let server = GitServer::start().await;
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("checkout", &server.url("app"))), 201).await;
    running(&manager, "checkout").await;
    let root = manager.data().join("pods/claude-manager/checkout-env-0/root");
    assert!(is_below(&root.join("workspace"), &volume(&manager, "checkout-workspace")));
    assert!(is_below(&root.join("config"), &volume(&manager, "checkout-config")));
    assert!(root.join("tmp").is_dir());
    assert!(root.join("etc/claude-manager/default-secrets").is_dir());
    use std::os::unix::fs::PermissionsExt as _;
    for private in [manager.data().join("pods"), manager.data().join("volumes"), root.clone()] {
        assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o077, 0, "{}", private.display());
    }
}
