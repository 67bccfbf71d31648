//! What was read of the repository last. One commit is looked at by the writer, the renderer, the page and the history, and
//! most of it is what the one before it had.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::ObjectId;
use gix::objs::Kind;

use super::directory::Directory;

/// Objects never change, so that nothing here can be out of date.
#[derive(Default)]
pub(super) struct Recent {
    directories: Mutex<VecDeque<(ObjectId, Arc<Directory>)>>,
    objects: Mutex<Generations>,
}

/// An object as it is stored.
pub(super) type Stored = (Kind, Arc<[u8]>);

impl Recent {
    /// A directory of so many entries is kept as it was read: that of all projects is as long as the fleet.
    const LONG: usize = 64;
    /// So many of these: the head's, the one before it, and those of a reader who looks at the past.
    const KEPT: usize = 4;

    pub(super) fn directory(&self, id: ObjectId) -> Option<Arc<Directory>> {
        let mut kept = lock(&self.directories);
        let at = kept.iter().position(|(known, _)| *known == id)?;
        let entry = kept.remove(at)?;
        let directory = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(directory)
    }

    pub(super) fn keep_directory(&self, id: ObjectId, directory: &Arc<Directory>) {
        if directory.entries.len() >= Self::LONG && self.directory(id).is_none() {
            let mut kept = lock(&self.directories);
            kept.push_front((id, Arc::clone(directory)));
            kept.truncate(Self::KEPT);
        }
    }

    pub(super) fn object(&self, id: ObjectId) -> Option<Stored> {
        lock(&self.objects).get(id)
    }

    pub(super) fn keep_object(&self, id: ObjectId, kind: Kind, bytes: &Arc<[u8]>) {
        lock(&self.objects).keep(id, (kind, Arc::clone(bytes)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small objects. When the young ones are many, those that nobody has asked for since the last time are forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<ObjectId, Stored>,
    old: HashMap<ObjectId, Stored>,
    /// Bytes of the young ones.
    size: usize,
}

impl Generations {
    /// A larger object is no overlay, directory or commit that is read again and again.
    const SMALL: usize = 16 * 1024;
    /// So many bytes are one generation.
    const ROOM: usize = 256 * 1024;
    /// What an object costs beside its bytes.
    const FRAME: usize = 100;

    fn get(&mut self, id: ObjectId) -> Option<Stored> {
        if let Some(known) = self.young.get(&id) {
            return Some(known.clone());
        }
        let known = self.old.remove(&id)?;
        self.keep(id, known.clone());
        Some(known)
    }

    fn keep(&mut self, id: ObjectId, stored: Stored) {
        if stored.1.len() > Self::SMALL {
            return;
        }
        let size = stored.1.len() + Self::FRAME;
        if self.size + size > Self::ROOM {
            self.old = std::mem::take(&mut self.young);
            self.size = 0;
        }
        if self.young.insert(id, stored).is_none() {
            self.size += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use gix::objs::tree::{Entry, EntryKind};

    use super::*;

    fn id(number: usize) -> ObjectId {
        ObjectId::from_hex(format!("{number:040}").as_bytes()).unwrap()
    }

    #[test]
    fn only_the_last_long_directories_are_kept() {
        let recent = Recent::default();
        let entry = |number: usize| Entry {
            mode: EntryKind::Blob.into(),
            filename: format!("{number:03}").into(),
            oid: id(number),
        };
        let directory = |length: usize| Arc::new(Directory { entries: (0..length).map(entry).collect() });
        let (long, short) = (directory(Recent::LONG), directory(Recent::LONG - 1));
        recent.keep_directory(id(0), &short);
        assert!(recent.directory(id(0)).is_none());
        for number in 0..=Recent::KEPT {
            recent.keep_directory(id(number), &long);
            assert!(recent.directory(id(0)).is_some(), "what is asked for stays");
        }
        assert!(recent.directory(id(1)).is_none());
    }

    #[test]
    fn small_objects_that_are_asked_for_stay_and_what_is_kept_has_its_bounds() {
        let recent = Recent::default();
        let bytes = |length: usize| -> Arc<[u8]> { vec![7; length].into() };
        recent.keep_object(id(0), Kind::Blob, &bytes(Generations::SMALL + 1));
        assert!(recent.object(id(0)).is_none(), "it is large");
        recent.keep_object(id(1), Kind::Tree, &bytes(10));
        for number in 100..1100 {
            recent.keep_object(id(number), Kind::Blob, &bytes(1000));
            assert_eq!(recent.object(id(1)).map(|(kind, bytes)| (kind, bytes.len())), Some((Kind::Tree, 10)));
            let kept = lock(&recent.objects);
            let held: usize = kept.young.values().chain(kept.old.values()).map(|(_, bytes)| bytes.len()).sum();
            assert!(held <= 2 * Generations::ROOM, "{held} bytes after {number}");
        }
        assert!(recent.object(id(100)).is_none() && recent.object(id(1099)).is_some());
        // Empty ones cost, too.
        for number in 2000..100_000 {
            recent.keep_object(id(number), Kind::Blob, &bytes(0));
        }
        let kept = lock(&recent.objects);
        assert!(kept.young.len() + kept.old.len() <= 2 * Generations::ROOM / Generations::FRAME);
    }
}
