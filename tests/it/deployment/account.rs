//! Least privilege: a manager under the account of `rbac.yaml` does all that it does, and uses all that it is granted.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::objects;
use crate::control_plane::{Access, ControlPlane, MISSING_IMAGE, eventually};
use crate::manager::{Manager, git_ok};

/// What every account may do anyway, by the cluster's own roles: ask what it may do.
const EVERYBODYS: &[(&str, &str, &str)] = &[("authorization.k8s.io", "selfsubjectaccessreviews", "create")];

/// Asked for beside another right, so that the audit log does not name it: since Kubernetes 1.35 a port-forward, which is
/// opened by GET, needs `create` as well.
const BESIDE: &[(&str, &str, &str)] = &[("", "pods/portforward", "create")];

fn set(list: &[(&str, &str, &str)]) -> BTreeSet<Access> {
    list.iter().map(|(group, resource, verb)| Access::new(group, resource, verb)).collect()
}

/// Every (group, resource, verb) of the roles.
fn granted(roles: &[Value]) -> BTreeSet<Access> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in roles.iter().filter_map(|object| object["rules"].as_array()).flatten() {
        assert_eq!(rule.as_object().unwrap().len(), 3, "no names, no URLs: {rule}");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    let access = Access::new(&group, &resource, &verb);
                    assert!(!format!("{group}{resource}{verb}").contains('*'), "{access:?}");
                    assert!(granted.insert(access.clone()), "{access:?} is granted twice");
                }
            }
        }
    }
    granted
}

/// The account and its roles in `namespace`; what is not in a namespace under a name of its own. Returns a kubeconfig for it.
fn account(cluster: &ControlPlane, namespace: &str, roles: &[Value], directory: &Path) -> String {
    let mut roles = roles.to_vec();
    for object in &mut roles {
        let is_cluster_wide = object["kind"].as_str().unwrap().starts_with("Cluster");
        if is_cluster_wide {
            object["metadata"]["name"] = json!(format!("{}-{namespace}", object["metadata"]["name"].as_str().unwrap()));
        } else {
            object["metadata"]["namespace"] = json!(namespace);
        }
        if object["kind"] == "ClusterRoleBinding" {
            object["roleRef"]["name"] = json!(format!("claude-manager-{namespace}"));
        }
        for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
            subject["namespace"] = json!(namespace);
        }
    }
    cluster.apply(roles);
    let token = cluster.expect(["-n", namespace, "create", "token", "claude-manager", "--duration=1h"]);
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let mut config: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    for user in config["users"].as_sequence_mut().unwrap() {
        user["user"] = serde_yaml::to_value(json!({"token": token.trim()})).unwrap();
    }
    let path = directory.join("account.kubeconfig");
    std::fs::write(&path, serde_yaml::to_string(&config).unwrap()).unwrap();
    path.display().to_string()
}

fn project(name: &str) -> Value {
    json!({"name": name, "shortName": name, "gitRepository": "https://git.example/team/app.git", "anthropicApiKey": "sk-ant-x"})
}

fn edit(file: &Path, change: impl Fn(&str) -> String) {
    let text = std::fs::read_to_string(file).unwrap();
    let changed = change(&text);
    assert_ne!(text, changed, "{}", file.display());
    std::fs::write(file, changed).unwrap();
}

fn push(clone: &Path, message: &str) {
    git_ok(clone, &["pull", "-q", "--rebase", "--autostash"]);
    git_ok(clone, &["commit", "-qam", message]);
    git_ok(clone, &["push", "-q"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_managers_requests_are_what_its_roles_grant_no_more_and_no_less() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 4);
    let roles = objects("rbac.yaml");
    let namespace = cluster.namespace("account");
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = account(cluster, &namespace, &roles, directory.path());
    let environment = [("KUBECONFIG", kubeconfig.as_str()), ("KUBERNETES_NAMESPACE", &namespace)];
    let mut manager = Manager::start(&environment);

    // Create, change, stop, start, logs.
    for name in ["shop", "till"] {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
    }
    for name in ["shop", "till"] {
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    manager.expect("GET", "/api/projects/shop/logs?lines=5", None, 200).await;
    manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    manager.project_until("shop", |project| project["phase"] == "Stopped").await;
    manager.expect("POST", "/api/projects/shop/start", None, 200).await;
    manager.project_until("shop", |project| project["phase"] == "Running").await;
    manager.expect("PUT", "/api/projects/shop", Some(json!({"resources": {"memory": "3Gi"}})), 200).await;
    manager.project_until("shop", |project| project["phase"] == "Running").await;

    // A restart by turns asks the agents whether they work, by port-forward where their addresses do not answer.
    let clone = manager.clone_state("clone");
    edit(&clone.join("claude-manager.yaml"), |text| format!("{text}rollout: {{restarts: 1}}\n"));
    edit(&clone.join("base/statefulset.yaml"), |text| {
        text.replace("terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 61")
    });
    push(&clone, "One at a time");
    eventually("the turns", || {
        let sets = cluster.objects(&namespace, "statefulset");
        sets.iter().all(|set| set["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 61).then_some(())
    });

    // A failure is told in the cluster; a set that waits for its pod for ever is freed of it.
    edit(&clone.join("projects/till/kustomization.yaml"), |text| {
        let patch = "- {op: replace, path: /spec/podManagementPolicy, value: OrderedReady}";
        format!("{text}- target: {{kind: StatefulSet, name: env}}\n  patch: |-\n    {patch}\n")
    });
    push(&clone, "till: in order");
    eventually("a set in order", || {
        let set = cluster.object(&namespace, "statefulset", "till-env")?;
        (set["spec"]["podManagementPolicy"] == "OrderedReady" && set["status"]["readyReplicas"] == 1).then_some(())
    });
    manager.expect("PUT", "/api/projects/till", Some(json!({"image": MISSING_IMAGE})), 200).await;
    manager.project_until("till", |project| project["reason"] == "ImagePullFailed").await;
    manager.expect("PUT", "/api/projects/till", Some(json!({"image": "claude-dev-env:2"})), 200).await;
    manager.project_until("till", |project| project["phase"] == "Running").await;

    // What the cluster has.
    let info = manager.expect("GET", "/api/backup/cluster-info", None, 200).await;
    assert_eq!(info["problems"], json!([]), "{info:#}");

    // Doctor and plan, as the same account.
    let doctor = manager.command(&["doctor"]).output().unwrap();
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        doctor.status.success() && told.contains("restricted") && told.contains("everything that is used"),
        "{told}"
    );
    assert_eq!(manager.command(&["plan"]).status().unwrap().code(), Some(0));

    // A restore by kubectl while the manager is away: its fields are taken over, of every kind.
    manager.kill();
    git_ok(&clone, &["pull", "-q"]);
    let clone_path = clone.display().to_string();
    cluster.expect(["apply", "--server-side", "--force-conflicts", "-k", &clone_path]);
    let mut secret = cluster.object(&namespace, "secret", "shop-secrets").unwrap();
    let metadata = secret["metadata"].as_object_mut().unwrap();
    metadata.retain(|field, _| ["name", "namespace", "labels"].contains(&field.as_str()));
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    crate::control_plane::text_of(cluster.kubectl_reading(&secret.to_string(), apply));
    manager.run();
    for kind in
        ["statefulset", "secret", "service", "networkpolicy", "serviceaccount", "configmap", "persistentvolumeclaim"]
    {
        eventually(&format!("the take-over of {kind}"), || {
            let label = ["-l", "claude-manager.io/project", "--show-managed-fields", "-o", "json"];
            let objects = cluster.expect(["-n", &namespace, "get", kind].iter().chain(&label));
            (!objects.contains("\"manager\": \"kubectl\"")).then_some(())
        });
    }

    // Delete, with the volumes.
    for name in ["shop", "till"] {
        manager.api("DELETE", &format!("/api/projects/{name}?volumes=delete"), None).await;
    }
    eventually("the claims to go", || cluster.objects(&namespace, "persistentvolumeclaim").is_empty().then_some(()));
    eventually("the Secrets to go", || cluster.object(&namespace, "secret", "shop-secrets").is_none().then_some(()));

    let user = format!("system:serviceaccount:{namespace}:claude-manager");
    let (used, refused) = cluster.accesses(&user);
    assert!(refused.is_empty(), "refused: {refused:#?}\n{}", manager.log());
    let expected = granted(&roles);
    let mut found: BTreeSet<Access> = used.difference(&set(EVERYBODYS)).cloned().collect();
    found.extend(set(BESIDE));
    let unused: Vec<&Access> = expected.difference(&found).collect();
    let missing: Vec<&Access> = found.difference(&expected).collect();
    assert!(
        unused.is_empty() && missing.is_empty(),
        "granted and not used: {unused:#?}; used and not granted: {missing:#?}"
    );
}

#[test]
fn doctor_asks_for_what_the_role_grants() {
    let roles: Vec<Value> = objects("rbac.yaml").into_iter().filter(|object| object["kind"] == "Role").collect();
    let asked: BTreeSet<Access> = claude_manager::cluster::RIGHTS
        .iter()
        .flat_map(|right| right.verbs.iter().map(|verb| Access::new(right.group, right.resource, verb)))
        .collect();
    let mut granted = granted(&roles);
    // Only for doctor's own look, which does without.
    assert!(granted.remove(&Access::new("", "namespaces", "get")));
    assert_eq!(asked, granted);
}
