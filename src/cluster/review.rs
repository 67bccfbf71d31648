//! What this identity may do in the cluster, and what the cluster has: asked when somebody wants to know, never kept.

use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::{Error, request};

/// One thing that the manager does in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, or `resource/subresource`.
    pub resource: &'static str,
    /// The verbs.
    pub verbs: &'static [&'static str],
}

const WRITTEN: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// Everything that is asked of the API server for environments as the base makes them. A project that adds other kinds
/// needs the same for those.
pub const RIGHTS: &[Right] = &[
    Right { group: "", resource: "configmaps", verbs: WRITTEN },
    Right { group: "", resource: "persistentvolumeclaims", verbs: WRITTEN },
    Right { group: "", resource: "secrets", verbs: WRITTEN },
    Right { group: "", resource: "services", verbs: WRITTEN },
    Right { group: "", resource: "serviceaccounts", verbs: WRITTEN },
    Right { group: "apps", resource: "statefulsets", verbs: WRITTEN },
    Right { group: "networking.k8s.io", resource: "networkpolicies", verbs: WRITTEN },
    Right { group: "", resource: "pods", verbs: &["list", "watch", "delete"] },
    Right { group: "", resource: "pods/log", verbs: &["get"] },
    // A WebSocket is opened by GET, and since Kubernetes 1.35 `create` is asked for as well.
    Right { group: "", resource: "pods/portforward", verbs: &["create", "get"] },
    Right { group: "", resource: "resourcequotas", verbs: &["list"] },
    Right { group: "", resource: "events", verbs: &["create", "list", "watch"] },
];

/// Whether this identity may do `verb` (SelfSubjectAccessReview, which stores nothing).
///
/// # Errors
/// [`Error`] when the API server does not answer the question.
pub async fn may(client: &Client, namespace: &str, right: &Right, verb: &str) -> Result<bool, Error> {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "namespace": namespace,
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
            "verb": verb,
        }},
    });
    let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes())
        .map_err(|error| Error::Answer(error.to_string()))?;
    let answer: Value = request::read(&request::fetch(client, request).await?)?;
    answer["status"]["allowed"].as_bool().ok_or_else(|| Error::Answer("an access review without an answer".to_owned()))
}

/// A storage class, as far as volumes of environments depend on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageClass {
    /// Its name.
    pub name: String,
    /// Whether claims without a class get it.
    pub default: bool,
    /// Whether its volumes can grow.
    pub expandable: bool,
}

/// The cluster's storage classes, by name.
///
/// # Errors
/// [`Error`] when they cannot be read.
pub async fn storage_classes(client: &Client) -> Result<Vec<StorageClass>, Error> {
    let list = request::get(client, "/apis/storage.k8s.io/v1/storageclasses").await?;
    let read = |class: &Value| {
        let annotation = &class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"];
        StorageClass {
            name: class["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            default: annotation == "true",
            expandable: class["allowVolumeExpansion"] == true,
        }
    };
    Ok(list["items"].as_array().into_iter().flatten().map(read).collect())
}

/// The Pod Security level that a namespace enforces; empty when none is set.
///
/// # Errors
/// [`Error`] with code 404 when there is no such namespace.
pub async fn enforced_level(client: &Client, namespace: &str) -> Result<String, Error> {
    let found = request::get(client, &format!("/api/v1/namespaces/{namespace}")).await?;
    Ok(found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].as_str().unwrap_or_default().to_owned())
}

/// The time of the API server's clock, to the second, as its answers carry it; `None` where a proxy leaves it out.
///
/// # Errors
/// [`Error`] when it does not answer.
pub async fn clock(client: &Client) -> Result<Option<jiff::Timestamp>, Error> {
    let request = Request::get("/version").body(Vec::new()).map_err(|error| Error::Answer(error.to_string()))?;
    let response = client.send(request.map(Into::into)).await.map_err(|error| Error::from_client(&error))?;
    let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp()))
}
