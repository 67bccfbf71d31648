//! The file `DATA_DIR/admin-token`: made once, readable by its owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Why there is no administrator token.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A file or folder operation failed.
    #[error("{} {what}: {source}; check DATA_DIR and its rights", path.display())]
    File {
        /// What was tried, as in `cannot be read`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no usable token.
    #[error("{} holds no token of at least 32 characters; delete it, and a new one is made at the next start", .0.display())]
    Content(PathBuf),
}

/// Shorter tokens could be guessed.
const MIN_LENGTH: usize = 32;

/// The token, from the file or new.
pub(super) fn read_or_create(data_dir: &Path) -> Result<String, AuthError> {
    let path = data_dir.join("admin-token");
    match fs::read_to_string(&path) {
        Ok(text) => checked(&path, &text),
        Err(error) if error.kind() == ErrorKind::NotFound => create(data_dir, &path),
        Err(source) => Err(AuthError::File { what: "cannot be read", path, source }),
    }
}

fn checked(path: &Path, text: &str) -> Result<String, AuthError> {
    protect(path)?;
    let token = text.trim();
    if token.len() < MIN_LENGTH || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(AuthError::Content(path.to_owned()));
    }
    Ok(token.to_owned())
}

/// Takes everybody else's rights to the file away. The token may be known already, hence the warning.
fn protect(path: &Path) -> Result<(), AuthError> {
    let failed = |what| move |source| AuthError::File { what, path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(failed("cannot be read"))?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(failed("can be read by others, and that cannot be changed"))?;
        tracing::warn!(
            file = %path.display(),
            "the administrator token could be read by others; its mode is 0600 now. Delete the file and restart for a \
             new token if somebody may have read it"
        );
    }
    Ok(())
}

/// Writes the token beside its place and links it there: a reader sees no file or a whole one, and of two processes that
/// start at once both use the token of the first.
fn create(data_dir: &Path, path: &Path) -> Result<String, AuthError> {
    let failed = |what| move |source| AuthError::File { what, path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed("cannot be made"))?;
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let draft = data_dir.join(format!(".admin-token-{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 6]>())));
    let written = write_durably(&draft, &token).and_then(|()| fs::hard_link(&draft, path));
    // The draft is of no use in any case, and its loss is none.
    let _ = fs::remove_file(&draft);
    match written {
        Ok(()) => {
            File::open(data_dir).and_then(|directory| directory.sync_all()).map_err(failed("cannot be made"))?;
            tracing::info!(file = %path.display(), "made the administrator token");
            Ok(token)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            checked(path, &fs::read_to_string(path).map_err(failed("cannot be read"))?)
        }
        Err(error) => Err(failed("cannot be made")(error)),
    }
}

fn write_durably(path: &Path, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_a_private_token_and_later_ones_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let token = read_or_create(&data).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(&token).unwrap().len(), 32);
        assert_eq!((mode(&data), mode(&data.join("admin-token"))), (0o700, 0o600));
        assert_eq!(read_or_create(&data).unwrap(), token);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn processes_that_start_at_once_use_one_token() {
        let directory = tempfile::tempdir().unwrap();
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| read_or_create(directory.path()).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]));
    }

    #[test]
    fn a_file_that_others_can_read_is_protected_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin-token");
        fs::write(&path, "x".repeat(40)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read_or_create(directory.path()).unwrap(), "x".repeat(40));
        assert_eq!(mode(&path), 0o600);
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
