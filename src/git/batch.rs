//! Several commits on top of one another, made durable together.

mod graft;

use std::collections::BTreeMap;
use std::sync::Arc;

use gix::ObjectId;
use gix::objs::Blob;
use gix::objs::tree::{Entry, EntryKind};

use super::directory::{self, Directory};
use super::objects::{Objects, object_id};
use super::{CommitError, CommitMeta, GitError, Repository, Tree, WriteLock};
use crate::project::{ChangeSet, RepoPath, Revision};

/// Commits that are prepared in memory on the head, while the write lock is held. Nothing is on disk, and nobody sees
/// anything, before [`Batch::publish`]; a batch that is dropped never was.
pub struct Batch {
    repository: Repository,
    lock: WriteLock,
    start: Option<Revision>,
    tip: Option<Revision>,
    objects: Arc<Objects>,
}

impl Batch {
    pub(super) fn begin(repository: &Repository) -> Result<Self, GitError> {
        let lock = repository.lock()?;
        repository.wait_for_push()?;
        let start = repository.head()?;
        let objects = Arc::new(repository.staging());
        Ok(Self { repository: repository.clone(), lock, start, tip: start, objects })
    }

    /// The head that the batch began on.
    #[must_use]
    pub const fn start(&self) -> Option<Revision> {
        self.start
    }

    /// The last commit of the batch, or the head that it began on.
    #[must_use]
    pub const fn tip(&self) -> Option<Revision> {
        self.tip
    }

    /// The files at the tip; an empty tree before the first commit of a repository.
    ///
    /// # Errors
    /// [`GitError::Object`] when the tip is missing or damaged.
    pub fn tree(&self) -> Result<Tree, GitError> {
        Ok(Tree::new(self.tip_tree()?, Arc::clone(&self.objects)))
    }

    fn tip_tree(&self) -> Result<ObjectId, GitError> {
        match self.tip {
            Some(tip) => Ok(self.objects.commit(object_id(tip))?.tree),
            None => Ok(ObjectId::empty_tree(gix::hash::Kind::Sha1)),
        }
    }

    /// Commits `changes` on the tip. When they change nothing there is no commit, and the answer is the tip.
    ///
    /// # Errors
    /// [`GitError::Path`] for paths that Git cannot hold; the batch is as before then.
    pub fn commit(&mut self, changes: &ChangeSet, meta: &CommitMeta) -> Result<Revision, GitError> {
        let before = self.tip_tree()?;
        let root = nest(changes)?;
        let tree = match write_directory(&self.objects, Some(before), &root)? {
            Some(tree) => tree,
            None => self.objects.write(&Directory::empty())?,
        };
        if let Some(tip) = self.tip
            && tree == before
        {
            return Ok(tip);
        }
        self.commit_root(tree, meta)
    }

    /// Makes the commits durable and moves the branch to the last one; over a remote, only when the remote took them.
    /// Returns the new head. A batch without commits changes nothing.
    ///
    /// # Errors
    /// [`CommitError::HeadMoved`] when the branch is no longer where the batch began; none of its commits counts then.
    pub fn publish(self) -> Result<Option<Revision>, CommitError> {
        let Some(tip) = self.tip.filter(|_| self.tip != self.start) else { return Ok(self.start) };
        self.repository.publish(self.start, tip, &self.objects.take(), &self.lock)?;
        Ok(Some(tip))
    }
}

/// A change set as a tree of names.
enum Node<'a> {
    File(Option<&'a [u8]>),
    Directory(BTreeMap<&'a str, Node<'a>>),
}

fn nest(changes: &ChangeSet) -> Result<BTreeMap<&str, Node<'_>>, GitError> {
    let mut root = BTreeMap::new();
    for (path, content) in &changes.0 {
        let refuse = |message| Err(GitError::Path { path: path.clone(), message });
        if path.is_root() {
            return refuse("the root is no file");
        }
        if path.as_str().split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
            return refuse("`.git` is Git's own name");
        }
        if path.as_str().contains(['\n', '\r']) {
            return refuse("a name has a line break");
        }
        let mut directory = &mut root;
        for part in parents(path) {
            let node = directory.entry(part).or_insert_with(|| Node::Directory(BTreeMap::new()));
            // Paths come sorted, so `a` stands before `a/b`: removing the file `a` for a folder is fine.
            if matches!(node, Node::File(None)) {
                *node = Node::Directory(BTreeMap::new());
            }
            match node {
                Node::Directory(below) => directory = below,
                Node::File(_) => return refuse("the change also writes a file where this needs a directory"),
            }
        }
        directory.entry(path.file_name()).or_insert(Node::File(content.as_deref()));
    }
    Ok(root)
}

/// The directories above the last part of `path`, from the top.
fn parents(path: &RepoPath) -> impl Iterator<Item = &str> {
    let text = path.as_str();
    text.rsplit_once('/').map_or("", |(parents, _)| parents).split('/').filter(|part| !part.is_empty())
}

/// Writes `changes` over the directory `old`; `None` when nothing is left in it.
fn write_directory(
    objects: &Objects,
    old: Option<ObjectId>,
    changes: &BTreeMap<&str, Node<'_>>,
) -> Result<Option<ObjectId>, GitError> {
    let mut tree = match old {
        Some(id) => Directory::clone(&*objects.directory(id)?),
        None => Directory::empty(),
    };
    for (name, node) in changes {
        let index = directory::place(&tree, name).ok();
        let there = index.map(|index| (tree.entries[index].mode, tree.entries[index].oid));
        let new = match node {
            // "Removes the file": a directory of that name is none.
            Node::File(None) => there.filter(|(mode, _)| mode.is_tree()),
            Node::File(Some(content)) => {
                let mode = there.map(|(mode, _)| mode).filter(|mode| mode.is_blob());
                let blob = objects.write(&Blob { data: content.to_vec() })?;
                Some((mode.unwrap_or_else(|| EntryKind::Blob.into()), blob))
            }
            Node::Directory(below) => {
                let subtree = there.filter(|(mode, _)| mode.is_tree()).map(|(_, id)| id);
                // A change that only removes things below a file has nothing to remove there.
                let only_removes = subtree.is_none() && !writes_something(below);
                if only_removes {
                    there
                } else {
                    write_directory(objects, subtree, below)?.map(|id| (EntryKind::Tree.into(), id))
                }
            }
        };
        let entry = new.map(|(mode, oid)| Entry { mode, filename: (*name).into(), oid });
        match (index, entry) {
            (Some(index), Some(entry)) if entry.mode.is_tree() == tree.entries[index].mode.is_tree() => {
                tree.entries[index] = entry;
            }
            (Some(index), entry) => {
                tree.entries.remove(index);
                entry.into_iter().for_each(|entry| insert(&mut tree, entry));
            }
            (None, entry) => entry.into_iter().for_each(|entry| insert(&mut tree, entry)),
        }
    }
    if tree.entries.is_empty() {
        return Ok(None);
    }
    objects.write_directory(tree).map(Some)
}

fn insert(directory: &mut Directory, entry: Entry) {
    let at = directory.entries.binary_search(&entry).unwrap_or_else(|at| at);
    directory.entries.insert(at, entry);
}

fn writes_something(changes: &BTreeMap<&str, Node<'_>>) -> bool {
    changes.values().any(|node| match node {
        Node::File(content) => content.is_some(),
        Node::Directory(below) => writes_something(below),
    })
}
