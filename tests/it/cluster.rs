//! `cluster` against the real Kubernetes API server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use claude_manager::cluster::{self, Cancel, Done, Error, Kind, Kinds, Observer, Target};
use claude_manager::plan::{Action, Content, Operation, UnitPlan};
use claude_manager::project::{ErrorKind, ObjectKey, PROJECT_LABEL, ProjectName, Unit};
use kube::Client;
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, Request, eventually, text_of};

struct Server {
    plane: &'static ControlPlane,
    namespace: String,
    client: Client,
    kinds: Kinds,
}

impl Server {
    /// A namespace of its own on the control plane of the test run.
    async fn start() -> Option<Self> {
        let plane = ControlPlane::with_pods()?;
        let namespace = plane.namespace_at_level("cluster", "privileged");
        plane.volumes("", 1);
        let client = client(plane.kubeconfig(), None).await;
        Some(Self { plane, namespace, kinds: Kinds::new(client.clone()), client })
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        text_of(self.plane.kubectl_reading(input, arguments))
    }

    fn get(&self, what: &str) -> Value {
        let text = self.kubectl(&["get", "-n", &self.namespace, "-o", "json", "--show-managed-fields", what], "");
        serde_json::from_str(&text).unwrap()
    }

    /// The kubeconfig with another address or other credentials.
    fn kubeconfig_with(&self, change: impl FnOnce(&mut Value)) -> tempfile::NamedTempFile {
        let text = self.kubectl(&["config", "view", "--raw", "--minify", "--flatten", "-o", "json"], "");
        let mut config: Value = serde_json::from_str(&text).unwrap();
        change(&mut config);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        file
    }

    fn observe(&self) -> Observer {
        Observer::start(self.client.clone(), &self.namespace, [])
    }

    async fn apply(&self, objects: &[Value]) -> Vec<cluster::Outcome> {
        let actions =
            objects.iter().map(|object| action(object, Operation::Create(Content::new(object.clone())))).collect();
        self.run(actions).await
    }

    async fn run(&self, actions: Vec<Action>) -> Vec<cluster::Outcome> {
        let plan = UnitPlan { unit: unit(), actions, held: Vec::new() };
        cluster::apply(&self.client, &self.kinds, &cluster::Pace::default(), &plan, &Cancel::never()).await
    }

    fn environment(&self) -> Vec<Value> {
        let labels = json!({PROJECT_LABEL: "shop"});
        let n = &self.namespace;
        vec![
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop-env-1", "namespace": n, "labels": labels},
                   "data": {"A": "1", "B": "2"}}),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                   "metadata": {"name": "shop-workspace", "namespace": n, "labels": labels},
                   "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "shop-env", "namespace": n, "labels": labels,
                   "annotations": {"claude-manager.io/display-name": "Shop"}},
                   "spec": {"serviceName": "shop-env", "replicas": 1, "podManagementPolicy": "Parallel",
                            "selector": {"matchLabels": labels},
                            "template": {"metadata": {"labels": labels}, "spec": {"containers": [
                                {"name": "agent", "image": "i:1", "env": [{"name": "X", "value": "1"}]}]}}}}),
        ]
    }
}

async fn client(kubeconfig: &Path, context: Option<&str>) -> Client {
    Target::choose(Some(kubeconfig.as_os_str()), context, None).unwrap().client().await.unwrap()
}

fn unit() -> Unit {
    Unit::Project(ProjectName::parse("shop").unwrap())
}

fn action(object: &Value, operation: Operation) -> Action {
    let api_version = object["apiVersion"].as_str().unwrap().to_owned();
    let key = ObjectKey::new(
        api_version.split_once('/').map_or("", |(group, _)| group),
        object["kind"].as_str().unwrap(),
        object["metadata"]["namespace"].as_str(),
        object["metadata"]["name"].as_str().unwrap(),
    );
    Action { key, api_version, stage: 0, operation, reason: String::new(), changes: Vec::new() }
}

fn answers(outcomes: Vec<cluster::Outcome>) -> Vec<Value> {
    let answer = |outcome: cluster::Outcome| match outcome.result {
        Ok(Done::Applied(answer)) => serde_json::from_str(&answer).unwrap(),
        other => panic!("{}: {other:?}", outcome.key),
    };
    outcomes.into_iter().map(answer).collect()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("not within 20 s: {what}"),
    }
}

async fn until(observer: &Observer, what: &str, holds: impl Fn(&BTreeMap<String, Content>) -> bool) {
    let mut changes = observer.changes();
    within(what, async {
        loop {
            let objects = observer.objects(Some(&unit()));
            let objects =
                objects.into_iter().map(|(key, live)| (format!("{}/{}", key.kind, key.name), live.object)).collect();
            if holds(&objects) {
                return;
            }
            changes.next().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_applied_is_seen_and_a_second_apply_changes_nothing() {
    let Some(server) = Server::start().await else { return };
    let observer = server.observe();
    within("first lists", observer.synced()).await;
    assert!(observer.objects(None).is_empty());

    let first = answers(server.apply(&server.environment()).await);
    until(&observer, "everything and its pod", |seen| seen.len() == 4 && seen.contains_key("Pod/shop-env-0")).await;
    until(&observer, "the pod is ready", |seen| seen["StatefulSet/shop-env"]["status"]["readyReplicas"] == 1).await;
    assert_eq!(observer.units(|_| true), BTreeSet::from([unit()]));

    let second = answers(server.apply(&server.environment()).await);
    for (one, two) in first.iter().zip(&second) {
        assert_eq!(one["metadata"]["generation"], two["metadata"]["generation"]);
    }
    let config = |objects: &[Value]| objects[0]["metadata"]["resourceVersion"].clone();
    assert_eq!(config(&first), config(&second));
}

#[tokio::test]
async fn an_answer_that_is_recorded_is_seen_at_once_and_holds_through_status_changes() {
    let Some(server) = Server::start().await else { return };
    let observer = server.observe();
    within("first lists", observer.synced()).await;
    let mut applied = None;
    // A controller that writes before the answer is recorded makes it an old one, which counts for nothing: once more then.
    for _ in 0..5 {
        for answer in answers(server.apply(&server.environment()).await) {
            observer.record(&answer.to_string(), 42);
        }
        assert!(observer.objects(Some(&unit())).len() >= 3);
        until(&observer, "the pod is ready", |seen| seen["StatefulSet/shop-env"]["status"]["readyReplicas"] == 1).await;
        let set = observer.objects(Some(&unit())).into_iter().find(|(key, _)| key.kind == "StatefulSet");
        applied = set.unwrap().1.applied;
        if applied.is_some() {
            break;
        }
    }
    assert_eq!(applied, Some(42));

    server.kubectl(&["scale", "-n", &server.namespace, "sts/shop-env", "--replicas=0"], "");
    until(&observer, "drift", |seen| seen["StatefulSet/shop-env"]["spec"]["replicas"] == 0).await;
    let (_, set) = observer.objects(Some(&unit())).into_iter().find(|(key, _)| key.kind == "StatefulSet").unwrap();
    assert_eq!(set.applied, None);
}

/// A restore by hand, and then the manager: fields that leave Git afterwards leave the cluster, and no pod restarts.
#[tokio::test]
async fn fields_of_kubectl_are_taken_over_and_no_pod_restarts() {
    for way in [&["apply"][..], &["apply", "--server-side"][..]] {
        let Some(server) = Server::start().await else { return };
        let mut environment = server.environment();
        let text: String = environment.iter().map(|object| format!("---\n{object}\n")).collect();
        server.kubectl(&[way, &["-f", "-"]].concat(), &text);
        let observer = server.observe();
        within("first lists", observer.synced()).await;
        until(&observer, "a ready pod", |seen| {
            seen.get("StatefulSet/shop-env").is_some_and(|set| set["status"]["readyReplicas"] == 1)
        })
        .await;
        let pod = server.get("pod/shop-env-0")["metadata"]["uid"].clone();
        let generation = server.get("sts/shop-env")["metadata"]["generation"].clone();

        let update = |object: &Value| {
            action(object, Operation::Update { object: Content::new(object.clone()), take_over: true })
        };
        answers(server.run(environment.iter().map(update).collect()).await);

        let set = server.get("sts/shop-env");
        assert_eq!(set["metadata"]["generation"], generation);
        assert_eq!(set["metadata"]["annotations"], json!({"claude-manager.io/display-name": "Shop"}), "{way:?}");
        let managers: Vec<&str> = set["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["manager"].as_str().unwrap())
            .collect();
        assert!(!managers.iter().any(|manager| manager.starts_with("kubectl")), "{managers:?}");
        assert_eq!(server.get("pod/shop-env-0")["metadata"]["uid"], pod);

        environment[0]["data"].as_object_mut().unwrap().remove("B");
        environment[2]["metadata"]["annotations"].as_object_mut().unwrap().clear();
        answers(server.apply(&environment).await);
        assert_eq!(server.get("configmap/shop-env-1")["data"], json!({"A": "1"}), "{way:?}");
        assert_eq!(server.get("sts/shop-env")["metadata"]["annotations"], Value::Null, "{way:?}");
        assert_eq!(server.get("pod/shop-env-0")["metadata"]["uid"], pod);
    }
}

#[tokio::test]
async fn a_deletion_hits_the_object_that_was_meant_and_no_successor() {
    let Some(server) = Server::start().await else { return };
    let environment = server.environment();
    let first = answers(server.apply(&environment[..1]).await);
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    let delete = |uid: String| action(&environment[0], Operation::Delete { uid });

    let outcome = server.run(vec![delete("00000000-0000-0000-0000-000000000000".to_owned())]).await.remove(0);
    assert_eq!(outcome.result.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(uid(&server.get("configmap/shop-env-1")), uid(&first[0]));

    let outcome = server.run(vec![delete(uid(&first[0]))]).await.remove(0);
    assert_eq!(outcome.result, Ok(Done::Deleted));
    // Gone already is as good.
    let outcome = server.run(vec![delete(uid(&first[0]))]).await.remove(0);
    assert_eq!(outcome.result, Ok(Done::Deleted));
}

#[tokio::test]
async fn one_refused_object_is_told_and_stops_no_other() {
    let Some(server) = Server::start().await else { return };
    let mut environment = server.environment();
    answers(server.apply(&environment).await);
    environment[0]["dato"] = json!({});
    environment[1]["spec"]["resources"]["requests"]["storage"] = json!("1Mi");
    environment[2]["spec"]["replicas"] = json!(0);
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": server.namespace},
                            "data": {"key": "not-base64-hunter2"}});
    secret["metadata"]["labels"] = json!({PROJECT_LABEL: "shop"});
    environment.push(secret);
    environment.push(json!({"apiVersion": "example.com/v1", "kind": "Nothing", "metadata": {"name": "x", "namespace": server.namespace}}));

    let results: Vec<_> = server.apply(&environment).await.into_iter().map(|outcome| outcome.result).collect();
    let error = |index: usize| results[index].as_ref().unwrap_err();
    assert!(error(0).to_string().contains(".dato"), "{}", error(0));
    assert_eq!(error(0).kind(), ErrorKind::Invalid, "{:?}", error(0));
    assert_eq!(error(1).code(), Some(422));
    assert!(error(1).hint().unwrap().contains("undo the change in Git"), "{}", error(1));
    assert!(results[2].is_ok(), "{:?}", results[2]);
    assert!(!error(3).to_string().contains("hunter2"), "{}", error(3));
    assert!(matches!(error(4), Error::UnknownKind { .. }), "{:?}", error(4));
    assert_eq!(server.get("sts/shop-env")["spec"]["replicas"], 0);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_changes_nothing() {
    let Some(server) = Server::start().await else { return };
    let environment = server.environment();
    let actions =
        environment.iter().map(|object| action(object, Operation::Create(Content::new(object.clone())))).collect();
    let plan = UnitPlan { unit: unit(), actions, held: Vec::new() };
    let outcomes =
        cluster::dry_run(&server.client, &server.kinds, &cluster::Pace::default(), &plan, &Cancel::never()).await;
    assert_eq!(answers(outcomes)[2]["spec"]["revisionHistoryLimit"], 10);
    let left = server.kubectl(&["get", "-n", &server.namespace, "sts,cm,pvc", "-l", PROJECT_LABEL, "-o", "name"], "");
    assert_eq!(left, "");
}

#[tokio::test]
async fn a_cancelled_plan_begins_nothing_more() {
    let Some(server) = Server::start().await else { return };
    let (canceller, cancel) = cluster::cancellation();
    canceller.cancel();
    let actions = server
        .environment()
        .iter()
        .map(|object| action(object, Operation::Create(Content::new(object.clone()))))
        .collect();
    let plan = UnitPlan { unit: unit(), actions, held: Vec::new() };
    for outcome in cluster::apply(&server.client, &server.kinds, &cluster::Pace::default(), &plan, &cancel).await {
        assert_eq!(outcome.result, Err(Error::Cancelled));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported_and_found_again() {
    let Some(server) = Server::start().await else { return };
    // A relay in front of the server that can be cut.
    let upstream = server.kubectl(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"], "");
    let upstream = upstream.trim_start_matches("https://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let file = server.kubeconfig_with(|config| {
        config["clusters"][0]["cluster"]["server"] = json!(format!("https://{address}"));
    });
    let client = client(file.path(), None).await;
    let error = cluster::version(&client).await.unwrap_err();
    assert_eq!(error, Error::Unreachable("connection refused".to_owned()));

    let observer = Observer::start(client, &server.namespace, []);
    let mut connection = observer.connection();
    let seen = within("the failure", connection.wait_for(|now| now.unreachable.is_some())).await.unwrap().clone();
    assert!(seen.unreachable.unwrap().contains("does not answer: connection refused"));
    assert!(!seen.synced);

    let relay = |listener: tokio::net::TcpListener| {
        let upstream = upstream.clone();
        tokio::spawn(async move {
            let mut pairs = tokio::task::JoinSet::new();
            while let Ok((mut here, _)) = listener.accept().await {
                let upstream = upstream.clone();
                pairs.spawn(async move {
                    let mut there = tokio::net::TcpStream::connect(upstream).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
            }
        })
    };
    let first = relay(tokio::net::TcpListener::bind(address).await.unwrap());
    within("the recovery", observer.synced()).await;
    assert_eq!(observer.connection().borrow().unreachable, None);
    answers(server.apply(&server.environment()[..1]).await);
    until(&observer, "an object", |seen| seen.contains_key("ConfigMap/shop-env-1")).await;

    first.abort();
    within("the cut", connection.wait_for(|now| now.unreachable.is_some())).await.unwrap();
    server.kubectl(&["delete", "-n", &server.namespace, "configmap", "shop-env-1"], "");
    relay(tokio::net::TcpListener::bind(address).await.unwrap());
    until(&observer, "the deletion that nobody told", |seen| seen.is_empty()).await;
    within("the recovery", connection.wait_for(|now| now.unreachable.is_none())).await.unwrap();
}

#[tokio::test]
async fn a_missing_right_for_one_kind_leaves_the_others_working() {
    let Some(server) = Server::start().await else { return };
    let n = &server.namespace;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r", "namespace": n}, "rules": [
        {"apiGroups": ["", "apps", "networking.k8s.io"], "verbs": ["*"],
         "resources": ["configmaps", "persistentvolumeclaims", "pods", "services", "serviceaccounts", "statefulsets", "networkpolicies"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r", "namespace": n},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": n}]});
    server.kubectl(&["apply", "-f", "-"], &format!("{role}\n---\n{binding}\n"));
    let token = eventually("the namespace's service account", || {
        let output = server.plane.kubectl(["create", "token", "default", "-n", n]);
        output.status.success().then(|| text_of(output))
    });
    let file = server.kubeconfig_with(|config| config["users"][0]["user"] = json!({"token": token.trim()}));
    let client = client(file.path(), None).await;

    let observer = Observer::start(client.clone(), n, []);
    within("first lists", observer.synced()).await;
    let connection = observer.connection().borrow().clone();
    assert_eq!(connection.unreachable, None);
    let refused: Vec<String> = connection.refused.keys().map(Kind::to_string).collect();
    assert_eq!(refused, ["Secret"]);
    let error = &connection.refused[&Kind::new("", "Secret")];
    assert_eq!((error.kind(), error.code()), (ErrorKind::Forbidden, Some(403)));

    let mut environment = server.environment();
    environment.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": n}}));
    let actions =
        environment.iter().map(|object| action(object, Operation::Create(Content::new(object.clone())))).collect();
    let plan = UnitPlan { unit: unit(), actions, held: Vec::new() };
    let outcomes =
        cluster::apply(&client, &Kinds::new(client.clone()), &cluster::Pace::default(), &plan, &Cancel::never()).await;
    let failed: Vec<_> =
        outcomes.iter().filter(|outcome| outcome.result.is_err()).map(|outcome| outcome.key.kind.clone()).collect();
    assert_eq!(failed, ["Secret"]);
    until(&observer, "the others", |seen| seen.len() >= 3).await;
}

/// What a quiet cluster costs: sixteen watches of objects and one of complaints, each renewed every few minutes, and nothing else.
#[tokio::test]
async fn a_quiet_cluster_is_asked_nothing() {
    let Some(server) = Server::start().await else { return };
    answers(server.apply(&server.environment()).await);
    let user = server.plane.user();
    let observer = Observer::start(client(&user.kubeconfig, None).await, &server.namespace, []);
    within("first lists", observer.synced()).await;
    until(&observer, "a ready pod", |seen| {
        seen.get("StatefulSet/shop-env").is_some_and(|set| set["status"]["readyReplicas"] == 1)
    })
    .await;
    let verbs = |requests: &[Request]| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        requests.iter().for_each(|request| *counts.entry(request.verb.clone()).or_default() += 1);
        counts
    };
    let expected = BTreeMap::from([("list".to_owned(), 9), ("watch".to_owned(), 9)]);
    // The log is written a moment later.
    eventually("the log of the beginning", || (verbs(&server.plane.requests(&user.name)) == expected).then_some(()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(verbs(&server.plane.requests(&user.name)), expected);
    drop(observer);
}
