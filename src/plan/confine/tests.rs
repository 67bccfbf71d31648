use std::collections::BTreeSet;

use serde_json::json;

use super::super::check;
use super::super::policy::Policy;
use super::*;
use crate::project::{ObjectKey, Unit};

fn name(text: &str) -> ProjectName {
    ProjectName::parse(text).unwrap()
}

fn object(group: &str, kind: &str, name: &str, mut value: Value) -> Object {
    value["metadata"]["labels"] = json!({PROJECT_LABEL: "shop"});
    let key = ObjectKey::new(group, kind, Some("team"), name);
    Object { key, api_version: "v1".to_owned(), value }
}

/// An environment whose pod's spec is changed by `change`.
fn environment(change: impl FnOnce(&mut Value)) -> Object {
    let labels = json!({PROJECT_LABEL: "shop"});
    let mut set = json!({"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "agent", "image": "registry.example/dev:1", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    }}}});
    change(&mut set["spec"]["template"]);
    object("apps", "StatefulSet", "shop-env", set)
}

fn problems_under(policy: &str, objects: &[Object]) -> Vec<String> {
    let policy = Policy::parse(format!("schemaVersion: 1\n{policy}").as_bytes()).unwrap();
    let projects = BTreeSet::from([name("shop"), name("shop-two")]);
    let context = Context { namespace: "team", policy: &policy, projects: &projects };
    check(&Unit::Project(name("shop")), objects, &context).iter().map(ToString::to_string).collect()
}

fn problems(object: Object) -> Vec<String> {
    problems_under("", &[object])
}

#[track_caller]
fn refused(object: Object, words: &str) {
    let found = problems(object);
    assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:#?}");
}

#[test]
fn an_environment_of_the_template_is_confined_at_the_strictest_level() {
    let found =
        problems_under("policy: {podSecurity: restricted, registries: [registry.example/]}\n", &[environment(|_| {})]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_reaches_the_node_is_refused() {
    type Change = fn(&mut Value);
    let table: [(Change, &str); 17] = [
        (|pod| pod["spec"]["hostNetwork"] = json!(true), "hostNetwork"),
        (|pod| pod["spec"]["hostPID"] = json!(true), "hostPID"),
        (|pod| pod["spec"]["hostIPC"] = json!(true), "hostIPC"),
        (|pod| pod["spec"]["volumes"] = json!([{"name": "v", "hostPath": {"path": "/"}}]), "hostPath"),
        (|pod| pod["spec"]["containers"][0]["securityContext"]["privileged"] = json!(true), "is privileged"),
        (
            |pod| pod["spec"]["initContainers"] = json!([{"name": "i", "securityContext": {"privileged": true}}]),
            "container i is privileged",
        ),
        (
            |pod| pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["SYS_ADMIN"]),
            "SYS_ADMIN",
        ),
        (|pod| pod["spec"]["containers"][0]["securityContext"]["procMount"] = json!("Unmasked"), "/proc"),
        (
            |pod| pod["spec"]["containers"][0]["securityContext"]["seccompProfile"] = json!({"type": "Unconfined"}),
            "seccomp",
        ),
        (|pod| pod["spec"]["securityContext"]["appArmorProfile"] = json!({"type": "Unconfined"}), "AppArmor"),
        (|pod| pod["spec"]["securityContext"]["seLinuxOptions"] = json!({"type": "spc_t"}), "SELinux"),
        (
            |pod| pod["spec"]["securityContext"]["sysctls"] = json!([{"name": "kernel.msgmax", "value": "1"}]),
            "kernel.msgmax",
        ),
        (|pod| pod["spec"]["securityContext"]["windowsOptions"] = json!({"hostProcess": true}), "hostProcess"),
        (|pod| pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 1, "hostPort": 80}]), "hostPort"),
        (
            |pod| pod["spec"]["containers"][0]["livenessProbe"] = json!({"httpGet": {"host": "10.0.0.1", "port": 1}}),
            "another host",
        ),
        (|pod| pod["spec"]["nodeName"] = json!("node-1"), "nodeName"),
        (|pod| pod["spec"]["priorityClassName"] = json!("system-node-critical"), "priority class"),
    ];
    for (change, words) in table {
        refused(environment(change), words);
    }
    // An administrator's word for one project, and for no other.
    let privileged = environment(|pod| pod["spec"]["containers"][0]["securityContext"]["privileged"] = json!(true));
    let policy = |project: &str| format!("policy: {{projects: {{{project}: {{podSecurity: privileged}}}}}}\n");
    assert!(problems_under(&policy("shop"), std::slice::from_ref(&privileged)).is_empty());
    assert_eq!(problems_under(&policy("shop-two"), &[privileged]).len(), 1);
}

#[test]
fn the_restricted_level_asks_for_hardened_pods() {
    let bare = environment(|pod| pod["spec"] = json!({"containers": [{"name": "agent", "image": "x"}]}));
    assert!(problems_under("", std::slice::from_ref(&bare)).is_empty(), "baseline asks for nothing");
    let found = problems_under("policy: {podSecurity: restricted}\n", &[bare]).join("\n");
    for words in ["allowPrivilegeEscalation", "runAsNonRoot", "seccomp", "drop ALL"] {
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn images_come_from_the_registries_that_the_policy_names() {
    let from = |image: &str| {
        let image = json!(image);
        problems_under(
            "policy: {registries: [registry.example]}\n",
            &[environment(|pod| pod["spec"]["containers"][0]["image"] = image)],
        )
    };
    assert!(from("registry.example/dev:1").is_empty());
    assert_eq!(from("registry.example.attacker.example/dev:1").len(), 1);
    assert_eq!(from("dev:1").len(), 1);
}

#[test]
fn references_stay_within_the_project() {
    let with = |volume: Value| environment(|pod| pod["spec"]["volumes"] = json!([volume]));
    for volume in [
        json!({"name": "v", "secret": {"secretName": "shop-secrets"}}),
        json!({"name": "v", "secret": {"secretName": "claude-defaults"}}),
        json!({"name": "v", "configMap": {"name": "claude-manager-agent-keys"}}),
        json!({"name": "v", "persistentVolumeClaim": {"claimName": "shop-workspace"}}),
    ] {
        let found = problems(with(volume.clone()));
        assert!(found.is_empty(), "{volume}: {found:?}");
    }
    for (volume, words) in [
        (json!({"name": "v", "secret": {"secretName": "claude-manager-secrets"}}), "Secret claude-manager-secrets"),
        (json!({"name": "v", "secret": {"secretName": "other-secrets"}}), "Secret other-secrets"),
        // Begins with its name, and is another project's all the same.
        (json!({"name": "v", "secret": {"secretName": "shop-two-secrets"}}), "Secret shop-two-secrets"),
        (json!({"name": "v", "projected": {"sources": [{"secret": {"name": "other"}}]}}), "Secret other"),
        (json!({"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "other"}}}), "Secret other"),
        (json!({"name": "v", "configMap": {"name": "other"}}), "ConfigMap other"),
        (
            json!({"name": "v", "persistentVolumeClaim": {"claimName": "other-workspace"}}),
            "PersistentVolumeClaim other-workspace",
        ),
    ] {
        refused(with(volume), words);
    }
    let env = |from: Value| {
        environment(|pod| pod["spec"]["containers"][0]["env"] = json!([{"name": "A", "valueFrom": from}]))
    };
    refused(env(json!({"secretKeyRef": {"name": "other", "key": "k"}})), "Secret other");
    refused(
        environment(|pod| pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "x"}}])),
        "ConfigMap x",
    );
    refused(
        environment(|pod| pod["spec"]["serviceAccountName"] = json!("claude-manager")),
        "ServiceAccount claude-manager",
    );
    let pull = || environment(|pod| pod["spec"]["imagePullSecrets"] = json!([{"name": "regcred"}]));
    refused(pull(), "Secret regcred");
    assert!(problems_under("policy: {shared: {secrets: [regcred]}}\n", &[pull()]).is_empty());

    let claim = json!({"spec": {"dataSource": {"kind": "PersistentVolumeClaim", "name": "other-workspace"}}});
    refused(object("", "PersistentVolumeClaim", "shop-workspace", claim), "other-workspace");
    let ingress = json!({"spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": "claude-manager-service"}}}]}}]}});
    refused(object("networking.k8s.io", "Ingress", "shop-web", ingress), "Service claude-manager-service");
}

#[test]
fn kinds_names_and_selectors_stay_within_the_project() {
    refused(object("apps", "DaemonSet", "shop-all", json!({})), "DaemonSet.apps");
    refused(object("example.org", "Widget", "shop-w", json!({})), "Widget.example.org");
    refused(object("", "ConfigMap", "claude-manager-agent-keys", json!({})), "kept for the manager");
    refused(
        object("", "Secret", "shop-token", json!({"type": "kubernetes.io/service-account-token"})),
        "credentials for the cluster",
    );
    refused(object("", "Service", "shop-x", json!({"spec": {"selector": {"app": "claude-manager"}}})), "all pods");
    refused(
        object("", "Service", "shop-x", json!({"spec": {"selector": {PROJECT_LABEL: "other"}}})),
        "the pods of other",
    );
    refused(object("", "Service", "shop-x", json!({"spec": {"externalIPs": ["10.0.0.1"]}})), "externalIPs");
    refused(
        object("", "Service", "shop-x", json!({"spec": {"type": "ExternalName", "externalName": "x"}})),
        "ExternalName",
    );
    refused(object("networking.k8s.io", "NetworkPolicy", "shop-x", json!({"spec": {"podSelector": {}}})), "all pods");
    refused(
        environment(|pod| pod["metadata"]["labels"]["app"] = json!("claude-manager")),
        "the manager's own are found",
    );
    let found = problems(environment(|pod| pod["metadata"]["labels"] = json!({})));
    assert!(found.len() == 1 && found[0].contains("no network policy"), "{found:?}");
}

/// An environment whose agent has these fields.
fn container(fields: Value) -> Object {
    environment(|pod| {
        let agent = pod["spec"]["containers"][0].as_object_mut().unwrap();
        agent.extend(fields.as_object().unwrap().clone());
    })
}

#[test]
fn variables_that_act_before_a_program_are_refused_and_others_are_not() {
    for variable in [
        "LD_PRELOAD",
        "LD_AUDIT",
        "LD_LIBRARY_PATH",
        "LD_OF_A_LATER_VERSION",
        "DYLD_INSERT_LIBRARIES",
        "GLIBC_TUNABLES",
        "GCONV_PATH",
        "LOCPATH",
        "HOSTALIASES",
    ] {
        let found = problems(container(json!({"env": [{"name": variable, "value": "/workspace/x"}]})));
        let expected = format!("StatefulSet.apps team/shop-env: container agent sets the variable {variable}, which");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{variable}: {found:#?}");
        assert!(found[0].contains("policy.loaderVariables in claude-manager.yaml"), "{found:#?}");
    }
    let from = json!({"fieldRef": {"fieldPath": "metadata.annotations['x']"}});
    refused(container(json!({"env": [{"name": "LD_PRELOAD", "valueFrom": from}]})), "sets the variable LD_PRELOAD");
    let aside = json!([{"name": "prepare", "env": [{"name": "LD_PRELOAD", "value": "x"}]}]);
    refused(environment(|pod| pod["spec"]["initContainers"] = aside), "container prepare sets the variable LD_PRELOAD");

    let common = ["PATH", "TMPDIR", "TZ", "NODE_OPTIONS", "MALLOC_ARENA_MAX", "LDAP_HOST", "ld_preload", "OLD_PATH"];
    let common = common.map(|name| json!({"name": name, "value": "x"}));
    let found = problems(container(json!({"env": common})));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn variables_that_come_by_env_from_are_refused_too() {
    let under = |prefix: &str, kind: &str, field: &str, keys: Value| {
        let source = if kind == "Secret" { "secretRef" } else { "configMapRef" };
        let set = container(json!({"envFrom": [{"prefix": prefix, source: {"name": "shop-env"}}]}));
        problems_under("", &[object("", kind, "shop-env", json!({field: keys})), set])
            .into_iter()
            .filter(|problem| problem.starts_with("StatefulSet"))
            .collect::<Vec<_>>()
    };
    for (prefix, kind, field, key, told) in [
        ("", "ConfigMap", "data", "LD_PRELOAD", "takes the variable LD_PRELOAD from ConfigMap shop-env (envFrom)"),
        ("L", "ConfigMap", "data", "D_AUDIT", "takes the variable LD_AUDIT from ConfigMap shop-env"),
        ("GCONV_", "ConfigMap", "binaryData", "PATH", "takes the variable GCONV_PATH from ConfigMap shop-env"),
        ("", "Secret", "data", "GLIBC_TUNABLES", "takes the variable GLIBC_TUNABLES from Secret shop-env"),
        ("", "Secret", "stringData", "LD_PRELOAD", "takes the variable LD_PRELOAD from Secret shop-env"),
    ] {
        let found = under(prefix, kind, field, json!({"A": "1", key: "eA=="}));
        assert!(found.len() == 1 && found[0].contains(told), "{told}: {found:#?}");
    }
    let found = under("LD_", "ConfigMap", "data", json!({}));
    assert!(found.len() == 1 && found[0].contains("variables that begin with LD_ from ConfigMap"), "{found:#?}");
    assert!(under("APP_", "ConfigMap", "data", json!({"LD_PRELOAD": "only APP_LD_PRELOAD"})).is_empty());
}

#[test]
fn only_a_list_of_names_in_the_policy_allows_such_a_variable() {
    let set = || container(json!({"env": [{"name": "LD_LIBRARY_PATH", "value": "/usr/local/cuda/lib64"}]}));
    assert_eq!(problems_under("policy: {podSecurity: privileged}\n", &[set()]).len(), 1, "that is about nodes");
    assert!(problems_under("policy: {loaderVariables: [LD_LIBRARY_PATH]}\n", &[set()]).is_empty());
    assert_eq!(problems_under("policy: {loaderVariables: [LD_PRELOAD]}\n", &[set()]).len(), 1);
    let exception =
        |project: &str| format!("policy: {{projects: {{{project}: {{loaderVariables: [LD_LIBRARY_PATH]}}}}}}\n");
    assert!(problems_under(&exception("shop"), &[set()]).is_empty());
    assert_eq!(problems_under(&exception("shop-two"), &[set()]).len(), 1);
}
