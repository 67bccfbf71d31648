//! What the cluster has, for people: version, nodes, storage classes, quotas. Asked when somebody looks, never kept.
//!
//! What may not be read, or is not there, is told with the reason; the rest is given all the same.

use kube::Client;
use serde_json::Value;

use super::{Error, StorageClass, request};

/// More of a kind are counted only.
const SHOWN: usize = 100;

/// What the cluster has.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The version of the API server.
    pub version: Result<String, String>,
    /// The nodes, at most a hundred of them.
    pub nodes: Result<Vec<Node>, String>,
    /// The storage classes.
    pub storage_classes: Result<Vec<StorageClass>, String>,
    /// The quotas of the namespace.
    pub quotas: Result<Vec<Quota>, String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Whether new pods may go there.
    pub is_schedulable: bool,
    /// Its kubelet's version.
    pub version: String,
    /// CPU that pods can have, as in `4`.
    pub cpu: String,
    /// Memory that pods can have, as in `16Gi`.
    pub memory: String,
}

/// A quota: each resource with what is used and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its name.
    pub name: String,
    /// Resource, used, hard.
    pub resources: Vec<(String, String, String)>,
}

/// Asks what the cluster has. Four requests, at once.
pub async fn overview(client: &Client, namespace: &str) -> Overview {
    let quotas = format!("/api/v1/namespaces/{namespace}/resourcequotas?limit={SHOWN}");
    let nodes = format!("/api/v1/nodes?limit={SHOWN}");
    let (version, nodes, classes, quotas) = futures::join!(
        super::version(client),
        request::get(client, &nodes),
        super::storage_classes(client),
        request::get(client, &quotas),
    );
    Overview {
        version: version.map(|version| version.text).map_err(|error| why("the version", &error)),
        nodes: items(nodes, "nodes", node),
        storage_classes: classes.map_err(|error| why("storage classes", &error)),
        quotas: items(quotas, "resource quotas", quota),
    }
}

fn items<T>(answer: Result<Value, Error>, what: &str, read: fn(&Value) -> T) -> Result<Vec<T>, String> {
    let answer = answer.map_err(|error| why(what, &error))?;
    Ok(answer["items"].as_array().map(|items| items.iter().map(read).collect()).unwrap_or_default())
}

/// Why a part is missing, in a sentence.
fn why(what: &str, error: &Error) -> String {
    match error {
        Error::Api { code: 403, message, .. } => format!("this manager may not read {what}: {message}"),
        Error::Api { code: 404, .. } => format!("this cluster has no {what}"),
        error => format!("{what} could not be read: {error}"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn node(node: &Value) -> Node {
    let conditions = node["status"]["conditions"].as_array();
    let ready = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Ready"));
    Node {
        name: text(&node["metadata"]["name"]),
        is_ready: ready.is_some_and(|condition| condition["status"] == "True"),
        is_schedulable: node["spec"]["unschedulable"] != true,
        version: text(&node["status"]["nodeInfo"]["kubeletVersion"]),
        cpu: text(&node["status"]["allocatable"]["cpu"]),
        memory: text(&node["status"]["allocatable"]["memory"]),
    }
}

fn quota(quota: &Value) -> Quota {
    let used = &quota["status"]["used"];
    let hard = quota["status"]["hard"].as_object().or(quota["spec"]["hard"].as_object());
    let resources = hard.into_iter().flatten().map(|(name, hard)| {
        let used = used[name].as_str().unwrap_or("0").to_owned();
        (name.clone(), used, text(hard))
    });
    Quota { name: text(&quota["metadata"]["name"]), resources: resources.collect() }
}
