//! The objects, their versions, and the changes that watches are told of.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::Error;
use super::errors::Refusal;
use super::journal::{Journal, Record};
use super::resources::{self, Resource};

/// How many changes are remembered for watches. Who is further behind lists again, which costs little within a process;
/// each remembered change costs two whole objects.
const REMEMBERED: usize = 256;

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) resource: &'static Resource,
    /// Empty for objects that are in no namespace.
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) id: Id,
    pub(super) before: Option<Arc<Value>>,
    /// The object as it is now, or as it was when it went; then `gone` is set.
    pub(super) object: Arc<Value>,
    pub(super) gone: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct State {
    objects: BTreeMap<Id, Arc<Value>>,
    events: VecDeque<Event>,
    /// The version of the newest change that is forgotten.
    forgotten: u64,
    version: u64,
    journal: Journal,
    /// Whether the journal still has a Secret as it was before it changed or went.
    has_old_secret: bool,
    /// Whether somebody runs pods.
    pub(super) has_runtime: bool,
    /// Where the logs of pods are, when somebody keeps them.
    pub(super) logs: Option<PathBuf>,
}

impl State {
    /// Reads what is in `directory`.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let mut objects: BTreeMap<Id, Arc<Value>> = BTreeMap::new();
        let mut has_old_secret = false;
        let (journal, version) = Journal::open(directory, |record| {
            let replaced = match record {
                Record::Put(object) => id_of(&object).and_then(|id| objects.insert(id, Arc::new(object))),
                Record::Gone(object) => id_of(&object).and_then(|id| objects.remove(&id)),
            };
            has_old_secret |= replaced.is_some_and(|replaced| is_secret(&replaced));
        })?;
        let events = VecDeque::new();
        let mut state = Self {
            objects,
            events,
            forgotten: version,
            version,
            journal,
            has_old_secret,
            has_runtime: false,
            logs: None,
        };
        // The process ended between the change and the rewriting.
        state.shorten();
        Ok(state)
    }

    /// The version of the last change of anything.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Arc<Value>> {
        self.objects.get(id)
    }

    /// The objects of a kind, in one namespace or in all, by namespace and name.
    pub(super) fn list(
        &self,
        resource: &'static Resource,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = (&Id, &Arc<Value>)> {
        let from = Id { resource, namespace: namespace.unwrap_or_default().to_owned(), name: String::new() };
        let namespace = namespace.map(str::to_owned);
        self.objects.range(from..).take_while(move |(id, _)| {
            id.resource == resource && namespace.as_ref().is_none_or(|namespace| id.namespace == *namespace)
        })
    }

    /// Makes `object` the current one under the next version.
    pub(super) fn put(&mut self, id: &Id, mut object: Value) -> Result<Arc<Value>, Refusal> {
        let version = self.version + 1;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        self.journal.put(version, &object).map_err(|error| unwritten(&error))?;
        let object = Arc::new(object);
        let before = self.objects.insert(id.clone(), Arc::clone(&object));
        self.happened(Event { version, id: id.clone(), before, object: Arc::clone(&object), gone: false });
        Ok(object)
    }

    /// Removes an object. Gives it as it was, under the version of its end.
    pub(super) fn remove(&mut self, id: &Id) -> Result<Option<Arc<Value>>, Refusal> {
        let Some(before) = self.objects.get(id).cloned() else { return Ok(None) };
        let version = self.version + 1;
        self.journal.gone(version, &before).map_err(|error| unwritten(&error))?;
        self.objects.remove(id);
        let mut last = (*before).clone();
        last["metadata"]["resourceVersion"] = version.to_string().into();
        let last = Arc::new(last);
        let event = Event { version, id: id.clone(), before: Some(before), object: Arc::clone(&last), gone: true };
        self.happened(event);
        Ok(Some(last))
    }

    fn happened(&mut self, event: Event) {
        self.has_old_secret |= event.before.as_ref().is_some_and(|before| is_secret(before));
        self.version = event.version;
        self.events.push_back(event);
        if self.events.len() > REMEMBERED
            && let Some(oldest) = self.events.pop_front()
        {
            self.forgotten = oldest.version;
        }
        self.shorten();
    }

    /// Rewrites the journal where it is mostly history, and where a value that was rotated or deleted is still in it.
    fn shorten(&mut self) {
        if !self.has_old_secret && !self.journal.is_long() {
            return;
        }
        let objects = self.objects.values().map(AsRef::as_ref);
        match self.journal.rewrite(self.version, objects) {
            Ok(()) => self.has_old_secret = false,
            // Nothing is lost: the long file is whole. The next change tries again where an old value is in it.
            Err(error) => tracing::warn!(%error, "the embedded cluster's file could not be shortened"),
        }
    }

    /// The changes after `version`; how far the memory reaches if that is too far back.
    pub(super) fn since(&self, version: u64) -> Result<impl Iterator<Item = &Event>, u64> {
        if version < self.forgotten {
            return Err(self.forgotten);
        }
        let first = self.events.partition_point(|event| event.version <= version);
        Ok(self.events.range(first..))
    }
}

fn is_secret(object: &Value) -> bool {
    object["kind"] == "Secret"
}

/// The identity of an object of a kind that is known here.
pub(super) fn id_of(object: &Value) -> Option<Id> {
    let api_version = object["apiVersion"].as_str()?;
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let metadata = &object["metadata"];
    Some(Id {
        resource: resources::by_kind(group, object["kind"].as_str()?)?,
        namespace: metadata["namespace"].as_str().unwrap_or_default().to_owned(),
        name: metadata["name"].as_str()?.to_owned(),
    })
}

fn unwritten(error: &std::io::Error) -> Refusal {
    Refusal::internal(&format!("the embedded cluster's file cannot be written: {error}"))
}
