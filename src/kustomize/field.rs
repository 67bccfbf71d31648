//! Reading a kustomization file field by field, with errors that name the file, the line and the field.

use std::collections::BTreeMap;

use crate::project::RepoPath;
use crate::yaml::{Kind, Node, Style, Tag};

use super::BuildError;

/// A value in a file, and how one gets to it.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) file: &'a RepoPath,
    pub(super) node: &'a Node,
    pub(super) path: String,
}

impl<'a> Field<'a> {
    pub(super) fn root(file: &'a RepoPath, node: &'a Node) -> Self {
        Self { file, node, path: String::new() }
    }

    /// Where this stands, to be kept when the file is not at hand any more.
    pub(super) fn place(&self) -> Place {
        Place { file: self.file.clone(), line: self.node.mark.line, field: self.path.clone() }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> BuildError {
        self.place().error(message)
    }

    /// All pairs of a mapping whose values are not null.
    ///
    /// # Errors
    /// When this is no mapping.
    pub(super) fn pairs(&self) -> Result<Vec<(&'a str, Field<'a>)>, BuildError> {
        let Kind::Mapping(pairs) = &self.node.kind else { return Err(self.error("must be a mapping")) };
        let mut fields = Vec::new();
        for (key, value) in pairs {
            let Some(name) = key.text() else { return Err(self.error("has a key that is no text")) };
            if !value.is_null() {
                let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
                fields.push((name, Field { file: self.file, node: value, path }));
            }
        }
        Ok(fields)
    }

    /// The items of a sequence.
    pub(super) fn items(&self) -> Result<Vec<Field<'a>>, BuildError> {
        let Kind::Sequence(items) = &self.node.kind else { return Err(self.error("must be a list")) };
        let item = |(index, node)| Field { file: self.file, node, path: format!("{}[{index}]", self.path) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn string(&self) -> Result<String, BuildError> {
        match (&self.node.kind, self.node.style, &self.node.tag) {
            (Kind::Scalar(text), Style::Plain, Tag::None) if !self.node.is_string() || is_old_boolean(text) => {
                Err(self.error(format!("must be a string; write \"{text}\" in quotes")))
            }
            (Kind::Scalar(text), ..) if self.node.is_string() => Ok(text.clone()),
            _ => Err(self.error("must be a string")),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, BuildError> {
        match (self.node.text(), self.node.to_json()) {
            (_, Ok(serde_json::Value::Bool(truth))) => Ok(truth),
            (Some(text), _) if self.node.style == Style::Plain && is_old_boolean(text) => {
                Ok(matches!(text, "y" | "Y") || text.eq_ignore_ascii_case("yes") || text.eq_ignore_ascii_case("on"))
            }
            _ => Err(self.error("must be true or false")),
        }
    }

    pub(super) fn integer(&self) -> Result<i64, BuildError> {
        match self.node.to_json() {
            Ok(serde_json::Value::Number(number)) => {
                number.as_i64().ok_or_else(|| self.error("must be a whole number"))
            }
            _ => Err(self.error("must be a whole number")),
        }
    }

    /// Items that are strings, each with its place.
    pub(super) fn strings(&self) -> Result<Vec<(String, Place)>, BuildError> {
        self.items()?.into_iter().map(|item| Ok((item.string()?, item.place()))).collect()
    }

    pub(super) fn map(&self) -> Result<BTreeMap<String, String>, BuildError> {
        self.pairs()?.into_iter().map(|(key, value)| Ok((key.to_owned(), value.string()?))).collect()
    }

    /// The error for a field that has no meaning here.
    pub(super) fn unknown(&self, known: &[&str]) -> BuildError {
        let mut error = self.error("is no field that is known here");
        let name = self.path.rsplit('.').next().unwrap_or_default();
        let near = known.iter().find(|field| {
            field.eq_ignore_ascii_case(name)
                || field.trim_end_matches('s') == name
                || *field == &name.trim_end_matches('s')
        });
        error.hint = Some(match near {
            Some(field) => format!("did you mean {field}?"),
            None => format!("the fields here are {}", known.join(", ")),
        });
        error
    }
}

/// Words that older readers take for booleans.
fn is_old_boolean(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF"
    )
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: RepoPath,
    pub(super) line: usize,
    pub(super) field: String,
}

impl Place {
    pub(super) fn error(&self, message: impl Into<String>) -> BuildError {
        BuildError {
            file: self.file.clone(),
            line: (self.line > 0).then_some(self.line),
            field: (!self.field.is_empty()).then(|| self.field.clone()),
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn error_with_hint(&self, message: impl Into<String>, hint: &str) -> BuildError {
        BuildError { hint: Some(hint.to_owned()), ..self.error(message) }
    }
}
