//! How much of everything there may be. What a model or a tool says is bounded here; what clients send, by the protocol.

use std::time::Duration;

use serde_json::Value;

/// The most conversations of an environment.
pub(in crate::agent::program) const MAX_CONVERSATIONS: usize = 500;
/// The most prompts that wait in one conversation.
pub(in crate::agent::program) const MAX_QUEUE: usize = 50;
/// The largest log of a conversation in bytes. Events of a running turn may pass it; new prompts are refused.
pub(in crate::agent::program) const MAX_LOG: u64 = 256 * 1024 * 1024;
/// The longest text of one event in bytes.
pub(in crate::agent::program) const MAX_TEXT: usize = 256 * 1024;
/// The largest input of a tool in an event, as JSON in bytes.
pub(in crate::agent::program) const MAX_INPUT: usize = 64 * 1024;
/// The longest text of a tool's result in an event in bytes.
pub(in crate::agent::program) const MAX_RESULT: usize = 64 * 1024;
/// The largest structured result in an event, as JSON in bytes; a larger one is left out.
pub(in crate::agent::program) const MAX_DETAILS: usize = 64 * 1024;
/// All attachments of a prompt, decoded, in bytes.
pub(in crate::agent::program) const MAX_ATTACHED: usize = 20 * 1024 * 1024;
/// The longest title in characters.
pub(in crate::agent::program) const MAX_TITLE: usize = 200;
/// The most permission rules of a conversation, and of the project.
pub(in crate::agent::program) const MAX_RULES: usize = 500;
/// How long an interrupt may take before the process is ended.
pub(in crate::agent::program) const INTERRUPT: Duration = Duration::from_secs(10);

/// The beginning of a text, at most `bytes` of it, and whether it was cut.
pub(in crate::agent::program) fn cut(text: &str, bytes: usize) -> (String, bool) {
    if text.len() <= bytes {
        return (text.to_owned(), false);
    }
    (text[..text.floor_char_boundary(bytes)].to_owned(), true)
}

/// A value of at most `bytes` as JSON, and whether it was cut: long texts in it are shortened, and where that does not
/// help, it is left out.
pub(in crate::agent::program) fn cut_value(value: &Value, bytes: usize) -> (Value, bool) {
    if value.to_string().len() <= bytes {
        return (value.clone(), false);
    }
    for limit in [bytes / 8, 512, 64] {
        let shorter = shortened(value, limit);
        if shorter.to_string().len() <= bytes {
            return (shorter, true);
        }
    }
    (Value::Null, true)
}

fn shortened(value: &Value, limit: usize) -> Value {
    match value {
        Value::String(text) => match cut(text, limit) {
            (text, false) => Value::String(text),
            (text, true) => Value::String(format!("{text}…")),
        },
        Value::Array(items) => items.iter().map(|item| shortened(item, limit)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, field)| (key.clone(), shortened(field, limit))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aé", 3), ("aé".to_owned(), false));
        assert_eq!(cut("aé", 2), ("a".to_owned(), true));
    }

    #[test]
    fn values_are_cut_where_they_are_long() {
        let value = json!({"path": "/a", "content": "x".repeat(1000), "n": 1});
        assert_eq!(cut_value(&value, 5000), (value.clone(), false));
        let (cut, truncated) = cut_value(&value, 600);
        assert!(truncated && cut["path"] == "/a" && cut.to_string().len() <= 600, "{cut}");
        let many: Value = (0..1000).collect();
        assert_eq!(cut_value(&many, 100), (Value::Null, true));
    }
}
