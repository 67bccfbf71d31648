//! What a newer head wants, and which of the deletions in it wait for somebody's word.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::deletion_guard;
use super::super::follow::Look;
use super::super::store_writer::Entry;
use super::super::unit::UnitState;
use super::{Driver, Message, kind_of};
use crate::desired::{DesiredUnit, WantedUnits};
use crate::git;
use crate::plan::{self, Desired};
use crate::project::{ProjectName, Unit};

/// The units that are not what they were, and those that are no more. What is the same thing in both was not rendered since,
/// which is all that a commit leaves as it is.
fn differences(before: &WantedUnits, after: &WantedUnits) -> (Vec<(Unit, Arc<DesiredUnit>)>, Vec<Unit>) {
    let (mut changed, mut gone) = (Vec::new(), Vec::new());
    let mut before = before.iter().peekable();
    for (unit, wanted) in after {
        while let Some((unit, _)) = before.next_if(|(known, _)| *known < unit) {
            gone.push(unit.clone());
        }
        let known = before.next_if(|(known, _)| *known == unit);
        if known.is_none_or(|(_, known)| !Arc::ptr_eq(known, wanted)) {
            changed.push((unit.clone(), Arc::clone(wanted)));
        }
    }
    gone.extend(before.map(|(unit, _)| unit.clone()));
    (changed, gone)
}

impl Driver {
    /// Takes what a newer head wants.
    pub(super) fn looked(&mut self, look: Look) {
        self.publishing.changed();
        self.next.head = Some(look.head);
        git::take_changes(&mut self.last_changes, &look.changes);
        if let Some(changes) = look.unstored {
            let _ = self.ledger.send(Entry::Changes(changes));
        }
        self.root_error = look.error;
        // A root that does not build wants nothing new and gives nothing up.
        let Some(desired) = look.desired else { return };
        self.known = true;
        self.warnings = desired.warnings;
        if self.policy != desired.policy {
            self.policy = desired.policy;
            self.dirty.extend(self.units.keys().cloned());
        }
        self.turns.changed(&desired.rendered, self.policy.rollout.restarts);
        let before = std::mem::replace(&mut self.wanted, Arc::clone(&desired.units));
        let (changed, gone) = differences(&before, &desired.units);
        let claims = Arc::make_mut(&mut self.claims);
        gone.iter().for_each(|unit| claims.replace(unit, before.get(unit).map(|one| &**one), None));
        changed
            .iter()
            .for_each(|(unit, wanted)| claims.replace(unit, before.get(unit).map(|one| &**one), Some(wanted)));
        // What is left of a unit that went earlier may be given up only now.
        let left = self.units.iter().filter(|(_, state)| state.desired.is_none()).map(|(unit, _)| unit.clone());
        for unit in left.collect::<Vec<_>>().into_iter().chain(gone) {
            let given_up = matches!(&unit, Unit::Project(name) if desired.volumes_given_up.contains(name));
            if !desired.units.contains_key(&unit) {
                self.units.entry(unit.clone()).or_default().want(None, given_up);
                self.dirty.insert(unit);
            }
        }
        let rendered = desired.rendered.len();
        for (unit, wanted) in changed {
            let state = self.units.entry(unit.clone()).or_default();
            for object in wanted.objects.iter().flat_map(|objects| objects.iter()) {
                self.observer.watch_kind(&kind_of(&object.key));
            }
            state.want(Some(wanted), false);
            state.changed_with = rendered;
            if let Some(attempt) = &mut state.attempt {
                // Of several commits at once, the one that touched the project's own folder.
                let own = match &unit {
                    Unit::Base => None,
                    Unit::Project(name) => look.changes.get(name).and_then(Option::as_ref),
                };
                attempt.by(own.map_or(&look.author, |own| &own.author));
                state.applied_before = self.applied.get(&unit).is_some_and(|digest| digest == attempt.digest());
            }
            self.dirty.insert(unit);
        }
        self.applied.clear();
        self.judge_deletions(None);
    }

    /// Whether a deletion would take anything away of what is in the cluster. What an annotation keeps is no loss. While
    /// the cluster was not seen, it would.
    fn would_delete_now(&self, unit: &Unit, state: &UnitState) -> bool {
        if !self.next.synced {
            return true;
        }
        let desired = Desired::Absent { delete_volumes: state.volumes_given_up };
        let plan = plan::unit(unit, &desired, &self.observe(unit, state), &self.policy.drift);
        !plan.actions.is_empty()
    }

    /// Holds deletions back when there are too many at once, but for those that are `meant`; without that, asks the history
    /// which are.
    pub(super) fn judge_deletions(&mut self, meant: Option<&BTreeSet<ProjectName>>) {
        let (mut gone, mut confirmed) = (BTreeSet::new(), 0);
        for (unit, state) in &self.units {
            if let Unit::Project(name) = unit
                && state.would_delete()
                && self.would_delete_now(unit, state)
            {
                match state.deletion_confirmed {
                    true => confirmed += 1,
                    false => drop(gone.insert(name.clone())),
                }
            }
        }
        if gone.is_empty() {
            return;
        }
        let is_project = |unit: &&Unit| matches!(unit, Unit::Project(_));
        let all = self.units.iter().filter(|(unit, state)| is_project(unit) && state.desired.is_some()).count();
        let all = all + gone.len() + confirmed;
        let unconfirmed: BTreeSet<ProjectName> =
            gone.iter().filter(|name| meant.is_none_or(|meant| !meant.contains(*name))).cloned().collect();
        let exceeded = self.policy.prune.is_exceeded(unconfirmed.len(), all);
        for name in &gone {
            let held = exceeded && unconfirmed.contains(name);
            let unit = Unit::Project(name.clone());
            if let Some(state) = self.units.get_mut(&unit) {
                state.deletion_held = held.then(|| deletion_guard::held(unconfirmed.len(), all, self.next.head));
                self.dirty.insert(unit);
            }
        }
        if let (true, None, Some(head)) = (exceeded, meant, self.next.head) {
            let (repository, back) = (self.parts.repository.clone(), self.back.clone());
            tokio::spawn(async move {
                let read =
                    tokio::task::spawn_blocking(move || deletion_guard::meant(&repository, head, &unconfirmed)).await;
                match (read, back.upgrade()) {
                    (Ok(Ok(meant)), Some(back)) => drop(back.send(Message::Meant(head, meant)).await),
                    (Ok(Err(error)), _) => tracing::error!(%error, "the deletions could not be judged; they stay held"),
                    _ => {}
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_rendered_since_is_another_thing() {
        let unit = |name: &str| Unit::Project(ProjectName::parse(name).unwrap());
        let thing = || {
            Arc::new(DesiredUnit {
                revision: crate::project::Revision::from_bytes([1; 20]),
                objects: Ok(Arc::default()),
                spec: None,
                overlay_id: None,
                suspended: None,
            })
        };
        let before: WantedUnits = ["b", "d", "f", "g"].map(|name| (unit(name), thing())).into();
        let mut after = before.clone();
        after.remove(&unit("d"));
        after.remove(&unit("g"));
        after.insert(unit("a"), thing());
        after.insert(unit("f"), thing());
        let (changed, gone) = differences(&before, &after);
        assert_eq!(changed.iter().map(|(unit, _)| unit.clone()).collect::<Vec<_>>(), ["a", "f"].map(unit));
        assert_eq!(gone, ["d", "g"].map(unit));
    }
}
