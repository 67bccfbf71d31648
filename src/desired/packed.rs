//! Rendered objects as they are kept between two looks: a fleet is kept whole, while few of its projects are planned at a
//! time.

use sha2::{Digest, Sha256};

use crate::plan::{self, Content, Packer, WantedObject};
use crate::project::ObjectKey;
use kustomize::Object;

/// A unit's objects, packed. Their keys can be read as they are.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    objects: Box<[PackedObject]>,
    digest: [u8; 8],
}

/// One object.
#[derive(Debug)]
pub(crate) struct PackedObject {
    /// Its identity.
    pub(crate) key: ObjectKey,
    api_version: Box<str>,
    content: plan::Packed,
    /// The hash of what is sent.
    pub(crate) hash: u64,
}

impl Packed {
    pub(crate) fn of(packer: &Packer, objects: Vec<Object>) -> Self {
        let mut hasher = Sha256::new();
        let pack = |object: Object| {
            let object = plan::as_sent(object);
            let text = object.value.to_string();
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(&text);
            PackedObject {
                content: packer.pack_text(&object.key, text.as_bytes()),
                hash: plan::object_hash(&object.value),
                api_version: object.api_version.into_boxed_str(),
                key: object.key,
            }
        };
        let objects = objects.into_iter().map(pack).collect();
        let mut digest = [0; 8];
        digest.copy_from_slice(&hasher.finalize()[..8]);
        Self { objects, digest }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PackedObject> {
        self.objects.iter()
    }

    /// A short name for the whole content.
    pub(crate) fn digest(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The objects, as a plan wants them.
    pub(crate) fn wanted(&self) -> Vec<WantedObject> {
        self.objects.iter().map(PackedObject::wanted).collect()
    }

    /// The Secrets among them.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = WantedObject> {
        let secrets = self.objects.iter().filter(|object| object.key.group.is_empty() && object.key.kind == "Secret");
        secrets.map(PackedObject::wanted)
    }
}

impl PackedObject {
    fn wanted(&self) -> WantedObject {
        WantedObject {
            key: self.key.clone(),
            api_version: self.api_version.to_string(),
            content: Content::packed(self.content.clone(), Some(self.hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_kept_as_they_are_sent_with_the_hash_of_that() {
        let key = ObjectKey::new("", "Secret", None, "a");
        let value = json!({"stringData": {"token": "hunter2"}});
        let packed = Packed::of(&Packer::default(), vec![Object { key: key.clone(), api_version: "v1".into(), value }]);
        let [wanted] = packed.wanted().try_into().unwrap();
        let sent = json!({"data": {"token": "aHVudGVyMg=="}});
        assert_eq!((&wanted.key, wanted.api_version.as_str(), &*wanted.content), (&key, "v1", &sent));
        assert_eq!(wanted.content.hash(), plan::object_hash(&sent));
        assert_eq!(wanted.content.text(), sent.to_string().into_bytes());
        assert_eq!(packed.secrets().count(), 1);
        assert!(!format!("{packed:?}").contains("aHVudGVyMg"));
    }
}
