//! StatefulSets on the real API server: made anew around running pods, and freed of a pod that hangs.

use super::drift::Fleet;
use super::{append, project, push, update};
use crate::control_plane::{MISSING_IMAGE, eventually};
use crate::git_server::GitServer;
use crate::manager::{Manager, git_ok};

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

#[tokio::test(flavor = "multi_thread")]
async fn on_this_machine_too_a_set_is_made_anew_around_its_pod() {
    let server = GitServer::start().await;
    let manager = Manager::embedded();
    let mut body = project("shop");
    body["gitRepository"] = server.url("app").into();
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    manager.project_until("shop", |shop| shop["phase"] == "Running").await;
    let before = manager.agents();
    assert_eq!(before.len(), 1);
    let clone = manager.clone_state("clone");
    append(
        &clone,
        "projects/shop/kustomization.yaml",
        &patch("- {op: replace, path: /spec/podManagementPolicy, value: OrderedReady}"),
    );
    push(&clone, "shop: in order");
    let head = git_ok(&clone, &["rev-parse", "HEAD"]).trim().to_owned();
    manager.project_until("shop", |shop| shop["appliedRevision"] == *head && shop["phase"] == "Running").await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(manager.agents(), before, "the agent runs on: {}", manager.log());
    let plan = manager.expect("GET", "/api/projects/shop/plan", None, 200).await;
    assert_eq!(plan["units"], serde_json::json!([]), "{plan:#}");

    // The new set owns its pod: a stop ends it.
    manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    manager.project_until("shop", |shop| shop["phase"] == "Stopped").await;
    assert!(manager.agents().is_empty(), "{}", manager.log());
}
