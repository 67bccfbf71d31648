//! Finds secrets that stand in a file in clear.

use serde::Deserialize;
use serde_json::Value;

use crate::plan::{SecretValues, secret_values};

const WAY_OUT: &str = "encrypt the file with `sops --encrypt --in-place`, or set the value through the API. The commit \
                       itself has to go: `git commit --amend` or `git rebase`, then push again";

/// What is wrong with the file `name`, if it holds the values of a Secret in clear.
pub(super) fn find(name: &str, content: &[u8]) -> Option<String> {
    // Any text can be named as a resource; but what is no YAML is only a manifest where its name says so. A page that
    // shows one is fine.
    let is_manifest = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
    // Cheap, and true of nearly every file: the word does not occur.
    let suspicious = [b"Secret".as_slice(), b"secretGenerator"].iter().any(|word| contains(content, word));
    if !suspicious {
        return None;
    }
    let Ok(text) = std::str::from_utf8(content) else { return None };
    let mut found = None;
    for document in serde_yaml::Deserializer::from_str(text) {
        match Value::deserialize(document) {
            Ok(value) => found = found.or_else(|| in_document(&value)),
            // What cannot be read is not taken on trust, when it looks like one.
            Err(_) if is_manifest && looks_like_a_secret(text) => {
                return Some(format!("it looks like a Secret but is no valid YAML; {WAY_OUT}"));
            }
            Err(_) => break,
        }
    }
    found
}

fn in_document(value: &Value) -> Option<String> {
    match value {
        Value::Object(fields) => {
            let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
            if kind == "Secret" && secret_values(value) == SecretValues::Clear {
                let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                return Some(format!("the Secret {name:?} has values in clear; {WAY_OUT}"));
            }
            if let Some(Value::Array(generators)) = fields.get("secretGenerator")
                && generators.iter().any(has_values)
            {
                return Some(format!("secretGenerator makes a Secret from values in clear; {WAY_OUT}"));
            }
            if let Some(items) = fields.get("items").filter(|_| kind.ends_with("List")) {
                return in_document(items);
            }
            // Inline patches are YAML in YAML.
            let patches = fields.get("patches").or_else(|| fields.get("patchesStrategicMerge"))?.as_array()?;
            patches.iter().find_map(|patch| {
                let text = patch.get("patch").unwrap_or(patch).as_str()?;
                find("patch.yaml", text.as_bytes())
            })
        }
        Value::Array(items) => items.iter().find_map(in_document),
        _ => None,
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
    let line = |wanted: &str| text.lines().any(|line| line.trim_start().starts_with(wanted));
    (line("kind: Secret") || line("\"kind\": \"Secret\"")) && (text.contains("data") || text.contains("stringData"))
}

fn contains(content: &[u8], word: &[u8]) -> bool {
    content.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_clear_are_found_wherever_they_hide() {
        let encrypted = "kind: Secret\nstringData:\n  a: ENC[AES256_GCM,data:x,type:str]\nsops: {}\n";
        for (text, expected) in [
            ("kind: Secret\nmetadata: {name: x}\nstringData: {a: b}\n", true),
            ("kind: Secret\ndata:\n  a: YQ==\n", true),
            ("kind: ConfigMap\n---\nkind: Secret\ndata: {a: YQ==}\n", true),
            ("kind: SecretList\nitems:\n- kind: Secret\n  data: {a: YQ==}\n", true),
            ("{\"kind\": \"Secret\", \"stringData\": {\"a\": \"b\"}}", true),
            ("kind: Kustomization\nsecretGenerator:\n- name: a\n  literals: [a=b]\n", true),
            ("patches:\n- patch: |-\n    kind: Secret\n    stringData: {a: b}\n", true),
            ("kind: Secret\nstringData: {a: b\n", true),
            (encrypted, false),
            ("kind: Secret\nmetadata: {name: x}\n", false),
            ("kind: ConfigMap\ndata: {a: Secret}\n", false),
            ("# A page about kind: Secret objects.\n", false),
            ("resources:\n- Secret.yaml\n", false),
        ] {
            assert_eq!(find("x.yaml", text.as_bytes()).is_some(), expected, "{text}");
        }
        let page = "# Secrets\n```yaml\nkind: Secret\nstringData: {a: b}\n```\n";
        assert_eq!(find("README.md", page.as_bytes()), None);
        assert!(!find("x", b"kind: Secret\nstringData: {a: hunter2}\n").unwrap().contains("hunter2"));
    }
}
