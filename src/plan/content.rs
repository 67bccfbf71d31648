//! What an object holds, read when somebody looks: most plans find that nothing differs, and look at little.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde_json::Value;

use super::object_hash;
use super::pack::Packed;

/// An object's JSON. Cheap to clone; all clones read it once. Its `Debug` shows nothing of it: it may be a Secret.
#[derive(Clone, Default)]
pub struct Content {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    packed: Option<Packed>,
    value: OnceLock<Value>,
    hash: OnceLock<u64>,
}

impl Content {
    /// An object as it is.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self { inner: Arc::new(Inner { packed: None, value: OnceLock::from(value), hash: OnceLock::new() }) }
    }

    /// A packed object, whose hash ([`object_hash`]) may be known already.
    #[must_use]
    pub fn packed(packed: Packed, hash: Option<u64>) -> Self {
        let hash = hash.map(OnceLock::from).unwrap_or_default();
        Self { inner: Arc::new(Inner { packed: Some(packed), value: OnceLock::new(), hash }) }
    }

    /// A short name for what it holds: [`object_hash`].
    #[must_use]
    pub fn hash(&self) -> u64 {
        *self.inner.hash.get_or_init(|| object_hash(self))
    }

    /// Its JSON text.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        match &self.inner.packed {
            Some(packed) => packed.text(),
            None => self.to_string().into_bytes(),
        }
    }
}

impl Deref for Content {
    type Target = Value;

    fn deref(&self) -> &Value {
        self.inner.value.get_or_init(|| self.inner.packed.as_ref().map_or(Value::Null, Packed::unpack))
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) || **self == **other
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::Packer;
    use crate::project::ObjectKey;

    #[test]
    fn a_packed_object_is_the_object_that_was_packed() {
        let key = ObjectKey::new("", "Secret", None, "x");
        let value = json!({"data": {"a": "aHVudGVyMg=="}, "b": [1, 2.5, null, "ü"]});
        let (plain, packed) =
            (Content::new(value.clone()), Content::packed(Packer::default().pack(&key, &value), None));
        assert_eq!((&*packed, packed.hash()), (&value, object_hash(&value)));
        assert_eq!(plain, packed);
        assert_eq!(plain.text(), packed.text());
        assert_eq!(format!("{plain:?} {packed:?}"), "Content Content");
        assert_ne!(plain, Content::default());
    }
}
