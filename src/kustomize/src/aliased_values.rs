//! Values that were put into several fields of an object at once, and stay one value.
//!
//! Stock kustomize puts one and the same node into all fields of a label or annotation that it makes. Who changes one of
//! them later changes all, selectors included. The output has to be the same, so each such node carries a number, and a
//! change of one is carried to the others.

use std::collections::BTreeMap;

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

/// All values of an object that may be in several places, by their numbers.
pub(super) fn all(object: &Node) -> BTreeMap<Mark, Kind> {
    let mut found = BTreeMap::new();
    walk(object, &mut |node| {
        found.entry(node.mark).or_insert_with(|| node.kind.clone());
    });
    found
}

/// Those that are not as they were any more.
pub(super) fn changed(object: &Node, before: &BTreeMap<Mark, Kind>) -> Vec<Node> {
    let mut found = Vec::new();
    if !before.is_empty() {
        walk(object, &mut |node| {
            if before.get(&node.mark).is_some_and(|kind| *kind != node.kind) {
                found.push(node.clone());
            }
        });
    }
    found
}

fn walk(node: &Node, visit: &mut impl FnMut(&Node)) {
    if is_shared(node) {
        visit(node);
    }
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::Sequence(items) => items.iter().for_each(|item| walk(item, visit)),
        Kind::Mapping(pairs) => pairs.iter().for_each(|(_, value)| walk(value, visit)),
    }
}
