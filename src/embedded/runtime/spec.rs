//! What a pod asks for, read once from its object.
//!
//! Pure. Says what this runtime cannot do instead of leaving it out.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::project::PROJECT_LABEL;

/// The one container that runs here.
pub(super) const AGENT: &str = "agent";

/// An object that pods refer to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    /// `Secret` or `ConfigMap`.
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A pod.
#[derive(Clone, Debug)]
pub(super) struct PodSpec {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// The project's short name, empty when the label is missing.
    pub(super) project: String,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Vec<Mount>,
    pub(super) probes: Probes,
    pub(super) grace: Duration,
    /// The object it was read from.
    pub(super) object: Value,
}

/// Where a volume is mounted in the agent's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) volume: String,
    pub(super) path: String,
    /// A directory within the volume, which is not done here.
    pub(super) sub_path: bool,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) source: Source,
}

/// What is in a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The directory of this claim.
    Claim(String),
    /// The values of a Secret or ConfigMap.
    Files(Files),
    /// Nothing yet.
    Empty,
    /// A kind of volume that there is not on this machine.
    Unknown(String),
}

/// Files made from a Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) reference: Reference,
    pub(super) optional: bool,
    pub(super) mode: u32,
    /// Key, path and mode of those that are wanted; all keys under their own names when `None`.
    pub(super) items: Option<Vec<(String, String, Option<u32>)>>,
}

/// The three probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probes {
    pub(super) startup: Option<Probe>,
    pub(super) live: Probe,
    pub(super) ready: Probe,
}

/// How one probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) path: String,
    pub(super) delay: Duration,
    pub(super) period: Duration,
    pub(super) timeout: Duration,
    /// How many failures in a row count as one.
    pub(super) failures: u32,
}

impl PodSpec {
    /// Reads a pod; `None` for what is none.
    pub(super) fn parse(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let namespace = text("/metadata/namespace")?;
        let agent = agent(object).cloned().unwrap_or_default();
        let mounts = list(&agent, "volumeMounts").map(|mount| Mount {
            volume: string(&mount["name"]),
            path: string(&mount["mountPath"]),
            sub_path: mount["subPath"].is_string() || mount["subPathExpr"].is_string(),
        });
        let volumes = list(&object["spec"], "volumes")
            .map(|volume| Volume { name: string(&volume["name"]), source: source(&namespace, volume) });
        Some(Self {
            name: text("/metadata/name")?,
            uid: text("/metadata/uid")?,
            project: object["metadata"]["labels"][PROJECT_LABEL].as_str().unwrap_or_default().to_owned(),
            mounts: mounts.collect(),
            volumes: volumes.collect(),
            probes: Probes {
                startup: agent["startupProbe"].is_object().then(|| probe(&agent["startupProbe"], "/livez")),
                live: probe(&agent["livenessProbe"], "/livez"),
                ready: probe(&agent["readinessProbe"], "/readyz"),
            },
            grace: seconds(&object["spec"]["terminationGracePeriodSeconds"], 30),
            namespace,
            object: object.clone(),
        })
    }

    /// The agent's container, if there is one.
    pub(super) fn agent(&self) -> Option<&Value> {
        agent(&self.object)
    }

    /// The volumes that the agent sees, each with where.
    pub(super) fn mounted(&self) -> impl Iterator<Item = (&Mount, Option<&Source>)> {
        self.mounts.iter().map(|mount| {
            let volume = self.volumes.iter().find(|volume| volume.name == mount.volume);
            (mount, volume.map(|volume| &volume.source))
        })
    }

    /// The claims that the agent needs.
    pub(super) fn claims(&self) -> BTreeSet<String> {
        let claim = |(_, source): (&Mount, Option<&Source>)| match source {
            Some(Source::Claim(name)) => Some(name.clone()),
            _ => None,
        };
        self.mounted().filter_map(claim).collect()
    }

    /// The Secrets and ConfigMaps whose changes concern the pod: those whose files it has, and those that its variables
    /// come from, for which it may be waiting.
    pub(super) fn references(&self) -> BTreeSet<Reference> {
        let files = |(_, source): (&Mount, Option<&Source>)| match source {
            Some(Source::Files(files)) => Some(files.reference.clone()),
            _ => None,
        };
        let mut references: BTreeSet<Reference> = self.mounted().filter_map(files).collect();
        let mut add = |kind: &'static str, source: &Value| {
            if let Some(name) = source["name"].as_str() {
                references.insert(Reference { kind, namespace: self.namespace.clone(), name: name.to_owned() });
            }
        };
        let none = Value::Null;
        let agent = self.agent().unwrap_or(&none);
        for source in list(agent, "envFrom") {
            add("ConfigMap", &source["configMapRef"]);
            add("Secret", &source["secretRef"]);
        }
        for variable in list(agent, "env") {
            add("ConfigMap", &variable["valueFrom"]["configMapKeyRef"]);
            add("Secret", &variable["valueFrom"]["secretKeyRef"]);
        }
        references
    }

    /// Whether it is being deleted, and how long it may take to end.
    pub(super) fn deletion(object: &Value) -> Option<Duration> {
        let metadata = &object["metadata"];
        metadata["deletionTimestamp"].is_string().then(|| seconds(&metadata["deletionGracePeriodSeconds"], 30))
    }
}

fn agent(object: &Value) -> Option<&Value> {
    list(&object["spec"], "containers").find(|container| container["name"] == AGENT)
}

fn source(namespace: &str, volume: &Value) -> Source {
    let files = |kind: &'static str, source: &Value, name: &str| {
        let items = source["items"].as_array().map(|items| {
            let mode = |item: &Value| item["mode"].as_u64().and_then(|mode| u32::try_from(mode).ok());
            items.iter().map(|item| (string(&item["key"]), string(&item["path"]), mode(item))).collect()
        });
        Source::Files(Files {
            reference: Reference { kind, namespace: namespace.to_owned(), name: name.to_owned() },
            optional: source["optional"] == true,
            mode: source["defaultMode"].as_u64().and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644),
            items,
        })
    };
    let kind = volume.as_object().and_then(|fields| fields.keys().find(|key| *key != "name"));
    match kind.map(String::as_str) {
        Some("persistentVolumeClaim") => Source::Claim(string(&volume["persistentVolumeClaim"]["claimName"])),
        Some("secret") => files("Secret", &volume["secret"], volume["secret"]["secretName"].as_str().unwrap_or("")),
        Some("configMap") => {
            files("ConfigMap", &volume["configMap"], volume["configMap"]["name"].as_str().unwrap_or(""))
        }
        Some("emptyDir") | None => Source::Empty,
        Some(other) => Source::Unknown(other.to_owned()),
    }
}

/// What a probe does not say is as the agent serves it. A probe by command is taken as one of these, for there is no
/// container to run the command in.
fn probe(probe: &Value, path: &str) -> Probe {
    let count = probe["failureThreshold"].as_u64().and_then(|count| u32::try_from(count).ok());
    Probe {
        path: probe.pointer("/httpGet/path").and_then(Value::as_str).unwrap_or(path).to_owned(),
        delay: seconds(&probe["initialDelaySeconds"], 0),
        period: seconds(&probe["periodSeconds"], 10).max(Duration::from_secs(1)),
        timeout: seconds(&probe["timeoutSeconds"], 1).max(Duration::from_secs(1)),
        failures: count.unwrap_or(3).max(1),
    }
}

fn seconds(value: &Value, default: u64) -> Duration {
    // Bounded, so that sums of them never overflow.
    Duration::from_secs(value.as_u64().unwrap_or(default).min(1 << 31))
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
