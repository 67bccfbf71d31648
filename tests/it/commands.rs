//! The commands that do one thing and end.

use std::fs;
use std::process::{Command, Output};

use crate::manager::{Manager, PROGRAM, git_ok};

fn run(directory: &std::path::Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", directory).output().expect("the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn init_makes_a_repository_that_builds_and_refuses_a_directory_that_is_not_empty() {
    let directory = tempfile::tempdir().expect("a directory");
    let made = run(directory.path(), &["init", "fleet"]);
    assert!(made.status.success(), "{made:?}");
    let fleet = directory.path().join("fleet");
    assert_eq!(git_ok(&fleet, &["status", "--porcelain"]), "");
    assert_eq!(git_ok(&fleet, &["log", "--format=%s"]), "Begin the state repository\n");
    let sops = fs::read_to_string(fleet.join(".sops.yaml")).expect(".sops.yaml");
    assert!(sops.contains("age: age1"), "{sops}");
    let built = run(directory.path(), &["build", "fleet/base"]);
    assert!(text(&built.stdout).contains("kind: StatefulSet"), "{built:?}");
    let again = run(directory.path(), &["init", "fleet"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("fleet is not empty"), "{again:?}");
}

#[test]
fn a_default_key_is_in_the_first_commit_and_never_in_clear() {
    let directory = tempfile::tempdir().expect("a directory");
    let secrets = directory.path().join("secrets");
    fs::create_dir(&secrets).expect("made");
    fs::write(secrets.join("default-anthropic-api-key"), "sk-ant-for-everybody\n").expect("written");
    fs::write(directory.path().join(".env"), "SECRETS_DIR=secrets\n").expect("written");
    assert!(run(directory.path(), &["init", "fleet"]).status.success());
    let file = fs::read_to_string(directory.path().join("fleet/secrets.sops.yaml")).expect("the file");
    assert!(file.contains("name: claude-defaults") && file.contains("ENC[AES256_GCM"), "{file}");
    assert!(!file.contains("for-everybody"), "{file}");
}

#[test]
fn build_takes_the_flags_of_kustomize_and_refuses_those_that_run_programs() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("app")).expect("made");
    let object = |name: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n");
    fs::write(directory.path().join("outside.yaml"), object("b") + "---\n" + &object("a")).expect("written");
    fs::write(directory.path().join("app/kustomization.yaml"), "resources: [../outside.yaml]\n").expect("written");
    let refused = run(directory.path(), &["build", "app"]);
    assert!(text(&refused.stderr).contains("is not in or below"), "{refused:?}");
    let anywhere = ["build", "app", "--load-restrictor", "LoadRestrictionsNone"];
    let sorted = run(directory.path(), &anywhere);
    assert_eq!(text(&sorted.stdout), object("a") + "---\n" + &object("b"));
    let mut more = anywhere.to_vec();
    more.extend(["--reorder", "none", "-o", "out.yaml"]);
    let written = run(directory.path(), &more);
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    let file = fs::read_to_string(directory.path().join("out.yaml")).expect("the output");
    assert_eq!(file, object("b") + "---\n" + &object("a"));
    // All flags of `kustomize build --help` (v5.8.2) that are not taken.
    for (flag, reason) in [
        ("--enable-alpha-plugins", "never run"),
        ("--enable-exec", "never run"),
        ("--network", "never run"),
        ("--network-name=bridge", "never run"),
        ("--mount=type=bind", "never run"),
        ("--env=A=b", "never run"),
        ("-eA=b", "never run"),
        ("--as-current-user", "never run"),
        ("--enable-helm", "helm template"),
        ("--helm-command=helm", "helm template"),
        ("--helm-api-versions=v1", "helm template"),
        ("--helm-kube-version=1.33", "helm template"),
        ("--helm-debug", "helm template"),
        ("--stack-trace", "file, line and field"),
    ] {
        let refused = run(directory.path(), &["build", "app", flag]);
        let told = text(&refused.stderr);
        let name = if flag.starts_with("-e") { "--env" } else { flag.split('=').next().unwrap_or(flag) };
        assert!(!refused.status.success() && told.contains(name) && told.contains(reason), "{told}");
    }
}

#[test]
fn a_broken_kustomization_is_told_with_file_line_and_hint() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = directory.path().join("app");
    fs::create_dir(&app).expect("made");
    fs::write(app.join("kustomization.yaml"), "resources:\n- here.yaml\nnamePrefixx: a-\n").expect("written");
    let built = run(directory.path(), &["build", "app"]);
    assert_eq!(built.status.code(), Some(1));
    assert_eq!(text(&built.stdout), "");
    let told = text(&built.stderr);
    assert!(told.starts_with("error: app/kustomization.yaml:3: "), "{told}");
    assert!(told.contains("namePrefixx") && told.contains("\nhint: "), "{told}");

    fs::write(app.join("kustomization.yaml"), "resources:\n- here.yaml\n").expect("written");
    let told = text(&run(directory.path(), &["build", "app"]).stderr);
    assert!(told.contains("app/kustomization.yaml:2") && told.contains("here.yaml"), "{told}");
    let told = text(&run(directory.path(), &["build", "nowhere"]).stderr);
    assert!(told.contains("nowhere"), "{told}");
}

#[test]
fn help_explains_each_command_and_a_wrong_setting_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let help = text(&run(directory.path(), &["--help"]).stdout);
    for command in ["serve", "build", "plan", "reconcile", "init"] {
        assert!(help.contains(command), "{command}: {help}");
        let own = run(directory.path(), &[command, "--help"]);
        assert!(own.status.success() && own.stdout.len() > 100, "{command}: {own:?}");
    }
    fs::write(directory.path().join(".env"), "PORT=many\nDEFAULT_WORKSPACE_SIZE=big\n").expect("written");
    let told = text(&run(directory.path(), &["serve"]).stderr);
    assert!(told.contains("PORT") && told.contains("DEFAULT_WORKSPACE_SIZE"), "all wrong settings at once: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_once_brings_the_cluster_to_the_head_and_ends() {
    let mut manager = Manager::embedded();
    let body = serde_json::json!({"name": "x", "shortName": "once", "gitRepository": "https://h/x"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    manager.kill();
    // A cluster that has nothing of it.
    fs::remove_dir_all(manager.data().join("cluster")).expect("the embedded cluster");
    let plan = manager.command(&["plan"]).output().expect("plan");
    assert_eq!(plan.status.code(), Some(2), "{plan:?}");
    let done = manager.command(&["reconcile", "--once"]).output().expect("reconcile");
    assert!(done.status.success(), "{done:?}");
    assert!(text(&done.stdout).contains("once-env"), "{done:?}");
    let plan = manager.command(&["plan"]).output().expect("plan");
    assert_eq!(plan.status.code(), Some(0), "{plan:?}");
}
