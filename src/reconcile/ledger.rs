//! The way to the store, for the inventory and the history: in order, and what waits is written together.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::project::{ObjectKey, Unit};
use crate::store::{Passage, Store};

/// So much is written in one transaction: whoever comes first should not wait for too many others.
const BATCH: usize = 256;
/// What nobody waits for is gathered for so long.
const GATHERING: Duration = Duration::from_millis(50);

/// Something on its way to the store.
pub(super) enum Entry {
    /// What belongs to a unit.
    Inventory {
        unit: Unit,
        /// Everything that is its own.
        keys: BTreeSet<ObjectKey>,
        /// Whom to tell when it is there.
        written: Option<oneshot::Sender<Result<(), String>>>,
    },
    /// What came of a commit.
    History(Passage),
}

/// Writes entries in order: an older one must never overwrite a newer one.
pub(super) async fn keep(store: Store, mut entries: mpsc::UnboundedReceiver<Entry>) {
    let (mut batch, mut passages, mut is_open) = (Vec::new(), Vec::new(), true);
    let mut due = Instant::now();
    while is_open {
        // Somebody waits for an inventory; the history can wait until there is more of it.
        if passages.is_empty() {
            is_open = entries.recv_many(&mut batch, BATCH).await > 0;
            due = Instant::now() + GATHERING;
        } else if let Ok(count) = tokio::time::timeout_at(due, entries.recv_many(&mut batch, BATCH)).await {
            is_open = count > 0;
        }
        let (mut inventory, mut waiting) = (Vec::new(), Vec::new());
        for entry in batch.drain(..) {
            match entry {
                Entry::Inventory { unit, keys, written } => {
                    inventory.push((unit, keys));
                    waiting.extend(written);
                }
                Entry::History(passage) => passages.push(passage),
            }
        }
        if !inventory.is_empty() {
            let result = store.set_inventories(&inventory).await.map_err(|error| error.to_string());
            if let Err(error) = &result {
                tracing::warn!(error, "the inventory could not be written");
            }
            for written in waiting {
                let _ = written.send(result.clone());
            }
        }
        if !is_open || passages.len() >= BATCH || Instant::now() >= due {
            let told = newest(std::mem::take(&mut passages));
            if !told.is_empty()
                && let Err(error) = store.record_passages(&told).await
            {
                tracing::warn!(%error, "the history could not be written");
            }
        }
    }
}

/// Of what is told of one commit to one project, the last.
fn newest(passages: Vec<Passage>) -> Vec<Passage> {
    let mut told = BTreeSet::new();
    let mut is_last =
        |passage: &Passage| told.insert((passage.unit.clone(), passage.revision.clone(), passage.seen_at));
    let mut newest: Vec<Passage> = passages.into_iter().rev().filter(|passage| is_last(passage)).collect();
    newest.reverse();
    newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::ProjectName;

    fn passage(name: &str, seen_at: i64, outcome: &str) -> Passage {
        Passage {
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

    #[test]
    fn what_was_told_last_of_a_commit_is_what_is_written_and_commits_keep_their_order() {
        let told = [("a", 1, "begun"), ("b", 1, "begun"), ("a", 2, "begun"), ("a", 1, "applied"), ("a", 2, "failed")];
        let written = newest(told.iter().map(|(name, seen_at, outcome)| passage(name, *seen_at, outcome)).collect());
        let expected = [("b", 1, "begun"), ("a", 1, "applied"), ("a", 2, "failed")];
        assert_eq!(written, expected.map(|(name, seen_at, outcome)| passage(name, seen_at, outcome)));
    }
}
