//! What happened: the log, the paths between two commits, what came from where.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::Entry;
use jiff::Timestamp;

use super::commit::Person;
use super::directory::{self, Directory};
use super::objects::{CommitInfo, Objects, object_id, parse_commit, revision};
use super::{GitError, Repository, Tree};
use crate::project::{RepoPath, Revision};

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

impl Repository {
    /// The newest commits from `from` back, at most `limit`; with a `path` only those that changed something there.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn log(&self, from: Revision, path: Option<&RepoPath>, limit: usize) -> Result<Vec<LogEntry>, GitError> {
        self.log_back_to(from, path, limit, false)
    }

    /// Returns the trees of the newest commits from `from` back that changed `path`, at most `limit`.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn versions(&self, from: Revision, path: &RepoPath, limit: usize) -> Result<Vec<Tree>, GitError> {
        self.log(from, Some(path), limit)?.iter().map(|entry| self.tree(entry.revision)).collect()
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
pub(super) struct Walk<'a> {
    objects: &'a Objects,
    /// By time, then by the order of discovery, so that the order is the same each time.
    queue: BinaryHeap<(i64, std::cmp::Reverse<usize>, ObjectId)>,
    seen: BTreeMap<ObjectId, CommitInfo>,
}

impl<'a> Walk<'a> {
    pub(super) fn from(objects: &'a Objects, start: Revision) -> Result<Self, GitError> {
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

    pub(super) fn push_parents(&mut self, commit: &CommitInfo) -> Result<(), GitError> {
        commit.parents.iter().try_for_each(|parent| self.push(*parent))
    }

    /// The tree of a commit that was pushed.
    pub(super) fn tree(&self, id: &ObjectId) -> Option<ObjectId> {
        self.seen.get(id).map(|commit| commit.tree)
    }

    pub(super) fn next(&mut self) -> Result<Option<(ObjectId, CommitInfo)>, GitError> {
        let Some((_, _, id)) = self.queue.pop() else { return Ok(None) };
        match self.seen.get(&id) {
            Some(commit) => Ok(Some((id, commit.clone()))),
            None => self.objects.commit(id).map(|commit| Some((id, commit))),
        }
    }
}

pub(super) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn read_entry(objects: &Objects, id: ObjectId) -> Result<LogEntry, GitError> {
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

/// The entries of a directory, or none where there is none.
pub(super) fn entries(objects: &Objects, id: Option<ObjectId>) -> Result<Arc<Directory>, GitError> {
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
