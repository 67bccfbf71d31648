//! Which names a part asks for in vain and which of its own have changed: whether references may go from one part to another.
//!
//! A reference follows an object whose name has changed. In a part only its own objects are there; where another part has
//! changed a name that this one asks for and does not have, the whole makes something else of it. What it has itself is
//! meant in the whole too, as prefixes and suffixes tell it from that of others.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// Names with their kinds, by short names: two that share one meet where they need not, and nothing worse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Those that objects of the part had and have not any more.
    pub changed: Box<[u64]>,
    /// Those that it asks for, and that may be another part's.
    pub missing: Box<[u64]>,
}

impl Names {
    /// Whether a reference may go from one part to the other, either way.
    #[must_use]
    pub fn meet(&self, other: &Self) -> bool {
        let common = |a: &[u64], b: &[u64]| a.iter().any(|name| b.binary_search(name).is_ok());
        common(&self.missing, &other.changed) || common(&other.missing, &self.changed)
    }
}

/// Takes names down while references are followed.
#[derive(Debug, Default)]
pub(super) struct Asked {
    changed: Mutex<BTreeSet<u64>>,
    missing: Mutex<BTreeSet<u64>>,
}

impl Asked {
    pub(super) fn missing(&self, name: &str, kind: &str) {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(short(name, kind));
    }

    pub(super) fn changed(&self, name: &str, kind: &str) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(short(name, kind));
    }

    pub(super) fn names(self) -> Names {
        let list =
            |set: Mutex<BTreeSet<u64>>| set.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
        Names { changed: list(self.changed), missing: list(self.missing) }
    }
}

fn short(name: &str, kind: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, kind).hash(&mut hasher);
    hasher.finish()
}
