//! The drill: a cluster is lost, and comes back from the backup, by kubectl and then by a new manager.

use serde_json::{Value, json};

use super::{Target, back_up, project};
use crate::control_plane::{ControlPlane, eventually};
use crate::manager::{Manager, git_ok};

const PROJECTS: usize = 20;
const KINDS: [&str; 6] =
    ["statefulset", "service", "persistentvolumeclaim", "configmap", "serviceaccount", "networkpolicy"];

/// Every object of the tree, as Git wants it: without what the cluster adds.
fn objects(cluster: &ControlPlane, namespace: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for kind in KINDS {
        for mut object in cluster.objects(namespace, kind) {
            let labels = &object["metadata"]["labels"];
            if labels["claude-manager.io/project"].is_null() && labels["claude-manager.io/scope"].is_null() {
                continue;
            }
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.retain(|name, _| ["name", "namespace", "labels", "annotations"].contains(&name.as_str()));
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.retain(|name, _| name.starts_with("claude-manager.io/"));
                if annotations.is_empty() {
                    metadata.remove("annotations");
                }
            }
            let object = object.as_object_mut().unwrap();
            object.remove("status");
            if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
                for given in ["clusterIP", "clusterIPs", "volumeName"] {
                    if spec.get(given).is_some_and(|value| value != "None" && *value != json!(["None"])) {
                        spec.remove(given);
                    }
                }
            }
            found.push(json!(object));
        }
    }
    found.sort_by_key(|object| format!("{}/{}", object["kind"], object["metadata"]["name"]));
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_cluster_comes_back_from_the_backup_and_a_new_manager_finds_it_as_it_should_be() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2 * PROJECTS);
    let target = Target::new();
    let namespace = cluster.namespace("drill");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let environment = [("KUBECONFIG", kubeconfig.as_str()), ("KUBERNETES_NAMESPACE", namespace.as_str())];
    let first = target.manager(&environment);
    let names: Vec<String> = (0..PROJECTS).map(|number| format!("p{number:02}")).collect();
    for name in &names {
        first.expect("POST", "/api/projects", Some(project(name)), 201).await;
    }
    for name in &names {
        first.project_until(name, |project| project["appliedRevision"] == project["revision"]).await;
    }
    let info = first.expect("GET", "/api/backup/cluster-info", None, 200).await;
    assert!(info["version"].is_string() && info["nodes"].is_array() && info["storageClasses"].is_array(), "{info:#}");
    assert_eq!(info["problems"], json!([]), "{info:#}");
    let made = back_up(&first).await;
    let before = objects(cluster, &namespace);
    assert!(before.len() > 5 * PROJECTS, "{}", before.len());
    let read = |name: &str| std::fs::read_to_string(first.data().join(name)).expect("a key");
    let (age_key, signing_key) = (read("age.key"), read("agent-signing-key.pem"));
    drop(first);

    // The cluster is lost; the namespace is made first, and then comes what Git has.
    cluster.expect(["delete", "namespace", &namespace, "--timeout=120s"]);
    cluster.expect(["create", "namespace", &namespace]);
    cluster.volumes("", 2 * PROJECTS);
    git_ok(target.directory.path(), &["clone", "-q", "backup.git", "clone"]);
    let clone = target.directory.path().join("clone");
    assert_eq!(git_ok(&clone, &["rev-parse", "HEAD"]).trim(), made["revision"].as_str().unwrap());
    cluster.expect(["apply", "-k", &clone.display().to_string()]);
    assert_eq!(objects(cluster, &namespace), before);
    // The volumes are new ones, and empty: no claim is bound to what it was bound to.
    let generations = |cluster: &ControlPlane| -> Vec<Value> {
        let sets = cluster.objects(&namespace, "statefulset").into_iter();
        sets.map(|set| json!([set["metadata"]["uid"], set["metadata"]["generation"], set["status"]["updateRevision"]]))
            .collect()
    };
    eventually("the pods to run", || (cluster.objects(&namespace, "pod").len() == PROJECTS).then_some(()));
    let applied = generations(cluster);

    // A new manager on the backup, with the keys of the old one.
    let keys = target.directory.path().join("age.key");
    std::fs::write(&keys, age_key).unwrap();
    let (keys, state) = (keys.display().to_string(), target.url());
    let second = Manager::start(&[
        environment[0],
        environment[1],
        ("STATE_GIT_REPOSITORY", &state),
        ("SOPS_AGE_KEY_FILE", &keys),
        ("AGENT_SIGNING_KEY", &signing_key),
        ("BACKUP_INTERVAL_HOURS", "0"),
    ]);
    for name in &names {
        second
            .project_until(name, |project| project["appliedRevision"].is_string() && project["phase"] == "Running")
            .await;
    }
    eventually("the secrets to be back", || cluster.object(&namespace, "secret", "p19-secrets"));
    let status = second.command(&["plan"]).output().expect("plan");
    assert_eq!(status.status.code(), Some(0), "{}", String::from_utf8_lossy(&status.stdout));
    assert_eq!(objects(cluster, &namespace), before);
    assert_eq!(generations(cluster), applied, "nothing was changed, made anew or rolled");
    assert_eq!(git_ok(&target.path(), &["rev-parse", "main"]).trim(), made["revision"].as_str().unwrap());
}
