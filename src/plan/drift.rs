//! What is done about differences that somebody else made: the `drift` section of the policy, for one unit.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::field::Step;
use super::policy::{Drift, DriftMode, FieldRule, ManagerRule};
use super::{Action, Unit};
use crate::project::{ObjectKey, ProjectName};

/// The rules for the objects of one unit.
pub(super) struct Rules<'a> {
    project: Option<&'a ProjectName>,
    /// The unit's own field manager, whose fields Git speaks for.
    pub(super) field_manager: Cow<'static, str>,
    drift: &'a Drift,
    /// Whether the cluster had been brought to what is desired, so that all that differs came afterwards.
    pub(super) came_later: bool,
}

impl<'a> Rules<'a> {
    pub(super) fn of(unit: &'a Unit, drift: &'a Drift, came_later: bool) -> Self {
        let project = match unit {
            Unit::Base => None,
            Unit::Project(name) => Some(name),
        };
        Self { project, field_manager: unit.field_manager(), drift, came_later }
    }

    /// What is done when `manager` has changed the field at `path`; an empty name when nobody knows who. The most exact rule
    /// decides.
    pub(super) fn mode(&self, key: &ObjectKey, path: &str, manager: &str) -> DriftMode {
        let field = self.drift.fields.iter().find(|rule| self.names_field(rule, key, path)).map(|rule| rule.mode);
        let by = || self.drift.managers.iter().find(|rule| names_manager(rule, manager)).map(|rule| rule.mode);
        let project = || self.project.and_then(|project| self.drift.projects.get(project)).copied();
        field.or_else(by).or_else(project).unwrap_or(self.drift.mode)
    }

    fn names_field(&self, rule: &FieldRule, key: &ObjectKey, path: &str) -> bool {
        let below = || {
            path.strip_prefix(rule.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        rule.project.as_ref().is_none_or(|project| self.project == Some(project))
            && rule.kind.as_ref().is_none_or(|kind| *kind == key.kind)
            && below()
    }
}

fn names_manager(rule: &ManagerRule, manager: &str) -> bool {
    match rule.name.strip_suffix('*') {
        Some(beginning) => manager.starts_with(beginning),
        None => manager == rule.name,
    }
}

/// Takes what stands at `path` out of an object that is to be sent: whoever owns the field keeps it. An element of an
/// atomic list is owned with its list, so that the list is taken out.
pub(super) fn leave_out(object: &mut Value, path: &[Step]) {
    let end = path.iter().position(|step| matches!(step, Step::Index(_))).unwrap_or(path.len());
    let Some((last, parents)) = path.get(..end).and_then(<[Step]>::split_last) else { return };
    let mut at = object;
    for step in parents {
        let below = match step {
            Step::Field(name) => at.get_mut(name),
            Step::Keyed(keys) => {
                let keys: Map<String, Value> = keys.iter().cloned().collect();
                let elements = at.as_array_mut();
                elements.and_then(|all| all.iter_mut().find(|element| super::field::has_key(element, &keys)))
            }
            Step::Member(_) | Step::Index(_) => None,
        };
        let Some(below) = below else { return };
        at = below;
    }
    match (last, at) {
        (Step::Field(name), Value::Object(members)) => drop(members.remove(name)),
        (Step::Keyed(keys), Value::Array(elements)) => {
            let keys: Map<String, Value> = keys.iter().cloned().collect();
            elements.retain(|element| !super::field::has_key(element, &keys));
        }
        (Step::Member(member), Value::Array(elements)) => elements.retain(|element| element != member),
        _ => {}
    }
}

/// The beginning of the reason of a heal, and what stands before the name of whoever made it necessary.
pub(super) const DRIFT: &str = "drift: ";
pub(super) const BY: &str = " (by ";

/// Who made an action necessary by changing a field of ours; `None` when nobody did, or nobody knows.
#[must_use]
pub fn drifted_by(action: &Action) -> Option<&str> {
    let (_, rest) = action.reason.strip_prefix(DRIFT)?.split_once(BY)?;
    rest.split_once(')').map(|(manager, _)| manager)
}

#[cfg(test)]
mod tests;
