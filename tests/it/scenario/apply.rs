//! What waits for a person is applied as it was looked at, by the hash of its plan, or not at all.

use std::path::Path;

use serde_json::{Value, json};

use super::drift::Fleet;
use super::{append, project, push};
use crate::control_plane::{ControlPlane, eventually};
use crate::manager::{Manager, git_ok};

/// The hash of a plan that somebody looks at.
async fn look(manager: &Manager, path: &str) -> (String, Value) {
    // Right after a start it is answered to try again, as the cluster was not seen yet.
    for _ in 0..100 {
        if manager.api("GET", path, None).await.0 != 503 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let plan = manager.expect("GET", path, None, 200).await;
    (plan["hash"].as_str().expect("a hash").to_owned(), plan)
}

/// Looks until the plan is as `wanted`.
async fn seen(manager: &Manager, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let (_, plan) = look(manager, path).await;
        if wanted(&plan) {
            return plan;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("never as wanted: {:#}\n{}", look(manager, path).await.1, manager.log());
}

/// Wants just the plan with this hash; what is answered.
async fn apply(manager: &Manager, path: &str, hash: &str) -> (u16, Value) {
    let request = crate::http::client().post(manager.url(path)).bearer_auth(manager.token());
    let answer = request.header("if-match", format!("\"{hash}\"")).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

/// Takes projects out of a clone.
fn take_away(clone: &Path, names: &[&str]) {
    let root = clone.join("kustomization.yaml");
    let text = std::fs::read_to_string(&root).expect("the root");
    let stays = |line: &&str| names.iter().all(|name| !line.ends_with(&format!("projects/{name}")));
    std::fs::write(&root, text.lines().filter(stays).collect::<Vec<_>>().join("\n") + "\n").expect("written");
    for name in names {
        git_ok(clone, &["rm", "-rq", &format!("projects/{name}")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_project_takes_the_plan_that_was_looked_at_and_stays_suspended() {
    let manager = Manager::embedded();
    manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
    manager.project_until("shop", |shop| shop["appliedRevision"].is_string()).await;
    manager.expect("PUT", "/api/projects/shop", Some(json!({"suspended": "by hand from now on"})), 200).await;
    let before = manager.project_until("shop", |shop| shop["phase"] == "Suspended").await;
    let path = "/api/projects/shop/plan";

    // A commit waits, and its plan is looked at.
    manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    let (first, plan) = look(&manager, path).await;
    assert_eq!((&plan["changed"], &plan["deleted"]), (&json!(1), &json!(0)), "{plan:#}");
    assert!(plan["warnings"].to_string().contains("by hand from now on"), "{plan:#}");

    // Another commit comes in between: it is another plan, the answer says which, and nothing is done.
    let more = json!({"resources": {"cpu": "3", "memory": "5Gi"}});
    manager.expect("PUT", "/api/projects/shop", Some(more), 200).await;
    let (status, refused) = apply(&manager, path, &first).await;
    assert_eq!(status, 412, "{refused:#}");
    let (second, _) = look(&manager, path).await;
    assert_ne!(second, first);
    assert_eq!((&refused["plan"]["hash"], &refused["plan"]["changed"]), (&json!(second), &json!(1)), "{refused:#}");
    let shop = manager.expect("GET", "/api/projects/shop", None, 200).await;
    assert_eq!(shop["appliedRevision"], before["appliedRevision"]);

    // That one is wanted, and done, once.
    let (status, done) = apply(&manager, path, &second).await;
    assert_eq!((status, &done["errors"], &done["changed"]), (200, &json!([]), &json!(1)), "{done:#}");
    let shop = manager.expect("GET", "/api/projects/shop", None, 200).await;
    assert_eq!((&shop["phase"], &shop["appliedRevision"]), (&json!("Suspended"), &shop["revision"]), "{shop:#}");
    assert_eq!(look(&manager, path).await.1["units"], json!([]));
    assert_eq!(apply(&manager, path, &second).await.0, 412, "there is nothing of it left");
    let log = manager.log();
    let told = log.lines().find(|line| line.contains("an approved plan is applied"));
    assert!(told.is_some_and(|line| line.contains(&second)), "{log}");

    // The next commit waits again.
    manager.expect("POST", "/api/projects/shop/start", None, 200).await;
    manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    assert_eq!(look(&manager, path).await.1["changed"], json!(1));
    // The plan of everything leaves it out, so that nobody applies it unawares.
    let (whole, plan) = look(&manager, "/api/plan").await;
    assert_eq!(plan["units"], json!([]), "{plan:#}");
    assert_eq!(apply(&manager, "/api/plan", &whole).await.0, 200);
    assert_eq!(look(&manager, path).await.1["changed"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_that_are_held_are_confirmed_by_the_plan_that_names_them() {
    let mut manager = Manager::embedded();
    for name in ["a", "b", "c", "d"] {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
    }
    for name in ["a", "b", "c", "d"] {
        manager.project_until(name, |project| project["appliedRevision"].is_string()).await;
    }
    let clone = manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "policy: {prune: {projects: 1, percent: 0}}\n");
    push(&clone, "One deletion at a time is enough");
    take_away(&clone, &["b", "c", "d"]);
    push(&clone, "Three at once");
    for name in ["b", "c", "d"] {
        manager.project_until(name, |project| project["reason"] == "DeletionHeld").await;
    }

    // One of them was meant, and is said so; the others are still held.
    let (hash, plan) = look(&manager, "/api/projects/b/plan").await;
    assert!(plan["deleted"].as_u64() > Some(3) && plan["created"] == 0, "{plan:#}");
    let (status, done) = apply(&manager, "/api/projects/b/plan", &hash).await;
    assert_eq!((status, &done["errors"]), (200, &json!([])), "{done:#}");
    let is_gone = |project: &Value| project["status"] == 404;
    manager.project_until("b", is_gone).await;
    for name in ["c", "d"] {
        assert_eq!(manager.expect("GET", &format!("/api/projects/{name}"), None, 200).await["reason"], "DeletionHeld");
    }

    // A start changes nothing about that; then both are confirmed at once, by the plan of everything.
    manager.kill();
    manager.run();
    manager.project_until("c", |project| project["reason"] == "DeletionHeld").await;
    let (hash, plan) = look(&manager, "/api/plan").await;
    let units: Vec<&Value> = plan["units"].as_array().expect("units").iter().map(|unit| &unit["project"]).collect();
    assert!(units.contains(&&json!("c")) && units.contains(&&json!("d")), "{plan:#}");
    let (status, done) = apply(&manager, "/api/plan", &hash).await;
    assert_eq!((status, &done["errors"]), (200, &json!([])), "{done:#}");
    for name in ["c", "d"] {
        manager.project_until(name, is_gone).await;
    }
    assert_eq!(manager.expect("GET", "/api/projects", None, 200).await["total"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_that_is_left_is_corrected_once_by_the_plan_that_shows_it() {
    let Some(fleet) = Fleet::start("by-hand").await else { return };
    let manager = &fleet.manager;
    let clone = manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "drift: {mode: warn}\n");
    push(&clone, "Only warn of drift");
    manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    fleet.kubectl(&["scale", "statefulset", "shop-env", "--replicas=0"]);
    fleet.kubectl(&["delete", "service", "shop-env"]);
    let service = || fleet.cluster.object(&fleet.namespace, "service", "shop-env");
    let (as_policy_says, corrected) = ("/api/projects/shop/plan", "/api/projects/shop/plan?drift=correct");
    let plan = seen(manager, as_policy_says, |plan| plan["held"] == 2).await;
    // The API server notes nobody for a scale to none.
    assert!(plan["text"].to_string().contains("differs in spec.replicas and is left so"), "{plan:#}");
    assert_eq!((&plan["changed"], &plan["created"]), (&json!(0), &json!(0)), "{plan:#}");
    assert_eq!(look(manager, "/api/plan").await.1["held"], json!(2), "the plan of everything says so, too");
    let (first, plan) = look(manager, corrected).await;
    assert_eq!((&plan["changed"], &plan["created"]), (&json!(1), &json!(1)), "{plan:#}");

    // Somebody goes on changing: that was not looked at.
    fleet.kubectl(&["scale", "statefulset", "shop-env", "--replicas=3"]);
    let second = seen(manager, corrected, |plan| plan["hash"] != first.as_str()).await;
    let second = second["hash"].as_str().expect("a hash").to_owned();
    let (status, refused) = apply(manager, corrected, &first).await;
    assert_eq!((status, &refused["plan"]["hash"]), (412, &json!(second)), "{refused:#}");
    assert_eq!(apply(manager, as_policy_says, &second).await.0, 412, "by the policy's rules it is not the plan");
    assert!(service().is_none());

    let (status, done) = apply(manager, corrected, &second).await;
    assert_eq!((status, &done["errors"]), (200, &json!([])), "{done:#}");
    assert!(service().is_some());
    assert_eq!(fleet.set()["spec"]["replicas"], 1);
    // The policy is as it was.
    fleet.kubectl(&["delete", "service", "shop-env"]);
    manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    assert!(service().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_deletion_that_does_not_get_through_is_not_held_again_by_a_later_commit() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    // Whoever else needs some on this control plane would lack them.
    cluster.volumes("", 8);
    let namespace = cluster.namespace("confirmed");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    for name in ["a", "b", "c", "d"] {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
        manager.project_until(name, |project| project["appliedRevision"].is_string()).await;
    }
    // Somebody's admission policy lets one Service go only when it is taken away.
    let admission = "admissionregistration.k8s.io/v1";
    let keeps = format!("{namespace}-keeps");
    cluster.apply(vec![
        json!({"apiVersion": admission, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": keeps}, "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["services"]}]},
            "validations": [{"expression": "oldObject.metadata.name != 'b-env'", "message": "it is still needed"}]}}),
        json!({"apiVersion": admission, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": keeps}, "spec": {
            "policyName": keeps, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}}}),
    ]);
    let delete = ["-n", &namespace, "delete", "service", "b-env", "--dry-run=server"];
    eventually("the policy in force", || (!cluster.kubectl(delete).status.success()).then_some(()));

    let clone = manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "policy: {prune: {projects: 1, percent: 0}}\n");
    push(&clone, "One deletion at a time is enough");
    take_away(&clone, &["b", "c", "d"]);
    push(&clone, "Three at once");
    manager.project_until("b", |b| b["reason"] == "DeletionHeld").await;
    let (hash, _) = look(&manager, "/api/projects/b/plan").await;
    let (_, done) = apply(&manager, "/api/projects/b/plan", &hash).await;
    assert!(done["errors"].to_string().contains("it is still needed"), "{done:#}");

    let changed = manager.expect("PUT", "/api/projects/a", Some(json!({"name": "Another"})), 200).await;
    manager.project_until("a", |a| a["appliedRevision"] == changed["revision"]).await;
    let b = manager.project_until("b", |b| b["reason"] != "DeletionHeld" && b["message"] != "").await;
    assert!(b["message"].as_str().is_some_and(|message| message.contains("it is still needed")), "{b:#}");
    assert_eq!(manager.expect("GET", "/api/projects/c", None, 200).await["reason"], "DeletionHeld");

    cluster.expect(["delete", "validatingadmissionpolicybinding", &keeps]);
    // The manager tries again by itself, so the Service may be gone before this looks.
    eventually("the policy out of force", || {
        let output = cluster.kubectl(delete);
        let is_gone = String::from_utf8_lossy(&output.stderr).contains("NotFound");
        (output.status.success() || is_gone).then_some(())
    });
    manager.expect("POST", "/api/projects/a/refresh", None, 200).await;
    manager.project_until("b", |b| b["status"] == 404).await;
    assert_eq!(manager.expect("GET", "/api/projects/c", None, 200).await["reason"], "DeletionHeld");
}
