//! Strategic merges, as kustomize does them.
//!
//! Mappings merge by field, lists by the merge keys of their type, all else is replaced; null takes a field away, and
//! `$patch: delete` or `replace` its mapping or list. Elements of a patch come before those of the object. Objects of
//! unknown types merge by field, and their lists are replaced.
//!
//! What looks odd here is on purpose: lists with two keys of which one is absent are reordered and may lose the patch's
//! element, and untouched fields without any value are dropped, since stock kustomize does so and the output has to be
//! the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::aliased_values;
use crate::id::Gvk;
use crate::schema::{Property, Schema, Type};
use crate::yaml::{Kind, Mark, Node, Style, Tag};

const DIRECTIVE: &str = "$patch";

/// How many elements a list may have that is merged by their keys, which compares each with each.
const MAX_ELEMENTS: usize = 5_000;

/// Why a patch cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum MergeError {
    #[error("a mapping, a list or plain text is merged with something else")]
    Shapes,
    #[error("{DIRECTIVE}: {0} is no directive; there are merge, replace and delete")]
    Directive(String),
    #[error("a field without a name cannot be merged")]
    NoName,
    #[error("a list of more than {MAX_ELEMENTS} elements is not merged by their keys")]
    TooManyElements,
}

/// Merges `patch` into `object`; `None` when the object goes.
///
/// # Errors
/// [`MergeError`].
pub(super) fn merge(object: Node, patch: Node, gvk: &Gvk, types: &Schema) -> Result<Option<Node>, MergeError> {
    let known = KnownElement::of_kind(types, &gvk.api_version(), &gvk.kind).unwrap_or(KnownElement::Unknown);
    walk(Some(object), Patch::Node(patch), Level { types, known })
}

/// The other side of a merge.
enum Patch {
    /// Says nothing about this place.
    Nothing,
    Node(Node),
    /// The object's node came from the patch a moment ago and is merged with itself, which carries out directives and
    /// nulls that are left in it.
    Same,
}

/// What is known of the type of a node.
#[derive(Clone, Copy)]
enum KnownElement<'a> {
    /// Nothing: the node itself may say its kind.
    Unknown,
    /// A type in which no list merges.
    Plain,
    Object(Type),
    List(&'a [String], Option<Type>),
}

impl KnownElement<'_> {
    fn of_kind(types: &Schema, api_version: &str, kind: &str) -> Option<Self> {
        types.kind(api_version, kind).map(Self::Object)
    }
}

/// A node's type among all types.
#[derive(Clone, Copy)]
struct Level<'a> {
    types: &'a Schema,
    known: KnownElement<'a>,
}

impl<'a> Level<'a> {
    fn field(self, name: &str) -> Self {
        let known = match self.known {
            KnownElement::Unknown => KnownElement::Unknown,
            KnownElement::Plain | KnownElement::List(..) => KnownElement::Plain,
            KnownElement::Object(of) => match self.types.property(of, name) {
                Some(Property::Object(of)) => KnownElement::Object(*of),
                Some(Property::List { keys, items }) => KnownElement::List(keys, *items),
                None => KnownElement::Plain,
            },
        };
        Self { known, ..self }
    }

    fn item(self, of: Option<Type>) -> Self {
        Self { known: of.map_or(KnownElement::Plain, KnownElement::Object), ..self }
    }

    /// For nodes of unknown type that carry `apiVersion` and `kind`.
    fn or_own(self, node: Option<&Node>) -> Self {
        match (self.known, node) {
            (KnownElement::Unknown, Some(node)) => {
                let text = |key: &str| node.get(key).and_then(Node::text).filter(|text| !text.is_empty());
                let own = text("apiVersion").zip(text("kind"));
                let own = own.and_then(|(version, kind)| KnownElement::of_kind(self.types, version, kind));
                Self { known: own.unwrap_or(KnownElement::Unknown), ..self }
            }
            _ => self,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Null,
    Mapping,
    Sequence,
    Scalar,
}

fn shape(node: &Node) -> Shape {
    match node.kind {
        _ if node.is_null() => Shape::Null,
        Kind::Mapping(_) => Shape::Mapping,
        Kind::Sequence(_) => Shape::Sequence,
        Kind::Scalar(_) => Shape::Scalar,
    }
}

fn walk(object: Option<Node>, patch: Patch, level: Level<'_>) -> Result<Option<Node>, MergeError> {
    let level = level.or_own(object.as_ref());
    let level = match &patch {
        Patch::Node(node) => level.or_own(Some(node)),
        Patch::Nothing | Patch::Same => level,
    };
    let left = object.as_ref().map_or(Shape::Null, shape);
    let right = match &patch {
        Patch::Node(node) => shape(node),
        Patch::Nothing => Shape::Null,
        Patch::Same => left,
    };
    if left != Shape::Null && right != Shape::Null && left != right {
        return Err(MergeError::Shapes);
    }
    match if left == Shape::Null { right } else { left } {
        Shape::Null => Ok(walk_null(object, &patch)),
        Shape::Mapping => walk_mapping(object, patch, level),
        Shape::Scalar => Ok(match patch {
            Patch::Node(node) => Some(node).filter(|node| !node.is_null()),
            Patch::Nothing | Patch::Same => object,
        }),
        Shape::Sequence => match level.known {
            KnownElement::List(keys, items) => walk_list(object, patch, keys, level.item(items)),
            KnownElement::Unknown | KnownElement::Plain | KnownElement::Object(_) => Ok(match patch {
                Patch::Node(node) => Some(node).filter(|node| !node.is_null()),
                Patch::Nothing | Patch::Same => object,
            }),
        },
    }
}

/// A null that is written out survives where the patch says nothing; one without any text does not.
fn walk_null(object: Option<Node>, patch: &Patch) -> Option<Node> {
    match patch {
        Patch::Nothing => object.filter(|node| node.text().is_some_and(|text| !text.is_empty())),
        Patch::Node(_) | Patch::Same => None,
    }
}

#[derive(PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(text: &str) -> Result<Directive, MergeError> {
    match text {
        "merge" => Ok(Directive::Merge),
        "replace" => Ok(Directive::Replace),
        "delete" => Ok(Directive::Delete),
        other => Err(MergeError::Directive(other.to_owned())),
    }
}

/// Takes the directive out of a mapping.
fn mapping_directive(node: &mut Node) -> Result<Directive, MergeError> {
    let Some(value) = node.get(DIRECTIVE) else { return Ok(Directive::Merge) };
    let found = directive(value.text().unwrap_or_default())?;
    node.remove(DIRECTIVE);
    Ok(found)
}

/// Takes the directive out of a list: an element that is nothing else.
fn list_directive(node: &mut Node) -> Result<Directive, MergeError> {
    let Kind::Sequence(items) = &mut node.kind else { return Ok(Directive::Merge) };
    let Some(element) = items.iter().find(|item| item.get(DIRECTIVE).is_some()) else { return Ok(Directive::Merge) };
    if element.pairs().is_some_and(|pairs| pairs.len() > 1) {
        return Ok(Directive::Merge);
    }
    let text = element.get(DIRECTIVE).and_then(Node::text).unwrap_or_default().to_owned();
    let found = directive(&text)?;
    items.retain(|item| item.get(DIRECTIVE).and_then(Node::text) != Some(&text));
    Ok(found)
}

/// The object's side and what is left of the patch, after the directive on the level of both.
type Settled = Option<(Node, Patch)>;

fn settle(
    object: Option<Node>,
    patch: Patch,
    take: impl Fn(&mut Node) -> Result<Directive, MergeError>,
) -> Result<Settled, MergeError> {
    match (object.filter(|node| !node.is_null()), patch) {
        (Some(object), Patch::Nothing) => Ok(Some((object, Patch::Nothing))),
        (Some(_), Patch::Node(patch)) if patch.is_null() => Ok(None),
        (Some(object), Patch::Node(mut patch)) => Ok(match take(&mut patch)? {
            Directive::Delete => None,
            Directive::Replace => Some((patch, Patch::Same)),
            Directive::Merge => Some((object, Patch::Node(patch))),
        }),
        (Some(mut object), Patch::Same) => {
            let found = take(&mut object)?;
            Ok((found != Directive::Delete).then_some((object, Patch::Same)))
        }
        (None, Patch::Node(patch)) => Ok(Some((patch, Patch::Same))),
        (None, Patch::Nothing | Patch::Same) => Ok(None),
    }
}

fn walk_mapping(object: Option<Node>, patch: Patch, level: Level<'_>) -> Result<Option<Node>, MergeError> {
    let new = object.as_ref().is_none_or(Node::is_null);
    let Some((mut object, patch)) = settle(object, patch, mapping_directive)? else { return Ok(None) };
    // What is no directive stays where it is new.
    if new && mapping_directive(&mut object) == Ok(Directive::Delete) {
        return Ok(None);
    }
    let same = matches!(patch, Patch::Same);
    let mut theirs = match patch {
        Patch::Node(node) => by_name(node),
        Patch::Nothing | Patch::Same => BTreeMap::new(),
    };
    let empty = Node { mark: object.mark, ..Node::mapping() };
    let mut ours = by_name(std::mem::replace(&mut object, empty));
    let names: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
    if names.contains("") {
        return Err(MergeError::NoName);
    }
    let Kind::Mapping(merged) = &mut object.kind else { return Ok(Some(object)) };
    merged.reserve_exact(names.len());
    for name in names {
        let (our_key, our_value) = ours.remove(&name).unzip();
        let (their_key, patch) = match theirs.remove(&name) {
            Some((key, value)) => (Some(key), Patch::Node(value)),
            None if same => (None, Patch::Same),
            None => (None, Patch::Nothing),
        };
        let patched = matches!(patch, Patch::Node(_));
        let old = our_value.as_ref().filter(|value| patched && value.text().is_some());
        let old = old.map(|value| (value.style, value.mark));
        if let Some(mut value) = walk(our_value, patch, level.field(&name))?
            && let Some(key) = our_key.or(their_key)
        {
            if let Some((style, mark)) = old {
                value = in_place(value, style, mark);
            } else if value.is_other_in_1_1() {
                // What has no type yet counts as a string, which is put in quotes where it looks like anything else.
                value.style = Style::DoubleQuoted;
            }
            merged.push((key, value));
        }
    }
    Ok(Some(object))
}

/// A scalar in the place of another, whose style it takes: a number becomes a string where the object has one in quotes.
/// A value that stands in several places changes in all of them; its mark says which those are.
fn in_place(value: Node, style: Style, mark: Mark) -> Node {
    let shared = Node { mark, ..Node::plain("") };
    let mark = if aliased_values::is_shared(&shared) { mark } else { value.mark };
    let tag = match (value.type_tag(), style) {
        _ if value.text().is_none() => return value,
        (tag @ (Tag::Binary | Tag::Other | Tag::None), _) | (tag, Style::Plain | Style::Flow) => tag,
        (Tag::Str | Tag::Int | Tag::Bool | Tag::Float | Tag::Null | Tag::Timestamp, _) => Tag::Str,
    };
    Node { tag, style, mark, ..value }
}

fn by_name(node: Node) -> BTreeMap<String, (Node, Node)> {
    match node.kind {
        Kind::Mapping(pairs) => {
            pairs.into_iter().map(|(key, value)| (key.text().unwrap_or_default().to_owned(), (key, value))).collect()
        }
        Kind::Scalar(_) | Kind::Sequence(_) => BTreeMap::new(),
    }
}

/// The values of the merge keys in one element; empty text for one that is absent.
type Values = Vec<String>;

fn walk_list(
    object: Option<Node>,
    patch: Patch,
    keys: &[String],
    items: Level<'_>,
) -> Result<Option<Node>, MergeError> {
    let Some((mut object, patch)) = settle(object, patch, list_directive)? else { return Ok(None) };
    let (same, mut theirs) = match patch {
        Patch::Node(node) => (false, into_items(node)),
        Patch::Nothing => (false, Vec::new()),
        Patch::Same => (true, Vec::new()),
    };
    let empty = Node { mark: object.mark, ..Node::sequence() };
    let mut ours = into_items(std::mem::replace(&mut object, empty));
    if theirs.len().max(ours.len()) > MAX_ELEMENTS {
        return Err(MergeError::TooManyElements);
    }
    let keys: Vec<&str> = if keys.is_empty() { vec![""] } else { keys.iter().map(String::as_str).collect() };
    let keys = keys.as_slice();

    // The patch's elements first.
    let mut all: Vec<Values> = Vec::new();
    let mut seen = BTreeSet::new();
    for item in theirs.iter().chain(&ours) {
        let values: Values = keys.iter().map(|key| value_of(item, key)).collect();
        if seen.insert(values.clone()) {
            all.push(values);
        }
    }
    if keys.len() > 1 {
        fill_in(&mut all);
    }

    let mut merged: Vec<Node> = Vec::new();
    let mut valid: Vec<&str> = Vec::new();
    for values in &all {
        let wanted = wanted(&all, values, keys);
        valid = wanted.iter().map(|(key, _)| *key).collect();
        let exact = exact(values, keys, &wanted);
        let our_index = ours.iter().position(|item| has(item, &exact));
        let their_index = theirs.iter().position(|item| has(item, &exact));
        let our = our_index.map(|index| ours[index].clone());
        let replaces = their_index.is_some_and(|index| {
            let theirs = &theirs[index];
            theirs.pairs().is_none() || theirs.get(DIRECTIVE).and_then(Node::text) == Some("replace")
        });
        let patch = match their_index {
            Some(index) => Patch::Node(theirs[index].clone()),
            None if same => Patch::Same,
            None => Patch::Nothing,
        };
        let value = walk(our, patch, items)?;
        // A directive counts once, also when two of the values lead to one element.
        if let Some(index) = their_index {
            theirs[index].remove(DIRECTIVE);
        } else if let Some(index) = our_index.filter(|_| same) {
            ours[index].remove(DIRECTIVE);
        }
        let Some(mut value) = value.filter(|value| !value.is_null() && !is_empty_mapping(value)) else {
            ours = set_element(ours, None, &wanted);
            continue;
        };
        for (key, text) in &wanted {
            if !key.is_empty() && !text.is_empty() && value.get(key).is_none() {
                value.set(key, Node::plain(text.as_str()));
            }
        }
        // A merged element is the object's own element, changed. One that replaces it is the patch's, and the object's
        // own takes its place again below: in lists, `$patch: replace` of an element does nothing but move it.
        match (our_index, their_index) {
            (Some(index), _) if !replaces => ours[index] = value.clone(),
            (_, Some(index)) => theirs[index] = value.clone(),
            (Some(_), None) | (None, None) => {}
        }
        merged = set_element(merged, Some(value), &wanted);
    }
    let merged = if all.is_empty() { ours } else { append(merged, ours, &valid) };
    object.kind = Kind::Sequence(merged);
    Ok(Some(object))
}

fn into_items(node: Node) -> Vec<Node> {
    match node.kind {
        Kind::Sequence(items) => items,
        Kind::Scalar(_) | Kind::Mapping(_) => Vec::new(),
    }
}

fn is_empty_mapping(node: &Node) -> bool {
    node.pairs().is_some_and(<[_]>::is_empty)
}

/// The text of a key, or of the element itself for lists of plain values.
fn value_of(item: &Node, key: &str) -> String {
    let node = if key.is_empty() { Some(item) } else { item.get(key).filter(|value| !value.is_null()) };
    node.and_then(Node::text).unwrap_or_default().to_owned()
}

/// Values that agree where both have something, and in at least one key, are taken for the same element.
fn fill_in(all: &mut [Values]) {
    for first in 0..all.len() {
        for second in 0..all.len() {
            let pairs = all[first].iter().zip(&all[second]);
            let agree = pairs.clone().any(|(a, b)| a == b);
            let differ = pairs.clone().any(|(a, b)| a != b && !a.is_empty() && !b.is_empty());
            if agree && !differ {
                let joined: Values = pairs.map(|(a, b)| if a.is_empty() { b.clone() } else { a.clone() }).collect();
                all[first].clone_from(&joined);
                all[second] = joined;
            }
        }
    }
}

/// The keys that any element has, with the values of this one; all keys when no element has any.
fn wanted<'a>(all: &[Values], values: &Values, keys: &[&'a str]) -> Vec<(&'a str, String)> {
    let used = |at: usize| all.iter().any(|values| !values[at].is_empty());
    let any = (0..keys.len()).any(used);
    keys.iter().enumerate().filter(|(at, _)| !any || used(*at)).map(|(at, key)| (*key, values[at].clone())).collect()
}

/// Of the wanted keys, those with a value; all when none has one.
fn exact<'a>(values: &Values, keys: &[&'a str], wanted: &[(&'a str, String)]) -> Vec<(&'a str, String)> {
    if values.iter().all(String::is_empty) {
        return keys.iter().map(|key| (*key, String::new())).collect();
    }
    wanted.iter().filter(|(_, value)| !value.is_empty()).cloned().collect()
}

/// Whether an element has these values and no others.
fn has(item: &Node, wanted: &[(&str, String)]) -> bool {
    wanted.iter().all(|(key, value)| {
        let found = if key.is_empty() { Some(item) } else { item.get(key) };
        found.is_some_and(|found| found.text().unwrap_or_default() == value)
    })
}

/// As [`has`], but an empty value is met by any: who looks for an element without a name to put something in its place
/// finds all those that have one.
fn matches(item: &Node, wanted: &[(&str, String)]) -> bool {
    wanted.iter().all(|(key, value)| {
        if key.is_empty() {
            return item.text() == Some(value.as_str());
        }
        item.get(key).is_some_and(|found| value.is_empty() || found.text() == Some(value.as_str()))
    })
}

/// Puts `element` where elements of these values are, or at the end; without one, takes them away.
fn set_element(list: Vec<Node>, element: Option<Node>, wanted: &[(&str, String)]) -> Vec<Node> {
    if wanted.is_empty() {
        // Nothing is looked for, so nothing is kept.
        return element.into_iter().collect();
    }
    let by_key = wanted.first().is_some_and(|(key, value)| !key.is_empty() && !value.is_empty());
    let mut found = false;
    let mut result = Vec::with_capacity(list.len() + 1);
    for item in list {
        if item.is_null() || is_empty_mapping(&item) {
            continue;
        }
        let other_shape = by_key && item.pairs().is_none();
        if other_shape || !matches(&item, wanted) {
            result.push(item);
            continue;
        }
        found = true;
        result.extend(element.clone());
    }
    if !found {
        result.extend(element);
    }
    result
}

/// Adds the object's elements to the merged ones. Each takes the place of what has the same values.
fn append(mut merged: Vec<Node>, ours: Vec<Node>, keys: &[&str]) -> Vec<Node> {
    for item in ours {
        if keys.first().is_none_or(|key| key.is_empty()) {
            let wanted = [("", item.text().unwrap_or_default().to_owned())];
            merged = set_element(merged, Some(item), &wanted);
            continue;
        }
        let mut values = Vec::new();
        for key in keys {
            match item.get(key).filter(|value| !value.is_null()) {
                Some(value) => values.push(value.text().unwrap_or_default().to_owned()),
                None => merged.push(item.clone()),
            }
        }
        // The values of absent keys are left out, so later values stand under the keys before them.
        let wanted: Vec<(&str, String)> = keys.iter().copied().zip(values).collect();
        if keys.len() > 1 {
            merged = set_element(merged, None, &wanted);
        }
        merged = set_element(merged, Some(item), &wanted);
    }
    merged
}
