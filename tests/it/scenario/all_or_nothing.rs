//! A commit that changes several objects which run is applied as a whole or not at all.

use std::path::Path;

use serde_json::{Value, json};

use super::{append, project, push, update};
use crate::control_plane::{ControlPlane, eventually};
use crate::manager::Manager;

/// A patch in the overlay: one value at one path.
fn patch(kind: &str, path: &str, value: &str) -> String {
    format!("- target: {{kind: {kind}}}\n  patch: |-\n    - {{op: add, path: {path}, value: {value}}}\n")
}

/// Replaces a text in the overlay.
fn replace(clone: &Path, from: &str, to: &str) {
    let overlay = clone.join("projects/shop/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    assert!(text.contains(from), "{text}");
    std::fs::write(&overlay, text.replace(from, to)).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_of_two_changes_is_refused_neither_is_made_and_the_mending_commit_makes_both() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let user = cluster.user();
    let namespace = cluster.namespace("halves");
    let kubeconfig = user.kubeconfig.display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    manager.project_until("shop", |shop| shop["phase"] == "Running").await;
    let live = |kind: &str| cluster.object(&namespace, kind, "shop-env").expect("the object");
    let note = |object: &Value| object["metadata"]["annotations"]["note"].clone();
    let asked = || cluster.requests(&user.name).iter().filter(|request| request.uri.contains("dryRun")).count();
    assert_eq!(asked(), 0, "what is only made is not asked for beforehand");

    // One change is fine, the other is not.
    let clone = manager.clone_state("clone");
    let overlay = "projects/shop/kustomization.yaml";
    append(&clone, overlay, &patch("ServiceAccount", "/metadata/annotations", "{note: one}"));
    append(&clone, overlay, &patch("Service", "/spec/ports/0/port", "70000"));
    push(&clone, "shop: a note, and no port");
    let refused = manager.project_until("shop", |shop| shop["reason"] == "ApplyFailed").await;
    let message = refused["message"].as_str().expect("a message");
    assert!(message.starts_with("Nothing of the commit is applied, because the API server would refuse"), "{message}");
    assert!(message.contains("Service shop-env") && message.contains("between 1 and 65535"), "{message}");
    assert!(note(&live("serviceaccount")).is_null(), "the other change is not made either");
    assert_ne!(refused["appliedRevision"], refused["revision"]);
    // What is written of it is gathered for a moment.
    let mut history = Value::Null;
    for _ in 0..100 {
        history = manager.expect("GET", "/api/projects/shop/history", None, 200).await;
        if history["items"][1].is_object() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(history["items"][0]["outcome"], "failed", "{history:#}");

    // Two are not: both are told at once.
    update(&clone);
    append(&clone, overlay, &patch("StatefulSet", "/spec/minReadySeconds", "-1"));
    push(&clone, "shop: no time either");
    let both = |shop: &Value| {
        let message = shop["message"].as_str().unwrap_or_default();
        message.contains("Service shop-env") && message.contains("StatefulSet shop-env")
    };
    let refused = manager.project_until("shop", both).await;
    assert!(refused["message"].to_string().contains("minReadySeconds"), "{refused:#}");
    let port = live("service")["spec"]["ports"][0]["port"].clone();
    assert!(note(&live("serviceaccount")).is_null() && port != 70000);

    // The mending commit makes all three.
    replace(&clone, "value: 70000", "value: 7000");
    replace(&clone, "value: -1", "value: 1");
    push(&clone, "shop: a port and a time");
    manager.project_until("shop", |shop| shop["appliedRevision"] == shop["revision"]).await;
    assert_eq!(note(&live("serviceaccount")), "one");
    assert_eq!(live("service")["spec"]["ports"][0]["port"], 7000);
    assert_eq!(live("statefulset")["spec"]["minReadySeconds"], 1);

    // What is only changed back is not asked for, however many objects it is: the manager sleeps while both change.
    let before = asked();
    assert!(before >= 6, "each object once for each commit: {before}");
    let pid = rustix::process::Pid::from_raw(manager.pid() as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("SIGSTOP");
    cluster.expect(["-n", &namespace, "annotate", "serviceaccount", "shop-env", "note=meddled", "--overwrite"]);
    cluster.expect(["-n", &namespace, "delete", "service", "shop-env"]);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("SIGCONT");
    eventually("both to be healed", || {
        let service = cluster.object(&namespace, "service", "shop-env");
        (note(&live("serviceaccount")) == "one" && service.is_some()).then_some(())
    });
    assert_eq!(asked(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_one_of_two_drifted_objects_cannot_be_healed_the_other_one_is() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let user = cluster.user();
    let namespace = cluster.namespace("one-of-two");
    let kubeconfig = user.kubeconfig.display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    manager.project_until("shop", |shop| shop["phase"] == "Running").await;

    // From now on the manager may not write Services.
    let who = format!("request.userInfo.username == '{}' && request.namespace == '{namespace}'", user.name);
    let resources =
        json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["services"]}]);
    let name = format!("no-services-{namespace}");
    cluster.apply(vec![
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name}, "spec": {
                "matchConstraints": {"resourceRules": resources},
                "matchConditions": [{"name": "who", "expression": who}],
                "validations": [{"expression": "false", "message": "no Services today"}]}}),
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}),
    ]);
    let annotate = ["annotate", "service", "shop-env", "asked=yes", "--overwrite", "--dry-run=server"];
    let as_manager = ["--kubeconfig", &kubeconfig, "-n", &namespace];
    eventually("the rule to hold", || {
        let output = cluster.kubectl(as_manager.iter().chain(&annotate));
        String::from_utf8_lossy(&output.stderr).contains("no Services today").then_some(())
    });

    // The Service drifts first, and cannot be changed back.
    cluster.expect(["-n", &namespace, "label", "service", "shop-env", "claude-manager.io/project-", "meddled=yes"]);
    cluster.expect([
        "-n",
        &namespace,
        "patch",
        "service",
        "shop-env",
        "-p",
        r#"{"spec":{"publishNotReadyAddresses":true}}"#,
    ]);
    let refused = manager.project_until("shop", |shop| shop["reason"] == "ApplyFailed").await;
    assert!(refused["message"].to_string().contains("no Services today"), "{refused:#}");
    // The StatefulSet drifts then, and is changed back all the same: only commits are whole or not at all.
    cluster.expect(["-n", &namespace, "scale", "statefulset", "shop-env", "--replicas=0"]);
    eventually("the StatefulSet to be healed", || {
        let set = cluster.object(&namespace, "statefulset", "shop-env").expect("the StatefulSet");
        (set["spec"]["replicas"] == 1).then_some(())
    });
    let still = manager.project_until("shop", |shop| shop["reason"] == "ApplyFailed").await;
    assert!(still["message"].to_string().contains("no Services today"), "{still:#}");

    cluster.expect(["delete", "validatingadmissionpolicybinding", &name]);
    manager.project_until("shop", |shop| shop["phase"] == "Running").await;
}
