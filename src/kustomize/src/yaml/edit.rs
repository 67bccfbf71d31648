//! Changes a value in the text of a YAML document and keeps every other byte: comments, order, quotes, indentation, line
//! breaks.
//!
//! Takes text, a path and a value, gives the new text. Each edit is one splice; the result is read again and must be the
//! old document with exactly that change, else nothing is given back. So a document that uses anchors, merges or a
//! layout in which the place is not clear is refused, never damaged.
//!
//! **Architecture invariant:** nothing here prints a document. Text that an edit does not have to touch is never
//! produced from parsed values.

mod place;
mod tree;
mod write;

use std::fmt;

use serde_yaml::{Mapping, Value};

use place::{Source, Splice};
pub use write::scalar;

/// The longest text in bytes that is edited.
pub const MAX_LENGTH: usize = 1 << 20;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value of a mapping's key.
    Key(String),
    /// An item of a list, from 0.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "{key}"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path of [`Step`]s: `path!["patches", 0, "patch"]`.
#[macro_export]
#[doc(hidden)]
macro_rules! yaml_path {
    ($($step:expr),* $(,)?) => { [$($crate::yaml::edit::Step::from($step)),*] };
}
pub use yaml_path as path;

/// Why an edit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The text is no YAML.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the reader says.
        message: String,
    },
    /// The text is YAML, but the change has no clear place in it.
    #[error("cannot place the edit: {0}")]
    Place(String),
}

/// Reads `text`.
///
/// # Errors
/// [`EditError::Syntax`] when it is no single YAML document, or one with a key twice.
pub fn read(text: &str) -> Result<Value, EditError> {
    if text.len() > MAX_LENGTH {
        return Err(EditError::Place(format!("the text has more than {MAX_LENGTH} bytes")));
    }
    serde_yaml::from_str(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|error| EditError::Syntax {
        line: error.location().map_or(1, |location| location.line()),
        message: error.to_string(),
    })
}

/// Gives the value at `path` another scalar value, or puts a value where none is, with the mappings above it.
///
/// # Errors
/// [`EditError`]; [`EditError::Place`] also where a list or mapping stands that would have to go.
pub fn set(text: &str, path: &[Step], value: &Value) -> Result<String, EditError> {
    let old = read(text)?;
    let mut expected = old.clone();
    model_set(&mut expected, path, value)?;
    if expected == old {
        return Ok(text.to_owned());
    }
    let source = Source::new(text);
    let root = tree::parse(text)?;
    let found = place::walk(&source, &root, path)?;
    spliced(text, &place::set(&source, &found, value)?, &expected)
}

/// Puts `item` into the list at `path`, before the item that has `index` now; makes the list where none is.
///
/// # Errors
/// [`EditError`].
pub fn insert(text: &str, path: &[Step], index: usize, item: &Value) -> Result<String, EditError> {
    let mut expected = read(text)?;
    match model_at(&mut expected, path)? {
        Value::Sequence(items) if index <= items.len() => items.insert(index, item.clone()),
        list @ Value::Null if index == 0 => *list = Value::Sequence(vec![item.clone()]),
        _ => return Err(EditError::Place("there is no list, or not enough in it".to_owned())),
    }
    let source = Source::new(text);
    let root = tree::parse(text)?;
    let found = place::walk(&source, &root, path)?;
    spliced(text, &place::insert(&source, &found, index, item)?, &expected)
}

/// Takes the entry or item at `path` away, with the comment on its line. A list or mapping that loses its last one stays
/// as `[]` or `{}`.
///
/// # Errors
/// [`EditError`], also when there is nothing at `path`.
pub fn remove(text: &str, path: &[Step]) -> Result<String, EditError> {
    let mut expected = read(text)?;
    let nothing = || EditError::Place("there is nothing to remove".to_owned());
    let (last, above) = path.split_last().ok_or_else(nothing)?;
    match (model_at(&mut expected, above)?, last) {
        (Value::Mapping(entries), Step::Key(key)) => {
            entries.remove(key.as_str()).ok_or_else(nothing)?;
        }
        (Value::Sequence(items), Step::Index(index)) if *index < items.len() => {
            items.remove(*index);
        }
        _ => return Err(nothing()),
    }
    let source = Source::new(text);
    let root = tree::parse(text)?;
    spliced(text, &place::remove(&source, &root, path)?, &expected)
}

/// Changes the text inside the literal block (`|`) at `path`, as patches have it, by `edit`.
///
/// # Errors
/// [`EditError`] of `edit` or of placing what it gave.
pub fn within(
    text: &str,
    path: &[Step],
    edit: impl FnOnce(&str) -> Result<String, EditError>,
) -> Result<String, EditError> {
    let mut expected = read(text)?;
    let Value::String(inner) = model_at(&mut expected, path)? else {
        return Err(EditError::Place("there is no text".to_owned()));
    };
    let old = inner.clone();
    let mut new = edit(&old)?;
    if new == old {
        return Ok(text.to_owned());
    }
    // How the block ends is said by its header, which stays.
    new.truncate(new.trim_end_matches('\n').len());
    new.push_str(&old[old.trim_end_matches('\n').len()..]);
    inner.clone_from(&new);
    let source = Source::new(text);
    let root = tree::parse(text)?;
    let found = place::walk(&source, &root, path)?;
    if !found.rest.is_empty() {
        return Err(EditError::Place("there is no text".to_owned()));
    }
    spliced(text, &place::literal(&source, found.node, &old, &new)?, &expected)
}

/// A mapping or list as text in block style, without a last line break, for a place where no text is yet.
#[must_use]
pub fn block_text(value: &Value) -> String {
    write::block(value).join("\n")
}

/// Makes the splice, and accepts the result only when it reads as expected.
fn spliced(text: &str, splice: &Splice, expected: &Value) -> Result<String, EditError> {
    let mut out = text.to_owned();
    out.replace_range(splice.range.clone(), &splice.text);
    match read(&out) {
        Ok(value) if value == *expected => Ok(out),
        Ok(_) => Err(EditError::Place("the edit would change more than its place".to_owned())),
        Err(error) => Err(EditError::Place(format!("the edit would break the file ({error})"))),
    }
}

/// The value at `path`, made of null where keys are missing.
fn model_at<'v>(root: &'v mut Value, path: &[Step]) -> Result<&'v mut Value, EditError> {
    let mut value = root;
    for step in path {
        if matches!((&*value, step), (Value::Null, Step::Key(_))) {
            *value = Value::Mapping(Mapping::new());
        }
        value = match (value, step) {
            (Value::Mapping(entries), Step::Key(key)) => {
                entries.entry(Value::String(key.clone())).or_insert(Value::Null)
            }
            (Value::Sequence(items), Step::Index(index)) => {
                items.get_mut(*index).ok_or_else(|| EditError::Place(format!("there is no item {index}")))?
            }
            _ => return Err(EditError::Place(format!("{step} does not fit what is written there"))),
        };
    }
    Ok(value)
}

fn model_set(root: &mut Value, path: &[Step], value: &Value) -> Result<(), EditError> {
    *model_at(root, path)? = value.clone();
    Ok(())
}

impl<'t> Source<'t> {
    fn new(text: &'t str) -> Self {
        let crlf = text.find('\n').is_some_and(|at| text[..at].ends_with('\r'));
        Self { text, newline: if crlf { "\r\n" } else { "\n" } }
    }
}

#[cfg(test)]
mod tests;
