//! StatefulSets on the real API server: made anew around running pods, and freed of a pod that hangs.

use super::drift::Fleet;
use super::{append, push, update};
use crate::control_plane::{MISSING_IMAGE, eventually};

fn patch(operations: &str) -> String {
    format!("- target: {{kind: StatefulSet, name: env}}\n  patch: |-\n    {operations}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn immutable_fields_change_without_a_restart_and_a_hanging_pod_is_released() {
    let Some(fleet) = Fleet::start("stateful").await else { return };
    let pod = || fleet.cluster.object(&fleet.namespace, "pod", "shop-env-0");
    let before = pod().expect("the pod");
    let old = fleet.set();
    let clone = fleet.manager.clone_state("clone");

    // podManagementPolicy can never be changed in place.
    append(
        &clone,
        "projects/shop/kustomization.yaml",
        &patch("- {op: replace, path: /spec/podManagementPolicy, value: OrderedReady}"),
    );
    push(&clone, "shop: in order");
    let new = eventually("a new set", || {
        let set = fleet.set_if_there()?;
        (set["spec"]["podManagementPolicy"] == "OrderedReady" && set["status"]["readyReplicas"] == 1).then_some(set)
    });
    assert_ne!(new["metadata"]["uid"], old["metadata"]["uid"]);
    let after = pod().expect("the pod");
    assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"], "it was adopted, not restarted");
    assert_eq!(after["metadata"]["ownerReferences"][0]["uid"], new["metadata"]["uid"]);
    fleet.manager.project_until("shop", |shop| shop["phase"] == "Running").await;

    // An image that never arrives, and its correction: the controller alone would wait for the first pod for ever.
    fleet.manager.expect("PUT", "/api/projects/shop", Some(serde_json::json!({"image": MISSING_IMAGE})), 200).await;
    fleet.manager.project_until("shop", |shop| shop["reason"] == "ImagePullFailed").await;
    fleet
        .manager
        .expect("PUT", "/api/projects/shop", Some(serde_json::json!({"image": "claude-dev-env:2"})), 200)
        .await;
    fleet.manager.project_until("shop", |shop| shop["phase"] == "Running").await;

    // A spec that the API server would not take deletes nothing.
    update(&clone);
    let set = fleet.set();
    append(
        &clone,
        "projects/shop/kustomization.yaml",
        &patch("- {op: replace, path: /spec/podManagementPolicy, value: Sometimes}"),
    );
    push(&clone, "shop: no such policy");
    let failed = fleet.manager.project_until("shop", |shop| shop["reason"] == "ApplyFailed").await;
    assert!(failed["message"].to_string().contains("Sometimes"), "{failed:#}");
    assert_eq!(fleet.set()["metadata"]["uid"], set["metadata"]["uid"]);
}
