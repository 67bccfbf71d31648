//! The environment base and the state repository's template, as stock kustomize builds them.
//!
//! Each test holds one measured reason for a shape of the base; `live` shows the same tree on a real API server, and
//! `scripts` runs what the containers run.

mod live;
mod scripts;

use std::fs;
use std::path::Path;
use std::process::Command;

use claude_manager::kustomize::{self, Build};
use claude_manager::project::{MemoryFiles, RepoPath};
use serde_json::Value;
use tempfile::TempDir;

use crate::control_plane::{binaries, skipped, text_of};

/// An overlay with every field that a project made through the API can have.
fn overlay(name: &str) -> String {
    OVERLAY.replace("NAME", name)
}

const OVERLAY: &str = r#"# Project NAME. Edit here or through Claude Manager: comments and layout are kept.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- ../../base
namePrefix: NAME-
labels:
- includeSelectors: true
  pairs:
    claude-manager.io/project: NAME
images:
- name: claude-dev-env
  newName: registry.example/claude-dev-env
  newTag: "1.2"
replicas:
- name: env
  count: 1
configMapGenerator:
- name: env
  behavior: merge
  literals:
  - GIT_REPOSITORY=https://git.example/team/NAME.git
  - GIT_BRANCH=main
patches:
- target:
    kind: StatefulSet
    name: env
  patch: |-
    apiVersion: apps/v1
    kind: StatefulSet
    metadata:
      name: env
      annotations:
        claude-manager.io/display-name: The NAME
        claude-manager.io/created-at: "2026-11-24T03:00:00Z"
        claude-manager.io/jira-issue: ABC-1
    spec:
      template:
        spec:
          containers:
          - name: agent
            resources:
              requests:
                cpu: "1"
                memory: 2Gi
              limits:
                cpu: "1"
                memory: 2Gi
          volumes:
          - name: project-secrets
            secret:
              secretName: NAME-secrets
- target:
    kind: PersistentVolumeClaim
    name: workspace
  patch: |-
    apiVersion: v1
    kind: PersistentVolumeClaim
    metadata:
      name: workspace
    spec:
      resources:
        requests:
          storage: 40Gi
"#;

/// A project that somebody wrote by hand: other order, JSON patches, a patch in a file of its own, a component.
const BY_HAND: &str = r#"apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: lab-
labels:
  - pairs: {claude-manager.io/project: lab}
    includeSelectors: true
resources: [../../base]
components:
  - ../../components/sudo
  - ../../components/without-ide
replicas: [{name: env, count: 0}]
patches:
  - path: secrets-reference.yaml
  - target: {kind: PersistentVolumeClaim}
    patch: |
      - op: add
        path: /spec/storageClassName
        value: fast-ssd
"#;

const BY_HAND_PATCH: &str = "apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: env
spec:
  template:
    spec:
      volumes:
        - {name: project-secrets, secret: {secretName: lab-secrets}}
";

/// A state repository made from the template, with these projects.
fn state_repository(namespace: &str, projects: &[(&str, &str)]) -> TempDir {
    let tree = TempDir::new().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&source.join("state-repo-template"), tree.path());
    copy(&source.join("kustomize/base"), &tree.path().join("base"));
    copy(&source.join("kustomize/components"), &tree.path().join("components"));
    let mut lines = String::new();
    for (name, overlay) in projects {
        let directory = tree.path().join("projects").join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("kustomization.yaml"), overlay).unwrap();
        lines += &format!("\n- projects/{name}");
    }
    edit(tree.path(), "kustomization.yaml", "namespace: claude-manager", &format!("namespace: {namespace}"));
    if !projects.is_empty() {
        edit(tree.path(), "kustomization.yaml", "resources: []", &format!("resources:{lines}"));
    }
    tree
}

/// Two projects as the API writes them, and one by hand.
fn three_projects() -> TempDir {
    let tree = state_repository(
        "claude-manager",
        &[("checkout", &overlay("checkout")), ("lab", BY_HAND), ("search", &overlay("search"))],
    );
    fs::write(tree.path().join("projects/lab/secrets-reference.yaml"), BY_HAND_PATCH).unwrap();
    tree
}

/// Replaces one text in one file, which must have it.
fn edit(tree: &Path, file: &str, old: &str, new: &str) {
    let path = tree.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{file} has no {old:?}");
    fs::write(path, text.replace(old, new)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A YAML block of the template's README.
fn readme_example(number: usize) -> &'static str {
    let readme = include_str!("../../state-repo-template/README.md");
    readme.split("```yaml\n").nth(number + 1).and_then(|rest| rest.split("```").next()).unwrap()
}

/// What `kubectl kustomize` prints for a directory of the tree; `None` where there is no kubectl.
fn stock(tree: &Path, directory: &str) -> Option<String> {
    match binaries() {
        Ok(binaries) => {
            let output = Command::new(binaries.join("kubectl")).arg("kustomize").arg(tree.join(directory)).output();
            Some(text_of(output.unwrap()))
        }
        Err(reason) => {
            skipped(reason);
            None
        }
    }
}

/// What our own engine makes of a directory of the tree. [`the_engine_gives_the_bytes_of_stock_kustomize`] holds it to
/// stock kustomize, so that the other tests need nothing else on the machine.
fn objects(tree: &Path, directory: &str) -> Vec<Value> {
    engine(tree, directory).objects.into_iter().map(|object| object.value).collect()
}

fn engine(tree: &Path, directory: &str) -> Build {
    let mut files = MemoryFiles::default();
    read(tree, &RepoPath::root(), &mut files);
    let directory = if directory == "." { RepoPath::root() } else { RepoPath::parse(directory).unwrap() };
    kustomize::build(&files, &directory).unwrap()
}

fn read(from: &Path, path: &RepoPath, files: &mut MemoryFiles) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let path = path.join(entry.file_name().to_str().unwrap()).unwrap();
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &path, files);
        } else {
            files.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

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
        assert_eq!(old.is_empty(), tree.path() == empty.path());
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

    let mut united = Vec::new();
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

#[test]
fn the_project_label_is_on_every_object_and_is_the_one_selector() {
    let tree = three_projects();
    let all = objects(tree.path(), ".");

    for object in &all {
        let name = object["metadata"]["name"].as_str().unwrap();
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
    assert!(only(&lab, "Service")["spec"].get("ports").is_none());
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
