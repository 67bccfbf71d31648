//! The lines of shell that the container `ide` runs, on this machine with other directories.

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

/// Ends a container as the kubelet does, and asks for a clean and quick end.
fn stop(mut container: Container) {
    text_of(Command::new("kill").arg(container.0.id().to_string()).output().unwrap());
    let status = eventually("the container to end", || container.0.try_wait().unwrap());
    assert!(status.success(), "{status}");
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
