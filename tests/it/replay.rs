//! The same requests to the real API server and to the embedded one: the answers have to be equal.
//!
//! Deliberate differences, which [`normalized`] takes out of both answers before they are compared:
//! - uids, versions, times, cluster addresses, and the names of volumes: chosen anew by every cluster;
//! - `managedFields` of controllers: the embedded controllers own nothing, because nobody competes with them for a field;
//! - `status`: the real one comes later and step by step. What it settles at is compared where a test says so;
//! - `kubernetes.io/pvc-protection`: the real finalizer keeps a claim while a pod uses it. The embedded cluster deletes it
//!   at once, because its volumes are directories which the runtime keeps until the pod has ended;
//! - a log that is not refused: behind the real one is no kubelet that runs anything;
//! - the text behind `@@` in a refused change of a claim is a dump of the server's internal types.
//!
//! Differences that no step here can show: namespaces need not be made; a claim may grow without a class that allows it;
//! there are no quotas and admission rules; `volumeClaimTemplates` make no claims.

use std::path::Path;

use claude_manager::embedded;
use claude_manager::project::{MemoryFiles, RepoPath};
use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, eventually};

mod chance;

const OVERLAY: &str = "
namespace: NAMESPACE
resources: [../../base]
namePrefix: checkout-
labels: [{includeSelectors: true, pairs: {claude-manager.io/project: checkout}}]
images: [{name: claude-dev-env, newName: registry.example/claude-dev-env, newTag: '1.2'}]
configMapGenerator: [{name: env, behavior: merge, literals: ['GIT_REPOSITORY=https://git.example/team/checkout.git']}]
patches:
- patch: |-
    apiVersion: apps/v1
    kind: StatefulSet
    metadata: {name: env, annotations: {claude-manager.io/display-name: Checkout}}
    spec: {template: {spec: {volumes: [{name: project-secrets, secret: {secretName: checkout-secrets}}]}}}
";
const APPLY: &str = "application/apply-patch+yaml";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Both clusters, with a namespace of the same name.
struct Both {
    real: Client,
    embedded: Client,
    namespace: String,
    plane: &'static ControlPlane,
    _directory: tempfile::TempDir,
}

/// The answers of both to one request.
struct Answers {
    real: (u16, Value),
    embedded: (u16, Value),
}

impl Both {
    async fn start(volumes: usize) -> Option<Self> {
        let plane = ControlPlane::with_pods()?;
        let namespace = plane.namespace_at_level("replay", "privileged");
        if volumes > 0 {
            plane.volumes("", volumes);
        }
        let directory = tempfile::tempdir().unwrap();
        let embedded = embedded::Cluster::open(directory.path()).unwrap().client();
        Some(Self { real: plane.client().await, embedded, namespace, plane, _directory: directory })
    }

    /// Sends a request to both; `{ns}` in path and body is the namespace.
    async fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answers {
        let path = path.replace("{ns}", &self.namespace);
        let body = body.replace("{ns}", &self.namespace);
        let request = || {
            Request::builder()
                .method(method)
                .uri(&path)
                .header("content-type", content_type)
                .body(body.clone().into_bytes())
                .unwrap()
        };
        Answers { real: send(&self.real, request()).await, embedded: send(&self.embedded, request()).await }
    }

    /// Sends a request to both and compares the answers.
    async fn same(&self, what: &str, method: &str, path: &str, content_type: &str, body: &str) -> Answers {
        let answers = self.send(method, path, content_type, body).await;
        assert_eq!(
            answers.real.0, answers.embedded.0,
            "{what}: HTTP status of\n{:#}\n{:#}",
            answers.real.1, answers.embedded.1
        );
        equal(what, &answers.real.1, &answers.embedded.1);
        answers
    }

    async fn apply(&self, what: &str, object: &Value) -> Answers {
        self.apply_as(what, "claude-manager", true, object).await
    }

    async fn apply_as(&self, what: &str, manager: &str, force: bool, object: &Value) -> Answers {
        let query = format!("?fieldManager={manager}&force={force}&fieldValidation=Strict");
        self.same(what, "PATCH", &format!("{}{query}", path_of(object)), APPLY, &object.to_string()).await
    }

    async fn get(&self, what: &str, object: &Value) -> Answers {
        self.same(what, "GET", &path_of(object), "", "").await
    }

    async fn delete(&self, what: &str, object: &Value) -> Answers {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        self.same(what, "DELETE", &path_of(object), "application/json", &options.to_string()).await
    }

    /// The objects of one project as the template makes it, with its Secret.
    fn environment(&self) -> Vec<Value> {
        let path = |text: &str| RepoPath::parse(text).unwrap();
        let mut files = MemoryFiles::default();
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("kustomize/base");
        for entry in std::fs::read_dir(base).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            files.insert(path(&format!("base/{name}")), std::fs::read(entry.path()).unwrap());
        }
        let overlay = OVERLAY.replace("NAMESPACE", &self.namespace);
        files.insert(path("projects/checkout/kustomization.yaml"), overlay);
        let build = kustomize::build(&files, &path("projects/checkout")).unwrap();
        let mut objects: Vec<Value> = build.objects.into_iter().map(|object| object.value).collect();
        objects.push(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "checkout-secrets", "namespace": self.namespace,
                         "labels": {"claude-manager.io/project": "checkout"}},
            "data": {"anthropic-api-key": "c2stYW50LTE="},
        }));
        objects
    }
}

impl Answers {
    fn version(&self) -> (Value, Value) {
        let version = |value: &Value| value["metadata"]["resourceVersion"].clone();
        (version(&self.real.1), version(&self.embedded.1))
    }
}

async fn send(client: &Client, request: Request<Vec<u8>>) -> (u16, Value) {
    let response = client.send(request.map(Into::into)).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn path_of(object: &Value) -> String {
    let api_version = object["apiVersion"].as_str().unwrap();
    let root = if api_version.contains('/') { "/apis" } else { "/api" };
    let plural = match object["kind"].as_str().unwrap() {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    let metadata = &object["metadata"];
    format!(
        "{root}/{api_version}/namespaces/{}/{plural}/{}",
        metadata["namespace"].as_str().unwrap(),
        metadata["name"].as_str().unwrap()
    )
}

/// An answer without what has to differ; the module's text has the reasons.
fn normalized(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if !answer.is_object() {
        return answer;
    }
    if answer["kind"] == "Status" {
        if let Some(details) = answer["details"].as_object_mut() {
            details.remove("uid");
        }
        shorten(&mut answer);
        return answer;
    }
    if let Some(items) = answer["items"].as_array() {
        answer["items"] = items.iter().map(normalized).collect();
        answer["metadata"] = json!({});
        return answer;
    }
    if let Some(fields) = answer.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = answer["metadata"].as_object_mut() {
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "finalizers",
        ] {
            metadata.remove(field);
        }
        if let Some(Value::Array(entries)) = metadata.get_mut("managedFields") {
            entries.retain(|entry| entry["operation"] == "Apply" || entry["manager"] == "a-person");
            for entry in entries.iter_mut() {
                entry["time"] = Value::Null;
            }
            entries.sort_by_key(|entry| entry["manager"].as_str().map(str::to_owned));
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|name, _| !name.starts_with("pv.kubernetes.io/"));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    if let Some(spec) = answer["spec"].as_object_mut() {
        spec.remove("volumeName");
        if spec.get("clusterIP").is_some_and(|address| address != "None") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
    }
    answer
}

/// Cuts dumps and uids out of messages.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((before, _)) = text.split_once("\n@@") {
                *text = before.to_owned();
            }
            if let Some((before, rest)) = text.split_once("UID in record (")
                && let Some((_, after)) = rest.split_once(')')
            {
                *text = format!("{before}UID in record (…){after}");
            }
        }
        Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| shorten(value)),
        Value::Array(items) => items.iter_mut().for_each(shorten),
        _ => {}
    }
}

fn equal(what: &str, real: &Value, embedded: &Value) {
    let (real, embedded) = (normalized(real), normalized(embedded));
    if real != embedded {
        let (real, embedded) = (format!("{real:#}"), format!("{embedded:#}"));
        let diff = similar::TextDiff::from_lines(&real, &embedded);
        panic!("{what}: - real, + embedded\n{}", diff.unified_diff());
    }
}

#[tokio::test]
async fn an_environment_lives_the_same_life_in_both() {
    let Some(both) = Both::start(2).await else { return };
    let mut environment = both.environment();
    for object in &environment {
        let what = format!("create {}", object["kind"]);
        let answers = both.apply(&what, object).await;
        assert_eq!(answers.real.0, 201, "{what}");
    }
    both.settled(1).await;
    for object in &environment {
        both.get(&format!("get {}", object["kind"]), object).await;
    }
    for path in [
        "/apis/apps/v1/namespaces/{ns}/statefulsets?labelSelector=claude-manager.io%2Fproject",
        "/api/v1/namespaces/{ns}/services?labelSelector=claude-manager.io%2Fproject%3Dcheckout",
        "/api/v1/namespaces/{ns}/secrets?labelSelector=claude-manager.io%2Fproject%21%3Dcheckout",
        "/api/v1/namespaces/{ns}/services?labelSelector=%21claude-manager.io%2Fproject",
        "/api/v1/namespaces/{ns}/secrets?fieldSelector=metadata.name%3Dcheckout-secrets",
        "/api/v1/namespaces/{ns}/secrets?fieldSelector=metadata.name%3Dnothing",
    ] {
        both.same(path, "GET", path, "", "").await;
    }

    // A second apply of the same changes nothing.
    for object in environment.clone() {
        let what = format!("apply {} again", object["kind"]);
        let before = both.get(&what, &object).await.version();
        assert_eq!(both.apply(&what, &object).await.version(), before, "{what}");
    }

    let index = |kind: &str| environment.iter().position(|object| object["kind"] == kind).unwrap();
    let (set, config, service) = (index("StatefulSet"), index("ConfigMap"), index("Service"));
    environment[set]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example/claude-dev-env:2");
    both.apply("another image", &environment[set]).await;
    both.settled(1).await;
    environment[set]["spec"]["replicas"] = json!(0);
    both.apply("stopped", &environment[set]).await;
    both.settled(0).await;
    environment[set]["spec"]["replicas"] = json!(1);
    both.apply("started", &environment[set]).await;
    both.settled(1).await;

    environment[config]["data"].as_object_mut().unwrap().remove("GIT_TERMINAL_PROMPT");
    both.apply("a key less", &environment[config]).await;
    environment[set]["metadata"].as_object_mut().unwrap().remove("annotations");
    both.apply("no annotations", &environment[set]).await;
    let container = environment[set].pointer_mut("/spec/template/spec/containers/0").unwrap();
    container.as_object_mut().unwrap().remove("resources");
    container["env"] = json!([{"name": "B", "value": "1"}, {"name": "A", "value": ""}]);
    container["ports"] = json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]);
    both.apply("a container's fields less and more", &environment[set]).await;
    environment[set].pointer_mut("/spec/template/spec/containers").unwrap().as_array_mut().unwrap().remove(1);
    both.apply("a container less", &environment[set]).await;
    environment[set].pointer_mut("/spec/template/spec/securityContext").unwrap().take();
    both.apply("a whole struct less", &environment[set]).await;
    let container = environment[set].pointer_mut("/spec/template/spec/containers/0").unwrap();
    container["resources"] =
        json!({"requests": {"cpu": "0.5", "memory": "1024Mi"}, "limits": {"cpu": 2, "memory": "1.5Gi"}});
    container["env"] =
        json!([{"name": "A", "value": "2"}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    container["livenessProbe"] = json!({"httpGet": {"port": "ide"}});
    both.apply("amounts in other forms, references and probes", &environment[set]).await;
    environment[service]["spec"]["ports"] =
        json!([{"name": "a", "port": 1}, {"name": "b", "port": 2, "targetPort": 3}]);
    both.apply("other ports", &environment[service]).await;
    both.settled(1).await;

    for object in environment.iter().rev() {
        both.delete(&format!("delete {}", object["kind"]), object).await;
    }
    both.delete("delete once more", &environment[config]).await;
    both.get("get what is gone", &environment[config]).await;
}

impl Both {
    /// Waits until the real controllers are done, and compares what they have come to.
    async fn settled(&self, replicas: u64) {
        let ready = |set: &Value| {
            let status = &set["status"];
            status["observedGeneration"] == set["metadata"]["generation"]
                && status["replicas"] == replicas
                && status["updateRevision"] == status["currentRevision"]
                && (replicas == 0 || status["updatedReplicas"] == replicas)
        };
        let set = eventually("the StatefulSet to settle", || {
            self.plane.object(&self.namespace, "statefulset", "checkout-env").filter(ready)
        });
        eventually("claims to be bound", || {
            let claims = self.plane.objects(&self.namespace, "persistentvolumeclaim");
            claims.iter().all(|claim| claim["status"]["phase"] == "Bound").then_some(())
        });
        let (_, embedded) = send(&self.embedded, Request::get(path_of(&set)).body(Vec::new()).unwrap()).await;
        assert!(ready(&embedded), "{:#}", embedded["status"]);
        let pods =
            format!("/api/v1/namespaces/{}/pods?labelSelector=claude-manager.io%2Fproject%3Dcheckout", self.namespace);
        let (_, pods) = send(&self.embedded, Request::get(pods).body(Vec::new()).unwrap()).await;
        assert_eq!(pods["items"].as_array().unwrap().len() as u64, replicas);
    }
}

#[tokio::test]
async fn fields_have_the_same_owners_in_both() {
    let Some(both) = Both::start(0).await else { return };
    let config = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": both.namespace}, "data": data});
    both.apply_as("one", "one", true, &config(json!({"a": "1", "b": "1", "c": "1"}))).await;
    both.apply_as("two shares a value", "two", false, &config(json!({"a": "1"}))).await;
    both.apply_as("two clashes", "two", false, &config(json!({"a": "2", "b": "2"}))).await;
    both.apply_as("two takes by force", "two", true, &config(json!({"a": "2", "d": "2"}))).await;
    both.apply_as("one lets go", "one", true, &config(json!({"c": "1"}))).await;
    both.apply_as("two lets go", "two", true, &config(json!({}))).await;
    let path = "/api/v1/namespaces/{ns}/configmaps/c?fieldManager=a-person";
    both.same(
        "a merge patch",
        "PATCH",
        path,
        MERGE_PATCH,
        r#"{"data":{"c":"3","e":"3"},"metadata":{"labels":{"x":"y"}}}"#,
    )
    .await;
    both.apply_as("one clashes with a person", "one", false, &config(json!({"c": "1"}))).await;
    both.apply_as("one takes it back", "one", true, &config(json!({"c": "1"}))).await;
    both.same("a JSON patch", "PATCH", path, JSON_PATCH, r#"[{"op":"remove","path":"/data/e"}]"#).await;
    both.same(
        "a patch that does not fit",
        "PATCH",
        path,
        JSON_PATCH,
        r#"[{"op":"test","path":"/data/c","value":"9"}]"#,
    )
    .await;
    let stale = r#"[{"op":"replace","path":"/metadata/resourceVersion","value":"1"}]"#;
    both.same("a patch of the past", "PATCH", path, JSON_PATCH, stale).await;
    both.same("strategic", "PATCH", path, "application/unknown", "{}").await;
}

/// After a restore by hand everything belongs to kubectl.
#[tokio::test]
async fn kubectl_is_taken_over_the_same_way_in_both() {
    let Some(both) = Both::start(2).await else { return };
    let environment = both.environment();
    for object in &environment {
        both.apply_as(&format!("kubectl makes {}", object["kind"]), "kubectl", false, object).await;
    }
    both.settled(1).await;
    for client in [&both.real, &both.embedded] {
        use claude_manager::cluster;
        use claude_manager::plan::{Action, Content, Operation, UnitPlan};
        let actions = environment.iter().map(|object| {
            let api_version = object["apiVersion"].as_str().unwrap().to_owned();
            let key = claude_manager::project::ObjectKey::new(
                api_version.split_once('/').map_or("", |(group, _)| group),
                object["kind"].as_str().unwrap(),
                Some(both.namespace.as_str()),
                object["metadata"]["name"].as_str().unwrap(),
            );
            let operation = Operation::Update { object: Content::new(object.clone()), take_over: true };
            Action { key, api_version, stage: 0, operation, reason: String::new(), changes: Vec::new() }
        });
        let unit = claude_manager::project::Unit::Base;
        let plan = UnitPlan { unit, actions: actions.collect(), held: Vec::new() };
        let kinds = cluster::Kinds::new(client.clone());
        for outcome in cluster::apply(client, &kinds, &cluster::Pace::default(), &plan, &cluster::Cancel::never()).await
        {
            assert!(outcome.result.is_ok(), "{}: {:?}", outcome.key, outcome.result);
        }
    }
    for object in &environment {
        let answers = both.get(&format!("{} after the takeover", object["kind"]), object).await;
        let managers = answers.embedded.1["metadata"]["managedFields"].to_string();
        assert!(managers.contains("claude-manager") && !managers.contains("\"kubectl\""), "{managers}");
        assert!(answers.embedded.1["metadata"]["generation"].as_u64().is_none_or(|generation| generation == 1));
    }
}

#[tokio::test]
async fn what_one_refuses_the_other_refuses_in_the_same_words() {
    let Some(both) = Both::start(2).await else { return };
    let environment = both.environment();
    for object in &environment {
        both.apply("create", object).await;
    }
    both.settled(1).await;
    let find = |kind: &str| environment.iter().find(|object| object["kind"] == kind).unwrap().clone();
    let (set, claim, config, service, secret) =
        (find("StatefulSet"), find("PersistentVolumeClaim"), find("ConfigMap"), find("Service"), find("Secret"));
    let changed = |object: &Value, pointer: &str, value: Value| {
        let mut object = object.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = value;
        object
    };
    for (what, object) in [
        ("an unknown field", changed(&config, "/dato", json!({"a": "b"}))),
        ("unknown fields deep below", changed(&set, "/spec/template/spec/containers/0/imag", json!("x"))),
        ("a number for a text", changed(&config, "/data", json!({"a": 1}))),
        ("a text for a number", changed(&set, "/spec/replicas", json!("one"))),
        ("a map for a list", changed(&set, "/spec/template/spec/containers", json!({"name": "a"}))),
        ("an item without its key", changed(&set, "/spec/template/spec/volumes", json!([{"emptyDir": {}}]))),
        ("an item twice", changed(&set, "/spec/template/spec/volumes", json!([{"name": "tmp"}, {"name": "tmp"}]))),
        ("another selector", changed(&set, "/spec/selector", json!({"matchLabels": {"x": "y"}}))),
        ("another service name", changed(&set, "/spec/serviceName", json!("other"))),
        ("a negative number", changed(&set, "/spec/replicas", json!(-1))),
        (
            "a mount of no volume",
            changed(
                &set,
                "/spec/template/spec/containers/0/volumeMounts",
                json!([{"name": "nothing", "mountPath": "/x"}]),
            ),
        ),
        ("no image", changed(&set, "/spec/template/spec/containers/0/image", json!(""))),
        ("a smaller claim", changed(&claim, "/spec/resources/requests/storage", json!("1Gi"))),
        ("another access mode", changed(&claim, "/spec/accessModes", json!(["ReadWriteMany"]))),
        ("another address", changed(&service, "/spec/clusterIP", json!("10.0.0.9"))),
        ("no base64", changed(&secret, "/data", json!({"a": "_"}))),
        ("another type of Secret", changed(&secret, "/type", json!("example.com/other"))),
    ] {
        let answers = both.apply(what, &object).await;
        assert!(answers.embedded.0 >= 400, "{what}");
    }
    both.apply("a first class", &changed(&claim, "/spec/storageClassName", json!("fast"))).await;
    both.apply("another class", &changed(&claim, "/spec/storageClassName", json!("slow"))).await;
    let configs = "/api/v1/namespaces/{ns}/configmaps";
    for (what, name, body) in [
        ("another name", "a", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b"}}"#),
        ("another kind", "a", r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#),
        (
            "another namespace",
            "a",
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"other"}}"#,
        ),
        ("a bad name", "A_b", r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"A_b"}}"#),
    ] {
        both.same(what, "PATCH", &format!("{configs}/{name}?fieldManager=m&force=true"), APPLY, body).await;
    }
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}"#;
    both.same("nobody applies", "PATCH", &format!("{configs}/a?force=true"), APPLY, body).await;
    for name in ["a.b", "-a", "1a"] {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": both.namespace},
                             "spec": {"ports": [{"port": 1}]}});
        both.apply("a service's name", &service).await;
    }
    both.same("no such kind", "GET", "/api/v1/namespaces/{ns}/nothings", "", "").await;
    both.same("no such group", "GET", "/apis/none.example/v1/namespaces/{ns}/nothings", "", "").await;
    both.same("no such group at all", "GET", "/apis/none.example", "", "").await;
    both.same("a group", "GET", "/apis/apps", "", "").await;
    let meant = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "0"}}).to_string();
    for object in [&config, &set, &claim, &service] {
        both.same("delete another", "DELETE", &path_of(object), "application/json", &meant).await;
    }
}

#[tokio::test]
async fn requests_for_logs_are_refused_in_the_same_words_in_both() {
    let Some(both) = Both::start(2).await else { return };
    for object in &both.environment() {
        both.apply("create", object).await;
    }
    both.settled(1).await;
    let log = "/api/v1/namespaces/{ns}/pods/checkout-env-0/log";
    for (what, path, code) in [
        ("no such pod", "/api/v1/namespaces/{ns}/pods/nobody/log".to_owned(), 404),
        ("no container named", log.to_owned(), 400),
        ("no such container", format!("{log}?container=nobody"), 400),
        ("no number", format!("{log}?container=agent&tailLines=many"), 400),
        ("no whole number", format!("{log}?container=agent&sinceSeconds=1.5"), 400),
        ("too large a number", format!("{log}?container=agent&limitBytes=99999999999999999999"), 400),
        ("a negative number", format!("{log}?container=agent&tailLines=-1"), 422),
        ("no bytes", format!("{log}?container=agent&limitBytes=0"), 422),
        ("no seconds", format!("{log}?container=agent&sinceSeconds=0"), 422),
        ("everything wrong", format!("{log}?container=agent&tailLines=-1&limitBytes=-1&sinceSeconds=-1"), 422),
        ("two times", format!("{log}?container=agent&sinceSeconds=1&sinceTime=2026-11-24T00:00:00Z"), 422),
        ("no time", format!("{log}?container=agent&sinceTime=yesterday"), 400),
    ] {
        let answers = both.same(what, "GET", &path, "", "").await;
        assert_eq!(answers.real.0, code, "{what}: {:#}", answers.real.1);
    }
    for method in ["DELETE", "PATCH"] {
        both.same(method, method, &format!("{log}?container=agent"), MERGE_PATCH, "{}").await;
    }
}

#[tokio::test]
async fn a_dry_run_says_the_same_in_both_and_leaves_nothing() {
    let Some(both) = Both::start(0).await else { return };
    for object in both.environment() {
        let query = "?fieldManager=m&force=true&dryRun=All";
        let what = format!("dry {}", object["kind"]);
        let answers =
            both.same(&what, "PATCH", &format!("{}{query}", path_of(&object)), APPLY, &object.to_string()).await;
        assert_eq!(answers.embedded.0, 201);
        assert_eq!(both.get("nothing is left", &object).await.embedded.0, 404);
    }
}

#[tokio::test]
async fn watches_tell_the_same_story_in_both() {
    let Some(both) = Both::start(0).await else { return };
    let config = |data: &str, label: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"name": "c", "namespace": both.namespace, "labels": {"t": label}}, "data": {"a": data}})
    };
    let list = both.send("GET", "/api/v1/namespaces/{ns}/configmaps?labelSelector=t%3D1", "", "").await;
    let (real, embedded) = list.version();
    both.apply("not selected", &config("1", "0")).await;
    both.apply("selected", &config("1", "1")).await;
    both.apply("changed", &config("2", "1")).await;
    both.apply("not changed", &config("2", "1")).await;
    both.apply("no longer selected", &config("2", "0")).await;
    both.apply("selected again", &config("3", "1")).await;
    both.delete("deleted", &config("3", "1")).await;
    let mut stories = Vec::new();
    for (client, version) in [(&both.real, real), (&both.embedded, embedded)] {
        let path = format!(
            "/api/v1/namespaces/{}/configmaps?labelSelector=t%3D1&watch=1&resourceVersion={}&timeoutSeconds=2",
            both.namespace,
            version.as_str().unwrap()
        );
        let request = Request::get(path).body(Vec::new()).unwrap();
        let response = client.send(request.map(Into::into)).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let events: Vec<Value> = text
            .lines()
            .map(|line| {
                let event: Value = serde_json::from_str(line).unwrap();
                json!({"type": event["type"], "object": normalized(&event["object"])})
            })
            .collect();
        stories.push(events);
    }
    let types: Vec<&str> = stories[0].iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]);
    for (real, embedded) in stories[0].iter().zip(&stories[1]) {
        assert_eq!(real["type"], embedded["type"]);
        equal("an event", &real["object"], &embedded["object"]);
    }
    assert_eq!(stories[0].len(), stories[1].len());
}
