//! The fields of a form, as browsers send them.

use axum::http::StatusCode;
use serde_json::{Map, Value};

use crate::web::problem::Problem;

/// What was typed, by the names of the inputs. A name stands once; the last one counts.
#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body.
    pub(super) fn parse(content_type: &str, body: &[u8]) -> Result<Self, Problem> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !body.is_empty() && !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let detail =
                "send the form with Content-Type: application/x-www-form-urlencoded; programs use /api instead";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "media-type", "The body has the wrong type", detail));
        }
        Ok(Self::of_pairs(body))
    }

    /// Reads pairs in the encoding of forms.
    pub(super) fn of_pairs(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// What was typed into an input; empty when there is no such input.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str())
    }

    /// All inputs with what is in them, in their order.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Everything that was chosen in inputs of one name.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Fills an input.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }

    /// The body that the API takes for the same request: of the inputs `names`, those with something in them. A dot in
    /// a name stands for an object around the field.
    pub(super) fn to_json<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<u8> {
        let mut body = Map::new();
        for name in names {
            let value = self.get(name);
            if value.trim().is_empty() {
                continue;
            }
            let value = Value::from(value);
            match name.split_once('.') {
                None => {
                    body.insert(name.to_owned(), value);
                }
                Some((outer, inner)) => {
                    let object = body.entry(outer).or_insert_with(|| Value::Object(Map::new()));
                    if let Some(object) = object.as_object_mut() {
                        object.insert(inner.to_owned(), value);
                    }
                }
            }
        }
        Value::Object(body).to_string().into_bytes()
    }
}
