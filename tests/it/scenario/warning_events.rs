//! What only events say, a quota that refuses the pod, is a project's reason at once, and nobody asks for it.

use super::project;
use crate::control_plane::ControlPlane;
use crate::manager::Manager;

const QUOTA: &str =
    r#"{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_refuses_the_pod_is_told_in_its_own_words_until_it_is_gone() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2);
    let user = cluster.user();
    let namespace = cluster.namespace("quota");
    let made = cluster.kubectl_reading(QUOTA, ["-n", &namespace, "create", "-f", "-"]);
    assert!(made.status.success(), "{made:?}");
    let kubeconfig = user.kubeconfig.display().to_string();
    let mut manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    let refused = manager.project_until("shop", |shop| shop["reason"] == "PodRefused").await;
    assert_eq!(refused["phase"], "Failed");
    assert!(refused["message"].to_string().contains("exceeded quota: none"), "{refused:#}");

    // After a start it is known again, by the events that are still there.
    manager.kill();
    manager.run();
    manager.project_until("shop", |shop| shop["reason"] == "PodRefused").await;

    cluster.expect(["-n", &namespace, "delete", "resourcequota", "none"]);
    manager.project_until("shop", |shop| shop["phase"] == "Running").await;

    // Each start lists once; everything else is watched.
    let requests = cluster.requests(&user.name);
    let events = requests.iter().filter(|request| request.uri.contains("/events?"));
    let listed = events.filter(|request| request.verb == "list").count();
    assert_eq!(listed, 2, "{requests:#?}");
}
