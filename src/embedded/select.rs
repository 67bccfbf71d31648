//! Label selectors as requests carry them.

use serde_json::Value;

/// A selector: all requirements have to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// Parses `a`, `!a`, `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, joined by commas.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            let (key, rule) = if part.is_empty() {
                continue;
            } else if let Some((key, values)) = part.split_once(" notin ") {
                (key, Rule::NotIn(set(values)?))
            } else if let Some((key, values)) = part.split_once(" in ") {
                (key, Rule::In(set(values)?))
            } else if let Some((key, value)) = part.split_once("!=") {
                (key, Rule::NotIn(vec![value.trim().to_owned()]))
            } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (key, Rule::In(vec![value.trim().to_owned()]))
            } else if let Some(key) = part.strip_prefix('!') {
                (key, Rule::Absent)
            } else {
                (part, Rule::Exists)
            };
            let key = key.trim();
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            if key.is_empty() || !key.chars().all(allowed) {
                return None;
            }
            requirements.push(Requirement { key: key.to_owned(), rule });
        }
        Some(Self(requirements))
    }

    /// Whether an object is selected.
    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.0.iter().all(|requirement| {
            let value = labels[&requirement.key].as_str();
            match &requirement.rule {
                Rule::Exists => value.is_some(),
                Rule::Absent => value.is_none(),
                Rule::In(values) => value.is_some_and(|value| values.iter().any(|other| other == value)),
                Rule::NotIn(values) => !value.is_some_and(|value| values.iter().any(|other| other == value)),
            }
        })
    }
}

/// At the commas that are not within parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let separator = move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    };
    text.split(separator).collect()
}

fn set(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select_as_kubernetes_says() {
        let object = json!({"metadata": {"labels": {"a/b": "x", "c": "y"}}});
        let selects = |text: &str| Selector::parse(text).map(|selector| selector.matches(&object));
        for text in ["", "a/b", "a/b=x", "a/b==x,c=y", "!d", "d!=x", "a/b in (w, x),c", "a/b notin (w)", "a/b=x,!d"] {
            assert_eq!(selects(text), Some(true), "{text}");
        }
        for text in ["d", "!c", "a/b=y", "c!=y", "c in (z)", "c notin (y)", "a/b,d"] {
            assert_eq!(selects(text), Some(false), "{text}");
        }
        assert_eq!(selects("a b c"), None);
    }
}
