//! The README, done as written.

use std::path::Path;
use std::process::Command;

use crate::control_plane::{ControlPlane, skipped};
use crate::git_server::GitServer;
use crate::manager::{Manager, PROGRAM};

/// The repository of the README's project.
const REPOSITORY: &str = "https://github.com/octocat/Hello-World.git";

/// The first `sh` block after a marker in the README.
fn block(marker: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(readme).expect("the README");
    let after = text.split(&format!("<!-- {marker} -->")).nth(1).expect("the marker");
    let block = after.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("a block of commands").to_owned()
}

/// Runs the five minutes beside a running manager; what a reader would have to adapt is adapted: the way the program is
/// called, the port, and the repository, as there may be no network here.
async fn five_minutes(manager: &Manager, server: &GitServer, adapt: impl Fn(String) -> String) -> Option<String> {
    if Command::new("curl").arg("--version").output().is_err() {
        skipped("there is no curl, which the README's five minutes use");
        return None;
    }
    let address = manager.url("").trim_start_matches("http://").to_owned();
    let script =
        block("five-minutes").replace("cargo run --release --quiet --", PROGRAM).replace("localhost:3000", &address);
    let script = adapt(script.replace(REPOSITORY, &server.url("app")));
    assert!(
        script.contains(PROGRAM) && script.contains(&address) && script.contains("/app.git"),
        "the README calls the program another way now"
    );
    let shell = manager.command(&[]);
    let mut command = Command::new("bash");
    command.arg("-euo").arg("pipefail").arg("-c").arg(script).env_clear();
    for (name, value) in shell.get_envs() {
        command.envs(value.map(|value| (name, value)));
    }
    let identity = [("GIT_AUTHOR_NAME", "Ana"), ("GIT_AUTHOR_EMAIL", "ana@example.org")];
    let committer = [("GIT_COMMITTER_NAME", "Ana"), ("GIT_COMMITTER_EMAIL", "ana@example.org")];
    command.envs(identity.into_iter().chain(committer)).current_dir(manager.beside(""));
    // The repository's server answers on this thread's runtime meanwhile.
    let output = tokio::task::spawn_blocking(move || command.output().expect("bash")).await.expect("no panic");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{}", manager.log());
    Some(told)
}

fn holds_what_the_readme_promises(told: &str) {
    for promised in [
        "\"commit\"",
        "\"phase\":\"Running\"",
        "checkout: create",
        "ENC[AES256_GCM",
        "until Monday",
        "spec.replicas",
        "kind: StatefulSet",
    ] {
        assert!(told.contains(promised), "{promised} is missing in:\n{told}");
    }
    assert!(!told.contains("sk-ant-example"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_minutes_work_as_written_on_the_embedded_cluster() {
    let (manager, server) = (Manager::embedded(), GitServer::start().await);
    let Some(told) = five_minutes(&manager, &server, |script| script).await else { return };
    holds_what_the_readme_promises(&told);
    assert!(told.contains("cloned"), "the agent's log:\n{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_five_minutes_work_as_written_on_the_real_control_plane() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let namespace = cluster.namespace("readme");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    // Pods of kwok run nothing, so that they have no log.
    let no_log = |script: String| {
        let lines = script.lines().filter(|line| !line.contains("/logs?"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let server = GitServer::start().await;
    let Some(told) = five_minutes(&manager, &server, no_log).await else { return };
    holds_what_the_readme_promises(&told);
}
