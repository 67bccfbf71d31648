//! What a commit changes is sent, however alike the API server may store it: once, and not again by a restart.

use std::path::Path;

use serde_json::{Value, json};

use super::drift::Fleet;
use super::push;
use crate::control_plane::eventually;
use crate::manager::git_ok;

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {type: TYPE, sizeLimit: SIZE}\n";
const SERVICE: &str = "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n\
    spec: {clusterIP: None, selector: {app: x}, ports: [{port: 81, targetPort: TARGET}]}\n";
const JOB: &str = "---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: j}\nspec: {schedule: 0 0 * * *, suspend: SUSPEND, \
    jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}}}}}\n";

/// Writes the objects beside the environment, with these values.
fn write(clone: &Path, values: [(&str, &str); 4]) {
    let text = values.iter().fold(format!("{CONFIG}{SERVICE}{JOB}"), |text, (name, value)| text.replace(name, value));
    std::fs::write(clone.join("projects/shop/more.yaml"), text).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_no_comparison_sees_is_sent_once_and_by_no_restart_again() {
    let Some(mut fleet) = Fleet::start("sent").await else { return };
    let clone = fleet.manager.clone_state("clone");
    let overlay = clone.join("projects/shop/kustomization.yaml");
    let text = std::fs::read_to_string(&overlay).expect("the overlay");
    std::fs::write(&overlay, text.replacen("- ../../base\n", "- ../../base\n- more.yaml\n", 1)).expect("written");
    write(&clone, [("TYPE", "x"), ("SIZE", "1024Mi"), ("TARGET", "90"), ("SUSPEND", "true")]);
    push(&clone, "More objects");
    let object = |kind: &str, name: &str| fleet.cluster.object(&fleet.namespace, kind, name);
    let stored = || -> Option<Value> {
        let (config, service, job) =
            (object("configmap", "shop-c")?, object("service", "shop-s")?, object("cronjob", "shop-j")?);
        Some(json!([
            config["data"]["type"],
            config["data"]["sizeLimit"],
            service["spec"]["ports"][0]["targetPort"],
            job["spec"]["suspend"],
        ]))
    };
    let all = |expected: Value| eventually(&expected.to_string(), || (stored()? == expected).then_some(()));
    all(json!(["x", "1024Mi", 90, true]));

    write(&clone, [("TYPE", r#""""#), ("SIZE", "1Gi"), ("TARGET", "0"), ("SUSPEND", "null")]);
    push(&clone, "The same, written otherwise");
    all(json!(["", "1Gi", 81, false]));
    let head = git_ok(&clone, &["rev-parse", "HEAD"]);
    fleet.manager.project_until("shop", |shop| shop["appliedRevision"] == head.trim()).await;
    let plan = fleet.manager.expect("GET", "/api/projects/shop/plan", None, 200).await;
    assert_eq!((&plan["changed"], &plan["created"]), (&json!(0), &json!(0)), "{plan:#}");

    // What was sent is written in the background, a moment later; what is lost of it costs one apply.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    fleet.manager.interrupt();
    let version = |name: &str| object("configmap", name).expect("it is there")["metadata"]["managedFields"].clone();
    let before = version("shop-c");
    let applied = |log: &str| log.matches(": applied unit=").count();
    let writes = applied(&fleet.manager.log());
    fleet.manager.run();
    fleet.manager.project_until("shop", |shop| shop["appliedRevision"] == head.trim()).await;
    fleet.manager.expect("POST", "/api/projects/shop/refresh", None, 200).await;
    assert_eq!(applied(&fleet.manager.log()), writes, "a restart sends nothing: {}", fleet.manager.log());
    let object = |kind: &str, name: &str| fleet.cluster.object(&fleet.namespace, kind, name);
    assert_eq!(object("configmap", "shop-c").expect("it is there")["metadata"]["managedFields"], before);

    // Drift of such a value is seen, too.
    fleet.kubectl(&["patch", "configmap", "shop-c", "--field-manager=meddler", "-p", r#"{"data":{"type":"y"}}"#]);
    let is_healed = || object("configmap", "shop-c").filter(|config| config["data"]["type"] == "");
    eventually("the empty text again", is_healed);
}
