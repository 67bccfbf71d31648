//! Files of OpenAPI definitions, which `crds` and `openapi` name: JSON when they begin with a brace, else the first YAML
//! document; and whether what stands there can be definitions at all.
//!
//! Pure: takes bytes, gives a value or a [`DefinitionsError`].

use serde_json::{Map, Value};

use crate::yaml::{self, JsonError, ReadError, Repeats};

/// What a field of a schema must be; a field that is not here may be anything, and null is the same as nothing.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Truth,
    Number,
    Whole,
    List,
    Texts,
    Mapping,
    TextOrTexts,
    Schema,
    SchemaOrTruth,
    Schemas,
    SchemaByName,
    /// A schema or a list of schemas; what is neither says nothing.
    SchemaOrSchemas,
    /// By name, a schema or a list of texts.
    Dependencies,
}

use Shape::{
    Dependencies, List, Mapping, Number, Schema, SchemaByName, SchemaOrSchemas, SchemaOrTruth, Schemas, Text,
    TextOrTexts, Texts, Truth, Whole,
};

const SCHEMA: [(&str, Shape); 36] = [
    ("id", Text),
    ("description", Text),
    ("type", TextOrTexts),
    ("nullable", Truth),
    ("format", Text),
    ("title", Text),
    ("maximum", Number),
    ("exclusiveMaximum", Truth),
    ("minimum", Number),
    ("exclusiveMinimum", Truth),
    ("maxLength", Whole),
    ("minLength", Whole),
    ("pattern", Text),
    ("maxItems", Whole),
    ("minItems", Whole),
    ("uniqueItems", Truth),
    ("multipleOf", Number),
    ("enum", List),
    ("maxProperties", Whole),
    ("minProperties", Whole),
    ("required", Texts),
    ("items", SchemaOrSchemas),
    ("allOf", Schemas),
    ("oneOf", Schemas),
    ("anyOf", Schemas),
    ("not", Schema),
    ("properties", SchemaByName),
    ("additionalProperties", SchemaOrTruth),
    ("patternProperties", SchemaByName),
    ("dependencies", Dependencies),
    ("additionalItems", SchemaOrTruth),
    ("definitions", SchemaByName),
    ("discriminator", Text),
    ("readOnly", Truth),
    ("externalDocs", Mapping),
    ("$schema", Shape::Text),
];

const DOCUMENT: [(&str, Shape); 16] = [
    ("id", Text),
    ("consumes", Texts),
    ("produces", Texts),
    ("schemes", Texts),
    ("swagger", Text),
    ("info", Mapping),
    ("host", Text),
    ("basePath", Text),
    ("paths", Mapping),
    ("definitions", SchemaByName),
    ("parameters", Mapping),
    ("responses", Mapping),
    ("securityDefinitions", Mapping),
    ("security", List),
    ("tags", List),
    ("externalDocs", Mapping),
];

/// Why a file holds no definitions.
#[derive(Debug, thiserror::Error)]
pub(super) enum DefinitionsError {
    #[error("is empty")]
    Empty,
    #[error("holds more than {} values", yaml::MAX_VALUES)]
    TooManyValues,
    #[error("begins with a brace, but is no JSON: {0}")]
    Json(serde_json::Error),
    #[error("is no YAML in its line {}: {}", .0.line, .0.message)]
    Yaml(#[from] ReadError),
    #[error(transparent)]
    Value(#[from] JsonError),
    #[error("is no OpenAPI document")]
    NoDocument,
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error("definitions.{definition}.x-kubernetes-group-version-kind needs a {key}")]
    Kind { definition: String, key: &'static str },
}

/// Reads the value of a file; null for one that says nothing.
///
/// # Errors
/// [`DefinitionsError`], when it is empty or neither JSON nor YAML.
pub(super) fn read(bytes: &[u8]) -> Result<Value, DefinitionsError> {
    match bytes.first() {
        None => Err(DefinitionsError::Empty),
        Some(b'{') => {
            // Each value but the first stands behind one of these.
            let values = bytes.iter().filter(|byte| b",:[{".contains(byte)).count();
            if values > yaml::MAX_VALUES {
                return Err(DefinitionsError::TooManyValues);
            }
            serde_json::from_slice(bytes).map_err(DefinitionsError::Json)
        }
        Some(_) => {
            let (document, _) = yaml::read_first(bytes, Repeats::LastCounts)?;
            Ok(document.map_or(Ok(Value::Null), |document| document.to_json())?)
        }
    }
}

/// Checks whether this can be a schema.
///
/// # Errors
/// [`SchemaError`].
pub(super) fn check_schema(value: &Value) -> Result<(), SchemaError> {
    check(value, Schema)
}

/// Checks whether this can be an OpenAPI document.
///
/// # Errors
/// [`DefinitionsError::Schema`] and [`DefinitionsError::Kind`].
pub(super) fn check_document(document: &Map<String, Value>) -> Result<(), DefinitionsError> {
    check_fields(document, &DOCUMENT)?;
    let definitions = document.get("definitions").and_then(Value::as_object);
    for (name, definition) in definitions.into_iter().flatten() {
        let kinds = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        for kind in kinds.into_iter().flatten().filter_map(Value::as_object) {
            for key in ["version", "kind"] {
                if !kind.get(key).is_some_and(Value::is_string) {
                    return Err(DefinitionsError::Kind { definition: name.clone(), key });
                }
            }
        }
    }
    Ok(())
}

/// A field of a schema is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} must be {must}", self.path())]
pub(super) struct SchemaError {
    /// The keys on the way there, from the inside out.
    way: Vec<String>,
    must: &'static str,
}

impl SchemaError {
    fn path(&self) -> String {
        self.way.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".")
    }

    fn inside(mut self, name: &str) -> Self {
        self.way.push(name.to_owned());
        self
    }
}

fn check_fields(mapping: &Map<String, Value>, fields: &[(&str, Shape)]) -> Result<(), SchemaError> {
    for (name, shape) in fields {
        if let Some(value) = mapping.get(*name) {
            check(value, *shape).map_err(|wrong| wrong.inside(name))?;
        }
    }
    Ok(())
}

fn check(value: &Value, shape: Shape) -> Result<(), SchemaError> {
    if value.is_null() {
        return Ok(());
    }
    let must = |holds: bool, must| if holds { Ok(()) } else { Err(SchemaError { way: Vec::new(), must }) };
    let texts = |value: &Value| {
        value.as_array().is_some_and(|items| items.iter().all(|item| item.is_string() || item.is_null()))
    };
    match shape {
        Text => must(value.is_string(), "text"),
        Truth => must(value.is_boolean(), "true or false"),
        Number => must(value.is_number(), "a number"),
        Whole => must(value.as_i64().is_some(), "a whole number"),
        List => must(value.is_array(), "a list"),
        Texts => must(texts(value), "a list of texts"),
        Mapping => must(value.is_object(), "a mapping"),
        TextOrTexts => must(value.is_string() || texts(value), "a text or a list of texts"),
        Schema => match value {
            Value::Object(mapping) => check_fields(mapping, &SCHEMA),
            _ => must(false, "a schema, which is a mapping"),
        },
        SchemaOrTruth if value.is_boolean() => Ok(()),
        SchemaOrTruth => check(value, Schema),
        SchemaOrSchemas => match value {
            Value::Object(_) => check(value, Schema),
            Value::Array(_) => check(value, Schemas),
            _ => Ok(()),
        },
        Schemas => match value {
            Value::Array(items) => items.iter().try_for_each(|item| check(item, Schema)),
            _ => must(false, "a list of schemas"),
        },
        SchemaByName => match value {
            Value::Object(mapping) => {
                mapping.iter().try_for_each(|(name, value)| check(value, Schema).map_err(|wrong| wrong.inside(name)))
            }
            _ => must(false, "a mapping of schemas"),
        },
        Dependencies => match value {
            Value::Object(mapping) => mapping.iter().try_for_each(|(name, value)| {
                let shape = if value.is_array() { Texts } else { SchemaOrSchemas };
                check(value, shape).map_err(|wrong| wrong.inside(name))
            }),
            _ => must(false, "a mapping"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_json_and_all_else_the_first_document() {
        assert_eq!(read(b"{\"a\": 1}").unwrap(), json!({"a": 1}));
        assert_eq!(read(b"a: 1\n---\nb: [").unwrap(), json!({"a": 1}));
        assert_eq!(read(b"# nothing\n").unwrap(), Value::Null);
        for text in ["", "{a: 1}", "{\"a\": 1} x", "{\"a\": 1, }", "a: ["] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_schema_is_told_with_the_way_there() {
        for (value, told) in [
            (json!(5), " must be a schema, which is a mapping"),
            (json!({"properties": 5}), "properties must be a mapping of schemas"),
            (json!({"properties": {"a": {"required": "b"}}}), "properties.a.required must be a list of texts"),
            (json!({"items": {"allOf": [{"type": 5}]}}), "items.allOf.type must be a text or a list of texts"),
        ] {
            assert_eq!(check_schema(&value).unwrap_err().to_string(), told);
        }
        for value in [json!(null), json!({"items": 5, "$ref": 5, "other": 5, "default": 5, "type": null})] {
            assert_eq!(check_schema(&value), Ok(()));
        }
    }
}
