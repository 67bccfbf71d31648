//! What builds remember of one another: files as they were parsed, and directories as they were built.
//!
//! Files are known by their Git blob ids, directories by what was looked at while they were built, absences included: what
//! is remembered is never wrong, it is only sometimes not there. What has not been asked for goes when the room is
//! needed, so that a memo may live as long as the program.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::RepoPath;
use crate::yaml::Node;

use super::load::Parsed;
use super::prebuild::Apart;

/// The size of most overlays, in bytes. A larger kustomization is the list of a fleet, and asked for again at once.
const OVERLAY: usize = 4 << 10;
/// How many states of one directory are kept.
const STATES: usize = 4;

/// Remembers between builds; any number of them, on any threads. Holds nothing that the files do not say, so that one
/// memo may serve several repositories.
#[derive(Debug)]
pub struct Memo {
    /// Roughly the bytes that it may take.
    room: usize,
    store: Mutex<Store>,
}

/// What a file is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileId {
    /// The id of its content.
    Content([u8; 20]),
    /// Its path, which says enough within one build.
    Path(RepoPath),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Documents(FileId),
    /// Errors and notes name the path, so it belongs to what is remembered.
    Kustomization(RepoPath, FileId),
    /// By the directory and its kustomization.
    Directory(RepoPath, FileId),
}

#[derive(Clone, Debug)]
enum Value {
    Documents(Arc<Vec<Node>>),
    /// None after the first time that a small one was read: most are of overlays that nobody asks for again.
    Kustomization(Option<Arc<Parsed>>),
    /// The states that are remembered, newest first; none after the first time that it was asked for.
    Directory(Vec<Arc<Apart>>),
}

/// Two halves: what is asked for moves to the young one, and when that is full, the old one goes.
#[derive(Debug, Default)]
struct Store {
    young: BTreeMap<Key, (Value, usize)>,
    old: BTreeMap<Key, (Value, usize)>,
    weight: usize,
}

impl Default for Memo {
    /// Enough for the bases and components of any fleet, and for the overlays that people work on.
    fn default() -> Self {
        Self::with_room(16 << 20)
    }
}

impl Memo {
    /// A memo that takes about so many bytes at most.
    #[must_use]
    pub fn with_room(room: usize) -> Self {
        Self { room, store: Mutex::default() }
    }

    /// The documents of a file.
    pub(super) fn documents(&self, file: &FileId) -> Option<Arc<Vec<Node>>> {
        match self.get(&Key::Documents(file.clone()))? {
            Value::Documents(documents) => Some(documents),
            Value::Kustomization(_) | Value::Directory(_) => None,
        }
    }

    pub(super) fn keep_documents(&self, file: FileId, documents: &Arc<Vec<Node>>, bytes: usize) {
        // A tree takes some ten times the room of its text.
        self.put(Key::Documents(file), Value::Documents(Arc::clone(documents)), bytes * 10);
    }

    /// The kustomization in a file.
    pub(super) fn kustomization(&self, path: &RepoPath, file: &FileId) -> Option<Arc<Parsed>> {
        match self.get(&Key::Kustomization(path.clone(), file.clone()))? {
            Value::Kustomization(parsed) => parsed,
            Value::Documents(_) | Value::Directory(_) => None,
        }
    }

    pub(super) fn keep_kustomization(&self, path: RepoPath, file: FileId, parsed: &Arc<Parsed>, bytes: usize) {
        let key = Key::Kustomization(path, file);
        match self.get(&key) {
            None if bytes < OVERLAY => self.put(key, Value::Kustomization(None), 256),
            _ => self.put(key, Value::Kustomization(Some(Arc::clone(parsed))), bytes * 6),
        }
    }

    /// What is remembered of a directory; `None` when it was never asked for before.
    pub(super) fn directory(&self, path: &RepoPath, file: &FileId) -> Option<Vec<Arc<Apart>>> {
        let key = Key::Directory(path.clone(), file.clone());
        match self.get(&key) {
            Some(Value::Directory(states)) => Some(states),
            Some(Value::Documents(_) | Value::Kustomization(_)) => None,
            None => {
                self.put(key, Value::Directory(Vec::new()), 256);
                None
            }
        }
    }

    pub(super) fn keep_directory(&self, path: RepoPath, file: FileId, built: Arc<Apart>) {
        let key = Key::Directory(path, file);
        let mut states = match self.get(&key) {
            Some(Value::Directory(states)) => states,
            Some(Value::Documents(_) | Value::Kustomization(_)) | None => Vec::new(),
        };
        states.insert(0, built);
        states.truncate(STATES);
        let weight = states.iter().map(|state| state.weight()).sum();
        self.put(key, Value::Directory(states), weight);
    }

    fn get(&self, key: &Key) -> Option<Value> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((value, _)) = store.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = store.old.remove(key)?;
        store.put(key.clone(), value.clone(), weight, self.room);
        Some(value)
    }

    fn put(&self, key: Key, value: Value, weight: usize) {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).put(key, value, weight, self.room);
    }
}

impl Store {
    fn put(&mut self, key: Key, value: Value, weight: usize, room: usize) {
        if weight > room / 2 {
            return;
        }
        if self.weight + weight > room / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        if let Some((_, before)) = self.young.insert(key, (value, weight)) {
            self.weight -= before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(number: u8) -> FileId {
        FileId::Content([number; 20])
    }

    #[test]
    fn a_memo_stays_within_its_room_and_keeps_what_is_asked_for() {
        let memo = Memo::with_room(10_000);
        let documents = Arc::new(Vec::new());
        for number in 0..100 {
            memo.keep_documents(file(number), &documents, 100);
            assert!(memo.documents(&file(0)).is_some(), "asked for each time, gone after {number}");
        }
        let kept = (0..100).filter(|number| memo.documents(&file(*number)).is_some()).count();
        assert!((2..=10).contains(&kept), "{kept} of 1,000 bytes each");
        let store = memo.store.lock().unwrap();
        let total: usize = store.young.values().chain(store.old.values()).map(|(_, weight)| weight).sum();
        assert!(total <= 10_000, "{total}");
    }

    #[test]
    fn what_is_larger_than_the_room_is_not_kept() {
        let memo = Memo::with_room(10_000);
        memo.keep_documents(file(1), &Arc::new(Vec::new()), 501);
        assert!(memo.documents(&file(1)).is_none());
    }
}
