//! Patterns that match a whole text, as selectors have them. Nearly all of them are plain names, for which no expression is
//! compiled.

use regex::Regex;

/// What a text has to be.
#[derive(Debug)]
pub(super) enum Pattern {
    Text(String),
    Expression(Regex),
}

impl Pattern {
    /// From a regular expression; `None` when it is none.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        if is_plain(pattern) {
            return Some(Self::Text(pattern.to_owned()));
        }
        Regex::new(&format!("^(?:{pattern})$")).ok().map(Self::Expression)
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Text(plain) => plain == text,
            Self::Expression(regex) => regex.is_match(text),
        }
    }
}

/// Whether an expression matches itself and nothing else.
pub(super) fn is_plain(pattern: &str) -> bool {
    pattern.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | ':' | ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_match_as_the_expression_would() {
        for pattern in ["env", "a-b_c", "registry/x:1", "a b", "", "a.b", "a|b", "a*", "[ab]", "^a$", "(?i)A", "a\\.b"]
        {
            let expression = Regex::new(&format!("^(?:{pattern})$")).unwrap();
            let found = Pattern::new(pattern).unwrap();
            for text in ["env", "Env", "a-b_c", "registry/x:1", "a b", "", "a", "b", "a.b", "axb", "aa", "env\n"] {
                assert_eq!(found.matches(text), expression.is_match(text), "{pattern:?} and {text:?}");
            }
        }
        assert!(Pattern::new("(").is_none());
    }
}
