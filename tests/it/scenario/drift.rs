//! Drift on the real API server: changed back with one write, left where Git says so, and a fight is noticed.

use serde_json::Value;

use super::{append, project, push, update};
use crate::control_plane::{ControlPlane, eventually};
use crate::manager::{Manager, git_ok};

pub(super) struct Fleet {
    pub(super) cluster: &'static ControlPlane,
    pub(super) namespace: String,
    pub(super) manager: Manager,
}

impl Fleet {
    /// A manager on the real API server with one project.
    pub(super) async fn start(prefix: &str) -> Option<Self> {
        let cluster = ControlPlane::with_pods()?;
        cluster.volumes("", 2);
        let namespace = cluster.namespace(prefix);
        let kubeconfig = cluster.kubeconfig().display().to_string();
        let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
        manager.expect("POST", "/api/projects", Some(project("shop")), 201).await;
        manager.project_until("shop", |shop| shop["phase"] == "Running").await;
        Some(Self { cluster, namespace, manager })
    }

    pub(super) fn kubectl(&self, arguments: &[&str]) {
        self.cluster.expect(["-n", self.namespace.as_str()].iter().chain(arguments));
    }

    pub(super) fn set(&self) -> Value {
        self.cluster.object(&self.namespace, "statefulset", "shop-env").expect("the StatefulSet")
    }

    pub(super) fn set_if_there(&self) -> Option<Value> {
        self.cluster.object(&self.namespace, "statefulset", "shop-env")
    }

    /// Writes a field as another program would.
    fn meddle(&self, value: &str) {
        let patch = format!(r#"{{"metadata":{{"annotations":{{"claude-manager.io/display-name":"{value}"}}}}}}"#);
        self.kubectl(&["patch", "statefulset", "shop-env", "--field-manager=meddler", "-p", &patch]);
    }
}

fn name_of(set: &Value) -> &Value {
    &set["metadata"]["annotations"]["claude-manager.io/display-name"]
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_corrected_warned_of_or_ignored_as_git_says() {
    let Some(mut fleet) = Fleet::start("modes").await else { return };
    fleet.meddle("corrected");
    eventually("the field to be changed back", || (name_of(&fleet.set()) == "shop").then_some(()));

    let clone = fleet.manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "drift: {mode: warn}\n");
    push(&clone, "Only warn of drift");
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    fleet.meddle("left");
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    assert_eq!(name_of(&fleet.set()), "left");
    let plan = fleet.manager.command(&["plan"]).output().expect("plan");
    let shown = String::from_utf8_lossy(&plan.stdout);
    assert!(shown.contains("display-name") && shown.contains("(by meddler) and is left so"), "{shown}");
    assert_eq!(plan.status.code(), Some(0), "nothing would change: {shown}");

    // So is an object that somebody deletes; a restart changes nothing about that, and the status says it.
    // Base-wide ones are no exception.
    fleet.kubectl(&["delete", "service", "shop-env"]);
    fleet.kubectl(&["delete", "configmap", "claude-manager-agent-keys"]);
    let service = || fleet.cluster.object(&fleet.namespace, "service", "shop-env");
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    assert!(service().is_none());
    let plan = fleet.manager.expect("GET", "/api/projects/shop/plan", None, 200).await;
    assert!(plan["units"][0]["held"].to_string().contains("was deleted and is not made again"), "{plan:#}");
    assert_eq!((&plan["created"], &plan["changed"]), (&0.into(), &0.into()), "{plan:#}");
    fleet.manager.kill();
    fleet.manager.run();
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    fleet.manager.project_until("shop", |shop| shop["phase"] == "Running").await;
    let service = || fleet.cluster.object(&fleet.namespace, "service", "shop-env");
    assert!(service().is_none(), "{}", fleet.manager.log());
    let keys = || fleet.cluster.object(&fleet.namespace, "configmap", "claude-manager-agent-keys");
    assert!(keys().is_none(), "{}", fleet.manager.log());
    let whole = fleet.manager.expect("GET", "/api/plan", None, 200).await;
    assert_eq!((&whole["units"][0]["project"], &whole["created"]), (&Value::Null, &0.into()), "{whole:#}");
    assert!(whole["units"][0]["held"].to_string().contains("was deleted and is not made again"), "{whole:#}");

    // A commit is applied all the same, and makes it again; a field that is left stays left.
    fleet.manager.expect("POST", "/api/projects/shop/stop", None, 200).await;
    fleet.manager.project_until("shop", |shop| shop["phase"] == "Stopped").await;
    assert!(service().is_some());
    assert_eq!((&fleet.set()["spec"]["replicas"], name_of(&fleet.set())), (&0.into(), &"left".into()));

    // Correct again, but for one field.
    update(&clone);
    let policy = clone.join("claude-manager.yaml");
    let text = std::fs::read_to_string(&policy).expect("the policy");
    let fields = "drift: {fields: [{kind: StatefulSet, path: spec.replicas}]}";
    std::fs::write(&policy, text.replace("drift: {mode: warn}", fields)).expect("written");
    push(&clone, "Only replicas are somebody else's");
    eventually("the annotation to be changed back", || (name_of(&fleet.set()) == "shop").then_some(()));
    fleet.kubectl(&["scale", "statefulset", "shop-env", "--replicas=1"]);
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    fleet.meddle("a change to wait for");
    eventually("the annotation to be changed back", || (name_of(&fleet.set()) == "shop").then_some(()));
    assert_eq!(fleet.set()["spec"]["replicas"], 1, "whoever scaled it keeps the word");
}

/// A manager that lost its store, or an older one, noted nothing of the base-wide objects that it finds in place.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_in_place_is_noted_so_that_its_deletion_is_drift_after_the_next_start() {
    let Some(mut fleet) = Fleet::start("noted").await else { return };
    let clone = fleet.manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "drift: {mode: warn}\n");
    push(&clone, "Only warn of drift");
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    fleet.manager.kill();
    for file in std::fs::read_dir(fleet.manager.data()).expect("the data").flatten() {
        if file.file_name().to_string_lossy().starts_with("manager.db") {
            std::fs::remove_file(file.path()).expect("removed");
        }
    }
    fleet.manager.run();
    fleet.manager.project_until("shop", |shop| shop["phase"] == "Running").await;
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    fleet.kubectl(&["delete", "configmap", "claude-manager-agent-keys"]);
    let keys = || fleet.cluster.object(&fleet.namespace, "configmap", "claude-manager-agent-keys");
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    assert!(keys().is_none(), "{}", fleet.manager.log());
    fleet.manager.kill();
    fleet.manager.run();
    fleet.manager.project_until("shop", |shop| shop["phase"] == "Running").await;
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    let keys = || fleet.cluster.object(&fleet.namespace, "configmap", "claude-manager-agent-keys");
    assert!(keys().is_none(), "{}", fleet.manager.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_keeps_changing_a_field_is_named_and_a_commit_ends_the_fight() {
    let Some(fleet) = Fleet::start("fight").await else { return };
    for round in 0..5 {
        fleet.meddle(&format!("round {round}"));
        eventually("a heal", || (name_of(&fleet.set()) == "shop").then_some(()));
    }
    fleet.meddle("once too often");
    let contested = fleet.manager.project_until("shop", |shop| shop["reason"] == "Contested").await;
    let message = contested["message"].as_str().expect("a message");
    assert!(message.contains("The field manager meddler keeps changing StatefulSet shop-env back"), "{message}");
    assert_eq!(name_of(&fleet.set()), "once too often");
    // The other objects are healed on.
    fleet.kubectl(&["delete", "service", "shop-env"]);
    eventually("the Service again", || fleet.cluster.object(&fleet.namespace, "service", "shop-env"));

    let clone = fleet.manager.clone_state("clone");
    append(&clone, "claude-manager.yaml", "drift: {managers: [{name: meddler, mode: warn}]}\n");
    push(&clone, "Let the meddler have its way");
    fleet.manager.project_until("shop", |shop| shop["phase"] == "Running").await;
    assert_eq!(name_of(&fleet.set()), "once too often");
    git_ok(&clone, &["revert", "--no-edit", "HEAD"]);
}
