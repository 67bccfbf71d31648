//! Every file of a commit, one after the other: for copies of a tree outside Git.

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::{Entry, EntryKind};

use super::directory;
use super::{GitError, Tree};

/// The deepest directory that is visited.
const MAX_DEPTH: usize = 64;

/// One file of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The path from the root, with `/` between its parts; any bytes but zero.
    pub path: &'a [u8],
    /// What kind of file it is.
    pub kind: ItemKind,
    /// The content; of a link its target.
    pub content: &'a [u8],
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A regular file.
    File,
    /// A regular file that can be executed.
    Executable,
    /// A symbolic link.
    Link,
}

impl Tree {
    /// Calls `visit` with every file, in the order of Git's trees. Submodules are left out: their files are elsewhere.
    ///
    /// # Errors
    /// What `visit` says, or [`GitError`] when an object is missing, damaged or too large.
    pub fn visit<E: From<GitError>>(&self, visit: &mut impl FnMut(Item<'_>) -> Result<(), E>) -> Result<(), E> {
        self.visit_below(self.root, &mut Vec::new(), 0, visit)
    }

    fn visit_below<E: From<GitError>>(
        &self,
        id: ObjectId,
        path: &mut Vec<u8>,
        depth: usize,
        visit: &mut impl FnMut(Item<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if depth > MAX_DEPTH {
            return Err(GitError::object(id, format!("directories are nested deeper than {MAX_DEPTH}")).into());
        }
        let directory = self.objects.directory(id)?;
        for entry in &directory.entries {
            let length = path.len();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&entry.filename);
            let kind = match entry.mode.kind() {
                EntryKind::Tree => {
                    self.visit_below(entry.oid, path, depth + 1, visit)?;
                    None
                }
                EntryKind::Blob => Some(ItemKind::File),
                EntryKind::BlobExecutable => Some(ItemKind::Executable),
                EntryKind::Link => Some(ItemKind::Link),
                EntryKind::Commit => None,
            };
            if let Some(kind) = kind {
                let size = self.objects.header(entry.oid)?.map_or(0, |(_, size)| size);
                if size > Self::MAX_FILE {
                    let message = format!("the file has {size} bytes, at most {} are read", Self::MAX_FILE);
                    return Err(GitError::object(entry.oid, message).into());
                }
                let content = self.objects.read(entry.oid, Kind::Blob)?;
                visit(Item { path, kind, content: &content })?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    /// Returns the entry at a path of at least one part.
    pub(super) fn entry_at(&self, parts: &[&str]) -> Result<Option<Entry>, GitError> {
        let mut here = self.root;
        for (at, part) in parts.iter().enumerate() {
            let parent = self.objects.directory(here)?;
            let Some(entry) = directory::find(&parent, part) else { return Ok(None) };
            if at + 1 == parts.len() {
                return Ok(Some(entry.clone()));
            }
            if !entry.mode.is_tree() {
                return Ok(None);
            }
            here = entry.oid;
        }
        Ok(None)
    }
}
