//! The text of `claude-manager.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::{
    Confinement, Drift, DriftMode, FieldRule, ManagerRule, PodSecurity, Policy, PolicyError, PruneLimit, Rollout,
};
use crate::plan::loader_variables::is_loader_variable;
use crate::project::ProjectName;

/// The only version of the file's layout.
const SCHEMA: u64 = 1;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    schema_version: Option<u64>,
    #[serde(default)]
    suspend: Suspend,
    #[serde(default)]
    policy: Section,
    #[serde(default)]
    drift: DriftSection,
    #[serde(default)]
    rollout: RolloutSection,
    // Read elsewhere.
    #[serde(rename = "access")]
    _access: Option<serde_yaml::Value>,
    #[serde(rename = "writes")]
    _writes: Option<serde_yaml::Value>,
    #[serde(rename = "jira")]
    _jira: Option<serde_yaml::Value>,
    #[serde(rename = "signatures")]
    _signatures: Option<serde_yaml::Value>,
    #[serde(rename = "templates")]
    _templates: Option<serde_yaml::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Suspend {
    Whether(bool),
    Because(String),
}

impl Default for Suspend {
    fn default() -> Self {
        Self::Whether(false)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Section {
    kinds: Option<BTreeSet<String>>,
    registries: Vec<String>,
    pod_security: Option<Level>,
    shared: Shared,
    loader_variables: BTreeSet<String>,
    projects: BTreeMap<ProjectName, Exception>,
    prune: Prune,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Exception {
    kinds: BTreeSet<String>,
    registries: Vec<String>,
    pod_security: Option<Level>,
    shared: Shared,
    loader_variables: BTreeSet<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Shared {
    secrets: Vec<String>,
    config_maps: Vec<String>,
    service_accounts: Vec<String>,
    volumes: Vec<String>,
    services: Vec<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Privileged,
    Baseline,
    Restricted,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Prune {
    projects: Option<usize>,
    percent: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Correct,
    Warn,
    Ignore,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct DriftSection {
    mode: Mode,
    projects: BTreeMap<ProjectName, Mode>,
    fields: Vec<Field>,
    managers: Vec<Manager>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Field {
    project: Option<ProjectName>,
    kind: Option<String>,
    path: String,
    #[serde(default = "ignore")]
    mode: Mode,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manager {
    name: String,
    #[serde(default = "ignore")]
    mode: Mode,
}

/// A rule that names something is there to have it left alone.
const fn ignore() -> Mode {
    Mode::Ignore
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct RolloutSection {
    restarts: Option<usize>,
    busy_minutes: Option<u64>,
}

/// The longest wait for a turn that makes sense: a week.
const LONGEST_BUSY: u64 = 7 * 24 * 60;

pub(super) fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
    let file: File = serde_yaml::from_slice(bytes).map_err(|error| PolicyError(error.to_string()))?;
    match file.schema_version {
        Some(SCHEMA) => {}
        Some(other) => {
            return Err(PolicyError(format!("schemaVersion {other} is not known here; this program reads {SCHEMA}")));
        }
        None => return Err(PolicyError(format!("schemaVersion is missing; write `schemaVersion: {SCHEMA}`"))),
    }
    if file.rollout.restarts == Some(0) {
        return Err(PolicyError("rollout.restarts is 0, so that nothing would ever change; use suspend".to_owned()));
    }
    if file.rollout.busy_minutes.is_some_and(|minutes| minutes > LONGEST_BUSY) {
        return Err(PolicyError(format!("rollout.busyMinutes is more than a week, {LONGEST_BUSY}")));
    }
    let section = file.policy;
    let mut confinement = Confinement::default();
    if let Some(kinds) = section.kinds {
        confinement.kinds = kinds;
    }
    confinement.registries = section.registries;
    if let Some(level) = section.pod_security {
        confinement.pod_security = level.into();
    }
    confinement.shared.extend(section.shared.names());
    let exceptions = section.projects.values().map(|more| &more.loader_variables);
    for name in exceptions.chain([&section.loader_variables]).flatten() {
        // A misspelt name, or a pattern, would allow nothing and look as if it did.
        let is_plain = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        if !is_plain || !is_loader_variable(name) {
            return Err(PolicyError(format!(
                "policy.loaderVariables: {name:?} is no variable of the dynamic loader or the C library, which any \
                 container may set; name single ones, as LD_LIBRARY_PATH"
            )));
        }
    }
    confinement.loader_variables = section.loader_variables;
    let general = confinement.pod_security;
    let exception = |more: Exception| Confinement {
        kinds: more.kinds,
        registries: more.registries,
        pod_security: more.pod_security.map_or(general, Into::into),
        shared: more.shared.names().collect(),
        loader_variables: more.loader_variables,
    };
    let limit = PruneLimit::default();
    Ok(Policy {
        confinement,
        exceptions: section.projects.into_iter().map(|(name, more)| (name, exception(more))).collect(),
        prune: PruneLimit {
            projects: section.prune.projects.unwrap_or(limit.projects),
            percent: section.prune.percent.unwrap_or(limit.percent),
        },
        drift: Drift {
            mode: file.drift.mode.into(),
            projects: file.drift.projects.into_iter().map(|(name, mode)| (name, mode.into())).collect(),
            fields: file.drift.fields.into_iter().map(Into::into).collect(),
            managers: file.drift.managers.into_iter().map(Into::into).collect(),
        },
        rollout: Rollout {
            restarts: file.rollout.restarts,
            busy: file
                .rollout
                .busy_minutes
                .map_or(Rollout::default().busy, |minutes| Duration::from_secs(minutes * 60)),
        },
        suspended: match file.suspend {
            Suspend::Whether(false) => None,
            Suspend::Whether(true) => Some(String::new()),
            Suspend::Because(why) => Some(why),
        },
    })
}

impl Shared {
    fn names(self) -> impl Iterator<Item = (String, String)> {
        let kinds = [
            ("Secret", self.secrets),
            ("ConfigMap", self.config_maps),
            ("ServiceAccount", self.service_accounts),
            ("PersistentVolumeClaim", self.volumes),
            ("Service", self.services),
        ];
        kinds.into_iter().flat_map(|(kind, names)| names.into_iter().map(move |name| (kind.to_owned(), name)))
    }
}

impl From<Level> for PodSecurity {
    fn from(level: Level) -> Self {
        match level {
            Level::Privileged => Self::Privileged,
            Level::Baseline => Self::Baseline,
            Level::Restricted => Self::Restricted,
        }
    }
}

impl From<Mode> for DriftMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Correct => Self::Correct,
            Mode::Warn => Self::Warn,
            Mode::Ignore => Self::Ignore,
        }
    }
}

impl From<Field> for FieldRule {
    fn from(Field { project, kind, path, mode }: Field) -> Self {
        Self { project, kind, path, mode: mode.into() }
    }
}

impl From<Manager> for ManagerRule {
    fn from(Manager { name, mode }: Manager) -> Self {
        Self { name, mode: mode.into() }
    }
}
