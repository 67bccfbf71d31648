//! What pod templates may ask of a node: the Pod Security Standards (`baseline`, `restricted`), image registries, and
//! the ways around the scheduler.

use serde_json::Value;

use super::Problems;
use crate::plan::policy::{Confinement, PodSecurity};
use kustomize::Object;

/// A pod template within an object.
pub(super) struct Template<'a> {
    pub(super) metadata: Option<&'a Value>,
    spec: &'a Value,
}

impl<'a> Template<'a> {
    /// The pod template of the built-in kinds that have one.
    pub(super) fn of(object: &'a Object) -> Option<Self> {
        let pointer = match (object.key.group.as_str(), object.key.kind.as_str()) {
            ("", "Pod") => "",
            ("", "PodTemplate") => "/template",
            ("batch", "CronJob") => "/spec/jobTemplate/spec/template",
            ("apps" | "batch", _) | ("", "ReplicationController") => "/spec/template",
            _ => return None,
        };
        let template = object.value.pointer(pointer)?;
        Some(Self { metadata: template.get("metadata"), spec: template.get("spec")? })
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> {
        let spec = self.spec;
        let lists = ["initContainers", "containers", "ephemeralContainers"];
        lists.into_iter().flat_map(move |list| spec.get(list).and_then(Value::as_array).into_iter().flatten())
    }
}

const WAY_OUT: &str =
    "take it out of the pod template, or have an administrator set policy.podSecurity in claude-manager.yaml";

/// Capabilities that runtimes give by themselves, but for NET_RAW.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Settings of the kernel that are the pod's own.
const SYSCTLS: [&str; 9] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_syncookies",
];

/// Kinds of volumes that hold nothing of a node.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// Adds what the template breaks.
pub(super) fn check(pod: &Template<'_>, confinement: &Confinement, problems: &mut Problems<'_>) {
    registries(pod, &confinement.registries, problems);
    if pod.spec.get("nodeName").is_some_and(|name| name.as_str() != Some("")) {
        problems.add("spec.nodeName goes around the scheduler", "use a nodeSelector");
    }
    if pod.spec["priorityClassName"].as_str().is_some_and(|class| class.starts_with("system-")) {
        problems.add("a priority class of the system would push others' pods out", "remove priorityClassName");
    }
    if confinement.pod_security >= PodSecurity::Baseline {
        baseline(pod, problems);
    }
    if confinement.pod_security >= PodSecurity::Restricted {
        restricted(pod, problems);
    }
}

fn registries(pod: &Template<'_>, registries: &[String], problems: &mut Problems<'_>) {
    if registries.is_empty() {
        return;
    }
    for container in pod.containers() {
        let image = container["image"].as_str().unwrap_or_default();
        if !registries.iter().any(|registry| is_from(image, registry)) {
            problems.add(
                format!("the image {image} of container {} is from no registry that the policy names", name(container)),
                "use an image from one of policy.registries in claude-manager.yaml",
            );
        }
    }
}

/// A beginning ends where a name ends, which may be the whole: `registry.example` is not `registry.example.attacker.example`.
fn is_from(image: &str, registry: &str) -> bool {
    image
        .strip_prefix(registry)
        .is_some_and(|rest| rest.is_empty() || registry.ends_with('/') || rest.starts_with(['/', ':', '@']))
}

fn baseline(pod: &Template<'_>, problems: &mut Problems<'_>) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod.spec[field] == true {
            problems.add(format!("{field} shares the node with the pod"), WAY_OUT);
        }
    }
    for volume in pod.spec["volumes"].as_array().into_iter().flatten() {
        if volume.get("hostPath").is_some() {
            problems.add(format!("the volume {} is a hostPath of the node", name(volume)), WAY_OUT);
        }
    }
    for sysctl in pod.spec.pointer("/securityContext/sysctls").and_then(Value::as_array).into_iter().flatten() {
        if !SYSCTLS.contains(&name(sysctl)) {
            problems.add(format!("the sysctl {} is the node's", name(sysctl)), WAY_OUT);
        }
    }
    let annotations = pod.metadata.and_then(|metadata| metadata.get("annotations")?.as_object());
    for (key, value) in annotations.into_iter().flatten() {
        if key.starts_with("container.apparmor.security.beta.kubernetes.io/") && value == "unconfined" {
            problems.add("AppArmor is switched off by an annotation", WAY_OUT);
        }
    }
    context("the pod", &pod.spec["securityContext"], problems);
    for container in pod.containers() {
        let who = format!("container {}", name(container));
        let security = &container["securityContext"];
        context(&who, security, problems);
        if security["privileged"] == true {
            problems.add(format!("{who} is privileged"), WAY_OUT);
        }
        for added in strings(&security["capabilities"]["add"]) {
            if !CAPABILITIES.contains(&added) {
                problems.add(format!("{who} adds the capability {added}"), WAY_OUT);
            }
        }
        if security["procMount"].as_str().is_some_and(|mount| mount != "Default") {
            problems.add(format!("{who} unmasks /proc"), WAY_OUT);
        }
        for port in container["ports"].as_array().into_iter().flatten() {
            if port["hostPort"].as_u64().is_some_and(|port| port != 0) {
                problems.add(format!("{who} takes a port of the node (hostPort)"), WAY_OUT);
            }
        }
        for hook in ["/livenessProbe", "/readinessProbe", "/startupProbe", "/lifecycle/postStart", "/lifecycle/preStop"]
        {
            let host = |how: &str| container.pointer(&format!("{hook}/{how}/host")).and_then(Value::as_str);
            if ["httpGet", "tcpSocket"].into_iter().filter_map(host).any(|host| !host.is_empty()) {
                problems.add(format!("{who} has the node call another host (at {hook})"), WAY_OUT);
            }
        }
    }
}

/// What pods and containers write alike.
fn context(who: &str, security: &Value, problems: &mut Problems<'_>) {
    for (field, what) in [("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")] {
        if security[field]["type"] == "Unconfined" {
            problems.add(format!("{who} switches {what} off"), WAY_OUT);
        }
    }
    let selinux = &security["seLinuxOptions"];
    let kind = selinux["type"].as_str().unwrap_or_default();
    let allowed = matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t" | "container_engine_t");
    if !allowed
        || !selinux["user"].as_str().unwrap_or_default().is_empty()
        || !selinux["role"].as_str().unwrap_or_default().is_empty()
    {
        problems.add(format!("{who} chooses SELinux options of its own"), WAY_OUT);
    }
    if security["windowsOptions"]["hostProcess"] == true {
        problems.add(format!("{who} runs as a process of the node (hostProcess)"), WAY_OUT);
    }
}

fn restricted(pod: &Template<'_>, problems: &mut Problems<'_>) {
    for volume in pod.spec["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().into_iter().flatten().map(|(kind, _)| kind.as_str());
        if let Some(kind) =
            kinds.filter(|kind| *kind != "name" && *kind != "hostPath").find(|kind| !VOLUMES.contains(kind))
        {
            problems.add(format!("the volume {} is of the kind {kind}", name(volume)), WAY_OUT);
        }
    }
    let general = &pod.spec["securityContext"];
    for container in pod.containers() {
        let who = format!("container {}", name(container));
        let security = &container["securityContext"];
        // A container's own word counts before the pod's.
        let said = |field: &str| security.get(field).or_else(|| general.get(field)).unwrap_or(&Value::Null);
        if security["allowPrivilegeEscalation"] != false {
            problems.add(format!("{who} does not set allowPrivilegeEscalation: false"), WAY_OUT);
        }
        if *said("runAsNonRoot") != true {
            problems.add(format!("{who} does not set runAsNonRoot: true"), WAY_OUT);
        }
        if *said("runAsUser") == 0 {
            problems.add(format!("{who} runs as root"), WAY_OUT);
        }
        if !matches!(said("seccompProfile")["type"].as_str(), Some("RuntimeDefault" | "Localhost")) {
            problems.add(format!("{who} has no seccomp profile"), WAY_OUT);
        }
        let capabilities = &security["capabilities"];
        if !strings(&capabilities["drop"]).any(|dropped| dropped == "ALL") {
            problems.add(format!("{who} does not drop ALL capabilities"), WAY_OUT);
        }
        for added in strings(&capabilities["add"]).filter(|added| *added != "NET_BIND_SERVICE") {
            problems.add(format!("{who} adds the capability {added}"), WAY_OUT);
        }
    }
}

pub(super) fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}
