//! What keeps an environment from running, in the cluster's own words, on the real scheduler and controllers; and the commit
//! that mends it.

use serde_json::{Value, json};

use super::{append, project, push};
use crate::control_plane::{ControlPlane, MISSING_IMAGE};
use crate::manager::{Manager, git_ok};

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_is_told_in_the_clusters_words_until_a_commit_mends_it() {
    let Some(cluster) = ControlPlane::with_pods() else { return };
    cluster.volumes("", 2 * 3 + 1);
    let namespace = cluster.namespace("health");
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let manager = Manager::start(&[("KUBECONFIG", &kubeconfig), ("KUBERNETES_NAMESPACE", &namespace)]);
    for name in ["homeless", "looping", "beside"] {
        manager.expect("POST", "/api/projects", Some(project(name)), 201).await;
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
    let says = |project: &Value, words: &str| project["message"].as_str().is_some_and(|said| said.contains(words));

    // A claim of a class that nobody knows waits for its volume, and the event says why.
    let mut body = project("diskless");
    body["storage"] = json!({"size": "40Gi", "storageClass": "nobodys"});
    manager.expect("POST", "/api/projects", Some(body), 201).await;
    let words = "storageclass.storage.k8s.io \"nobodys\" not found";
    let waiting = manager.project_until("diskless", |project| says(project, words)).await;
    assert_eq!(waiting["reason"], "WaitingForVolume", "{waiting:#}");
    assert!(says(&waiting, "Volume diskless-config is not bound yet; the storage class nobodys"), "{waiting:#}");

    // No node is what the pod asks for.
    let clone = manager.clone_state("clone");
    let patch =
        |operation: &str| format!("- target: {{kind: StatefulSet, name: env}}\n  patch: |-\n    - {operation}\n");
    append(
        &clone,
        "projects/homeless/kustomization.yaml",
        &patch("{op: add, path: /spec/template/spec/nodeSelector, value: {example.org/disk: golden}}"),
    );
    // A Deployment beside the environment whose pod never comes up.
    std::fs::write(
        clone.join("projects/beside/cache.yaml"),
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: cache}}\nspec:\n  progressDeadlineSeconds: 1\n  \
             selector: {{matchLabels: {{app: cache}}}}\n  template:\n    metadata: {{labels: {{app: cache}}}}\n    spec:\n      \
             securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}\n      \
             containers:\n      - name: cache\n        image: {MISSING_IMAGE}\n        \
             securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}\n"
        ),
    )
    .expect("written");
    let overlay = clone.join("projects/beside/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    std::fs::write(&overlay, text.replace("- ../../base\n", "- ../../base\n- cache.yaml\n")).expect("written");
    push(&clone, "Two break");
    let homeless = manager.project_until("homeless", |project| project["reason"] == "Unschedulable").await;
    assert!(says(&homeless, "node affinity/selector"), "{homeless:#}");
    let failed = manager.project_until("beside", |project| project["reason"] == "ObjectFailed").await;
    assert!(says(&failed, "Deployment beside-cache has failed") && says(&failed, "progress"), "{failed:#}");

    // A container that ends again and again is told with what it wrote last.
    cluster.pods_write("out of memory");
    let status = json!({"status": {"phase": "Running", "containerStatuses": [{
        "name": "agent", "image": "x", "imageID": "", "ready": false, "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }]}});
    let status = status.to_string();
    let patch =
        ["-n", &namespace, "patch", "pod", "looping-env-0", "--subresource=status", "--type=merge", "-p", &status];
    cluster.expect(patch);
    let looping = manager.project_until("looping", |project| says(project, "Its last lines: out of memory")).await;
    assert_eq!((&looping["phase"], &looping["reason"]), (&"Failed".into(), &"CrashLoop".into()));
    assert!(says(&looping, "it ran out of memory, so raise resources.memory"), "{looping:#}");

    // One commit mends what a commit broke.
    git_ok(&clone, &["revert", "--no-edit", "HEAD"]);
    git_ok(&clone, &["push", "-q"]);
    for name in ["homeless", "beside"] {
        manager.project_until(name, |project| project["phase"] == "Running").await;
    }
}
