//! Volumes on the real API server: they grow in place where their class lets them, and it is said how that goes.
//!
//! Nothing here enlarges a disk: the test says of the claim what a storage driver would say.

use serde_json::{Value, json};

use super::project;
use crate::control_plane::{ControlPlane, eventually};
use crate::manager::{Manager, git_ok};

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_grows_in_place_where_its_class_lets_it_and_it_is_said_how_that_goes() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("elastic", 2);
    cluster.volumes("rigid", 2);
    cluster.apply(vec![json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "rigid"},
        "provisioner": "kubernetes.io/no-provisioner", "allowVolumeExpansion": false,
    })]);
    let namespace = cluster.namespace("volumes");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    for (name, class) in [("shop", "elastic"), ("stiff", "rigid")] {
        let mut body = project(name);
        body["storage"] = json!({"size": "40Gi", "storageClass": class});
        manager.expect("POST", "/api/projects", Some(body), 201).await;
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    let uid = |pod: &str| cluster.object(&namespace, "pod", pod).expect("the pod")["metadata"]["uid"].clone();
    let pods = || [uid("shop-env-0"), uid("stiff-env-0")];
    let before = pods();
    let size = |claim: &str| {
        let claim = cluster.object(&namespace, "persistentvolumeclaim", claim).expect("the claim");
        claim["spec"]["resources"]["requests"]["storage"].clone()
    };

    // More than the disk behind it has, which the storage has yet to bring.
    manager.expect("PUT", "/api/projects/shop", Some(json!({"storage": {"size": "150Gi"}})), 200).await;
    let says = |project: &Value, words: &str| project["message"].as_str().is_some_and(|said| said.contains(words));
    let grows = "Volume shop-workspace grows from 100Gi to 150Gi.";
    let growing = manager.project_until("shop", |shop| says(shop, grows)).await;
    assert_eq!((&growing["phase"], size("shop-workspace")), (&"Running".into(), "150Gi".into()));

    // The driver gives up, then tries again, and then the node has it.
    let driver = |status: Value| {
        let patch = json!({ "status": status }).to_string();
        let claim = ["-n", &namespace, "patch", "persistentvolumeclaim", "shop-workspace"];
        cluster.expect(claim.iter().chain(&["--subresource=status", "--type=merge", "-p", &patch]));
    };
    let condition = |kind: &str, said: &str| json!([{"type": kind, "status": "True", "message": said}]);
    driver(json!({"conditions": condition("ControllerResizeError", "the pool is full")}));
    let failed = manager.project_until("shop", |shop| shop["reason"] == "VolumeGrowthFailed").await;
    assert!(says(&failed, "stays at 100Gi and does not grow to 150Gi (the pool is full)"), "{failed:#}");
    driver(json!({"conditions": condition("FileSystemResizePending", "waiting for the node")}));
    manager.project_until("shop", |shop| shop["phase"] == "Running" && says(shop, "has its 150Gi")).await;
    driver(json!({"capacity": {"storage": "150Gi"}, "conditions": []}));
    manager.project_until("shop", |shop| shop["message"] == "Pod shop-env-0 is ready.").await;

    // Some drivers only complain in an event.
    manager.expect("PUT", "/api/projects/shop", Some(json!({"storage": {"size": "200Gi"}})), 200).await;
    manager.project_until("shop", |shop| says(shop, "grows from 150Gi to 200Gi")).await;
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "shop-workspace-"}, "type": "Warning",
        "reason": "VolumeResizeFailed", "message": "the quota of the pool is used up", "lastTimestamp": jiff::Timestamp::now(),
        "involvedObject": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": "shop-workspace"},
    });
    let made = cluster.kubectl_reading(&event.to_string(), ["-n", &namespace, "create", "-f", "-"]);
    assert!(made.status.success(), "{made:?}");
    manager.project_until("shop", |shop| says(shop, "(the quota of the pool is used up)")).await;
    driver(json!({"capacity": {"storage": "200Gi"}}));
    manager.project_until("shop", |shop| shop["message"] == "Pod shop-env-0 is ready.").await;

    // A class that does not let volumes grow: the API server's words and a way out; the environment runs on.
    manager.expect("PUT", "/api/projects/stiff", Some(json!({"storage": {"size": "60Gi"}})), 200).await;
    let refused = manager.project_until("stiff", |stiff| stiff["reason"] == "ApplyFailed").await;
    assert!(
        says(&refused, "PersistentVolumeClaim stiff-workspace") && says(&refused, "allowVolumeExpansion"),
        "{refused:#}"
    );
    assert_eq!((size("stiff-workspace"), pods()), ("40Gi".into(), before.clone()));
    let clone = manager.clone_state("clone");
    git_ok(&clone, &["revert", "--no-edit", "HEAD"]);
    git_ok(&clone, &["push", "-q"]);
    manager.project_until("stiff", |stiff| stiff["phase"] == "Running").await;
    eventually("the same pods", || (pods() == before).then_some(()));
}
