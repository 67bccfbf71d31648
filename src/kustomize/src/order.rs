//! The order of the output.

use std::cmp::Ordering;

use super::BuildError;
use super::field::Field;
use super::id::{Gvk, Id};
use super::resource::Resource;
use super::tables::{FIRST_KINDS, LAST_KINDS};

/// `sortOptions`.
#[derive(Clone, Debug)]
pub(super) enum Sort {
    Fifo,
    /// Kinds that come first and last; `None` for the usual ones.
    Legacy(Option<(Vec<String>, Vec<String>)>),
    /// No order at all, which is an error only in the directory that is built: nobody looks at that of its bases.
    Bad(Box<BuildError>),
}

impl Sort {
    pub(super) fn read(entry: &Field<'_>) -> Result<Self, BuildError> {
        let (mut order, mut legacy) = (String::new(), None);
        for (name, field) in entry.fields(&["order", "legacySortOptions"])? {
            if name == "order" {
                order = field.string()?;
                continue;
            }
            let (mut first, mut last) = (Vec::new(), Vec::new());
            for (name, field) in field.fields(&["orderFirst", "orderLast"])? {
                let kinds = field.strings()?.into_iter().map(|(kind, _)| kind).collect();
                if name == "orderFirst" { first = kinds } else { last = kinds }
            }
            legacy = Some((first, last));
        }
        Ok(match (order.as_str(), legacy) {
            ("legacy", legacy) => Self::Legacy(legacy),
            ("fifo", None) => Self::Fifo,
            ("fifo", Some(_)) => Self::Bad(Box::new(entry.error("legacySortOptions go with the order legacy only"))),
            _ => Self::Bad(Box::new(entry.error("the order must be legacy or fifo"))),
        })
    }

    /// # Errors
    /// When there is no such order.
    pub(super) fn checked(&self) -> Result<&Self, BuildError> {
        match self {
            Self::Bad(error) => Err(error.as_ref().clone()),
            Self::Fifo | Self::Legacy(_) => Ok(self),
        }
    }
}

/// Sorts as `sortOptions` say; by default kinds that others need come first.
pub(super) fn sort(list: &mut [Resource], options: Option<&Sort>) {
    let owned = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
    let (first, last) = match options {
        Some(Sort::Fifo | Sort::Bad(_)) => return,
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
        let is_core = id.gvk.group.is_empty();
        let namespace = (id.gvk.kind == "Namespace").then_some(is_core);
        Key { rank: rank(&id.gvk.kind), kind: gvk_text(&id.gvk), namespace, within: text_of(&id, resource.namespace()) }
    });
}

#[derive(PartialEq, Eq)]
struct Key {
    rank: (i8, usize),
    kind: String,
    /// Of a Namespace, whether it is one of the core group.
    namespace: Option<bool>,
    /// Namespace and name.
    within: String,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let mut kinds = self.kind.cmp(&other.kind);
        // Namespaces of the core group come before those of others.
        if let (Some(a), Some(b)) = (self.namespace, other.namespace)
            && (a || b)
        {
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

/// Sorts kinds as the default order does, whatever `sortOptions` say.
pub(super) fn gvk_key(gvk: &Gvk) -> (i8, usize, String) {
    let last = LAST_KINDS.iter().position(|known| *known == gvk.kind).map(|at| (1, at));
    let first = FIRST_KINDS.iter().position(|known| *known == gvk.kind).map(|at| (-1, at));
    let (side, at) = last.or(first).unwrap_or((0, 0));
    (side, at, gvk_text(gvk))
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
