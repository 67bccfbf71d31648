use serde_json::json;

use super::*;
use crate::plan::policy::Drift;
use crate::project::Unit;

/// Compares under a policy that corrects everything.
fn diff(key: &ObjectKey, desired: &Value, live: &Value) -> Diff {
    super::diff(key, desired, live, &Rules::of(&Unit::Base, &Drift::default(), false))
}

fn key(group: &str, kind: &str) -> ObjectKey {
    ObjectKey::new(group, kind, Some("team"), "a-env")
}

/// The changes, one line each.
fn changes(key: &ObjectKey, desired: &Value, live: &Value) -> Vec<String> {
    let show = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), Value::to_string);
    let changes = diff(key, desired, live).changes;
    changes.iter().map(|c| format!("{}: {} -> {}", c.path, show(&c.before), show(&c.after))).collect()
}

fn pod_template(container: Value) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [container]}}}})
}

/// A live object whose fields were set by these managers.
fn managed(mut object: Value, managers: Value) -> Value {
    object["metadata"]["managedFields"] = managers;
    object
}

fn applied_by_us(fields: Value) -> Value {
    json!({"manager": "claude-manager", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

#[test]
fn what_the_server_stores_differently_is_no_difference() {
    let set = key("apps", "StatefulSet");
    let table = [
        (
            "quantities",
            json!({"resources": {"requests": {"cpu": "1000m", "memory": "1.5Gi"}, "limits": {"cpu": 2}}}),
            json!({"resources": {"requests": {"cpu": "1", "memory": "1536Mi"}, "limits": {"cpu": "2"}}}),
        ),
        ("defaults", json!({"image": "x"}), json!({"image": "x", "imagePullPolicy": "Always", "resources": {}})),
        (
            "a port's protocol",
            json!({"ports": [{"containerPort": 80}]}),
            json!({"ports": [{"containerPort": 80, "protocol": "TCP"}]}),
        ),
        ("null", json!({"args": null, "lifecycle": null}), json!({})),
        ("null over a default", json!({"terminationMessagePath": null}), json!({"terminationMessagePath": "/dev/x"})),
        ("empty lists and maps", json!({"args": [], "resources": {"limits": {}}}), json!({"resources": {}})),
        ("empty texts", json!({"env": [{"name": "A", "value": ""}]}), json!({"env": [{"name": "A"}]})),
        (
            "false that is left out",
            json!({"tty": false, "volumeMounts": [{"mountPath": "/a", "readOnly": false}]}),
            json!({"volumeMounts": [{"mountPath": "/a"}]}),
        ),
        (
            "empty values that stand for a default",
            json!({"imagePullPolicy": "", "livenessProbe": {"periodSeconds": 0}}),
            json!({"imagePullPolicy": "Always", "livenessProbe": {"periodSeconds": 10}}),
        ),
        (
            "elements of others",
            json!({"env": [{"name": "A", "value": "1"}]}),
            json!({"env": [{"name": "Z", "value": "9"}, {"name": "A", "value": "1"}]}),
        ),
    ];
    for (what, desired, live) in table {
        let with_name = |mut value: Value| {
            value["name"] = json!("agent");
            pod_template(value)
        };
        let found = changes(&set, &with_name(desired), &with_name(live));
        assert_eq!(found, Vec::<String>::new(), "{what}");
    }
}

#[test]
fn a_real_difference_is_named_by_its_path() {
    let set = key("apps", "StatefulSet");
    let table = [
        (json!({"image": "x:2"}), json!({"image": "x:1"}), r#"image: "x:1" -> "x:2""#),
        (json!({"args": ["a", "b"]}), json!({"args": ["b", "a"]}), r#"args: ["b","a"] -> ["a","b"]"#),
        (
            json!({"resources": {"requests": {"cpu": "2"}}}),
            json!({"resources": {"requests": {"cpu": "1"}}}),
            r#"resources.requests.cpu: "1" -> "2""#,
        ),
        (
            json!({"ports": [{"containerPort": 80, "name": "web"}]}),
            json!({"ports": [{"containerPort": 81, "protocol": "TCP"}]}),
            r#"ports[containerPort=80,protocol=TCP]: nothing -> {"containerPort":80,"name":"web"}"#,
        ),
        (
            json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}),
            json!({"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]}),
            r#"env: ["B","A"] -> ["A","B"]"#,
        ),
        (
            json!({"securityContext": {"allowPrivilegeEscalation": false}}),
            json!({"securityContext": {}}),
            "securityContext.allowPrivilegeEscalation: nothing -> false",
        ),
        (
            json!({"volumeMounts": [{"mountPath": "/a", "name": "w"}]}),
            json!({"volumeMounts": [{"mountPath": "/a", "name": "c"}]}),
            r#"volumeMounts[mountPath=/a].name: "c" -> "w""#,
        ),
        // Two texts that are the same amount are still two texts where no amount is meant.
        (
            json!({"env": [{"name": "A", "value": "1000m"}]}),
            json!({"env": [{"name": "A", "value": "1"}]}),
            r#"env[name=A].value: "1" -> "1000m""#,
        ),
    ];
    for (desired, live, expected) in table {
        let with_name = |mut value: Value| {
            value["name"] = json!("agent");
            pod_template(value)
        };
        let found = changes(&set, &with_name(desired), &with_name(live));
        assert_eq!(found, [format!("spec.template.spec.containers[name=agent].{expected}")]);
    }
}

#[test]
fn empty_values_that_mean_something_are_compared() {
    let table = [
        ("ConfigMap", json!({"data": {"A": ""}}), json!({"data": {"B": "1"}})),
        ("Service", json!({"metadata": {"labels": {"a": ""}}}), json!({"metadata": {"labels": {"b": ""}}})),
        ("ServiceAccount", json!({"automountServiceAccountToken": false}), json!({})),
        ("PersistentVolumeClaim", json!({"spec": {"storageClassName": ""}}), json!({"spec": {}})),
        (
            "Pod",
            json!({"spec": {"volumes": [{"name": "t", "emptyDir": {}}]}}),
            json!({"spec": {"volumes": [{"name": "t", "hostPath": {"path": "/"}}]}}),
        ),
    ];
    for (kind, desired, live) in table {
        assert_eq!(changes(&key("", kind), &desired, &live).len(), 1, "{kind}");
    }
}

#[test]
fn identity_and_status_are_never_compared() {
    let desired = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "creationTimestamp": null},
        "status": {"x": 1}, "data": {"A": "1"}});
    let live = json!({"metadata": {"name": "a", "uid": "1"}, "data": {"A": "1"}});
    assert!(changes(&key("", "ConfigMap"), &desired, &live).is_empty());
}

#[test]
fn label_names_are_quoted_in_paths() {
    let desired = json!({"metadata": {"labels": {"claude-manager.io/project": "a"}}});
    let found = changes(&key("", "Service"), &desired, &json!({"metadata": {}}));
    assert_eq!(found, [r#"metadata.labels: nothing -> {"claude-manager.io/project":"a"}"#]);
    let found = changes(&key("", "Service"), &desired, &json!({"metadata": {"labels": {"x": "y"}}}));
    assert_eq!(found, [r#"metadata.labels["claude-manager.io/project"]: nothing -> "a""#]);
}

#[test]
fn a_field_that_left_git_is_a_difference_when_our_apply_had_set_it() {
    let live = managed(
        json!({"metadata": {"labels": {"a": "1", "b": "2"}},
            "spec": {"template": {"spec": {"containers": [
                {"name": "agent", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}, {"name": "old"}]}}}}),
        json!([applied_by_us(json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}, "f:gone": {}}},
            "f:spec": {"f:template": {"f:spec": {"f:containers": {
                "k:{\"name\":\"agent\"}": {".": {}, "f:name": {}, "f:env": {
                    "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}},
                    "k:{\"name\":\"B\"}": {".": {}, "f:name": {}, "f:value": {}}}},
                "k:{\"name\":\"old\"}": {".": {}, "f:name": {}}}}}}
        }))]),
    );
    let desired = json!({"metadata": {"labels": {}}, "spec": {"template": {"spec": {"containers": [
        {"name": "agent", "env": [{"name": "B", "value": "2"}]}]}}}});
    let found = changes(&key("apps", "StatefulSet"), &desired, &live);
    assert_eq!(
        found,
        [
            r#"metadata.labels.a: "1" -> nothing"#,
            r#"spec.template.spec.containers[name=agent].env[name=A]: {"name":"A","value":"1"} -> nothing"#,
            r#"spec.template.spec.containers[name=old]: {"name":"old"} -> nothing"#,
        ]
    );
}

#[test]
fn an_addition_inside_one_value_is_a_default_when_ours_and_drift_when_not() {
    let policy = key("networking.k8s.io", "NetworkPolicy");
    let desired = json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{"ports": [{"port": 80}]}]}});
    let mut live = desired.clone();
    live["spec"]["ingress"][0]["ports"][0]["protocol"] = json!("TCP");
    live["spec"]["podSelector"]["matchLabels"]["c"] = json!("d");

    let ours = managed(live.clone(), json!([applied_by_us(json!({"f:spec": {"f:ingress": {}, "f:podSelector": {}}}))]));
    assert!(changes(&policy, &desired, &ours).is_empty());

    let theirs = json!({"manager": "somebody", "operation": "Update", "fieldsV1": {"f:spec": {"f:podSelector": {}}}});
    let drifted = managed(live, json!([applied_by_us(json!({"f:spec": {"f:ingress": {}}})), theirs]));
    let diff = diff(&policy, &desired, &drifted);
    assert_eq!(diff.reason.as_deref(), Some("drift: spec.podSelector (by somebody)"));
}

#[test]
fn the_reason_tells_drift_from_a_change_in_git() {
    let set = key("apps", "StatefulSet");
    let desired = json!({"spec": {"replicas": 0}});
    let live = |managers| managed(json!({"spec": {"replicas": 1}}), managers);
    let table = [
        (json!([applied_by_us(json!({"f:spec": {"f:replicas": {}}}))]), "changed: spec.replicas"),
        (
            json!([applied_by_us(json!({"f:spec": {"f:serviceName": {}}})),
                {"manager": "hpa", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]),
            "drift: spec.replicas (by hpa)",
        ),
        (json!([{"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {}}}]), "changed: spec.replicas"),
    ];
    for (managers, expected) in table {
        let diff = diff(&set, &desired, &live(managers));
        assert_eq!((diff.reason.as_deref(), diff.take_over), (Some(expected), false));
    }
}

#[test]
fn ownership_of_kubectl_is_taken_over_unless_it_is_of_the_status_alone() {
    let config = key("", "ConfigMap");
    let object = json!({"data": {"A": "1"}});
    let ours = applied_by_us(json!({"f:data": {"f:A": {}}}));
    let by = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "fieldsV1": fields});
    let data = json!({"f:data": {"f:A": {}}});
    let table = [
        (json!([by("kubectl", "Apply", data.clone())]), true),
        (json!([ours, by("kubectl-client-side-apply", "Update", data.clone())]), true),
        (json!([ours, by("before-first-apply", "Update", data.clone())]), true),
        (json!([ours, by("kubectl-edit", "Update", json!({"f:status": {"f:x": {}}}))]), false),
        (json!([ours, by("kube-controller-manager", "Update", data)]), false),
        (json!([ours]), false),
    ];
    for (managers, expected) in table {
        let diff = diff(&config, &object, &managed(object.clone(), managers.clone()));
        assert_eq!((diff.take_over, diff.reason.is_some()), (expected, expected), "{managers}");
    }
}

#[test]
fn an_object_that_was_never_applied_by_us_is_applied_even_when_its_values_are_equal() {
    let object = json!({"data": {"A": "1"}});
    let live = managed(object.clone(), json!([{"manager": "helm", "operation": "Update", "fieldsV1": {"f:data": {}}}]));
    let reason = |live: &Value| diff(&key("", "ConfigMap"), &object, live).reason;
    let taken_over = Some("made by another client: it is taken over");
    assert_eq!(reason(&live).as_deref(), taken_over);
    // Entries of controllers may have been left out by whoever observed.
    assert_eq!(reason(&managed(object.clone(), json!([]))).as_deref(), taken_over);
    // A server that keeps no record at all cannot be brought to keep one.
    assert_eq!(reason(&object), None);
}

#[test]
fn values_of_secrets_are_masked_everywhere() {
    let secret = key("", "Secret");
    let encode = |text: &str| STANDARD.encode(text);
    let desired =
        json!({"metadata": {"labels": {"a": "2"}}, "data": {"changed": encode("new"), "added": encode("new")}});
    let live = managed(
        json!({"metadata": {"labels": {"a": "1"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "all of it: old"}},
            "data": {"changed": encode("old"), "removed": encode("old")}}),
        json!([applied_by_us(json!({"f:data": {"f:removed": {}},
            "f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/last-applied-configuration": {}}}}))]),
    );
    assert_eq!(
        changes(&secret, &desired, &live),
        [
            r#"data.added: nothing -> "***""#,
            r#"data.changed: "*** (before)" -> "*** (after)""#,
            r#"metadata.labels.a: "1" -> "2""#,
            r#"data.removed: "***" -> nothing"#,
            r#"metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]: "***" -> nothing"#,
        ]
    );
    let missing = changes(&secret, &desired, &json!({"metadata": {"labels": {"a": "2"}}}));
    assert_eq!(missing, [r#"data: nothing -> {"added":"***","changed":"***"}"#]);
}

#[test]
fn a_secret_is_sent_with_its_texts_encoded_and_compared_by_what_they_encode() {
    let key = key("", "Secret");
    let value = json!({"data": {"a": "b2xk", "folded": "b2\nxk\n"}, "stringData": {"a": "new", "c": ""}});
    let object = Object { key: key.clone(), api_version: "v1".to_owned(), value };
    let sent = as_sent(object.clone()).value;
    assert_eq!(sent, json!({"data": {"a": "bmV3", "folded": "b2\nxk\n", "c": ""}}));
    assert!(changes(&key, &sent, &json!({"data": {"a": "bmV3", "folded": "b2xk", "c": ""}})).is_empty());
    assert_eq!(changes(&key, &sent, &json!({"data": {"a": "bmV3", "folded": "b2xr", "c": ""}})).len(), 1);

    // A value that the server would refuse is left for it to refuse, and not made an empty password.
    let wrong = Object { value: json!({"stringData": {"a": 1}}), ..object };
    assert_eq!(as_sent(wrong.clone()).value, wrong.value);
}

#[test]
fn what_kubectl_added_to_an_object_of_ours_is_drift_that_goes() {
    let service = key("", "Service");
    let desired = json!({"metadata": {"labels": {"a": "1"}}});
    let live = |manager: &str| {
        managed(
            json!({"metadata": {"labels": {"a": "1", "x": "y"}}}),
            json!([applied_by_us(json!({"f:metadata": {"f:labels": {"f:a": {}}}})),
                {"manager": manager, "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}}}]),
        )
    };
    assert_eq!(changes(&service, &desired, &live("kubectl-label")), [r#"metadata.labels.x: "y" -> nothing"#]);
    let reason = diff(&service, &desired, &live("kubectl-label")).reason;
    assert_eq!(reason.as_deref(), Some("drift: metadata.labels.x (by kubectl-label)"));
    // A write of the whole object owns defaults, too; which of its fields come back cannot be told.
    let diff = diff(&service, &desired, &live("kubectl-client-side-apply"));
    assert!(diff.take_over && diff.changes.is_empty());
    // Controllers and mutating webhooks add what is theirs.
    assert!(changes(&service, &desired, &live("some-controller")).is_empty());
}

#[test]
fn what_a_real_api_server_stored_is_no_difference_and_every_edit_of_it_is() {
    let live: Vec<Value> = serde_json::from_str(include_str!("stored/stored.json")).unwrap();
    let mut compared = 0;
    for document in serde_yaml::Deserializer::from_str(include_str!("stored/sent.yaml")) {
        let sent = <Value as serde::Deserialize>::deserialize(document).unwrap();
        let (kind, api_version) = (sent["kind"].as_str().unwrap(), sent["apiVersion"].as_str().unwrap());
        let key = key(api_version.split_once('/').map_or("", |(group, _)| group), kind);
        let live = live.iter().find(|live| live["kind"] == kind).unwrap();
        let diff = diff(&key, &sent, live);
        assert_eq!((diff.changes, diff.reason), (Vec::new(), None), "{kind}");
        compared += 1;

        // The same the other way round: a value that is written differently here is seen.
        for pointer in ["/spec/template/spec/containers/0/resources/limits/memory", "/spec/ports/0/port", "/data/x"] {
            let mut edited = live.clone();
            if let (Some(value), true) = (edited.pointer_mut(pointer), sent.pointer(pointer).is_some()) {
                *value = json!("7");
                assert!(!changes(&key, &sent, &edited).is_empty(), "{kind} {pointer}");
            }
        }
    }
    assert_eq!(compared, live.len());
}

#[test]
fn ports_of_a_service_are_told_apart_by_number_and_protocol() {
    let service = key("", "Service");
    let desired =
        json!({"spec": {"ports": [{"port": 53, "protocol": "UDP", "name": "dns"}, {"port": 53, "name": "tcp"}]}});
    let live = json!({"spec": {"ports": [{"port": 9, "protocol": "TCP"}, {"port": 53, "protocol": "UDP", "name": "dns"},
        {"port": 53, "protocol": "TCP", "name": "web", "targetPort": 53}]}});
    assert_eq!(changes(&service, &desired, &live), [r#"spec.ports[port=53,protocol=TCP].name: "web" -> "tcp""#]);
}

#[test]
fn what_an_earlier_version_or_another_unit_applied_is_taken_over() {
    let shop = Unit::Project(crate::project::ProjectName::parse("shop").unwrap());
    let entry = |manager: &str, field: &str| json!({"manager": manager, "operation": "Apply", "fieldsV1": {"f:data": {format!("f:{field}"): {}}}});
    let of = |managers: Value, live: Value| {
        let live = managed(live, managers);
        let drift = Drift::default();
        super::diff(&key("", "ConfigMap"), &json!({"data": {"a": "1"}}), &live, &Rules::of(&shop, &drift, true))
    };
    let same = json!({"data": {"a": "1"}});
    let ours = of(json!([entry("claude-manager/shop", "a")]), same.clone());
    assert_eq!((ours.reason, ours.take_over), (None, false));
    for former in ["claude-manager", "claude-manager/other"] {
        let taken = of(json!([entry(former, "a")]), same.clone());
        let reason = format!("applied by {former}: its field ownership is taken over");
        assert_eq!((taken.reason, taken.take_over), (Some(reason), true));
        // What only it had applied goes, and is nobody's drift.
        let both = json!([entry("claude-manager/shop", "a"), entry(former, "b")]);
        let more = of(both, json!({"data": {"a": "1", "b": "2"}}));
        assert_eq!((more.changes.len(), more.left.len(), more.take_over), (1, 0, true));
    }
    // A name that only begins like ours is somebody else's.
    assert!(!of(json!([entry("claude-manager-plugin", "a")]), same).take_over);
}
