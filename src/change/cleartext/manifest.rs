//! Secrets in manifests: a Secret with values, a generator of one, a patch that adds some.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::pattern;
use crate::sops;
use kustomize::yaml;

const HINT: &str = "encrypt the file with `sops --encrypt --in-place`, or set the value through the API";
/// Manifests in manifests (patches, templates) are not nested deeper.
const MAX_DEPTH: usize = 8;
/// A search ends in any nesting that the readers of YAML let through.
const MAX_NESTING: usize = 256;

/// Returns what is wrong with the file `name`, if the values of a Secret stand in its text in clear.
pub(super) fn find(name: &str, text: &str) -> Option<String> {
    let found = in_text(text, MAX_DEPTH);
    match found {
        Ok(found) => found,
        // Any text can be named as a resource; but what is no YAML is only a manifest where its name says so. A page that
        // shows one is fine. What cannot be read is not taken on trust, when it looks like one.
        Err(()) => {
            let is_manifest = [".yaml", ".yml", ".json"].iter().any(|ending| name.to_lowercase().ends_with(ending));
            (is_manifest && looks_like_a_secret(text))
                .then(|| format!("it looks like a Secret but is no valid YAML; {HINT}"))
        }
    }
}

/// What is wrong with a text; an error when it is no YAML.
fn in_text(text: &str, depth: usize) -> Result<Option<String>, ()> {
    // Cheap, and true of nearly every file: neither does such a word occur, nor an escape that may stand for one.
    let words = ["Secret", "secretGenerator", "stringData", "\\x", "\\u", "\\U", "\\\n", "\\\r"];
    if depth == 0 || !words.iter().any(|word| text.contains(word)) {
        return Ok(None);
    }
    let search = Search { text, depth };
    Ok(documents(text)?.iter().find_map(|document| search.in_value(document, MAX_NESTING)))
}

/// The documents, as the build reads them; what it refuses, as others may.
fn documents(text: &str) -> Result<Vec<Value>, ()> {
    let text = text.trim_start_matches('\u{feff}');
    if let Ok(nodes) = yaml::read(text.as_bytes())
        && let Ok(values) = nodes.iter().map(yaml::Node::to_json).collect::<Result<Vec<_>, _>>()
    {
        return Ok(values);
    }
    serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).map_err(drop)).collect()
}

/// A search in the documents of a text.
struct Search<'t> {
    text: &'t str,
    depth: usize,
}

impl Search<'_> {
    fn in_value(&self, value: &Value, nesting: usize) -> Option<String> {
        let nesting = nesting.checked_sub(1)?;
        match value {
            Value::Object(fields) => {
                in_fields(fields).or_else(|| fields.values().find_map(|value| self.in_value(value, nesting)))
            }
            Value::Array(items) => items.iter().find_map(|item| self.in_value(item, nesting)),
            // A patch, or a template, is YAML in YAML.
            Value::String(text) if text.contains('\n') || text.trim_start().starts_with(['{', '[']) => {
                in_text(text, self.depth - 1).ok().flatten()
            }
            // What stands in the text as it is has been looked at; this was written with escapes.
            Value::String(text) if !self.text.contains(text.as_str()) => pattern::find(text),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }
}

fn in_fields(fields: &Map<String, Value>) -> Option<String> {
    let text = |key: &str| field(fields, key).and_then(Value::as_str).unwrap_or_default();
    if text("kind") == "Secret" && ["data", "stringData"].iter().any(|key| field(fields, key).is_some_and(is_clear)) {
        let name = field(fields, "metadata").and_then(|metadata| metadata.get("name")?.as_str()).unwrap_or_default();
        return Some(format!("the Secret {name:?} has values in clear; {HINT}"));
    }
    if let Some(Value::Array(generators)) = fields.get("secretGenerator")
        && generators.iter().any(has_values)
    {
        return Some(format!("secretGenerator makes a Secret from values in clear; {HINT}"));
    }
    if text("kind") == "SecretGenerator" && has_values(&Value::Object(fields.clone())) {
        return Some(format!("a SecretGenerator makes a Secret from values in clear; {HINT}"));
    }
    // Only Secrets have stringData.
    let adds = matches!(text("op"), "add" | "replace") && text("path").starts_with("/stringData");
    if adds && fields.get("value").is_some_and(|value| is_clear(value) || is_clear_text(value)) {
        return Some(format!("a patch puts a Secret's value in clear; {HINT}"));
    }
    None
}

/// A field, also one that comes by a merge key.
fn field<'v>(fields: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    fields.get(key).or_else(|| match fields.get("<<")? {
        Value::Object(merged) => merged.get(key),
        Value::Array(list) => list.iter().find_map(|merged| merged.get(key)),
        _ => None,
    })
}

/// Whether the values of a Secret are anything but sealed ones.
fn is_clear(values: &Value) -> bool {
    match values {
        Value::Null => false,
        Value::Object(values) => values.values().any(is_clear_text),
        _ => true,
    }
}

fn is_clear_text(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !sops::is_sealed(text),
        _ => true,
    }
}

fn has_values(generator: &Value) -> bool {
    let filled = |field: &str| match generator.get(field) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Null) | None => false,
        Some(_) => true,
    };
    ["literals", "files", "envs", "env"].iter().any(|field| filled(field))
}

fn looks_like_a_secret(text: &str) -> bool {
    static KIND: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"["']?\bkind["']?\s*:\s*(?:!!str\s+)?["']?(?:Secret\b|[^\n]*\\[uUx])"#).ok());
    KIND.as_ref().is_some_and(|kind| kind.is_match(text)) && text.to_lowercase().contains("data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_clear_are_found_wherever_they_hide() {
        let sealed = format!("ENC[AES256_GCM,data:eA==,iv:{}=,tag:{}==,type:str]", "A".repeat(43), "A".repeat(22));
        let encrypted = &format!("kind: Secret\nstringData:\n  a: {sealed}\nsops: {{}}\n");
        for (text, expected) in [
            ("kind: Secret\nmetadata: {name: x}\nstringData: {a: b}\n", true),
            ("kind: Secret\ndata:\n  a: YQ==\n", true),
            ("kind: ConfigMap\n---\nkind: Secret\ndata: {a: YQ==}\n", true),
            ("kind: SecretList\nitems:\n- kind: Secret\n  data: {a: YQ==}\n", true),
            ("{\"kind\": \"Secret\", \"stringData\": {\"a\": \"b\"}}", true),
            ("kind: Kustomization\nsecretGenerator:\n- name: a\n  literals: [a=b]\n", true),
            ("patches:\n- patch: |-\n    kind: Secret\n    stringData: {a: b}\n", true),
            ("kind: Secret\nstringData: {a: b\n", true),
            ("{\"kind\": \"\\u0053ecret\", \"stringData\": {\"a\": \"b\"}}", true),
            ("\"k\\x69nd\": \"Sec\\\n  ret\"\ndata: {a: YQ==}\n", true),
            ("kind: !!str Secret\ndata: {a: YQ==}\n", true),
            ("x: &x {kind: Secret}\ny:\n  <<: *x\n  stringData: {a: b}\n", true),
            ("kind: Secret\nkind: Secret\nstringData: {a: b}\n", true),
            ("kind: List\nitems: [{kind: Template, objects: [{kind: Secret, data: {a: YQ==}}]}]\n", true),
            ("- op: add\n  path: /stringData/a\n  value: b\n", true),
            ("kind: Secret\nstringData: {a: 'ENC[hunter2]'}\n", true),
            ("kind: Secret\nstringData: {a: 'ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]'}\n", true),
            (encrypted, false),
            ("kind: Secret\nmetadata: {name: x}\n", false),
            ("kind: ConfigMap\ndata: {a: Secret}\n", false),
            ("# A page about kind: Secret objects.\n", false),
            ("resources:\n- Secret.yaml\n", false),
        ] {
            assert_eq!(find("x.yaml", text).is_some(), expected, "{text}");
        }
        let page = "# Secrets\n```yaml\nkind: Secret\nstringData: {a: b}\n```\n";
        assert_eq!(find("README.md", page), None);
        assert!(!find("x", "kind: Secret\nstringData: {a: hunter2}\n").unwrap().contains("hunter2"));
    }
}
