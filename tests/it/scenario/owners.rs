//! Whose an object is, on the real API server: each project has a field manager of its own, and nothing is taken by force
//! from somebody who made it under the same name.

use serde_json::{Value, json};

use super::project;
use crate::control_plane::{ControlPlane, eventually};
use crate::manager::Manager;

fn managers(object: &Value) -> Vec<&str> {
    let entries = object["metadata"]["managedFields"].as_array().expect("entries").iter();
    entries.filter(|entry| entry["operation"] == "Apply").filter_map(|entry| entry["manager"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_made_is_taken_over_only_when_it_carries_the_projects_label() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let namespace = cluster.namespace("owners");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop-env"},
        "spec": {"clusterIP": "None", "selector": {"app": "theirs"}, "ports": [{"name": "theirs", "port": 8080}]}});
    let helm = ["-n", &namespace, "apply", "--server-side", "--field-manager=helm", "-f", "-"];
    let made = cluster.kubectl_reading(&service.to_string(), helm);
    assert!(made.status.success(), "{made:?}");
    // What a person made with kubectl is theirs whose project has the name.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shop-env"},
        "automountServiceAccountToken": true});
    let made = cluster.kubectl_reading(&account.to_string(), ["-n", &namespace, "apply", "--server-side", "-f", "-"]);
    assert!(made.status.success(), "{made:?}");
    let theirs = || cluster.object(&namespace, "service", "shop-env").expect("the Service");

    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    let refused = manager.project_until("shop", |shop| shop["reason"] == "ApplyFailed").await;
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("Service shop-env: it is in the cluster already and belongs to helm"), "{message}");
    assert!(message.contains("claude-manager.io/project"), "the way out: {message}");
    assert_eq!((managers(&theirs()), &theirs()["spec"]["selector"]), (vec!["helm"], &json!({"app": "theirs"})));
    // Nothing else waits for it, and the plan says the same.
    let set = eventually("the set", || cluster.object(&namespace, "statefulset", "shop-env"));
    assert_eq!(managers(&set), ["claude-manager/shop"]);
    let keys =
        cluster.object(&namespace, "configmap", "claude-manager-agent-keys").expect("what belongs to no project");
    assert_eq!(managers(&keys), ["claude-manager"]);
    let plan = manager.expect("GET", "/api/projects/shop/plan?server=true", None, 200).await;
    assert!(plan.to_string().contains("belongs to helm"), "{plan:#}");

    eventually("the account's take-over", || {
        let account = cluster.object(&namespace, "serviceaccount", "shop-env")?;
        (account["automountServiceAccountToken"] == false && managers(&account) == ["claude-manager/shop"])
            .then_some(())
    });

    // With the label somebody says that it is to be the project's.
    cluster.expect(["-n", &namespace, "label", "service", "shop-env", "claude-manager.io/project=shop"]);
    manager.project_until("shop", |shop| shop["phase"] == "Running").await;
    let ours = eventually("the take-over", || Some(theirs()).filter(|s| s["spec"]["selector"]["app"].is_null()));
    assert!(managers(&ours).contains(&"claude-manager/shop"), "{ours:#}");

    // One whose label is taken away is ours all the same, as what is recorded of its fields says.
    cluster.expect(["-n", &namespace, "label", "service", "shop-env", "claude-manager.io/project-"]);
    let label = |service: &Value| service["metadata"]["labels"]["claude-manager.io/project"] == "shop";
    eventually("the label again", || Some(theirs()).filter(label));
    manager.project_until("shop", |shop| shop["phase"] == "Running").await;
}
