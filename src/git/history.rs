//! What happened: the log, the last change of each project, the paths between two commits.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::Entry;
use jiff::Timestamp;

use super::commit::Person;
use super::directory::{self, Directory};
use super::objects::{CommitInfo, Objects, object_id, parse_commit, revision};
use super::{GitError, Repository};
use crate::project::{ProjectName, RepoPath, Revision};

/// One commit as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The commit.
    pub revision: Revision,
    /// Who wanted it.
    pub author: Person,
    /// When it was made (committed).
    pub time: Timestamp,
    /// The first line.
    pub subject: String,
    /// The `Key: value` lines of the last paragraph, in order.
    pub trailers: Vec<(String, String)>,
}

/// The commit that last touched something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// The commit.
    pub revision: Revision,
    /// When it was made.
    pub time: Timestamp,
    /// The name of whoever made it.
    pub author: Arc<str>,
}

/// What has become of projects: the commit that last changed each, or `None` when it is gone.
pub type Changes = BTreeMap<ProjectName, Option<LastChange>>;

/// Takes what has become of projects into what was known of them.
pub fn take_changes(known: &mut BTreeMap<ProjectName, LastChange>, changes: &Changes) {
    for (name, change) in changes {
        match change {
            Some(change) => drop(known.insert(name.clone(), change.clone())),
            None => drop(known.remove(name)),
        }
    }
}

/// So many commits in a row are looked at one by one.
const LONGEST_CHAIN: usize = 256;

impl Repository {
    /// The newest commits from `from` back, at most `limit`; with a `path` only those that changed something there.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn log(&self, from: Revision, path: Option<&RepoPath>, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        self.log_back_to(from, path, limit, false)
    }

    /// As [`Repository::log`] of a path, but no further back than the commit that made what stands there: before it may lie
    /// any number of commits that have nothing to do with it.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn log_of_life(&self, from: Revision, path: &RepoPath, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        self.log_back_to(from, Some(path), limit, true)
    }

    fn log_back_to(
        &self,
        from: Revision,
        path: Option<&RepoPath>,
        limit: usize,
        its_making: bool,
    ) -> Result<Vec<LogEntry>, GitError> {
        let objects = self.objects();
        let mut walk = Walk::from(&objects, from)?;
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some((id, commit)) = walk.next()? else { break };
            if let Some(path) = path {
                let here = at_path(&objects, commit.tree, path)?;
                let (mut same, mut is_new) = (None, its_making && here.is_some());
                for parent in &commit.parents {
                    let tree = objects.commit(*parent)?.tree;
                    let before = at_path(&objects, tree, path)?;
                    is_new &= before.is_none();
                    if before == here {
                        same = Some(*parent);
                        break;
                    }
                }
                // As `git log -- path`: a merge that took one side's content is explained by that side alone.
                if let Some(parent) = same {
                    walk.push(parent)?;
                    continue;
                }
                if commit.parents.is_empty() && here.is_none() {
                    continue;
                }
                if is_new {
                    entries.push(read_entry(&objects, id)?);
                    break;
                }
            }
            walk.push_parents(&commit)?;
            entries.push(read_entry(&objects, id)?);
        }
        Ok(entries)
    }

    /// For each folder `projects/<name>` of `head` the newest commit that gave it the content it has now.
    ///
    /// One walk from the head, which ends when every project is found, or at `known`: an earlier answer of this
    /// function, with the revision it was for.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn last_changes(
        &self,
        head: Revision,
        known: Option<(Revision, &BTreeMap<ProjectName, LastChange>)>,
    ) -> Result<BTreeMap<ProjectName, LastChange>, GitError> {
        let objects = self.objects();
        let mut folders = Folders::new(&objects);
        let mut open = BTreeMap::clone(&*folders.of(object_id(head))?);
        let mut found = BTreeMap::new();
        let mut walk = Walk::from(&objects, head)?;
        while !open.is_empty() {
            let Some((id, commit)) = walk.next()? else { break };
            if let Some((revision, earlier)) = known.filter(|(known, _)| *known == super::objects::revision(&id)) {
                let then = folders.of(object_id(revision))?;
                open.retain(|name, content| match earlier.get(name) {
                    Some(change) if then.get(name) == Some(content) => {
                        found.insert(name.clone(), change.clone());
                        false
                    }
                    _ => true,
                });
            }
            let here = folders.of(id)?;
            let parents: Vec<_> = commit.parents.iter().map(|parent| folders.of(*parent)).collect::<Result<_, _>>()?;
            let time = timestamp(commit.time);
            if parents.iter().any(|parent| Arc::ptr_eq(parent, &here)) {
                walk.push_parents(&commit)?;
                continue;
            }
            let mut made = Vec::new();
            open.retain(|name, content| {
                let made_here =
                    here.get(name) == Some(content) && parents.iter().all(|parent| parent.get(name) != Some(content));
                if made_here {
                    made.push(name.clone());
                }
                !made_here
            });
            if !made.is_empty() {
                let author: Arc<str> = read_entry(&objects, id)?.author.name.into();
                let change = LastChange { revision: revision(&id), time, author };
                found.extend(made.into_iter().map(|name| (name, change.clone())));
            }
            walk.push_parents(&commit)?;
        }
        Ok(found)
    }

    /// As [`Repository::last_changes`], but only of the folders that the commits from `known` to `head` changed, with `None`
    /// for those that are gone; what it costs grows with them. `None` when these commits are no short chain.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn changes_since(&self, known: Revision, head: Revision) -> Result<Option<Changes>, GitError> {
        let objects = self.objects();
        let mut found = Changes::new();
        let mut here = object_id(head);
        for _ in 0..LONGEST_CHAIN {
            if here == object_id(known) {
                return Ok(Some(found));
            }
            let commit = objects.commit(here)?;
            let [parent] = commit.parents[..] else { return Ok(None) };
            let before = projects(&objects, &objects.commit(parent)?)?;
            let after = projects(&objects, &commit)?;
            if before != after {
                let author: Arc<str> = read_entry(&objects, here)?.author.name.into();
                let change = LastChange { revision: revision(&here), time: timestamp(commit.time), author };
                let (before, after) = (entries(&objects, before)?, entries(&objects, after)?);
                for (old, new) in directory::differences(&before, &after) {
                    let folder = old.into_iter().chain(new).find(|entry| entry.mode.is_tree());
                    let name = folder.and_then(|entry| std::str::from_utf8(&entry.filename).ok());
                    let Some(name) = name.and_then(|name| ProjectName::parse(name).ok()) else { continue };
                    let is_there = directory::find(&after, name.as_str()).is_some_and(|entry| entry.mode.is_tree());
                    // The newest of them counts.
                    found.entry(name).or_insert_with(|| is_there.then(|| change.clone()));
                }
            }
            here = parent;
        }
        Ok(None)
    }

    /// The files that differ between two commits; everything when there is no first. A name that no [`RepoPath`] can
    /// say stands as its directory.
    ///
    /// # Errors
    /// [`GitError::Object`] when an object is missing or damaged.
    pub fn diff_paths(&self, from: Option<Revision>, to: Revision) -> Result<BTreeSet<RepoPath>, GitError> {
        let objects = self.objects();
        let before = match from {
            Some(from) => Some(objects.commit(object_id(from))?.tree),
            None => None,
        };
        let after = objects.commit(object_id(to))?.tree;
        let mut paths = BTreeSet::new();
        diff(&objects, before, Some(after), &RepoPath::root(), &mut paths)?;
        Ok(paths)
    }

    /// The commits of `tip`'s history that are in none of `known`'s, newest first, each with its first parent; at most
    /// `limit`. Skewed clocks can only add commits that are known, never hide one.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn new_commits(
        &self,
        tip: Revision,
        known: &[Revision],
        limit: usize,
    ) -> Result<Vec<(Revision, Option<Revision>)>, GitError> {
        let objects = self.objects();
        let mut walk = Walk::from(&objects, tip)?;
        let mut old: BTreeSet<ObjectId> = known.iter().map(|revision| object_id(*revision)).collect();
        for id in old.clone() {
            walk.push(id)?;
        }
        let mut found = Vec::new();
        let mut oldest = i64::MAX;
        while found.len() < limit {
            // What was found may turn out to be known for as long as a known commit of its time or later is waiting.
            let waits = |(time, _, id): &(i64, _, ObjectId)| !old.contains(id) || *time >= oldest;
            if !walk.queue.iter().any(waits) {
                break;
            }
            let Some((id, commit)) = walk.next()? else { break };
            if old.contains(&id) {
                old.extend(&commit.parents);
            } else {
                oldest = oldest.min(commit.time);
                found.push((revision(&id), commit.parents.first().map(revision)));
            }
            walk.push_parents(&commit)?;
        }
        // Some may have been found to be known only later, and with them what comes before them.
        found.retain(|(revision, _)| {
            let id = object_id(*revision);
            let is_new = !old.contains(&id);
            if !is_new && let Some(commit) = walk.seen.get(&id) {
                old.extend(&commit.parents);
            }
            is_new
        });
        Ok(found)
    }

    /// Whether `ancestor` is `descendant` or in its history.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn is_ancestor(&self, ancestor: Revision, descendant: Revision) -> Result<bool, GitError> {
        let objects = self.objects();
        let mut walk = Walk::from(&objects, descendant)?;
        while let Some((id, commit)) = walk.next()? {
            if revision(&id) == ancestor {
                return Ok(true);
            }
            walk.push_parents(&commit)?;
        }
        Ok(false)
    }
}

/// Commits newest first, each once; a child always before its parents.
struct Walk<'a> {
    objects: &'a Objects,
    /// By time, then by the order of discovery, so that the order is the same each time.
    queue: BinaryHeap<(i64, std::cmp::Reverse<usize>, ObjectId)>,
    seen: BTreeMap<ObjectId, CommitInfo>,
}

impl<'a> Walk<'a> {
    fn from(objects: &'a Objects, start: Revision) -> Result<Self, GitError> {
        let mut walk = Self { objects, queue: BinaryHeap::new(), seen: BTreeMap::new() };
        walk.push(object_id(start))?;
        Ok(walk)
    }

    fn push(&mut self, id: ObjectId) -> Result<(), GitError> {
        if !self.seen.contains_key(&id) {
            let commit = self.objects.commit(id)?;
            self.queue.push((commit.time, std::cmp::Reverse(self.seen.len()), id));
            self.seen.insert(id, commit);
        }
        Ok(())
    }

    fn push_parents(&mut self, commit: &CommitInfo) -> Result<(), GitError> {
        commit.parents.iter().try_for_each(|parent| self.push(*parent))
    }

    fn next(&mut self) -> Result<Option<(ObjectId, CommitInfo)>, GitError> {
        let Some((_, _, id)) = self.queue.pop() else { return Ok(None) };
        match self.seen.get(&id) {
            Some(commit) => Ok(Some((id, commit.clone()))),
            None => self.objects.commit(id).map(|commit| Some((id, commit))),
        }
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn read_entry(objects: &Objects, id: ObjectId) -> Result<LogEntry, GitError> {
    let bytes = objects.read(id, Kind::Commit)?;
    let commit = parse_commit(id, &bytes)?;
    let author = commit.author().map_err(|error| GitError::object(id, error))?;
    let time = commit.time().map_err(|error| GitError::object(id, error))?;
    let message = commit.message.to_string();
    Ok(LogEntry {
        revision: revision(&id),
        author: Person { name: author.name.to_string(), email: author.email.to_string() },
        time: timestamp(time.seconds),
        subject: message.lines().next().unwrap_or_default().to_owned(),
        trailers: trailers(&message),
    })
}

/// The trailers of a message: its last paragraph, when that is not the subject and every line is `Key: value`.
fn trailers(message: &str) -> Vec<(String, String)> {
    let text = message.trim_end();
    let Some((_, last)) = text.rsplit_once("\n\n") else { return Vec::new() };
    let parse = |line: &str| {
        let (key, value) = line.split_once(':')?;
        let word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        word.then(|| (key.to_owned(), value.trim().to_owned()))
    };
    last.lines().map(parse).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// What stands at `path` below `tree`.
fn at_path(objects: &Objects, tree: ObjectId, path: &RepoPath) -> Result<Option<ObjectId>, GitError> {
    let mut here = tree;
    let mut is_tree = true;
    for part in path.as_str().split('/').filter(|part| !part.is_empty()) {
        if !is_tree {
            return Ok(None);
        }
        let parent = objects.directory(here)?;
        let Some(entry) = directory::find(&parent, part) else { return Ok(None) };
        is_tree = entry.mode.is_tree();
        here = entry.oid;
    }
    Ok(Some(here))
}

/// The folders below `projects/` of a commit, with their ids.
type FolderIds = BTreeMap<ProjectName, ObjectId>;

/// Reads them, and remembers the last ones: a commit is looked at once as itself and once as a parent, and most have
/// the same projects as the one before.
struct Folders<'a> {
    objects: &'a Objects,
    recent: VecDeque<(Option<ObjectId>, Arc<FolderIds>)>,
}

impl<'a> Folders<'a> {
    const REMEMBERED: usize = 8;

    const fn new(objects: &'a Objects) -> Self {
        Self { objects, recent: VecDeque::new() }
    }

    fn of(&mut self, commit: ObjectId) -> Result<Arc<FolderIds>, GitError> {
        let projects = projects(self.objects, &self.objects.commit(commit)?)?;
        if let Some((_, known)) = self.recent.iter().find(|(id, _)| *id == projects) {
            return Ok(Arc::clone(known));
        }
        let mut folders = FolderIds::new();
        if let Some(projects) = projects {
            for entry in self.objects.directory(projects)?.entries.iter().filter(|entry| entry.mode.is_tree()) {
                let name = std::str::from_utf8(&entry.filename).ok().and_then(|name| ProjectName::parse(name).ok());
                folders.extend(name.map(|name| (name, entry.oid)));
            }
        }
        let folders = Arc::new(folders);
        self.recent.push_front((projects, Arc::clone(&folders)));
        self.recent.truncate(Self::REMEMBERED);
        Ok(folders)
    }
}

/// The folder of a commit that holds the projects.
fn projects(objects: &Objects, commit: &CommitInfo) -> Result<Option<ObjectId>, GitError> {
    let root = objects.directory(commit.tree)?;
    Ok(directory::find(&root, "projects").filter(|entry| entry.mode.is_tree()).map(|entry| entry.oid))
}

/// The entries of a directory, or none where there is none.
fn entries(objects: &Objects, id: Option<ObjectId>) -> Result<Arc<Directory>, GitError> {
    id.map_or_else(|| Ok(Arc::new(Directory::empty())), |id| objects.directory(id))
}

fn diff(
    objects: &Objects,
    before: Option<ObjectId>,
    after: Option<ObjectId>,
    directory: &RepoPath,
    paths: &mut BTreeSet<RepoPath>,
) -> Result<(), GitError> {
    if before == after {
        return Ok(());
    }
    let (before, after) = (entries(objects, before)?, entries(objects, after)?);
    for (old, new) in directory::differences(&before, &after) {
        let Some(name) = old.or(new).map(|entry| &entry.filename) else { continue };
        let path = std::str::from_utf8(name).ok().and_then(|name| directory.join(name).ok());
        let Some(path) = path.filter(|path| path != directory) else {
            paths.insert(directory.clone());
            continue;
        };
        let is_file = |side: Option<&Entry>| side.is_some_and(|entry| !entry.mode.is_tree());
        if is_file(old) || is_file(new) {
            paths.insert(path.clone());
        }
        let folder = |side: Option<&Entry>| side.filter(|entry| entry.mode.is_tree()).map(|entry| entry.oid);
        diff(objects, folder(old), folder(new), &path, paths)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_the_last_paragraph_when_it_is_nothing_else() {
        let pairs = |text| trailers(text).into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
        assert_eq!(pairs("a: b\n"), [""; 0], "the subject is no trailer");
        assert_eq!(pairs("s\n\nbody\n\nSource: api\nRequest-Id: 1\n"), ["Source=api", "Request-Id=1"]);
        assert_eq!(pairs("s\n\nSource: api\nand more\n"), [""; 0]);
    }
}
