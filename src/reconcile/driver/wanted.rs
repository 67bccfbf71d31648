//! What a newer head wants, and which of the deletions in it wait for somebody's word.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::breaker;
use super::super::follow::Look;
use super::super::unit::UnitState;
use super::{Driver, Message, kind_of, observe};
use crate::plan::{self, Desired};
use crate::project::{ProjectName, Unit};

impl Driver {
    /// Takes what a newer head wants.
    pub(super) fn looked(&mut self, look: Look) {
        self.publishing.changed();
        self.next.head = Some(look.head);
        let before = std::mem::replace(&mut self.last_changes, look.last_changes);
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
        let is_unlisted = |unit: &Unit| !desired.units.contains_key(unit);
        let mut unlisted = self.observer.units(is_unlisted);
        unlisted.extend(self.units.keys().filter(|unit| is_unlisted(unit)).cloned());
        for unit in unlisted {
            let given_up = matches!(&unit, Unit::Project(name) if desired.volumes_given_up.contains(name));
            self.units.entry(unit.clone()).or_default().want(None, given_up);
            self.dirty.insert(unit);
        }
        let rendered = desired.rendered.len();
        for (unit, wanted) in desired.units {
            let known = self.units.get(&unit).and_then(|state| state.desired.as_ref());
            if known.is_none_or(|known| !Arc::ptr_eq(known, &wanted)) {
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
                        Unit::Project(name) => {
                            let own = self.last_changes.get(name);
                            own.filter(|own| before.get(name).is_none_or(|before| before.revision != own.revision))
                        }
                    };
                    attempt.by(own.map_or(&look.author, |own| &own.author));
                    state.applied_before = self.applied.get(&unit).is_some_and(|digest| digest == attempt.digest());
                }
                self.dirty.insert(unit);
            }
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
        let plan = plan::unit(unit, &desired, &observe(&self.observer, unit, state), &self.policy.drift);
        !plan.actions.is_empty()
    }

    /// Holds deletions back when there are too many at once, but for those that are `meant`; without that, asks the history
    /// which are.
    pub(super) fn judge_deletions(&mut self, meant: Option<&BTreeSet<ProjectName>>) {
        let is_project = |unit: &&Unit| matches!(unit, Unit::Project(_));
        let all = self.units.iter().filter(|(unit, state)| is_project(unit) && state.desired.is_some()).count();
        let mut gone: BTreeSet<ProjectName> = BTreeSet::new();
        for (unit, state) in &self.units {
            if let Unit::Project(name) = unit
                && state.would_delete()
                && self.would_delete_now(unit, state)
            {
                gone.insert(name.clone());
            }
        }
        let all = all + gone.len();
        let unconfirmed: BTreeSet<ProjectName> =
            gone.iter().filter(|name| meant.is_none_or(|meant| !meant.contains(*name))).cloned().collect();
        let exceeded = self.policy.prune.is_exceeded(unconfirmed.len(), all);
        for name in &gone {
            let held = exceeded && unconfirmed.contains(name);
            let unit = Unit::Project(name.clone());
            if let Some(state) = self.units.get_mut(&unit) {
                state.deletion_held = held.then(|| breaker::held(unconfirmed.len(), all, self.next.head));
                self.dirty.insert(unit);
            }
        }
        if let (true, None, Some(head)) = (exceeded, meant, self.next.head) {
            let (repository, back) = (self.parts.repository.clone(), self.back.clone());
            tokio::spawn(async move {
                let read = tokio::task::spawn_blocking(move || breaker::meant(&repository, head, &unconfirmed)).await;
                match (read, back.upgrade()) {
                    (Ok(Ok(meant)), Some(back)) => drop(back.send(Message::Meant(head, meant)).await),
                    (Ok(Err(error)), _) => tracing::error!(%error, "the deletions could not be judged; they stay held"),
                    _ => {}
                }
            });
        }
    }
}
