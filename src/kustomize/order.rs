//! The order of the output.

use std::cmp::Ordering;

use super::id::{Gvk, Id};
use super::kustomization::Sort;
use super::resource::Resource;
use super::tables::{FIRST_KINDS, LAST_KINDS};

/// Sorts as `sortOptions` say; by default kinds that others need come first.
pub(super) fn sort(list: &mut [Resource], options: Option<&Sort>) {
    let owned = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
    let (first, last) = match options {
        Some(Sort::Fifo) => return,
        Some(Sort::Legacy(Some((first, last)))) => (first.clone(), last.clone()),
        Some(Sort::Legacy(None)) | None => (owned(&FIRST_KINDS), owned(&LAST_KINDS)),
    };
    let rank = |kind: &str| {
        // A kind in both lists counts as one of the last.
        if let Some(at) = last.iter().rposition(|known| known == kind) {
            return (1, at);
        }
        first.iter().rposition(|known| known == kind).map_or((0, 0), |at| (-1, at))
    };
    list.sort_by_cached_key(|resource| {
        let id = resource.id();
        Key { rank: rank(&id.gvk.kind), within: text_of(&id, resource.namespace()), id }
    });
}

#[derive(PartialEq, Eq)]
struct Key {
    rank: (i8, usize),
    id: Id,
    /// Namespace and name.
    within: String,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.id.gvk, &other.id.gvk);
        let mut kinds = gvk_text(a).cmp(&gvk_text(b));
        // Namespaces of the core group come before those of others.
        if a.kind == "Namespace" && b.kind == "Namespace" && (a.group.is_empty() || b.group.is_empty()) {
            kinds = kinds.reverse();
        }
        self.rank.cmp(&other.rank).then(kinds).then_with(|| self.within.cmp(&other.within))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Absent parts come after all others.
fn gvk_text(gvk: &Gvk) -> String {
    let or = |text: &str, absent: &str| if text.is_empty() { absent.to_owned() } else { text.to_owned() };
    format!("{}_{}_{}", or(&gvk.group, "~G"), or(&gvk.version, "~V"), or(&gvk.kind, "~K"))
}

fn text_of(id: &Id, namespace: &str) -> String {
    let or = |text: &str, absent: &str| if text.is_empty() { absent.to_owned() } else { text.to_owned() };
    format!("{}|{}", or(namespace, "~X"), or(&id.name, "~N"))
}
