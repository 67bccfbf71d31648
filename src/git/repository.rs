//! The handle on the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gix::odb::memory::Storage;

use super::hook::Scratch;
use super::object_cache::Recent;
use super::objects::{Objects, object_id, open_store, revision};
use super::{Batch, CommitError, CommitMeta, GitError, Remote, Tree, WriteLock, durable, refs};
use crate::project::{ChangeSet, Revision};

/// A bare repository and the branch in it that is the desired state; cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Repository(Arc<Inner>);

struct Inner {
    path: PathBuf,
    branch: String,
    refs: gix::refs::file::Store,
    store: Arc<gix::odb::Store>,
    recent: Arc<Recent>,
    remote: Option<Remote>,
    /// One fetch at a time: they share a ref.
    fetching: Mutex<()>,
    /// What the check of a push reads its objects through.
    _scratch: Option<Scratch>,
}

impl Repository {
    /// Opens the bare repository at `path`, or makes it. A repository without the branch gets `seed` as its first commit.
    ///
    /// # Errors
    /// [`CommitError`] when `path` is something else, or cannot be written.
    pub fn open_or_init(path: &Path, branch: &str, seed: &ChangeSet, meta: &CommitMeta) -> Result<Self, CommitError> {
        let repository = Self::open_or_make(path, branch, None)?;
        repository.seed_if_empty(seed, meta)?;
        Ok(repository)
    }

    /// Opens the mirror at `path` of a remote repository, or makes it: fetches the branch, and gives a remote without
    /// it `seed` as first commit.
    ///
    /// # Errors
    /// [`CommitError::Remote`] when the remote does not answer and the mirror has nothing from earlier.
    pub fn open_remote(
        path: &Path,
        branch: &str,
        remote: Remote,
        seed: &ChangeSet,
        meta: &CommitMeta,
    ) -> Result<Self, CommitError> {
        let repository = Self::open_or_make(path, branch, Some(remote))?;
        repository.seed_if_empty(seed, meta)?;
        Ok(repository)
    }

    /// Opens the bare repository at `path`, or makes it; with a remote, brings it to the remote's branch. It may have no
    /// branch then: whether it is new, and gets a first commit, is for the caller to say.
    ///
    /// # Errors
    /// [`CommitError::Remote`] when the remote does not answer and the mirror has nothing from earlier.
    pub fn open_or_make(path: &Path, branch: &str, remote: Option<Remote>) -> Result<Self, CommitError> {
        let repository = Self::prepare(path, branch, remote)?;
        let known = repository.head()?.is_some();
        match repository.fetch() {
            Ok(_) => {}
            // A restart while the remote is down serves what was fetched before.
            Err(error) if known => tracing::warn!(%error, "the state repository's remote does not answer"),
            Err(error) => return Err(error),
        }
        Ok(repository)
    }

    /// Opens an existing repository without changing anything in it. `branch: None` takes the one that `HEAD` names.
    ///
    /// # Errors
    /// [`GitError::Open`] when there is none.
    pub fn open(path: &Path, branch: Option<&str>) -> Result<Self, GitError> {
        let store = open_store(&path.join("objects"))?;
        Self::with_store(path, branch, store, None)
    }

    /// Opens a repository whose objects come from `store`.
    pub(super) fn with_store(
        path: &Path,
        branch: Option<&str>,
        store: Arc<gix::odb::Store>,
        scratch: Option<Scratch>,
    ) -> Result<Self, GitError> {
        let bad = |message: &str| GitError::Open { path: path.display().to_string(), message: message.to_owned() };
        let head = fs::read_to_string(path.join("HEAD")).map_err(|error| bad(&format!("HEAD: {error}")))?;
        let full = match branch {
            Some(branch) => format!("refs/heads/{branch}"),
            None => head
                .trim_end()
                .strip_prefix("ref: ")
                .filter(|name| name.starts_with("refs/heads/"))
                .ok_or_else(|| bad("HEAD names no branch"))?
                .to_owned(),
        };
        if gix::validate::reference::name(full.as_str().into()).is_err() {
            return Err(bad(&format!("{full:?} is no possible branch name")));
        }
        Self::assemble(path, full, store, None, scratch)
    }

    fn assemble(
        path: &Path,
        branch: String,
        store: Arc<gix::odb::Store>,
        remote: Option<Remote>,
        scratch: Option<Scratch>,
    ) -> Result<Self, GitError> {
        let bad = |message: String| GitError::Open { path: path.display().to_string(), message };
        let path = path.canonicalize().map_err(|error| bad(error.to_string()))?;
        let opened = gix::open::Options::isolated()
            .open_path_as_is(true)
            .with(gix::sec::Trust::Full)
            .open(&path)
            .map_err(|error| bad(error.to_string()))?;
        if opened.to_thread_local().object_hash() != gix::hash::Kind::Sha1 {
            return Err(bad("it is a SHA-256 repository; only SHA-1 ones are supported".to_owned()));
        }
        let refs = opened.to_thread_local().refs.clone();
        let (recent, fetching) = (Arc::default(), Mutex::new(()));
        Ok(Self(Arc::new(Inner { path, branch, refs, store, recent, remote, fetching, _scratch: scratch })))
    }

    pub(super) fn prepare(path: &Path, branch: &str, remote: Option<Remote>) -> Result<Self, GitError> {
        let full = format!("refs/heads/{branch}");
        if gix::validate::reference::name(full.as_str().into()).is_err() {
            return Err(GitError::Open {
                path: path.display().to_string(),
                message: format!("{branch:?} is no possible branch name"),
            });
        }
        if !path.join("HEAD").exists() {
            init(path, &full)?;
        }
        let store = open_store(&path.join("objects"))?;
        let repository = Self::assemble(path, full, store, remote, None)?;
        repository.tidy()?;
        Ok(repository)
    }

    /// Takes away what a killed process may have left.
    fn tidy(&self) -> Result<(), GitError> {
        let lock = self.lock()?;
        let branch_lock = self.0.path.join(format!("{}.lock", self.0.branch));
        refs::remove_stale(&refs::own_file(&self.0.path), &branch_lock);
        super::abandoned::remove(&self.0.path, &branch_lock);
        let objects = self.0.path.join("objects");
        super::hook::remove_abandoned(&objects);
        durable::write_objects(&objects, &Storage::default(), &lock)
    }

    /// Gives a repository without the branch `seed` as its first commit.
    ///
    /// # Errors
    /// [`CommitError`] when it cannot be written, or the remote does not take it.
    pub fn seed_if_empty(&self, seed: &ChangeSet, meta: &CommitMeta) -> Result<(), CommitError> {
        if self.head()?.is_some() {
            return Ok(());
        }
        let mut batch = self.begin()?;
        if batch.start().is_none() {
            batch.commit(seed, meta)?;
            batch.publish()?;
        }
        Ok(())
    }

    /// Where the repository is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The full name of the branch, as in `refs/heads/main`.
    #[must_use]
    pub fn branch(&self) -> &str {
        &self.0.branch
    }

    /// The remote that this repository mirrors.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        self.0.remote.as_ref()
    }

    /// The commit that the branch names; `None` before the first one. Cheap: reads one small file.
    ///
    /// # Errors
    /// [`GitError::Io`] when the ref cannot be read.
    pub fn head(&self) -> Result<Option<Revision>, GitError> {
        Ok(refs::find(&self.0.refs, &self.0.branch)?.map(|id| revision(&id)))
    }

    /// The commit that `text` names: a branch, a tag, a full name under `refs/`, `HEAD`, or an id of 4 to 40 digits; with
    /// `~N` or `^` behind it, its Nth or first ancestor along first parents.
    ///
    /// # Errors
    /// [`GitError::UnknownRevision`], or [`GitError::Ambiguous`] for the beginning of several ids.
    pub fn resolve(&self, text: &str) -> Result<Revision, GitError> {
        let unknown = || GitError::UnknownRevision(text.to_owned());
        let (name, steps) = split_ancestry(text).ok_or_else(unknown)?;
        let mut found = self.resolve_name(name).map_err(|error| match error {
            GitError::UnknownRevision(_) => unknown(),
            other => other,
        })?;
        let objects = self.objects();
        for _ in 0..steps {
            let parents = objects.commit(object_id(found))?.parents;
            found = parents.first().map(revision).ok_or_else(unknown)?;
        }
        Ok(found)
    }

    fn resolve_name(&self, text: &str) -> Result<Revision, GitError> {
        let objects = self.objects();
        let unknown = || GitError::UnknownRevision(text.to_owned());
        if let Ok(full) = Revision::parse(text) {
            return objects.peel_to_commit(object_id(full))?.ok_or_else(unknown);
        }
        let names = match text {
            "HEAD" => vec![self.0.branch.clone()],
            _ if text.starts_with("refs/") => vec![text.to_owned()],
            _ => vec![format!("refs/tags/{text}"), format!("refs/heads/{text}"), format!("refs/remotes/{text}")],
        };
        for name in names {
            if let Some(id) = refs::find(&self.0.refs, &name)? {
                return objects.peel_to_commit(id)?.ok_or_else(unknown);
            }
        }
        let digits = text.len() >= 4 && text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match if digits { objects.by_prefix(&text.to_ascii_lowercase())? } else { None } {
            Some(id) => objects.peel_to_commit(id)?.ok_or_else(unknown),
            None => Err(unknown()),
        }
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// [`GitError::Object`] when there is no such commit.
    pub fn tree(&self, revision: Revision) -> Result<Tree, GitError> {
        let objects = Arc::new(self.objects());
        let root = objects.commit(object_id(revision))?.tree;
        Ok(Tree::new(root, objects))
    }

    /// Returns when a commit was made.
    ///
    /// # Errors
    /// [`GitError::Object`] when there is no such commit.
    pub fn time(&self, commit: Revision) -> Result<jiff::Timestamp, GitError> {
        Ok(super::history::timestamp(self.objects().commit(object_id(commit))?.time))
    }

    /// Takes the write lock and begins a batch of commits on the head.
    ///
    /// # Errors
    /// [`GitError`] when the lock or the head cannot be had.
    pub fn begin(&self) -> Result<Batch, GitError> {
        Batch::begin(self)
    }

    /// Commits `changes` on `parent`, durably. Answers `parent` when they change nothing.
    ///
    /// # Errors
    /// [`CommitError::HeadMoved`] when `parent` is not the head.
    pub fn commit(
        &self,
        parent: Option<Revision>,
        changes: &ChangeSet,
        meta: &CommitMeta,
    ) -> Result<Revision, CommitError> {
        let mut batch = self.begin()?;
        if batch.start() != parent {
            return Err(CommitError::HeadMoved { expected: parent, found: batch.start() });
        }
        let made = batch.commit(changes, meta)?;
        batch.publish()?;
        Ok(made)
    }

    /// Returns what keeps writes out when another program's lock on the branch is older than a ref update takes.
    #[must_use]
    pub fn write_obstacle(&self) -> Option<String> {
        let lock = self.0.path.join(format!("{}.lock", self.0.branch));
        let age = super::abandoned::age(&lock).filter(|age| *age >= refs::PATIENCE)?;
        Some(format!(
            "writes wait for {}, which a git program made {} seconds ago; it is removed at the next write if that program \
             has ended, else end it",
            lock.display(),
            age.as_secs()
        ))
    }

    /// Waits for the lock that the manager's writes share.
    ///
    /// # Errors
    /// [`GitError::Io`] when the lock file cannot be made, or another process keeps it for too long.
    pub fn lock(&self) -> Result<WriteLock, GitError> {
        WriteLock::acquire(&self.0.path)
    }

    pub(super) fn objects(&self) -> Objects {
        Objects::reading(&self.0.store, &self.0.recent)
    }

    pub(super) fn staging(&self) -> Objects {
        Objects::staging(&self.0.store, &self.0.recent)
    }

    pub(super) fn fetching(&self) -> &Mutex<()> {
        &self.0.fetching
    }

    pub(super) fn refs(&self) -> &gix::refs::file::Store {
        &self.0.refs
    }

    /// Objects first, then (over a remote) the push, then the branch.
    pub(super) fn publish(
        &self,
        expected: Option<Revision>,
        tip: Revision,
        staged: &Storage,
        lock: &WriteLock,
    ) -> Result<(), CommitError> {
        durable::write_objects(&self.0.path.join("objects"), staged, lock)?;
        self.wait_for_push()?;
        if self.0.remote.is_some() {
            self.push(expected, tip, lock)?;
        }
        refs::compare_and_swap(&self.0.path, &self.0.refs, &self.0.branch, expected, object_id(tip), lock)
    }
}

/// Splits `HEAD~2^` into `HEAD` and 3; `None` when a number does not fit.
fn split_ancestry(text: &str) -> Option<(&str, usize)> {
    let end = text.find(['~', '^']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let mut steps = 0_usize;
    while let Some(sign) = rest.chars().next() {
        rest = &rest[1..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        steps = steps.checked_add(match (sign, number) {
            ('~' | '^', "") => 1,
            ('~', number) => number.parse().ok()?,
            // Other parents than the first are not on the branch.
            ('^', "1") => 1,
            _ => return None,
        })?;
        rest = behind;
    }
    Some((name, steps))
}

/// Makes an empty bare repository beside `path` and renames it into place: a process killed meanwhile leaves nothing
/// that looks like a repository.
pub(super) fn init(path: &Path, branch: &str) -> Result<(), GitError> {
    let open = |message: String| GitError::Open { path: path.display().to_string(), message };
    let occupied = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(open("the directory is not empty and holds no repository".to_owned()));
    }
    let name = path.file_name().ok_or_else(|| open("the path has no name".to_owned()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut making = name.to_owned();
    making.push(".init");
    let making = parent.join(making);
    let failed = |error: std::io::Error| GitError::io("making", &making, &error);

    fs::create_dir_all(parent).map_err(failed)?;
    if making.exists() {
        fs::remove_dir_all(&making).map_err(failed)?;
    }
    gix::create::into(&making, gix::create::Kind::Bare, gix::create::Options::default())
        .map_err(|error| open(error.to_string()))?;
    for sample in fs::read_dir(making.join("hooks")).map_err(failed)? {
        fs::remove_file(sample.map_err(failed)?.path()).map_err(failed)?;
    }
    let mut config = fs::read_to_string(making.join("config")).map_err(failed)?;
    config.push_str(CONFIG);
    fs::write(making.join("config"), config).map_err(failed)?;
    fs::write(making.join("HEAD"), format!("ref: {branch}\n")).map_err(failed)?;
    for file in ["config", "HEAD", "objects", "refs", ""] {
        durable::sync(&making.join(file))?;
    }
    fs::rename(&making, path).map_err(|error| GitError::io("making", path, &error))?;
    durable::sync(parent)
}

/// What stock git has to keep to in this repository: pushes are as durable as our own writes, damaged objects are
/// refused, and housekeeping never drops an object (a commit of ours may be about to name it).
const CONFIG: &str = "\
[core]
\tfsync = all
[receive]
\tfsckObjects = true
\tdenyDeleteCurrent = refuse
[gc]
\tpruneExpire = never
[advice]
\tpushUpdateRejected = false
";

#[cfg(test)]
mod tests {
    use super::split_ancestry;

    #[test]
    fn ancestry_is_counted_along_first_parents() {
        for (text, expected) in [
            ("HEAD", Some(("HEAD", 0))),
            ("HEAD~", Some(("HEAD", 1))),
            ("main~2^", Some(("main", 3))),
            ("a^^1~0", Some(("a", 2))),
            ("HEAD^2", None),
            ("HEAD~x", None),
            ("HEAD~99999999999999999999", None),
        ] {
            assert_eq!(split_ancestry(text), expected, "{text}");
        }
    }
}
