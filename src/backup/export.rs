//! The files of one commit as a `.tar.gz`, the same bytes each time.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use flate2::{Compression, GzBuilder};
use jiff::Timestamp;
use tar::{Builder, EntryType, Header};

use super::{BackupError, Backups};
use crate::git::{GitError, Item, ItemKind, Tree};
use crate::project::Revision;

/// An export that can be written.
pub struct Export {
    /// The file name for the caller, as in `claude-manager-2023-12-01T10-30-00-000Z.tar.gz`.
    pub file_name: String,
    /// The commit.
    pub revision: Revision,
    folder: String,
    /// The time of every file in it: that of the commit.
    time: Timestamp,
    tree: Tree,
}

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The reader went away, or the name of a file does not fit into a tar header.
    #[error("the archive could not be written: {0}")]
    Write(#[from] io::Error),
}

impl Backups {
    /// Prepares the export of the backup that `timestamp` names, or of the head of the state repository.
    ///
    /// # Errors
    /// [`BackupError`] when there is no such backup.
    pub async fn export(&self, timestamp: Option<&str>) -> Result<Export, BackupError> {
        let (name, revision, tree) = match timestamp {
            Some(text) => self.find(text).await?,
            None => {
                let state = self.inner.setup.state.clone();
                let read = tokio::task::spawn_blocking(move || -> Result<_, GitError> {
                    let head = state.head()?.ok_or_else(|| GitError::UnknownRevision("HEAD".to_owned()))?;
                    Ok((head, state.tree(head)?))
                });
                let (head, tree) = read.await.map_err(|error| BackupError::Internal(error.to_string()))??;
                (head.short(), head, tree)
            }
        };
        let inner = Arc::clone(&self.inner);
        let from_state = timestamp.is_none();
        let read = tokio::task::spawn_blocking(move || {
            let setup = &inner.setup;
            if from_state { setup.state.time(revision) } else { setup.archive.time(revision) }
        });
        let time = read.await.map_err(|error| BackupError::Internal(error.to_string()))??;
        let folder = format!("claude-manager-{name}");
        Ok(Export { file_name: format!("{folder}.tar.gz"), revision, folder, time, tree })
    }
}

impl Export {
    /// Writes the archive to `out`, file by file. Blocks. Owner, mode and time of a file depend on the commit only.
    ///
    /// # Errors
    /// [`ExportError`]; what was written is no whole archive then.
    pub fn write(&self, out: impl Write) -> Result<(), ExportError> {
        let mut builder = Builder::new(GzBuilder::new().write(out, Compression::default()));
        let seconds = u64::try_from(self.time.as_second()).unwrap_or(0);
        self.tree.visit(&mut |item: Item<'_>| add(&mut builder, &self.folder, seconds, item))?;
        builder.into_inner()?.finish()?.flush()?;
        Ok(())
    }
}

fn add<W: Write>(builder: &mut Builder<W>, folder: &str, seconds: u64, item: Item<'_>) -> Result<(), ExportError> {
    let mut path = format!("{folder}/").into_bytes();
    path.extend_from_slice(item.path);
    let path = Path::new(OsStr::from_bytes(&path));
    let mut header = Header::new_gnu();
    header.set_mtime(seconds);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mode(if item.kind == ItemKind::Executable { 0o755 } else { 0o644 });
    match item.kind {
        ItemKind::Link => {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, path, Path::new(OsStr::from_bytes(item.content)))?;
        }
        ItemKind::File | ItemKind::Executable => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(item.content.len() as u64);
            builder.append_data(&mut header, path, item.content)?;
        }
    }
    Ok(())
}
