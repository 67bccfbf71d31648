//! What a project is doing, in one phase, one stable word and one sentence.

use serde::Serialize;

use super::Revision;

/// The phase of a project; metrics, tickets and pages use the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Phase {
    /// Committed, not yet applied.
    Pending,
    /// Applied, not yet ready.
    Starting,
    /// Ready.
    Running,
    /// To be stopped, pods still there.
    Stopping,
    /// No pods, as desired.
    Stopped,
    /// Something a person has to look at.
    Failed,
    /// Reconciling is paused for this project.
    Suspended,
    /// Deleted in Git, objects still there.
    Deleting,
}

impl Phase {
    /// All phases, in the order of a project's life.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Failed,
        Self::Suspended,
        Self::Deleting,
    ];

    /// The phase as the API writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Failed => "Failed",
            Self::Suspended => "Suspended",
            Self::Deleting => "Deleting",
        }
    }
}

/// Why a project is in its phase: one stable word, never reused for another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Reason {
    /// Everything is as desired and ready.
    Ready,
    /// Stopped as desired.
    Stopped,
    /// The commit is known and waits for its turn.
    WaitingForApply,
    /// The overlay does not build.
    RenderFailed,
    /// The overlay builds objects that the policy forbids.
    PolicyViolation,
    /// The API server refused an object.
    ApplyFailed,
    /// The cluster cannot be reached.
    ClusterUnreachable,
    /// The secrets file cannot be decrypted.
    SecretsUnreadable,
    /// The pod is not made yet.
    WaitingForPod,
    /// No node takes the pod.
    Unschedulable,
    /// A volume is not bound yet.
    WaitingForVolume,
    /// A volume does not become as big as Git says.
    VolumeGrowthFailed,
    /// The image cannot be pulled.
    ImagePullFailed,
    /// A container ends again and again.
    CrashLoop,
    /// A container cannot be made (a missing Secret or ConfigMap, a bad command).
    ContainerConfigError,
    /// Containers start.
    ContainersStarting,
    /// The quota or an admission rule refuses the pod.
    PodRefused,
    /// Pods are going.
    PodsTerminating,
    /// Objects are going.
    ObjectsTerminating,
    /// Somebody else keeps changing an object back.
    Contested,
    /// Nothing runs pods in this cluster.
    NoRuntime,
    /// The environment clones its repository.
    Cloning,
    /// The repository asks for credentials that the environment does not have (yet).
    WaitingForCredentials,
    /// The repository cannot be cloned.
    CloneFailed,
    /// An object beside the environment has failed.
    ObjectFailed,
    /// Git says that nothing is to be applied.
    Suspended,
    /// So much was deleted at once that somebody has to confirm it.
    DeletionHeld,
}

/// A project's condition at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectStatus {
    /// The phase.
    pub phase: Phase,
    /// The stable word.
    pub reason: Reason,
    /// The sentence for people: what is wrong, where, and what to do.
    pub message: String,
    /// The commit that the cluster was last brought to for this project.
    pub applied_revision: Option<Revision>,
}
