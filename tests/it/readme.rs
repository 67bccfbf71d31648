//! The README, done as written.

use std::path::Path;
use std::process::Command;

use crate::control_plane::{ControlPlane, skipped};
use crate::manager::{Manager, PROGRAM};

/// The first `sh` block after a marker in the README.
fn block(marker: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(readme).expect("the README");
    let after = text.split(&format!("<!-- {marker} -->")).nth(1).expect("the marker");
    let block = after.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("a block of commands").to_owned()
}

/// Runs the five minutes beside a running manager; what a reader would have to adapt is adapted: the way the program is
/// called, and the port.
fn five_minutes(manager: &Manager) -> Option<String> {
    if Command::new("curl").arg("--version").output().is_err() {
        skipped("there is no curl, which the README's five minutes use");
        return None;
    }
    let address = manager.url("").trim_start_matches("http://").to_owned();
    let script =
        block("five-minutes").replace("cargo run --release --quiet --", PROGRAM).replace("localhost:3000", &address);
    assert!(script.contains(PROGRAM) && script.contains(&address), "the README calls the program another way now");
    let shell = manager.command(&[]);
    let mut command = Command::new("bash");
    command.arg("-euo").arg("pipefail").arg("-c").arg(script).env_clear();
    for (name, value) in shell.get_envs() {
        command.envs(value.map(|value| (name, value)));
    }
    let identity = [("GIT_AUTHOR_NAME", "Ana"), ("GIT_AUTHOR_EMAIL", "ana@example.org")];
    let committer = [("GIT_COMMITTER_NAME", "Ana"), ("GIT_COMMITTER_EMAIL", "ana@example.org")];
    let output =
        command.envs(identity.into_iter().chain(committer)).current_dir(manager.beside("")).output().expect("bash");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{}", manager.log());
    Some(told)
}

fn holds_what_the_readme_promises(told: &str) {
    for promised in
        ["\"commit\"", "checkout: create", "ENC[AES256_GCM", "until Monday", "spec.replicas", "kind: StatefulSet"]
    {
        assert!(told.contains(promised), "{promised} is missing in:\n{told}");
    }
    assert!(!told.contains("sk-ant-example"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_minutes_work_as_written_on_the_embedded_cluster() {
    let manager = Manager::embedded();
    let Some(told) = five_minutes(&manager) else { return };
    holds_what_the_readme_promises(&told);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_minutes_work_as_written_on_the_real_control_plane() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let namespace = cluster.namespace("readme");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    let Some(told) = five_minutes(&manager) else { return };
    holds_what_the_readme_promises(&told);
}
