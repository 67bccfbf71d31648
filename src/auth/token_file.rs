//! Secrets that the first start makes and keeps in the data directory, readable by their owner alone: the administrator's
//! token and the key that signs other tokens.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::private_file::{self, PrivateFileError};

/// Why a secret of the sign-in is not there.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file cannot be read, made or protected.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The file holds no usable secret.
    #[error("{} holds no text of at least 32 characters without spaces; delete it, and a new one is made at the next start", .0.display())]
    Content(PathBuf),
    /// The secret of the settings could be guessed.
    #[error(
        "{0} must have at least 32 characters and no spaces, as `openssl rand -hex 32` prints them; correct the variable, or \
         the key {1} of the Secret"
    )]
    Given(&'static str, &'static str),
    /// There is no file yet.
    #[error("{path} is not there yet; the manager makes it at its first start, unless {setting} is set", path = .0.display(), setting = .1)]
    NoneYet(PathBuf, &'static str),
}

/// Shorter secrets could be guessed.
const MIN_LENGTH: usize = 32;

/// A secret of the data directory.
pub(super) struct TokenFile {
    /// Its file in the data directory and its key in the Secret.
    name: &'static str,
    /// The setting that replaces it.
    setting: &'static str,
    /// What it holds, for the log.
    content: &'static str,
}

/// The administrator's token.
pub(super) const ADMIN_TOKEN: TokenFile =
    TokenFile { name: "admin-token", setting: "ADMIN_TOKEN", content: "the administrator token" };
/// The key that signs tokens with a role.
pub(super) const JWT_SECRET: TokenFile =
    TokenFile { name: "jwt-secret", setting: "JWT_SECRET", content: "the key that signs tokens" };

impl TokenFile {
    /// Returns the secret of the settings, or an error if it could be guessed.
    pub(super) fn check_given(&self, text: &str) -> Result<String, AuthError> {
        is_good(text).then(|| text.to_owned()).ok_or(AuthError::Given(self.setting, self.name))
    }

    /// Returns the secret in the file.
    pub(super) fn read(&self, data_dir: &Path) -> Result<String, AuthError> {
        if !data_dir.join(self.name).exists() {
            return Err(AuthError::NoneYet(data_dir.join(self.name), self.setting));
        }
        self.read_or_create(data_dir)
    }

    /// Returns the secret, from the file or new.
    pub(super) fn read_or_create(&self, data_dir: &Path) -> Result<String, AuthError> {
        let make = || Ok::<_, AuthError>(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()) + "\n");
        let text = private_file::read_or_create(data_dir, self.name, self.content, make)?;
        let token = text.trim();
        if is_good(token) { Ok(token.to_owned()) } else { Err(AuthError::Content(data_dir.join(self.name))) }
    }
}

fn is_good(token: &str) -> bool {
    token.len() >= MIN_LENGTH && token.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_start_makes_a_token_and_later_ones_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let token = ADMIN_TOKEN.read_or_create(directory.path()).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&token).unwrap().len(), 32);
        assert_eq!(ADMIN_TOKEN.read_or_create(directory.path()).unwrap(), token);
    }

    #[test]
    fn a_given_token_is_used_when_it_cannot_be_guessed_and_none_is_made_to_be_shown() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(ADMIN_TOKEN.check_given(&"x".repeat(32)).unwrap(), "x".repeat(32));
        for given in ["", "changeme", &"a b ".repeat(20)] {
            assert!(ADMIN_TOKEN.check_given(given).unwrap_err().to_string().contains("ADMIN_TOKEN"));
        }
        assert!(matches!(ADMIN_TOKEN.read(directory.path()), Err(AuthError::NoneYet(..))));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(ADMIN_TOKEN.read_or_create(directory.path()).unwrap(), ADMIN_TOKEN.read(directory.path()).unwrap());
    }

    #[test]
    fn a_file_without_a_good_token_is_an_error_that_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        for content in ["", "short", &"a b ".repeat(20)] {
            fs::write(directory.path().join("admin-token"), content).unwrap();
            let error = ADMIN_TOKEN.read_or_create(directory.path()).unwrap_err().to_string();
            assert!(error.contains("delete it"), "{error}");
        }
    }

    #[test]
    fn errors_name_the_secret_that_they_are_about() {
        let directory = tempfile::tempdir().unwrap();
        let missing = JWT_SECRET.read(directory.path()).unwrap_err().to_string();
        assert!(missing.contains("jwt-secret") && missing.contains("JWT_SECRET"), "{missing}");
        let short = JWT_SECRET.check_given("short").unwrap_err().to_string();
        assert!(short.contains("JWT_SECRET must have at least 32") && !short.contains("\"short"), "{short}");
    }
}
