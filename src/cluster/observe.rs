//! What is seen of the cluster, kept up to date by watches: a quiet cluster costs their renewal every few minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::cache::{Cache, Head, Keeper, Listing};
use super::kinds::{Kind, Kinds, Resource};
use super::warning_events::{Complaint, Complaints, Event};
use super::watch::{PAGES, Watch};
use super::{Error, error};
use crate::plan::Live;
use crate::project::{ErrorKind, ObjectKey, Unit};

/// The kinds that are always watched: those of the environment base, and pods.
const ALWAYS: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("apps", "StatefulSet"),
    ("networking.k8s.io", "NetworkPolicy"),
];

/// How the watches are doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Whether every watch had its first list, or was refused. Before, an object that is not seen may well exist.
    pub synced: bool,
    /// Why the cluster does not answer; `None` while it does.
    pub unreachable: Option<String>,
    /// Kinds that cannot be watched, and why. Their objects are not seen.
    pub refused: BTreeMap<Kind, Error>,
}

/// The copy of the cluster. Cheap to clone; the watches end with the last clone.
///
/// **Guarantees:** an object never goes back to an older version; an object that was deleted does not come back by a late
/// answer; every change wakes every [`Changes`].
#[derive(Clone)]
pub struct Observer {
    client: Client,
    kinds: Kinds,
    namespace: String,
    shared: Arc<Shared>,
    watches: Arc<Mutex<Watches>>,
}

impl std::fmt::Debug for Observer {
    /// Without what was seen: Secrets are among it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Watches {
    kinds: BTreeSet<Kind>,
    // Ends its tasks when it is dropped.
    tasks: JoinSet<()>,
}

impl Observer {
    /// Begins to watch `namespace`: the kinds of the environment base, and `kinds`.
    #[must_use]
    pub fn start(client: Client, namespace: &str, kinds: impl IntoIterator<Item = Kind>) -> Self {
        let observer = Self {
            kinds: Kinds::new(client.clone()),
            client,
            namespace: namespace.to_owned(),
            shared: Arc::default(),
            watches: Arc::default(),
        };
        let (client, shared) = (observer.client.clone(), Arc::clone(&observer.shared));
        lock(&observer.watches).tasks.spawn(super::watch::complaints(client, shared, namespace.to_owned()));
        let always = ALWAYS.iter().map(|(group, kind)| Kind::new(group, kind));
        for kind in always.chain(kinds) {
            observer.watch_kind(&kind);
        }
        observer
    }

    /// Watches one more kind; does nothing when it is watched. [`Connection::synced`] turns false until it was listed.
    pub fn watch_kind(&self, kind: &Kind) {
        let mut watches = lock(&self.watches);
        if !watches.kinds.insert(kind.clone()) {
            return;
        }
        self.shared.starting(kind);
        let watch = Watch {
            client: self.client.clone(),
            kinds: self.kinds.clone(),
            kind: kind.clone(),
            namespace: self.namespace.clone(),
            shared: Arc::clone(&self.shared),
        };
        watches.tasks.spawn(watch.run());
    }

    /// The kinds that are watched.
    #[must_use]
    pub fn watched(&self) -> BTreeSet<Kind> {
        lock(&self.watches).kinds.clone()
    }

    /// The resolver that the watches use, to share what it has learnt.
    #[must_use]
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// The live objects of one unit, or of all units, as a plan wants them.
    #[must_use]
    pub fn objects(&self, unit: Option<&Unit>) -> BTreeMap<ObjectKey, Live> {
        self.shared.with(|cache| cache.live(unit))
    }

    /// The live objects that the label or the field manager of one unit is on, and those at `keys`, whosever they are: a
    /// plan must see that its object belongs to another unit.
    #[must_use]
    pub fn objects_for<'a>(&self, unit: &Unit, keys: impl Iterator<Item = &'a ObjectKey>) -> BTreeMap<ObjectKey, Live> {
        self.shared.with(|cache| cache.of_and_at(unit, keys))
    }

    /// What a controller complained of last about an object, as far as its event has not expired.
    #[must_use]
    pub fn complaint(&self, key: &ObjectKey) -> Option<Complaint> {
        lock(&self.shared.state).complaints.of(key).cloned()
    }

    /// Those of the units of which an object is there that a function chooses.
    #[must_use]
    pub fn units(&self, choose: impl Fn(&Unit) -> bool) -> BTreeSet<Unit> {
        self.shared.with(|cache| cache.units().filter(|unit| choose(unit)).cloned().collect())
    }

    /// Takes what the API server answered to a clean apply, so that the next plan need not wait for the watch. `hash` is
    /// [`crate::plan`]'s hash of what was sent.
    pub fn record(&self, answer: &str, hash: u64) {
        let Some(head) = Head::read(answer, None) else { return };
        if self.shared.with(|cache| cache.confirmed(&head, hash)) {
            return;
        }
        if let Some(object) = self.shared.keeper.read(head, answer, None) {
            self.shared.change(|cache| cache.recorded(object, hash));
        }
    }

    /// How the watches are doing, now and whenever that changes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.shared.connection.subscribe()
    }

    /// Returns when every watch had its first list, or was refused.
    pub async fn synced(&self) {
        let mut connection = self.connection();
        // The sender lives as long as `self`.
        let _ = connection.wait_for(|connection| connection.synced).await;
    }

    /// What changes from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut signal = self.shared.signal.subscribe();
        let cursor = *signal.borrow_and_update();
        Changes { shared: Arc::clone(&self.shared), signal, cursor }
    }
}

/// Says for which units something changed. A slow reader misses nothing: what piled up comes as one set.
pub struct Changes {
    shared: Arc<Shared>,
    signal: watch::Receiver<u64>,
    cursor: u64,
}

impl Changes {
    /// Waits for a change.
    pub async fn next(&mut self) -> BTreeSet<Unit> {
        loop {
            if self.signal.changed().await.is_err() {
                return std::future::pending().await;
            }
            let now = *self.signal.borrow_and_update();
            let state = lock(&self.shared.state);
            // The base is the first of all units.
            let changed: BTreeSet<Unit> =
                state.latest.range((self.cursor + 1, Unit::Base)..).map(|(_, unit)| unit.clone()).collect();
            drop(state);
            self.cursor = now;
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}

/// What the watches write and the observer reads.
pub(super) struct Shared {
    state: Mutex<State>,
    keeper: Keeper,
    pub(super) pages: Semaphore,
    signal: watch::Sender<u64>,
    connection: watch::Sender<Connection>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    complaints: Complaints,
    /// The number of the last change of each unit.
    changed: BTreeMap<Unit, u64>,
    /// The same by number, so that whoever has seen most of them looks at the rest only.
    latest: BTreeSet<(u64, Unit)>,
    watches: BTreeMap<Kind, WatchState>,
}

#[derive(Default)]
struct WatchState {
    listed: bool,
    failure: Option<Error>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            keeper: Keeper::default(),
            pages: Semaphore::new(PAGES),
            signal: watch::Sender::new(0),
            connection: watch::Sender::default(),
        }
    }
}

impl Shared {
    pub(super) fn with<T>(&self, read: impl FnOnce(&mut Cache) -> T) -> T {
        read(&mut lock(&self.state).cache)
    }

    /// Takes an object from a watch event, whose head was read.
    pub(super) fn seen(&self, head: Head, text: &str) {
        if self.with(|cache| cache.is_news(&head))
            && let Some(object) = self.keeper.read(head, text, None)
        {
            self.change(|cache| cache.seen(object));
        }
    }

    /// Takes one object of a list.
    pub(super) fn listed(&self, listing: &mut Listing, text: &str, resource: &Resource) {
        let head = Head::read(text, Some(resource));
        if let Some(object) = head.and_then(|head| self.keeper.read(head, text, Some(resource))) {
            self.change(|cache| cache.listed(listing, object));
        }
    }

    /// Changes the copy and wakes the readers.
    pub(super) fn change(&self, write: impl FnOnce(&mut Cache) -> BTreeSet<Unit>) {
        self.change_with(|cache, _| write(cache));
    }

    /// Takes an event, and wakes the readers of whom it is about.
    pub(super) fn complained(&self, event: &Event) {
        self.change_with(|cache, complaints| match complaints.seen(event, Instant::now()) {
            Some(key) => cache.units_of(&key),
            None => BTreeSet::new(),
        });
    }

    /// Takes that an event has expired.
    pub(super) fn expired(&self, event: &Event) {
        lock(&self.state).complaints.gone(event);
    }

    fn change_with(&self, write: impl FnOnce(&mut Cache, &mut Complaints) -> BTreeSet<Unit>) {
        let mut state = lock(&self.state);
        let State { cache, complaints, .. } = &mut *state;
        let units = write(cache, complaints);
        if units.is_empty() {
            return;
        }
        self.signal.send_modify(|number| {
            *number += 1;
            for unit in units {
                if let Some(before) = state.changed.insert(unit.clone(), *number) {
                    state.latest.remove(&(before, unit.clone()));
                }
                state.latest.insert((*number, unit));
            }
        });
    }

    pub(super) fn starting(&self, kind: &Kind) {
        self.update(kind, |_| {});
    }

    pub(super) fn live(&self, kind: &Kind) {
        self.update(kind, |watch| *watch = WatchState { listed: true, failure: None });
    }

    pub(super) fn failed(&self, kind: &Kind, error: Error) {
        tracing::debug!(%kind, %error, "watch failed");
        self.update(kind, |watch| watch.failure = Some(error));
    }

    fn update(&self, kind: &Kind, write: impl FnOnce(&mut WatchState)) {
        let mut state = lock(&self.state);
        write(state.watches.entry(kind.clone()).or_default());
        let mut connection = Connection { synced: true, ..Connection::default() };
        for (kind, watch) in &state.watches {
            match &watch.failure {
                Some(error) if is_refusal(error) => {
                    connection.refused.insert(kind.clone(), error.clone());
                    continue;
                }
                Some(error) => connection.unreachable = Some(describe(error)),
                None => {}
            }
            connection.synced &= watch.listed;
        }
        self.connection.send_if_modified(|current| {
            let differs = *current != connection;
            *current = connection;
            differs
        });
    }
}

/// Whether only this kind is concerned, and waiting is no cure.
fn is_refusal(error: &error::Error) -> bool {
    matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::NotFound | ErrorKind::Invalid)
}

fn describe(error: &Error) -> String {
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error} ({hint})"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of another task leaves whole values behind: every write is one call.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
