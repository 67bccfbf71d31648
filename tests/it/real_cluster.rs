//! The main job on the real API server: what is applied, healed, pruned, restored, and what a quiet system costs.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, eventually, text_of};
use crate::manager::{Manager, git_ok};

fn project(name: &str) -> Value {
    json!({
        "name": name,
        "shortName": name,
        "gitRepository": "https://git.example/team/app.git",
        "anthropicApiKey": "sk-ant-very-secret"
    })
}

fn managed(cluster: &ControlPlane, prefix: &str, more: &[(&str, &str)]) -> (Manager, String) {
    let namespace = cluster.namespace(prefix);
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let mut environment = vec![("KUBECONFIG", kubeconfig.as_str()), ("KUBERNETES_NAMESPACE", namespace.as_str())];
    environment.extend_from_slice(more);
    (Manager::start(&environment), namespace)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_runs_stops_heals_and_goes_and_its_volumes_stay() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 4);
    let (manager, namespace) = managed(cluster, "life", &[("DEFAULT_ANTHROPIC_API_KEY", "sk-ant-for-everybody")]);
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    let running = manager.project_until("shop", |project| project["phase"] == "Running").await;
    assert_eq!(running["appliedRevision"], running["revision"]);
    let secret = cluster.object(&namespace, "secret", "shop-secrets").expect("the decrypted Secret");
    assert_eq!(secret["metadata"]["labels"]["claude-manager.io/project"], "shop");
    assert_eq!(secret["data"]["anthropic-api-key"], "c2stYW50LXZlcnktc2VjcmV0");

    let defaults = cluster.object(&namespace, "secret", "claude-defaults").expect("the base-wide Secret");
    assert_eq!(defaults["metadata"]["labels"]["claude-manager.io/scope"], "base");

    // Drift is changed back: a field, and a whole object.
    cluster.expect(["-n", &namespace, "scale", "statefulset", "shop-env", "--replicas=0"]);
    cluster.expect(["-n", &namespace, "delete", "service", "shop-env"]);
    eventually("drift to be reverted", || {
        let set = cluster.object(&namespace, "statefulset", "shop-env")?;
        let service = cluster.object(&namespace, "service", "shop-env");
        (set["spec"]["replicas"] == 1 && service.is_some()).then_some(())
    });

    manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    manager.project_until("shop", |project| project["phase"] == "Stopped").await;
    manager.expect("POST", "/api/projects/shop/start", None, 200).await;
    manager.project_until("shop", |project| project["phase"] == "Running").await;

    manager.api("DELETE", "/api/projects/shop", None).await;
    eventually("the objects to go", || cluster.object(&namespace, "statefulset", "shop-env").is_none().then_some(()));
    eventually("the Secret to go", || cluster.object(&namespace, "secret", "shop-secrets").is_none().then_some(()));
    let claims = cluster.objects(&namespace, "persistentvolumeclaim");
    assert_eq!(claims.len(), 2, "volumes are never pruned unless Git says so");
    let list = manager.expect("GET", "/api/projects", None, 200).await;
    assert!(list["total"] == 0 || list["items"][0]["phase"] == "Deleting", "{list}");

    // The same name again finds its volumes; deleted with its volumes, they go.
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    manager.project_until("shop", |project| project["phase"] == "Running").await;
    manager.api("DELETE", "/api/projects/shop?volumes=delete", None).await;
    eventually("the claims to go", || cluster.objects(&namespace, "persistentvolumeclaim").is_empty().then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_projects_refused_object_does_not_delay_another() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 4);
    let (manager, _) = managed(cluster, "apart", &[]);
    let mut bad = project("bad");
    // A class that no claim can change to later, and an image that never arrives.
    bad["image"] = json!(crate::control_plane::MISSING_IMAGE);
    manager.expect("POST", "/api/projects", Some(bad), 201).await;
    manager.expect("POST", "/api/projects", Some(project("good")), 201).await;
    manager.project_until("good", |project| project["phase"] == "Running").await;
    let failed = manager.project_until("bad", |project| project["phase"] == "Failed").await;
    assert_eq!(failed["reason"], "ImagePullFailed");

    // A corrected template replaces the stuck pod by itself.
    manager.expect("PUT", "/api/projects/bad", Some(json!({"image": "claude-dev-env:2"})), 200).await;
    manager.project_until("bad", |project| project["phase"] == "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_with_an_empty_repository_leaves_another_ones_projects_alone() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let (first, namespace) = managed(cluster, "two", &[]);
    first.expect("POST", "/api/projects", Some(project("theirs")), 201).await;
    first.project_until("theirs", |project| project["phase"] == "Running").await;
    drop(first);
    let before = cluster.object(&namespace, "statefulset", "theirs-env").expect("the StatefulSet");

    let kubeconfig = cluster.kubeconfig().display().to_string();
    let second = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    second.expect("POST", "/api/projects", Some(project("ours")), 201).await;
    second.project_until("ours", |project| project["appliedRevision"].is_string()).await;
    let status = second.expect("GET", "/api/monitoring/status", None, 200).await;
    assert!(status["warnings"].to_string().contains("theirs"), "{status:#}");
    second.expect("GET", "/api/projects/theirs", None, 404).await;
    let after = cluster.object(&namespace, "statefulset", "theirs-env").expect("still there");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
    assert!(cluster.object(&namespace, "secret", "theirs-secrets").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_an_admission_rule_refuses_is_said_with_the_rules_words() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let (manager, _) = managed(cluster, "refused", &[]);
    manager.expect("POST", "/api/projects", Some(project("root")), 201).await;
    manager.project_until("root", |project| project["phase"] == "Running").await;
    // The namespace enforces the restricted level, which the sudo component leaves.
    let clone = manager.clone_state("clone");
    let overlay = clone.join("projects/root/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    std::fs::write(&overlay, format!("{text}components:\n- ../../components/sudo\n")).expect("written");
    git_ok(&clone, &["commit", "-qam", "root: sudo"]);
    git_ok(&clone, &["push", "-q"]);
    let refused = manager.project_until("root", |project| project["reason"] == "PodRefused").await;
    assert_eq!(refused["phase"], "Failed");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("PodSecurity")), "{refused}");
    git_ok(&clone, &["revert", "--no-edit", "HEAD"]);
    git_ok(&clone, &["push", "-q"]);
    manager.project_until("root", |project| project["phase"] == "Running").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_apply_restores_the_same_objects_and_the_manager_settles_without_a_restart() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 8);
    let (mut manager, namespace) = managed(cluster, "restore", &[]);
    for name in ["one", "two"] {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    let clone = manager.clone_state("clone");
    manager.kill();

    // The cluster is lost.
    cluster.expect(["delete", "namespace", &namespace, "--timeout=60s"]);
    cluster.expect(["create", "namespace", &namespace]);
    cluster.volumes("", 4);

    // What the engine renders is what kubectl renders.
    let stock = cluster.expect(["kustomize", &clone.display().to_string()]);
    let ours = text_of(Command::new(crate::manager::PROGRAM).arg("build").arg(&clone).output().expect("build"));
    assert_eq!(ours, stock);

    cluster.expect(["apply", "-k", &clone.display().to_string()]);
    eventually("the pods to run", || (cluster.objects(&namespace, "pod").len() == 2).then_some(()));
    let before = pods_and_templates(cluster, &namespace);

    // The manager comes back with nothing but the clone.
    std::fs::remove_file(manager.data().join("manager.db")).expect("the store");
    manager.run();
    for name in ["one", "two"] {
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    assert_eq!(manager.command(&["plan"]).status().expect("plan").code(), Some(0));
    assert_eq!(pods_and_templates(cluster, &namespace), before);
    eventually("the secrets to be back", || cluster.object(&namespace, "secret", "one-secrets"));

    // What kubectl applied is ours now: a field that leaves Git leaves the cluster.
    let overlay = clone.join("projects/one/kustomization.yaml");
    add_annotation(&overlay);
    git_ok(&clone, &["commit", "-qam", "one: a note"]);
    git_ok(&clone, &["push", "-q"]);
    let note = |set: &Value| set["metadata"]["annotations"]["example.org/note"].is_string();
    eventually("the note", || cluster.object(&namespace, "statefulset", "one-env").filter(note));
    git_ok(&clone, &["revert", "--no-edit", "HEAD"]);
    git_ok(&clone, &["push", "-q"]);
    let set =
        eventually("the note to go", || cluster.object(&namespace, "statefulset", "one-env").filter(|set| !note(set)));
    let managers: Vec<&str> = set["metadata"]["managedFields"]
        .as_array()
        .expect("kubectl shows them")
        .iter()
        .filter_map(|entry| entry["manager"].as_str())
        .filter(|manager| manager.starts_with("kubectl"))
        .collect();
    assert!(managers.is_empty(), "{managers:?}");
    assert_eq!(pods_and_templates(cluster, &namespace), before);
}

/// Each pod by its uid, and each StatefulSet's template and revision.
fn pods_and_templates(cluster: &ControlPlane, namespace: &str) -> Vec<Value> {
    let pods = cluster.objects(namespace, "pod").into_iter().map(|pod| pod["metadata"]["uid"].clone());
    let sets = cluster.objects(namespace, "statefulset").into_iter();
    let sets = sets.map(|set| json!([set["spec"]["template"], set["status"]["updateRevision"]]));
    pods.chain(sets).collect()
}

fn add_annotation(overlay: &Path) {
    let text = std::fs::read_to_string(overlay).expect("the overlay");
    let with = text.replace(
        "claude-manager.io/display-name:",
        "example.org/note: restored\n        claude-manager.io/display-name:",
    );
    assert_ne!(text, with);
    std::fs::write(overlay, with).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_system_sends_nothing_but_the_renewal_of_watches() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let user = cluster.user();
    let namespace = cluster.namespace("quiet");
    let kubeconfig = user.kubeconfig.display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    manager.expect("POST", "/api/projects", Some(project("calm")), 201).await;
    manager.project_until("calm", |project| project["phase"] == "Running").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = cluster.requests(&user.name).len();
    tokio::time::sleep(Duration::from_secs(25)).await;
    for _ in 0..5 {
        manager.expect("GET", "/api/projects/calm", None, 200).await;
    }
    let after = cluster.requests(&user.name);
    let sent: Vec<_> = after[before..].iter().filter(|request| request.verb != "watch").collect();
    assert!(sent.is_empty(), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_applies_nothing_again() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let user = cluster.user();
    let namespace = cluster.namespace("again");
    let kubeconfig = user.kubeconfig.display().to_string();
    let mut manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    manager.expect("POST", "/api/projects", Some(project("same")), 201).await;
    manager.project_until("same", |project| project["phase"] == "Running").await;
    manager.kill();
    let before = cluster.requests(&user.name).len();
    manager.run();
    manager.project_until("same", |project| project["phase"] == "Running").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = cluster.requests(&user.name);
    let written: Vec<_> = after[before..].iter().filter(|request| request.verb == "patch").collect();
    assert!(written.is_empty(), "{written:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_away_is_said_and_commits_go_on() {
    let Some(cluster) = ControlPlane::get() else { return };
    let kubeconfig = std::fs::read_to_string(cluster.kubeconfig()).expect("the kubeconfig");
    let directory = tempfile::tempdir().expect("a directory");
    let away = directory.path().join("away");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let address = kubeconfig.lines().find_map(|line| line.split("https://").nth(1)).expect("a server");
    let address: String = address.chars().take_while(|c| !"\"},".contains(*c)).collect();
    std::fs::write(&away, kubeconfig.replace(&address, &nobody.to_string())).expect("written");
    let manager = Manager::start(&[("KUBECONFIG", &away.display().to_string())]);
    manager.expect("POST", "/api/projects", Some(project("later")), 201).await;
    let read = manager.project_until("later", |project| project["reason"] == "ClusterUnreachable").await;
    assert_eq!(read["phase"], "Pending", "{read:#}");
    let health = manager.api("GET", "/api/monitoring/health", None).await;
    assert_eq!(health.0, 200, "{health:?}");
}
