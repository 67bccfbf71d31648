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

const LABEL: &str = "claude-manager.io/project";

/// Waits until the object has the label of the project `a` again; it is the object that it was.
fn healed(cluster: &ControlPlane, namespace: &str, kind: &str, name: &str, uid: &Value) {
    eventually("the label again", || {
        let object = cluster.object(namespace, kind, name)?;
        assert_eq!(
            (&object["metadata"]["uid"], &object["metadata"]["deletionTimestamp"]),
            (uid, &Value::Null),
            "{kind} {name}"
        );
        (object["metadata"]["labels"][LABEL] == "a").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_labelled_as_another_projects_stays_and_gets_its_label_back() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 4);
    let namespace = cluster.namespace("relabel");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let mut manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    for name in ["a", "b"] {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
    }
    for name in ["a", "b"] {
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    let uid = |kind: &str, name: &str| {
        cluster.object(&namespace, kind, name).expect("it is there")["metadata"]["uid"].clone()
    };
    let label = |kind: &str, name: &str, label: &str| {
        cluster.expect(["-n", &namespace, "label", kind, name, "--overwrite", &format!("{LABEL}{label}")]);
    };
    let pod = uid("pod", "a-env-0");
    let all = [("statefulset", "a-env"), ("service", "a-env"), ("persistentvolumeclaim", "a-workspace")];
    for (kind, name) in all {
        let before = uid(kind, name);
        for other in ["=b", "=nobody", "-"] {
            label(kind, name, other);
            healed(cluster, &namespace, kind, name, &before);
        }
    }
    assert_eq!(uid("pod", "a-env-0"), pod, "it runs on");

    // The store is lost, and the label is changed while nobody looks.
    manager.kill();
    for file in std::fs::read_dir(manager.data()).expect("the data").flatten() {
        if file.file_name().to_string_lossy().starts_with("manager.db") {
            std::fs::remove_file(file.path()).expect("removed");
        }
    }
    let before = all.map(|(kind, name)| uid(kind, name));
    all.iter().for_each(|(kind, name)| label(kind, name, "=b"));
    manager.run();
    for ((kind, name), before) in all.iter().zip(&before) {
        healed(cluster, &namespace, kind, name, before);
    }
    manager.project_until("a", |a| a["phase"] == "Running").await;
    assert_eq!(uid("pod", "a-env-0"), pod, "it runs on");

    // Where drift is left, the label stays wrong, and b goes with its volumes: those of a are a's all the same.
    let clone = manager.clone_state("clone");
    super::append(&clone, "claude-manager.yaml", "drift: {mode: ignore}\n");
    super::push(&clone, "Leave drift");
    manager.expect("POST", "/api/projects/a/refresh", None, 200).await;
    let data = uid("persistentvolumeclaim", "a-workspace");
    label("persistentvolumeclaim", "a-workspace", "=b");
    label("statefulset", "a-env", "=b");
    assert_eq!(manager.api("DELETE", "/api/projects/b?volumes=delete", None).await.0 / 100, 2);
    eventually("b to be gone", || {
        let gone = |kind: &str, name: &str| cluster.object(&namespace, kind, name).is_none();
        (gone("statefulset", "b-env") && gone("persistentvolumeclaim", "b-workspace")).then_some(())
    });
    manager.expect("POST", "/api/projects/a/refresh", None, 200).await;
    let claim = cluster.object(&namespace, "persistentvolumeclaim", "a-workspace").expect("the data of a");
    assert_eq!((&claim["metadata"]["uid"], &claim["metadata"]["deletionTimestamp"]), (&data, &Value::Null));
    assert_eq!(claim["metadata"]["labels"][LABEL], "b", "as the policy says");
    assert_eq!(uid("pod", "a-env-0"), pod, "it runs on");
    manager.project_until("a", |a| a["phase"] == "Running").await;

    // What leaves Git with a wrong label goes with the project that applied it.
    label("service", "a-env", "=nobody");
    assert_eq!(manager.api("DELETE", "/api/projects/a", None).await.0 / 100, 2);
    eventually("a to be gone", || {
        let gone = |kind: &str| cluster.object(&namespace, kind, "a-env").is_none();
        (gone("statefulset") && gone("service")).then_some(())
    });
    assert_eq!(uid("persistentvolumeclaim", "a-workspace"), data, "volumes are kept");
}
