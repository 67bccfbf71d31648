//! `crds`: OpenAPI definitions of custom resources, whose marks say in which fields names, labels and annotations are.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::BuildError;
use super::config::{Config, Conflict};
use super::definitions::{self, SchemaError};
use super::field::Place;
use super::field_spec::FieldSpec;
use super::id::Gvk;
use super::load::Loader;

/// The deepest field that is looked at; definitions may name themselves.
const MAX_DEPTH: usize = 32;
/// The most fields of one file.
const MAX_FIELDS: usize = 100_000;

const HINT: &str = "it maps names of types to their schemas; a CustomResourceDefinition belongs under resources";

/// What a file adds to the fields of the transformers.
///
/// # Errors
/// When it is no mapping of definitions, or two of its fields contradict each other.
pub(super) fn load(
    loader: &Loader<'_>,
    directory: &crate::RepoPath,
    path: &str,
    place: &Place,
) -> Result<Arc<Config>, BuildError> {
    let path = loader.file(directory, path, place)?;
    let bytes = loader.bytes(&path, place)?;
    let value = definitions::read(&bytes).map_err(|error| place.error(format!("{path} {error}")))?;
    let none = Map::new();
    let definitions = match &value {
        Value::Null => &none,
        Value::Object(definitions) => definitions,
        _ => return Err(place.error_with_hint(format!("{path} is no OpenAPI definition"), HINT)),
    };
    for (name, definition) in definitions {
        check(name, definition)
            .map_err(|error| place.error_with_hint(format!("{path} is no OpenAPI definition: {error}"), HINT))?;
    }
    let mut reader = Reader { definitions, config: Config::default(), seen: 0 };
    for name in definitions.keys() {
        let Some(properties) = reader.properties(name) else { continue };
        if !["kind", "apiVersion", "metadata"].iter().all(|field| properties.contains_key(*field)) {
            continue;
        }
        let kind = name.rsplit('.').next().unwrap_or(name);
        let gvk = Gvk { kind: kind.to_owned(), ..Gvk::default() };
        reader.fields(&gvk, name, &mut Vec::new()).map_err(|conflict| place.error(format!("{path}: {conflict}")))?;
    }
    Ok(Arc::new(reader.config))
}

/// Why an entry is no definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum CrdError {
    #[error("{0} must be a mapping")]
    NoMapping(String),
    #[error("{name}.{key}.{error}")]
    Schema { name: String, key: String, error: SchemaError },
    #[error("{name}.{key} must be a list of texts")]
    Dependencies { name: String, key: String },
}

/// Checks that an entry has a schema that is one, or none.
fn check(name: &str, definition: &Value) -> Result<(), CrdError> {
    let name = || name.to_owned();
    let fields = match definition {
        Value::Null => return Ok(()),
        Value::Object(fields) => fields,
        _ => return Err(CrdError::NoMapping(name())),
    };
    for (key, value) in fields {
        if key.eq_ignore_ascii_case("schema") {
            let within = |error| CrdError::Schema { name: name(), key: key.clone(), error };
            definitions::check_schema(value).map_err(within)?;
        }
        let texts =
            |value: &Value| value.as_array().is_some_and(|items| items.iter().all(|it| it.is_string() || it.is_null()));
        if key.eq_ignore_ascii_case("dependencies") && !value.is_null() && !texts(value) {
            return Err(CrdError::Dependencies { name: name(), key: key.clone() });
        }
    }
    Ok(())
}

struct Reader<'a> {
    definitions: &'a Map<String, Value>,
    config: Config,
    seen: usize,
}

impl<'a> Reader<'a> {
    fn properties(&self, name: &str) -> Option<&'a Map<String, Value>> {
        let definition = self.definitions.get(name)?.as_object()?;
        let (_, schema) = definition.iter().find(|(key, _)| key.eq_ignore_ascii_case("schema"))?;
        schema.get("properties")?.as_object()
    }

    fn fields(&mut self, gvk: &Gvk, name: &str, path: &mut Vec<String>) -> Result<(), Conflict> {
        self.seen += 1;
        if path.len() > MAX_DEPTH || self.seen > MAX_FIELDS {
            return Ok(());
        }
        let Some(properties) = self.properties(name) else { return Ok(()) };
        for (field, property) in properties {
            path.push(field.clone());
            let spec = FieldSpec::new(gvk.clone(), &path.join("/"), false);
            let text = |key: &str| property.get(key).and_then(Value::as_str);
            for (mark, set) in [
                ("x-kubernetes-annotation", "commonAnnotations"),
                ("x-kubernetes-label-selector", "commonLabels"),
                ("x-kubernetes-identity", "namePrefix"),
            ] {
                if text(mark).is_some() {
                    self.config.add(set, std::slice::from_ref(&spec))?;
                }
            }
            if let Some((version, kind)) =
                text("x-kubernetes-object-ref-api-version").zip(text("x-kubernetes-object-ref-kind"))
            {
                let key = text("x-kubernetes-object-ref-name-key").unwrap_or("name");
                let target = Gvk { group: String::new(), version: version.to_owned(), kind: kind.to_owned() };
                let spec = FieldSpec::new(gvk.clone(), &format!("{}/{key}", path.join("/")), false);
                self.config.add_references(&target, &[spec])?;
            }
            if let Some(link) = text("$ref") {
                self.fields(gvk, link, path)?;
            }
            path.pop();
        }
        Ok(())
    }
}
