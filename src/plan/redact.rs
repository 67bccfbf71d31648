//! Takes the values of a project's Secrets out of a text that somebody else wrote: a log that a container leaves behind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

/// What stands for a value that nobody is to see.
const MASK: &str = "***";
/// Of a value with several lines (a key), lines from this length on are taken out one by one as well.
const LINE: usize = 12;

/// Replaces in `text` every value of `secrets` (Secret objects), as it is and in base64.
#[must_use]
pub fn without_secrets<'a>(text: &str, secrets: impl Iterator<Item = &'a Value>) -> String {
    let mut values: Vec<String> = secrets.flat_map(values).collect();
    // The longest first: a value may be the beginning of another one.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), MASK))
}

fn values(secret: &Value) -> Vec<String> {
    let mut values = Vec::new();
    for (field, is_encoded) in [("data", true), ("stringData", false)] {
        for text in secret[field].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
            let decoded = match is_encoded {
                true => BASE64.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok()),
                false => Some(text.to_owned()),
            };
            let Some(clear) = decoded else { continue };
            values.push(BASE64.encode(&clear));
            values.extend(clear.lines().map(str::trim).filter(|line| line.len() >= LINE).map(str::to_owned));
            values.push(clear.trim().to_owned());
        }
    }
    values.retain(|value| !value.is_empty());
    values
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_go_in_every_form_in_which_a_log_may_have_them() {
        let key = "-----BEGIN KEY-----\nc2VjcmV0IGxpbmU\nshort\n-----END KEY-----\n";
        let one = json!({"data": {"a": BASE64.encode("hunter2\n"), "b": BASE64.encode("hunter2-and-more"), "c": ""}});
        let two = json!({"stringData": {"key": key}});
        let told = |text: &str| without_secrets(text, [&one, &two].into_iter());
        assert_eq!(told("login hunter2 failed"), "login *** failed");
        assert_eq!(told("hunter2-and-more"), "***");
        assert_eq!(told(&format!("env {}", BASE64.encode("hunter2-and-more"))), "env ***");
        assert_eq!(told("line: c2VjcmV0IGxpbmU, short"), "line: ***, short");
        assert_eq!(told("nothing of it"), "nothing of it");
    }
}
