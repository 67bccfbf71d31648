//! What happens in the cluster, told as changes: one list, then a watch, for each kind that the runtime looks at.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use kube::Client;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::mpsc;

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Claim,
    ConfigMap,
    Pod,
    Secret,
}

impl Kind {
    /// All, in the order in which they are told at the beginning.
    pub(super) const ALL: [Self; 4] = [Self::ConfigMap, Self::Secret, Self::Claim, Self::Pod];

    fn plural(self) -> &'static str {
        match self {
            Self::Claim => "persistentvolumeclaims",
            Self::ConfigMap => "configmaps",
            Self::Pod => "pods",
            Self::Secret => "secrets",
        }
    }
}

/// What happened.
#[derive(Debug)]
pub(super) enum Change {
    /// An object is there, or is different.
    Set(Kind, Value),
    /// An object is gone, as it was last.
    Gone(Kind, Value),
    /// All that was there at the beginning is told.
    Listed,
}

/// Tells the changes of a kind for ever; ends with the receiver.
pub(super) async fn follow(client: Client, kind: Kind, changes: mpsc::Sender<Change>) {
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    let mut position = None;
    let mut listed = false;
    loop {
        let result = match &position {
            None => list(&client, kind, &mut known, &changes).await.map(|version| {
                position = Some(version);
            }),
            Some(_) => watch(&client, kind, &mut known, &mut position, &changes).await,
        };
        if changes.is_closed() {
            return;
        }
        if position.is_some() && !listed {
            listed = true;
            let _ = changes.send(Change::Listed).await;
        }
        if let Err(error) = result {
            tracing::warn!(kind = kind.plural(), %error, "the embedded cluster does not tell its changes; asking again");
            position = None;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn list(
    client: &Client,
    kind: Kind,
    known: &mut BTreeMap<String, Value>,
    changes: &mpsc::Sender<Change>,
) -> kube::Result<String> {
    let answer: Value = client.request(request(format!("/api/v1/{}", kind.plural()))?).await?;
    let mut now = BTreeMap::new();
    for item in answer["items"].as_array().into_iter().flatten() {
        now.insert(uid(item), item.clone());
    }
    // First what is gone: something of the same name may have come after it.
    for (uid, last) in std::mem::take(known) {
        if !now.contains_key(&uid) {
            let _ = changes.send(Change::Gone(kind, last)).await;
        }
    }
    for (uid, item) in now {
        known.insert(uid, identity(&item));
        let _ = changes.send(Change::Set(kind, item)).await;
    }
    Ok(answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned())
}

async fn watch(
    client: &Client,
    kind: Kind,
    known: &mut BTreeMap<String, Value>,
    position: &mut Option<String>,
    changes: &mpsc::Sender<Change>,
) -> kube::Result<()> {
    let from = position.clone().unwrap_or_default();
    let uri = format!(
        "/api/v1/{}?watch=1&allowWatchBookmarks=true&timeoutSeconds=86400&resourceVersion={from}",
        kind.plural()
    );
    let mut events = client.request_events::<Value>(request(uri)?).await?.boxed();
    while let Some(event) = events.next().await {
        match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                *position = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                known.insert(uid(&object), identity(&object));
                let _ = changes.send(Change::Set(kind, object)).await;
            }
            WatchEvent::Deleted(object) => {
                *position = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
                known.remove(&uid(&object));
                let _ = changes.send(Change::Gone(kind, object)).await;
            }
            WatchEvent::Bookmark(bookmark) => *position = Some(bookmark.metadata.resource_version),
            // Forgotten versions among them: a new list tells all.
            WatchEvent::Error(_) => {
                *position = None;
                return Ok(());
            }
        }
        if changes.is_closed() {
            break;
        }
    }
    Ok(())
}

/// What tells of which object it is; the rest is not remembered twice.
fn identity(object: &Value) -> Value {
    let metadata = &object["metadata"];
    serde_json::json!({
        "metadata": {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
    })
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn request(uri: String) -> kube::Result<http::Request<Vec<u8>>> {
    http::Request::get(uri).body(Vec::new()).map_err(kube::Error::HttpError)
}
