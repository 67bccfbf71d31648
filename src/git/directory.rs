//! Directories as Git keeps them: sorted, a folder as if a slash stood behind its name.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gix::ObjectId;
use gix::objs::tree::{Entry, EntryKind};

/// The entries of one directory.
pub(super) type Directory = gix::objs::Tree;

/// What has this name in it.
pub(super) fn find<'a>(directory: &'a Directory, name: &str) -> Option<&'a Entry> {
    place(directory, name).ok().and_then(|at| directory.entries.get(at))
}

/// Where something with this name is, or where a file of this name would be.
pub(super) fn place(directory: &Directory, name: &str) -> Result<usize, usize> {
    let at = |kind: EntryKind| {
        let sought = Entry { mode: kind.into(), filename: name.into(), oid: ObjectId::null(gix::hash::Kind::Sha1) };
        directory.entries.binary_search(&sought)
    };
    at(EntryKind::Blob).or_else(|no_file| at(EntryKind::Tree).map_err(|_| no_file))
}

/// What differs between two directories: an entry as it was, and as it is. A folder in the place of a file stands there
/// twice, once as what is gone and once as what has come.
pub(super) fn differences<'a>(
    before: &'a Directory,
    after: &'a Directory,
) -> Vec<(Option<&'a Entry>, Option<&'a Entry>)> {
    let (mut old, mut new) = (before.entries.iter().peekable(), after.entries.iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some(old), Some(new)) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return found,
        };
        let pair = match order {
            Ordering::Less => (old.next(), None),
            Ordering::Greater => (None, new.next()),
            Ordering::Equal => (old.next(), new.next()),
        };
        if pair.0 != pair.1 {
            found.push(pair);
        }
    }
}

/// The long directories that were read or written last. The one that holds all projects is as long as the fleet, and one
/// commit is looked at by many.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<(ObjectId, Arc<Directory>)>>);

impl Recent {
    /// What is shorter is read as fast.
    const LONG: usize = 64;
    /// The head's, the one before it, and those of a reader who looks at the past.
    const KEPT: usize = 4;

    pub(super) fn get(&self, id: ObjectId) -> Option<Arc<Directory>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| *known == id)?;
        let entry = kept.remove(at)?;
        let directory = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(directory)
    }

    pub(super) fn keep(&self, id: ObjectId, directory: &Arc<Directory>) {
        if directory.entries.len() >= Self::LONG && self.get(id).is_none() {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_front((id, Arc::clone(directory)));
            kept.truncate(Self::KEPT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(names: &[&str]) -> Directory {
        let entry = |name: &&str| {
            let (kind, name) = match name.strip_suffix('/') {
                Some(folder) => (EntryKind::Tree, folder),
                None => (EntryKind::Blob, *name),
            };
            let (name, number) = name.split_once('=').unwrap_or((name, "0"));
            let oid = ObjectId::from_hex(number.repeat(40).as_bytes()).unwrap();
            Entry { mode: kind.into(), filename: name.into(), oid }
        };
        let mut directory = Directory { entries: names.iter().map(entry).collect() };
        directory.entries.sort();
        directory
    }

    #[test]
    fn names_are_found_though_folders_and_files_sort_differently() {
        let names = ["a/", "a.b", "a-b/", "a0", "b", "c/"];
        let directory = directory(&names);
        for name in names {
            let name = name.trim_end_matches('/');
            assert_eq!(find(&directory, name).unwrap().filename, name);
        }
        for absent in ["", "A", "a.", "d", "ab"] {
            assert_eq!(find(&directory, absent), None, "{absent}");
        }
    }

    #[test]
    fn differences_are_what_came_went_and_changed() {
        let before = directory(&["a/", "b=1", "c", "d=2/", "x"]);
        let after = directory(&["a/", "b=2", "c/", "e", "x"]);
        let told: Vec<_> = differences(&before, &after)
            .into_iter()
            .map(|(old, new)| {
                let name =
                    |entry: Option<&Entry>| entry.map(|entry| format!("{}{}", entry.filename, entry.mode.is_tree()));
                (name(old), name(new))
            })
            .collect();
        let pair = |old: &str, new: &str| {
            let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            (text(old), text(new))
        };
        let expected =
            [pair("bfalse", "bfalse"), pair("cfalse", ""), pair("", "ctrue"), pair("dtrue", ""), pair("", "efalse")];
        assert_eq!(told, expected);
        assert_eq!(differences(&before, &before), []);
    }

    #[test]
    fn only_the_last_long_directories_are_kept() {
        let recent = Recent::default();
        let id = |number: usize| ObjectId::from_hex(format!("{number:040}").as_bytes()).unwrap();
        let names: Vec<String> = (0..Recent::LONG).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (long, short) = (Arc::new(directory(&names)), Arc::new(directory(&names[1..])));
        recent.keep(id(0), &short);
        assert!(recent.get(id(0)).is_none());
        for number in 0..=Recent::KEPT {
            recent.keep(id(number), &long);
            assert!(recent.get(id(0)).is_some(), "what is asked for stays");
        }
        assert!(recent.get(id(1)).is_none());
    }
}
