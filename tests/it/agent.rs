//! The agent as its own process: real git servers, a real sshd, real kills.

pub(crate) mod claude;
mod environment;
mod forward;
pub(crate) mod git_server;
mod hide;
pub(crate) mod ssh;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use claude_manager::agent::{self, Client, ClientError, Reach, Readiness, Signer};
use claude_manager::project::ProjectName;
use serde_json::{Value, json};

use self::environment::{Environment, eventually};
use self::git_server::GitServer;
use crate::manager::{Manager, PROGRAM, git_ok};

const TOKEN: &str = "ghp_T0ken-that-nobody-may-see";

#[tokio::test]
async fn a_repository_is_cloned_with_its_branch_and_submodules() {
    let server = GitServer::start(None).await;
    server.repository("part", &["main"]);
    server.repository("checkout", &["main", "next"]);
    server.submodule("checkout", "next", "part");
    let mut environment = Environment::new();

    environment.start(&[("GIT_REPOSITORY", &server.url("checkout")), ("GIT_BRANCH", "next")]);

    let status = environment.until(|status| status["ready"] == true).await;
    let clone = environment.root().join("workspace/checkout");
    let head = git_ok(&clone, &["rev-parse", "HEAD"]);
    assert_eq!(status["reason"], "Ready");
    assert_eq!(status["project"], "checkout");
    assert_eq!(status["repository"], json!({"url": server.url("checkout"), "branch": "next", "commit": head.trim()}));
    assert!(clone.join("part/file").exists(), "{}", environment.log());
    assert!(!environment.root().join("workspace/.cloning").exists());
    assert_eq!(environment.get("/readyz").await, (200, "Ready".to_owned()));
    for line in environment.log().lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{line}");
        assert!(["INFO", "WARN", "ERROR"].contains(&rest.split_whitespace().next().unwrap()), "{line}");
    }
}

#[tokio::test]
async fn a_token_that_comes_later_is_used_at_once_and_shown_to_nobody() {
    let server = GitServer::start(Some(TOKEN)).await;
    server.repository("checkout", &["main"]);
    let mut environment = Environment::new();
    environment.start(&[("GIT_REPOSITORY", &server.url("checkout"))]);
    let waiting = environment.until(|status| status["reason"] == "WaitingForCredentials").await;
    let message = waiting["message"].as_str().unwrap();
    assert!(message.contains("could not read Username") && message.contains("gitCredentials.token"), "{message}");
    assert_eq!(environment.get("/readyz").await, (503, "WaitingForCredentials".to_owned()));
    // Tries come after 2, 6 and 14 seconds by themselves: only the token's coming explains one in between.
    tokio::time::sleep(Duration::from_millis(6500)).await;

    server.hold();
    environment.secret("git-token", &format!("{TOKEN}\n"));
    let came = Instant::now();
    eventually("the clone to be under way", || server.held().then_some(())).await;
    assert!(came.elapsed() < Duration::from_secs(4), "{:?}", came.elapsed());
    let arguments = every_command_line();
    assert!(arguments.contains(&server.url("checkout")), "the clone is running: {arguments}");
    assert!(!arguments.contains(TOKEN), "{arguments}");
    server.release();

    environment.until(|status| status["ready"] == true).await;
    assert_eq!(server.users(), ["x-access-token"]);
    let clone = environment.root().join("workspace/checkout");
    let config = fs::read_to_string(clone.join(".git/config")).unwrap();
    let global = fs::read_to_string(environment.root().join("config/.gitconfig")).unwrap();
    let status = environment.status().await.to_string();
    for (place, text) in [("log", environment.log()), ("config", config), ("global", global), ("status", status)] {
        assert!(!text.contains("T0ken"), "{place}: {text}");
    }

    // Later shells find the same token, for this server and for no other.
    let own = server.url("checkout");
    let host = own.trim_start_matches("http://").split('/').next().unwrap();
    assert!(environment.fill("http", host).contains(&format!("username=x-access-token\npassword={TOKEN}\n")));
    for (protocol, host) in [("https", host), ("http", "127.0.0.1:1"), ("http", "evil.invalid")] {
        assert!(!environment.fill(protocol, host).contains("T0ken"), "{protocol}://{host}");
    }
    // A renewed token is the one that counts, without a restart.
    environment.secret("git-token", "another");
    assert!(environment.fill("http", host).contains("password=another\n"));
}

/// The command line of every process on this machine.
fn every_command_line() -> String {
    let mut all = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(line) = fs::read(entry.path().join("cmdline")) {
            all.push_str(&String::from_utf8_lossy(&line).replace('\0', " "));
            all.push('\n');
        }
    }
    all
}

#[tokio::test]
async fn what_cannot_be_cloned_says_why_and_what_to_do() {
    let server = GitServer::start(Some(TOKEN)).await;
    server.repository("checkout", &["main"]);
    for (repository, branch, token, word) in [
        (server.url("checkout"), "", "wrong", "the token is refused"),
        (server.url("nothing"), "", TOKEN, "not found"),
        (server.url("checkout"), "none", TOKEN, "check GIT_BRANCH"),
        ("http://me:s3cret@127.0.0.1/checkout".to_owned(), "", TOKEN, "must not carry a user or password"),
        ("ext::sh -c id".to_owned(), "", TOKEN, "GIT_REPOSITORY"),
        ("http://127.0.0.1:1/checkout".to_owned(), "", TOKEN, "check the address"),
    ] {
        let mut environment = Environment::new();
        environment.secret("git-token", token);
        environment.start(&[("GIT_REPOSITORY", &repository), ("GIT_BRANCH", branch)]);
        let status = environment.until(|status| status["reason"] == "CloneFailed").await;
        let message = status["message"].as_str().unwrap();
        assert!(message.contains(word), "{repository}: {message}");
        assert_eq!(status["ready"], false);
        for secret in [token, "s3cret"] {
            let shown = format!("{status} {}", environment.log());
            assert!(secret == "wrong" || !shown.contains(secret), "{repository}: {shown}");
        }
        assert!(!environment.root().join("workspace/checkout").exists());
    }
}

#[tokio::test]
async fn a_try_after_a_failed_one_leaves_the_reason_until_it_takes_long() {
    let server = GitServer::start(None).await;
    let mut environment = Environment::new();
    environment.start(&[("GIT_REPOSITORY", &server.url("checkout"))]);
    environment.until(|status| status["reason"] == "CloneFailed").await;
    // The tries of two and of six seconds.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        let status = environment.status().await;
        assert_eq!(status["reason"], "CloneFailed", "{status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(environment.log().matches("Cloning into").count() >= 3, "{}", environment.log());

    server.hold();
    server.repository("checkout", &["main"]);
    environment.secret("git-token", TOKEN);
    let status = environment.until(|status| status["reason"] == "Cloning").await;
    assert_eq!(status["ready"], false);
    server.release();
    environment.until(|status| status["ready"] == true).await;
}

#[tokio::test]
async fn a_clone_that_was_cut_off_is_made_again_and_never_taken_for_whole() {
    let server = GitServer::start(None).await;
    server.repository("checkout", &["main"]);
    let mut environment = Environment::new();
    server.hold();
    environment.start(&[("GIT_REPOSITORY", &server.url("checkout"))]);
    eventually("the clone to be under way", || server.held().then_some(())).await;
    assert_eq!(environment.status().await["reason"], "Cloning");

    environment.kill();

    let workspace = environment.root().join("workspace");
    assert!(workspace.join(".cloning").exists(), "the kill came in the middle");
    assert!(!workspace.join("checkout").exists());
    server.release();
    environment.start(&[("GIT_REPOSITORY", &server.url("checkout"))]);
    environment.until(|status| status["ready"] == true).await;
    git_ok(&workspace.join("checkout"), &["fsck", "--strict"]);
    assert!(workspace.join("checkout/file").exists() && !workspace.join(".cloning").exists());

    // What is there is somebody's work: a third start leaves it alone.
    fs::write(workspace.join("checkout/file"), "mine").unwrap();
    environment.kill();
    environment.start(&[("GIT_REPOSITORY", &server.url("checkout"))]);
    environment.until(|status| status["ready"] == true).await;
    assert_eq!(fs::read_to_string(workspace.join("checkout/file")).unwrap(), "mine");
}

#[tokio::test]
async fn one_workspace_has_one_agent() {
    let mut environment = Environment::new();
    environment.start(&[("CLAUDE_MANAGER_POD_UID", "1234")]);
    environment.until(|status| status["ready"] == true).await;
    let workspace = environment.root().join("workspace");
    let holder = agent::holder(&workspace).unwrap().unwrap();
    assert_eq!((holder.pid, holder.pod_uid.as_deref()), (environment.pid(), Some("1234")));
    assert_eq!(holder.address, environment.address());

    // Bounded, since an agent that is let in would never end.
    let second = Command::new("timeout").arg("10").args(words(&environment.command(&[]))).output().unwrap();

    assert_eq!(second.status.code(), Some(75), "{second:?}");
    let said = String::from_utf8_lossy(&second.stdout).into_owned();
    assert!(said.contains("another agent") && said.contains(&format!("\"pid\":{}", holder.pid)), "{said}");
    assert!(environment.status().await["ready"] == true, "the first one goes on");

    environment.kill();
    assert_eq!(agent::holder(&workspace).unwrap(), None, "the lock ends with its holder");
    environment.start(&[]);
    environment.until(|status| status["ready"] == true).await;
    assert_eq!(environment.stop(), Some(0), "SIGTERM is an orderly end");
}

/// A command with its variables, for a program that runs another one.
fn words(command: &Command) -> Vec<std::ffi::OsString> {
    let mut words = vec!["env".into(), "-i".into()];
    for (name, value) in command.get_envs() {
        let mut word = name.to_owned();
        word.push("=");
        word.push(value.unwrap_or_default());
        words.push(word);
    }
    words.push(command.get_program().to_owned());
    words.extend(command.get_args().map(ToOwned::to_owned));
    words
}

#[tokio::test]
async fn only_the_managers_of_the_keys_get_in() {
    let mut environment = Environment::new();
    environment.start_at("127.7.8.1:7780", &[]);
    environment.until(|status| status["ready"] == true).await;
    let project = ProjectName::parse("checkout").unwrap();
    let ip = environment.address().ip();
    let ask = |signer: Signer, project: ProjectName| async move {
        Client::new(signer, Reach::Direct).status("team", "checkout-env-0", Some(ip), &project).await
    };

    let status = ask(environment.signer().clone(), project.clone()).await.unwrap();
    assert_eq!((status.ready, status.reason, status.project.as_str()), (true, Readiness::Ready, "checkout"));

    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Signer::open(elsewhere.path()).unwrap();
    let refused = ask(stranger.clone(), project.clone()).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused { reason, .. } if reason.contains("kid")), "{refused}");
    let other = ask(environment.signer().clone(), ProjectName::parse("search").unwrap()).await.unwrap_err();
    assert!(matches!(&other, ClientError::Refused { reason, .. } if reason.contains("another project")), "{other}");

    // A second manager's key arrives in the ConfigMap while the agent runs.
    environment.trust(&stranger);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(ask(stranger, project.clone()).await.unwrap().ready);

    let (code, body) = environment.get("/agent/v1/status").await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, problem["status"].as_u64()), (401, Some(401)), "{body}");
    assert!(problem["detail"].as_str().unwrap().contains("Authorization"), "{body}");
    assert_eq!(environment.get("/agent/v1/else").await.0, 404);
    assert_eq!(environment.get("/livez").await, (200, "ok".to_owned()));

    environment.kill();
    let gone = ask(environment.signer().clone(), project.clone()).await.unwrap_err();
    assert!(matches!(&gone, ClientError::Unreachable { reason, .. } if reason.contains("refused")), "{gone}");
    let client = Client::new(environment.signer().clone(), Reach::Direct);
    let nowhere = client.status("team", "checkout-env-0", None, &project).await.unwrap_err();
    assert!(nowhere.to_string().contains("no address yet"), "{nowhere}");
}

#[tokio::test]
async fn claude_code_gets_a_key_helper_and_a_persons_settings_stay() {
    let mut environment = Environment::new();
    environment.start(&[]);
    environment.until(|status| status["ready"] == true).await;
    let path = environment.root().join("config/.claude/settings.json");
    let settings: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let helper = settings["apiKeyHelper"].as_str().unwrap();
    let key = || {
        let output = Command::new("sh").args(["-c", helper]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let defaults = environment.root().join("etc/claude-manager/default-secrets");
    fs::create_dir_all(&defaults).unwrap();
    fs::write(defaults.join("anthropic-api-key"), "for all").unwrap();
    assert_eq!(key(), "for all");
    environment.secret("anthropic-api-key", "its own");
    assert_eq!(key(), "its own");

    environment.kill();
    fs::write(&path, "{\"mine\": true}").unwrap();
    environment.start(&[]);
    environment.until(|status| status["ready"] == true).await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"mine\": true}");
}

#[tokio::test]
async fn a_volume_that_cannot_be_written_is_told() {
    let mut environment = Environment::new();
    environment.start(&[]);
    environment.until(|status| status["ready"] == true).await;
    // Rights do not bind the superuser; a volume that is gone does.
    fs::rename(environment.root().join("config"), environment.root().join("gone")).unwrap();
    let status = environment.until(|status| status["ready"] == false).await;
    assert!(status["message"].as_str().unwrap().contains("configuration volume"), "{status}");
    fs::rename(environment.root().join("gone"), environment.root().join("config")).unwrap();
    environment.until(|status| status["ready"] == true).await;
}

#[test]
fn the_program_installs_itself_over_an_older_copy() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("opt/claude-manager");
    for _ in 0..2 {
        let output = Command::new(PROGRAM).args(["agent", "install"]).arg(&target).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let copy = target.join("claude-manager");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(fs::read(&copy).unwrap(), fs::read(PROGRAM).unwrap());
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "no draft stays behind");
    }
    let output = Command::new(target.join("claude-manager")).args(["agent", "--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("--root"), "{output:?}");

    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let output = Command::new(PROGRAM).args(["agent", "install"]).arg(file.join("below")).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be"), "{output:?}");
}

#[tokio::test]
async fn serve_commits_its_key_where_the_repository_lacks_it() {
    let mut manager = Manager::embedded();
    let signer = Signer::open(&manager.data()).unwrap();
    let name = format!("{}.pem", signer.public_key().kid());
    let first = manager.clone_state("first");
    let keys = fs::read_to_string(first.join("agent-keys.yaml")).unwrap();
    assert!(keys.contains(&name), "{keys}");
    assert_eq!(git_ok(&first, &["log", "--format=%s"]), "Begin the state repository\n", "the seed has it");
    assert!(!keys.contains("PRIVATE"), "{keys}");

    // Somebody takes it out; the next start brings it back, as a commit that says so.
    let without: String = keys.rsplit_once("data:").unwrap().0.to_owned();
    fs::write(first.join("agent-keys.yaml"), without).unwrap();
    git_ok(&first, &["commit", "-qam", "nobody"]);
    git_ok(&first, &["push", "-q"]);
    manager.kill();
    manager.run();
    let data = manager.data();
    let subject = || git_ok(&data.join("state.git"), &["log", "-1", "--format=%an: %s"]);
    let said = eventually("the commit", || Some(subject()).filter(|said| !said.contains("nobody"))).await;
    let kid = signer.public_key().kid();
    assert_eq!(said.trim(), format!("Claude Manager: Let the manager with the key {kid} into the environments"));
}
