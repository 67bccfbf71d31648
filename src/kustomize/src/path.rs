//! A path inside the state repository.

use std::fmt;

/// A normalised, relative path with `/` between its parts; empty for the root. Never has `.` or `..` parts, so it
/// cannot leave the repository.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RepoPath(String);

/// Why a text is no [`RepoPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path starts with `/`.
    #[error("{0:?} is absolute; paths are relative to their file")]
    Absolute(String),
    /// The path climbs out of the repository.
    #[error("{0:?} leaves the repository")]
    Escapes(String),
    /// The path has a NUL byte or a backslash.
    #[error("{0:?} has a character that paths cannot have")]
    Character(String),
}

impl RepoPath {
    /// The root of the repository.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Parses a path relative to the root, resolving `.` and `..` by text alone.
    ///
    /// # Errors
    /// [`PathError`] when the path is absolute, leaves the repository or has impossible characters.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        Self::root().join(text)
    }

    /// Resolves `relative` against this directory.
    ///
    /// # Errors
    /// As [`RepoPath::parse`].
    pub fn join(&self, relative: &str) -> Result<Self, PathError> {
        if relative.starts_with('/') {
            return Err(PathError::Absolute(relative.to_owned()));
        }
        if relative.contains(['\0', '\\']) {
            return Err(PathError::Character(relative.to_owned()));
        }
        let mut parts: Vec<&str> = self.0.split('/').filter(|part| !part.is_empty()).collect();
        for part in relative.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(PathError::Escapes(relative.to_owned()));
                    }
                }
                part => parts.push(part),
            }
        }
        Ok(Self(parts.join("/")))
    }

    /// The path as text; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds this path; the root's is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned()))
    }

    /// The last part; empty for the root.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// Whether this path is `directory` or lies below it.
    #[must_use]
    pub fn is_within(&self, directory: &Self) -> bool {
        directory.is_root()
            || self == directory
            || self.0.strip_prefix(&directory.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "." } else { &self.0 })
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_resolved_by_text_and_cannot_leave_the_root() {
        let overlay = RepoPath::parse("projects/a").unwrap();
        assert_eq!(overlay.join("../../base").unwrap().as_str(), "base");
        assert_eq!(overlay.join("./x//y/.").unwrap().as_str(), "projects/a/x/y");
        assert_eq!(overlay.join("../../..").unwrap_err(), PathError::Escapes("../../..".into()));
        assert!(matches!(overlay.join("/etc/passwd"), Err(PathError::Absolute(_))));
        assert!(overlay.join("x").unwrap().is_within(&overlay));
        assert!(!RepoPath::parse("projects/ab").unwrap().is_within(&overlay));
        assert_eq!(overlay.parent().as_str(), "projects");
        assert_eq!(overlay.file_name(), "a");
    }
}
