//! Patterns that match a whole text, as selectors have them. Nearly all of them are plain names, for which no expression is
//! compiled.
//!
//! Matching is linear in the text whatever the expression; what an expression may grow to when it is compiled is limited
//! here, since a few letters with counts can ask for much, and a tree may hold many.

use regex::{Regex, RegexBuilder};

/// How much memory one compiled expression may take, in bytes.
const MAX_SIZE: usize = 1 << 20;

/// Why a text is not accepted as an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    #[error("{0:?} is no regular expression")]
    Syntax(String),
    #[error("{0:?} is too large a regular expression; use smaller counts")]
    TooLarge(String),
}

/// Compiles an expression.
///
/// # Errors
/// [`PatternError`].
pub(super) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(pattern).size_limit(MAX_SIZE).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::TooLarge(pattern.to_owned()),
        _ => PatternError::Syntax(pattern.to_owned()),
    })
}

/// What a text has to be.
#[derive(Debug)]
pub(super) enum Pattern {
    Text(String),
    Expression(Regex),
}

impl Pattern {
    /// From a regular expression.
    ///
    /// # Errors
    /// As [`compile`].
    pub(super) fn new(pattern: &str) -> Result<Self, PatternError> {
        if is_plain(pattern) {
            return Ok(Self::Text(pattern.to_owned()));
        }
        compile(&format!("^(?:{pattern})$")).map(Self::Expression)
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
        assert_eq!(Pattern::new("(").unwrap_err(), PatternError::Syntax("^(?:()$".to_owned()));
    }
}
