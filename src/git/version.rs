//! Whether the `git` program is there, and new enough.

use std::fmt;
use std::process::{Command, Stdio};

/// The oldest git that is known to do all that is asked of it: `GIT_CONFIG_GLOBAL`, by which a run depends on nothing of
/// the machine, came with it.
pub const OLDEST: Version = Version { major: 2, minor: 32 };

/// A version of git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Why the `git` program cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// It cannot be started.
    #[error("git cannot be started ({0}); install git {OLDEST} or newer and have it on the PATH")]
    Missing(std::io::Error),
    /// It does not say what it is.
    #[error("`git version` answers {0:?}, which names no version; install git {OLDEST} or newer")]
    Unknown(String),
    /// It is too old.
    #[error("git {found} is too old; install git {OLDEST} or newer")]
    Old {
        /// The version found.
        found: Version,
    },
}

/// Asks the `git` program on the PATH for its version. Blocks for as long as that takes, some milliseconds.
///
/// # Errors
/// [`VersionError`] when it is missing or older than [`OLDEST`].
pub fn version() -> Result<Version, VersionError> {
    let output = Command::new("git")
        .arg("version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(VersionError::Missing)?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match parse(&text) {
        None => Err(VersionError::Unknown(text)),
        Some(found) if found < OLDEST => Err(VersionError::Old { found }),
        Some(found) => Ok(found),
    }
}

/// Reads `git version 2.39.5 (Apple Git-154)`.
fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    let mut next = || numbers.next()?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    Some(Version { major: next()?, minor: next()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_distributions_write_them() {
        for (text, expected) in [
            ("git version 2.39.5", Some((2, 39))),
            ("git version 2.39.5 (Apple Git-154)", Some((2, 39))),
            ("git version 2.52.0.windows.1", Some((2, 52))),
            ("git version 2.47-rc1", Some((2, 47))),
            ("hub version 2.14", None),
            ("git version two", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(|version| (version.major, version.minor)), expected, "{text}");
        }
        assert!(Version { major: 2, minor: 31 } < OLDEST && OLDEST < Version { major: 3, minor: 0 });
    }

    #[test]
    fn the_git_of_this_machine_is_new_enough_for_its_own_tests() {
        assert!(version().unwrap() >= OLDEST);
    }
}
