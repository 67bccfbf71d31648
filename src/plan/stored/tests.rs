use serde_json::json;

use super::*;

fn key(group: &str, kind: &str) -> ObjectKey {
    ObjectKey::new(group, kind, Some("team"), "x")
}

/// The steps to `a.b[].c`, where `[]` is an element of a list.
fn path(text: &str) -> Vec<Step> {
    let steps = text.split('.').flat_map(|name| {
        let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
        [Some(Step::Field(name.to_owned())), is_list.then_some(Step::Index(0))]
    });
    steps.flatten().collect()
}

/// Whether a value that is sent is no difference to what is live.
fn is_equal(key: &ObjectKey, at: &str, sent: &Value, live: Option<&Value>) -> bool {
    let at = path(at);
    match live {
        None => as_nothing(key, &at, sent),
        Some(live) => is_same(key, &at, sent, live) || as_default(key, &at, sent),
    }
}

#[test]
fn fields_of_built_in_kinds_are_looked_up_by_their_whole_path() {
    let container = "spec.template.spec.containers[]";
    let in_container = |rest: &str| format!("{container}.{rest}");
    for (group, kind, at, sent, live) in [
        ("apps", "StatefulSet", in_container("resources.limits.memory"), json!("1024Mi"), Some(json!("1Gi"))),
        ("apps", "StatefulSet", in_container("resources.limits.cpu"), json!(1), Some(json!("1"))),
        ("apps", "StatefulSet", in_container("imagePullPolicy"), json!(""), Some(json!("Always"))),
        ("apps", "StatefulSet", in_container("startupProbe.timeoutSeconds"), json!(0), Some(json!(1))),
        ("apps", "StatefulSet", in_container("volumeMounts[].readOnly"), json!(false), None),
        ("apps", "StatefulSet", in_container("command"), json!([]), None),
        ("apps", "StatefulSet", in_container("env[].value"), json!(""), None),
        (
            "apps",
            "StatefulSet",
            "spec.template.spec.volumes[].emptyDir.sizeLimit".into(),
            json!("1024Mi"),
            Some(json!("1Gi")),
        ),
        ("apps", "Deployment", "spec.paused".into(), json!(false), None),
        (
            "batch",
            "CronJob",
            "spec.jobTemplate.spec.template.spec.restartPolicy".into(),
            json!(""),
            Some(json!("Always")),
        ),
        ("", "Service", "spec.ports[].targetPort".into(), json!(0), Some(json!(81))),
        ("", "Service", "spec.type".into(), json!(""), Some(json!("ClusterIP"))),
        ("", "PersistentVolumeClaim", "spec.resources.requests.storage".into(), json!("20480Mi"), Some(json!("20Gi"))),
        (
            "autoscaling",
            "HorizontalPodAutoscaler",
            "spec.metrics[].external.target.value".into(),
            json!("1000m"),
            Some(json!("1")),
        ),
        ("", "ConfigMap", "metadata.labels".into(), json!({}), None),
        ("example.org", "Widget", "metadata.annotations".into(), json!({}), None),
        ("example.org", "Widget", "spec.ratio".into(), json!(1), Some(json!(1.0))),
    ] {
        assert!(is_equal(&key(group, kind), &at, &sent, live.as_ref()), "{kind} {at} {sent}");
    }
}

#[test]
fn a_name_alone_makes_no_value_equal_to_another() {
    for (group, kind, at, sent, live) in [
        // Maps of texts hold what people write.
        ("", "ConfigMap", "data.type", json!(""), Some(json!("x"))),
        ("", "ConfigMap", "data.type", json!(""), None),
        ("", "ConfigMap", "data.sizeLimit", json!("1024Mi"), Some(json!("1Gi"))),
        ("", "ConfigMap", "data.limits", json!(""), None),
        ("", "Secret", "data.clusterIP", json!(""), Some(json!("eA=="))),
        ("", "Service", "metadata.labels.type", json!(""), Some(json!("x"))),
        ("", "Service", "spec.selector.tier", json!(""), None),
        ("apps", "StatefulSet", "spec.template.spec.nodeSelector.type", json!(""), Some(json!("x"))),
        ("apps", "StatefulSet", "spec.template.metadata.annotations.max", json!("1000m"), Some(json!("1"))),
        // Custom resources are stored as they are sent.
        ("example.org", "Widget", "spec.timeoutSeconds", json!(0), Some(json!(30))),
        ("example.org", "Widget", "spec.limits.memory", json!("1024Mi"), Some(json!("1Gi"))),
        ("example.org", "Widget", "spec.containers[].imagePullPolicy", json!(""), Some(json!("Always"))),
        ("example.org", "Widget", "spec.readOnly", json!(false), None),
        ("example.org", "Widget", "spec.items", json!([]), None),
        ("example.org", "Widget", "spec.name", json!(""), None),
        (
            "example.org",
            "Widget",
            "spec.count",
            json!(9_007_199_254_740_993_u64),
            Some(json!(9_007_199_254_740_992_u64)),
        ),
        ("gateway.networking.k8s.io", "HTTPRoute", "spec.rules", json!([]), None),
        ("snapshot.storage.k8s.io", "VolumeSnapshot", "spec.limits.size", json!("1024Mi"), Some(json!("1Gi"))),
        // The same name elsewhere in a built-in kind.
        ("apps", "StatefulSet", "spec.template.spec.containers[].env[].value", json!("1000m"), Some(json!("1"))),
        ("apps", "StatefulSet", "spec.type", json!(""), Some(json!("x"))),
        ("batch", "Job", "spec.backoffLimit", json!(0), Some(json!(6))),
        ("", "PersistentVolumeClaim", "spec.storageClassName", json!(""), None),
        ("", "ServiceAccount", "automountServiceAccountToken", json!(false), None),
    ] {
        assert!(!is_equal(&key(group, kind), at, &sent, live.as_ref()), "{kind} {at} {sent}");
    }
}
