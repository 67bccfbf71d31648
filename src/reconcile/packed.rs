//! Rendered objects as they are kept between two looks: as text, a fifth of the room of the tree that it stands for. A fleet
//! is kept whole, while few of its projects are planned at a time.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::kustomize::Object;
use crate::project::ObjectKey;

/// Objects, packed. Their keys can be read as they are.
#[derive(Debug, Default)]
pub(super) struct Packed(Box<[PackedObject]>);

/// One object.
pub(super) struct PackedObject {
    /// Its identity.
    pub(super) key: ObjectKey,
    api_version: Box<str>,
    json: Box<[u8]>,
}

impl std::fmt::Debug for PackedObject {
    /// Without the content: it may be a Secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PackedObject").field(&self.key).finish()
    }
}

impl Packed {
    pub(super) fn of(objects: Vec<Object>) -> Self {
        let pack = |object: Object| PackedObject {
            json: object.value.to_string().into_bytes().into_boxed_slice(),
            api_version: object.api_version.into_boxed_str(),
            key: object.key,
        };
        Self(objects.into_iter().map(pack).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PackedObject> {
        self.0.iter()
    }

    /// A short name for the whole content.
    pub(super) fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for object in &self.0 {
            hasher.update((object.json.len() as u64).to_be_bytes());
            hasher.update(&object.json);
        }
        let digest = hasher.finalize();
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The objects as they were.
    pub(super) fn unpack(&self) -> Vec<Object> {
        self.0.iter().map(PackedObject::unpack).collect()
    }

    /// The Secrets among them, as they were.
    pub(super) fn unpack_secrets(&self) -> Vec<Object> {
        let secrets = self.0.iter().filter(|object| object.key.group.is_empty() && object.key.kind == "Secret");
        secrets.map(PackedObject::unpack).collect()
    }
}

impl PackedObject {
    fn unpack(&self) -> Object {
        Object {
            key: self.key.clone(),
            api_version: self.api_version.to_string(),
            // What was written here as JSON is JSON.
            value: serde_json::from_slice(&self.json).unwrap_or(Value::Null),
        }
    }
}
