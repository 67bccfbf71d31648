//! Reads the fields of a JSON object by type, and keeps *all* that is wrong with them under their paths.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::json::path;
use crate::project::FieldError;

/// The fields of one object. Which names are known is what the code asks for; the others are errors.
pub(super) struct Fields<'a> {
    prefix: String,
    object: &'a Map<String, Value>,
    known: BTreeSet<&'static str>,
    errors: Vec<FieldError>,
}

/// What was given for a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given<T> {
    /// Nothing.
    Absent,
    /// `null`.
    Null,
    /// Something wrong; the error is kept already.
    Wrong,
    /// A value.
    Value(T),
}

impl<T> Given<T> {
    /// The value, if there is a good one.
    pub(super) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null | Self::Wrong => None,
        }
    }

    /// What a partial change makes of it: nothing, a removal, or a value.
    pub(super) fn removable(self) -> Option<Option<T>> {
        match self {
            Self::Absent | Self::Wrong => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

impl<'a> Fields<'a> {
    /// The fields of a whole body.
    pub(super) fn of_body(body: &'a Value, errors: Vec<FieldError>) -> Result<Self, FieldError> {
        match body {
            Value::Object(object) => Ok(Self { prefix: String::new(), object, known: BTreeSet::new(), errors }),
            other => Err(FieldError {
                field: String::new(),
                message: format!("the body must be a JSON object, not {}", type_of(other)),
            }),
        }
    }

    /// A text field; `parse` says what is wrong with the text, and repeats no secret.
    pub(super) fn text<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Given<T> {
        match self.take(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(Value::String(text)) => match parse(text) {
                Ok(value) => Given::Value(value),
                Err(message) => self.wrong(name, message),
            },
            Some(other) => self.wrong(name, format!("must be a string, not {}", type_of(other))),
        }
    }

    /// A field that is an object; give it back with [`Fields::close`].
    pub(super) fn object(&mut self, name: &'static str) -> Given<Self> {
        match self.take(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Null,
            Some(Value::Object(object)) => Given::Value(Self {
                prefix: path(&self.prefix, name),
                object,
                known: BTreeSet::new(),
                errors: Vec::new(),
            }),
            Some(other) => self.wrong(name, format!("must be an object, not {}", type_of(other))),
        }
    }

    /// Takes over what was wrong inside a field.
    pub(super) fn close(&mut self, inner: Self) {
        self.errors.extend(inner.finish());
    }

    /// Says that a field is wrong.
    pub(super) fn wrong<T>(&mut self, name: &str, message: impl Into<String>) -> Given<T> {
        self.errors.push(FieldError { field: path(&self.prefix, name), message: message.into() });
        Given::Wrong
    }

    /// A field that must be there.
    pub(super) fn required<T>(&mut self, name: &'static str, given: Given<T>) -> Option<T> {
        if matches!(given, Given::Absent | Given::Null) {
            self.wrong::<T>(name, "is required");
        }
        given.value()
    }

    /// A field of a partial change that can be changed but not removed.
    pub(super) fn kept<T>(&mut self, name: &'static str, given: Given<T>) -> Option<T> {
        if matches!(given, Given::Null) {
            self.wrong::<T>(name, "cannot be removed; give a value or leave the field out");
        }
        given.value()
    }

    /// All that is wrong, fields that nobody asked for included.
    pub(super) fn finish(mut self) -> Vec<FieldError> {
        for name in self.object.keys().filter(|name| !self.known.contains(name.as_str())) {
            let known: Vec<&str> = self.known.iter().copied().collect();
            let message = format!("is not known here; the fields are {}", known.join(", "));
            self.errors.push(FieldError { field: path(&self.prefix, name), message });
        }
        self.errors
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.insert(name);
        self.object.get(name)
    }
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
