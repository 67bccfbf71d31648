//! The object database, shared by whoever reads the same tree or batch.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::ObjectId;
use gix::objs::{CommitRef, Find, FindHeader, Kind, WriteTo};
use gix::odb::memory::{Proxy, Storage};

use super::GitError;
use super::directory::Directory;
use super::object_cache::{Recent, Stored};
use crate::project::Revision;

/// A handle on the object database, optionally with objects in memory that are not written yet.
pub(super) struct Objects {
    handle: Mutex<Proxy<gix::odb::Handle>>,
    recent: Arc<Recent>,
    /// Whether what is read is in the repository, and not only in memory.
    is_stored: bool,
}

/// The largest directory object that is read; a larger one is a mistake or an attack.
const MAX_DIRECTORY: u64 = 64 * 1024 * 1024;

/// What history needs of a commit.
#[derive(Clone, Debug)]
pub(super) struct CommitInfo {
    pub(super) tree: ObjectId,
    pub(super) parents: Vec<ObjectId>,
    /// Seconds since 1970.
    pub(super) time: i64,
}

impl Objects {
    /// A handle that reads what is on disk.
    pub(super) fn reading(store: &Arc<gix::odb::Store>, recent: &Arc<Recent>) -> Self {
        let handle = Proxy::from(gix::odb::Handle::from(store.to_handle())).with_write_passthrough();
        Self { handle: Mutex::new(handle), recent: Arc::clone(recent), is_stored: true }
    }

    /// A handle whose writes stay in memory until [`Objects::take`].
    pub(super) fn staging(store: &Arc<gix::odb::Store>, recent: &Arc<Recent>) -> Self {
        let handle = Proxy::from(gix::odb::Handle::from(store.to_handle()));
        Self { handle: Mutex::new(handle), recent: Arc::clone(recent), is_stored: false }
    }

    fn handle(&self) -> MutexGuard<'_, Proxy<gix::odb::Handle>> {
        // A panic while reading leaves the handle usable: it holds caches only.
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects that were staged, and none from then on.
    pub(super) fn take(&self) -> Storage {
        self.handle().reset_object_memory().unwrap_or_default()
    }

    /// Kind and size, or `None` when there is no such object.
    pub(super) fn header(&self, id: ObjectId) -> Result<Option<(Kind, u64)>, GitError> {
        if let Some((kind, bytes)) = self.recent.object(id) {
            return Ok(Some((kind, bytes.len() as u64)));
        }
        let header = FindHeader::try_header(&*self.handle(), &id).map_err(|error| GitError::object(id, error))?;
        Ok(header.map(|header| (header.kind, header.size)))
    }

    /// The bytes of an object that has to be of `kind`.
    pub(super) fn read(&self, id: ObjectId, kind: Kind) -> Result<Arc<[u8]>, GitError> {
        let (found, bytes) = match self.recent.object(id) {
            Some(known) => known,
            None => self.read_stored(id)?,
        };
        if found != kind {
            return Err(GitError::object(id, format!("it is a {found}, not a {kind}")));
        }
        Ok(bytes)
    }

    fn read_stored(&self, id: ObjectId) -> Result<Stored, GitError> {
        let mut buffer = Vec::new();
        let handle = self.handle();
        let found = handle.try_find(&id, &mut buffer).map_err(|error| GitError::object(id, error))?;
        let kind = found.ok_or_else(|| GitError::object(id, "it is missing"))?.kind;
        drop(handle);
        let bytes = Arc::from(buffer);
        if self.is_stored {
            self.recent.keep_object(id, kind, &bytes);
        }
        Ok((kind, bytes))
    }

    /// The entries of a directory; the empty one needs no object.
    pub(super) fn directory(&self, id: ObjectId) -> Result<Arc<Directory>, GitError> {
        if id.is_empty_tree() {
            return Ok(Arc::new(Directory::empty()));
        }
        if let Some(known) = self.recent.directory(id) {
            return Ok(known);
        }
        if let Some((_, size)) = self.header(id)?
            && size > MAX_DIRECTORY
        {
            return Err(GitError::object(id, format!("the directory has {size} bytes")));
        }
        let bytes = self.read(id, Kind::Tree)?;
        let tree = gix::objs::TreeRef::from_bytes(&bytes, gix::hash::Kind::Sha1);
        let mut directory = tree.map_err(|error| GitError::object(id, error))?.into_owned();
        // Git refuses others, but whoever looks something up must not depend on that.
        if !directory.entries.is_sorted() {
            directory.entries.sort();
        }
        let directory = Arc::new(directory);
        self.recent.keep_directory(id, &directory);
        Ok(directory)
    }

    /// Writes a directory, which is soon asked for.
    pub(super) fn write_directory(&self, directory: Directory) -> Result<ObjectId, GitError> {
        let id = self.write(&directory)?;
        self.recent.keep_directory(id, &Arc::new(directory));
        Ok(id)
    }

    /// The links and time of a commit.
    pub(super) fn commit(&self, id: ObjectId) -> Result<CommitInfo, GitError> {
        let bytes = self.read(id, Kind::Commit)?;
        let commit = parse_commit(id, &bytes)?;
        Ok(CommitInfo {
            tree: commit.tree(),
            parents: commit.parents().collect(),
            time: commit.time().map_err(|error| GitError::object(id, error))?.seconds,
        })
    }

    /// The commit behind `id`, through annotated tags; `None` for other objects and missing ones.
    pub(super) fn peel_to_commit(&self, id: ObjectId) -> Result<Option<Revision>, GitError> {
        let mut id = id;
        // A tag of a tag of … ends somewhere, but a damaged repository need not.
        for _ in 0..10 {
            match self.header(id)? {
                Some((Kind::Commit, _)) => return Ok(Some(revision(&id))),
                Some((Kind::Tag, _)) => {
                    let bytes = self.read(id, Kind::Tag)?;
                    let tag = gix::objs::TagRef::from_bytes(&bytes, gix::hash::Kind::Sha1)
                        .map_err(|error| GitError::object(id, error))?;
                    id = tag.target();
                }
                Some((Kind::Tree | Kind::Blob, _)) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Writes an object (into memory, when staging).
    pub(super) fn write(&self, object: &dyn WriteTo) -> Result<ObjectId, GitError> {
        let written = gix::objs::Write::write(&*self.handle(), object);
        written.map_err(|error| GitError::Io { what: "writing an object".to_owned(), message: error.to_string() })
    }

    /// The ids that begin with `prefix`: none, one, or `Err` for several.
    pub(super) fn by_prefix(&self, prefix: &str) -> Result<Option<ObjectId>, GitError> {
        let Ok(short) = gix::hash::Prefix::from_hex(prefix) else { return Ok(None) };
        match self.handle().lookup_prefix(short, None) {
            Ok(Some(Ok(id))) => Ok(Some(id)),
            Ok(Some(Err(()))) => Err(GitError::Ambiguous(prefix.to_owned())),
            Ok(None) => Ok(None),
            Err(error) => Err(GitError::object(prefix, error)),
        }
    }
}

/// How many packs a handle can know of at once. The number is fixed when the database is opened, and pushes bring packs
/// for as long as the process runs; git itself begins to join them at 50.
const PACKS: u16 = 1024;

/// Opens the object directory at `path`.
pub(super) fn open_store(path: &Path) -> Result<Arc<gix::odb::Store>, GitError> {
    let options = gix::odb::store::init::Options {
        slots: gix::odb::store::init::Slots::Given(PACKS),
        ..gix::odb::store::init::Options::default()
    };
    let handle = gix::odb::at_opts(path, gix::hash::Kind::Sha1, None, options);
    Ok(handle.map_err(|error| GitError::io("opening", path, &error))?.into_inner().store())
}

/// Decodes a commit.
pub(super) fn parse_commit(id: ObjectId, bytes: &[u8]) -> Result<CommitRef<'_>, GitError> {
    CommitRef::from_bytes(bytes, gix::hash::Kind::Sha1).map_err(|error| GitError::object(id, error))
}

/// An id as the core knows it.
pub(super) fn revision(id: &ObjectId) -> Revision {
    let mut bytes = [0; 20];
    bytes.copy_from_slice(id.as_bytes());
    Revision::from_bytes(bytes)
}

/// An id as the object database knows it.
pub(super) const fn object_id(revision: Revision) -> ObjectId {
    ObjectId::Sha1(*revision.as_bytes())
}
