//! The types of the kinds: which fields there are, and which lists and maps are merged and which replaced.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The description of every type, see the head of `schema.txt`.
const TEXT: &str = include_str!("schema.txt");

/// All types by name.
#[derive(Debug)]
pub(super) struct Schema(BTreeMap<String, BTreeMap<String, Field>>);

/// A field of a type.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) ty: Type,
    /// The value that the field has when it is not given.
    pub(super) default: Option<Value>,
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    /// A text, number or truth value; the name is for messages.
    Scalar(String),
    /// An amount, which is kept in one canonical form.
    Quantity,
    /// A number or a text.
    IntOrString,
    /// Anything.
    Any,
    /// One of the named types.
    Struct {
        /// Its name.
        name: String,
        /// Whether it is replaced as a whole.
        atomic: bool,
    },
    /// Any keys, one type of value.
    Map {
        /// The values' type.
        value: Box<Type>,
        /// Whether it is replaced as a whole.
        atomic: bool,
    },
    /// A list.
    List {
        /// The items' type.
        item: Box<Type>,
        /// How items are told apart.
        by: Identity,
    },
}

/// How the items of a list are told apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Identity {
    /// Not at all: the list is one value.
    Atomic,
    /// By their values.
    Value,
    /// By these fields.
    Keys(Vec<String>),
}

impl Type {
    /// A struct that is merged.
    pub(super) fn named(name: &str) -> Self {
        Self::Struct { name: name.to_owned(), atomic: false }
    }

    /// Whether a field manager owns the value as a whole only.
    pub(super) fn is_leaf(&self) -> bool {
        match self {
            Self::Scalar(_) | Self::Quantity | Self::IntOrString | Self::Any => true,
            Self::Struct { atomic, .. } | Self::Map { atomic, .. } => *atomic,
            Self::List { by, .. } => *by == Identity::Atomic,
        }
    }

    fn parse(text: &str) -> Self {
        if let Some(rest) = text.strip_prefix('!') {
            return match Self::parse(rest) {
                Self::Struct { name, .. } => Self::Struct { name, atomic: true },
                Self::Map { value, .. } => Self::Map { value, atomic: true },
                other => other,
            };
        }
        if let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            return Self::Map { value: Box::new(Self::parse(inner)), atomic: false };
        }
        if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let (item, by) = match inner.split_once('|') {
                None => (inner, Identity::Atomic),
                Some((item, "")) => (item, Identity::Value),
                Some((item, keys)) => (item, Identity::Keys(keys.split(',').map(str::to_owned).collect())),
            };
            return Self::List { item: Box::new(Self::parse(item)), by };
        }
        match text {
            "any" => Self::Any,
            "quantity" => Self::Quantity,
            "int-or-string" => Self::IntOrString,
            "string" | "integer" | "number" | "boolean" => Self::Scalar(text.to_owned()),
            name => Self::named(name),
        }
    }
}

impl Schema {
    /// Reads the description that is compiled in.
    pub(super) fn new() -> Self {
        let mut types: BTreeMap<String, BTreeMap<String, Field>> = BTreeMap::new();
        let mut current = String::new();
        for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
            let Some(field) = line.strip_prefix(' ') else {
                line.clone_into(&mut current);
                types.insert(current.clone(), BTreeMap::new());
                continue;
            };
            let mut words = field.split(' ');
            let (Some(name), Some(ty)) = (words.next(), words.next()) else { continue };
            let default = words.next().and_then(|word| serde_json::from_str(word).ok());
            if let Some(fields) = types.get_mut(&current) {
                fields.insert(name.to_owned(), Field { ty: Type::parse(ty), default });
            }
        }
        Self(types)
    }

    /// The fields of a named type.
    pub(super) fn fields(&self, name: &str) -> Option<&BTreeMap<String, Field>> {
        self.0.get(name)
    }

    /// The type of a field or entry below a value of type `ty`.
    pub(super) fn below(&self, ty: &Type, name: &str) -> Option<Type> {
        match ty {
            Type::Struct { name: parent, .. } => Some(self.fields(parent)?.get(name)?.ty.clone()),
            Type::Map { value, .. } => Some((**value).clone()),
            Type::Scalar(_) | Type::Quantity | Type::IntOrString | Type::Any | Type::List { .. } => None,
        }
    }

    /// The values that tell an item of a list from the others, in the order of their names; an absent one by its
    /// default, else by the empty value of its type.
    pub(super) fn identity(&self, item: &Type, keys: &[String], value: &Value) -> Vec<(String, Value)> {
        let mut identity = Vec::with_capacity(keys.len());
        for key in keys {
            let field = match item {
                Type::Struct { name, .. } => self.fields(name).and_then(|fields| fields.get(key)),
                _ => None,
            };
            let given = value.get(key).filter(|value| !value.is_null()).cloned();
            let found = given.or_else(|| field.and_then(|field| field.default.clone())).unwrap_or_else(|| match field
                .map(|field| &field.ty)
            {
                Some(Type::Scalar(name)) if name == "integer" => Value::from(0),
                _ => Value::from(""),
            });
            identity.push((key.clone(), found));
        }
        identity.sort_by(|one, other| one.0.cmp(&other.0));
        identity
    }

    /// Says, in the API server's words, what in `value` does not fit.
    pub(super) fn problems(&self, ty: &Type, value: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        self.check(ty, value, "", &mut problems);
        problems
    }

    fn check(&self, ty: &Type, value: &Value, path: &str, problems: &mut Vec<String>) {
        if value.is_null() {
            return;
        }
        let mut expected = |what: &str| {
            problems.push(format!("{path}: expected {what}, got {}", unstructured(value)));
        };
        match ty {
            Type::Any => {}
            Type::Scalar(name) => match name.as_str() {
                "string" if !value.is_string() => expected("string"),
                "boolean" if !value.is_boolean() => expected("boolean"),
                "integer" | "number" if !value.is_number() => {
                    problems.push(format!("{path}: expected numeric (int or float), got {}", go_type(value)));
                }
                _ => {}
            },
            Type::Quantity | Type::IntOrString => {
                if !value.is_string() && !value.is_number() {
                    expected("string or numeric");
                }
            }
            Type::Struct { name, .. } => {
                let Some(map) = value.as_object() else { return expected("map") };
                let Some(fields) = self.fields(name) else { return };
                for (key, below) in map {
                    match fields.get(key) {
                        Some(field) => self.check(&field.ty, below, &format!("{path}.{key}"), problems),
                        None => problems.push(format!("{path}.{key}: field not declared in schema")),
                    }
                }
            }
            Type::Map { value: inner, .. } => {
                let Some(map) = value.as_object() else { return expected("map") };
                for (key, below) in map {
                    self.check(inner, below, &format!("{path}.{key}"), problems);
                }
            }
            Type::List { item, by } => {
                let Some(list) = value.as_array() else {
                    problems.push(format!("{path}: expected list, got &{{{}}}", go_value(value)));
                    return;
                };
                let mut seen = Vec::new();
                for (index, below) in list.iter().enumerate() {
                    let step = match by {
                        Identity::Atomic => format!("[{index}]"),
                        Identity::Value => format!("[={below}]"),
                        Identity::Keys(keys) => {
                            let identity = self.identity(item, keys, below);
                            let parts: Vec<String> =
                                identity.iter().map(|(key, value)| format!("{key}={value}")).collect();
                            format!("[{}]", parts.join(","))
                        }
                    };
                    if *by != Identity::Atomic && seen.contains(&step) {
                        problems.push(format!("{path}: duplicate entries for key {step}"));
                    }
                    self.check(item, below, &format!("{path}{step}"), problems);
                    seen.push(step);
                }
            }
        }
    }

    /// Brings amounts into the form that the API server keeps, and drops fields without a value.
    pub(super) fn normalize(&self, ty: &Type, value: &mut Value) {
        match (ty, value) {
            (Type::Quantity, value) => {
                if let Some(canonical) = super::quantity::canonical(value) {
                    *value = Value::String(canonical);
                }
            }
            (Type::Struct { .. } | Type::Map { .. }, Value::Object(map)) => {
                let before = std::mem::take(map);
                *map = before.into_iter().filter(|(_, below)| !below.is_null()).collect::<Map<_, _>>();
                for (key, below) in map.iter_mut() {
                    if let Some(ty) = self.below(ty, key) {
                        self.normalize(&ty, below);
                    }
                }
            }
            (Type::List { item, .. }, Value::Array(list)) => {
                for below in list {
                    self.normalize(item, below);
                }
            }
            _ => {}
        }
    }
}

/// A value in the API server's language.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            let entries: Vec<String> = sorted.iter().map(|(key, value)| format!("{key}:{}", go_value(value))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// The name of a value's type in the API server's language.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A value as the API server prints it in such messages.
fn unstructured(value: &Value) -> String {
    let text = match value {
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    };
    format!("&value.valueUnstructured{{Value:{text}}}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_that_a_field_names_is_described() {
        fn names(ty: &Type, all: &mut Vec<String>) {
            match ty {
                Type::Struct { name, .. } => all.push(name.clone()),
                Type::Map { value, .. } => names(value, all),
                Type::List { item, .. } => names(item, all),
                Type::Scalar(_) | Type::Quantity | Type::IntOrString | Type::Any => {}
            }
        }
        let schema = Schema::new();
        let mut all = Vec::new();
        schema.0.values().flat_map(BTreeMap::values).for_each(|field| names(&field.ty, &mut all));
        assert!(all.len() > 100);
        for name in all {
            assert!(schema.fields(&name).is_some(), "{name}");
        }
    }

    #[test]
    fn fields_that_do_not_fit_are_named_by_their_path() {
        let schema = Schema::new();
        let value =
            json!({"spec": {"ports": [{"port": 1, "protokol": "TCP"}, {"port": 1}], "selector": [1]}, "data": {}});
        assert_eq!(
            schema.problems(&Type::named("Service"), &value),
            [
                ".data: field not declared in schema",
                ".spec.ports[port=1,protocol=\"TCP\"].protokol: field not declared in schema",
                ".spec.ports: duplicate entries for key [port=1,protocol=\"TCP\"]",
                ".spec.selector: expected map, got &value.valueUnstructured{Value:[1]}",
            ]
        );
    }
}
