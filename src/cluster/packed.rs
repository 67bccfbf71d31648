//! A live object as it is kept: as text, a fifth of the room of the tree that it stands for.

use serde_json::Value;

/// The text, and the version for all the looks that need no more.
#[derive(PartialEq, Eq)]
pub(super) struct Packed {
    version: Box<str>,
    json: Box<[u8]>,
}

impl std::fmt::Debug for Packed {
    /// Without the content: it may be a Secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Packed {
    pub(super) fn of(object: &Value) -> Self {
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        Self { version: version.into(), json: object.to_string().into_bytes().into_boxed_slice() }
    }

    pub(super) fn unpack(&self) -> Value {
        // What was written here as JSON is JSON.
        serde_json::from_slice(&self.json).unwrap_or(Value::Null)
    }

    /// The resource version; empty where the object had none.
    pub(super) fn version_text(&self) -> &str {
        &self.version
    }

    /// The resource version as a number, where it is one.
    pub(super) fn version(&self) -> Option<u64> {
        self.version.parse().ok()
    }
}
