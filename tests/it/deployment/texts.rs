//! What can be said of the files alone.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use claude_manager::config::SETTINGS;
use claude_manager::metrics::{Metrics, Outcome};
use serde_json::Value;

use super::{documents, kubernetes, objects, overlay};
use crate::control_plane::{binaries, skipped, text_of};
use crate::manager::PROGRAM;

/// Settings that are not in the ConfigMap, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("ADMIN_TOKEN", "secret"),
    ("AGENT_SIGNING_KEY", "secret"),
    ("BACKUP_GIT_TOKEN", "secret"),
    ("BACKUP_SSH_PRIVATE_KEY", "secret"),
    ("DATABASE_URL", "secret"),
    ("DEFAULT_ANTHROPIC_API_KEY", "secret"),
    ("JIRA_API_KEY", "secret"),
    ("JWT_SECRET", "secret"),
    ("SOPS_AGE_KEY", "secret"),
    ("WEBHOOK_SECRET", "secret"),
    ("ALLOWED_HOSTS", "only for a manager on the loopback address"),
    ("CLAUDE_BIN", "the environment's image has it"),
    ("KUBECONFIG", "the pod has an account of its own"),
    ("KUBERNETES_NAMESPACE", "the namespace of the pod, in the Deployment"),
    ("SOPS_AGE_KEY_FILE", "the Secret's key sops-age-key"),
];

/// Settings that are otherwise in the image or the cluster than on a desk.
const DIFFERENT: &[(&str, &str)] = &[
    ("BACKUP_DIR", "/app/backup"),
    ("DATA_DIR", "/app/data"),
    ("LOG_DIR", "/app/logs"),
    ("HOST", "0.0.0.0"),
    ("NODE_ENV", "production"),
    ("SECRETS_DIR", "/etc/claude-manager/secrets"),
];

/// Keys of the Secret that no setting of this program reads yet, or that only ssh reads.
const KEYS_WITHOUT_SETTING: &[&str] = &["backup-ssh-public-key"];

#[test]
fn every_setting_is_in_the_configmap_with_its_default_or_elsewhere_on_purpose() {
    let [map] = &objects("configmap.yaml")[..] else { panic!("one ConfigMap") };
    let data: BTreeMap<&str, &str> =
        map["data"].as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let different: BTreeMap<_, _> = DIFFERENT.iter().copied().collect();
    let elsewhere: BTreeMap<_, _> = ELSEWHERE.iter().copied().collect();
    let expected: BTreeMap<&str, &str> = SETTINGS
        .iter()
        .filter(|setting| !elsewhere.contains_key(setting.name))
        .map(|setting| (setting.name, *different.get(setting.name).unwrap_or(&setting.default)))
        .collect();
    assert_eq!(data, expected, "a new setting belongs into configmap.yaml, or into ELSEWHERE with the reason");
    let known: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    assert!(elsewhere.keys().all(|name| known.contains(name)), "{elsewhere:?}");
}

#[test]
fn the_secret_template_has_every_key_and_no_value() {
    let [secret] = &objects("secret-template.yaml")[..] else { panic!("one Secret") };
    assert_eq!(secret["metadata"]["name"], "claude-manager-secrets");
    let data = secret["stringData"].as_object().unwrap();
    assert!(data.values().all(|value| value == ""), "{data:?}");
    let secrets = ELSEWHERE.iter().filter(|(_, why)| *why == "secret");
    let mut expected: Vec<String> = secrets.map(|(name, _)| name.to_lowercase().replace('_', "-")).collect();
    expected.extend(KEYS_WITHOUT_SETTING.iter().map(|key| (*key).to_owned()));
    expected.sort();
    let mut keys: Vec<String> = data.keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, expected);
    let ignored = std::fs::read_to_string(kubernetes().join("../.gitignore")).unwrap();
    assert!(ignored.lines().any(|line| line == "/kubernetes/secret.yaml"));
}

#[test]
fn both_forms_of_the_alerts_are_the_same_and_prometheus_takes_them() {
    let [plain] = &objects("alerts.yaml")[..] else { panic!("one document") };
    let [rule] = &objects("components/prometheus-rule/prometheusrule.yaml")[..] else { panic!("one object") };
    assert_eq!(plain["groups"], rule["spec"]["groups"]);
    let rules = plain["groups"][0]["rules"].as_array().unwrap();
    let text = |rule: &Value, field: &str| rule[field].as_str().unwrap_or_default().to_owned();
    let found: Vec<_> = rules.iter().map(|rule| (text(rule, "alert"), text(rule, "for"))).collect();
    assert_eq!(
        found,
        [
            ("ClaudeManagerDown", "1m"),
            ("ClaudeManagerHighErrorRate", "5m"),
            ("ClaudeManagerSlow", "5m"),
            ("ClaudeManagerProjectCreationFails", "5m"),
            ("ClaudeManagerHighMemory", "5m"),
            ("ClaudeManagerWebhookErrors", "5m"),
        ]
        .map(|(alert, time)| (alert.to_owned(), time.to_owned()))
    );
    let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(kubernetes().join("alerts.yaml")).output()
    else {
        return skipped("there is no promtool (Debian's package prometheus) to check the alert rules with");
    };
    assert!(text_of(output).contains("SUCCESS: 6 rules found"));
    // Each fires when it should, and not before.
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(kubernetes().join("alerts.yaml"), directory.path().join("alerts.yaml")).unwrap();
    for series in [include_str!("alerts.test.yaml"), include_str!("alerts-alone.test.yaml")] {
        let file = directory.path().join("series.yaml");
        std::fs::write(&file, series).unwrap();
        text_of(Command::new("promtool").args(["test", "rules"]).arg(file).output().unwrap());
    }
}

/// Figures of the alerts that are not this program's.
const FIGURES_OF_OTHERS: [&str; 2] = ["container_memory_working_set_bytes", "up"];

#[test]
fn the_alerts_ask_for_figures_and_labels_that_the_program_gives() {
    let metrics = Metrics::new().unwrap();
    metrics.request("GET", "/livez", 200, Duration::from_millis(1));
    metrics.project_operation("create", Outcome::Success);
    let given = metrics.render();
    let [plain] = &objects("alerts.yaml")[..] else { panic!("one document") };
    let mut own = 0;
    for rule in plain["groups"][0]["rules"].as_array().unwrap() {
        let expression = rule["expr"].as_str().unwrap();
        for (before, after) in expression.match_indices('{').map(|(at, _)| expression.split_at(at)) {
            let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
            if FIGURES_OF_OTHERS.contains(&name) {
                continue;
            }
            own += 1;
            let line =
                given.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap_or_else(|| panic!("{name}"));
            let labels = after.trim_start_matches('{').split('}').next().unwrap().split(',');
            for label in
                labels.map(|label| label.split(['=', '~', '!']).next().unwrap()).filter(|label| *label != "job")
            {
                assert!(line.contains(&format!("{label}=\"")), "{label} of {line}");
            }
        }
    }
    assert_eq!(own, 6, "figures of this program in the alerts");
}

#[test]
fn the_directory_and_its_components_build_alike_here_and_with_kubectl() {
    let Ok(binaries) = binaries() else { return skipped("no kubectl to compare") };
    let root = tempfile::tempdir().unwrap();
    let with = overlay(root.path(), "with", "elsewhere", &["replicas", "prometheus-rule"]);
    let directories = [(kubernetes(), 10), (overlay(root.path(), "bare", "elsewhere", &[]), 10), (with.clone(), 10)];
    for (directory, count) in directories {
        let stock = text_of(Command::new(binaries.join("kubectl")).arg("kustomize").arg(&directory).output().unwrap());
        let ours = text_of(Command::new(PROGRAM).arg("build").arg(&directory).output().unwrap());
        assert_eq!(ours, stock);
        let objects = documents(&stock);
        assert_eq!(objects.len(), count, "{stock}");
        let account = objects.iter().find(|object| object["kind"] == "ServiceAccount").unwrap();
        for object in &objects {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let is_cluster_wide = object["kind"].as_str().unwrap().starts_with("Cluster");
            assert_eq!(namespace.is_empty(), is_cluster_wide, "{object}");
            for subject in object["subjects"].as_array().into_iter().flatten() {
                assert_eq!(subject["namespace"], account["metadata"]["namespace"], "{object}");
            }
        }
        let oldest = binaries.join("kustomize-5.5");
        if oldest.exists() {
            assert_eq!(text_of(Command::new(oldest).arg("build").arg(&directory).output().unwrap()), stock);
        }
    }
    let objects = documents(&text_of(Command::new(PROGRAM).arg("build").arg(with).output().unwrap()));
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let pod = &deployment["spec"]["template"]["spec"];
    assert!(deployment["spec"].get("replicas").is_none(), "kubectl scale has the word");
    assert_eq!(deployment["spec"]["strategy"], serde_json::json!({"type": "RollingUpdate"}));
    let data = pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == "data").unwrap();
    assert_eq!(*data, serde_json::json!({"name": "data", "emptyDir": {"sizeLimit": "10Gi"}}));
    assert!(!objects.iter().any(|object| object["kind"] == "PersistentVolumeClaim"), "no shared volume");
}

#[test]
fn the_image_is_built_from_every_directory_that_the_source_includes() {
    let root = kubernetes().join("..").canonicalize().unwrap();
    let ignored = std::fs::read_to_string(root.join(".dockerignore")).unwrap();
    let dockerfile = std::fs::read_to_string(root.join("Dockerfile")).unwrap();
    let mut included = BTreeSet::from(["src".to_owned()]);
    let mut waiting = vec![root.join("src")];
    while let Some(directory) = waiting.pop() {
        for path in std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for macro_name in ["include_str!(\"", "include_bytes!(\""] {
                for rest in text.split(macro_name).skip(1) {
                    let named = directory.join(rest.split('"').next().unwrap());
                    let Ok(file) = named.canonicalize() else { continue };
                    let below = file.strip_prefix(&root).unwrap().components().next().unwrap();
                    included.insert(below.as_os_str().to_str().unwrap().to_owned());
                }
            }
        }
    }
    assert!(included.contains("kustomize") && included.contains("state-repo-template"), "{included:?}");
    for name in included.iter().filter(|name| *name != ".env.example") {
        assert!(ignored.lines().any(|line| line == format!("!{name}")), ".dockerignore keeps {name} out of the build");
        assert!(dockerfile.contains(&format!("COPY {name} {name}\n")), "the Dockerfile does not copy {name}");
    }
}
