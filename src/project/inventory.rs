//! What a manager remembers of the objects that it applied for one unit.

use std::collections::BTreeMap;

use super::ObjectKey;

/// The objects that were applied for one unit, or are about to be, each with the content that was sent last.
pub type Inventory = BTreeMap<ObjectKey, Sent>;

/// The content that was sent last of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sent {
    /// Not recorded: nothing was sent, or by a program that kept no record.
    #[default]
    Unknown,
    /// A write began, and how it ended is not known.
    Unsettled,
    /// The desired content with this hash.
    Hash(u64),
}

impl Sent {
    /// Whether the content with `hash` has to be sent whatever a comparison of fields says. Without a record the
    /// comparison decides: an upgrade would otherwise send every object of a fleet again.
    #[must_use]
    pub fn is_outdated(self, hash: u64) -> bool {
        match self {
            Self::Unknown => false,
            Self::Unsettled => true,
            Self::Hash(sent) => sent != hash,
        }
    }
}
