//! The commit that last changed each project.

use std::collections::BTreeMap;
use std::sync::Arc;

use gix::ObjectId;

use super::directory::{self, Directory};
use super::history::{Walk, entries, read_entry, timestamp};
use super::objects::{CommitInfo, Objects, object_id, revision};
use super::{GitError, Repository};
use crate::project::{LastChange, ProjectName, Revision, layout};

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
    /// For each folder `projects/<name>` of `head` the newest commit that gave it the content it has now.
    ///
    /// One walk from the head, which ends when every project is found, or at `known`: an earlier answer of this
    /// function, with the revision it was for. What a commit costs is what it takes to read its list of projects.
    ///
    /// # Errors
    /// [`GitError::Object`] when the history is damaged.
    pub fn last_changes(
        &self,
        head: Revision,
        known: Option<(Revision, &BTreeMap<ProjectName, LastChange>)>,
    ) -> Result<BTreeMap<ProjectName, LastChange>, GitError> {
        let objects = self.objects();
        let mut open = folders(&*projects_of(&objects, object_id(head))?);
        let mut found = BTreeMap::new();
        let mut walk = Walk::from(&objects, head)?;
        while !open.is_empty() {
            let Some((id, commit)) = walk.next()? else { break };
            if let Some((_, earlier)) = known.filter(|(known, _)| *known == revision(&id)) {
                let then = projects_of(&objects, id)?;
                open.retain(|name, content| match earlier.get(name) {
                    Some(change) if folder(&then, name.as_str()) == Some(*content) => {
                        found.insert(name.clone(), change.clone());
                        false
                    }
                    _ => true,
                });
            }
            walk.push_parents(&commit)?;
            let parents: Vec<ObjectId> = commit.parents.iter().filter_map(|parent| walk.tree(parent)).collect();
            let made = made_by(&objects, commit.tree, &parents, &open)?;
            if !made.is_empty() {
                let change = read_change(&objects, id, &commit)?;
                for name in made {
                    open.remove(&name);
                    found.insert(name, change.clone());
                }
            }
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
            let before = projects(&objects, objects.commit(parent)?.tree)?;
            let after = projects(&objects, commit.tree)?;
            if before != after {
                let change = read_change(&objects, here, &commit)?;
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
}

/// Which of the folders have got their content by a commit: none of its parents has the same. Takes the trees of both.
fn made_by(
    objects: &Objects,
    tree: ObjectId,
    parents: &[ObjectId],
    open: &BTreeMap<ProjectName, ObjectId>,
) -> Result<Vec<ProjectName>, GitError> {
    let here = projects(objects, tree)?;
    let parents = parents.iter().map(|parent| projects(objects, *parent)).collect::<Result<Vec<_>, _>>()?;
    if parents.contains(&here) {
        return Ok(Vec::new());
    }
    let here = entries(objects, here)?;
    // What is the same in the first parent need not be looked at, and that is nearly all of it.
    let first = entries(objects, parents.first().copied().flatten())?;
    let parents = parents.into_iter().map(|parent| entries(objects, parent)).collect::<Result<Vec<_>, _>>()?;
    let differs = directory::differences(&first, &here).into_iter().filter_map(|(_, new)| new);
    let made = differs.filter_map(|entry| {
        let (name, content) = open.get_key_value(std::str::from_utf8(&entry.filename).ok()?)?;
        let is_new = |parent: &Arc<Directory>| folder(parent, name.as_str()) != Some(*content);
        (entry.oid == *content && parents.iter().all(is_new)).then(|| name.clone())
    });
    Ok(made.collect())
}

fn read_change(objects: &Objects, id: ObjectId, commit: &CommitInfo) -> Result<LastChange, GitError> {
    let author = read_entry(objects, id)?.author.name.into();
    Ok(LastChange { revision: revision(&id), time: timestamp(commit.time), author })
}

/// The folder that holds the projects, in the tree of a commit.
fn projects(objects: &Objects, tree: ObjectId) -> Result<Option<ObjectId>, GitError> {
    let root = objects.directory(tree)?;
    Ok(directory::find(&root, layout::projects().as_str()).filter(|entry| entry.mode.is_tree()).map(|entry| entry.oid))
}

fn projects_of(objects: &Objects, commit: ObjectId) -> Result<Arc<Directory>, GitError> {
    entries(objects, projects(objects, objects.commit(commit)?.tree)?)
}

/// The folder of one project.
fn folder(projects: &Directory, name: &str) -> Option<ObjectId> {
    directory::find(projects, name).filter(|entry| entry.mode.is_tree()).map(|entry| entry.oid)
}

/// The folders of all projects.
fn folders(projects: &Directory) -> BTreeMap<ProjectName, ObjectId> {
    let trees = projects.entries.iter().filter(|entry| entry.mode.is_tree());
    let named = trees.filter_map(|entry| {
        let name = std::str::from_utf8(&entry.filename).ok()?;
        Some((ProjectName::parse(name).ok()?, entry.oid))
    });
    named.collect()
}
