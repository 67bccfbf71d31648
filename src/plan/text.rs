//! Plans as text, for `claude-manager plan`.

use std::fmt::Write as _;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{FieldChange, Operation, UnitPlan, mask};

/// How many unchanged lines are shown around a changed one.
const CONTEXT: usize = 3;

/// Renders plans: one block for each unit that has something to say, one line for each differing field, one line of
/// sums at the end. Secrets are masked; the same plans give the same text.
#[must_use]
pub fn show(plans: &[UnitPlan]) -> String {
    let mut text = String::new();
    let (mut created, mut changed, mut deleted, mut held) = (0, 0, 0, 0);
    for plan in plans.iter().filter(|plan| !plan.actions.is_empty() || !plan.held.is_empty()) {
        line(&mut text, 0, &plan.unit.to_string());
        for action in &plan.actions {
            let sign = match &action.operation {
                Operation::Create(_) => '+',
                Operation::Update { .. } => '~',
                Operation::Recreate { .. } => '±',
                Operation::Delete { .. } => '-',
            };
            line(&mut text, 2, &format!("{sign} {} ({})", action.key, action.reason));
            match &action.operation {
                Operation::Create(object) => {
                    created += 1;
                    if !object.is_null() {
                        leaves(&mut text, "", &mask::object(&action.key, object));
                    }
                }
                Operation::Update { .. } | Operation::Recreate { .. } => {
                    changed += 1;
                    action.changes.iter().for_each(|change| field(&mut text, change));
                }
                Operation::Delete { .. } => deleted += 1,
            }
        }
        for item in &plan.held {
            held += 1;
            line(&mut text, 2, &format!("= {} ({})", item.key, item.reason));
        }
    }
    if created + changed + deleted == 0 {
        text.push_str("Nothing to do: the cluster is as Git says");
    } else {
        let _ = write!(text, "{created} to create, {changed} to change, {deleted} to delete");
    }
    text.push_str(&if held == 0 { ".\n".to_owned() } else { format!("; {held} held.\n") });
    text
}

fn field(text: &mut String, change: &FieldChange) {
    let path = &change.path;
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if has_lines(before) || has_lines(after) => {
            line(text, 6, &format!("~ {path}:"));
            let (before, after) = (lines(before), lines(after));
            let diff = TextDiff::from_lines(&before, &after);
            for (position, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
                if position > 0 {
                    line(text, 8, "…");
                }
                for part in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
                    let sign = match part.tag() {
                        ChangeTag::Equal => ' ',
                        ChangeTag::Delete => '-',
                        ChangeTag::Insert => '+',
                    };
                    line(text, 8, &format!("{sign} {}", part.value().trim_end_matches('\n')));
                }
            }
        }
        (Some(before), Some(after)) => line(text, 6, &format!("~ {path}: {before} -> {after}")),
        (Some(before), None) => line(text, 6, &format!("- {path}: {before}")),
        (None, Some(after)) => line(text, 6, &format!("+ {path}: {after}")),
        (None, None) => {}
    }
}

/// Whether a value reads better line by line.
fn has_lines(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\n'),
        Value::Array(list) => list.iter().any(has_lines),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// A value as lines: a text as it is, a list with each element marked.
fn lines(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let element = |element: &Value| {
                let text = lines(element);
                format!("- {}\n", text.trim_end_matches('\n').replace('\n', "\n  "))
            };
            list.iter().map(element).collect()
        }
        value => value.to_string(),
    }
}

/// An object that is to be made, one line for each value. Its identity is in the line above.
fn leaves(text: &mut String, path: &str, value: &Value) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, value) in map {
                let below = match (path, name.as_str()) {
                    ("", "apiVersion" | "kind") | ("metadata", "name" | "namespace") => continue,
                    ("", name) => name.to_owned(),
                    (path, name) if name.contains(['.', '/', ' ']) => format!("{path}[{name:?}]"),
                    (path, name) => format!("{path}.{name}"),
                };
                leaves(text, &below, value);
            }
        }
        Value::Array(list) if list.iter().any(|value| value.is_object() || value.is_array()) => {
            for (index, value) in list.iter().enumerate() {
                let name = value.get("name").and_then(Value::as_str);
                let step = name.map_or_else(|| index.to_string(), |name| format!("name={name}"));
                leaves(text, &format!("{path}[{step}]"), value);
            }
        }
        value => line(text, 6, &format!("+ {path}: {value}")),
    }
}

/// Control characters in what the cluster or an overlay says must not reach a terminal.
fn line(text: &mut String, indent: usize, content: &str) {
    text.extend(std::iter::repeat_n(' ', indent));
    let visible = content.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c });
    text.extend(visible);
    text.push('\n');
}

#[cfg(test)]
mod tests;
