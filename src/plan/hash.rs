//! A short name for the content of an object.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Operation, UnitPlan};

/// The first eight bytes of the SHA-256 of the object's canonical form: the same for the same content, in every
/// process and on every machine, whatever the order of its members.
#[must_use]
pub fn object_hash(object: &Value) -> u64 {
    let mut hasher = Sha256::new();
    feed(&mut hasher, object);
    let digest = hasher.finalize();
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

/// A short name for what plans do: the same for the same actions on the same objects, whatever was said about them.
#[must_use]
pub fn plan_hash(plans: &[UnitPlan]) -> String {
    let mut hasher = Sha256::new();
    for action in plans.iter().flat_map(|plan| &plan.actions) {
        let (what, uid, object) = match &action.operation {
            Operation::Create(object) => ("create", "", Some(object)),
            Operation::Update { object, take_over: false } => ("update", "", Some(object)),
            Operation::Update { object, take_over: true } => ("take over", "", Some(object)),
            Operation::Recreate { uid, object } => ("remake", uid.as_str(), Some(object)),
            Operation::Delete { uid } => ("delete", uid.as_str(), None),
        };
        feed(&mut hasher, &Value::from(vec![action.key.to_string(), what.to_owned(), uid.to_owned()]));
        // What differs now belongs to it: the same object over another one is another plan.
        for change in &action.changes {
            feed(&mut hasher, &Value::from(change.path.as_str()));
            feed(&mut hasher, change.before.as_ref().unwrap_or(&Value::Null));
        }
        feed(&mut hasher, object.map_or(&Value::Null, |object| object));
    }
    let digest = hasher.finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Lengths and tags before contents keep different values from running into the same bytes.
fn feed(hasher: &mut Sha256, value: &Value) {
    let mut text = |tag: u8, text: &str| {
        hasher.update([tag]);
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    match value {
        Value::Null => text(b'0', ""),
        Value::Bool(value) => text(b'b', if *value { "1" } else { "0" }),
        Value::Number(number) => text(b'n', &number.to_string()),
        Value::String(value) => text(b's', value),
        Value::Array(values) => {
            text(b'a', &values.len().to_string());
            values.iter().for_each(|value| feed(hasher, value));
        }
        Value::Object(map) => {
            text(b'o', &map.len().to_string());
            // Sorted here: whether the map itself is sorted depends on a feature that any dependency may switch on.
            let mut members: Vec<_> = map.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                feed(hasher, &Value::from(name.as_str()));
                feed(hasher, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hash_depends_on_content_alone() {
        let one: Value = serde_json::from_str(r#"{"a": 1, "b": ["x", null]}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"b": ["x", null], "a": 1}"#).unwrap();
        assert_eq!(object_hash(&one), object_hash(&other));
    }

    #[test]
    fn different_contents_have_different_hashes() {
        let values = [
            json!(null),
            json!([]),
            json!({}),
            json!(""),
            json!("1"),
            json!(1),
            json!(true),
            json!(["ab"]),
            json!(["a", "b"]),
            json!([["a"], "b"]),
            json!({"a": "b"}),
            json!({"ab": ""}),
        ];
        for (position, one) in values.iter().enumerate() {
            for other in &values[position + 1..] {
                assert_ne!(object_hash(one), object_hash(other), "{one} {other}");
            }
        }
    }
}
