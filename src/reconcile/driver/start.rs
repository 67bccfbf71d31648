//! The start of an apply: first the inventory, then the cluster.

use std::collections::BTreeSet;

use tokio::sync::oneshot;

use super::super::execute::{apply, not_begun};
use super::super::store_writer::Entry;
use super::{Driver, Message};
use crate::cluster;
use crate::plan::{self, UnitPlan};
use crate::project::{ObjectKey, Unit};

impl Driver {
    /// Applies `plan` in a task of its own. What is about to exist is written to the inventory first, so that
    /// nothing that was applied can be forgotten.
    pub(super) fn start(&mut self, unit: &Unit, run: u64, plan: UnitPlan) {
        let mut heals = false;
        if let Some(state) = self.units.get_mut(unit) {
            heals = state.was_brought_here();
            if state.is_drift() {
                plan.actions.iter().for_each(|action| self.parts.metrics.drift(plan::drifted_by(action)));
            }
            if let Some(attempt) = &mut state.attempt {
                attempt.begins(&plan);
            }
        }
        let known = self.units.get(unit).map(|state| state.inventory.clone()).unwrap_or_default();
        let more: BTreeSet<ObjectKey> = plan.actions.iter().map(|action| action.key.clone()).chain(known).collect();
        let written = self.remember(unit, more).map(|keys| {
            let (written, wait) = oneshot::channel();
            let _ = self.ledger.send(Entry::Inventory { unit: unit.clone(), keys, written: Some(written) });
            wait
        });
        let (parts, observer, pace) = (self.parts.clone(), self.observer.clone(), self.pace.clone());
        let (canceller, cancel) = cluster::cancellation();
        self.runs.insert(unit.clone(), canceller);
        let (back, unit) = (self.back.clone(), unit.clone());
        tokio::spawn(async move {
            let applied = match written {
                Some(written) => match written.await {
                    Ok(Ok(())) => apply(&parts, &observer, &pace, &plan, &cancel, heals).await,
                    Ok(Err(error)) => not_begun(&plan, &error),
                    Err(_) => not_begun(&plan, "the program is stopping"),
                },
                None => apply(&parts, &observer, &pace, &plan, &cancel, heals).await,
            };
            if let Some(back) = back.upgrade() {
                let _ = back.send(Message::Applied(unit, run, applied)).await;
            }
        });
        // What a task has made last waits until it rests, and the loop may first tell everybody of a large fleet. What is made
        // before something else can be taken by an idle worker at once.
        tokio::spawn(std::future::ready(()));
    }

    /// Takes what belongs to a unit; gives it back when that is news for the store.
    pub(super) fn remember(&mut self, unit: &Unit, keys: BTreeSet<ObjectKey>) -> Option<BTreeSet<ObjectKey>> {
        let state = self.units.get_mut(unit)?;
        if state.inventory == keys {
            // Those of what is wanted, which are kept anyway.
            state.inventory = keys;
            return None;
        }
        for key in &state.inventory {
            *self.kinds.entry(key.kind.clone()).or_default() -= 1;
        }
        for key in &keys {
            *self.kinds.entry(key.kind.clone()).or_default() += 1;
        }
        state.inventory.clone_from(&keys);
        self.parts.metrics.set_kubernetes_resources(self.kinds.iter().map(|(kind, count)| (kind.as_str(), *count)));
        Some(keys)
    }
}
