//! The directory on the real API server: by kubectl in both ways, and by deploy.sh.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use super::{kubernetes, overlay};
use crate::control_plane::{ControlPlane, text_of};

/// Standard output and error of a command that succeeded.
fn told(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    assert!(output.status.success(), "{text}");
    text
}

/// Runs a copy of deploy.sh as the administrator, with the control plane's kubectl.
fn deploy(cluster: &ControlPlane, script: &Path, directory: &Path) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let binaries = cluster.program("kubectl").parent().unwrap().display().to_string();
    Command::new("bash")
        .arg(script)
        .arg(directory)
        .env("PATH", format!("{binaries}:{path}"))
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("TIMEOUT", "60s")
        .output()
        .expect("bash")
}

/// One test, as all of it writes the one ClusterRoleBinding of the cluster.
#[test]
fn it_applies_without_a_warning_and_deploy_sh_is_safe_to_run_again() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 4);
    let root = tempfile::tempdir().unwrap();

    // By hand, in both ways, one after the other and each alone, in namespaces that enforce the restricted level.
    let by_hand = |name: &str| {
        let text = std::fs::read_to_string(kubernetes().join("namespace.yaml")).unwrap();
        let namespace = text.replace("name: claude-manager", &format!("name: {name}"));
        text_of(cluster.kubectl_reading(&namespace, ["create", "-f", "-"]));
        overlay(root.path(), name, name, &[]).display().to_string()
    };
    let apply = |arguments: &[&str], directory: &str| {
        let text = told(&cluster.kubectl(arguments.iter().chain([&directory])));
        assert!(text.contains("deployment.apps/claude-manager") && !text.to_lowercase().contains("warning"), "{text}");
        text
    };
    let first = by_hand("by-hand");
    apply(&["apply", "-k"], &first);
    cluster.expect(["-n", "by-hand", "rollout", "status", "deployment/claude-manager", "--timeout=60s"]);
    let again = apply(&["apply", "-k"], &first);
    assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    apply(&["apply", "--server-side", "-k"], &first);
    apply(&["apply", "--server-side", "-k"], &by_hand("server-side"));

    // By the script, where there is nothing yet.
    let script = root.path().join("kubernetes/deploy.sh");
    let directory = overlay(root.path(), "by-script", "by-script", &[]);
    let secret = |token: &str| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "claude-manager-secrets"},
            "stringData": {"admin-token": token}});
        std::fs::write(directory.join("secret.yaml"), secret.to_string()).unwrap();
    };
    secret("the-first-token-that-is-long-enough-for-it");
    let first = told(&deploy(cluster, &script, &directory));
    assert!(first.contains("namespace/by-script created"), "{first}");
    assert!(first.contains("secret/claude-manager-secrets created"), "{first}");
    assert!(first.contains("kubectl -n by-script exec deploy/claude-manager -- claude-manager token show"), "{first}");
    let enforced = cluster.object("by-script", "namespace", "by-script").unwrap();
    assert_eq!(enforced["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");

    // And again: nothing changes, the Secret least of all.
    let generation =
        || cluster.object("by-script", "deployment", "claude-manager").unwrap()["metadata"]["generation"].clone();
    let (before, kept) = (generation(), cluster.object("by-script", "secret", "claude-manager-secrets").unwrap());
    secret("the-second-token-that-is-long-enough-for-it");
    let second = told(&deploy(cluster, &script, &directory));
    assert!(second.contains("namespace/by-script is there"), "{second}");
    assert!(second.contains("secret/claude-manager-secrets is there, and stays as it is"), "{second}");
    assert!(!second.contains("configured") && !second.contains("restarted"), "{second}");
    assert_eq!(generation(), before);
    assert_eq!(cluster.object("by-script", "secret", "claude-manager-secrets").unwrap(), kept);

    // A changed setting starts the manager again.
    let settings = root.path().join("kubernetes/configmap.yaml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace("LOG_LEVEL: info", "LOG_LEVEL: debug")).unwrap();
    let third = told(&deploy(cluster, &script, &directory));
    assert!(third.contains("configmap/claude-manager-config configured") && third.contains("restarted"), "{third}");
    assert_ne!(generation(), before);

    // Several replicas need their keys; then their pods wait for nothing.
    let replicas = overlay(root.path(), "replicas", "by-script", &["replicas"]);
    let (missing, keys) =
        (deploy(cluster, &script, &overlay(root.path(), "empty", "replicas", &["replicas"])), replicas);
    let text = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && text.contains("secret-template.yaml"), "{text}");
    let text = told(&deploy(cluster, &script, &keys));
    assert!(!text.to_lowercase().contains("warning"), "{text}");
    cluster.expect(["-n", "by-script", "scale", "deployment/claude-manager", "--replicas=2"]);
    cluster.expect(["-n", "by-script", "rollout", "status", "deployment/claude-manager", "--timeout=60s"]);
    told(&deploy(cluster, &script, &keys));
    let scaled = cluster.object("by-script", "deployment", "claude-manager").unwrap();
    assert_eq!(scaled["spec"]["replicas"], 2, "kubectl scale has the word");
    assert!(
        cluster.object("by-script", "persistentvolumeclaim", "claude-manager-data").is_some(),
        "nothing is deleted"
    );

    // The alerts, where the Prometheus Operator is, and only there.
    assert!(third.contains("no PrometheusRule in this cluster"), "{third}");
    prometheus_operator(cluster);
    let text = told(&deploy(cluster, &script, &directory));
    assert!(text.contains("prometheusrule.monitoring.coreos.com/claude-manager created"), "{text}");
    let with_rule = overlay(root.path(), "with-rule", "by-script", &["prometheus-rule"]);
    let text =
        told(&cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-k", &with_rule.display().to_string()]));
    assert!(!text.to_lowercase().contains("warning"), "{text}");
    assert!(cluster.object("by-script", "prometheusrule", "claude-manager").is_some());
}

/// The operator's kind, as far as rules go.
fn prometheus_operator(cluster: &ControlPlane) {
    let text = |fields: serde_json::Value| json!({"type": "object", "properties": fields});
    let string = || json!({"type": "string"});
    let rule = text(json!({
        "alert": string(), "expr": string(), "for": string(),
        "labels": {"type": "object", "additionalProperties": string()},
        "annotations": {"type": "object", "additionalProperties": string()},
    }));
    let group = text(json!({"name": string(), "rules": {"type": "array", "items": rule}}));
    let spec = text(json!({"groups": {"type": "array", "items": group}}));
    cluster.apply(vec![json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "prometheusrules.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {"kind": "PrometheusRule", "plural": "prometheusrules", "singular": "prometheusrule"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": text(json!({"spec": spec}))}}],
        },
    })]);
    cluster.expect([
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/prometheusrules.monitoring.coreos.com",
    ]);
    // The API server tells of a new group a moment later.
    crate::control_plane::eventually("the new group", || {
        let found = cluster.kubectl(["get", "--raw", "/apis/monitoring.coreos.com/v1"]);
        found.status.success().then_some(())
    });
}
