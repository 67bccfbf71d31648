//! Objects of the kinds that kustomize has rules for, with names from a small set, so that they name one another.

use super::dice::Dice;
use super::styles;

pub(crate) const NAMES: [&str; 6] = ["web", "db", "cache", "app-1", "web-db", "default"];
pub(crate) const NAMESPACES: [&str; 4] = ["default", "prod", "kube-system", "team-a"];

/// Values as they stand in files: each is one that some reader or writer has a rule of its own for.
pub(crate) const VALUES: [&str; 45] = [
    "x",
    "\"5\"",
    "5",
    "1.0",
    "1e3",
    "0x1F",
    "010",
    "0o14",
    "true",
    "\"true\"",
    "yes",
    "\"on\"",
    "null",
    "~",
    "''",
    "\"\"",
    "2020-01-01",
    "\"2020-01-01\"",
    "12:30",
    "1_000",
    "\"a: b\"",
    "'*x'",
    "'it''s'",
    "\"tab\\there\"",
    "\"two\\nlines\"",
    "\"two\\nlines\\n\"",
    "\"ends blank \\nx\"",
    "\"  leads\"",
    "\"trails  \"",
    "\"\\U0001F600\"",
    "é",
    "\"-\"",
    "\"- x\"",
    "\"#x\"",
    "a#b",
    "\"a #b\"",
    "\"{}\"",
    "\"[a]\"",
    ".5",
    "-0",
    "+1",
    "$(NAME)",
    "\"$(NAME)-$(OTHER)\"",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
    "\"one: two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen\"",
];

const IMAGES: [&str; 9] = [
    "nginx",
    "nginx:1.2",
    "docker.io/nginx:1",
    "nginx@sha256:abc",
    "registry:5000/app",
    "registry:5000/app:v1",
    "app.x:1",
    "\"nginx\"",
    "nginx:1@sha256:abc",
];

fn meta(dice: &mut Dice, name: &str, namespaced: bool) -> String {
    let mut text = format!("metadata:\n  name: {name}\n");
    if namespaced && dice.chance(25) {
        text += &format!("  namespace: {}\n", dice.pick(&NAMESPACES));
    }
    if dice.chance(30) {
        text += "  labels:\n";
        for key in dice.some(&["app", "tier", "a.b/c"], 60) {
            text += &format!("    {key}: {}\n", dice.pick(&["web", "db", "\"5\"", "''"]));
        }
        text += "    z: z\n";
    }
    if dice.chance(25) {
        text += "  annotations:\n";
        text += &format!("    note: {}\n", dice.pick(&VALUES));
        if dice.chance(8) {
            text += "    config.kubernetes.io/local-config: \"true\"\n";
        }
    }
    text
}

fn pod(dice: &mut Dice, indent: &str) -> String {
    let mut text = format!("{indent}metadata:\n{indent}  labels:\n{indent}    app: {}\n", dice.pick(&["web", "db"]));
    text += &format!("{indent}spec:\n");
    if dice.chance(30) {
        text += &format!("{indent}  serviceAccountName: {}\n", dice.pick(&NAMES));
    }
    if dice.chance(20) {
        text +=
            &format!("{indent}  initContainers:\n{indent}  - name: init\n{indent}    image: {}\n", dice.pick(&IMAGES));
    }
    text += &format!("{indent}  containers:\n");
    for name in ["main", "side"].iter().take(1 + dice.below(2)) {
        text += &format!("{indent}  - name: {name}\n{indent}    image: {}\n", dice.pick(&IMAGES));
        if dice.chance(40) {
            text += &format!("{indent}    env:\n{indent}    - name: A\n{indent}      value: {}\n", dice.pick(&VALUES));
            if dice.chance(50) {
                let (kind, name) = (dice.pick(&["configMapKeyRef", "secretKeyRef"]), dice.pick(&NAMES));
                text += &format!(
                    "{indent}    - name: B\n{indent}      valueFrom:\n{indent}        {kind}:\n{indent}          name: \
                     {name}\n{indent}          key: k\n"
                );
            }
        }
        if dice.chance(25) {
            text += &format!(
                "{indent}    envFrom:\n{indent}    - configMapRef:\n{indent}        name: {}\n",
                dice.pick(&NAMES)
            );
        }
        if dice.chance(25) {
            text += &format!("{indent}    ports:\n{indent}    - containerPort: 80\n");
            if dice.chance(50) {
                text += &format!("{indent}      protocol: TCP\n{indent}    - containerPort: 81\n");
            }
        }
        if dice.chance(25) {
            text += &format!("{indent}    args: [\"--a\", {}]\n", dice.pick(&VALUES));
        }
        if dice.chance(20) {
            text += &format!("{indent}    volumeMounts:\n{indent}    - name: v\n{indent}      mountPath: /v\n");
        }
    }
    if dice.chance(40) {
        text += &format!("{indent}  volumes:\n{indent}  - name: v\n");
        let name = dice.pick(&NAMES);
        text += &match dice.below(3) {
            0 => format!("{indent}    configMap:\n{indent}      name: {name}\n"),
            1 => format!("{indent}    secret:\n{indent}      secretName: {name}\n"),
            _ => format!("{indent}    persistentVolumeClaim:\n{indent}      claimName: {name}\n"),
        };
    }
    text
}

/// One document.
pub(crate) fn object(dice: &mut Dice) -> String {
    let name = dice.pick(&NAMES);
    let other = dice.pick(&NAMES);
    let head = |version: &str, kind: &str, meta: String| format!("apiVersion: {version}\nkind: {kind}\n{meta}");
    match dice.below(27) {
        0..=3 => {
            let kind = dice.pick(&["Deployment", "StatefulSet", "DaemonSet"]);
            let mut text = head("apps/v1", kind, meta(dice, name, true)) + "spec:\n";
            if kind != "DaemonSet" && dice.chance(50) {
                text += &format!("  replicas: {}\n", dice.below(4));
            }
            if kind == "StatefulSet" {
                text += &format!("  serviceName: {other}\n");
            }
            if dice.chance(70) {
                text += "  selector:\n    matchLabels:\n      app: web\n";
            }
            text += "  template:\n";
            text += &pod(dice, "    ");
            if kind == "StatefulSet" && dice.chance(40) {
                text += "  volumeClaimTemplates:\n  - metadata:\n      name: data\n    spec:\n      accessModes: [ReadWriteOnce]\n";
            }
            text
        }
        4 | 5 => {
            let selector = if dice.chance(60) { "  selector:\n    app: web\n" } else { "" };
            head("v1", "Service", meta(dice, name, true)) + "spec:\n  ports:\n  - port: 80\n" + selector
        }
        6 | 7 => {
            let mut text = head("v1", "ConfigMap", meta(dice, name, true)) + "data:\n";
            for key in ["k", "a.b", "k2", "k10", "_x", "B"].iter().take(1 + dice.below(6)) {
                text += &format!("  {key}: {}\n", dice.pick(&VALUES));
            }
            if dice.chance(25) {
                text += "  json: '{\"a\": {\"b\": 1}, \"list\": [1, 2]}'\n  yaml: |\n    a:\n      b: 1\n    list:\n    - x: 1\n";
            }
            text
        }
        8 => head("v1", "Secret", meta(dice, name, true)) + "type: Opaque\ndata:\n  k: eHg=\nstringData:\n  s: t\n",
        9 => head("v1", "ServiceAccount", meta(dice, name, true)),
        10 => head("v1", "PersistentVolumeClaim", meta(dice, name, true)) + "spec:\n  accessModes: [ReadWriteOnce]\n",
        11 => {
            let kind = dice.pick(&["Role", "ClusterRole"]);
            let names = if dice.chance(40) { format!("  resourceNames: [{other}]\n") } else { String::new() };
            head("rbac.authorization.k8s.io/v1", kind, meta(dice, name, kind == "Role"))
                + "rules:\n- apiGroups: ['']\n  resources: [configmaps]\n  verbs: [get]\n"
                + &names
        }
        12 | 13 => {
            let kind = dice.pick(&["RoleBinding", "ClusterRoleBinding"]);
            let role = dice.pick(&["Role", "ClusterRole"]);
            let mut text = head("rbac.authorization.k8s.io/v1", kind, meta(dice, name, kind == "RoleBinding"));
            text += &format!(
                "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {role}\n  name: {other}\nsubjects:\n"
            );
            text += &format!("- kind: ServiceAccount\n  name: {}\n", dice.pick(&NAMES));
            if dice.chance(50) {
                text += &format!("  namespace: {}\n", dice.pick(&NAMESPACES));
            }
            text
        }
        14 => {
            head("networking.k8s.io/v1", "Ingress", meta(dice, name, true))
                + &format!(
                    "spec:\n  tls:\n  - secretName: {other}\n  rules:\n  - http:\n      paths:\n      - path: /\n        backend:\n          service:\n            name: {other}\n"
                )
        }
        15 => {
            head("batch/v1", "CronJob", meta(dice, name, true))
                + "spec:\n  schedule: \"* * * * *\"\n  jobTemplate:\n    spec:\n      template:\n"
                + &pod(dice, "        ")
        }
        16 => {
            head("autoscaling/v2beta2", "HorizontalPodAutoscaler", meta(dice, name, true))
                + &format!(
                    "spec:\n  scaleTargetRef:\n    apiVersion: apps/v1\n    kind: Deployment\n    name: {other}\n"
                )
        }
        17 => {
            let mut text = head("example.com/v1", "Widget", meta(dice, name, true)) + "spec:\n";
            text += &format!("  image: {}\n  list:\n  - name: a\n    v: {}\n", dice.pick(&IMAGES), dice.pick(&VALUES));
            text + &format!("  ref:\n    name: {other}\n  size: {}\n", dice.pick(&VALUES))
        }
        18 => head("v1", "Namespace", format!("metadata:\n  name: {}\n", dice.pick(&NAMESPACES))),
        19 => {
            head("networking.k8s.io/v1", "NetworkPolicy", meta(dice, name, true))
                + "spec:\n  podSelector:\n    matchLabels:\n      app: web\n  ingress:\n  - from:\n    - podSelector:\n        matchLabels:\n          app: db\n"
        }
        20 => {
            head("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", meta(dice, name, false))
                + &format!(
                    "webhooks:\n- name: w.x.y\n  clientConfig:\n    service:\n      name: {other}\n      namespace: {}\n",
                    dice.pick(&NAMESPACES)
                )
        }
        21 | 22 => {
            let meta = meta(dice, name, true);
            styles::config_map(dice, &meta)
        }
        23 => {
            let meta = meta(dice, name, true);
            styles::widget(dice, &meta)
        }
        24 => {
            head("v1", dice.pick(&["PersistentVolume", "StorageClass", "PriorityClass"]), meta(dice, name, false))
                + &format!("storageClassName: {other}\nspec:\n  claimRef:\n    name: {}\n", dice.pick(&NAMES))
        }
        25 => {
            let kind = dice.pick(&["Gizmo", "Pod", "Job"]);
            let version = if kind == "Gizmo" {
                "example.com/v1"
            } else if kind == "Pod" {
                "v1"
            } else {
                "batch/v1"
            };
            let mut text = head(version, kind, meta(dice, name, true)) + "spec:\n";
            text += "  parts:\n  - key: a\n    value: 1\n  - key: b\n    value: 2\n";
            text + &format!("  configRef: {other}\n  containers:\n  - name: main\n    image: nginx\n")
        }
        _ => {
            let (a, b) = (dice.pick(&NAMES), dice.pick(&NAMES));
            format!(
                "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: {a}-l\n  \
                 data:\n    k: v\n- apiVersion: v1\n  kind: Secret\n  metadata:\n    name: {b}-l\n"
            )
        }
    }
}
