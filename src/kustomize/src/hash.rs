//! The hash that generated names end with: a change of content is a change of name, and so of the pods that use it.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::yaml::{JsonError, Kind, Node};

use super::BuildError;
use super::collection::Collection;
use super::resource::Resource;

/// Adds the hash to the names of all objects that need it.
pub(super) fn add_to_names(objects: &mut Collection) -> Result<(), BuildError> {
    objects.update(|resource| {
        if !resource.needs_hash {
            return Ok(());
        }
        let hash = hash(resource).map_err(|error| resource.error(error))?;
        resource.remember_id()?;
        let name = format!("{}-{hash}", resource.name());
        resource.set_name(&name);
        Ok(())
    })
}

/// Why an object has no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum HashError {
    #[error("a {0} has no hash; only generated ConfigMaps and Secrets have")]
    Kind(String),
    #[error(transparent)]
    Value(#[from] JsonError),
}

/// Ten letters for the content of a ConfigMap or Secret.
fn hash(resource: &Resource) -> Result<String, HashError> {
    let json = |key: &str| match resource.node.get(key) {
        // What is no mapping counts as it is written.
        Some(Node { kind: Kind::Scalar(text), .. }) => Ok(Value::String(text.clone())),
        Some(node) => node.to_json(),
        None => Ok(Value::String(String::new())),
    };
    let kind = resource.kind();
    let mut canonical = String::from("{");
    let optional = match kind {
        "ConfigMap" => "binaryData",
        "Secret" => "stringData",
        other => return Err(HashError::Kind(other.to_owned())),
    };
    let mut parts = vec![("data", json("data")?), ("kind", Value::String(kind.to_owned()))];
    // The name is left out of the hash, but not its place.
    parts.push(("name", Value::String(String::new())));
    if matches!(resource.node.get(optional).and_then(Node::pairs), Some(pairs) if !pairs.is_empty()) {
        parts.push((optional, json(optional)?));
    }
    if kind == "Secret" {
        parts.push(("type", json("type")?));
    }
    parts.sort_by_key(|(key, _)| *key);
    for (at, (key, value)) in parts.iter().enumerate() {
        if at > 0 {
            canonical.push(',');
        }
        canonical.push_str(&format!("\"{key}\":"));
        write_canonical(value, &mut canonical);
    }
    canonical.push('}');
    let digest = Sha256::digest(canonical.as_bytes());
    let hexadecimal: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    // Letters that make no words, and no digits that look like letters.
    let letter = |c: char| match c {
        '0' => 'g',
        '1' => 'h',
        '3' => 'k',
        'a' => 'm',
        'e' => 't',
        other => other,
    };
    Ok(hexadecimal.chars().map(letter).collect())
}

/// JSON as Go's encoder writes it: sorted keys, and `<`, `>`, `&` and two line separators escaped.
fn write_canonical(value: &Value, out: &mut String) {
    for c in value.to_string().chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
}
