//! Who owns which fields of a live object, as `metadata.managedFields` says.

use serde_json::{Map, Value};

use super::diff::Difference;
use super::field::{Step, has_key};
use crate::project::{is_field_manager, is_kubectl};

/// The field ownership of one live object.
pub(super) struct Ownership<'a> {
    /// Whether the object says anything about ownership.
    recorded: bool,
    /// The field sets of our applies; several when the API version changed in between.
    ours: Vec<&'a Map<String, Value>>,
    /// The field sets of everybody else.
    others: Vec<Other<'a>>,
    /// Who owns fields that are to be ours, and would keep them alive after they left Git: `kubectl`, or a field manager that
    /// another unit has or an earlier version had.
    pub(super) former: Option<&'a str>,
    /// The field sets of these that hold what somebody asked for and nothing else: an apply after the take-over
    /// removes what Git does not have.
    by_hand: Vec<&'a Map<String, Value>>,
}

/// What somebody else owns.
struct Other<'a> {
    manager: &'a str,
    /// Whether they wrote whole objects as Git has them, as a restore by hand does.
    restores: bool,
    fields: &'a Map<String, Value>,
}

impl<'a> Ownership<'a> {
    /// Reads the ownership of `object`, where `field_manager` is ours.
    pub(super) fn of(object: &'a Value, field_manager: &str) -> Self {
        let mut ownership =
            Self { recorded: false, ours: Vec::new(), others: Vec::new(), former: None, by_hand: Vec::new() };
        let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        // Whoever observes may leave the entries of controllers out: none left is a record, too, of nothing of ours.
        ownership.recorded = entries.is_some();
        for entry in entries.into_iter().flatten() {
            let Some(fields) = entry.get("fieldsV1").and_then(Value::as_object) else { continue };
            let manager = entry["manager"].as_str().unwrap_or_default();
            let subresource = entry["subresource"].as_str().unwrap_or_default();
            if manager == field_manager && entry["operation"] == "Apply" && subresource.is_empty() {
                ownership.ours.push(fields);
                continue;
            }
            let whole = matches!(manager, "kubectl-client-side-apply" | "kubectl-last-applied" | "before-first-apply");
            let earlier = is_field_manager(manager);
            let restores = whole || earlier || (manager == "kubectl" && entry["operation"] == "Apply");
            ownership.others.push(Other { manager, restores, fields });
            let kubectl = is_kubectl(manager);
            let more_than_status = fields.keys().any(|name| !matches!(name.as_str(), "f:status" | "."));
            if (kubectl || earlier) && subresource.is_empty() && more_than_status {
                ownership.former = Some(if kubectl { "kubectl" } else { manager });
                if entry["operation"] == "Apply" || edits(manager) {
                    ownership.by_hand.push(fields);
                }
            }
        }
        ownership
    }

    /// Whether the object was applied by us before. An object without any record is taken for ours: there is nothing
    /// that an apply could put right.
    pub(super) fn has_ours(&self) -> bool {
        !self.recorded || !self.ours.is_empty()
    }

    /// Whether the record says that we applied the object.
    pub(super) fn applied_by_us(&self) -> bool {
        !self.ours.is_empty()
    }

    /// Whether our last apply set the field at `path`.
    pub(super) fn owns(&self, path: &[Step]) -> bool {
        !self.recorded || self.ours.iter().any(|fields| contains(fields, path))
    }

    /// Who beside us set the field at `path`.
    pub(super) fn other_owner(&self, path: &[Step]) -> Option<&'a str> {
        self.others.iter().find(|other| contains(other.fields, path)).map(|other| other.manager)
    }

    /// Who took the field at `path` from us, other than by a restore: then a difference there is theirs. A default that
    /// the server filled in is nobody's.
    pub(super) fn taken_by(&self, path: &[Step]) -> Option<&'a str> {
        let theirs = |other: &&Other<'_>| !other.restores && contains(other.fields, path);
        self.others.iter().find(theirs).filter(|_| self.applied_by_us() && !self.owns(path)).map(|other| other.manager)
    }

    /// Whether our last apply did not leave the field at `path` with us, and nobody else has it either.
    pub(super) fn is_nobodys(&self, path: &[Step]) -> bool {
        self.applied_by_us() && !self.owns(path) && self.other_owner(path).is_none()
    }

    /// Fields that our last apply or `kubectl` set and that are not desired (any more), as far as they are there.
    pub(super) fn left_over(&self, desired: &Value, live: &Value) -> Vec<Difference> {
        let mut found = Vec::new();
        for fields in self.ours.iter().chain(&self.by_hand) {
            left_over(fields, Some(desired), live, &mut Vec::new(), &mut found);
        }
        found
    }
}

/// Whether this manager changes single fields. The others write whole objects, and then own every default, too, which
/// comes back as soon as it is removed.
fn edits(manager: &str) -> bool {
    let verb = manager.strip_prefix("kubectl-").unwrap_or_default();
    matches!(verb, "annotate" | "autoscale" | "edit" | "label" | "patch" | "rollout" | "scale" | "set" | "taint")
}

/// Whether a field set has `path`, or a field above it as one value.
fn contains(fields: &Map<String, Value>, path: &[Step]) -> bool {
    let Some((step, rest)) = path.split_first() else { return true };
    let below = match step {
        Step::Field(name) => fields.get(&format!("f:{name}")),
        Step::Keyed(keys) => {
            let wanted: Map<String, Value> = keys.iter().cloned().collect();
            fields
                .iter()
                .find(|(name, _)| parse(name, "k:").is_some_and(|key: Map<String, Value>| key == wanted))
                .map(|(_, below)| below)
        }
        Step::Member(value) => fields
            .iter()
            .find(|(name, _)| parse(name, "v:").is_some_and(|v: Value| v == *value))
            .map(|(_, below)| below),
        // Elements of atomic lists are not owned one by one; their list, an empty set, has answered above.
        Step::Index(_) => None,
    };
    match below.and_then(Value::as_object) {
        None => false,
        Some(below) => below.is_empty() || contains(below, rest),
    }
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, prefix: &str) -> Option<T> {
    serde_json::from_str(name.strip_prefix(prefix)?).ok()
}

fn left_over(
    fields: &Map<String, Value>,
    desired: Option<&Value>,
    live: &Value,
    path: &mut Vec<Step>,
    found: &mut Vec<Difference>,
) {
    for (name, below) in fields {
        let (step, desired_below, live_below) = if let Some(field) = name.strip_prefix("f:") {
            if path.is_empty() && matches!(field, "status" | "stringData") {
                continue;
            }
            (Step::Field(field.to_owned()), desired.and_then(|value| value.get(field)), live.get(field))
        } else if let Some(keys) = parse::<Map<String, Value>>(name, "k:") {
            let element = |value: &'_ Value| value.as_array()?.iter().position(|element| has_key(element, &keys));
            let desired_below = desired.and_then(|value| value.get(element(value)?));
            let live_below = element(live).and_then(|index| live.get(index));
            (Step::Keyed(keys.into_iter().collect()), desired_below, live_below)
        } else if let Some(member) = parse::<Value>(name, "v:") {
            let find = |value: &'_ Value| value.as_array()?.iter().position(|element| *element == member);
            let desired_below = desired.and_then(|value| value.get(find(value)?));
            let live_below = find(live).and_then(|index| live.get(index));
            (Step::Member(member), desired_below, live_below)
        } else {
            continue;
        };
        let Some(live_below) = live_below.filter(|value| !value.is_null()) else { continue };
        path.push(step);
        match below.as_object() {
            // A map that we only put members into stays with the members of others.
            Some(below) if desired_below.is_some() || !(below.is_empty() || below.contains_key(".")) => {
                left_over(below, desired_below, live_below, path, found);
            }
            _ if desired_below.is_none() => {
                found.push(Difference { path: path.clone(), before: Some(live_below.clone()), after: None });
            }
            // One value: the comparison of values has looked at it.
            _ => {}
        }
        path.pop();
    }
}
