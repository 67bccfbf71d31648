//! An object that was seen: first only so much of it that it can be told whether the rest is news, then made ready to be kept.

use std::hash::{BuildHasher as _, Hash, Hasher, RandomState};

use serde::Deserialize;
use serde_json::Value;

use crate::cluster::kinds::Resource;
use crate::plan::{Live, Packed, Packer};
use crate::project::{ObjectKey, Unit};

/// What is read of an object to find out whether the rest is news: most of what is told is known already, as the answer to
/// a write of ours.
#[derive(Debug)]
pub(in crate::cluster) struct Head {
    pub(super) key: ObjectKey,
    pub(super) version: Box<str>,
}

impl Head {
    /// Reads the head of an object's JSON; lists leave `apiVersion` and `kind` of their items, a `resource`, out.
    pub(in crate::cluster) fn read(text: &str, resource: Option<&Resource>) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Object {
            api_version: Option<String>,
            kind: Option<String>,
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            namespace: Option<String>,
            name: String,
            #[serde(default)]
            resource_version: Box<str>,
        }
        let object: Object = serde_json::from_str(text).ok()?;
        let api_version = object.api_version.or_else(|| Some(resource?.api_version()))?;
        let key = ObjectKey {
            group: api_version.split_once('/').map_or("", |(group, _)| group).to_owned(),
            kind: object.kind.or_else(|| Some(resource?.kind.clone()))?,
            namespace: object.metadata.namespace,
            name: object.metadata.name,
        };
        Some(Self { key, version: object.metadata.resource_version })
    }

    /// The resource version; empty where the object has none.
    pub(in crate::cluster) fn version(&self) -> &str {
        &self.version
    }

    /// The resource version as a number, where it is one.
    pub(super) fn number(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}

/// An object that was seen, ready to be kept.
#[derive(Debug)]
pub(in crate::cluster) struct Seen {
    pub(super) head: Head,
    /// Whose it is; `None` when it carries no label of ours.
    pub(super) unit: Option<Unit>,
    pub(super) is_going: bool,
    pub(super) prints: Prints,
    pub(super) object: Packed,
}

/// Short names for what an object holds. Nobody outside of this process can foresee them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prints {
    /// Of all of it.
    pub(super) whole: u64,
    /// Of all but its status and what goes with that.
    pub(super) wanted: u64,
}

/// Makes what was seen ready to be kept, which takes its time: not while the cache is locked.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Keeper {
    packer: Packer,
    random: RandomState,
}

impl Keeper {
    /// Reads the rest of an object. `None` when it is no object after all.
    pub(in crate::cluster) fn read(&self, head: Head, text: &str, resource: Option<&Resource>) -> Option<Seen> {
        let mut object: Value = serde_json::from_str(text).ok()?;
        if let (Some(fields), Some(resource)) = (object.as_object_mut(), resource) {
            fields.entry("apiVersion").or_insert_with(|| resource.api_version().into());
            fields.entry("kind").or_insert_with(|| resource.kind.clone().into());
        }
        trim(&mut object);
        let text = object.to_string();
        let prints = Prints { whole: self.random.hash_one(&text), wanted: self.wanted(&object) };
        let live = Live::new(object);
        Some(Seen {
            unit: live.owner,
            is_going: live.is_going,
            prints,
            object: self.packer.pack_text(&head.key, text.as_bytes()),
            head,
        })
    }

    /// The short name of all but the status.
    fn wanted(&self, object: &Value) -> u64 {
        let mut hasher = self.random.build_hasher();
        let mut members = |value: &Value, but: [&str; 2]| {
            for (name, value) in
                value.as_object().into_iter().flatten().filter(|(name, _)| !but.contains(&name.as_str()))
            {
                (name, value).hash(&mut hasher);
            }
        };
        members(object, ["status", "metadata"]);
        members(&object["metadata"], ["resourceVersion", "managedFields"]);
        hasher.finish()
    }
}

/// Leaves only those of the managed fields that plans look at: everybody's but what controllers say of the status.
fn trim(object: &mut Value) {
    if object["kind"] == "Pod" && object["apiVersion"] == "v1" {
        trim_pod(object);
    }
    if let Some(managers) = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut) {
        managers.retain(|entry| {
            let subresource = entry["subresource"].as_str().unwrap_or_default();
            matches!(subresource, "" | "scale")
        });
    }
}

/// Nobody compares pods with Git: what they are made of is in their template, and what they do is in their status.
fn trim_pod(pod: &mut Value) {
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.retain(|field, _| matches!(field.as_str(), "nodeName" | "volumes"));
    }
}
