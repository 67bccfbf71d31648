//! What a commit brings into the tree, name by name, as Git stores it: also names that no path of ours can say.

use std::collections::HashMap;

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind;

use super::directory::{self, Directory};
use super::history::entries;
use super::objects::{Objects, object_id};
use super::{GitError, Repository};
use crate::project::Revision;

/// An entry that is new or other than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry {
    /// Its path; bytes that are no UTF-8 are U+FFFD.
    pub path: String,
    /// Its name as it is stored.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: NewKind,
    /// Another entry of the same directory that has the same name but for upper and lower case.
    pub twin: Option<String>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewKind {
    /// A file.
    File,
    /// A directory. What is new in it follows.
    Directory,
    /// A symbolic link to this.
    Link(Vec<u8>),
    /// A commit of another repository.
    Submodule,
}

impl Repository {
    /// Returns the entries of `to` that differ from those of `from`; all where there is no `from`.
    ///
    /// # Errors
    /// [`GitError::Object`] when an object is missing or damaged.
    pub fn new_entries(&self, from: Option<Revision>, to: Revision) -> Result<Vec<NewEntry>, GitError> {
        let objects = self.objects();
        let before = match from {
            Some(from) => Some(objects.commit(object_id(from))?.tree),
            None => None,
        };
        let after = objects.commit(object_id(to))?.tree;
        let mut found = Vec::new();
        collect(&objects, before, after, "", &mut found)?;
        Ok(found)
    }
}

/// Directories are not nested deeper in any tree that somebody works in.
const MAX_DEPTH: usize = 256;

/// The longest target of a link that file systems take.
const MAX_LINK: u64 = 4096;

fn collect(
    objects: &Objects,
    before: Option<ObjectId>,
    after: ObjectId,
    above: &str,
    found: &mut Vec<NewEntry>,
) -> Result<(), GitError> {
    if before == Some(after) {
        return Ok(());
    }
    if above.matches('/').count() > MAX_DEPTH {
        return Err(GitError::object(after, format!("its directories are nested deeper than {MAX_DEPTH}")));
    }
    let (old, new) = (entries(objects, before)?, entries(objects, Some(after))?);
    let mut names = None;
    for (was, is) in directory::differences(&old, &new) {
        let Some(is) = is else { continue };
        let is_added = was.is_none();
        let path = format!("{above}{}", String::from_utf8_lossy(&is.filename));
        // Only a name that comes can meet another one, so that an edit looks at no other name.
        let twin = is_added.then(|| twin(names.get_or_insert_with(|| folded(&new)), &is.filename)).flatten();
        let kind = match is.mode.kind() {
            EntryKind::Tree => NewKind::Directory,
            EntryKind::Blob | EntryKind::BlobExecutable => NewKind::File,
            EntryKind::Link => NewKind::Link(link(objects, is.oid)?),
            EntryKind::Commit => NewKind::Submodule,
        };
        let is_directory = kind == NewKind::Directory;
        if is_added || !is_directory {
            found.push(NewEntry { path: path.clone(), name: is.filename.to_vec(), kind, twin });
        }
        if is_directory {
            let was = was.filter(|was| was.mode.is_tree()).map(|was| was.oid);
            collect(objects, was, is.oid, &format!("{path}/"), found)?;
        }
    }
    Ok(())
}

/// The target of a link; nothing when it is longer than any path.
fn link(objects: &Objects, id: ObjectId) -> Result<Vec<u8>, GitError> {
    match objects.header(id)? {
        Some((_, size)) if size > MAX_LINK => Ok(Vec::new()),
        _ => Ok(objects.read(id, Kind::Blob)?.to_vec()),
    }
}

/// The names of a directory by what they are on a file system that takes upper and lower case for the same.
fn folded(directory: &Directory) -> HashMap<String, Vec<String>> {
    let mut names: HashMap<String, Vec<String>> = HashMap::new();
    for entry in &directory.entries {
        let name = String::from_utf8_lossy(&entry.filename).into_owned();
        names.entry(fold(&name)).or_default().push(name);
    }
    names
}

fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

fn twin(names: &HashMap<String, Vec<String>>, name: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(name);
    let same = names.get(&fold(&name))?;
    match same.iter().find(|other| **other != name) {
        Some(other) => Some(other.clone()),
        // A file and a directory of one name.
        None => (same.len() > 1).then(|| name.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_case_only_are_twins() {
        let names = |list: &[&str]| {
            let mut names: HashMap<String, Vec<String>> = HashMap::new();
            for name in list {
                names.entry(fold(name)).or_default().push((*name).to_owned());
            }
            names
        };
        let told = |list: &[&str], name: &str| twin(&names(list), name.as_bytes());
        assert_eq!(told(&["Shop", "shop", "other"], "shop").as_deref(), Some("Shop"));
        assert_eq!(told(&["STRASSE", "straße"], "straße").as_deref(), Some("STRASSE"));
        assert_eq!(told(&["a", "a"], "a").as_deref(), Some("a"));
        assert_eq!(told(&["shop", "other"], "shop"), None);
    }
}
