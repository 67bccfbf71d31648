//! In which fields a live object differs from what is desired.
//!
//! Compares what would be sent with what the API server stores, not the two texts: defaults that the server filled in
//! are no difference, `1000m` is `1`, and elements of keyed lists are compared with their namesakes. On top of values
//! it looks at ownership: a field that our last apply set and that left Git is a difference, too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::drift::{BY, DRIFT, Rules, leave_out};
use super::field::{self, List, Path, Step};
use super::ownership::Ownership;
use super::policy::DriftMode;
use super::{FieldChange, mask, stored};
use crate::project::ObjectKey;
use kustomize::Object;

/// One differing place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) path: Vec<Step>,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// How a live object differs.
pub(super) struct Diff {
    /// For people, secrets masked; in the order of the desired object, then what has to go.
    pub(super) changes: Vec<FieldChange>,
    /// Why, in one line. `None` when nothing differs.
    pub(super) reason: Option<String>,
    /// Whether `kubectl` owns fields.
    pub(super) take_over: bool,
    /// What to send where the policy leaves something out.
    pub(super) reduced: Option<Value>,
    /// What differs and is left so, where the policy wants it said.
    pub(super) left: Vec<String>,
}

/// The object as it is sent: a Secret's `stringData` goes into `data`, because the server records the ownership of
/// the former, stores the latter, and so would never remove a key that left Git (kubernetes#108008). What is no text
/// stays where it is: the server's refusal names it.
#[must_use]
pub fn as_sent(mut object: Object) -> Object {
    let Some(Value::Object(texts)) = object.value.get("stringData").filter(|_| mask::is_secret(&object.key)) else {
        return object;
    };
    let encoded: Option<Map<String, Value>> =
        texts.iter().map(|(name, text)| Some((name.clone(), Value::from(STANDARD.encode(text.as_str()?))))).collect();
    let data = match object.value.get("data") {
        None | Some(Value::Null) => Some(Map::new()),
        Some(data) => data.as_object().cloned(),
    };
    let (Some(encoded), Some(mut data)) = (encoded, data) else { return object };
    data.extend(encoded);
    if let Some(map) = object.value.as_object_mut() {
        map.remove("stringData");
        map.insert("data".to_owned(), Value::Object(data));
    }
    object
}

/// Compares the object that would be sent with the live one. What `rules` say to leave is no difference.
pub(super) fn diff(key: &ObjectKey, desired: &Value, live: &Value, rules: &Rules<'_>) -> Diff {
    let ownership = Ownership::of(live, &rules.field_manager);
    let mut comparison = Comparison { key, ownership: &ownership, path: Vec::new(), found: Vec::new() };
    comparison.members(desired, live);
    let mut found = comparison.found;
    for difference in ownership.left_over(desired, live) {
        // A value that differs as a whole is named already, and two managers may have set the same field.
        if !found.iter().any(|other| difference.path.starts_with(&other.path)) {
            found.push(difference);
        }
    }
    let mut reduced = None;
    let mut left = Vec::new();
    found.retain(|difference| {
        // Who takes a field away, or scales to none, is not recorded: then only the time tells it from a change in Git.
        let nobodys = || (rules.came_later && ownership.is_nobodys(&difference.path)).then_some("");
        let Some(manager) = ownership.taken_by(&difference.path).or_else(nobodys) else { return true };
        let path = Path(&difference.path).to_string();
        match rules.mode(key, &path, manager) {
            DriftMode::Correct => return true,
            DriftMode::Warn if manager.is_empty() => left.push(path),
            DriftMode::Warn => left.push(format!("{path}{BY}{manager})")),
            DriftMode::Ignore => {}
        }
        leave_out(reduced.get_or_insert_with(|| desired.clone()), &difference.path);
        false
    });
    let reason = match (&reduced, found.is_empty()) {
        (Some(_), true) => None,
        _ => reason(&found, &ownership),
    };
    let changes = found.into_iter().map(|difference| mask::change(key, difference)).collect();
    // What is left to a person with kubectl must stay theirs: what is ours and is not sent goes away.
    let take_over = ownership.former.is_some() && reduced.is_none();
    Diff { changes, reason, take_over, reduced, left }
}

/// Tells drift (somebody set a field of ours to another value) from a change in Git, as far as ownership shows it.
fn reason(found: &[Difference], ownership: &Ownership<'_>) -> Option<String> {
    let Some(first) = found.first() else {
        if let Some(former) = ownership.former {
            return Some(format!("applied by {former}: its field ownership is taken over"));
        }
        return (!ownership.has_ours()).then(|| "made by another client: it is taken over".to_owned());
    };
    let drifted = |difference: &&Difference| difference.before.is_some() && !ownership.owns(&difference.path);
    if let Some(drift) = ownership.has_ours().then(|| found.iter().find(drifted)).flatten() {
        let by = ownership.other_owner(&drift.path).map(|manager| format!("{BY}{manager})")).unwrap_or_default();
        return Some(format!("{DRIFT}{}{by}{}", Path(&drift.path), more(found.len())));
    }
    Some(format!("changed: {}{}", Path(&first.path), more(found.len())))
}

fn more(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    }
}

struct Comparison<'a> {
    key: &'a ObjectKey,
    ownership: &'a Ownership<'a>,
    path: Vec<Step>,
    found: Vec<Difference>,
}

impl Comparison<'_> {
    fn value(&mut self, desired: &Value, live: Option<&Value>) {
        let live = live.filter(|value| !value.is_null());
        match (desired, live) {
            (Value::Null, _) => {}
            (desired, None) => {
                if !stored::as_nothing(self.key, &self.path, desired) {
                    self.differs(None, Some(desired));
                }
            }
            (Value::Object(_), Some(live @ Value::Object(_))) => {
                let before = self.found.len();
                self.members(desired, live);
                if self.found.len() == before && field::atomic_map(self.key, &self.path) {
                    self.additions(desired, live);
                }
            }
            (Value::Array(desired), Some(Value::Array(live))) => match field::list(self.key, &self.path) {
                List::Map(keys) => self.keyed_list(keys, desired, live),
                List::Set => self.set(desired, live),
                List::Atomic => self.atomic_list(desired, live),
            },
            (desired, Some(live)) => {
                let same = stored::is_same(self.key, &self.path, desired, live)
                    || stored::as_default(self.key, &self.path, desired)
                    || self.same_base64(desired, live);
                if !same {
                    self.differs(Some(live), Some(desired));
                }
            }
        }
    }

    fn members(&mut self, desired: &Value, live: &Value) {
        for (name, value) in desired.as_object().into_iter().flatten() {
            let depth = self.path.len();
            // Identity, which the key has matched, and what the server alone writes.
            let skipped = match depth {
                0 => matches!(name.as_str(), "apiVersion" | "kind" | "status"),
                1 if self.path == [Step::Field("metadata".to_owned())] => matches!(
                    name.as_str(),
                    "name"
                        | "namespace"
                        | "creationTimestamp"
                        | "managedFields"
                        | "uid"
                        | "resourceVersion"
                        | "generation"
                ),
                _ => false,
            };
            if skipped {
                continue;
            }
            self.path.push(Step::Field(name.clone()));
            self.value(value, live.get(name));
            self.path.pop();
        }
    }

    fn keyed_list(&mut self, keys: &[&str], desired: &[Value], live: &[Value]) {
        let mut positions = Vec::new();
        for element in desired {
            let key = field::key_of(element, keys);
            let position = live.iter().position(|other| field::key_of(other, keys) == key);
            self.path.push(Step::Keyed(key));
            self.value(element, position.and_then(|position| live.get(position)));
            self.path.pop();
            positions.extend(position);
        }
        // Containers start, and variables refer to one another, in the order of the list.
        if !positions.is_sorted() {
            let names = |list: &[Value]| {
                let name = |element: &Value| {
                    let key = field::key_of(element, keys).into_iter();
                    let parts = key.map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                    Value::from(parts.collect::<Vec<_>>().join("/"))
                };
                Value::Array(list.iter().map(name).collect())
            };
            let (live, desired) = (names(live), names(desired));
            self.differs(Some(&live), Some(&desired));
        }
    }

    fn set(&mut self, desired: &[Value], live: &[Value]) {
        for member in desired.iter().filter(|member| !live.contains(member)) {
            self.path.push(Step::Member(member.clone()));
            self.differs(None, Some(member));
            self.path.pop();
        }
    }

    fn atomic_list(&mut self, desired: &[Value], live: &[Value]) {
        let scalars = |list: &[Value]| list.iter().all(|value| !value.is_object() && !value.is_array());
        if desired.len() != live.len() || (desired != live && scalars(desired) && scalars(live)) {
            let (live, desired) = (Value::from(live), Value::from(desired));
            self.differs(Some(&live), Some(&desired));
            return;
        }
        let before = self.found.len();
        for (index, (desired, live)) in desired.iter().zip(live).enumerate() {
            self.path.push(Step::Index(index));
            self.value(desired, Some(live));
            self.path.pop();
        }
        if self.found.len() == before {
            self.additions(&Value::from(desired), &Value::from(live));
        }
    }

    /// What the live value has beyond the desired one is a default when it is ours. When the value as a whole is not
    /// ours any more, somebody put it there.
    fn additions(&mut self, desired: &Value, live: &Value) {
        if self.ownership.has_ours() && !self.ownership.owns(&self.path) && has_more(desired, live) {
            self.differs(Some(live), Some(desired));
        }
    }

    /// Base64 may be folded over lines in a file; the server stores it on one.
    fn same_base64(&self, desired: &Value, live: &Value) -> bool {
        let [Step::Field(field), _] = self.path.as_slice() else { return false };
        let encoded = (field == "data" && mask::is_secret(self.key)) || (field == "binaryData");
        let (Some(desired), Some(live)) = (desired.as_str(), live.as_str()) else { return false };
        encoded && desired.chars().filter(|c| !c.is_ascii_whitespace()).eq(live.chars())
    }

    fn differs(&mut self, live: Option<&Value>, desired: Option<&Value>) {
        self.found.push(Difference { path: self.path.clone(), before: live.cloned(), after: desired.cloned() });
    }
}

/// Whether `live` has a member that `desired` lacks.
fn has_more(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => live.iter().any(|(name, live)| match desired.get(name) {
            Some(desired) => has_more(desired, live),
            None => !live.is_null(),
        }),
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() != live.len() || desired.iter().zip(live).any(|(desired, live)| has_more(desired, live))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
