//! What an overlay may not use is refused on every way into Git, and never applied.

use serde_json::json;

use super::{append, project, push, refused_push, smuggle, update};
use crate::manager::{Manager, git_ok};

/// A patch of the environment's pod template.
fn patch(body: &str) -> String {
    format!(
        "- target: {{kind: StatefulSet, name: env}}\n  patch: |-\n    apiVersion: apps/v1\n    kind: StatefulSet\n    \
         metadata: {{name: env}}\n    spec: {{template: {{spec: {{{body}}}}}}}\n"
    )
}

const HOST_PATH: &str = "volumes: [{name: node, hostPath: {path: /}}]";
const LOADER: &str = "containers: [{name: agent, env: [{name: LD_PRELOAD, value: /workspace/x.so}]}]";
const FOREIGN: &str = "volumes: [{name: theirs, secret: {secretName: claude-manager-secrets}}]";

#[tokio::test(flavor = "multi_thread")]
async fn an_overlay_reaches_neither_the_node_nor_others_and_an_administrators_commit_may_allow_it() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    manager.expect("POST", "/api/projects", Some(project("other")), 201).await;
    let clone = manager.clone_state("clone");
    let overlay = "projects/shop/kustomization.yaml";

    // A push is refused with the object, the rule and the way out.
    append(&clone, overlay, &patch(HOST_PATH));
    let said = refused_push(&clone, "shop: the node's disk");
    assert!(said.contains("hostPath") && said.contains("policy.podSecurity"), "{said}");
    update(&clone);
    append(&clone, overlay, &patch(FOREIGN));
    let said = refused_push(&clone, "shop: the manager's own Secret");
    assert!(said.contains("Secret claude-manager-secrets, which is not the project's"), "{said}");

    update(&clone);
    append(&clone, overlay, &patch(LOADER));
    let said = refused_push(&clone, "shop: a library in every program");
    assert!(said.contains("shop-env: container agent sets the variable LD_PRELOAD"), "{said}");
    assert!(said.contains("policy.loaderVariables"), "{said}");

    // Nor does the push that would use it bring the permission along.
    update(&clone);
    append(&clone, overlay, &patch(HOST_PATH));
    append(&clone, "claude-manager.yaml", "policy: {projects: {shop: {podSecurity: privileged}}}\n");
    let said = refused_push(&clone, "shop: allowed by itself");
    assert!(said.contains("hostPath"), "{said}");

    // What came into the repository all the same is not applied, and holds nobody else up.
    update(&clone);
    append(&clone, overlay, &patch(HOST_PATH));
    smuggle(&manager, &clone, "shop: past the checks");
    manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    let shop = manager.project_until("shop", |shop| shop["reason"] == "PolicyViolation").await;
    assert!(shop["message"].as_str().is_some_and(|text| text.contains("hostPath")), "{shop:#}");
    assert_ne!(shop["appliedRevision"], shop["revision"]);
    manager.expect("POST", "/api/projects/other/stop", None, 200).await;
    manager.project_until("other", |other| other["phase"] == "Stopped").await;

    // An administrator's commit allows it, for this project; from then on it is applied.
    update(&clone);
    append(&clone, "claude-manager.yaml", "policy: {projects: {shop: {podSecurity: privileged}}}\n");
    push(&clone, "Allow shop the node");
    manager
        .project_until("shop", |shop| shop["appliedRevision"].is_string() && shop["reason"] != "PolicyViolation")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_is_refused_and_where_it_came_in_the_last_valid_one_stays_in_force() {
    let mut manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    let clone = manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "policy: {registries: [registry.example, claude-manager]}\n");
    push(&clone, "Only our registry");
    // The API is held to it, too.
    let image = |image: &str| Some(json!({"image": image}));
    let refused = manager.expect("PUT", "/api/projects/shop", image("evil.example/dev:1"), 409).await;
    assert!(
        refused["detail"].as_str().is_some_and(|text| text.contains("no registry that the policy names")),
        "{refused:#}"
    );
    manager.expect("PUT", "/api/projects/shop", image("registry.example/dev:1"), 200).await;

    update(&clone);
    append(&clone, "claude-manager.yaml", "polcy: {}\n");
    let said = refused_push(&clone, "A misspelt key");
    assert!(said.contains("claude-manager.yaml") && said.contains("polcy"), "{said}");
    update(&clone);
    append(&clone, "claude-manager.yaml", "polcy: {}\n");
    smuggle(&manager, &clone, "A misspelt key, past the checks");
    for start in ["as it runs", "after a start"] {
        let refused = manager.expect("PUT", "/api/projects/shop", image("evil.example/dev:1"), 409).await;
        assert!(refused.to_string().contains("no registry"), "{start}: {refused:#}");
        manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
        let status = manager.expect("GET", "/api/monitoring/status", None, 200).await;
        assert!(status["warnings"].to_string().contains("the last valid policy stays in force"), "{status:#}");
        manager.kill();
        manager.run();
    }
    // A revert is a push like any other.
    git_ok(&clone, &["revert", "--no-edit", "HEAD"]);
    git_ok(&clone, &["push", "-q"]);
}
