//! The files of one commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::{EntryKind, EntryMode};

use super::GitError;
use super::directory::{self, Directory};
use super::objects::Objects;
use crate::project::{Entry, Files, FilesError, RepoPath};

/// The files of a commit, read from Git objects. Never changes.
pub struct Tree {
    pub(super) root: ObjectId,
    pub(super) objects: Arc<Objects>,
    /// Directories by their id: one commit's folders are asked for again and again while it is rendered.
    directories: Mutex<BTreeMap<ObjectId, Arc<Directory>>>,
}

impl Tree {
    /// The largest file that is read. Overlays are small; a larger blob is a mistake or an attack.
    pub const MAX_FILE: u64 = 8 * 1024 * 1024;

    pub(super) const fn new(root: ObjectId, objects: Arc<Objects>) -> Self {
        Self { root, objects, directories: Mutex::new(BTreeMap::new()) }
    }

    /// The id of the root directory.
    #[must_use]
    pub fn id(&self) -> String {
        self.root.to_string()
    }

    fn directory(&self, id: ObjectId) -> Result<Arc<Directory>, GitError> {
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = directories.get(&id) {
            return Ok(Arc::clone(known));
        }
        let directory = self.objects.directory(id)?;
        directories.insert(id, Arc::clone(&directory));
        Ok(directory)
    }

    /// What stands at `path`, or `None`.
    fn find(&self, path: &RepoPath) -> Result<Option<(ObjectId, Entry)>, GitError> {
        let mut here = (self.root, Entry::Directory);
        for part in path.as_str().split('/').filter(|part| !part.is_empty()) {
            if here.1 != Entry::Directory {
                return Ok(None);
            }
            match directory::find(&*self.directory(here.0)?, part) {
                Some(next) => here = (next.oid, kind(next.mode)),
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    fn read_blob(&self, path: &RepoPath, id: ObjectId) -> Result<Arc<[u8]>, FilesError> {
        let unreadable = |message: String| FilesError::Unreadable { path: path.clone(), message };
        let header = self.objects.header(id).map_err(|error| unreadable(error.to_string()))?;
        if let Some((_, size)) = header
            && size > Self::MAX_FILE
        {
            return Err(unreadable(format!(
                "it has {size} bytes, at most {} are read; keep large files out of the state repository",
                Self::MAX_FILE
            )));
        }
        self.objects.read(id, Kind::Blob).map_err(|error| unreadable(error.to_string()))
    }
}

impl Files for Tree {
    fn entry(&self, path: &RepoPath) -> Result<Entry, FilesError> {
        Ok(self.find(path).map_err(|error| unreadable(path, &error))?.map_or(Entry::Missing, |(_, kind)| kind))
    }

    fn read(&self, path: &RepoPath) -> Result<Arc<[u8]>, FilesError> {
        match self.find(path).map_err(|error| unreadable(path, &error))? {
            Some((id, Entry::File)) => self.read_blob(path, id),
            Some(_) => Err(FilesError::NotAFile(path.clone())),
            None => Err(FilesError::Missing(path.clone())),
        }
    }

    fn list(&self, directory: &RepoPath) -> Result<Vec<String>, FilesError> {
        let failed = |error: GitError| unreadable(directory, &error);
        match self.find(directory).map_err(failed)? {
            Some((id, Entry::Directory)) => {
                // Names that are not UTF-8 are left out: no path of ours can ask for them.
                let directory = self.directory(id).map_err(failed)?;
                let names = directory.entries.iter().map(|entry| std::str::from_utf8(&entry.filename));
                let mut names: Vec<String> = names.filter_map(|name| name.ok().map(str::to_owned)).collect();
                names.sort_unstable();
                Ok(names)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn content_id(&self, path: &RepoPath) -> Option<[u8; 20]> {
        let (id, _) = self.find(path).ok()??;
        id.as_bytes().try_into().ok()
    }
}

fn kind(mode: EntryMode) -> Entry {
    match mode.kind() {
        EntryKind::Tree => Entry::Directory,
        EntryKind::Blob | EntryKind::BlobExecutable => Entry::File,
        EntryKind::Link | EntryKind::Commit => Entry::Other,
    }
}

fn unreadable(path: &RepoPath, error: &GitError) -> FilesError {
    FilesError::Unreadable { path: path.clone(), message: error.to_string() }
}
