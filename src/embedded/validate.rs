//! What the API server refuses although it fits the schema: missing values, dangling names, changes of what is fixed.

use base64::Engine as _;
use serde_json::Value;

use super::errors::{Issue, Refusal};
use super::resources::Resource;

const NAME: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
    and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const SERVICE_NAME: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start \
    and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SET_IS_FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
    'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
const CLAIM_IS_FIXED: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

/// Refuses `object` when it is not valid, alone or as the successor of `old`.
pub(super) fn check(resource: &Resource, name: &str, old: Option<&Value>, object: &Value) -> Result<(), Refusal> {
    if resource.kind == "Secret" {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        for value in object["data"].as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()) {
            if base64::engine::general_purpose::STANDARD.decode(value).is_err() {
                let offset = value
                    .bytes()
                    .position(|c| !c.is_ascii_alphanumeric() && !b"+/".contains(&c))
                    .unwrap_or(value.len());
                return Err(Refusal::unfit(&format!(
                    "failed to convert new object ({namespace}/{name}; /v1, Kind=Secret) to proper version: unable to convert unstructured \
                     object to /v1, Kind=Secret: error decoding from json: illegal base64 data at input byte {offset}"
                )));
            }
        }
    }
    let mut issues = Vec::new();
    if old.is_none() {
        check_name(resource, name, &mut issues);
    }
    match resource.kind {
        "StatefulSet" => stateful_set(old, object, &mut issues),
        "PersistentVolumeClaim" => claim(old, object, &mut issues),
        "Service" => service(old, object, &mut issues),
        "ConfigMap" | "Secret" => frozen(resource, old, object, &mut issues),
        _ => {}
    }
    if issues.is_empty() { Ok(()) } else { Err(Refusal::invalid(resource, name, &issues)) }
}

fn check_name(resource: &Resource, name: &str, issues: &mut Vec<Issue>) {
    let label = |text: &str| {
        let inner = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        inner && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
    };
    let value = Value::String(name.to_owned());
    if resource.kind == "Service" {
        if name.contains('.') {
            issues.push(Issue::invalid("metadata.name", &value, "must not contain dots"));
        } else if !label(name) {
            issues.push(Issue::invalid("metadata.name", &value, SERVICE_NAME));
        }
    } else if !name.split('.').all(label) {
        issues.push(Issue::invalid("metadata.name", &value, NAME));
    }
}

fn stateful_set(old: Option<&Value>, object: &Value, issues: &mut Vec<Issue>) {
    let spec = &object["spec"];
    if spec["replicas"].as_i64().is_some_and(|replicas| replicas < 0) {
        issues.push(Issue::invalid("spec.replicas", &spec["replicas"], "must be greater than or equal to 0"));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    match spec["selector"]["matchLabels"].as_object() {
        None if spec["selector"]["matchExpressions"].is_null() => {
            issues.push(if spec.get("selector").is_some() {
                Issue::invalid("spec.selector", &spec["selector"], "empty selector is invalid for statefulset")
            } else {
                Issue::required("spec.selector", "")
            });
        }
        Some(wanted) if wanted.iter().any(|(key, value)| labels[key] != *value) => {
            let labels = if labels.is_null() { &Value::Null } else { labels };
            issues.push(Issue::invalid(
                "spec.template.metadata.labels",
                labels,
                "`selector` does not match template `labels`",
            ));
        }
        _ => {}
    }
    pod_spec(&spec["template"]["spec"], "spec.template.spec", issues);
    if let Some(old) = old {
        let fixed = |value: &Value| {
            let mut spec = value["spec"].clone();
            if let Some(fields) = spec.as_object_mut() {
                for field in [
                    "replicas",
                    "ordinals",
                    "template",
                    "updateStrategy",
                    "revisionHistoryLimit",
                    "persistentVolumeClaimRetentionPolicy",
                    "minReadySeconds",
                ] {
                    fields.remove(field);
                }
            }
            spec
        };
        if fixed(old) != fixed(object) {
            issues.push(Issue::forbidden("spec", SET_IS_FIXED));
        }
    }
}

fn pod_spec(spec: &Value, path: &str, issues: &mut Vec<Issue>) {
    let list = |key: &str| spec[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let volumes: Vec<&Value> = list("volumes").iter().map(|volume| &volume["name"]).collect();
    for (index, volume) in list("volumes").iter().enumerate() {
        if volume["name"].as_str().is_none_or(str::is_empty) {
            issues.push(Issue::required(&format!("{path}.volumes[{index}].name"), ""));
        }
    }
    if list("containers").is_empty() {
        issues.push(Issue::required(&format!("{path}.containers"), ""));
    }
    for key in ["containers", "initContainers"] {
        for (index, container) in list(key).iter().enumerate() {
            let path = format!("{path}.{key}[{index}]");
            if container["image"].as_str().is_none_or(str::is_empty) {
                issues.push(Issue::required(&format!("{path}.image"), ""));
            }
            for (index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
                if !volumes.contains(&&mount["name"]) {
                    issues.push(Issue::not_found(&format!("{path}.volumeMounts[{index}].name"), &mount["name"]));
                }
            }
        }
    }
}

fn claim(old: Option<&Value>, object: &Value, issues: &mut Vec<Issue>) {
    let spec = &object["spec"];
    let Some(old) = old else {
        if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
            issues.push(Issue::required("spec.accessModes", "at least 1 access mode is required"));
        }
        if spec["resources"]["requests"]["storage"].is_null() {
            issues.push(Issue::required("spec.resources[storage]", ""));
        }
        return;
    };
    let bound = old["status"]["phase"] == "Bound";
    let classless = old["spec"]["storageClassName"].is_null();
    let fixed = |value: &Value| {
        let mut spec = value["spec"].clone();
        // A claim from before the cluster had a default class may get one.
        if classless && let Some(fields) = spec.as_object_mut() {
            fields.remove("storageClassName");
        }
        if bound && let Some(requests) = spec.pointer_mut("/resources/requests").and_then(Value::as_object_mut) {
            requests.remove("storage");
        }
        spec
    };
    if fixed(old) != fixed(object) {
        issues.push(Issue::forbidden("spec", CLAIM_IS_FIXED));
    } else if bound {
        let size = |value: &Value| {
            let text = value["spec"]["resources"]["requests"]["storage"].as_str().unwrap_or_default();
            crate::project::Quantity::parse(text).ok()
        };
        if let (Some(before), Some(after)) = (size(old), size(object))
            && after < before
        {
            let message = "field can not be less than status.capacity";
            issues.push(Issue::forbidden("spec.resources.requests.storage", message));
        }
    }
}

fn service(old: Option<&Value>, object: &Value, issues: &mut Vec<Issue>) {
    let Some(old) = old else { return };
    let address = |value: &Value| value["spec"]["clusterIP"].clone();
    if !address(old).is_null() && address(old) != address(object) {
        let list = Value::Array(vec![address(object)]);
        issues.push(Issue::invalid("spec.clusterIPs[0]", &list, "may not change once set"));
    }
}

fn frozen(resource: &Resource, old: Option<&Value>, object: &Value, issues: &mut Vec<Issue>) {
    let Some(old) = old else { return };
    if resource.kind == "Secret" && old["type"] != object["type"] {
        issues.push(Issue::invalid("type", &object["type"], "field is immutable"));
    }
    if old["immutable"] == true {
        if object["immutable"] != true {
            issues.push(Issue::forbidden("immutable", "field is immutable when `immutable` is set"));
        }
        if old["data"] != object["data"] {
            issues.push(Issue::forbidden("data", "field is immutable when `immutable` is set"));
        }
    }
}
