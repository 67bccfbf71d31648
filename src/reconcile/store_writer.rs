//! The way to the store, for the inventory, the history and the last changes: in order, and what waits is written together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::git;
use crate::project::{Inventory, Revision, Unit};
use crate::store::{CommitOutcome, Store};

/// So much is written in one transaction: whoever comes first should not wait for too many others.
const BATCH: usize = 256;
/// What nobody waits for is gathered for so long.
const GATHERING: Duration = Duration::from_millis(200);
/// After a transaction that somebody waited for, others gather for so many times as long as it took: when a fleet comes up,
/// one for each project would keep the disk, and a core, busy.
const SHARE: u32 = 10;

/// Something on its way to the store.
pub(super) enum Entry {
    /// What belongs to a unit.
    Inventory {
        unit: Unit,
        /// Everything that is its own, and what was sent last of it.
        inventory: Inventory,
        /// Whom to tell when it is there.
        written: Option<oneshot::Sender<Result<(), String>>>,
    },
    /// What came of a commit.
    History(CommitOutcome),
    /// Who changed projects last.
    Changes(ChangesTo),
}

/// What has become of projects up to a head.
#[derive(Debug)]
pub(super) struct ChangesTo {
    pub(super) head: Revision,
    /// From where on; `None` when this is all there is.
    pub(super) since: Option<Revision>,
    pub(super) changes: git::Changes,
}

impl ChangesTo {
    /// Adds what comes next; what does not follow is for the store to judge.
    fn and(mut self, next: Self) -> Self {
        if next.since != Some(self.head) {
            return next;
        }
        self.changes.extend(next.changes);
        Self { head: next.head, ..self }
    }
}

/// Writes entries in order: an older one must never overwrite a newer one.
pub(super) async fn keep(store: Store, mut entries: mpsc::UnboundedReceiver<Entry>) {
    let (mut batch, mut is_open) = (Vec::new(), true);
    // Each unit once: what came first is overtaken.
    let mut inventories: BTreeMap<Unit, Inventory> = BTreeMap::new();
    let (mut waiting, mut passages) = (Vec::new(), Vec::new());
    let mut changes: Option<ChangesTo> = None;
    let (mut inventory_due, mut history_due, mut changes_due) = (Instant::now(), Instant::now(), Instant::now());
    while is_open {
        let due = [
            (!inventories.is_empty()).then_some(inventory_due),
            (!passages.is_empty()).then_some(history_due),
            changes.is_some().then_some(changes_due),
        ];
        let more = entries.recv_many(&mut batch, BATCH);
        is_open = match due.into_iter().flatten().min() {
            None => more.await > 0,
            // Nothing more until it is due.
            Some(due) => tokio::time::timeout_at(due, more).await.unwrap_or(1) > 0,
        };
        for entry in batch.drain(..) {
            match entry {
                Entry::Inventory { unit, inventory, written } => {
                    waiting.extend(written);
                    inventories.insert(unit, inventory);
                }
                Entry::History(passage) => {
                    if passages.is_empty() {
                        history_due = Instant::now() + GATHERING;
                    }
                    passages.push(passage);
                }
                Entry::Changes(next) => {
                    if changes.is_none() {
                        changes_due = Instant::now() + GATHERING;
                    }
                    changes = Some(match changes.take() {
                        Some(before) => before.and(next),
                        None => next,
                    });
                }
            }
        }
        let is_due = |count: usize, due: Instant| !is_open || count >= BATCH || Instant::now() >= due;
        if !inventories.is_empty() && is_due(inventories.len().max(waiting.len()), inventory_due) {
            let began = Instant::now();
            let all: Vec<(Unit, Inventory)> = std::mem::take(&mut inventories).into_iter().collect();
            let result = store.set_inventories(&all).await.map_err(|error| error.to_string());
            if let Err(error) = &result {
                tracing::warn!(error, "the inventory could not be written");
            }
            for written in waiting.drain(..) {
                let _ = written.send(result.clone());
            }
            inventory_due = Instant::now() + began.elapsed() * SHARE;
        }
        if !passages.is_empty() && is_due(passages.len(), history_due) {
            let told = newest(std::mem::take(&mut passages));
            if let Err(error) = store.record_passages(&told).await {
                tracing::warn!(%error, "the history could not be written");
            }
        }
        if let Some(ChangesTo { head, since, changes }) = changes.take_if(|_| is_due(0, changes_due))
            && let Err(error) = store.set_last_changes(since, head, &changes).await
        {
            tracing::warn!(%error, "the last changes could not be written; the next start looks through more of the history");
        }
    }
}

/// Of what is told of one commit to one project, the last.
fn newest(passages: Vec<CommitOutcome>) -> Vec<CommitOutcome> {
    let mut told = BTreeSet::new();
    let mut is_last =
        |passage: &CommitOutcome| told.insert((passage.unit.clone(), passage.revision.clone(), passage.seen_at));
    let mut newest: Vec<CommitOutcome> = passages.into_iter().rev().filter(|passage| is_last(passage)).collect();
    newest.reverse();
    newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{LastChange, ObjectKey, ProjectName, Sent};

    fn passage(name: &str, seen_at: i64, outcome: &str) -> CommitOutcome {
        CommitOutcome {
            unit: Unit::Project(ProjectName::parse(name).unwrap()),
            revision: seen_at.to_string(),
            author: String::new(),
            seen_at,
            digest: String::new(),
            summary: String::new(),
            outcome: outcome.to_owned(),
            message: String::new(),
            applied_ms: None,
            healthy_ms: None,
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_told_when_it_is_there_and_the_end_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(directory.path()).await.unwrap();
        let (entries, received) = mpsc::unbounded_channel();
        let ledger = tokio::spawn(keep(store.clone(), received));
        let unit = |number: usize| Unit::Project(ProjectName::parse(&format!("p{number}")).unwrap());
        let keys = |name: &str| Inventory::from([(ObjectKey::new("", "Secret", None, name), Sent::Hash(7))]);
        let send = |number: usize, name: &str| {
            let (written, wait) = oneshot::channel();
            let entry = Entry::Inventory { unit: unit(number), inventory: keys(name), written: Some(written) };
            assert!(entries.send(entry).is_ok());
            wait
        };
        let began = Instant::now();
        send(0, "first").await.unwrap().unwrap();
        assert!(began.elapsed() < GATHERING, "the first waits for nobody");
        // More than one transaction takes, the same units again among them.
        let waits: Vec<_> =
            (0..2 * BATCH).map(|number| send(number % BATCH, &format!("n{}", number / BATCH))).collect();
        for wait in waits {
            wait.await.unwrap().unwrap();
        }
        let stored = store.inventory().await.unwrap();
        assert_eq!(stored.len(), BATCH);
        assert!(stored.values().all(|stored| *stored == keys("n1")), "the newest of each: {stored:?}");

        // Steps that follow one another are one for the store; it is told of them by the time the program ends.
        let revision = |number: u8| Revision::from_bytes([number; 20]);
        let step = |since: Option<u8>, head: u8, name: &str| {
            let change =
                LastChange { revision: revision(head), time: jiff::Timestamp::UNIX_EPOCH, author: "Ana".into() };
            let changes = [(ProjectName::parse(name).unwrap(), Some(change))].into();
            Entry::Changes(ChangesTo { since: since.map(revision), head: revision(head), changes })
        };
        for entry in [step(None, 1, "a"), step(Some(1), 2, "b"), step(Some(2), 3, "a")] {
            assert!(entries.send(entry).is_ok());
        }
        // What nobody waits for is there when the program ends.
        assert!(entries.send(Entry::History(passage("p1", 1, "applied"))).is_ok());
        assert!(entries.send(Entry::Inventory { unit: unit(1), inventory: keys("last"), written: None }).is_ok());
        drop(entries);
        ledger.await.unwrap();
        assert_eq!(store.inventory().await.unwrap()[&unit(1)], keys("last"));
        assert_eq!(store.passages(&ProjectName::parse("p1").unwrap()).await.unwrap().len(), 1);
        let (head, changes) = store.last_changes().await.unwrap().unwrap();
        let told: Vec<_> = changes.iter().map(|(name, change)| (name.as_str(), change.revision)).collect();
        assert_eq!((head, told), (revision(3), vec![("a", revision(3)), ("b", revision(2))]));

        // After a gap nobody knows what is missing, so that nothing is remembered.
        let (entries, received) = mpsc::unbounded_channel();
        assert!(entries.send(step(Some(3), 4, "a")).is_ok() && entries.send(step(Some(5), 6, "b")).is_ok());
        drop(entries);
        keep(store.clone(), received).await;
        assert_eq!(store.last_changes().await.unwrap(), None);
    }

    #[test]
    fn what_was_told_last_of_a_commit_is_what_is_written_and_commits_keep_their_order() {
        let told = [("a", 1, "begun"), ("b", 1, "begun"), ("a", 2, "begun"), ("a", 1, "applied"), ("a", 2, "failed")];
        let written = newest(told.iter().map(|(name, seen_at, outcome)| passage(name, *seen_at, outcome)).collect());
        let expected = [("b", 1, "begun"), ("a", 1, "applied"), ("a", 2, "failed")];
        assert_eq!(written, expected.map(|(name, seen_at, outcome)| passage(name, seen_at, outcome)));
    }
}
