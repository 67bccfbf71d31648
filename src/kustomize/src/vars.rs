//! `vars`: the value of a field, written wherever `$(NAME)` stands in the fields that may hold one. Deprecated, and used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::yaml::{self, Kind, Node, Tag};

use super::BuildError;
use super::collection::Collection;
use super::config::Config;
use super::field::{Field, Place};
use super::field_spec::{self, Create};
use super::id::Gvk;
use super::resource::Resource;
use super::transform::path;

/// One entry of `vars`.
#[derive(Clone, Debug, Default)]
pub(super) struct Var {
    name: String,
    gvk: Gvk,
    object: String,
    namespace: String,
    path: String,
    place: Place,
}

impl Var {
    pub(super) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let mut var = Self { place: entry.place(), path: "metadata.name".to_owned(), ..Self::default() };
        for (name, field) in entry.fields(&["name", "objref", "fieldref"])? {
            match name {
                "name" => var.name = field.string()?,
                "objref" => var.read_object(&field)?,
                _ => {
                    for (_, field) in field.fields(&["fieldPath"])? {
                        let path = field.string()?;
                        if !path.is_empty() {
                            var.path = path;
                        }
                    }
                }
            }
        }
        Ok(var)
    }

    fn read_object(&mut self, entry: &Field<'_>) -> Result<(), BuildError> {
        let mut api_version = String::new();
        for (name, field) in entry.fields(&["apiVersion", "group", "version", "kind", "name", "namespace"])? {
            let text = field.string()?;
            match name {
                "apiVersion" => api_version = text,
                "group" => self.gvk.group = text,
                "version" => self.gvk.version = text,
                "kind" => self.gvk.kind = text,
                "name" => self.object = text,
                _ => self.namespace = text,
            }
        }
        if !api_version.is_empty() {
            let parts = Gvk::new(&api_version, "");
            if !parts.group.is_empty() {
                self.gvk.group = parts.group;
            }
            self.gvk.version = parts.version;
        }
        Ok(())
    }

    /// Whether `resource` is or was the object that is meant. Without a namespace any one is.
    fn means(&self, resource: &Resource) -> bool {
        let wanted = super::id::Id::new(self.gvk.clone(), &self.object, &self.namespace);
        let anywhere = self.namespace.is_empty() && !wanted.is_cluster_scoped();
        resource
            .previous_ids()
            .chain([resource.id()])
            .any(|id| id.name == wanted.name && id.gvk == wanted.gvk && (anywhere || id.namespace == wanted.namespace))
    }
}

/// The variables of a kustomization and of all that it builds on.
#[derive(Clone, Debug, Default)]
pub(super) struct Vars(BTreeMap<String, Var>);

impl Vars {
    /// Why what these make of one part is not what they make of a whole: they reach over everything below the root.
    pub(super) fn reach_over_parts(&self) -> Option<BuildError> {
        let (name, var) = self.0.first_key_value()?;
        let message = format!("the variable {name} reaches over all projects, which are built apart");
        Some(var.place.error_with_hint(message, "write `replacements` in the overlay instead; they stay within it"))
    }

    /// Adds variables, and marks the objects that they are about, while those still have the names that are meant.
    ///
    /// # Errors
    /// When a name is there already, or several objects are meant.
    pub(super) fn add(&mut self, more: &[Var], objects: &mut Collection) -> Result<(), BuildError> {
        for var in more {
            let mut found = Vec::new();
            for (index, resource) in objects.iter().enumerate() {
                // Cheap first: names nearly always differ.
                let named = resource.name() == var.object
                    || resource.previous.iter().any(|(_, previous, _)| *previous == var.object);
                if named && var.means(resource) {
                    found.push(index);
                }
            }
            match found.as_slice() {
                [] => {}
                [index] => objects.get_mut(*index).variables.push(var.name.clone()),
                _ => {
                    let message = format!("{} objects are {} {}", found.len(), var.gvk.kind, var.object);
                    return Err(var.place.error_with_hint(message, "add the namespace to objref"));
                }
            }
            self.insert(var.clone())?;
        }
        Ok(())
    }

    /// Adds the variables of a directory that was built on.
    ///
    /// # Errors
    /// When a name is there already.
    pub(super) fn merge(&mut self, other: Self) -> Result<(), BuildError> {
        other.0.into_values().try_for_each(|var| self.insert(var))
    }

    fn insert(&mut self, var: Var) -> Result<(), BuildError> {
        if let Some(old) = self.0.get(&var.name) {
            let message =
                format!("the variable {} is there already, from {}:{}", var.name, old.place.file, old.place.line);
            return Err(var.place.error(message));
        }
        self.0.insert(var.name.clone(), var);
        Ok(())
    }

    /// Writes all values. Gives warnings about variables that stand nowhere, and about values that are no plain text.
    ///
    /// # Errors
    /// When the object or the field of a variable is not there.
    pub(super) fn resolve(&self, config: &Config, objects: &mut Collection) -> Result<Vec<String>, BuildError> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let values =
            self.0.iter().map(|(name, var)| Ok((name.as_str(), var.value(objects)?))).collect::<Result<_, _>>()?;
        let mut run = Run { values, used: BTreeSet::new(), written: 0 };
        let specs = config.set("varReference");
        objects.change(|resource| {
            for spec in specs.iter() {
                if !field_spec::is_about(spec, resource) {
                    continue;
                }
                field_spec::visit(&mut resource.node, spec, Create::Nothing, &mut |node| run.set(node))
                    .map_err(|error| resource.error(error))?;
            }
            Ok(())
        })?;
        if run.written > MAX_WRITTEN
            && let Some(var) = self.0.values().next()
        {
            return Err(var.place.error(VarError::TooMuch));
        }
        let unused = run.values.keys().filter(|name| !run.used.contains(**name));
        Ok(unused.map(|name| format!("the variable {name} stands in no field that may hold one")).collect())
    }
}

/// What a variable stands for.
#[derive(Clone, Debug)]
enum Value {
    Text(String),
    /// A number or a boolean: its text and type where nothing else stands in the field, and its text inside of others.
    Typed {
        alone: String,
        tag: Tag,
        within: String,
    },
    /// A list or a mapping, for which no text can stand.
    None,
}

impl Value {
    /// One that has the same text everywhere.
    fn same(text: String, tag: Tag) -> Self {
        Self::Typed { alone: text.clone(), tag, within: text }
    }
}

impl Var {
    fn value(&self, objects: &Collection) -> Result<Value, BuildError> {
        let Some(resource) = objects.iter().find(|resource| resource.variables.contains(&self.name)) else {
            let message =
                format!("the object of the variable {} is not there: {} {}", self.name, self.gvk.kind, self.object);
            return Err(self.place.error_with_hint(message, "compare objref with the object in its file"));
        };
        let fail = |message: &dyn Display| self.place.error(format!("{} of {}: {message}", self.path, resource.id()));
        let found = path::get(&resource.node, &indexed(path::split(&self.path))).map_err(|error| fail(&error))?;
        let Some(node) = found else { return Err(fail(&"there is no such field")) };
        let Kind::Scalar(text) = &node.kind else { return Ok(Value::None) };
        let bad = || fail(&format!("{text:?} cannot be written into a text"));
        match node.type_tag() {
            Tag::Int => {
                let number: i64 = text.parse().map_err(|_| bad())?;
                Ok(Value::same(number.to_string(), Tag::Int))
            }
            Tag::Bool => Ok(Value::same(text.to_ascii_lowercase(), Tag::Bool)),
            Tag::Float => {
                let number: f64 = text.parse().map_err(|_| bad())?;
                Ok(Value::Typed { alone: number.to_string(), tag: Tag::Float, within: yaml::float_text(number) })
            }
            _ => Ok(Value::Text(text.clone())),
        }
    }
}

/// `a[0]` as the two parts `a` and `0`.
fn indexed(parts: Vec<String>) -> Vec<String> {
    let mut result = Vec::new();
    for part in parts {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        match part.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) {
            Some((name, index)) if digits(index) => {
                result.extend((!name.is_empty()).then(|| name.to_owned()));
                result.push(index.to_owned());
            }
            _ => result.push(part),
        }
    }
    result
}

/// How much all variables of a build may write together.
const MAX_WRITTEN: usize = 64 << 20;

/// Why no variable can be written to a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum VarError {
    #[error("variables write more than {MAX_WRITTEN} bytes")]
    TooMuch,
    #[error("the key {0} is no text")]
    Key(String),
    #[error("an item of the list is no text")]
    Item,
}

struct Run<'a> {
    values: BTreeMap<&'a str, Value>,
    used: BTreeSet<String>,
    written: usize,
}

/// A string that is none of a point in time, or what may still be one.
fn is_text(node: &Node) -> bool {
    node.is_untyped() || (node.is_string() && !node.is_timestamp())
}

impl Run<'_> {
    /// Texts, and the texts of a list or of a mapping.
    fn set(&mut self, node: &mut Node) -> Result<(), VarError> {
        if self.written > MAX_WRITTEN {
            return Err(VarError::TooMuch);
        }
        if is_text(node) {
            self.replace(node);
            return Ok(());
        }
        match &mut node.kind {
            Kind::Scalar(_) => {}
            Kind::Mapping(pairs) => {
                for (key, value) in pairs {
                    if !is_text(key) {
                        return Err(VarError::Key(key.text().unwrap_or("a collection").to_owned()));
                    }
                    if is_text(value) {
                        self.replace(value);
                    }
                }
            }
            Kind::Sequence(items) => {
                for item in items {
                    if !is_text(item) {
                        return Err(VarError::Item);
                    }
                    self.replace(item);
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, node: &mut Node) {
        let Kind::Scalar(text) = &node.kind else { return };
        let new = match self.whole(text) {
            Some(Value::Typed { alone, tag, .. }) => Node { tag, ..Node::plain(alone) },
            _ => Node::string(self.expand(text)),
        };
        *node = Node { mark: node.mark, ..new };
    }

    /// The value of a text that is one variable and nothing else; it keeps its type.
    fn whole(&mut self, text: &str) -> Option<Value> {
        let name = text.strip_prefix("$(")?.strip_suffix(')').filter(|name| !name.contains(')'))?;
        let value = self.values.get(name)?.clone();
        if !matches!(value, Value::None) {
            self.used.insert(name.to_owned());
        }
        Some(value)
    }

    /// `$(NAME)` becomes the value, `$$` a dollar sign, and all else stays.
    fn expand(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
                match self.values.get(name) {
                    // Past the limit the build fails, so that what is missing here is never seen.
                    Some(Value::Text(value) | Value::Typed { within: value, .. }) if self.written <= MAX_WRITTEN => {
                        self.written += value.len();
                        out.push_str(value);
                        self.used.insert(name.to_owned());
                    }
                    _ => {
                        out.push_str("$(");
                        out.push_str(name);
                        out.push(')');
                    }
                }
                rest = after;
            } else {
                // What follows a lone dollar sign starts nothing, not even when it is another character of meaning.
                out.push('$');
                let next = after.chars().next();
                out.extend(next);
                rest = &after[next.map_or(0, char::len_utf8)..];
            }
        }
        out + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_and_all_else_stays() {
        let text = |text: &str| Value::Text(text.to_owned());
        let values = BTreeMap::from([("A", text("1")), ("B", text("$(A)")), ("C", text("")), ("D", Value::None)]);
        let mut run = Run { values, used: BTreeSet::new(), written: 0 };
        for (before, after) in [
            ("$(A)-$(A)", "1-1"),
            ("$(B)$(C).", "$(A)."),
            ("$$(A) $$$(A)", "$(A) $1"),
            ("$(A$(B))", "$(A$(B))"),
            ("$A ${A} $(X) $(D)", "$A ${A} $(X) $(D)"),
            ("$($($(", "$($($("),
            ("a$", "a$"),
            ("$é$(A)", "$é1"),
        ] {
            assert_eq!(run.expand(before), after, "{before}");
        }
        assert_eq!(run.used.iter().collect::<Vec<_>>(), ["A", "B", "C"]);
    }

    #[test]
    fn an_index_in_brackets_is_a_part_of_its_own() {
        assert_eq!(indexed(path::split("a.b[0].c")).join("|"), "a|b|0|c");
        assert_eq!(indexed(path::split("a.[0].[x=1]")).join("|"), "a|0|[x=1]");
    }
}
