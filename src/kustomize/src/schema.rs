//! The types of objects, as far as merges have to know them: which lists merge by which keys, and where other types are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::BuildError;
use super::definitions::{self, DefinitionsError};

/// The longest chain of types that are nothing but the name of another.
const MAX_LINKS: usize = 32;

/// The number of a type in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Type(usize);

/// How a field of a known type merges.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Property {
    /// A mapping of this type.
    Object(Type),
    /// A list whose items are told apart by these keys; no keys for lists of plain values.
    List { keys: Vec<String>, items: Option<Type> },
}

#[derive(Clone, Debug, Default)]
struct Fields {
    named: BTreeMap<String, Property>,
    /// Of mappings whose keys are free.
    others: Option<Property>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Schema {
    /// By kind, then by version.
    kinds: BTreeMap<String, BTreeMap<String, Type>>,
    cluster_scoped: BTreeMap<String, BTreeSet<String>>,
    types: Vec<Fields>,
    /// By the short names that the table has.
    names: BTreeMap<String, Type>,
    /// Why the file that should have given these could not be read. It counts when the types are asked for.
    broken: Option<BuildError>,
}

/// What the table leaves out of the names of definitions.
const PREFIXES: [&str; 4] =
    ["io.k8s.api.", "io.k8s.apimachinery.pkg.", "io.k8s.kube-aggregator.pkg.", "io.k8s.apiextensions-apiserver.pkg."];

fn short(name: &str) -> &str {
    PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name)
}

impl Schema {
    /// Reads `tables/schema.txt`.
    pub(super) fn of_table(text: &str) -> Self {
        let mut schema = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                ["kind", version, kind, name] => {
                    let id = schema.numbered(name);
                    schema.kinds.entry((*kind).to_owned()).or_default().insert((*version).to_owned(), id);
                }
                ["cluster", version, kind] => {
                    schema.cluster_scoped.entry((*kind).to_owned()).or_default().insert((*version).to_owned());
                }
                ["type", name, properties @ ..] => {
                    let id = schema.numbered(name);
                    for text in properties {
                        if let Some((field, property)) = schema.property_of(text) {
                            schema.types[id.0].named.insert(field, property);
                        }
                    }
                }
                _ => {}
            }
        }
        schema
    }

    /// Types that cannot be asked for.
    pub(super) fn broken(error: BuildError) -> Self {
        Self { broken: Some(error), ..Self::default() }
    }

    /// Asks for the types: a file that could not be read fails the build here, and only here.
    ///
    /// # Errors
    /// What was wrong with that file.
    pub(super) fn asked(&self) -> Result<(), BuildError> {
        self.broken.as_ref().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn numbered(&mut self, name: &str) -> Type {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        self.types.push(Fields::default());
        let id = Type(self.types.len() - 1);
        self.names.insert(name.to_owned(), id);
        id
    }

    /// `field:type` or `field[key,key]type`.
    fn property_of(&mut self, text: &str) -> Option<(String, Property)> {
        match text.split_once('[') {
            Some((field, rest)) => {
                let (keys, items) = rest.split_once(']')?;
                let keys = keys.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect();
                let items = (!items.is_empty()).then(|| self.numbered(items));
                Some((field.to_owned(), Property::List { keys, items }))
            }
            None => {
                let (field, name) = text.split_once(':')?;
                Some((field.to_owned(), Property::Object(self.numbered(name))))
            }
        }
    }

    /// Reads an OpenAPI document and adds it to what is known.
    ///
    /// # Errors
    /// [`DefinitionsError`], for what is no OpenAPI document.
    pub(super) fn add_document(&mut self, document: &Value) -> Result<(), DefinitionsError> {
        let empty = Map::new();
        let document = match document {
            Value::Null => &empty,
            Value::Object(document) => document,
            _ => return Err(DefinitionsError::NoDocument),
        };
        definitions::check_document(document)?;
        let definitions = document.get("definitions").and_then(Value::as_object).unwrap_or(&empty);
        let mut reader = Reader { definitions, schema: self };
        for (name, definition) in definitions {
            // A definition that is there already is meant where others name it, so it keeps its number.
            let id = reader.schema.numbered(short(name));
            let fields = reader.fields(definition, 0);
            reader.schema.types[id.0] = fields;
            let kinds = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
            for kind in kinds.into_iter().flatten() {
                let text = |key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default();
                let version = match text("group") {
                    "" => text("version").to_owned(),
                    group => format!("{group}/{}", text("version")),
                };
                reader.schema.kinds.entry(text("kind").to_owned()).or_default().insert(version, id);
            }
        }
        Ok(())
    }

    pub(super) fn is_cluster_scoped(&self, api_version: &str, kind: &str) -> bool {
        self.cluster_scoped.get(kind).is_some_and(|versions| versions.contains(api_version))
    }

    /// The type of a kind; `None` for kinds that are not known.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<Type> {
        self.kinds.get(kind)?.get(api_version).copied()
    }

    /// How `field` of a type merges; `None` for a value that is replaced.
    pub(super) fn property(&self, of: Type, field: &str) -> Option<&Property> {
        let fields = self.types.get(of.0)?;
        fields.named.get(field).or(fields.others.as_ref())
    }
}

/// Goes through the definitions of a document. A definition may name itself, so names become numbers and are not followed.
struct Reader<'a> {
    definitions: &'a Map<String, Value>,
    schema: &'a mut Schema,
}

impl<'a> Reader<'a> {
    fn fields(&mut self, definition: &'a Value, depth: usize) -> Fields {
        let properties = definition.get("properties").and_then(Value::as_object);
        let named = properties.into_iter().flatten();
        let named = named.filter_map(|(name, value)| Some((name.clone(), self.property(value, depth)?))).collect();
        let others = definition.get("additionalProperties").and_then(|value| self.property(value, depth));
        Fields { named, others }
    }

    fn property(&mut self, value: &'a Value, depth: usize) -> Option<Property> {
        if depth > MAX_LINKS {
            return None;
        }
        let merges = |value: &Value| {
            let strategy = value.get("x-kubernetes-patch-strategy").and_then(Value::as_str).unwrap_or_default();
            strategy.split(',').any(|part| part == "merge")
        };
        if value.get("type").and_then(Value::as_str) == Some("array") {
            if !merges(value) {
                return None;
            }
            let text = |key: &Value| key.as_str().map(str::to_owned);
            let keys = match value.get("x-kubernetes-list-map-keys").and_then(Value::as_array) {
                Some(keys) => keys.iter().filter_map(text).collect(),
                None => value.get("x-kubernetes-patch-merge-key").and_then(text).into_iter().collect(),
            };
            let items = value.get("items").and_then(|items| self.type_of(items, depth + 1));
            return Some(Property::List { keys, items });
        }
        // The link may lead to a list, whose own words count.
        if let Some(name) = link(value)
            && let Some(target) = self.definitions.get(name)
            && target.get("type").and_then(Value::as_str) == Some("array")
        {
            return self.property(target, depth + 1);
        }
        self.type_of(value, depth).map(Property::Object)
    }

    fn type_of(&mut self, value: &'a Value, depth: usize) -> Option<Type> {
        if let Some(name) = link(value) {
            let known = self.definitions.contains_key(name) || self.schema.names.contains_key(short(name));
            return known.then(|| self.schema.numbered(short(name)));
        }
        if value.get("properties").is_none() && value.get("additionalProperties").is_none() {
            return None;
        }
        let fields = self.fields(value, depth + 1);
        self.schema.types.push(fields);
        Some(Type(self.schema.types.len() - 1))
    }
}

/// The name of the definition that stands for this one.
fn link(value: &Value) -> Option<&str> {
    value.get("$ref").and_then(Value::as_str)?.strip_prefix("#/definitions/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables;

    #[test]
    fn containers_merge_by_name_and_ports_by_two_keys() {
        let schema = tables::schema();
        let object = |of: Type, field: &str| match schema.property(of, field) {
            Some(Property::Object(of)) => *of,
            other => panic!("{field}: {other:?}"),
        };
        let list = |of: Type, field: &str| match schema.property(of, field) {
            Some(Property::List { keys, items }) => (keys.clone(), *items),
            other => panic!("{field}: {other:?}"),
        };
        let stateful_set = schema.kind("apps/v1", "StatefulSet").unwrap();
        let spec = object(stateful_set, "spec");
        assert!(schema.property(spec, "volumeClaimTemplates").is_none());
        let pod = object(object(spec, "template"), "spec");
        let (keys, container) = list(pod, "containers");
        assert_eq!(keys, ["name"]);
        assert_eq!(list(container.unwrap(), "ports").0, ["containerPort", "protocol"]);
        assert!(schema.property(container.unwrap(), "args").is_none());
    }

    #[test]
    fn a_document_gives_the_merge_keys_of_types_that_name_themselves() {
        let document = serde_json::json!({"definitions": {
            "a.Tree": {
                "x-kubernetes-group-version-kind": [{"group": "a", "version": "v1", "kind": "Tree"}],
                "properties": {
                    "child": {"$ref": "#/definitions/a.Tree"},
                    "leaves": {
                        "type": "array", "items": {"type": "object", "properties": {"at": {"$ref": "#/definitions/a.Tree"}}},
                        "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge",
                    },
                    "plain": {"type": "array", "items": {"type": "string"}},
                },
            },
        }});
        let mut schema = Schema::default();
        schema.add_document(&document).unwrap();
        let tree = schema.kind("a/v1", "Tree").unwrap();
        assert_eq!(schema.property(tree, "child"), Some(&Property::Object(tree)));
        let Some(Property::List { keys, items }) = schema.property(tree, "leaves") else { panic!() };
        assert_eq!(keys, &["name"]);
        assert_eq!(schema.property(items.unwrap(), "at"), Some(&Property::Object(tree)));
        assert_eq!(schema.property(tree, "plain"), None);
        assert!(schema.add_document(&serde_json::json!([])).is_err());
    }
}
