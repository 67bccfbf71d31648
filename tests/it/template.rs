//! The environment base and the state repository's template, as stock kustomize builds them.
//!
//! Each test holds one measured reason for a shape of the base; `live` shows the same tree on a real API server, and
//! `scripts` runs what the containers run.

mod live;
mod scripts;
mod tree;

use std::process::Command;

use serde_json::Value;

use self::tree::{
    array, edit, engine, objects, of_kind, only, overlay, readme_example, state_repository, stock, three_projects,
};
use crate::control_plane::{binaries, skipped, text_of};

const PROJECT: &str = "claude-manager.io/project";

#[test]
fn the_oldest_and_the_newest_kustomize_give_the_same_bytes() {
    let tree = three_projects();
    let empty = state_repository("claude-manager", &[]);
    let Ok(binaries) = binaries() else { return skipped("no kustomize to compare") };
    let oldest = binaries.join("kustomize-5.5");
    if !oldest.exists() {
        return skipped("these test assets have no kustomize 5.5");
    }

    for (tree, directory) in
        [(&tree, "."), (&tree, "projects/checkout"), (&tree, "projects/lab"), (&tree, "base"), (&empty, ".")]
    {
        let old = text_of(Command::new(&oldest).arg("build").arg(tree.path().join(directory)).output().unwrap());
        let new = stock(tree.path(), directory).unwrap();
        assert_eq!(old, new, "{directory}");
        let objects = old.matches("\nkind: ").count();
        assert!(if tree.path() == empty.path() { objects == 1 } else { objects > 1 }, "{old}");
    }
}

#[test]
fn the_engine_gives_the_bytes_of_stock_kustomize() {
    let tree = three_projects();
    for directory in [".", "projects/checkout", "projects/lab", "projects/search", "base"] {
        let Some(stock) = stock(tree.path(), directory) else { return };
        assert_eq!(kustomize::to_yaml(&engine(tree.path(), directory).objects), stock, "{directory}");
    }
}

#[test]
fn a_project_is_seven_objects_named_after_it() {
    let tree = three_projects();
    let objects = objects(tree.path(), "projects/checkout");

    let mut names: Vec<_> = objects
        .iter()
        .map(|object| format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap()))
        .collect();
    names.sort();

    let settings = names.remove(0);
    let hash = settings.strip_prefix("ConfigMap checkout-env-").unwrap();
    assert_eq!(hash.len(), 10, "a content hash ends the name: {settings}");
    assert_eq!(
        names,
        [
            "NetworkPolicy checkout-env",
            "PersistentVolumeClaim checkout-config",
            "PersistentVolumeClaim checkout-workspace",
            "Service checkout-env",
            "ServiceAccount checkout-env",
            "StatefulSet checkout-env",
        ]
    );
    let set = only(&objects, "StatefulSet");
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(set["spec"]["serviceName"], "checkout-env");
    assert_eq!(pod["serviceAccountName"], "checkout-env");
    for container in array(&pod["containers"]) {
        assert_eq!(container["envFrom"][0]["configMapRef"]["name"], format!("checkout-env-{hash}"));
    }
}

#[test]
fn the_root_gives_the_union_of_its_projects_in_its_namespace_and_no_namespace_object() {
    let tree = three_projects();
    let all = objects(tree.path(), ".");

    let mut united = vec![agent_keys()];
    for project in ["checkout", "lab", "search"] {
        united.extend(objects(tree.path(), &format!("projects/{project}")));
    }
    for object in &mut united {
        assert!(object["metadata"].get("namespace").is_none(), "only the root's namespace counts");
        object["metadata"]["namespace"] = "claude-manager".into();
    }
    let sorted = |mut objects: Vec<Value>| {
        objects.sort_by_key(ToString::to_string);
        objects
    };
    assert_eq!(of_kind(&all, "Namespace").len(), 0);
    assert_eq!(sorted(all), sorted(united));
}

/// The one object that belongs to no project.
fn agent_keys() -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "claude-manager-agent-keys", "labels": {"claude-manager.io/scope": "base"}},
    })
}

#[test]
fn the_managers_keys_reach_every_pod_under_one_name() {
    let tree = three_projects();
    for directory in [".", "projects/checkout"] {
        for set in of_kind(&objects(tree.path(), directory), "StatefulSet") {
            let volumes = array(&set["spec"]["template"]["spec"]["volumes"]);
            let keys = volumes.iter().find(|volume| volume["name"] == "agent-keys").unwrap();
            // No prefix and no hash: one ConfigMap for all, whose change restarts nobody.
            let wanted = serde_json::json!({"name": "claude-manager-agent-keys", "optional": true});
            assert_eq!(keys["configMap"], wanted);
        }
    }
}

#[test]
fn the_agent_is_copied_in_and_told_its_project_by_the_label() {
    let tree = three_projects();
    for project in ["checkout", "lab"] {
        let objects = objects(tree.path(), &format!("projects/{project}"));
        let pod = &only(&objects, "StatefulSet")["spec"]["template"]["spec"];
        let install = &array(&pod["initContainers"])[0];
        assert_eq!((&install["name"], &install["image"]), (&"install-agent".into(), &"claude-manager".into()));
        assert_eq!(
            install["command"],
            serde_json::json!(["claude-manager", "agent", "install", "/opt/claude-manager"])
        );
        let agent = &pod["containers"][0];
        assert_eq!(agent["command"], serde_json::json!(["/opt/claude-manager/claude-manager", "agent"]));
        let field = &agent["env"][0]["valueFrom"]["fieldRef"]["fieldPath"];
        assert_eq!(field, "metadata.labels['claude-manager.io/project']");
        for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/livez"), ("startupProbe", "/livez")] {
            assert_eq!(agent[probe]["httpGet"], serde_json::json!({"path": path, "port": "agent"}));
        }
        for container in array(&pod["containers"]) {
            let mounts = array(&container["volumeMounts"]);
            let program = mounts.iter().find(|mount| mount["mountPath"] == "/opt/claude-manager").unwrap();
            assert_eq!(program["readOnly"], true, "nobody replaces the program that Git asks for the token");
        }
        let ports = array(&only(&objects, "Service")["spec"]["ports"]).to_vec();
        assert!(ports.iter().any(|port| port["name"] == "agent" && port["port"] == 7780), "{ports:?}");
    }
}

#[test]
fn the_project_label_is_on_every_object_and_is_the_one_selector() {
    let tree = three_projects();
    let all = objects(tree.path(), ".");

    for object in &all {
        let name = object["metadata"]["name"].as_str().unwrap();
        if object["metadata"]["labels"]["claude-manager.io/scope"] == "base" {
            assert!(object["metadata"]["labels"].get(PROJECT).is_none(), "{name} is for all");
            continue;
        }
        let project = object["metadata"]["labels"][PROJECT].as_str().unwrap();
        assert!(name.starts_with(&format!("{project}-")), "{name} belongs to {project}");
        let wanted = serde_json::json!({ PROJECT: project });
        match object["kind"].as_str().unwrap() {
            "StatefulSet" => {
                assert_eq!(object["spec"]["selector"], serde_json::json!({"matchLabels": wanted}));
                assert_eq!(object["spec"]["template"]["metadata"]["labels"][PROJECT], project);
            }
            "Service" => assert_eq!(object["spec"]["selector"], wanted),
            "NetworkPolicy" => {
                assert_eq!(object["spec"]["podSelector"], serde_json::json!({"matchLabels": wanted}));
            }
            _ => {}
        }
    }
}

#[test]
fn the_network_admits_the_manager_and_no_project() {
    let tree = three_projects();
    let objects = objects(tree.path(), "projects/checkout");
    let policy = &only(&objects, "NetworkPolicy")["spec"];

    // The label transformer would write the project into a peer's matchLabels, and then nobody could come in.
    let manager = serde_json::json!([{"from": [{"podSelector": {"matchExpressions": [
        {"key": "app.kubernetes.io/name", "operator": "In", "values": ["claude-manager"]}
    ]}}]}]);
    assert_eq!(policy["ingress"], manager);
    assert_eq!(policy["policyTypes"], serde_json::json!(["Ingress", "Egress"]));
    // Environments must not pass for the manager.
    let labels = &only(&objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"];
    assert_ne!(labels["app.kubernetes.io/name"], "claude-manager");
    assert!(policy["egress"].to_string().contains("169.254.0.0/16"), "machine credentials stay out of reach");
}

#[test]
fn volumes_are_plain_claims_and_the_overlay_sizes_them() {
    let tree = three_projects();
    let objects = objects(tree.path(), "projects/checkout");
    let set = only(&objects, "StatefulSet");

    // Templates of claims cannot grow, and label transformers of 5.5 and 5.8 differ on them.
    assert!(set["spec"].get("volumeClaimTemplates").is_none());
    let claims: Vec<_> = array(&set["spec"]["template"]["spec"]["volumes"])
        .iter()
        .filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
        .collect();
    assert_eq!(claims, ["checkout-workspace", "checkout-config"]);
    let sizes: Vec<_> = of_kind(&objects, "PersistentVolumeClaim")
        .iter()
        .map(|claim| {
            assert!(claim["spec"].get("storageClassName").is_none(), "the cluster's default class");
            (claim["metadata"]["name"].as_str().unwrap(), claim["spec"]["resources"]["requests"]["storage"].clone())
        })
        .collect();
    assert_eq!(sizes, [("checkout-config", "5Gi".into()), ("checkout-workspace", "40Gi".into())]);
}

#[test]
fn secrets_are_optional_directories_and_never_variables() {
    let tree = three_projects();
    for project in ["checkout", "lab"] {
        let objects = objects(tree.path(), &format!("projects/{project}"));
        let pod = &only(&objects, "StatefulSet")["spec"]["template"]["spec"];

        let mut secrets: Vec<_> = array(&pod["volumes"])
            .iter()
            .filter_map(|volume| volume.get("secret"))
            .map(|secret| {
                assert_eq!(secret["optional"], true, "a pod starts without it");
                secret["secretName"].as_str().unwrap()
            })
            .collect();
        secrets.sort_unstable();
        let mut wanted = ["claude-defaults".to_owned(), format!("{project}-secrets")];
        wanted.sort_unstable();
        assert_eq!(secrets, wanted);

        for container in array(&pod["containers"]) {
            let text = container.to_string();
            assert!(!text.contains("secretKeyRef") && !text.contains("secretRef"), "variables are not renewed");
            assert!(!text.contains("subPath"), "single files are not renewed");
        }
    }
}

#[test]
fn an_environment_has_no_token_no_rights_and_bounded_resources() {
    let tree = three_projects();
    let objects = objects(tree.path(), "projects/checkout");
    let set = only(&objects, "StatefulSet");
    let pod = &set["spec"]["template"]["spec"];

    assert_eq!(only(&objects, "ServiceAccount")["automountServiceAccountToken"], false);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let names: Vec<_> = array(&pod["containers"]).iter().map(|container| container["name"].clone()).collect();
    assert_eq!(names, ["agent", "ide"]);
    for container in array(&pod["containers"]) {
        assert_eq!(container["image"], "registry.example/claude-dev-env:1.2");
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert!(container.get("readinessProbe").is_some());
        for bound in ["requests", "limits"] {
            for resource in ["cpu", "memory"] {
                assert!(container["resources"][bound][resource].is_string(), "{resource} {bound}");
            }
        }
    }
    assert_eq!(pod["containers"][0]["resources"]["limits"]["memory"], "2Gi");
    assert_eq!(set["spec"]["podManagementPolicy"], "Parallel");
}

#[test]
fn start_stop_and_descriptions_leave_the_pod_template_alone_but_settings_do_not() {
    let tree = three_projects();
    let before = objects(tree.path(), "projects/checkout");
    let file = "projects/checkout/kustomization.yaml";
    let set = |objects: &[Value]| only(objects, "StatefulSet").clone();

    edit(tree.path(), file, "count: 1", "count: 0");
    edit(tree.path(), file, "The checkout", "The checkout of the shop");
    let stopped = objects(tree.path(), "projects/checkout");
    assert_eq!(set(&stopped)["spec"]["replicas"], 0);
    assert_eq!(set(&stopped)["metadata"]["annotations"]["claude-manager.io/display-name"], "The checkout of the shop");
    assert_eq!(set(&stopped)["spec"]["template"], set(&before)["spec"]["template"]);
    let of_the_pod = set(&before)["spec"]["template"]["metadata"]["annotations"].to_string();
    assert!(!of_the_pod.contains("claude-manager.io/"), "{of_the_pod}");

    edit(tree.path(), file, "GIT_BRANCH=main", "GIT_BRANCH=next");
    let changed = objects(tree.path(), "projects/checkout");
    let settings = |objects: &[Value]| only(objects, "ConfigMap")["metadata"]["name"].clone();
    assert_ne!(settings(&changed), settings(&stopped));
    assert_ne!(set(&changed)["spec"]["template"], set(&stopped)["spec"]["template"]);
}

#[test]
fn components_change_only_what_they_say() {
    let tree = three_projects();
    let lab = objects(tree.path(), "projects/lab");
    let pod = &only(&lab, "StatefulSet")["spec"]["template"]["spec"];

    assert_eq!(array(&pod["containers"]).len(), 1, "without-ide");
    let ports: Vec<_> =
        array(&only(&lab, "Service")["spec"]["ports"]).iter().map(|port| port["name"].clone()).collect();
    assert_eq!(ports, ["agent"], "without-ide takes the IDE's port and no other");
    let rights = &pod["containers"][0]["securityContext"];
    assert_eq!(rights["allowPrivilegeEscalation"], true, "sudo");
    assert_eq!(rights["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "it is still an ordinary user that calls sudo");
}

#[test]
fn the_example_in_the_readme_is_a_whole_project() {
    let example = readme_example(0);
    let tree = state_repository("claude-manager", &[("checkout", example)]);
    let by_hand = objects(tree.path(), ".");
    let tree = state_repository("claude-manager", &[("checkout", &overlay("checkout"))]);
    let by_api = objects(tree.path(), ".");

    let shape = |objects: &[Value]| -> Vec<(Value, Value, Value)> {
        let of = |object: &Value| {
            let name = object["metadata"]["name"].as_str().unwrap();
            // The settings differ, and with them the hash in their name.
            let name = if object["kind"] == "ConfigMap" { name.rsplit_once('-').unwrap().0 } else { name };
            (object["kind"].clone(), name.into(), object["metadata"]["labels"].clone())
        };
        objects.iter().map(of).collect()
    };
    assert_eq!(shape(&by_hand), shape(&by_api));
    let secrets = |objects: &[Value]| {
        let volumes = array(&only(objects, "StatefulSet")["spec"]["template"]["spec"]["volumes"]).to_vec();
        volumes.into_iter().filter(|volume| volume.get("secret").is_some()).collect::<Vec<_>>()
    };
    assert_eq!(secrets(&by_hand), secrets(&by_api));
}
