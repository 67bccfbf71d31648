//! The file `DATA_DIR/admin-token`: made once, readable by its owner alone.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::private_file::{self, PrivateFileError};

/// Why there is no administrator token.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The file cannot be read, made or protected.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The file holds no usable token.
    #[error("{} holds no token of at least 32 characters; delete it, and a new one is made at the next start", .0.display())]
    Content(PathBuf),
    /// The token of the settings could be guessed.
    #[error(
        "the token must have at least 32 characters and no spaces, as `openssl rand -hex 32` prints them; correct \
         ADMIN_TOKEN, or the key admin-token of the Secret"
    )]
    Given,
    /// There is no file yet.
    #[error("{} is not there yet; the manager makes it at its first start", .0.display())]
    NoneYet(PathBuf),
}

/// Shorter tokens could be guessed.
const MIN_LENGTH: usize = 32;

const NAME: &str = "admin-token";

/// The token of the settings, when it is a good one.
pub(super) fn check_given(text: &str) -> Result<String, AuthError> {
    is_good(text).then(|| text.to_owned()).ok_or(AuthError::Given)
}

/// The token in the file.
pub(super) fn read(data_dir: &Path) -> Result<String, AuthError> {
    if !data_dir.join(NAME).exists() {
        return Err(AuthError::NoneYet(data_dir.join(NAME)));
    }
    read_or_create(data_dir)
}

/// The token, from the file or new.
pub(super) fn read_or_create(data_dir: &Path) -> Result<String, AuthError> {
    let make = || Ok::<_, AuthError>(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()) + "\n");
    let text = private_file::read_or_create(data_dir, NAME, "the administrator token", make)?;
    let token = text.trim();
    if is_good(token) { Ok(token.to_owned()) } else { Err(AuthError::Content(data_dir.join(NAME))) }
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
        let token = read_or_create(directory.path()).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&token).unwrap().len(), 32);
        assert_eq!(read_or_create(directory.path()).unwrap(), token);
    }

    #[test]
    fn a_given_token_is_used_when_it_cannot_be_guessed_and_none_is_made_to_be_shown() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(check_given(&"x".repeat(32)).unwrap(), "x".repeat(32));
        for given in ["", "changeme", &"a b ".repeat(20)] {
            assert!(check_given(given).unwrap_err().to_string().contains("ADMIN_TOKEN"));
        }
        assert!(matches!(read(directory.path()), Err(AuthError::NoneYet(_))));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(read_or_create(directory.path()).unwrap(), read(directory.path()).unwrap());
    }

    #[test]
    fn a_file_without_a_good_token_is_an_error_that_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        for content in ["", "short", &"a b ".repeat(20)] {
            fs::write(directory.path().join("admin-token"), content).unwrap();
            let error = read_or_create(directory.path()).unwrap_err().to_string();
            assert!(error.contains("delete it"), "{error}");
        }
    }
}
