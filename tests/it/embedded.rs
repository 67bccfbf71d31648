//! The embedded cluster by itself: what it keeps, and who runs its pods. What it answers is compared in `replay.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use claude_manager::cluster::{self, Cancel, Done, Kinds, Observer};
use claude_manager::embedded::{Cluster, Error};
use claude_manager::plan::{Action, Content, Operation, UnitPlan};
use claude_manager::project::{ObjectKey, PROJECT_LABEL, ProjectName, Unit};
use serde_json::{Value, json};

fn config(name: &str, data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
           "metadata": {"name": name, "namespace": "n", "labels": {PROJECT_LABEL: "shop"}}, "data": {"a": data}})
}

fn set(replicas: u64, image: &str) -> Value {
    let labels = json!({PROJECT_LABEL: "shop"});
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "shop-env", "namespace": "n", "labels": labels},
           "spec": {"serviceName": "shop-env", "replicas": replicas, "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "agent", "image": image}]}}}})
}

fn unit() -> Unit {
    Unit::Project(ProjectName::parse("shop").unwrap())
}

async fn apply(cluster: &Cluster, object: &Value) -> Value {
    match run(cluster, object, Operation::Create(Content::new(object.clone()))).await {
        Ok(Done::Applied(answer)) => serde_json::from_str(&answer).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn delete(cluster: &Cluster, object: &Value) {
    let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(run(cluster, object, Operation::Delete { uid }).await, Ok(Done::Deleted));
}

async fn run(cluster: &Cluster, object: &Value, operation: Operation) -> Result<Done, cluster::Error> {
    let api_version = object["apiVersion"].as_str().unwrap().to_owned();
    let key = ObjectKey::new(
        api_version.split_once('/').map_or("", |(group, _)| group),
        object["kind"].as_str().unwrap(),
        Some("n"),
        object["metadata"]["name"].as_str().unwrap(),
    );
    let action = Action { key, api_version, stage: 0, operation, reason: String::new(), changes: Vec::new() };
    let plan = UnitPlan { unit: unit(), actions: vec![action], held: Vec::new() };
    let client = cluster.client();
    cluster::apply(&client, &Kinds::new(client.clone()), &cluster::Pace::default(), &plan, &Cancel::never())
        .await
        .remove(0)
        .result
}

/// Everything that can be seen, by kind and name.
async fn seen(cluster: &Cluster) -> Vec<(String, Value)> {
    let observer = Observer::start(cluster.client(), "n", []);
    observer.synced().await;
    let objects = observer.objects(None).into_iter();
    objects.map(|(key, live)| (format!("{}/{}", key.kind, key.name), (*live.object).clone())).collect()
}

fn names(seen: &[(String, Value)]) -> Vec<&str> {
    seen.iter().map(|(name, _)| name.as_str()).collect()
}

/// What a process finds that starts after this one was killed at this very moment.
fn as_after_a_kill(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(directory.join("objects.jsonl"), copy.path().join("objects.jsonl")).unwrap();
    copy
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(directory.path()).unwrap();
    let one = apply(&cluster, &config("one", "1")).await;
    apply(&cluster, &config("two", "1")).await;
    apply(&cluster, &set(1, "i:1")).await;
    apply(&cluster, &config("two", "2")).await;
    delete(&cluster, &one).await;
    let copy = as_after_a_kill(directory.path());
    let after = Cluster::open(copy.path()).unwrap();
    assert_eq!(seen(&cluster).await, seen(&after).await);
    assert_eq!(names(&seen(&after).await), ["ConfigMap/two", "Pod/shop-env-0", "StatefulSet/shop-env"]);
    // Versions go on where they were, so that no watch mistakes the past for the future.
    let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    let highest = seen(&cluster).await.iter().map(|(_, object)| version(object)).max().unwrap();
    let next = apply(&after, &config("three", "1")).await;
    assert!(version(&next) > highest);
}

#[tokio::test]
async fn a_line_that_was_not_written_to_its_end_is_forgotten_and_the_rest_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(directory.path()).unwrap();
    apply(&cluster, &config("one", "1")).await;
    let whole = std::fs::metadata(directory.path().join("objects.jsonl")).unwrap().len();
    apply(&cluster, &config("two", "1")).await;
    let end = std::fs::metadata(directory.path().join("objects.jsonl")).unwrap().len();
    for length in [whole, whole + 1, (whole + end) / 2, end - 1] {
        let copy = as_after_a_kill(directory.path());
        let file = std::fs::OpenOptions::new().write(true).open(copy.path().join("objects.jsonl")).unwrap();
        file.set_len(length).unwrap();
        let after = Cluster::open(copy.path()).unwrap();
        assert_eq!(names(&seen(&after).await), ["ConfigMap/one"], "{length}");
        apply(&after, &config("three", "1")).await;
        let again = as_after_a_kill(copy.path());
        assert_eq!(names(&seen(&Cluster::open(again.path()).unwrap()).await), ["ConfigMap/one", "ConfigMap/three"]);
    }
}

#[tokio::test]
async fn a_damaged_file_is_named_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("objects.jsonl");
    std::fs::write(&path, "{\"format\":1,\"version\":1}\nnonsense\n{\"version\":2,\"gone\":{}}\n").unwrap();
    let error = Cluster::open(directory.path()).err().unwrap();
    assert!(matches!(error, Error::Damaged { line: 2, .. }), "{error}");
    assert!(std::fs::read_to_string(&path).unwrap().contains("nonsense"));
}

#[tokio::test]
async fn the_file_does_not_grow_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(directory.path()).unwrap();
    for number in 0..60 {
        apply(&cluster, &config("one", &format!("{number}{}", "x".repeat(50_000)))).await;
    }
    let length = std::fs::metadata(directory.path().join("objects.jsonl")).unwrap().len();
    assert!(length < 2_000_000, "{length}");
    let copy = as_after_a_kill(directory.path());
    assert_eq!(seen(&cluster).await, seen(&Cluster::open(copy.path()).unwrap()).await);
}

#[tokio::test]
async fn only_one_process_can_have_it() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Cluster::open(directory.path()).unwrap();
    assert!(matches!(Cluster::open(directory.path()).err().unwrap(), Error::InUse(_)));
}

#[tokio::test]
async fn pods_wait_with_a_reason_until_somebody_runs_them() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(directory.path()).unwrap();
    apply(&cluster, &set(1, "i:1")).await;
    let observer = Observer::start(cluster.client(), "n", []);
    observer.synced().await;
    let mut changes = observer.changes();
    let pod = || {
        let objects = observer.objects(Some(&unit())).into_iter();
        objects.filter(|(key, _)| key.kind == "Pod").map(|(_, live)| live.object).next()
    };
    let status = || {
        let objects = observer.objects(Some(&unit())).into_iter();
        objects
            .filter(|(key, _)| key.kind == "StatefulSet")
            .map(|(_, live)| live.object["status"].clone())
            .next()
            .unwrap()
    };
    assert_eq!(pod().unwrap()["status"]["conditions"][0]["reason"], "NoRuntime");

    let runtime = cluster.runtime().unwrap().unwrap();
    assert!(cluster.runtime().unwrap().is_none(), "one at a time");
    changes.next().await;
    assert_eq!(pod().unwrap()["status"]["conditions"][0]["status"], "True");
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    let uid = || pod().unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    runtime.set_status("n", "shop-env-0", &uid(), ready.clone()).unwrap();
    while status()["readyReplicas"] != 1 {
        changes.next().await;
    }

    // Another image: the pod is asked to go, and its successor comes when it has gone.
    let first = uid();
    apply(&cluster, &set(1, "i:2")).await;
    while pod().unwrap()["metadata"]["deletionTimestamp"].is_null() {
        changes.next().await;
    }
    assert_eq!(uid(), first);
    runtime.removed("n", "shop-env-0", &first).unwrap();
    while pod().is_none_or(|pod| pod["metadata"]["uid"] == *first) {
        changes.next().await;
    }
    // What is still said of the first one is not said of its successor.
    let second = uid();
    assert!(matches!(runtime.removed("n", "shop-env-0", &first).unwrap_err(), Error::NoPod { .. }));
    assert!(matches!(runtime.set_status("n", "shop-env-0", &first, json!({})).unwrap_err(), Error::NoPod { .. }));
    runtime.set_status("n", "shop-env-0", &second, ready).unwrap();

    // Stopped: it goes, and nothing comes.
    apply(&cluster, &set(0, "i:2")).await;
    while pod().unwrap()["metadata"]["deletionTimestamp"].is_null() {
        changes.next().await;
    }
    runtime.removed("n", "shop-env-0", &second).unwrap();
    while pod().is_some() || status()["replicas"] != 0 {
        changes.next().await;
    }
    assert!(matches!(runtime.removed("n", "shop-env-0", &second).unwrap_err(), Error::NoPod { .. }));

    // Without a runtime again, whatever ran does not.
    apply(&cluster, &set(1, "i:2")).await;
    drop(runtime);
    while pod().is_none_or(|pod| pod["status"]["conditions"][0]["reason"] != "NoRuntime") {
        changes.next().await;
    }
}

#[tokio::test]
async fn every_change_wakes_who_watches_and_a_deleted_set_takes_its_pods_along() {
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(directory.path()).unwrap();
    let observer = Observer::start(cluster.client(), "n", []);
    observer.synced().await;
    let mut changes = observer.changes();
    let applied = apply(&cluster, &set(2, "i:1")).await;
    while observer.objects(None).len() < 3 {
        let changed = tokio::time::timeout(Duration::from_secs(5), changes.next()).await.unwrap();
        assert_eq!(changed, BTreeSet::from([unit()]));
    }
    delete(&cluster, &applied).await;
    while !observer.objects(None).is_empty() {
        tokio::time::timeout(Duration::from_secs(5), changes.next()).await.unwrap();
    }
}

#[tokio::test]
async fn a_watch_from_a_forgotten_version_lists_anew() {
    use http_body_util::BodyExt as _;
    let directory = tempfile::tempdir().unwrap();
    let cluster = Cluster::open(directory.path()).unwrap();
    apply(&cluster, &config("one", "1")).await;
    drop(cluster);
    // The memory of changes ends with the process.
    let cluster = loop {
        match Cluster::open(directory.path()) {
            Ok(cluster) => break cluster,
            // The client's worker lets go of the old one a moment later.
            Err(Error::InUse(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(other) => panic!("{other}"),
        }
    };
    let request =
        http::Request::get("/api/v1/namespaces/n/configmaps?watch=1&resourceVersion=1").body(Vec::new()).unwrap();
    let response = cluster.client().send(request.map(Into::into)).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!((event["object"]["code"].as_u64(), event["object"]["reason"].as_str()), (Some(410), Some("Expired")));
}
