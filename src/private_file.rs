//! A file that is made once and readable by its owner alone: a key, a token.
//!
//! Takes the path and what makes the text when there is no file; gives the text. A reader sees no file or a whole one, and of
//! two processes that start at once both use the text of the first. What others could read is protected again, with a
//! warning, as it may be known already.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why there is no such file.
#[derive(Debug, thiserror::Error)]
#[error("{} {what}: {source}; check DATA_DIR and its rights", path.display())]
pub struct PrivateFileError {
    /// What was tried, as in `cannot be read`.
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The text of the file `name` in `folder`; `make` gives it when there is no file. `content` is what it holds, for the log:
/// `the administrator token`.
///
/// # Errors
/// [`PrivateFileError`] when the file cannot be read, made or protected, and what `make` says.
pub fn read_or_create<E: From<PrivateFileError>>(
    folder: &Path,
    name: &str,
    content: &str,
    make: impl FnOnce() -> Result<String, E>,
) -> Result<String, E> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => {
            protect(&path, content)?;
            Ok(text)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => create(folder, &path, content, make),
        Err(source) => Err(PrivateFileError { what: "cannot be read", path, source }.into()),
    }
}

/// Takes everybody else's rights to the file away.
fn protect(path: &Path, content: &str) -> Result<(), PrivateFileError> {
    let failed = |what| move |source| PrivateFileError { what, path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(failed("cannot be read"))?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(failed("can be read by others, and that cannot be changed"))?;
        tracing::warn!(
            file = %path.display(),
            "{content} could be read by others; the mode of the file is 0600 now. Delete it and start again for a new one if \
             others may have read it"
        );
    }
    Ok(())
}

/// Writes the text beside its place and links it there.
fn create<E: From<PrivateFileError>>(
    folder: &Path,
    path: &Path,
    content: &str,
    make: impl FnOnce() -> Result<String, E>,
) -> Result<String, E> {
    let failed = |what| move |source| PrivateFileError { what, path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("cannot be made"))?;
    let text = make()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}-{:016x}", rand::random::<u64>()));
    let written = write_durably(&draft, &text).and_then(|()| fs::hard_link(&draft, path));
    // The draft is of no use in any case, and its loss is none.
    let _ = fs::remove_file(&draft);
    match written {
        Ok(()) => {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("cannot be made"))?;
            tracing::info!(file = %path.display(), "made {content}");
            Ok(text)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(path).map_err(failed("cannot be read"))?;
            protect(path, content)?;
            Ok(text)
        }
        Err(error) => Err(failed("cannot be made")(error).into()),
    }
}

fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path) -> String {
        let make = || Ok::<_, PrivateFileError>(format!("{:016x}", rand::random::<u64>()));
        read_or_create(folder, "secret", "the secret", make).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_first_start_makes_a_private_file_and_later_ones_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let text = made(&data);
        assert_eq!((mode(&data), mode(&data.join("secret"))), (0o700, 0o600));
        assert_eq!(made(&data), text);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn processes_that_start_at_once_use_one_text() {
        let directory = tempfile::tempdir().unwrap();
        let texts: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| made(directory.path()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(texts.iter().all(|text| *text == texts[0]));
    }

    #[test]
    fn a_file_that_others_can_read_is_protected_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!((made(directory.path()).as_str(), mode(&path)), ("x", 0o600));
    }

    #[test]
    fn what_cannot_be_made_leaves_nothing_and_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let refuses = || {
            let source = io::Error::other("no random numbers");
            Err::<String, _>(PrivateFileError { what: "cannot be made", path: "x".into(), source })
        };
        assert!(read_or_create(directory.path(), "secret", "the secret", refuses).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error =
            read_or_create::<PrivateFileError>(&file, "secret", "the secret", || Ok(String::new())).unwrap_err();
        assert!(error.to_string().contains("file/secret cannot be read"), "{error}");
    }
}
