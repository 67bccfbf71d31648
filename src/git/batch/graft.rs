//! Trees of another repository into a batch, exactly: modes, links and names included.

use gix::ObjectId;
use gix::objs::tree::{Entry, EntryKind};
use gix::objs::{Blob, Kind};

use super::{Batch, insert, nest, write_directory};
use crate::git::directory::{self, Directory};
use crate::git::objects::{Objects, object_id, revision};
use crate::git::{CommitMeta, GitError, Tree, durable};
use crate::project::{ChangeSet, RepoPath, Revision};

/// The deepest directory that is copied.
const MAX_DEPTH: usize = 64;
/// The most bytes that are copied at once: they are kept in memory until they are written.
const MAX_BYTES: usize = 512 * 1024 * 1024;

impl Batch {
    /// Returns the tip's files with what `source` has at `path` in the place of what stands there; nothing stands there
    /// afterwards when `source` has nothing. The result is staged, and not committed.
    ///
    /// # Errors
    /// [`GitError`] when `source` cannot be read, or is too large.
    pub fn graft(&self, source: &Tree, path: &RepoPath) -> Result<Tree, GitError> {
        let mut copy = Copy { from: &source.objects, to: &self.objects, bytes: 0 };
        let parts: Vec<&str> = path.as_str().split('/').filter(|part| !part.is_empty()).collect();
        let root = match parts.as_slice() {
            [] => copy.directory(source.root, 0)?,
            parts => {
                let found = source.entry_at(parts)?;
                let new = found.map(|entry| copy.entry(&entry, 0)).transpose()?;
                let empty = || ObjectId::empty_tree(gix::hash::Kind::Sha1);
                replace(&self.objects, Some(self.tip_tree()?), parts, new)?.unwrap_or_else(empty)
            }
        };
        Ok(Tree::new(root, std::sync::Arc::clone(&self.objects)))
    }

    /// Commits `tree`, which was staged in this batch, with `changes` over it. When that is what the tip has, there is no
    /// commit, and the answer is the tip.
    ///
    /// # Errors
    /// [`GitError`] when a path cannot be committed.
    pub fn commit_tree(
        &mut self,
        tree: &Tree,
        changes: &ChangeSet,
        meta: &CommitMeta,
    ) -> Result<Option<Revision>, GitError> {
        let changed = match changes.is_empty() {
            true => Some(tree.root),
            false => write_directory(&self.objects, Some(tree.root), &nest(changes)?)?,
        };
        let tree = match changed.filter(|id| !id.is_empty_tree()) {
            Some(tree) => tree,
            None => self.objects.write(&Directory::empty())?,
        };
        if self.tip.is_some() && tree == self.tip_tree()? {
            return Ok(self.tip);
        }
        self.commit_root(tree, meta).map(Some)
    }

    /// Writes the objects of the batch to the disk without moving the branch: its commits can be read then, and count only
    /// once the batch is published.
    ///
    /// # Errors
    /// [`GitError::Io`] when the disk refuses.
    pub fn store(&mut self) -> Result<(), GitError> {
        durable::write_objects(&self.repository.path().join("objects"), &self.objects.take(), &self.lock)
    }

    /// Commits a root directory on the tip.
    pub(super) fn commit_root(&mut self, tree: ObjectId, meta: &CommitMeta) -> Result<Revision, GitError> {
        let commit = gix::objs::Commit {
            tree,
            parents: self.tip.map(object_id).into_iter().collect(),
            author: meta.author.signature(meta.time),
            committer: meta.committer.signature(meta.time),
            encoding: None,
            message: meta.stored_message(),
            extra_headers: Vec::new(),
        };
        let made = revision(&self.objects.write(&commit)?);
        self.tip = Some(made);
        Ok(made)
    }
}

/// A copy of objects from one repository to another.
struct Copy<'a> {
    from: &'a Objects,
    to: &'a Objects,
    bytes: usize,
}

impl Copy<'_> {
    fn entry(&mut self, entry: &Entry, depth: usize) -> Result<Entry, GitError> {
        let oid = match entry.mode.kind() {
            EntryKind::Tree => self.directory(entry.oid, depth)?,
            EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => self.blob(entry.oid)?,
            // A submodule is named by its commit, which is in another repository.
            EntryKind::Commit => entry.oid,
        };
        Ok(Entry { oid, ..entry.clone() })
    }

    fn directory(&mut self, id: ObjectId, depth: usize) -> Result<ObjectId, GitError> {
        if depth > MAX_DEPTH {
            return Err(GitError::object(id, format!("directories are nested deeper than {MAX_DEPTH}")));
        }
        if id.is_empty_tree() {
            return Ok(id);
        }
        let from = self.from.directory(id)?;
        let mut copy = Directory::empty();
        for entry in &from.entries {
            if entry.filename.eq_ignore_ascii_case(b".git") {
                return Err(GitError::object(id, "it has an entry `.git`, which is Git's own name"));
            }
            copy.entries.push(self.entry(entry, depth + 1)?);
        }
        self.to.write_directory(copy)
    }

    fn blob(&mut self, id: ObjectId) -> Result<ObjectId, GitError> {
        if self.to.header(id)?.is_some() {
            return Ok(id);
        }
        let size = self.from.header(id)?.map_or(0, |(_, size)| size);
        if size > Tree::MAX_FILE {
            return Err(GitError::object(id, format!("the file has {size} bytes, at most {}", Tree::MAX_FILE)));
        }
        let data = self.from.read(id, Kind::Blob)?;
        self.bytes += data.len();
        if self.bytes > MAX_BYTES {
            return Err(GitError::object(id, format!("the files have more than {MAX_BYTES} bytes together")));
        }
        self.to.write(&Blob { data: data.to_vec() })
    }
}

/// Writes the directory `old` with `new` at `parts`; `None` when nothing is left in it.
fn replace(
    objects: &Objects,
    old: Option<ObjectId>,
    parts: &[&str],
    new: Option<Entry>,
) -> Result<Option<ObjectId>, GitError> {
    let Some((name, below)) = parts.split_first() else { return Ok(old) };
    let mut tree = match old {
        Some(id) => Directory::clone(&*objects.directory(id)?),
        None => Directory::empty(),
    };
    let index = directory::place(&tree, name).ok();
    let entry = if below.is_empty() {
        new
    } else {
        let folder =
            index.map(|index| &tree.entries[index]).filter(|entry| entry.mode.is_tree()).map(|entry| entry.oid);
        let written = replace(objects, folder, below, new)?;
        written.map(|oid| Entry { mode: EntryKind::Tree.into(), filename: (*name).into(), oid })
    };
    if let Some(index) = index {
        tree.entries.remove(index);
    }
    if let Some(entry) = entry {
        insert(&mut tree, entry);
    }
    if tree.entries.is_empty() { Ok(None) } else { objects.write_directory(tree).map(Some) }
}
