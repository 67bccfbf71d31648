//! A project that Git suspends is left alone, whatever else Git says of it, until it is resumed; and so is everything.

use serde_json::{Value, json};

use super::{append, project, push, update};
use crate::manager::{Manager, git_ok};

fn suspend(why: &str) -> String {
    format!(
        "- target: {{kind: StatefulSet, name: env}}\n  patch: |-\n    apiVersion: apps/v1\n    kind: StatefulSet\n    \
         metadata: {{name: env, annotations: {{claude-manager.io/suspended: \"{why}\"}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_project_is_suspended_and_resumed_by_commits() {
    let manager = Manager::embedded();
    for name in ["shop", "other"] {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
        manager.project_until(name, |project| project["appliedRevision"].is_string()).await;
    }
    let before = manager.expect("GET", "/api/projects/shop", None, 200).await;
    let clone = manager.clone_state("clone");
    append(&clone, "projects/shop/kustomization.yaml", &suspend("Ana looks into it"));
    push(&clone, "shop: suspend");
    let suspended = manager.project_until("shop", |shop| shop["phase"] == "Suspended").await;
    assert_eq!(suspended["reason"], "Suspended");
    assert!(suspended["message"].as_str().is_some_and(|text| text.contains("(Ana looks into it)")), "{suspended:#}");

    // A stop is committed and waits; others are worked for.
    manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    manager.expect("POST", "/api/projects/other/stop", None, 200).await;
    manager.project_until("other", |other| other["phase"] == "Stopped").await;
    let waiting = manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    assert_eq!((&waiting["phase"], &waiting["replicas"]), (&"Suspended".into(), &0.into()), "{waiting:#}");
    assert_eq!(waiting["appliedRevision"], before["appliedRevision"]);

    update(&clone);
    let overlay = clone.join("projects/shop/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    std::fs::write(&overlay, text.replace("Ana looks into it", "false")).expect("written");
    push(&clone, "shop: resume");
    manager.project_until("shop", |shop| shop["phase"] == "Stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_suspends_with_a_reason_and_its_plan_says_what_waits() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    manager.project_until("shop", |shop| shop["appliedRevision"].is_string()).await;
    let put = |why: Value| json!({"suspended": why});
    manager.expect("PUT", "/api/projects/shop", Some(put(json!(""))), 400).await;
    manager.expect("PUT", "/api/projects/shop", Some(put(json!("the quarter ends"))), 200).await;
    let suspended = manager.project_until("shop", |shop| shop["phase"] == "Suspended").await;
    assert_eq!(suspended["suspended"], "the quarter ends");
    assert!(suspended["message"].to_string().contains("its overlay (the quarter ends)"), "{suspended:#}");

    manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    let plan = manager.expect("GET", "/api/projects/shop/plan?server=true", None, 200).await;
    assert_eq!((&plan["changed"], &plan["created"], &plan["errors"]), (&json!(1), &json!(0), &json!([])), "{plan:#}");
    let changes = &plan["units"][0]["actions"][0]["changes"];
    let paths: Vec<_> = changes.as_array().expect("changes").iter().map(|change| change["path"].clone()).collect();
    assert!(paths.contains(&json!("spec.replicas")), "{paths:?}");
    assert!(plan["unchanged"].as_u64() > Some(3), "{plan:#}");
    // The whole commit's plan leaves the project out, and says why.
    let whole = manager.expect("GET", "/api/plan", None, 200).await;
    assert_eq!((&whole["changed"], &whole["units"]), (&json!(0), &json!([])), "{whole:#}");
    assert!(whole["warnings"].to_string().contains("the quarter ends"), "{whole:#}");
    // Before the suspension there was nothing to stop: the plan of that commit is against the cluster of now.
    let before = manager.expect("GET", "/api/plan?revision=HEAD~2", None, 200).await;
    assert_eq!((&before["changed"], &before["units"]), (&json!(0), &json!([])), "{before:#}");
    manager.expect("GET", "/api/plan?revision=nowhere", None, 404).await;

    manager.expect("PUT", "/api/projects/shop", Some(put(Value::Null)), 200).await;
    let stopped = manager.project_until("shop", |shop| shop["phase"] == "Stopped").await;
    assert!(stopped["suspended"].is_null(), "{stopped:#}");
    let plan = manager.expect("GET", "/api/projects/shop/plan", None, 200).await;
    assert_eq!(plan["units"], json!([]), "{plan:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_suspended_by_the_policy_even_deletions() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    manager.project_until("shop", |shop| shop["appliedRevision"].is_string()).await;
    let clone = manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "suspend: the cluster moves\n");
    push(&clone, "Suspend everything");
    let shop = manager.project_until("shop", |shop| shop["phase"] == "Suspended").await;
    assert!(
        shop["message"].as_str().is_some_and(|text| text.contains("claude-manager.yaml (the cluster moves)")),
        "{shop:#}"
    );
    manager.expect("POST", "/api/projects", Some(project("new")), 201).await;
    manager.api("DELETE", "/api/projects/shop", None).await;
    manager.expect("POST", "/api/projects/new/refresh", None, 200).await;
    let new = manager.expect("GET", "/api/projects/new", None, 200).await;
    assert_eq!((&new["phase"], new["appliedRevision"].is_null()), (&"Suspended".into(), true), "{new:#}");
    assert_eq!(manager.api("GET", "/api/projects/shop", None).await.0, 200, "its objects are still there");

    update(&clone);
    git_ok(&clone, &["revert", "--no-edit", &format!("HEAD~{}", 2)]);
    git_ok(&clone, &["push", "-q"]);
    manager.project_until("new", |new| new["appliedRevision"].is_string()).await;
}
