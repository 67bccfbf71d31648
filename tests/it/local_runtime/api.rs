//! The runtime below the manager: what a client of the embedded cluster sees of pods and their logs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use claude_manager::embedded::{Cluster, LocalRuntime, Options};
use futures::StreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::{Value, json};

use crate::manager::PROGRAM;

/// An embedded cluster whose pods run.
pub(super) struct Local {
    pub(super) data: tempfile::TempDir,
    client: Client,
    runtime: LocalRuntime,
}

impl Local {
    async fn start() -> Self {
        Self::with(PathBuf::from(PROGRAM)).await
    }

    /// One whose agents are this program.
    pub(super) async fn with(program: PathBuf) -> Self {
        let data = tempfile::tempdir().unwrap();
        let cluster = Cluster::open(&data.path().join("cluster")).unwrap();
        let options = Options { data: data.path().to_owned(), program, claude: None };
        let runtime = LocalRuntime::start(&cluster, options).await.unwrap();
        Self { data, client: cluster.client(), runtime }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/apply-patch+yaml")
            .body(if body.is_null() { Vec::new() } else { body.to_string().into_bytes() })
            .unwrap();
        let response = self.client.send(request.map(Into::into)).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(super) async fn apply(&self, object: &Value) {
        let (group, plural) = match object["kind"].as_str().unwrap() {
            "StatefulSet" => ("apis/apps", "statefulsets"),
            "PersistentVolumeClaim" => ("api", "persistentvolumeclaims"),
            "ConfigMap" => ("api", "configmaps"),
            other => panic!("{other}"),
        };
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("/{group}/v1/namespaces/n/{plural}/{name}?fieldManager=test&force=true");
        let (code, answer) = self.send("PATCH", &path, object.clone()).await;
        assert!(code < 300, "{answer:#}");
    }

    async fn pod(&self, name: &str) -> Value {
        self.send("GET", &format!("/api/v1/namespaces/n/pods/{name}"), Value::Null).await.1
    }

    /// Waits until a pod's agent is as wanted.
    pub(super) async fn agent_until(&self, pod: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.pod(pod).await;
            let containers = found["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
            if let Some(agent) = containers.iter().find(|status| status["name"] == "agent" && wanted(status)) {
                return agent.clone();
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "never as wanted: {:#}", found["status"]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn log(&self, query: &str) -> (u16, Value) {
        self.send("GET", &format!("/api/v1/namespaces/n/pods/shop-env-0/log?{query}"), Value::Null).await
    }

    async fn text(&self, query: &str) -> String {
        match self.log(query).await {
            (200, Value::String(text)) => text,
            (200, Value::Null) => String::new(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn pid(agent: &Value) -> i32 {
        agent["containerID"].as_str().unwrap().strip_prefix("process://").unwrap().parse().unwrap()
    }

    pub(super) async fn stop(self) {
        self.runtime.stop(std::future::pending()).await;
        drop(self.data);
    }
}

pub(super) fn claim() -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shop-workspace", "namespace": "n"},
           "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
}

pub(super) fn set(replicas: u64, image: &str) -> Value {
    let labels = json!({"claude-manager.io/project": "shop"});
    let mounts = json!([{"name": "workspace", "mountPath": "/workspace"}, {"name": "config", "mountPath": "/config"}]);
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 7780}, "periodSeconds": 1});
    json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "shop-env", "namespace": "n", "labels": labels},
           "spec": {"serviceName": "shop-env", "replicas": replicas, "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {
                        "containers": [
                            {"name": "agent", "image": image, "volumeMounts": mounts, "envFrom": [{"configMapRef": {"name": "env"}}],
                             "readinessProbe": probe("/readyz"), "livenessProbe": probe("/livez")},
                            {"name": "ide", "image": image}],
                        "volumes": [
                            {"name": "workspace", "persistentVolumeClaim": {"claimName": "shop-workspace"}},
                            {"name": "config", "emptyDir": {}}]}}}})
}

fn settings() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "env", "namespace": "n"}, "data": {"A": "1"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_what_it_names_and_says_for_what() {
    let local = Local::start().await;
    local.apply(&set(1, "i:1")).await;
    let waiting = |agent: &Value| agent["state"]["waiting"]["message"].as_str().unwrap_or_default().to_owned();
    let told = local.agent_until("shop-env-0", |agent| !waiting(agent).is_empty()).await;
    assert_eq!(waiting(&told), "persistentvolumeclaim \"shop-workspace\" not found");
    local.apply(&claim()).await;
    let told = local.agent_until("shop-env-0", |agent| waiting(agent).contains("configmap")).await;
    assert_eq!(told["state"]["waiting"]["reason"], "CreateContainerConfigError");
    local.apply(&settings()).await;
    local.agent_until("shop-env-0", |agent| agent["ready"] == true).await;
    let pod = local.pod("shop-env-0").await;
    assert_eq!(pod["status"]["containerStatuses"][1]["state"]["waiting"]["reason"], "NotRunHere");
    assert!(pod["status"]["podIP"].as_str().unwrap().starts_with("127."), "{:#}", pod["status"]);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pod_waits_for_the_workspace_and_a_rollout_replaces_the_first() {
    let local = Local::start().await;
    for object in [claim(), settings(), set(1, "i:1")] {
        local.apply(&object).await;
    }
    let first = local.agent_until("shop-env-0", |agent| agent["ready"] == true).await;
    local.apply(&set(2, "i:1")).await;
    let second = local.agent_until("shop-env-1", |agent| agent["state"]["waiting"]["message"].is_string()).await;
    let message = "waits until pod shop-env-0 no longer uses volume shop-workspace";
    assert_eq!(second["state"]["waiting"]["message"], message);

    local.apply(&set(1, "i:2")).await;
    let next = |agent: &Value| agent["ready"] == true && agent["image"] == "i:2";
    let next = local.agent_until("shop-env-0", next).await;
    assert_ne!(Local::pid(&first), Local::pid(&next));
    assert_eq!(next["restartCount"], 0);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_answered_by_lines_time_bytes_and_process() {
    let local = Local::start().await;
    for object in [claim(), settings(), set(1, "i:1")] {
        local.apply(&object).await;
    }
    let agent = local.agent_until("shop-env-0", |agent| agent["ready"] == true).await;
    let (code, refused) = local.log("").await;
    assert_eq!(code, 400, "{refused}");
    let (code, refused) = local.log("container=ide").await;
    assert_eq!(
        (code, &refused["message"]),
        (400, &json!("container \"ide\" in pod \"shop-env-0\" is waiting to start: NotRunHere"))
    );
    let (code, refused) = local.log("container=agent&previous=true").await;
    let message = "previous terminated container \"agent\" in pod \"shop-env-0\" not found";
    assert_eq!((code, &refused["message"]), (400, &json!(message)));

    let all = local.text("container=agent").await;
    assert!(all.lines().count() >= 1, "{all:?}");
    let first_word = all.split_whitespace().next().unwrap();
    let time: jiff::Timestamp = first_word.parse().expect("a line begins with its time");
    assert!(all.contains(" INFO "), "{all}");
    let last = local.text("container=agent&tailLines=1").await;
    assert!(last.lines().count() == 1 && all.ends_with(&last), "{last:?}");
    assert_eq!(local.text("container=agent&tailLines=0").await, "");
    assert_eq!(local.text("container=agent&limitBytes=10").await, all[..10]);
    assert_eq!(local.text("container=agent&sinceSeconds=3600").await, all);
    let stamped = local.text("container=agent&timestamps=true").await;
    assert!(stamped.starts_with(&format!("{time} {first_word}")), "{stamped}");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(local.text("container=agent&sinceSeconds=1").await, "");

    // Followed to its end: the process is asked to end and says so.
    let path = "/api/v1/namespaces/n/pods/shop-env-0/log?container=agent&follow=true&tailLines=1";
    let request = Request::get(path).body(Vec::new()).unwrap();
    let response = local.client.send(request.map(Into::into)).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let beginning = body.next().await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&beginning), last);
    let silent = tokio::time::timeout(Duration::from_millis(300), body.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    let pid = rustix::process::Pid::from_raw(Local::pid(&agent)).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let rest = async {
        let mut rest = Vec::new();
        while let Some(bytes) = body.next().await {
            rest.extend_from_slice(&bytes.unwrap());
        }
        String::from_utf8(rest).unwrap()
    };
    let rest = tokio::time::timeout(Duration::from_secs(10), rest).await.expect("it ends with the process");
    assert!(rest.contains("the agent stops"), "{rest}");

    local.agent_until("shop-env-0", |agent| agent["ready"] == true && agent["restartCount"] == 1).await;
    assert_eq!(local.text("container=agent&previous=true").await, format!("{all}{rest}"));
    assert!(!local.text("container=agent").await.contains("the agent stops"));
    local.stop().await;
}
