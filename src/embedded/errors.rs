//! Refusals in the API server's own shape and words.

use serde_json::{Map, Value, json};

use super::resources::Resource;

/// A `Status` that says no.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) body: Value,
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Issue {
    pub(super) field: String,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Refusal {
    fn new(code: u16, reason: &str, message: &str, details: Option<Value>) -> Self {
        let mut body = Map::new();
        body.insert("kind".to_owned(), "Status".into());
        body.insert("apiVersion".to_owned(), "v1".into());
        body.insert("metadata".to_owned(), json!({}));
        body.insert("status".to_owned(), "Failure".into());
        body.insert("message".to_owned(), message.into());
        if !reason.is_empty() {
            body.insert("reason".to_owned(), reason.into());
        }
        if let Some(details) = details {
            body.insert("details".to_owned(), details);
        }
        body.insert("code".to_owned(), code.into());
        Self { code, body: Value::Object(body) }
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(400, "BadRequest", message, None)
    }

    /// The API server answers what does not fit a kind's schema with 500 and no reason.
    pub(super) fn unfit(message: &str) -> Self {
        Self::new(500, "", message, None)
    }

    pub(super) fn internal(message: &str) -> Self {
        Self::new(500, "InternalError", &format!("Internal error occurred: {message}"), None)
    }

    pub(super) fn unknown_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource", Some(json!({})))
    }

    pub(super) fn not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
            Some(json!({})),
        )
    }

    pub(super) fn media_type() -> Self {
        Self::new(415, "UnsupportedMediaType", "415: Unsupported Media Type", Some(json!({})))
    }

    pub(super) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.plural_and_group());
        Self::new(404, "NotFound", &message, Some(details(resource, name, resource.plural)))
    }

    pub(super) fn changed(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes to the \
             latest version and try again",
            resource.plural_and_group()
        );
        Self::new(409, "Conflict", &message, Some(details(resource, name, resource.plural)))
    }

    pub(super) fn precondition(resource: &Resource, name: &str, wanted: &str, found: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the UID in the precondition ({wanted}) does not match the UID in \
             record ({found}). The object might have been deleted and then recreated",
            resource.kind_and_group()
        );
        Self::new(409, "Conflict", &message, Some(details(resource, name, resource.kind)))
    }

    pub(super) fn invalid_patch() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(422, "Invalid", message, Some(json!({})))
    }

    pub(super) fn options(field: &str, message: &str) -> Self {
        let cause = json!({"reason": "FieldValueRequired", "message": message, "field": field});
        let details = json!({"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]});
        let message = format!("PatchOptions.meta.k8s.io \"\" is invalid: {field}: {message}");
        Self::new(422, "Invalid", &message, Some(details))
    }

    /// Somebody else owns fields and no force is used: each path with its owner.
    pub(super) fn owned(conflicts: &[(String, String)]) -> Self {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, path)| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": path}))
            .collect();
        let message = match conflicts {
            [(manager, path)] => format!("Apply failed with 1 conflict: conflict with {manager}: {path}"),
            _ => {
                let mut text = format!("Apply failed with {} conflicts: ", conflicts.len());
                let mut last = "";
                for (manager, path) in conflicts {
                    if manager != last {
                        text.push_str(&format!("{}conflicts with {manager}:", if last.is_empty() { "" } else { "\n" }));
                        last = manager;
                    }
                    text.push_str(&format!("\n- {path}"));
                }
                text
            }
        };
        Self::new(409, "Conflict", &message, Some(json!({"causes": causes})))
    }

    pub(super) fn invalid(resource: &Resource, name: &str, issues: &[Issue]) -> Self {
        Self::invalid_kind(&resource.kind_and_group(), details(resource, name, resource.kind), name, issues)
    }

    fn invalid_kind(kind: &str, mut details: Value, name: &str, issues: &[Issue]) -> Self {
        let causes: Vec<Value> = issues
            .iter()
            .map(|issue| json!({"reason": issue.reason, "message": issue.message, "field": issue.field}))
            .collect();
        let texts: Vec<String> = issues.iter().map(|issue| format!("{}: {}", issue.field, issue.message)).collect();
        let text = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{kind} \"{name}\" is invalid: {text}");
        details["causes"] = Value::Array(causes);
        Self::new(422, "Invalid", &message, Some(details))
    }

    /// Parameters of a request that are not valid.
    pub(super) fn invalid_options(kind: &str, name: &str, issues: &[Issue]) -> Self {
        Self::invalid_kind(kind, json!({"name": name, "kind": kind}), name, issues)
    }

    /// The event that ends a watch from a forgotten version.
    pub(super) fn expired(wanted: u64, oldest: u64) -> Self {
        Self::new(410, "Expired", &format!("too old resource version: {wanted} ({oldest})"), None)
    }
}

impl Issue {
    pub(super) fn required(field: &str, message: &str) -> Self {
        let message =
            if message.is_empty() { "Required value".to_owned() } else { format!("Required value: {message}") };
        Self { field: field.to_owned(), reason: "FieldValueRequired", message }
    }

    pub(super) fn invalid(field: &str, value: &Value, message: &str) -> Self {
        Self {
            field: field.to_owned(),
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {value}: {message}"),
        }
    }

    pub(super) fn forbidden(field: &str, message: &str) -> Self {
        Self { field: field.to_owned(), reason: "FieldValueForbidden", message: format!("Forbidden: {message}") }
    }

    pub(super) fn not_found(field: &str, value: &Value) -> Self {
        Self { field: field.to_owned(), reason: "FieldValueNotFound", message: format!("Not found: {value}") }
    }
}

/// The answer to a deletion.
pub(super) fn deleted(resource: &Resource, name: &str, uid: &Value) -> Value {
    let mut details = details(resource, name, resource.plural);
    details["uid"] = uid.clone();
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn details(resource: &Resource, name: &str, kind: &str) -> Value {
    let mut details = json!({"name": name, "kind": kind});
    if !resource.group.is_empty() {
        details["group"] = resource.group.into();
    }
    details
}
