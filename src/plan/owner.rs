//! Whose a live object is: which unit may apply it, and which may delete it.
//!
//! The evidence is the exact field manager of an apply, and the inventory. A label is none: whoever may label an object
//! could otherwise give it to another project, which would then delete it. A label only keeps a unit from an object that
//! nobody has applied.

use serde_json::Value;

use super::{Live, Observation};
use crate::project::{ObjectKey, PROJECT_LABEL, ProjectName, SCOPE_LABEL, Unit};

/// What Git and the inventory say of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is neither in Git nor in the inventory.
    #[default]
    Unknown,
    /// It is in Git and builds: what it wants is known.
    Builds,
    /// It is in Git and does not build, or its deletion waits for a confirmation: what it will want is not known.
    Unsettled,
    /// It is not in Git any more; the inventory has something of it.
    Deleted,
}

/// The unit that an object's label names.
pub(super) fn label(object: &Value) -> Option<Unit> {
    let labels = object.pointer("/metadata/labels")?;
    if let Some(project) = labels.get(PROJECT_LABEL).and_then(Value::as_str) {
        return ProjectName::parse(project).ok().map(Unit::Project);
    }
    (labels.get(SCOPE_LABEL).and_then(Value::as_str) == Some("base")).then_some(Unit::Base)
}

/// The units whose field managers have applied an object.
pub(super) fn appliers(object: &Value) -> Box<[Unit]> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let applies =
        |entry: &&Value| entry["operation"] == "Apply" && entry["subresource"].as_str().unwrap_or_default().is_empty();
    let managers = entries.into_iter().flatten().filter(applies).filter_map(|entry| entry["manager"].as_str());
    managers.filter_map(Unit::of_field_manager).collect()
}

/// Whether a live object at a key that `unit` wants belongs to another unit, so that nothing of it is applied.
#[must_use]
pub fn is_foreign(unit: &Unit, key: &ObjectKey, observation: &Observation) -> bool {
    observation.objects.get(key).is_some_and(|live| foreign(unit, key, live, observation).is_some())
}

/// Why `unit`, which wants the object at `key`, may not apply the live one; `None` when it may.
///
/// Two units of one tree never want the same key, so that an object of a unit that builds has moved here in Git. A claim is
/// no object to move: its data belongs to the project that made it.
pub(super) fn foreign(unit: &Unit, key: &ObjectKey, live: &Live, observation: &Observation) -> Option<String> {
    if live.appliers.contains(unit) {
        return None;
    }
    let standing = |other: &Unit| observation.others.get(other).copied().unwrap_or_default();
    let name = |other: &Unit| match other {
        Unit::Base => "the base-wide objects".to_owned(),
        Unit::Project(other) => format!("the project {other}"),
    };
    let mut others = appliers_beside(unit, live).peekable();
    if others.peek().is_some() {
        return others.find_map(|other| {
            let why = match standing(other) {
                Standing::Builds | Standing::Deleted if !is_claim(key) => return None,
                Standing::Builds | Standing::Deleted => "whose data it keeps",
                Standing::Unsettled => "of which it is not known at the moment what it wants",
                Standing::Unknown => "which neither Git nor this manager knows",
            };
            Some(format!("belongs to {}, {why}; give the one in Git another name", name(other)))
        });
    }
    if observation.inventory.contains_key(key) {
        return None;
    }
    let other = live.label.as_ref().filter(|label| *label != unit)?;
    let is_known = standing(other) != Standing::Unknown;
    is_known.then(|| format!("carries the label of {}; give one of the two another name", name(other)))
}

/// Whether a live object was put there for `unit`, so that it goes when the unit does not want it any more.
pub(super) fn put_there(unit: &Unit, key: &ObjectKey, live: &Live, observation: &Observation) -> bool {
    let is_remembered = observation.inventory.contains_key(key);
    if live.appliers.contains(unit) {
        // An earlier version applied everything under the base's field manager.
        return *unit != Unit::Base || is_remembered || !matches!(live.label, Some(Unit::Project(_)));
    }
    // Restored by hand, or its record of field managers was taken away.
    is_remembered && live.label.as_ref() == Some(unit) && appliers_beside(unit, live).next().is_none()
}

/// The other units that have applied an object. The base's field manager on an object that is not labelled as the base's
/// is that of an earlier version, which had only one.
fn appliers_beside<'a>(unit: &'a Unit, live: &'a Live) -> impl Iterator<Item = &'a Unit> {
    let counts = |applier: &&Unit| **applier != Unit::Base || live.label == Some(Unit::Base);
    live.appliers.iter().filter(move |applier| *applier != unit).filter(counts)
}

fn is_claim(key: &ObjectKey) -> bool {
    key.group.is_empty() && key.kind == "PersistentVolumeClaim"
}

#[cfg(test)]
mod tests;
