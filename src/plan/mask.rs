//! Keeps the values of Secrets out of everything that is shown.

use serde_json::Value;

use super::FieldChange;
use super::diff::Difference;
use super::field::{Path, Step};
use crate::project::ObjectKey;

/// What stands for a value that nobody is to see.
const MASK: &str = "***";

/// The annotation in which `kubectl apply` keeps a copy of the whole object, values and all.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether objects of this kind hold values that nobody is to see.
pub(super) fn is_secret(key: &ObjectKey) -> bool {
    key.group.is_empty() && key.kind == "Secret"
}

/// A difference for people.
pub(super) fn change(key: &ObjectKey, difference: Difference) -> FieldChange {
    let Difference { path, mut before, mut after } = difference;
    if is_secret(key) {
        let both = before.is_some() && after.is_some();
        let mut steps = path.clone();
        for (value, mark) in [(&mut before, " (before)"), (&mut after, " (after)")] {
            if let Some(value) = value {
                hide(&mut steps, value, if both { mark } else { "" });
            }
        }
    }
    FieldChange { path: Path(&path).to_string(), before, after }
}

/// A whole object for people.
pub(super) fn object(key: &ObjectKey, object: &Value) -> Value {
    let mut object = object.clone();
    if is_secret(key) {
        hide(&mut Vec::new(), &mut object, "");
    }
    object
}

/// Replaces every value at or below `path` that is a secret one.
fn hide(path: &mut Vec<Step>, value: &mut Value, mark: &str) {
    let named = |index: usize, names: &[&str]| match path.get(index) {
        Some(Step::Field(name)) => names.contains(&name.as_str()),
        _ => false,
    };
    let secret = named(0, &["data", "stringData"]) || (named(0, &["metadata"]) && named(2, &[LAST_APPLIED]));
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                path.push(Step::Field(name.clone()));
                hide(path, value, mark);
                path.pop();
            }
        }
        value if secret => *value = Value::from(format!("{MASK}{mark}")),
        _ => {}
    }
}
