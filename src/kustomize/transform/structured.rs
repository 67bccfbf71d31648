//! Values inside a text that is itself JSON or YAML, as a ConfigMap may hold.

use serde_json::Value;

use crate::kustomize::load;
use crate::yaml::{self, Kind, Node, Style, Tag};

use super::path::{self, Made};

/// Sets what stands at a path that begins in the object and ends inside the first text on its way.
///
/// # Errors
/// When there is no such text, or nothing at the rest of the path: the path may be meant otherwise.
pub(super) fn set(
    node: &mut Node,
    parts: &[String],
    make: Option<Made>,
    set: &mut dyn FnMut(&mut Node) -> Result<(), String>,
) -> Result<(), String> {
    for at in 1..parts.len() {
        let (outer, inner) = parts.split_at(at);
        let Ok(Some(Node { kind: Kind::Scalar(text), .. })) = path::get_mut(node, outer) else { continue };
        let Ok(parsed) = load::inner(text) else { continue };
        let Some(mut parsed) = parsed else { break };
        if path::visit(&mut parsed, inner, make, set)? == 0 {
            return Err("there is no such field in the text".to_owned());
        }
        *text = if text.trim_start().starts_with(['{', '[']) {
            json(&parsed, text.contains('\n') && text.contains("  "))?
        } else {
            write(&parsed).trim().to_owned()
        };
        return Ok(());
    }
    Err("no text on the way is JSON or YAML".to_owned())
}

/// As Go writes JSON: keys sorted, and what HTML knows escaped.
fn json(node: &Node, pretty: bool) -> Result<String, String> {
    let value = sorted(node.to_json().map_err(|(_, message)| message)?);
    let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
    let text = text.map_err(|error| error.to_string())?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    Ok(out)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(pairs) => {
            let mut pairs: Vec<(String, Value)> = pairs.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
        other => other,
    }
}

/// Writes a document again in the order and the styles that it had.
pub(super) fn write(node: &Node) -> String {
    let mut out = String::new();
    match &node.kind {
        Kind::Scalar(_) => scalar(node, 0, &mut out),
        Kind::Sequence(_) | Kind::Mapping(_) => block(node, 0, &mut out),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn is_flow(node: &Node) -> bool {
    node.style == Style::Flow
        || match &node.kind {
            Kind::Scalar(_) => true,
            Kind::Sequence(items) => items.is_empty(),
            Kind::Mapping(pairs) => pairs.is_empty(),
        }
}

fn block(node: &Node, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match &node.kind {
        Kind::Scalar(_) => scalar(node, indent, out),
        _ if is_flow(node) => flow(node, out),
        Kind::Sequence(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 || out.ends_with('\n') {
                    out.push_str(&pad);
                }
                out.push_str("- ");
                block(item, indent + 2, out);
                end_line(out);
            }
        }
        Kind::Mapping(pairs) => {
            for (at, (key, value)) in pairs.iter().enumerate() {
                if at > 0 || out.ends_with('\n') {
                    out.push_str(&pad);
                }
                scalar(key, indent, out);
                out.push(':');
                if is_flow(value) {
                    out.push(' ');
                    block(value, indent + 2, out);
                } else {
                    out.push('\n');
                    // Lists stand under their key without being indented.
                    let inner = if value.items().is_some() { indent } else { indent + 2 };
                    block(value, inner, out);
                }
                end_line(out);
            }
        }
    }
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

fn flow(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Scalar(_) => scalar(node, 0, out),
        Kind::Sequence(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                flow(item, out);
            }
            out.push(']');
        }
        Kind::Mapping(pairs) => {
            out.push('{');
            for (at, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                scalar(key, 0, out);
                out.push_str(": ");
                flow(value, out);
            }
            out.push('}');
        }
    }
}

fn scalar(node: &Node, indent: usize, out: &mut String) {
    let text = node.text().unwrap_or_default();
    match node.style {
        Style::SingleQuoted => {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        }
        Style::DoubleQuoted => quoted(text, out),
        Style::Literal | Style::Folded if text.contains('\n') => literal(text, indent, out),
        Style::Plain | Style::Literal | Style::Folded | Style::Flow => {
            let untagged = Node::plain(text);
            let is_text = matches!(node.tag, Tag::Str) && !untagged.is_string();
            match text {
                _ if text.contains('\n') => literal(text, indent, out),
                _ if is_text => quoted(text, out),
                _ if node.is_null() || !untagged.is_string() => out.push_str(text),
                // The emitter knows which plain texts need quotes.
                _ => out.push_str(yaml::emit(&Value::String(text.to_owned())).trim_end()),
            }
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&Value::String(text.to_owned()).to_string());
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    match text.strip_suffix('\n') {
        None => out.push('-'),
        Some(rest) if rest.ends_with('\n') || rest.is_empty() => out.push('+'),
        Some(_) => {}
    }
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent.max(2)));
            out.push_str(line);
        }
    }
    out.push('\n');
}
