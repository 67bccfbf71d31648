//! The policy of a state repository: `claude-manager.yaml`, read into values.
//!
//! Takes the file's text, gives a [`Policy`] with every default filled in. The policy is that of the branch that is already
//! accepted, never that of a commit which is being judged; whoever judges passes the right tree.
//!
//! **Architecture invariant:** a key that is not known is an error, so that a misspelt rule is not a rule that is off.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::project::layout::DEFAULT_SECRET;
use crate::project::{Files, ProjectName, RepoPath};

/// Where the policy stands.
pub const POLICY_FILE: &str = "claude-manager.yaml";

/// Everything that the file decides for the reconciler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What project overlays may use.
    pub confinement: Confinement,
    /// Exceptions for single projects, on top of [`Policy::confinement`].
    pub exceptions: BTreeMap<ProjectName, Confinement>,
    /// How many projects one revision may delete.
    pub prune: PruneLimit,
    /// What is done about drift.
    pub drift: Drift,
    /// How many environments a commit may restart at once.
    pub rollout: Rollout,
    /// Why nothing is applied at all; `None` while everything is.
    pub suspended: Option<String>,
}

/// What the objects of a project may be and use. In an exception, what stands here comes on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Kinds, as `StatefulSet.apps`, `Service`.
    pub kinds: BTreeSet<String>,
    /// Beginnings of image references; empty: any image.
    pub registries: Vec<String>,
    /// The level that pod templates must keep.
    pub pod_security: PodSecurity,
    /// Objects beside a project's own that every project may refer to, as `Secret` with its name.
    pub shared: BTreeSet<(String, String)>,
    /// Variables of the dynamic loader and the C library, as `LD_LIBRARY_PATH`, that containers may set all the same.
    pub loader_variables: BTreeSet<String>,
}

/// The levels of the Pod Security Standards, the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodSecurity {
    /// No rule.
    Privileged,
    /// Nothing that reaches the node.
    Baseline,
    /// What hardened pods look like; the template's environments do.
    Restricted,
}

/// When a revision deletes so much that it may be a mistake: more than both of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneLimit {
    /// This many projects.
    pub projects: usize,
    /// This share of all projects.
    pub percent: usize,
}

/// What is done about drift. The most exact entry decides: a field, then a manager, then the project, then all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// For everything that nothing below names.
    pub mode: DriftMode,
    /// For single projects.
    pub projects: BTreeMap<ProjectName, DriftMode>,
    /// For fields.
    pub fields: Vec<FieldRule>,
    /// For field managers.
    pub managers: Vec<ManagerRule>,
}

/// What is done about a difference that somebody else made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriftMode {
    /// It is changed back.
    #[default]
    Correct,
    /// It is left and said.
    Warn,
    /// It is left.
    Ignore,
}

/// A field, and what is done when it drifts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// Only for this project.
    pub project: Option<ProjectName>,
    /// Only for this kind.
    pub kind: Option<String>,
    /// The field and all below it, as plans write it: `spec.template.spec.containers[name=agent].resources`.
    pub path: String,
    /// What is done.
    pub mode: DriftMode,
}

/// A field manager, and what is done when it changes a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerRule {
    /// Its name; a `*` at the end stands for any rest.
    pub name: String,
    /// What is done.
    pub mode: DriftMode,
}

/// How many environments may restart at once because of commits, and how long a turn keeps them from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The number; `None`: as many as there are.
    pub restarts: Option<usize>,
    /// So long one in which somebody works is waited for.
    pub busy: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { restarts: None, busy: Duration::from_secs(60 * 60) }
    }
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{POLICY_FILE}: {0}")]
pub struct PolicyError(String);

/// The kinds that every cluster has and that stay within a namespace and a project.
const KINDS: [&str; 12] = [
    "ConfigMap",
    "CronJob.batch",
    "Deployment.apps",
    "HorizontalPodAutoscaler.autoscaling",
    "Ingress.networking.k8s.io",
    "Job.batch",
    "NetworkPolicy.networking.k8s.io",
    "PersistentVolumeClaim",
    "PodDisruptionBudget.policy",
    "Secret",
    "Service",
    "ServiceAccount",
];

/// What environments refer to beside their own: the default keys, the keys that they know their manager by.
const SHARED: [(&str, &str); 3] =
    [("Secret", DEFAULT_SECRET), ("ConfigMap", "claude-manager-agent-keys"), ("ServiceAccount", "default")];

impl Default for Confinement {
    fn default() -> Self {
        Self {
            kinds: KINDS.iter().copied().chain(["StatefulSet.apps"]).map(str::to_owned).collect(),
            registries: Vec::new(),
            pod_security: PodSecurity::Baseline,
            shared: SHARED.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned())).collect(),
            loader_variables: BTreeSet::new(),
        }
    }
}

impl Default for PruneLimit {
    fn default() -> Self {
        Self { projects: 5, percent: 20 }
    }
}

impl PruneLimit {
    /// Whether deleting `count` of `all` projects at once needs somebody's word.
    #[must_use]
    pub const fn is_exceeded(self, count: usize, all: usize) -> bool {
        count > self.projects && count * 100 > all * self.percent
    }
}

impl Policy {
    /// Reads the policy of a tree. A tree without the file has the defaults.
    ///
    /// # Errors
    /// [`PolicyError`] names the line or key.
    pub fn read(files: &dyn Files) -> Result<Self, PolicyError> {
        let path = RepoPath::parse(POLICY_FILE).unwrap_or_default();
        match files.read(&path) {
            Ok(bytes) => Self::parse(&bytes),
            Err(crate::project::FilesError::Missing(_)) => Ok(Self::default()),
            Err(error) => Err(PolicyError(error.to_string())),
        }
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`PolicyError`] names the line or key.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        file::parse(bytes)
    }

    /// The first policy that reads, of trees from the newest to the oldest: a broken file changes no rule.
    pub fn newest_valid<T: Files>(trees: impl IntoIterator<Item = T>) -> Option<Self> {
        trees.into_iter().find_map(|tree| Self::read(&tree).ok())
    }

    /// What `project` may use.
    #[must_use]
    pub fn confinement_of(&self, project: &ProjectName) -> Confinement {
        let mut confinement = self.confinement.clone();
        if let Some(more) = self.exceptions.get(project) {
            confinement.kinds.extend(more.kinds.iter().cloned());
            // No registry is no limit: naming one must not turn a limit on.
            if !confinement.registries.is_empty() {
                confinement.registries.extend(more.registries.iter().cloned());
            }
            confinement.pod_security = more.pod_security;
            confinement.shared.extend(more.shared.iter().cloned());
            confinement.loader_variables.extend(more.loader_variables.iter().cloned());
        }
        confinement
    }
}

#[cfg(test)]
mod tests;
