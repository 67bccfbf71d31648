//! The start of an apply: first the inventory, then the cluster.

use tokio::sync::oneshot;

use super::super::execute::{apply, not_begun};
use super::super::inventory;
use super::super::store_writer::Entry;
use super::{Driver, Message};
use crate::cluster;
use crate::plan::{self, UnitPlan};
use crate::project::{Inventory, ObjectKey, Sent, Unit};

impl Driver {
    /// Applies `plan` in a task of its own. What is about to exist is written to the inventory first, so that
    /// nothing that was applied can be forgotten. That a known object is about to be sent is not written: after a sudden end
    /// the record is that of the earlier content, and the new one is sent again.
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
        let Some(state) = self.units.get(unit) else { return };
        let hashes = inventory::hashes(state.desired.as_deref(), &plan);
        let during = inventory::during(&state.inventory, &plan, &hashes);
        let before: Vec<(ObjectKey, Sent)> =
            hashes.keys().map(|key| (key.clone(), state.inventory.get(key).copied().unwrap_or_default())).collect();
        let mut written = None;
        if during.len() > state.inventory.len() {
            let (sender, wait) = oneshot::channel();
            self.remember(unit, during, Some(sender));
            written = Some(wait);
        } else if let Some(state) = self.units.get_mut(unit) {
            state.inventory = during;
        }
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
            // Of what failed it is not known; what was only shown to the API server is as it was.
            let sent = match applied.untouched {
                true => before,
                false => {
                    let hash = |key: &ObjectKey| Some((key.clone(), Sent::Hash(*hashes.get(key)?)));
                    applied.sent.iter().filter_map(hash).collect()
                }
            };
            if let Some(back) = back.upgrade() {
                let _ = back.send(Message::Applied(unit, run, applied, sent)).await;
            }
        });
        // What a task has made last waits until it rests, and the loop may first tell everybody of a large fleet. What is made
        // before something else can be taken by an idle worker at once.
        tokio::spawn(std::future::ready(()));
    }

    /// Takes what was sent of a unit's objects.
    pub(super) fn note_sent(&mut self, unit: &Unit, sent: Vec<(ObjectKey, Sent)>) {
        let Some(state) = self.units.get(unit) else { return };
        let mut inventory = state.inventory.clone();
        inventory.extend(sent);
        self.remember(unit, inventory, None);
    }

    /// Takes what belongs to a unit, and what was sent of it; gives that to the store when it is news. `written` is told when
    /// it is there; nobody else needs to wait: until it is written, more is known to be the unit's than there is.
    pub(super) fn remember(
        &mut self,
        unit: &Unit,
        inventory: Inventory,
        written: Option<oneshot::Sender<Result<(), String>>>,
    ) {
        let Some(state) = self.units.get_mut(unit) else { return };
        if state.inventory == inventory {
            // With the keys of what is wanted, which are kept anyway.
            state.inventory = inventory;
            return;
        }
        let same_keys = state.inventory.keys().eq(inventory.keys());
        if !same_keys {
            for key in state.inventory.keys() {
                *self.kinds.entry(key.kind.clone()).or_default() -= 1;
            }
            for key in inventory.keys() {
                *self.kinds.entry(key.kind.clone()).or_default() += 1;
            }
            self.parts.metrics.set_kubernetes_resources(self.kinds.iter().map(|(kind, count)| (kind.as_str(), *count)));
        }
        state.inventory.clone_from(&inventory);
        let _ = self.ledger.send(Entry::Inventory { unit: unit.clone(), inventory, written });
    }
}
