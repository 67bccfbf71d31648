//! Objects as they are kept between two plans: as text, deflated against another of their kind.
//!
//! The objects of a fleet differ in little more than names, so that one costs a few hundred bytes where its tree would
//! take twenty thousand. Worst case, kinds whose objects have nothing in common: the size of the text.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush, Status, compress_bound};

use crate::project::ObjectKey;

/// Quick: with a model to copy from, more effort gains next to nothing.
const LEVEL: i32 = 1;
/// The farthest that a copy reaches back, as a power of two.
const WINDOW_BITS: u8 = 15;
/// An object that keeps more than this part of its size is unlike its model, and is the model of those that come after.
const UNLIKE: usize = 3;

/// Packs objects; remembers one of each kind as the model of the next.
#[derive(Debug, Default)]
pub struct Packer {
    models: Mutex<BTreeMap<(String, String), Model>>,
}

#[derive(Clone)]
struct Model(Arc<[u8]>);

impl std::fmt::Debug for Model {
    /// Without the content: it may be a Secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Model").field(&self.0.len()).finish()
    }
}

/// A packed object; cheap to clone.
#[derive(Clone)]
pub struct Packed {
    model: Model,
    deflated: Arc<[u8]>,
    length: usize,
}

impl std::fmt::Debug for Packed {
    /// Without the content: it may be a Secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Packer {
    /// Packs the object with this key.
    #[must_use]
    pub fn pack(&self, key: &ObjectKey, object: &Value) -> Packed {
        self.pack_text(key, object.to_string().as_bytes())
    }

    /// Packs the JSON text of the object with this key.
    #[must_use]
    pub fn pack_text(&self, key: &ObjectKey, text: &[u8]) -> Packed {
        let kind = (key.group.clone(), key.kind.clone());
        let models = || self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let known = models().get(&kind).cloned();
        if let Some(model) = known {
            let deflated = deflate(text, &model.0);
            if deflated.len() <= text.len() / UNLIKE {
                return Packed { model, deflated, length: text.len() };
            }
        }
        let model = Model(text.into());
        models().insert(kind, model.clone());
        Packed { deflated: deflate(text, &model.0), model, length: text.len() }
    }
}

impl Packed {
    /// The object as it was.
    #[must_use]
    pub fn unpack(&self) -> Value {
        // What was written here as JSON is JSON.
        serde_json::from_slice(&self.text()).unwrap_or(Value::Null)
    }

    /// Its JSON text.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut text = vec![0; self.length];
        INFLATE.with_borrow_mut(|inflate| {
            inflate.reset(false);
            // Neither can fail for what `deflate` gave; nothing is the answer that every reader takes for an object's loss.
            let primed = inflate.set_dictionary(&self.model.0);
            let done = inflate.decompress(&self.deflated, &mut text, InflateFlush::Finish);
            if primed.is_err() || !matches!(done, Ok(Status::StreamEnd)) {
                text.clear();
            }
        });
        text
    }
}

thread_local! {
    /// A quarter of a megabyte that is not made anew for each object, with the room for what comes out; and the way back.
    static DEFLATE: RefCell<(Deflate, Vec<u8>)> = RefCell::new((Deflate::new(LEVEL, false, WINDOW_BITS), Vec::new()));
    static INFLATE: RefCell<Inflate> = RefCell::new(Inflate::new(false, WINDOW_BITS));
}

fn deflate(text: &[u8], model: &[u8]) -> Arc<[u8]> {
    DEFLATE.with_borrow_mut(|(deflate, room)| {
        room.resize(compress_bound(text.len()), 0);
        deflate.reset();
        let _ = deflate.set_dictionary(model);
        let _ = deflate.compress(text, room, DeflateFlush::Finish);
        let length = usize::try_from(deflate.total_out()).unwrap_or_default();
        room.get(..length).unwrap_or_default().into()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn key(kind: &str) -> ObjectKey {
        ObjectKey::new("", kind, None, "x")
    }

    fn object(name: &str) -> Value {
        let containers: Vec<Value> = (0..20)
            .map(|port| json!({"name": format!("c{port}"), "image": name, "port": port * 7919 % 1000}))
            .collect();
        json!({"metadata": {"name": name}, "spec": {"containers": containers}})
    }

    #[test]
    fn an_object_like_the_one_before_costs_a_small_part_of_its_text() {
        let packer = Packer::default();
        for number in 0..50 {
            let object = object(&format!("project-{number}"));
            let packed = packer.pack(&key("StatefulSet"), &object);
            assert_eq!(packed.unpack(), object);
            assert!(packed.deflated.len() * 5 < packed.length, "{} of {}", packed.deflated.len(), packed.length);
        }
    }

    /// Digits without a pattern.
    fn noise(number: u64) -> String {
        (1..400_u64).map(|step| (number * 7 + 3).wrapping_pow(11).wrapping_mul(step.pow(5)).to_string()).collect()
    }

    #[test]
    fn objects_that_have_nothing_in_common_cost_no_more_than_their_text() {
        let packer = Packer::default();
        for number in 0..20 {
            let object = json!({ "data": noise(number) });
            let packed = packer.pack(&key("ConfigMap"), &object);
            assert_eq!(packed.unpack(), object);
            assert!(packed.deflated.len() <= packed.length, "{} of {}", packed.deflated.len(), packed.length);
        }
    }

    #[test]
    fn an_object_unlike_its_model_is_the_model_of_those_that_come_after() {
        let packer = Packer::default();
        let _ = packer.pack(&key("ConfigMap"), &object("first"));
        for round in 0..3 {
            let packed = packer.pack(&key("ConfigMap"), &json!({ "data": noise(1), "round": round }));
            assert!(packed.deflated.len() * 8 < packed.length, "{} of {}", packed.deflated.len(), packed.length);
        }
    }

    #[test]
    fn text_longer_than_a_copy_reaches_comes_back_whole() {
        let packer = Packer::default();
        for size in [0, 1, 32_767, 32_768, 200_000] {
            let object = json!({"data": "0123456789abcdef ".repeat(size / 17 + 1), "size": size});
            assert_eq!(packer.pack(&key("ConfigMap"), &object).unpack(), object);
        }
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let packer = Packer::default();
        let packed = packer.pack(&key("Secret"), &json!({"data": {"a": "hunter2"}}));
        assert!(!format!("{packed:?} {packer:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn whatever_is_packed_comes_back(texts in prop::collection::vec(".{0,300}", 1..20)) {
            let packer = Packer::default();
            let packed: Vec<Packed> = texts.iter().map(|text| packer.pack(&key("Service"), &json!({ "a": text }))).collect();
            for (packed, text) in packed.iter().zip(&texts) {
                prop_assert_eq!(packed.unpack(), json!({ "a": text }));
            }
        }
    }
}
