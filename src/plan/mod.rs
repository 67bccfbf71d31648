//! What has to be done so that the cluster is as Git says, and how each project is doing.
//!
//! Takes rendered objects, what was observed, and the time; gives actions with reasons, and status. Pure: the same
//! input gives the same plan, and a plan leaves its execution no choice.

mod check;
mod confine;
mod content;
mod diff;
mod drift;
mod field;
mod hash;
mod loader_variables;
mod mask;
mod needs_dry_run;
mod order;
mod owner;
mod ownership;
mod pack;
mod policy;
mod prune;
mod redact;
mod stateful;
mod status;
mod stored;
mod text;
mod unit;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::project::{Inventory, ObjectKey, Unit};
use kustomize::Object;

pub use check::{Context, SecretValues, Violation, check, secret_values};
pub use confine::secret_type_problem;
pub use content::Content;
pub use diff::as_sent;
pub use drift::drifted_by;
pub use hash::{object_hash, plan_hash};
pub use needs_dry_run::may_leave_half;
pub use owner::{Standing, is_foreign};
pub use pack::{Packed, Packer};
pub use policy::{
    Confinement, Drift, DriftMode, FieldRule, ManagerRule, POLICY_FILE, PodSecurity, Policy, PolicyError, PruneLimit,
    Rollout,
};
pub use redact::without_secrets;
pub use stateful::restarts;
pub use status::{Awaited, CrashLoop, StatusInput, crash_loop, is_growing, status};
pub use text::show;
pub use unit::{is_gone, unit};

/// What is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Live objects that the unit's label or field manager is on, and those at the keys that it wants or has applied.
    pub objects: BTreeMap<ObjectKey, Live>,
    /// What was applied for the unit, from the store; may be empty after a restore.
    pub inventory: Inventory,
    /// Those of the keys of `objects` that another unit of the same tree wants.
    pub wanted_elsewhere: BTreeMap<ObjectKey, Unit>,
    /// How the other units stand that labels and field managers of `objects` name; one that is missing is unknown.
    pub others: BTreeMap<Unit, Standing>,
    /// Whether the cluster had been brought to what is desired, so that all that differs came afterwards.
    pub was_applied: bool,
}

/// A live object. Its `Debug` shows nothing of what the object holds: it may be a Secret.
#[derive(Clone)]
pub struct Live {
    /// The object as the API server gave it, with `metadata.managedFields`.
    pub object: Content,
    /// The unit that its label names. Everybody who may label the object can change that, so it proves nothing.
    pub label: Option<Unit>,
    /// The units whose field managers have applied it.
    pub appliers: Box<[Unit]>,
    /// Whether somebody has asked the API server to delete it.
    pub is_going: bool,
    /// The outcome of the last clean apply of this object by this process: the hash ([`Content::hash`]) of what was sent,
    /// as long as nothing but its status has changed since. What is sent with the same hash is there already, whatever a
    /// comparison of fields says (defaulting and normalisation by the server).
    pub applied: Option<u64>,
}

impl Live {
    /// An object of which nothing is known but itself.
    #[must_use]
    pub fn new(object: Value) -> Self {
        let (label, appliers, is_going) = (owner::label(&object), owner::appliers(&object), unit::is_going(&object));
        Self { object: Content::new(object), label, appliers, is_going, applied: None }
    }

    /// Whether it is counted among the objects of a unit: the unit's field manager has applied it, or its label names the
    /// unit and no project has applied it, as with pods. What may be written or deleted is decided more strictly.
    #[must_use]
    pub fn is_of(&self, unit: &Unit) -> bool {
        self.appliers.contains(unit)
            || (self.label.as_ref() == Some(unit) && !self.appliers.iter().any(|applier| *applier != Unit::Base))
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("applied", &self.applied).finish_non_exhaustive()
    }
}

/// What one unit should be.
#[derive(Clone, Debug)]
pub enum Desired {
    /// These objects (with the decrypted secrets).
    Objects(Vec<WantedObject>),
    /// Nothing: the unit is not in Git any more; `delete_volumes` when its tombstone says so.
    Absent {
        /// Whether the tombstone gives the volumes up.
        delete_volumes: bool,
    },
}

impl Desired {
    /// These objects.
    #[must_use]
    pub fn of(objects: Vec<Object>) -> Self {
        Self::Objects(objects.into_iter().map(WantedObject::from).collect())
    }
}

/// An object as Git wants it.
#[derive(Clone, Debug)]
pub struct WantedObject {
    /// Its identity.
    pub key: ObjectKey,
    /// Its API version for the request.
    pub api_version: String,
    /// What is sent.
    pub content: Content,
}

impl From<Object> for WantedObject {
    fn from(object: Object) -> Self {
        let object = diff::as_sent(object);
        Self { key: object.key, api_version: object.api_version, content: Content::new(object.value) }
    }
}

/// What has to be done for one unit. Empty actions mean that the cluster is as desired.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitPlan {
    /// Whose plan this is.
    pub unit: Unit,
    /// In the order of execution: all of a stage before the next.
    pub actions: Vec<Action>,
    /// What is deliberately left undone, with the reason (a kept volume, an old ConfigMap during a rollout).
    pub held: Vec<Held>,
}

impl UnitPlan {
    /// The same without what would be sent, which is most of its size: enough to be counted and told.
    #[must_use]
    pub fn without_objects(mut self) -> Self {
        for action in &mut self.actions {
            if let Operation::Create(object) | Operation::Update { object, .. } | Operation::Recreate { object, .. } =
                &mut action.operation
            {
                *object = Content::default();
            }
        }
        self
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The object.
    pub key: ObjectKey,
    /// Its API version for the request.
    pub api_version: String,
    /// Actions of a lower stage are finished before; within a stage the order is free.
    pub stage: u8,
    /// What to do.
    pub operation: Operation,
    /// Why, for people: `drift: spec.replicas`, `not in Git any more`.
    pub reason: String,
    /// The differing fields; values of Secrets are masked.
    pub changes: Vec<FieldChange>,
}

/// The kinds of write.
#[derive(Clone, PartialEq)]
pub enum Operation {
    /// The object does not exist: server-side apply.
    Create(Content),
    /// The object differs: forced server-side apply.
    Update {
        /// What to send.
        object: Content,
        /// Whether `kubectl`'s field ownership is first merged into ours (after a restore by hand), so that fields
        /// that leave Git later really go away.
        take_over: bool,
    },
    /// A StatefulSet with changed immutable fields: deleted without its pods, then applied; the new one adopts them.
    Recreate {
        /// The precondition of the delete.
        uid: String,
        /// What to send then.
        object: Content,
    },
    /// Delete this very object.
    Delete {
        /// The precondition.
        uid: String,
    },
}

impl fmt::Debug for Operation {
    /// Without the object: a Secret's values are in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(_) => f.write_str("Create"),
            Self::Update { take_over, .. } => {
                f.debug_struct("Update").field("take_over", take_over).finish_non_exhaustive()
            }
            Self::Recreate { uid, .. } => f.debug_struct("Recreate").field("uid", uid).finish_non_exhaustive(),
            Self::Delete { uid } => f.debug_struct("Delete").field("uid", uid).finish(),
        }
    }
}

/// One differing field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// `spec.template.spec.containers[name=agent].image`.
    pub path: String,
    /// The live value.
    pub before: Option<Value>,
    /// The desired value.
    pub after: Option<Value>,
}

/// Something left undone on purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The object.
    pub key: ObjectKey,
    /// Why it is kept.
    pub reason: String,
}

#[cfg(test)]
mod tests;
