//! What a build has looked at, and what it found there: with the same answers a build gives the same again.
//!
//! Absences count as much as files: a `kustomization.yml` that was not there decides as much as the `kustomization.yaml`
//! that was. Files are known by the id that their store gives them (a Git blob id), so that asking costs no reading.

use std::collections::BTreeMap;

use crate::{Entry, Files, FilesError, RepoPath};

/// Every path that was looked at, with what stood there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs(BTreeMap<RepoPath, ReadEntry>);

/// What stood at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadEntry {
    Missing,
    Directory,
    /// A link or submodule.
    Other,
    /// A file; `None` when its store knows no id, or could not be read. Nothing is equal to that.
    File(Option<[u8; 20]>),
}

impl Inputs {
    /// Whether `path` was looked at, found or not.
    #[must_use]
    pub fn contains(&self, path: &RepoPath) -> bool {
        self.0.contains_key(path)
    }

    /// All paths, in order.
    pub fn iter(&self) -> impl Iterator<Item = &RepoPath> {
        self.0.keys()
    }

    /// Looks at a path that is read beside the build, so that it counts like the others.
    pub fn look(&mut self, files: &dyn Files, path: &RepoPath) {
        let _ = self.see(files, path);
    }

    /// Whether all of it is still so in `files`.
    #[must_use]
    pub fn hold_in(&self, files: &dyn Files) -> bool {
        self.hold_but_for(files, None)
    }

    /// As [`Inputs::hold_in`], whatever became of one path.
    #[must_use]
    pub fn hold_but_for(&self, files: &dyn Files, except: Option<&RepoPath>) -> bool {
        self.0.iter().filter(|(path, _)| Some(*path) != except).all(|(path, seen)| {
            *seen != ReadEntry::File(None)
                && files.entry(path).is_ok_and(|entry| ReadEntry::of(files, path, entry) == *seen)
        })
    }

    /// Looks at a path.
    pub(super) fn see(&mut self, files: &dyn Files, path: &RepoPath) -> Result<Entry, FilesError> {
        let entry = files.entry(path);
        let seen = entry.as_ref().map_or(ReadEntry::File(None), |entry| ReadEntry::of(files, path, *entry));
        self.0.insert(path.clone(), seen);
        entry
    }

    /// The id of a file that was looked at.
    pub(super) fn id(&self, path: &RepoPath) -> Option<[u8; 20]> {
        match self.0.get(path) {
            Some(ReadEntry::File(id)) => *id,
            Some(ReadEntry::Missing | ReadEntry::Directory | ReadEntry::Other) | None => None,
        }
    }

    /// Whether every file has an id, without which nothing can be known to be the same.
    pub(super) fn are_known(&self) -> bool {
        self.0.values().all(|seen| *seen != ReadEntry::File(None))
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (path, seen) in &other.0 {
            if !self.0.contains_key(path) {
                self.0.insert(path.clone(), *seen);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl ReadEntry {
    fn of(files: &dyn Files, path: &RepoPath, entry: Entry) -> Self {
        match entry {
            Entry::Missing => Self::Missing,
            Entry::Directory => Self::Directory,
            Entry::Other => Self::Other,
            Entry::File => Self::File(files.content_id(path)),
        }
    }
}
