//! Values as YAML text.

use serde_yaml::Value;

/// How a scalar was written before, to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Plain where that is safe in block and flow style alike.
    AsNeeded,
    /// Plain where that is safe in block style, where brackets and commas are letters like others.
    Block,
    Single,
    Double,
}

/// A string as a scalar on one line that every YAML reader takes for that string: also readers that hold `yes` for a
/// boolean and `1e3` for a number.
#[must_use]
pub fn scalar(text: &str) -> String {
    quoted(text, Quotes::AsNeeded)
}

pub(super) fn quoted(text: &str, quotes: Quotes) -> String {
    let single_line = text.chars().all(|c| is_printable(c) && c != '\t');
    match quotes {
        Quotes::AsNeeded if is_plain(text) => text.to_owned(),
        Quotes::Block if is_plain(&text.replace(['[', ']', ','], "x")) && !text.starts_with(['[', ']', ',']) => {
            text.to_owned()
        }
        Quotes::Single if single_line => format!("'{}'", text.replace('\'', "''")),
        Quotes::AsNeeded | Quotes::Block if single_line && text.contains(['"', '\\']) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        Quotes::AsNeeded | Quotes::Block | Quotes::Single | Quotes::Double => double_quoted(text),
    }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) <= 0xff => out.push_str(&format!("\\x{:02X}", u32::from(c))),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Characters that may stand in a YAML stream and that no reader takes for a line break or drops.
fn is_printable(c: char) -> bool {
    matches!(c, '\t' | ' '..='~' | '\u{a1}'..='\u{2027}' | '\u{202f}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}'
        | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{10fffd}')
}

/// Whether `text` can stand without quotes, in block and flow style alike. Says no when in doubt.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let starts = first.is_alphanumeric() || matches!(first, '/' | '_' | '.');
    let inside = |c: char| c.is_alphanumeric() || "_./-+=@~()$%^*;: #".contains(c);
    if !starts || !text.chars().all(inside) || text.ends_with([' ', ':']) {
        return false;
    }
    if text.contains(": ") || text.contains(" #") {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", ".inf", ".nan", "nan", "inf"];
    if words.contains(&lower.as_str()) {
        return false;
    }
    // Anything that could be a number, a date or a number to the base of sixty in some reader. A letter that none of
    // them has, as in 20Gi, settles it.
    if first.is_ascii_digit() || first == '.' {
        return lower.chars().any(|c| "ghijklmnpqrsuvwy/".contains(c));
    }
    true
}

/// `value` in flow style, on one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Mapping(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{}: {}", flow(key), flow(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        // Nothing here makes tagged values; the comparison after the edit refuses what this would lose.
        Value::Tagged(tagged) => flow(&tagged.value),
    }
}

/// `key: value` as lines without indentation.
pub(super) fn entry(key: &str, value: &Value) -> Vec<String> {
    let key = scalar(key);
    match value {
        Value::Mapping(entries) if !entries.is_empty() => {
            let mut lines = vec![format!("{key}:")];
            lines.extend(block(value).into_iter().map(|line| indented("  ", line)));
            lines
        }
        // A list stands at the column of its key, as kustomize writes it.
        Value::Sequence(items) if !items.is_empty() => {
            let mut lines = vec![format!("{key}:")];
            lines.extend(block(value));
            lines
        }
        Value::String(text) if is_literal(text) => {
            let header = if text.ends_with('\n') { "|" } else { "|-" };
            let mut lines = vec![format!("{key}: {header}")];
            lines.extend(text.lines().map(|line| indented("  ", line.to_owned())));
            lines
        }
        Value::String(text) => vec![format!("{key}: {}", quoted(text, Quotes::Block))],
        other => vec![format!("{key}: {}", flow(other))],
    }
}

/// `- value` as lines without indentation.
pub(super) fn item(value: &Value) -> Vec<String> {
    let mut lines = block(value).into_iter();
    let mut out: Vec<String> = lines.next().map(|first| format!("- {first}")).into_iter().collect();
    out.extend(lines.map(|line| indented("  ", line)));
    out
}

/// `value` as lines without indentation.
pub(super) fn block(value: &Value) -> Vec<String> {
    match value {
        Value::Mapping(entries) if !entries.is_empty() => {
            entries.iter().flat_map(|(key, value)| entry(key.as_str().unwrap_or_default(), value)).collect()
        }
        Value::Sequence(items) if !items.is_empty() => items.iter().flat_map(item).collect(),
        other => vec![flow(other)],
    }
}

/// Whether a text reads best, and survives, as a literal block.
fn is_literal(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && body.chars().all(|c| c == '\n' || (is_printable(c) && c != '\t'))
        && body.lines().all(|line| !line.ends_with(' '))
}

fn indented(by: &str, line: String) -> String {
    if line.is_empty() { line } else { format!("{by}{line}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_reader_could_take_for_something_else_is_quoted() {
        for text in [
            "",
            " a",
            "a ",
            "a:",
            "a: b",
            "a #b",
            "#a",
            "yes",
            "No",
            "on",
            "y",
            "null",
            "~",
            "1",
            "1.2",
            "1e3",
            "0x1F",
            "0o14",
            "1_000",
            "12:30:45",
            "2026-11-24",
            "2026-11-24T03:00:00Z",
            ".5",
            ".inf",
            "-1",
            "- a",
            "{{a}}",
            "[a]",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "'a",
            "\"a",
            "a\nb",
            "a\tb",
            "a\u{85}b",
            "a\u{2028}b",
            "=",
            "<<",
            "\u{feff}a",
            "a, b",
            "?",
            "---",
        ] {
            assert_ne!(scalar(text), text, "{text:?}");
            assert_eq!(
                serde_yaml::from_str::<Value>(&scalar(text)).unwrap(),
                Value::String(text.to_owned()),
                "{text:?}"
            );
            assert!(!scalar(text).contains('\n'));
        }
        for text in
            ["a", "a b", "20Gi", "500m", "projects/checkout", "git@h:a/b.git", "https://h/x#y", "Grüße", "../../base"]
        {
            assert_eq!(scalar(text), text);
        }
    }

    #[test]
    fn control_characters_are_escaped_and_read_back() {
        for text in ["\u{0}", "\u{7f}", "\u{80}", "a\r\nb", "\u{fffe}x", "\u{1F600}", "\u{10ffff}", "\u{200b}"] {
            assert_eq!(
                serde_yaml::from_str::<Value>(&scalar(text)).unwrap(),
                Value::String(text.to_owned()),
                "{text:?}"
            );
        }
    }
}
