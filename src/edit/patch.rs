//! A field inside a strategic-merge patch: where it is, and how it is set there.

use serde_yaml::{Mapping, Value};

use kustomize::yaml::edit::{self, EditError, Step};

/// An object of the base, as patches name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
}

pub(super) const STATEFUL_SET: Target = Target { api_version: "apps/v1", kind: "StatefulSet", name: "env" };
pub(super) const WORKSPACE: Target = Target { api_version: "v1", kind: "PersistentVolumeClaim", name: "workspace" };

/// One step to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Key(&'static str),
    /// The item of a list that has this `name`.
    Named(&'static str),
}

/// A field to have a value (`None`: to be gone), and where it belongs.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) target: Target,
    pub(super) parts: Vec<Part>,
    pub(super) value: Option<String>,
}

impl Field {
    /// A descriptive annotation of the StatefulSet.
    pub(super) fn annotation(key: &'static str, value: Option<String>) -> Self {
        Self {
            target: STATEFUL_SET,
            parts: vec![Part::Key("metadata"), Part::Key("annotations"), Part::Key(key)],
            value,
        }
    }

    /// A request or limit of the agent.
    pub(super) fn resource(group: &'static str, what: &'static str, amount: &str) -> Self {
        let parts = ["spec", "template", "spec", "containers"].map(Part::Key).into_iter();
        let rest = [Part::Named("agent"), Part::Key("resources"), Part::Key(group), Part::Key(what)];
        Self { target: STATEFUL_SET, parts: parts.chain(rest).collect(), value: Some(amount.to_owned()) }
    }

    /// The size of the workspace.
    pub(super) fn workspace_size(amount: &str) -> Self {
        let parts = ["spec", "resources", "requests", "storage"].map(Part::Key).to_vec();
        Self { target: WORKSPACE, parts, value: Some(amount.to_owned()) }
    }

    fn wanted(&self) -> Value {
        self.value.as_ref().map_or(Value::Null, |text| Value::String(text.clone()))
    }

    /// The field's place in `body`, when all of it is written there.
    pub(super) fn find(&self, body: &Value) -> Option<Vec<Step>> {
        let (steps, missing) = self.walk(body)?;
        missing.is_empty().then_some(steps)
    }

    /// Sets or removes the field in the text of a patch.
    pub(super) fn put(&self, text: &str) -> Result<String, EditError> {
        let body = edit::read(text)?;
        let Some((mut steps, missing)) = self.walk(&body) else {
            return Err(EditError::Place("the patch has something else on the way to the field".to_owned()));
        };
        match (self.value.is_some(), missing.split_first()) {
            (false, None) => edit::remove(text, &steps),
            (_, None) => edit::set(text, &steps, &self.wanted()),
            (_, Some((Part::Key(key), rest))) => {
                steps.push(Step::from(*key));
                edit::set(text, &steps, &nested(rest, self.wanted()))
            }
            (_, Some((Part::Named(_), _))) => {
                let items = steps.iter().try_fold(&body, |value, step| match step {
                    Step::Key(key) => value.get(key.as_str()),
                    Step::Index(index) => value.get(index),
                });
                let count = items.and_then(Value::as_sequence).map_or(0, Vec::len);
                match nested(missing, self.wanted()) {
                    Value::Sequence(items) if items.len() == 1 => edit::insert(text, &steps, count, &items[0]),
                    _ => Err(EditError::Place("the list was not found".to_owned())),
                }
            }
        }
    }

    /// The steps to the field as far as they are written, and the parts that are missing. `None` when something else
    /// stands in the way.
    fn walk(&self, body: &Value) -> Option<(Vec<Step>, &[Part])> {
        let (mut value, mut steps) = (body, Vec::new());
        for (at, part) in self.parts.iter().enumerate() {
            let next = match (part, value) {
                (Part::Key(key), Value::Mapping(entries)) => entries.get(*key).map(|value| (Step::from(*key), value)),
                (Part::Named(name), Value::Sequence(items)) => items
                    .iter()
                    .enumerate()
                    .find(|(_, item)| item.get("name").and_then(Value::as_str) == Some(name))
                    .map(|(index, item)| (Step::from(index), item)),
                (_, Value::Null) => None,
                _ => return None,
            };
            match next {
                Some((step, next)) => {
                    steps.push(step);
                    value = next;
                }
                None => return Some((steps, &self.parts[at..])),
            }
        }
        Some((steps, &[]))
    }

    /// A new entry of `patches` for this field alone.
    pub(super) fn patch(&self) -> Value {
        let Target { api_version, kind, name } = self.target;
        let mut body = mapping([
            ("apiVersion", Value::from(api_version)),
            ("kind", Value::from(kind)),
            ("metadata", mapping([("name", Value::from(name))])),
        ]);
        merge(&mut body, nested(&self.parts, self.wanted()));
        let target = mapping([("kind", Value::from(kind)), ("name", Value::from(name))]);
        mapping([("target", target), ("patch", Value::from(edit::block_text(&body)))])
    }
}

fn mapping<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Mapping(Mapping::from_iter(entries.map(|(key, value)| (Value::from(key), value))))
}

/// `value` inside the mappings and lists of `parts`.
fn nested(parts: &[Part], value: Value) -> Value {
    parts.iter().rev().fold(value, |inner, part| match part {
        Part::Key(key) => mapping([(key, inner)]),
        Part::Named(name) => {
            let mut item = mapping([("name", Value::from(*name))]);
            merge(&mut item, inner);
            Value::Sequence(vec![item])
        }
    })
}

/// Lays mappings over one another.
fn merge(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Mapping(below), Value::Mapping(above)) => {
            for (key, value) in above {
                match below.get_mut(&key) {
                    Some(there) => merge(there, value),
                    None => {
                        below.insert(key, value);
                    }
                }
            }
        }
        (below, above) => *below = above,
    }
}
