//! Takes over the fields that `kubectl` owns, or a field manager of another unit or version, so that what leaves Git later
//! leaves the cluster too; and tells whose an object is that was not expected to be there.
//!
//! After a restore with `kubectl apply -k .` the objects belong to kubectl. A forced apply of ours makes us an owner of
//! the same fields, but kubectl stays one, and a field with an owner is never removed. So kubectl's entries in
//! `managedFields` are first merged into ours; the apply that follows removes what we do not send, among it kubectl's
//! annotation with the last applied configuration. The pod template's values stay as they are: nothing restarts.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::project::{is_field_manager, is_kubectl};

/// Whose an object is that the unit with `field_manager` is about to make: the field managers that are neither ours nor a
/// person with kubectl. `None` when nobody would be robbed.
pub(super) fn strangers(live: &Value, field_manager: &str) -> Option<String> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    if entries.iter().any(|entry| is_our_apply(entry, field_manager)) {
        return None;
    }
    let of_spec = entries.iter().filter(|entry| entry.get("subresource").is_none());
    let names = of_spec.filter_map(|entry| entry["manager"].as_str()).filter(|manager| !is_kubectl(manager));
    let names: BTreeSet<&str> = names.collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}

/// The JSON patch that merges their entries into ours; `None` when there is nothing to take over.
pub(super) fn patch(live: &Value, field_manager: &str) -> Option<Value> {
    let entries = live["metadata"]["managedFields"].as_array()?;
    let (merged, kept): (Vec<&Value>, Vec<&Value>) = entries.iter().partition(|entry| is_ours_to_be(entry));
    if merged.iter().all(|entry| is_our_apply(entry, field_manager)) {
        return None;
    }
    let mut fields = Value::Object(Map::new());
    let mut time = None;
    for entry in &merged {
        unite(&mut fields, &entry["fieldsV1"]);
        // The latest time: RFC 3339 in UTC sorts as text.
        time = time.max(entry["time"].as_str());
    }
    let ours = json!({
        "manager": field_manager,
        "operation": "Apply",
        "apiVersion": live["apiVersion"],
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    });
    let all: Vec<Value> = std::iter::once(ours).chain(kept.into_iter().cloned()).collect();
    Some(json!([
        // Somebody may have written since this was read; then the patch must not fit.
        {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": all},
    ]))
}

/// Subresources other than `scale` hold what controllers report; a person's `kubectl scale` is a change like any other.
fn is_ours_to_be(entry: &Value) -> bool {
    let manager = entry["manager"].as_str().unwrap_or_default();
    let subresource = entry["subresource"].as_str().unwrap_or_default();
    (is_field_manager(manager) || is_kubectl(manager)) && matches!(subresource, "" | "scale")
}

fn is_our_apply(entry: &Value, field_manager: &str) -> bool {
    entry["manager"] == *field_manager && entry["operation"] == "Apply" && entry.get("subresource").is_none()
}

/// Adds the fields of one set to another. In `fieldsV1` a set is a tree whose leaves are empty objects.
fn unite(into: &mut Value, from: &Value) {
    let Some(from) = from.as_object() else { return };
    let Some(fields) = into.as_object_mut() else { return };
    for (name, below) in from {
        unite(fields.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())), below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "claude-manager/shop";

    fn live(entries: Value) -> Value {
        json!({"apiVersion": "apps/v1", "metadata": {"resourceVersion": "7", "managedFields": entries}})
    }

    #[test]
    fn what_is_ours_alone_needs_no_patch() {
        let controller = json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"});
        let ours = json!({"manager": OURS, "operation": "Apply", "fieldsV1": {"f:spec": {}}});
        assert_eq!(patch(&live(json!([ours, controller])), OURS), None);
        assert_eq!(patch(&live(json!([])), OURS), None);
    }

    #[test]
    fn whoever_would_be_robbed_is_named() {
        let by = |manager: &str| json!({"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": {}}});
        let status = json!({"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"});
        let whose = |entries: Value| strangers(&live(entries), OURS);
        assert_eq!(whose(json!([by("helm"), by("kubectl"), status])).as_deref(), Some("helm"));
        assert_eq!(
            whose(json!([by("claude-manager/other"), by("argo")])).as_deref(),
            Some("argo, claude-manager/other")
        );
        assert_eq!(whose(json!([by("helm"), by(OURS)])), None, "ours, of which somebody took the label");
        assert_eq!(whose(json!([by("kubectl"), by("before-first-apply"), status])), None);
        assert_eq!(whose(json!([])), None);
    }

    #[test]
    fn the_fields_of_kubectl_and_ours_become_one_entry_and_controllers_keep_theirs() {
        let entries = json!([
            {"manager": OURS, "operation": "Apply", "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {"f:a": {}}}},
            {"manager": "claude-manager", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:e": {}}}},
            {"manager": "kubectl-client-side-apply", "operation": "Update", "time": "2026-01-03T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:b": {}, "f:c": {"k:{\"name\":\"x\"}": {".": {}, "f:name": {}}}}}},
            {"manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            {"manager": "kubectl", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": "other", "operation": "Apply", "fieldsV1": {"f:spec": {"f:d": {}}}},
        ]);
        let patch = patch(&live(entries), OURS).unwrap();
        assert_eq!(patch[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}));
        let after = patch[1]["value"].as_array().unwrap();
        assert_eq!(after.len(), 3);
        assert_eq!((&after[0]["manager"], &after[0]["operation"]), (&json!(OURS), &json!("Apply")));
        assert!(after[0]["fieldsV1"]["f:spec"]["f:e"].is_object(), "of an earlier version");
        assert_eq!(after[0]["time"], "2026-01-03T00:00:00Z");
        let fields = &after[0]["fieldsV1"]["f:spec"];
        assert_eq!(fields["f:c"], json!({"k:{\"name\":\"x\"}": {".": {}, "f:name": {}}}));
        assert!(fields.get("f:a").is_some() && fields.get("f:b").is_some() && fields.get("f:replicas").is_some());
        assert_eq!(after[1]["subresource"], "status");
        assert_eq!(after[2]["manager"], "other");
    }
}
