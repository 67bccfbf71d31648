//! What the API server fills in where an object says nothing, for the kinds of the embedded cluster.

use serde_json::{Map, Value, json};

use super::resources::Resource;

/// Fields of plain Go values: the API server does not store them when they are false or empty.
const DROPPED_WHEN_ZERO: &[&str] = &[
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "publishNotReadyAddresses",
    "readOnly",
    "stdin",
    "stdinOnce",
    "subPath",
    "subPathExpr",
    "tty",
    "value",
    "workingDir",
];

/// Fills in `object`.
pub(super) fn fill(resource: &Resource, object: &mut Value) {
    match resource.kind {
        "StatefulSet" => stateful_set(object),
        "Pod" => pod_spec(&mut object["spec"], true),
        "Service" => service(object),
        "PersistentVolumeClaim" => claim(object),
        "NetworkPolicy" => network_policy(object),
        "Secret" => secret(object),
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            absent(object, "spec", json!({"finalizers": ["kubernetes"]}));
            absent(object, "status", json!({"phase": "Active"}));
        }
        _ => {}
    }
    drop_zeros(object);
}

fn stateful_set(object: &mut Value) {
    let spec = &mut object["spec"];
    absent(spec, "podManagementPolicy", json!("OrderedReady"));
    absent(spec, "replicas", json!(1));
    absent(spec, "revisionHistoryLimit", json!(10));
    absent(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    let retention = &mut spec["persistentVolumeClaimRetentionPolicy"];
    absent(retention, "whenDeleted", json!("Retain"));
    absent(retention, "whenScaled", json!("Retain"));
    absent(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    absent(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        absent(strategy, "rollingUpdate", json!({}));
        absent(&mut strategy["rollingUpdate"], "partition", json!(0));
    }
    absent(spec, "template", json!({}));
    absent(&mut spec["template"], "metadata", json!({}));
    absent(&mut spec["template"], "spec", json!({}));
    pod_spec(&mut spec["template"]["spec"], false);
    for template in items(spec, "volumeClaimTemplates") {
        absent(template, "apiVersion", json!("v1"));
        absent(template, "kind", json!("PersistentVolumeClaim"));
        claim(template);
    }
}

fn pod_spec(spec: &mut Value, is_pod: bool) {
    absent(spec, "restartPolicy", json!("Always"));
    absent(spec, "dnsPolicy", json!("ClusterFirst"));
    absent(spec, "schedulerName", json!("default-scheduler"));
    absent(spec, "securityContext", json!({}));
    absent(spec, "terminationGracePeriodSeconds", json!(30));
    if is_pod {
        absent(spec, "enableServiceLinks", json!(true));
    }
    // The old name of the field is kept equal.
    match spec.get("serviceAccountName").cloned().filter(Value::is_string) {
        Some(name) => spec["serviceAccount"] = name,
        None => {
            if let Some(name) = spec.get("serviceAccount").cloned().filter(Value::is_string) {
                spec["serviceAccountName"] = name;
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            self::container(container);
        }
    }
    for volume in items(spec, "volumes") {
        self::volume(volume);
    }
}

fn container(container: &mut Value) {
    absent(container, "terminationMessagePath", json!("/dev/termination-log"));
    absent(container, "terminationMessagePolicy", json!("File"));
    absent(container, "resources", json!({}));
    let image = container["image"].as_str().unwrap_or_default();
    absent(container, "imagePullPolicy", json!(if is_latest(image) { "Always" } else { "IfNotPresent" }));
    for port in items(container, "ports") {
        absent(port, "protocol", json!("TCP"));
    }
    for variable in items(container, "env") {
        if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
            absent(reference, "apiVersion", json!("v1"));
        }
        if let Some(reference) = variable.pointer_mut("/valueFrom/resourceFieldRef") {
            absent(reference, "divisor", json!("0"));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).filter(|probe| probe.is_object()) else { continue };
        absent(probe, "timeoutSeconds", json!(1));
        absent(probe, "periodSeconds", json!(10));
        absent(probe, "successThreshold", json!(1));
        absent(probe, "failureThreshold", json!(3));
        http(probe);
        if let Some(grpc) = probe.get_mut("grpc") {
            absent(grpc, "service", json!(""));
        }
    }
    for hook in ["/lifecycle/postStart", "/lifecycle/preStop"] {
        if let Some(hook) = container.pointer_mut(hook) {
            http(hook);
        }
    }
}

fn http(handler: &mut Value) {
    if let Some(get) = handler.get_mut("httpGet") {
        absent(get, "path", json!("/"));
        absent(get, "scheme", json!("HTTP"));
    }
}

/// Whether an image has no tag, or the moving one, and no digest.
fn is_latest(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    if last.contains('@') {
        return false;
    }
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn volume(volume: &mut Value) {
    // A volume of which only the name is known is an empty directory.
    if volume.as_object().is_some_and(|fields| fields.keys().all(|key| key == "name")) {
        volume["emptyDir"] = json!({});
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        if let Some(source) = volume.get_mut(source).filter(|source| source.is_object()) {
            absent(source, "defaultMode", json!(420));
        }
    }
    if let Some(host) = volume.get_mut("hostPath") {
        absent(host, "type", json!(""));
    }
    if let Some(downward) = volume.get_mut("downwardAPI") {
        downward_items(downward);
    }
    if let Some(projected) = volume.get_mut("projected") {
        for source in items(projected, "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken") {
                absent(token, "expirationSeconds", json!(3600));
            }
            if let Some(downward) = source.get_mut("downwardAPI") {
                downward_items(downward);
            }
        }
    }
}

fn downward_items(source: &mut Value) {
    for item in items(source, "items") {
        if let Some(reference) = item.get_mut("fieldRef") {
            absent(reference, "apiVersion", json!("v1"));
        }
    }
}

fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    absent(spec, "sessionAffinity", json!("None"));
    absent(spec, "type", json!("ClusterIP"));
    for port in items(spec, "ports") {
        absent(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        absent(port, "targetPort", number);
    }
    if spec["type"] != "ExternalName" {
        absent(spec, "internalTrafficPolicy", json!("Cluster"));
        absent(spec, "ipFamilies", json!(["IPv4"]));
        absent(spec, "ipFamilyPolicy", json!("SingleStack"));
        if spec.get("clusterIP").is_none_or(|address| address == "" || address.is_null()) {
            spec["clusterIP"] = json!(format!("10.96.{}.{}", rand::random_range(0..=255), rand::random_range(1..=254)));
        }
        let address = spec["clusterIP"].clone();
        absent(spec, "clusterIPs", json!([address]));
    }
    absent(object, "status", json!({"loadBalancer": {}}));
}

fn claim(object: &mut Value) {
    absent(&mut object["spec"], "volumeMode", json!("Filesystem"));
    absent(object, "status", json!({"phase": "Pending"}));
}

fn network_policy(object: &mut Value) {
    let spec = &mut object["spec"];
    absent(spec, "podSelector", json!({}));
    let has_egress = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
    absent(spec, "policyTypes", if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
    for direction in ["ingress", "egress"] {
        for rule in items(spec, direction) {
            for port in items(rule, "ports") {
                absent(port, "protocol", json!("TCP"));
            }
        }
    }
}

fn secret(object: &mut Value) {
    use base64::Engine as _;
    absent(object, "type", json!("Opaque"));
    let clear = object.as_object_mut().and_then(|fields| fields.remove("stringData"));
    for (key, value) in clear.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        object["data"][key] = base64::engine::general_purpose::STANDARD.encode(text).into();
    }
}

fn absent(value: &mut Value, key: &str, default: Value) {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    if let Some(fields) = value.as_object_mut() {
        fields.entry(key).or_insert(default);
    }
}

fn items<'a>(value: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

fn drop_zeros(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, value| {
                let zero = *value == Value::Bool(false) || *value == "";
                !(zero && DROPPED_WHEN_ZERO.contains(&key.as_str()))
            });
            fields.iter_mut().filter(|(key, _)| *key != "data").for_each(|(_, value)| drop_zeros(value));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_zeros),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_moving_image_is_pulled_every_time() {
        for image in ["i", "host:5000/i", "i:latest", "host/i:latest"] {
            assert!(is_latest(image), "{image}");
        }
        for image in ["i:1", "host:5000/i:2", "i@sha256:00", "i:latest@sha256:00"] {
            assert!(!is_latest(image), "{image}");
        }
    }
}
