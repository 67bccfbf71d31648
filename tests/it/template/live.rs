//! The template on a real API server, applied by stock kubectl.

use std::fs;
use std::process::Command;

use secrecy::ExposeSecret;
use serde_json::Value;

use super::tree::{BY_HAND, BY_HAND_PATCH, edit, overlay, readme_example, state_repository};
use crate::control_plane::{ControlPlane, MISSING_IMAGE, eventually, skipped, text_of};

/// The running environment of a project, once the StatefulSet says that it is ready.
fn wait_until_ready(cluster: &ControlPlane, namespace: &str, project: &str) -> Value {
    eventually("the environment to be ready", || {
        let set = cluster.object(namespace, "statefulset", &format!("{project}-env"))?;
        (set["status"]["readyReplicas"] == 1 && set["status"]["currentRevision"] == set["status"]["updateRevision"])
            .then_some(set)
    })
}

fn apply(cluster: &ControlPlane, tree: &tempfile::TempDir) -> String {
    cluster.expect([std::ffi::OsStr::new("apply"), "-k".as_ref(), tree.path().as_os_str()])
}

#[test]
fn environments_start_in_a_restricted_namespace_without_any_secret() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    let namespace = cluster.namespace("restricted");
    cluster.volumes("", 4);
    let tree = state_repository(&namespace, &[("checkout", &overlay("checkout")), ("search", &overlay("search"))]);

    let output = cluster.kubectl(["apply".as_ref(), "-k".as_ref(), tree.path().as_os_str()]);

    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    text_of(output);
    assert_eq!(warnings, "", "the API server warns of what breaks the level");
    assert_eq!(cluster.objects(&namespace, "secrets"), Vec::<Value>::new());
    for project in ["checkout", "search"] {
        wait_until_ready(cluster, &namespace, project);
    }

    // Every selector of a project reaches its own pod and no other.
    for project in ["checkout", "search"] {
        let name = format!("{project}-env");
        for (kind, field) in [
            ("statefulset", "/spec/selector/matchLabels"),
            ("service", "/spec/selector"),
            ("networkpolicy", "/spec/podSelector/matchLabels"),
        ] {
            let object = cluster.object(&namespace, kind, &name).unwrap();
            let selector: Vec<_> = object
                .pointer(field)
                .unwrap()
                .as_object()
                .unwrap()
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap()))
                .collect();
            let pods = cluster.expect(["-n", &namespace, "get", "pods", "-l", &selector.join(","), "-o", "name"]);
            assert_eq!(pods.trim(), format!("pod/{project}-env-0"), "by the {kind}");
        }
    }
}

#[test]
fn the_sudo_component_needs_the_baseline_level() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    let with_sudo = |namespace: &str| {
        let overlay = BY_HAND.replace("count: 0", "count: 1").replace("fast-ssd", "sudo");
        let tree = state_repository(namespace, &[("lab", &overlay)]);
        fs::write(tree.path().join("projects/lab/secrets-reference.yaml"), BY_HAND_PATCH).unwrap();
        tree
    };
    // Two are bound by the refused environment.
    cluster.volumes("sudo", 4);

    let restricted = cluster.namespace("no-sudo");
    apply(cluster, &with_sudo(&restricted));
    let refusal = eventually("a refusal", || {
        let events = cluster.objects(&restricted, "events");
        let refused = events.iter().find(|event| event["reason"] == "FailedCreate")?;
        refused["message"].as_str().map(str::to_owned)
    });
    assert!(refusal.contains("violates PodSecurity \"restricted"), "{refusal}");

    let baseline = cluster.namespace_at_level("sudo", "baseline");
    apply(cluster, &with_sudo(&baseline));
    wait_until_ready(cluster, &baseline, "lab");
}

#[test]
fn applying_again_changes_nothing_and_stopping_keeps_the_template() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    let namespace = cluster.namespace("twice");
    cluster.volumes("", 2);
    let tree = state_repository(&namespace, &[("checkout", &overlay("checkout"))]);
    let first = apply(cluster, &tree);
    assert!(first.lines().all(|line| line.ends_with(" created")), "{first}");
    let running = wait_until_ready(cluster, &namespace, "checkout");

    let second = apply(cluster, &tree);
    assert!(second.lines().all(|line| line.ends_with(" unchanged")), "{second}");

    edit(tree.path(), "projects/checkout/kustomization.yaml", "count: 1", "count: 0");
    let third = apply(cluster, &tree);
    let changed: Vec<_> = third.lines().filter(|line| !line.ends_with(" unchanged")).collect();
    assert_eq!(changed, ["statefulset.apps/checkout-env configured"]);
    eventually("the pod to go", || cluster.objects(&namespace, "pods").is_empty().then_some(()));
    let stopped = cluster.object(&namespace, "statefulset", "checkout-env").unwrap();
    assert_eq!(stopped["status"]["updateRevision"], running["status"]["updateRevision"]);
    let claims = cluster.objects(&namespace, "persistentvolumeclaims");
    assert_eq!(claims.len(), 2, "a stopped project keeps its volumes");
}

#[test]
fn the_project_label_can_never_change() {
    let Some(cluster) = ControlPlane::get() else { return };
    let namespace = cluster.namespace("immutable");
    let tree = state_repository(&namespace, &[("checkout", &overlay("checkout"))]);
    apply(cluster, &tree);

    edit(tree.path(), "projects/checkout/kustomization.yaml", "project: checkout", "project: till");
    let output = cluster.kubectl(["apply".as_ref(), "-k".as_ref(), tree.path().as_os_str()]);

    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(error.contains("spec: Forbidden: updates to statefulset spec for fields other than"), "{error}");
}

#[test]
fn a_corrected_image_replaces_a_pod_that_never_became_ready() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    let namespace = cluster.namespace("stuck");
    cluster.volumes("", 2);
    let (name, tag) = MISSING_IMAGE.rsplit_once(':').unwrap();
    let broken =
        overlay("checkout").replace("registry.example/claude-dev-env", name).replace("\"1.2\"", &format!("\"{tag}\""));
    let tree = state_repository(&namespace, &[("checkout", &broken)]);
    apply(cluster, &tree);
    eventually("the pod to be stuck", || {
        let pod = cluster.object(&namespace, "pod", "checkout-env-0")?;
        (pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "ErrImagePull").then_some(())
    });

    edit(tree.path(), "projects/checkout/kustomization.yaml", name, "registry.example/claude-dev-env");
    apply(cluster, &tree);

    wait_until_ready(cluster, &namespace, "checkout");
}

#[test]
fn a_workspace_grows_by_apply() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    let namespace = cluster.namespace("growth");
    cluster.volumes("growing", 1);
    cluster.volumes("", 1);
    let growing = overlay("checkout")
        .replace("    spec:\n      resources:\n", "    spec:\n      storageClassName: growing\n      resources:\n");
    let tree = state_repository(&namespace, &[("checkout", &growing)]);
    apply(cluster, &tree);
    wait_until_ready(cluster, &namespace, "checkout");

    edit(tree.path(), "projects/checkout/kustomization.yaml", "40Gi", "60Gi");
    let output = apply(cluster, &tree);

    assert!(output.contains("persistentvolumeclaim/checkout-workspace configured"), "{output}");
    let claim = cluster.object(&namespace, "persistentvolumeclaim", "checkout-workspace").unwrap();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "60Gi");
}

#[test]
fn a_restore_needs_only_kubectl_and_sops() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    let sops = std::env::var_os("SOPS_BIN").unwrap_or_else(|| "sops".into());
    if Command::new(&sops).arg("--version").output().is_err() {
        return skipped("there is no sops on PATH or in SOPS_BIN");
    }
    let namespace = cluster.namespace("restore");
    cluster.volumes("", 2);
    let tree = state_repository(&namespace, &[("checkout", &overlay("checkout"))]);
    let identity = age::x25519::Identity::generate();
    edit(tree.path(), ".sops.yaml", "AGE_RECIPIENT", &identity.to_public().to_string());
    let secrets = tree.path().join("projects/checkout/secrets.sops.yaml");
    let secret = readme_example(1);
    assert!(secret.contains("kind: Secret"), "{secret}");
    fs::write(&secrets, secret).unwrap();
    let sops = |arguments: &[&str]| {
        let output = Command::new(&sops)
            .args(arguments)
            .arg(&secrets)
            .current_dir(tree.path())
            .env("SOPS_AGE_KEY", identity.to_string().expose_secret())
            .output();
        text_of(output.unwrap())
    };
    sops(&["encrypt", "--in-place"]);
    let stored = fs::read_to_string(&secrets).unwrap();
    assert!(stored.contains("name: checkout-secrets") && stored.contains("git-token: ENC["), "{stored}");

    // Without the secrets everything starts, ...
    apply(cluster, &tree);
    wait_until_ready(cluster, &namespace, "checkout");
    let pod = || cluster.object(&namespace, "pod", "checkout-env-0").unwrap()["metadata"]["uid"].clone();
    let before = pod();
    // ... and their coming restarts nothing.
    let decrypted = sops(&["decrypt"]);
    text_of(cluster.kubectl_reading(&decrypted, ["-n", &namespace, "apply", "-f", "-"]));
    let secret = cluster.object(&namespace, "secret", "checkout-secrets").unwrap();
    assert_eq!(secret["data"]["git-token"], "dGhlLXRva2Vu");

    // One project alone is the same as the whole.
    let project = tree.path().join("projects/checkout");
    let alone =
        cluster.expect(["-n".as_ref(), namespace.as_ref(), "apply".as_ref(), "-k".as_ref(), project.as_os_str()]);
    assert!(alone.lines().all(|line| line.ends_with(" unchanged")), "{alone}");
    assert_eq!(pod(), before);
}
