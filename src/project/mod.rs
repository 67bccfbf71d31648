//! Names and values that every other module speaks in.
//!
//! Strings become these types once, at the edge. Nothing here reads a file, a clock or an environment variable.

pub use kustomize::{Entry, Files, FilesError, MemoryFiles, ObjectKey, PathError, RepoPath};

mod actor;
mod changes;
mod error;
mod files;
mod inherited_env;
mod intent;
mod inventory;
mod key;
mod last_change;
pub mod layout;
mod name;
mod quantity;
mod revision;
mod spec;
mod status;

pub use actor::{Action, Actor, Principal, Role, Source, allows};
pub use changes::ChangeSet;
pub use error::{ErrorKind, FieldError};
#[cfg(test)]
pub(crate) use files::Identified;
pub use files::Overlaid;
pub use inherited_env::PASSED;
pub use intent::{AgentKey, Intent, NewProject, ProjectChange, SecretChange, SecretKey, Volumes};
pub use inventory::{Inventory, Sent};
pub use key::{Unit, is_field_manager, is_kubectl};
pub use last_change::LastChange;
pub use name::{NameError, ProjectName};
pub use quantity::{Quantity, QuantityError};
pub use revision::{Revision, RevisionError};
pub use spec::{GitUrl, Image, ProjectSpec, Resources, Storage, ValueError};
pub use status::{Phase, ProjectStatus, Reason};

/// The label that says which project an object belongs to; immutable, also part of every selector.
pub const PROJECT_LABEL: &str = "claude-manager.io/project";
/// The label of objects that belong to no project but to the whole tree; its only value is `base`.
pub const SCOPE_LABEL: &str = "claude-manager.io/scope";
/// The prefix of the descriptive annotations on a project's StatefulSet.
pub const ANNOTATION_PREFIX: &str = "claude-manager.io/";
/// The annotation of a project's StatefulSet by which an overlay says that nothing of it is to be applied, and why.
pub const SUSPENDED_ANNOTATION: &str = "claude-manager.io/suspended";
/// The field manager of what belongs to no project, and the beginning of every project's own: [`Unit::field_manager`].
pub const FIELD_MANAGER: &str = "claude-manager";
