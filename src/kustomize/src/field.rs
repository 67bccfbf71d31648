//! Reading a kustomization file field by field, with errors that name the file, the line and the field.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use crate::RepoPath;
use crate::yaml::{Kind, Node, Style, Tag, is_old_boolean};

use super::BuildError;
use super::suggest::nearest;

/// A value in a file, and how one gets to it.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) file: &'a RepoPath,
    pub(super) node: &'a Node,
    pub(super) path: String,
    /// Where unknown fields are told, in files in which stock kustomize passes over them; `None` where they are errors.
    lenient: Option<&'a RefCell<Vec<String>>>,
}

impl<'a> Field<'a> {
    /// A document in which each field has to be known.
    pub(super) fn root(file: &'a RepoPath, node: &'a Node) -> Self {
        Self { file, node, path: String::new(), lenient: None }
    }

    /// A document in which an unknown field is a warning.
    pub(super) fn lenient(file: &'a RepoPath, node: &'a Node, warnings: &'a RefCell<Vec<String>>) -> Self {
        Self { lenient: Some(warnings), ..Self::root(file, node) }
    }

    /// Where this stands, to be kept when the file is not at hand any more.
    pub(super) fn place(&self) -> Place {
        Place { file: self.file.clone(), line: self.node.mark.line as usize, field: self.path.clone() }
    }

    pub(super) fn error(&self, message: impl Display) -> BuildError {
        self.place().error(message)
    }

    /// A warning about this, to be told when the build is done.
    pub(super) fn warning(&self, message: &str) -> String {
        format!("{}:{}: {}: {message}", self.file, self.node.mark.line, self.path)
    }

    fn inner(&self, node: &'a Node, path: String) -> Self {
        Self { file: self.file, node, path, lenient: self.lenient }
    }

    /// All pairs of a mapping whose values are not null. Null itself, which is an item of a list here, stands for an empty
    /// mapping.
    ///
    /// # Errors
    /// When this is no mapping.
    pub(super) fn pairs(&self) -> Result<Vec<(&'a str, Field<'a>)>, BuildError> {
        let mut fields = self.all_pairs()?;
        fields.retain(|(_, field)| !field.node.is_null());
        Ok(fields)
    }

    fn all_pairs(&self) -> Result<Vec<(&'a str, Field<'a>)>, BuildError> {
        let pairs = match &self.node.kind {
            Kind::Mapping(pairs) => pairs.as_slice(),
            Kind::Scalar(_) if self.node.is_null() => &[],
            Kind::Scalar(_) | Kind::Sequence(_) => return Err(self.error("must be a mapping")),
        };
        let mut fields = Vec::new();
        for (key, value) in pairs {
            let Some(name) = key.text() else { return Err(self.error("has a key that is no text")) };
            let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
            fields.push((name, self.inner(value, path)));
        }
        Ok(fields)
    }

    /// All pairs of a mapping, by the names that are known here. As for stock kustomize, case does not count.
    ///
    /// # Errors
    /// When this is no mapping, or a field is unknown and that counts in this file.
    pub(super) fn fields(&self, known: &[&'static str]) -> Result<Vec<(&'static str, Field<'a>)>, BuildError> {
        let mut fields = Vec::new();
        for (name, field) in self.all_pairs()? {
            let exact = known.iter().find(|known| **known == name);
            match exact.or_else(|| known.iter().find(|known| known.eq_ignore_ascii_case(name))) {
                Some(_) if field.node.is_null() => {}
                Some(known) => fields.push((*known, field)),
                None => field.unknown(known)?,
            }
        }
        Ok(fields)
    }

    /// The value of one key of a mapping.
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        Some(self.inner(self.node.get(name)?, format!("{}.{name}", self.path)))
    }

    /// The items of a sequence.
    pub(super) fn items(&self) -> Result<Vec<Field<'a>>, BuildError> {
        let Kind::Sequence(items) = &self.node.kind else { return Err(self.error("must be a list")) };
        let item = |(index, node)| self.inner(node, format!("{}[{index}]", self.path));
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// Every item of a sequence, read.
    pub(super) fn each<T>(&self, read: impl Fn(&Field<'a>) -> Result<T, BuildError>) -> Result<Vec<T>, BuildError> {
        self.items()?.iter().map(read).collect()
    }

    /// A text; null, which is an item of a list here, stands for an empty one.
    pub(super) fn string(&self) -> Result<String, BuildError> {
        match (&self.node.kind, self.node.style, &self.node.tag) {
            _ if self.node.is_null() => Ok(String::new()),
            (Kind::Scalar(text), Style::Plain, Tag::None)
                if !self.node.is_string() || (self.lenient.is_none() && is_old_boolean(text)) =>
            {
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

    /// A mapping of strings; null stands for an empty one.
    pub(super) fn map(&self) -> Result<BTreeMap<String, String>, BuildError> {
        let mut map: BTreeMap<String, String> = BTreeMap::new();
        for (key, _) in self.node.pairs().unwrap_or_default().iter().filter(|(_, value)| value.is_null()) {
            map.insert(key.text().unwrap_or_default().to_owned(), String::new());
        }
        for (key, value) in self.pairs()? {
            map.insert(key.to_owned(), value.string()?);
        }
        Ok(map)
    }

    /// What becomes of a field that has no meaning here.
    fn unknown(&self, known: &[&str]) -> Result<(), BuildError> {
        if let Some(warnings) = self.lenient {
            warnings.borrow_mut().push(self.warning("is no field that is known here; it has no effect"));
            return Ok(());
        }
        let mut error = self.error("is no field that is known here");
        let name = self.path.rsplit('.').next().unwrap_or_default();
        let near = nearest(name, known.iter().copied());
        error.hint = Some(match near {
            Some(field) => format!("did you mean {field}?"),
            None => format!("the fields here are {}", known.join(", ")),
        });
        Err(error)
    }
}

/// A place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: RepoPath,
    pub(super) line: usize,
    pub(super) field: String,
}

impl Place {
    pub(super) fn error(&self, message: impl Display) -> BuildError {
        BuildError {
            file: self.file.clone(),
            line: (self.line > 0).then_some(self.line),
            field: (!self.field.is_empty()).then(|| self.field.clone()),
            message: message.to_string(),
            hint: None,
        }
    }

    pub(super) fn error_with_hint(&self, message: impl Display, hint: &str) -> BuildError {
        BuildError { hint: Some(hint.to_owned()), ..self.error(message) }
    }
}
