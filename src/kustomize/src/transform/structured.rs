//! Values inside a text that is itself JSON or YAML, as a ConfigMap may hold.

mod splice;

use serde_json::Value;

use crate::load;
use crate::yaml::{self, JsonError, Kind, Node, Style, Tag};

use super::path::{self, FieldPathError, Made};

/// Sets what stands at a path that begins in the object and ends inside the first text on its way. Returns false, and
/// changes nothing, when there is no such text, or nothing at the rest of the path: the path may be meant otherwise.
pub(super) fn set<E: From<FieldPathError>>(
    node: &mut Node,
    parts: &[String],
    make: Option<Made>,
    set: &mut path::Visitor<'_, E>,
) -> bool {
    for at in 1..parts.len() {
        let (outer, inner) = parts.split_at(at);
        let Ok(Some(Node { kind: Kind::Scalar(text), .. })) = path::get_mut(node, outer) else { continue };
        let Ok(parsed) = load::inner(text) else { continue };
        let Some(mut parsed) = parsed else { break };
        let before = parsed.clone();
        if !matches!(path::visit(&mut parsed, inner, make, set), Ok(1..)) {
            return false;
        }
        *text = if text.trim_start().starts_with(['{', '[']) {
            let Ok(json) = json(&parsed, text.contains('\n') && text.contains("  ")) else { return false };
            json
        } else {
            // Comments and anchors are kept by changing the text where the values stand; else it is written anew.
            let spliced = splice::scalars(text, &before, &parsed);
            spliced.unwrap_or_else(|| write(&parsed)).trim().to_owned()
        };
        return true;
    }
    false
}

/// As Go writes JSON: keys sorted, and what HTML knows escaped.
///
/// # Errors
/// As [`Node::to_json`].
pub(crate) fn json(node: &Node, pretty: bool) -> Result<String, JsonError> {
    let value = sorted(node.to_json()?);
    let text = if pretty { format!("{value:#}") } else { value.to_string() };
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
        Kind::Scalar(_) => scalar_in_flow(node, out),
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
    let fits = yaml::stays_block(text);
    let several_lines = text.contains('\n');
    tag(node, several_lines && fits, out);
    match node.style {
        Style::SingleQuoted if !yaml::fits_single_quotes(text) => quoted(text, out),
        Style::SingleQuoted if several_lines => single_quoted(text, indent, out),
        Style::SingleQuoted => {
            out.push('\'');
            out.push_str(&text.replace('\'', "''"));
            out.push('\'');
        }
        Style::DoubleQuoted => quoted(text, out),
        Style::Literal if fits => literal(text, indent, out),
        Style::Folded if fits => folded(text, indent, out),
        Style::Literal | Style::Folded => quoted(text, out),
        Style::Plain | Style::Flow | Style::Trailed if several_lines && fits => literal(text, indent, out),
        // Nothing is written for nothing.
        Style::Plain | Style::Flow | Style::Trailed if text.is_empty() && node.tag != Tag::Str => {
            let end = out.trim_end_matches(' ').len();
            out.truncate(end);
        }
        Style::Plain | Style::Flow | Style::Trailed
            if node.tag == Tag::Str && Node::plain(text).type_tag() != Tag::Str =>
        {
            quoted(text, out);
        }
        Style::Plain | Style::Flow | Style::Trailed => out.push_str(&yaml::without_type(text)),
    }
}

/// The tag of a text that is not of its type by itself any more.
fn tag(node: &Node, is_block: bool, out: &mut String) {
    let tag = match &node.tag {
        Tag::Int => "!!int",
        Tag::Bool => "!!bool",
        Tag::Float => "!!float",
        Tag::Null => "!!null",
        Tag::Timestamp => "!!timestamp",
        Tag::None | Tag::Str | Tag::Binary | Tag::Other => return,
    };
    let is_plain = matches!(node.style, Style::Plain | Style::Flow | Style::Trailed) && !is_block;
    if !is_plain || Node::plain(node.text().unwrap_or_default()).type_tag() != node.tag {
        out.push_str(tag);
        out.push(' ');
    }
}

/// As [`scalar`], between brackets, where no text has several lines.
fn scalar_in_flow(node: &Node, out: &mut String) {
    let text = node.text().unwrap_or_default();
    let is_plain = matches!(node.style, Style::Plain | Style::Flow | Style::Trailed);
    if is_plain && text.is_empty() && node.tag == Tag::Str {
        quoted(text, out);
    } else if is_plain && (text.is_empty() || text.contains([',', '?', '[', ']', '{', '}', ':'])) {
        // Brackets, and what parts their items, are in quotes wherever they stand.
        if yaml::fits_single_quotes(text) {
            scalar(&Node { style: Style::SingleQuoted, ..node.clone() }, 0, out);
        } else {
            scalar(&Node { style: Style::DoubleQuoted, ..node.clone() }, 0, out);
        }
    } else if text.contains('\n') && node.style != Style::SingleQuoted {
        tag(node, true, out);
        quoted(text, out);
    } else {
        scalar(node, 0, out);
    }
}

/// A break between quotes is an empty line.
fn single_quoted(text: &str, indent: usize, out: &mut String) {
    out.push('\'');
    let mut breaks = false;
    for line in text.split_inclusive('\n') {
        let content = line.strip_suffix('\n');
        let written = content.unwrap_or(line);
        if breaks && !written.is_empty() {
            out.push_str(&" ".repeat(indent.max(2)));
        }
        out.push_str(&written.replace('\'', "''"));
        if content.is_some() {
            out.push_str(if breaks && written.is_empty() { "\n" } else { "\n\n" });
            breaks = true;
        }
    }
    out.push('\'');
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&yaml::in_quotes(text));
}

/// Folded text, with a break more where lines do not begin with a blank. Lines are never folded at a width.
fn folded(text: &str, indent: usize, out: &mut String) {
    out.push('>');
    hints(text, out);
    out.push('\n');
    let first = text.trim_start_matches('\n');
    let doubled = !first.is_empty() && !first.starts_with([' ', '\t']);
    let (mut at_start, mut leads) = (true, true);
    for c in text.chars() {
        if c == '\n' {
            if !at_start && !leads && doubled {
                out.push('\n');
            }
            out.push('\n');
            at_start = true;
        } else {
            if at_start {
                out.push_str(&" ".repeat(indent.max(2)));
                leads = c == ' ' || c == '\t';
            }
            out.push(c);
            at_start = false;
        }
    }
    end_line(out);
}

fn hints(text: &str, out: &mut String) {
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    match text.strip_suffix('\n') {
        None => out.push('-'),
        Some(rest) if rest.ends_with('\n') || rest.is_empty() => out.push('+'),
        Some(_) => {}
    }
}

fn literal(text: &str, indent: usize, out: &mut String) {
    out.push('|');
    hints(text, out);
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent.max(2)));
            out.push_str(line);
        }
    }
    out.push('\n');
}
