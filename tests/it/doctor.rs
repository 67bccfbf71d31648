//! `doctor`: what is well is said, and what is not comes with what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::manager::{Manager, git_ok};

/// What the doctor says, and whether it is content.
fn doctor(manager: &Manager, more: &[(&str, &str)]) -> (String, bool) {
    let output = manager.command(&["doctor"]).envs(more.iter().copied()).output().expect("the program");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.stderr.is_empty(), "{output:?}");
    (told, output.status.success())
}

/// The line of a subject with its hint.
fn about<'a>(told: &'a str, subject: &str) -> Vec<&'a str> {
    let mut lines = told.lines().skip_while(|line| line.get(6..).is_none_or(|rest| !rest.starts_with(subject)));
    let first = lines.next().unwrap_or_else(|| panic!("nothing about {subject}:\n{told}"));
    std::iter::once(first).chain(lines.take_while(|line| line.starts_with(' '))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_beside_a_running_manager_and_nothing_is_changed() {
    let manager = Manager::embedded();
    let body =
        json!({"name": "x", "shortName": "shop", "gitRepository": "https://h/x", "anthropicApiKey": "sk-ant-secret"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    let (told, content) = doctor(&manager, &[]);
    assert!(content, "{told}");
    assert!(about(&told, "data directory")[0].contains("in use by a running manager"), "{told}");
    assert!(about(&told, "overlays")[0].contains("all build"), "{told}");
    assert!(about(&told, "cluster")[0].contains("embedded"), "{told}");
    assert!(about(&told, "git")[0].starts_with("ok"), "{told}");
    assert!(!told.contains("sk-ant-secret"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_on_this_machine_and_in_git_is_said_with_what_to_do() {
    let mut manager = Manager::embedded();
    let body = json!({"name": "x", "shortName": "shop", "gitRepository": "https://h/x", "anthropicApiKey": "k"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    manager.kill();

    let (told, content) = doctor(&manager, &[("KUBERNETES_NAMESPACE", "elsewhere")]);
    assert!(!content, "{told}");
    let said = about(&told, "root namespace").join("\n");
    assert!(
        said.starts_with("FAIL") && said.contains("elsewhere") && said.contains("KUBERNETES_NAMESPACE=claude-manager"),
        "{said}"
    );

    let (told, content) = doctor(&manager, &[("PORT", "many")]);
    assert!(!content && about(&told, "settings").join("\n").contains("PORT"), "{told}");

    let (told, content) = doctor(&manager, &[("DATABASE_URL", "postgres://nobody:hidden-word@127.0.0.1:1/none")]);
    assert!(!content && about(&told, "database")[0].starts_with("FAIL"), "{told}");
    assert!(!told.contains("hidden-word"), "{told}");

    let (told, content) = doctor(&manager, &[("STATE_GIT_REPOSITORY", "/nowhere/state.git")]);
    assert!(!content && about(&told, "remote")[0].contains("/nowhere/state.git"), "{told}");

    // Another key than the one that the secrets are for.
    fs::remove_file(manager.data().join("age.key")).expect("the key");
    let (told, content) = doctor(&manager, &[]);
    assert!(!content && about(&told, "overlays").join("\n").contains("projects/shop"), "{told}");

    fs::set_permissions(manager.data(), fs::Permissions::from_mode(0o755)).expect("opened");
    let (told, _) = doctor(&manager, &[]);
    let said = about(&told, "data directory").join("\n");
    assert!(said.starts_with("WARN") && said.contains("chmod 700"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_that_does_not_build_is_named_and_the_others_are_not() {
    let manager = Manager::embedded();
    for name in ["good", "bad"] {
        let body = json!({"name": "x", "shortName": name, "gitRepository": "https://h/x"});
        manager.expect("POST", "/api/projects", Some(body), 201).await;
    }
    fs::remove_file(manager.data().join("state.git/hooks/pre-receive")).expect("the hook");
    let clone = manager.clone_state("clone");
    let overlay = clone.join("projects/bad/kustomization.yaml");
    let text = fs::read_to_string(&overlay).expect("the overlay");
    fs::write(&overlay, text.replace("../../base", "../../basement")).expect("written");
    git_ok(&clone, &["commit", "-qam", "a typing error"]);
    git_ok(&clone, &["push", "-q"]);
    let (told, content) = doctor(&manager, &[]);
    let said = about(&told, "overlays").join("\n");
    assert!(!content && said.contains("projects/bad") && said.contains("basement"), "{told}");
    assert!(!told.contains("projects/good"), "{told}");
}

#[test]
fn on_a_real_cluster_rights_namespace_classes_and_clock_are_looked_at() {
    let Some(cluster) = ControlPlane::get() else { return };
    let namespace = cluster.namespace("doctor");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    let (told, content) = doctor(&manager, &[]);
    assert!(content, "{told}");
    for subject in ["cluster", "clock", "namespace", "permissions"] {
        assert!(about(&told, subject)[0].starts_with("ok"), "{subject}:\n{told}");
    }

    // Somebody without rights.
    let text = fs::read_to_string(cluster.kubeconfig()).expect("the kubeconfig");
    let mut config: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    for user in config["users"].as_sequence_mut().expect("users") {
        user["user"]["as"] = "system:serviceaccount:nowhere:nobody".into();
    }
    let nobody = manager.beside("nobody");
    fs::write(&nobody, serde_yaml::to_string(&config).expect("YAML")).expect("written");
    let (told, content) = doctor(&manager, &[("KUBECONFIG", &nobody.display().to_string())]);
    let said = about(&told, "permissions").join("\n");
    assert!(!content && said.contains("statefulsets.apps: get, list, watch, create, patch, delete"), "{told}");
    assert!(said.contains("bind a Role"), "{said}");

    let (told, content) = doctor(&manager, &[("KUBERNETES_NAMESPACE", "no-such-namespace")]);
    assert!(!content && about(&told, "namespace").join("\n").contains("kubectl create namespace"), "{told}");

    let (told, content) = doctor(&manager, &[("DEFAULT_STORAGE_CLASS", "no-such-class")]);
    assert!(!content && about(&told, "storage class")[0].contains("no-such-class"), "{told}");
}
