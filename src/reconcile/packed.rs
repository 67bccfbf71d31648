//! Rendered objects as they are kept between two looks: a fleet is kept whole, while few of its projects are planned at a
//! time.

use sha2::{Digest, Sha256};

use crate::kustomize::Object;
use crate::plan::{self, Packer};
use crate::project::ObjectKey;

/// A unit's objects, packed. Their keys can be read as they are.
#[derive(Debug, Default)]
pub(super) struct Packed {
    objects: Box<[PackedObject]>,
    digest: [u8; 8],
}

/// One object.
#[derive(Debug)]
pub(super) struct PackedObject {
    /// Its identity.
    pub(super) key: ObjectKey,
    api_version: Box<str>,
    value: plan::Packed,
}

impl Packed {
    pub(super) fn of(packer: &Packer, objects: Vec<Object>) -> Self {
        let mut hasher = Sha256::new();
        let pack = |object: Object| {
            let text = object.value.to_string();
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(&text);
            PackedObject {
                value: packer.pack_text(&object.key, text.as_bytes()),
                api_version: object.api_version.into_boxed_str(),
                key: object.key,
            }
        };
        let objects = objects.into_iter().map(pack).collect();
        let mut digest = [0; 8];
        digest.copy_from_slice(&hasher.finalize()[..8]);
        Self { objects, digest }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PackedObject> {
        self.objects.iter()
    }

    /// A short name for the whole content.
    pub(super) fn digest(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The objects as they were.
    pub(super) fn unpack(&self) -> Vec<Object> {
        self.objects.iter().map(PackedObject::unpack).collect()
    }

    /// The Secrets among them, as they were.
    pub(super) fn unpack_secrets(&self) -> Vec<Object> {
        let secrets = self.objects.iter().filter(|object| object.key.group.is_empty() && object.key.kind == "Secret");
        secrets.map(PackedObject::unpack).collect()
    }
}

impl PackedObject {
    fn unpack(&self) -> Object {
        Object { key: self.key.clone(), api_version: self.api_version.to_string(), value: self.value.unpack() }
    }
}
