//! Who changed a project last.

use std::sync::Arc;

use jiff::Timestamp;

use super::Revision;

/// The commit that gave a project's folder the content it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// The commit.
    pub revision: Revision,
    /// When it was made.
    pub time: Timestamp,
    /// The name of whoever made it.
    pub author: Arc<str>,
}
