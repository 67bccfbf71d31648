//! JSON patches (RFC 6902), with what kustomize's library adds to them: negative indexes count from the end, and
//! `replace` also makes a field.

use serde_json::Value;

use crate::yaml::{self, JsonError, Kind, Node, Style, Tag};

/// How many values an object may have after a `copy`; copies of copies double.
const MAX_VALUES: usize = 1_000_000;
/// The deepest nesting after any operation.
const MAX_DEPTH: usize = 2 * yaml::MAX_DEPTH;

/// Why a patch does not apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonPatchError {
    #[error("operation {index}: {error}")]
    Operation { index: usize, error: OperationError },
    #[error(transparent)]
    Object(#[from] JsonError),
    #[error("there is no {0}")]
    Missing(Pointer),
    #[error("{part:?} in {pointer} is no index of a list")]
    Index { part: String, pointer: Pointer },
    #[error("the whole object is no field")]
    WholeRead,
    #[error("the whole object cannot be changed this way")]
    WholeChanged,
    #[error("the test of {0} fails")]
    Test(Pointer),
    #[error("copies make more than {MAX_VALUES} values")]
    TooManyValues,
    #[error("the object would be nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("the annotations must be a mapping")]
    Annotations,
}

/// Why an item of a list is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum OperationError {
    #[error("must be a mapping with op and path")]
    NoMapping,
    #[error("has no {0}")]
    Missing(&'static str),
    #[error("{0} must be a string")]
    NotText(&'static str),
    #[error("{0:?} is no operation; there are add, remove, replace, move, copy and test")]
    Unknown(String),
    #[error("the path {0:?} must start with /")]
    Pointer(String),
    #[error("a key must be text")]
    Key,
    #[error(transparent)]
    Value(#[from] JsonError),
}

/// A path, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer(Vec<String>);

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| write!(f, "/{part}"))
    }
}

/// One operation, checked.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Add(Vec<String>, Value),
    Remove(Vec<String>),
    Replace(Vec<String>, Value),
    Move(Vec<String>, Vec<String>),
    Copy(Vec<String>, Vec<String>),
    Test(Vec<String>, Value),
    /// One that cannot be carried out, which is an error as soon as there is an object for it.
    Bad(JsonPatchError),
}

/// Reads a list of operations, and gives what is passed over in them. `raw` says that the text is JSON, where words like
/// `yes` cannot stand without quotes.
///
/// # Errors
/// [`OperationError::NoMapping`]; other faults are for [`apply`].
pub(super) fn read(items: &[Node], raw: bool) -> Result<(Vec<Operation>, Vec<String>), JsonPatchError> {
    let (mut operations, mut notes) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let named = |error| JsonPatchError::Operation { index, error };
        if item.pairs().is_none() && !item.is_null() {
            return Err(named(OperationError::NoMapping));
        }
        for (key, _) in item.pairs().unwrap_or_default() {
            if !matches!(key.text(), Some("op" | "path" | "from" | "value")) {
                let key = key.text().unwrap_or("a collection");
                notes.push(format!("operation {index}: {key} has no effect"));
            }
        }
        operations.push(operation(item, raw).unwrap_or_else(|error| Operation::Bad(named(error))));
    }
    Ok((operations, notes))
}

fn operation(item: &Node, raw: bool) -> Result<Operation, OperationError> {
    let text = |key| {
        let node = item.get(key).ok_or(OperationError::Missing(key))?;
        node.text().filter(|_| node.is_string()).ok_or(OperationError::NotText(key))
    };
    let pointer = |key| parse_pointer(text(key)?);
    let value = || match item.get("value") {
        Some(node) => to_json(node, raw),
        None => Ok(Value::Null),
    };
    match text("op")? {
        "add" => Ok(Operation::Add(pointer("path")?, value()?)),
        "remove" => Ok(Operation::Remove(pointer("path")?)),
        "replace" => Ok(Operation::Replace(pointer("path")?, value()?)),
        "move" => Ok(Operation::Move(pointer("from")?, pointer("path")?)),
        "copy" => Ok(Operation::Copy(pointer("from")?, pointer("path")?)),
        "test" => Ok(Operation::Test(pointer("path")?, value()?)),
        other => Err(OperationError::Unknown(other.to_owned())),
    }
}

/// Values of patches in YAML are read by the older rules, which know `yes` and `on`.
fn to_json(node: &Node, raw: bool) -> Result<Value, OperationError> {
    let old_boolean = |text: &str| match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    };
    match &node.kind {
        Kind::Scalar(text) if !raw && node.style == Style::Plain && node.tag == Tag::None => match old_boolean(text) {
            Some(truth) => Ok(Value::Bool(truth)),
            None if node.is_string() => Ok(Value::String(text.clone())),
            None => Ok(node.to_json()?),
        },
        // Timestamps stay as they are written.
        Kind::Scalar(text) if node.is_string() && node.tag == Tag::None => Ok(Value::String(text.clone())),
        Kind::Scalar(_) => Ok(node.to_json()?),
        Kind::Sequence(items) => {
            items.iter().map(|item| to_json(item, raw)).collect::<Result<_, _>>().map(Value::Array)
        }
        Kind::Mapping(pairs) => {
            let mut map = serde_json::Map::new();
            for (key, value) in pairs {
                let Some(name) = key.text() else { return Err(OperationError::Key) };
                map.insert(name.to_owned(), to_json(value, raw)?);
            }
            Ok(Value::Object(map))
        }
    }
}

fn parse_pointer(text: &str) -> Result<Vec<String>, OperationError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    // What stands in front of the first slash says nothing.
    let Some((_, rest)) = text.split_once('/') else { return Err(OperationError::Pointer(text.to_owned())) };
    Ok(rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

/// Applies all operations, or fails with the first that does not apply.
///
/// # Errors
/// [`JsonPatchError`].
pub(super) fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), JsonPatchError> {
    operations.iter().try_for_each(|operation| match operation {
        Operation::Add(path, value) => add(document, path, value.clone()),
        Operation::Remove(path) => remove(document, path).map(drop),
        Operation::Replace(path, value) => replace(document, path, value.clone()),
        Operation::Move(from, path) => {
            let value = remove(document, from)?;
            add(document, path, value)
        }
        Operation::Copy(from, path) => {
            let value = found(document, from)?;
            add(document, path, value)?;
            if size(document) > MAX_VALUES {
                return Err(JsonPatchError::TooManyValues);
            }
            Ok(())
        }
        Operation::Test(path, value) if path.is_empty() && document == value => Ok(()),
        Operation::Test(path, value) if *value == found(document, path)? => Ok(()),
        Operation::Test(path, _) => Err(JsonPatchError::Test(Pointer(path.clone()))),
        Operation::Bad(error) => Err(error.clone()),
    })
}

/// Makes floats of all numbers, as stock kustomize does when it reads a patched object: integers of more than 53 bits lose
/// their last digits.
pub(super) fn widen(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => {}
        Value::Number(number) => {
            if let Some(float) = number.as_f64().and_then(yaml::float_to_json) {
                *number = float;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(widen),
        Value::Object(pairs) => pairs.values_mut().for_each(widen),
    }
}

fn missing(path: &[String]) -> JsonPatchError {
    JsonPatchError::Missing(Pointer(path.to_vec()))
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(pairs) => pairs.values().map(size).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn get<'a>(document: &'a Value, path: &[String]) -> Result<&'a Value, JsonPatchError> {
    path.iter().try_fold(document, |value, part| match value {
        Value::Object(pairs) => pairs.get(part).ok_or_else(|| missing(path)),
        Value::Array(items) => items.get(index(part, items.len(), path)?).ok_or_else(|| missing(path)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(missing(path)),
    })
}

/// What a copy or a test finds: a field that is absent in a mapping is null.
fn found(document: &Value, path: &[String]) -> Result<Value, JsonPatchError> {
    let (_, parts) = path.split_last().ok_or(JsonPatchError::WholeRead)?;
    match get(document, path) {
        Err(_) if matches!(get(document, parts), Ok(Value::Object(_))) => Ok(Value::Null),
        found => found.cloned(),
    }
}

/// The collection that holds the end of `path`, and the last part.
fn parent<'a, 'b>(document: &'a mut Value, path: &'b [String]) -> Result<(&'a mut Value, &'b String), JsonPatchError> {
    let (last, parts) = path.split_last().ok_or(JsonPatchError::WholeChanged)?;
    let holder = parts.iter().try_fold(document, |value, part| match value {
        Value::Object(pairs) => pairs.get_mut(part).ok_or_else(|| missing(path)),
        Value::Array(items) => {
            let at = index(part, items.len(), path)?;
            items.get_mut(at).ok_or_else(|| missing(path))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(missing(path)),
    })?;
    Ok((holder, last))
}

/// An index below or at `length`; negative ones count from there.
fn index(part: &str, length: usize, path: &[String]) -> Result<usize, JsonPatchError> {
    let wrong = |_| JsonPatchError::Index { part: part.to_owned(), pointer: Pointer(path.to_vec()) };
    let number: i64 = part.parse().map_err(wrong)?;
    let length = i64::try_from(length).map_err(|_| missing(path))?;
    let at = if number < 0 { number + length } else { number };
    usize::try_from(at).map_err(|_| missing(path))
}

fn refuse_depth(path: &[String], value: &Value) -> Result<(), JsonPatchError> {
    if path.len() + depth(value) > MAX_DEPTH {
        return Err(JsonPatchError::TooDeep);
    }
    Ok(())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(pairs) => 1 + pairs.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn add(document: &mut Value, path: &[String], value: Value) -> Result<(), JsonPatchError> {
    refuse_depth(path, &value)?;
    let (holder, last) = parent(document, path)?;
    match holder {
        Value::Object(pairs) => {
            pairs.insert(last.clone(), value);
            Ok(())
        }
        Value::Array(items) if last == "-" => {
            items.push(value);
            Ok(())
        }
        Value::Array(items) => {
            let at = index(last, items.len() + 1, path)?;
            if at > items.len() {
                return Err(missing(path));
            }
            items.insert(at, value);
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(missing(path)),
    }
}

fn remove(document: &mut Value, path: &[String]) -> Result<Value, JsonPatchError> {
    let (holder, last) = parent(document, path)?;
    match holder {
        Value::Object(pairs) => pairs.remove(last).ok_or_else(|| missing(path)),
        Value::Array(items) => {
            let at = index(last, items.len(), path)?;
            if at < items.len() { Ok(items.remove(at)) } else { Err(missing(path)) }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(missing(path)),
    }
}

fn replace(document: &mut Value, path: &[String], value: Value) -> Result<(), JsonPatchError> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    refuse_depth(path, &value)?;
    let (holder, last) = parent(document, path)?;
    match holder {
        Value::Object(pairs) => {
            pairs.insert(last.clone(), value);
            Ok(())
        }
        Value::Array(items) => {
            let at = index(last, items.len(), path)?;
            *items.get_mut(at).ok_or_else(|| missing(path))? = value;
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(missing(path)),
    }
}
