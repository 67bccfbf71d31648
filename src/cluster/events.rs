//! What controllers say of an object: read only when somebody needs to know, never watched. And what the manager says.

use kube::Client;
use serde_json::{Value, json};

use super::{Error, request};
use crate::project::{FIELD_MANAGER, ObjectKey};

/// Why the newest try to make a pod for a StatefulSet was refused (a quota, an admission rule); `None` when no event says
/// so. Events expire after an hour, and a cluster may keep none.
///
/// # Errors
/// [`Error`] when the events cannot be read.
pub async fn pod_refusal(client: &Client, namespace: &str, name: &str) -> Result<Option<String>, Error> {
    newest(client, namespace, "StatefulSet", name, &["FailedCreate"]).await
}

/// Why a volume claim is not bound, as far as an event says so.
///
/// # Errors
/// [`Error`] when the events cannot be read.
pub async fn volume_refusal(client: &Client, namespace: &str, name: &str) -> Result<Option<String>, Error> {
    let reasons = ["ProvisioningFailed", "FailedBinding", "VolumeResizeFailed"];
    newest(client, namespace, "PersistentVolumeClaim", name, &reasons).await
}

/// What the newest event with one of these reasons says of an object.
async fn newest(
    client: &Client,
    namespace: &str,
    kind: &str,
    name: &str,
    reasons: &[&str],
) -> Result<Option<String>, Error> {
    let path = format!(
        "/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.kind%3D{kind}%2CinvolvedObject.name%3D{name}"
    );
    let list = match request::get(client, &path).await {
        Ok(list) => list,
        // The embedded cluster has no events, and nothing in it refuses pods.
        Err(Error::Api { code: 404, .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let newest = |event: &&Value| {
        let times = ["/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
        times.iter().find_map(|time| event.pointer(time)?.as_str().map(str::to_owned))
    };
    let told = |event: &&Value| event["reason"].as_str().is_some_and(|reason| reasons.contains(&reason));
    let events = list["items"].as_array().into_iter().flatten().filter(told);
    Ok(events.max_by_key(newest).and_then(|event| event["message"].as_str()).map(str::to_owned))
}

/// Something that those who look at an object should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The object that it is about.
    pub object: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Whether something is wrong.
    pub warning: bool,
    /// One word.
    pub reason: String,
    /// The sentence.
    pub message: String,
}

/// Writes an event about an object.
///
/// # Errors
/// [`Error`] when the API server does not take it; an account may lack the right.
pub async fn announce(client: &Client, announcement: &Announcement) -> Result<(), Error> {
    let namespace = announcement.object.namespace.as_deref().unwrap_or("default");
    let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string();
    let group = &announcement.object.group;
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        // As long as a name may be, and never twice the same.
        "metadata": {"generateName": format!("{:.40}.", announcement.object.name), "namespace": namespace},
        "involvedObject": {
            "apiVersion": if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") },
            "kind": announcement.object.kind,
            "namespace": namespace,
            "name": announcement.object.name,
            "uid": announcement.uid,
        },
        "type": if announcement.warning { "Warning" } else { "Normal" },
        "reason": announcement.reason,
        "message": announcement.message.chars().take(1000).collect::<String>(),
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    });
    let request = http::Request::post(format!("/api/v1/namespaces/{namespace}/events"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(event.to_string().into_bytes())
        .map_err(|error| Error::Answer(error.to_string()))?;
    request::send(client, request).await.map(drop)
}
