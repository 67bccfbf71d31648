//! Directories as Git keeps them: sorted, a folder as if a slash stood behind its name.

use gix::ObjectId;
use gix::objs::tree::{Entry, EntryKind};
use std::cmp::Ordering;

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
}
