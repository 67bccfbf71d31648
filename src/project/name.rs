//! The short name of a project: its id, folder, label value and name prefix.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A project's short name: `^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`, at most 40 characters, never changed. Cheap to
/// clone: lists of all projects are copied often.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectName(Arc<str>);

/// Why a text is no [`ProjectName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// The text has more than 40 characters.
    #[error("must have at most 40 characters, has {0}")]
    TooLong(usize),
    /// A character or its place is not allowed.
    #[error("must be lower-case letters, digits and '-', start with a letter and not end with '-'")]
    Shape,
}

impl ProjectName {
    /// The longest name in characters: leaves room for `-workspace` and the pod suffix in a DNS label.
    pub const MAX_LENGTH: usize = 40;

    /// Parses a short name.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let length = text.chars().count();
        if length > Self::MAX_LENGTH {
            return Err(NameError::TooLong(length));
        }
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts_well || text.ends_with('-') || !text.chars().all(allowed) {
            return Err(NameError::Shape);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Sets and maps of projects are asked with texts, too.
impl Borrow<str> for ProjectName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl TryFrom<String> for ProjectName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<ProjectName> for String {
    fn from(name: ProjectName) -> Self {
        name.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_and_git_both_take_are_accepted() {
        for name in ["a", "a1", "checkout", "a-b", "x0-9", &"a".repeat(40)] {
            assert!(ProjectName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_broken_rule() {
        assert_eq!(ProjectName::parse(""), Err(NameError::Empty));
        assert_eq!(ProjectName::parse(&"a".repeat(41)), Err(NameError::TooLong(41)));
        for name in ["A", "1a", "-a", "a-", "a_b", "a.b", "a/b", "..", "ä", "a b", "a\n"] {
            assert_eq!(ProjectName::parse(name), Err(NameError::Shape), "{name:?}");
        }
    }
}
