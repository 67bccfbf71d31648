//! The Secrets and ConfigMaps of the cluster, as the watches tell them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use serde_json::Value;

use super::spec::Reference;

/// What is in a Secret or ConfigMap, by key.
pub(super) type Values = BTreeMap<String, Vec<u8>>;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects(Arc<Mutex<BTreeMap<Reference, Arc<Value>>>>);

impl Objects {
    /// Takes an object, or that it is gone.
    pub(super) fn set(&self, reference: Reference, object: Option<Value>) {
        let mut all = self.lock();
        match object {
            Some(object) => all.insert(reference, Arc::new(object)),
            None => all.remove(&reference),
        };
    }

    /// The values of an object, decoded.
    pub(super) fn values(&self, reference: &Reference) -> Option<Values> {
        let object = self.lock().get(reference).cloned()?;
        let base64 = |value: &str| base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_default();
        let mut values = BTreeMap::new();
        let entries = |field: &str| object[field].as_object().into_iter().flatten();
        for (key, value) in entries("data") {
            let value = value.as_str().unwrap_or_default();
            let value = if reference.kind == "Secret" { base64(value) } else { value.as_bytes().to_vec() };
            values.insert(key.clone(), value);
        }
        for (key, value) in entries("binaryData") {
            values.insert(key.clone(), base64(value.as_str().unwrap_or_default()));
        }
        Some(values)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Reference, Arc<Value>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
