//! The objects of a build in order, with an index by identity.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::BuildError;
use super::id::{Id, Identity};
use super::resource::Resource;

/// How many objects one build may have.
const MAX_OBJECTS: usize = 200_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Collection {
    list: Vec<Resource>,
    by_id: Index,
    /// How many numbers for things that were made have been given out.
    made: usize,
}

/// Where identities are in the list, by their hashes: names are compared only where these are equal.
#[derive(Clone, Debug, Default)]
struct Index {
    hasher: RandomState,
    first: HashMap<u64, usize>,
    /// Those whose hash another has already.
    more: Vec<(u64, usize)>,
}

impl Index {
    /// The object of this identity, or a note that the next one, at `next`, has it.
    fn find_or_add(&mut self, list: &[Resource], id: &Identity<'_>, next: usize) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let Some(&first) = self.first.get(&hash) else {
            self.first.insert(hash, next);
            return None;
        };
        let mut same = std::iter::once(first).chain(self.more.iter().filter(|(of, _)| *of == hash).map(|(_, at)| *at));
        let found = same.find(|at| list[*at].identity() == *id);
        if found.is_none() {
            self.more.push((hash, next));
        }
        found
    }
}

impl Collection {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Resource> {
        self.list.iter()
    }

    pub(super) fn get(&self, index: usize) -> &Resource {
        &self.list[index]
    }

    /// One object to change, without its identity; [`Collection::update`] is for changes of that.
    pub(super) fn get_mut(&mut self, index: usize) -> &mut Resource {
        &mut self.list[index]
    }

    pub(super) fn into_list(self) -> Vec<Resource> {
        self.list
    }

    /// So many numbers that nothing in these objects has yet; gives the first.
    pub(super) fn numbers(&mut self, count: usize) -> usize {
        self.made += count;
        self.made + 1 - count
    }

    /// Drops objects; [`Collection::index`] or [`Collection::index_all`] has to follow.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Resource) -> bool) {
        self.list.retain(keep);
    }

    /// Adds an object.
    ///
    /// # Errors
    /// When an object of the same identity is there already.
    pub(super) fn append(&mut self, resource: Resource) -> Result<(), BuildError> {
        if self.list.len() >= MAX_OBJECTS {
            return Err(resource.place.error(format!("the build has more than {MAX_OBJECTS} objects")));
        }
        match self.by_id.find_or_add(&self.list, &resource.identity(), self.list.len()) {
            Some(first) => Err(twice(&self.list[first], &resource)),
            None => {
                self.list.push(resource);
                Ok(())
            }
        }
    }

    pub(super) fn append_all(&mut self, other: Self) -> Result<(), BuildError> {
        if self.list.is_empty() {
            *self = other;
            return self.index();
        }
        self.made = self.made.max(other.made);
        other.list.into_iter().try_for_each(|resource| self.append(resource))
    }

    /// Notes of all objects from the one at `index` on which entry of the top's `resources` they come from.
    pub(super) fn came_from(&mut self, index: usize, entry: usize) {
        self.list.iter_mut().skip(index).for_each(|resource| resource.entry = entry);
    }

    /// As [`Collection::change`], on several threads.
    pub(super) fn change_apart(
        &mut self,
        threads: usize,
        change: impl Fn(usize, &mut Resource) -> Result<(), BuildError> + Sync,
    ) -> Result<(), BuildError> {
        let list: Vec<(usize, &mut Resource)> = self.list.iter_mut().enumerate().collect();
        super::threads::map(threads, list, |(at, resource)| change(at, resource)).into_iter().collect()
    }

    /// Changes objects, but not their identities.
    pub(super) fn change(
        &mut self,
        change: impl FnMut(&mut Resource) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        self.list.iter_mut().try_for_each(change)
    }

    /// Changes objects and their identities. As in stock kustomize, two may have one identity until the objects are added to
    /// others or go out: they may still get different names, or leave.
    ///
    /// # Errors
    /// What `change` gives.
    pub(super) fn update(
        &mut self,
        mut change: impl FnMut(&mut Resource) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        self.list.iter_mut().try_for_each(&mut change)?;
        self.index_all();
        Ok(())
    }

    /// The objects that have or had an identity.
    pub(super) fn with_id(&self, id: &Id) -> Vec<usize> {
        let has = |resource: &Resource| {
            // Names nearly always differ, and cost nothing to compare.
            let named = resource.name() == id.name || resource.previous.iter().any(|(_, name, _)| *name == id.name);
            named && resource.previous_ids().chain([resource.id()]).any(|other| other == *id)
        };
        self.list.iter().enumerate().filter(|(_, resource)| has(resource)).map(|(at, _)| at).collect()
    }

    /// Makes the index anew after identities have changed.
    ///
    /// # Errors
    /// When two objects have one identity.
    pub(super) fn index(&mut self) -> Result<(), BuildError> {
        match self.index_all() {
            Some((first, second)) => Err(twice(&self.list[first], &self.list[second])),
            None => Ok(()),
        }
    }

    /// As [`Collection::index`], where two objects may have one identity for a while; gives the first two that have.
    pub(super) fn index_all(&mut self) -> Option<(usize, usize)> {
        self.by_id.first.clear();
        self.by_id.more.clear();
        let mut twice = None;
        for (at, resource) in self.list.iter().enumerate() {
            let first = self.by_id.find_or_add(&self.list, &resource.identity(), at);
            twice = twice.or(first.map(|first| (first, at)));
        }
        twice
    }
}

fn twice(first: &Resource, second: &Resource) -> BuildError {
    let message = format!("{} is there already, from {}:{}", second.id(), first.place.file, first.place.line);
    second.place.error_with_hint(message, "give one of them another name, or list the file once")
}
