//! What controllers say of an object: read only when somebody needs to know, never watched.

use kube::Client;
use serde_json::Value;

use super::{Error, request};

/// Why the newest try to make a pod for a StatefulSet was refused (a quota, an admission rule); `None` when no event says
/// so. Events expire after an hour, and a cluster may keep none.
///
/// # Errors
/// [`Error`] when the events cannot be read.
pub async fn pod_refusal(client: &Client, namespace: &str, name: &str) -> Result<Option<String>, Error> {
    let path = format!(
        "/api/v1/namespaces/{namespace}/events?fieldSelector=reason%3DFailedCreate%2C\
         involvedObject.kind%3DStatefulSet%2CinvolvedObject.name%3D{name}"
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
    let events = list["items"].as_array().into_iter().flatten();
    Ok(events.max_by_key(newest).and_then(|event| event["message"].as_str()).map(str::to_owned))
}
