//! Values that were put into several fields of an object at once, and stay one value.
//!
//! Stock kustomize puts one and the same node into all fields of a label or annotation that it makes. Who changes one of
//! them later changes all, selectors included. The output has to be the same, so each such node carries a number, and a
//! change of one is carried to the others.

use crate::yaml::{Kind, Mark, Node};

/// The mark of what is made under a number.
pub(super) fn mark(number: usize) -> Mark {
    Mark::new(0, number)
}

/// Whether a node may be in several places.
pub(super) fn is_shared(node: &Node) -> bool {
    node.mark.line == 0 && node.mark.column > 0
}

/// Carries changed nodes to all other places where they are.
pub(super) fn spread(object: &mut Node, changed: &[Node]) {
    if changed.is_empty() {
        return;
    }
    if let Some(new) = changed.iter().rev().find(|new| new.mark == object.mark) {
        object.clone_from(new);
        return;
    }
    match &mut object.kind {
        Kind::Scalar(_) => {}
        Kind::Sequence(items) => items.iter_mut().for_each(|item| spread(item, changed)),
        Kind::Mapping(pairs) => pairs.iter_mut().for_each(|(_, value)| spread(value, changed)),
    }
}
