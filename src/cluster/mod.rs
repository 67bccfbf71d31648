//! The Kubernetes cluster: how it is reached, what is seen of it, and the only writes to it.
//!
//! Takes a [`Target`] and gives a `kube::Client`; with one, [`Observer`] keeps an up-to-date copy of the objects of all
//! projects by watches, and [`apply`] executes a plan. The client may as well lead to the embedded cluster: nothing here
//! knows the difference.
//!
//! **Architecture invariant:** nothing else in this program writes to a cluster. This module decides nothing: what to
//! write, and in which order, is in the [`crate::plan::UnitPlan`].

mod apply;
mod cache;
mod cancel;
mod concurrency_limit;
mod connect;
mod error;
mod events;
mod info;
mod kinds;
mod logs;
mod metrics_layer;
mod observe;
mod overview;
mod request;
mod review;
mod take_over;
mod warning_events;
mod watch;

pub use apply::{Done, Outcome, apply, dry_run};
pub use cancel::{Cancel, Canceller, cancellation};
pub use concurrency_limit::Pace;
pub use connect::Target;
pub use error::Error;
pub use events::{Announcement, announce};
pub use info::{Version, version};
pub use kinds::{Kind, Kinds, Resource};
pub use logs::{LogError, LogQuery, LogStream, Since, log_end, logs};
pub use observe::{Changes, Connection, Observer};
pub use overview::{Node, Overview, Quota, overview};
pub use review::{RIGHTS, Right, StorageClass, clock, enforced_level, may, storage_classes};
pub use warning_events::Complaint;
