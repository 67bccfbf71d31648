//! The lines of shell that the containers run, on this machine with other directories.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::control_plane::{eventually, text_of};

/// The script of a container, with the three absolute directories below `root`.
fn script(container: usize, root: &Path) -> String {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("kustomize/base/statefulset.yaml");
    let set: Value = serde_yaml::from_str(&fs::read_to_string(base).unwrap()).unwrap();
    let script = set["spec"]["template"]["spec"]["containers"][container]["args"][0].as_str().unwrap();
    ["/workspace", "/etc/claude-manager", "/tmp/ide-off"].into_iter().fold(script.to_owned(), |script, path| {
        script.replace(path, root.join(path.trim_start_matches('/')).to_str().unwrap())
    })
}

fn directories() -> TempDir {
    let root = TempDir::new().unwrap();
    for directory in ["workspace", "config", "tmp", "etc/claude-manager/project-secrets"] {
        fs::create_dir_all(root.path().join(directory)).unwrap();
    }
    root
}

/// A command with nothing of this machine but the programs.
fn clean(program: &str, root: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", root.join("config"))
        .env("CLAUDE_CONFIG_DIR", root.join("config/.claude"))
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A container's process; a failed test does not leave it behind.
struct Container(Child);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn agent(root: &Path, repository: &str) -> Container {
    Container(clean("sh", root).args(["-c", &script(0, root)]).env("GIT_REPOSITORY", repository).spawn().unwrap())
}

/// Ends a container as the kubelet does, and asks for a clean and quick end.
fn stop(mut container: Container) {
    text_of(Command::new("kill").arg(container.0.id().to_string()).output().unwrap());
    let status = eventually("the container to end", || container.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn the_agent_clones_the_repository_and_ends_when_it_is_told_to() {
    let root = directories();
    let origin = root.path().join("origin/checkout.git");
    text_of(clean("git", root.path()).args(["init", "-q", "--bare"]).arg(&origin).output().unwrap());

    let agent = agent(root.path(), origin.to_str().unwrap());

    let clone = root.path().join("workspace/checkout");
    eventually("the clone", || clone.join(".git/HEAD").exists().then_some(()));
    let settings = fs::read_to_string(root.path().join("config/.claude/settings.json")).unwrap();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    fs::write(root.path().join("etc/claude-manager/project-secrets/anthropic-api-key"), "a key").unwrap();
    let helper = settings["apiKeyHelper"].as_str().unwrap();
    let key = clean("sh", root.path()).args(["-c", helper]).stdout(Stdio::piped()).output().unwrap();
    assert_eq!(text_of(key), "a key");
    stop(agent);
}

#[test]
fn the_token_goes_to_the_repositorys_host_and_to_no_other() {
    let root = directories();
    let agent = agent(root.path(), "https://git.invalid/team/checkout.git");
    let config = root.path().join("config/.gitconfig");
    eventually("the credential helper", || fs::read_to_string(&config).ok()?.contains("git.invalid").then_some(()));
    stop(agent);
    // The file comes after the start, as it does when a Secret is renewed.
    fs::write(root.path().join("etc/claude-manager/project-secrets/git-token"), "the-token").unwrap();

    let ask = |host: &str| {
        let question = root.path().join("question");
        fs::write(&question, format!("protocol=https\nhost={host}\n\n")).unwrap();
        let output = clean("git", root.path())
            .args(["credential", "fill"])
            .stdin(fs::File::open(question).unwrap())
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };

    assert!(ask("git.invalid").contains("username=x-access-token\npassword=the-token\n"));
    assert!(!ask("evil.invalid").contains("the-token"));
}

#[test]
fn an_image_without_code_server_has_no_ide_and_says_so() {
    let root = directories();
    if Command::new("code-server").arg("--version").output().is_ok() {
        return;
    }
    let container = Container(clean("sh", root.path()).args(["-c", &script(1, root.path())]).spawn().unwrap());
    eventually("the mark for the probe", || root.path().join("tmp/ide-off").exists().then_some(()));
    stop(container);
}
