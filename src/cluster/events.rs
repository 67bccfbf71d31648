//! What the manager says of an object, for those who look at the cluster.

use kube::Client;
use serde_json::json;

use super::{Error, request};
use crate::project::{FIELD_MANAGER, ObjectKey};

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
    request::fetch(client, request).await.map(drop)
}
