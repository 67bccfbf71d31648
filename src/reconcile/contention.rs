//! Who keeps changing what back: heals are counted for each object, and one that is healed too often is left alone for a
//! while, so that two programs do not write against each other for ever. The other objects of its unit are healed on.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::plan::{Action, Held, UnitPlan, drifted_by};
use crate::project::ObjectKey;

/// More heals than this within [`WINDOW`], and somebody else keeps changing the object back.
pub(super) const LIMIT: usize = 5;
/// The time over which heals are counted, and how long a contested object is left alone.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// The fights over the objects of one unit.
#[derive(Debug, Default)]
pub(super) struct Fights(BTreeMap<ObjectKey, Fight>);

#[derive(Debug, Default)]
struct Fight {
    heals: VecDeque<Instant>,
    until: Option<Instant>,
    by: Option<String>,
}

impl Fights {
    /// Moves what would go on with a fight from the plan's actions to what is held; `heals` says whether the plan corrects
    /// drift rather than a change in Git. Gives the time at which the first of them may be tried again.
    pub(super) fn hold(&mut self, plan: &mut UnitPlan, heals: bool, now: Instant) -> Option<Instant> {
        let mut first: Option<Instant> = None;
        let mut held = Vec::new();
        plan.actions.retain(|action| {
            let Some(until) = self.until(action, heals, now) else { return true };
            first = Some(first.map_or(until, |first| first.min(until)));
            held.push(Held { key: action.key.clone(), reason: format!("{}, and again and again", action.reason) });
            false
        });
        plan.held.extend(held);
        first
    }

    fn until(&mut self, action: &Action, heals: bool, now: Instant) -> Option<Instant> {
        let fight = self.0.get_mut(&action.key)?;
        if let Some(until) = fight.until.filter(|until| *until > now) {
            return Some(until);
        }
        fight.until = None;
        while fight.heals.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            fight.heals.pop_front();
        }
        if !heals || fight.heals.len() < LIMIT {
            return None;
        }
        fight.heals.clear();
        fight.until = Some(now + WINDOW);
        fight.by = drifted_by(action).map(str::to_owned);
        fight.until
    }

    /// Takes that these heals begin.
    pub(super) fn heal(&mut self, plan: &UnitPlan, now: Instant) {
        for action in &plan.actions {
            self.0.entry(action.key.clone()).or_default().heals.push_back(now);
        }
    }

    /// What is left alone now, and who keeps changing it, where that is known.
    pub(super) fn contested(&self, now: Instant) -> Vec<(ObjectKey, Option<String>)> {
        let held = self.0.iter().filter(|(_, fight)| fight.until.is_some_and(|until| until > now));
        held.map(|(key, fight)| (key.clone(), fight.by.clone())).collect()
    }

    /// Forgets every fight: what Git wants has changed, or somebody wants it tried at once.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
