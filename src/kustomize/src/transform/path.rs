//! Paths of fields as `replacements` and variables write them: `spec.containers.[name=web].image`, `a.0`, `a.*.b`.

use regex::Regex;

use crate::load::{self, InnerError};
use crate::pattern::{self, PatternError};
use crate::yaml::{self, Kind, Node, Style};

/// Why a path does not lead to a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldPathError {
    #[error("a path has more than {} parts", yaml::MAX_DEPTH)]
    TooLong,
    #[error("a list is expected on the way there")]
    NoList,
    #[error("a mapping is expected on the way there")]
    NoMapping,
    #[error("{0} must be [field=value]")]
    Item(String),
    #[error("the index {0} is negative")]
    Negative(i64),
    #[error("* cannot stand here")]
    Any,
    #[error("there is no item {0}")]
    NoItem(String),
    #[error("there is no item {part}; the list has {length}")]
    PastEnd { part: String, length: usize },
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("{0} does not match the item that it makes")]
    Mismatch(String),
    #[error(transparent)]
    Text(#[from] InnerError),
    #[error("there is nothing in the text on the way")]
    EmptyText,
}

/// What is made at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    Scalar,
    Sequence,
    Mapping,
}

impl Made {
    /// The kind of a node.
    pub(crate) fn like(node: &Node) -> Self {
        match node.kind {
            Kind::Scalar(_) => Self::Scalar,
            Kind::Sequence(_) => Self::Sequence,
            Kind::Mapping(_) => Self::Mapping,
        }
    }

    fn node(self) -> Node {
        match self {
            Self::Scalar => Node::plain(""),
            Self::Sequence => Node::sequence(),
            Self::Mapping => Node::mapping(),
        }
    }
}

/// The parts between dots. A backslash in front of a dot keeps it, and so do brackets, which stay when they pick an item
/// of a list.
pub(crate) fn split(path: &str) -> Vec<String> {
    let mut plain: Vec<String> = Vec::new();
    let texts: Vec<&str> = path.split('.').collect();
    let skip = usize::from(texts.len() > 1 && texts[0].is_empty());
    for (at, text) in texts.into_iter().skip(skip).enumerate() {
        match plain.last_mut() {
            Some(last) if at > 0 && last.ends_with('\\') => {
                last.pop();
                last.push('.');
                last.push_str(text);
            }
            _ => plain.push(text.to_owned()),
        }
    }
    let mut parts = Vec::new();
    let mut rest = plain.into_iter();
    while let Some(mut part) = rest.next() {
        if part.starts_with('[') && !part.ends_with(']') {
            for more in rest.by_ref() {
                part.push('.');
                part.push_str(&more);
                if more.ends_with(']') {
                    break;
                }
            }
            if !part.contains('=') {
                part = part.trim_matches(['[', ']']).to_owned();
            }
        }
        parts.push(part);
    }
    parts
}

/// Refuses a path that goes deeper than any file does.
///
/// # Errors
/// [`FieldPathError::TooLong`].
pub(crate) fn check_length(parts: &[String]) -> Result<(), FieldPathError> {
    if parts.len() > yaml::MAX_DEPTH { Err(FieldPathError::TooLong) } else { Ok(()) }
}

fn is_item(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

fn number(part: &str) -> Option<i64> {
    part.parse().ok()
}

fn is_index(part: &str) -> bool {
    number(part).is_some_and(|index| index >= 0)
}

/// `[name=value]`: the field and the value of the item; no field for lists of plain values.
fn item_of(part: &str) -> Result<(&str, &str), FieldPathError> {
    let inner = part.strip_suffix(']').unwrap_or(part);
    let inner = inner.strip_prefix('[').unwrap_or(inner);
    inner.split_once('=').ok_or_else(|| FieldPathError::Item(part.to_owned()))
}

fn kind_before(next: Option<&String>, last: Made) -> Made {
    match next {
        None => last,
        Some(next) if next.is_empty() => last,
        Some(next) if is_item(next) || is_index(next) => Made::Sequence,
        Some(_) => Made::Mapping,
    }
}

/// The items of a list; null has none.
fn items(node: &Node) -> Result<&[Node], FieldPathError> {
    if node.is_null() { Ok(&[]) } else { node.items().ok_or(FieldPathError::NoList) }
}

/// The place of a node below another: of each level the number of the item or pair.
pub(crate) type Way = Vec<usize>;

/// A step of a [`Way`] out of the object, into a copy that nobody keeps.
const ASIDE: usize = usize::MAX;

/// Where the one node at the end of a path is; `None` when a part is absent.
///
/// # Errors
/// When a part does not fit what is there, or is `*`, which may be several.
pub(crate) fn way(node: &Node, parts: &[String]) -> Result<Option<Way>, FieldPathError> {
    let mut found = node;
    let mut way = Way::new();
    for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        let next = match number(part) {
            Some(index) => {
                let index = usize::try_from(index).map_err(|_| FieldPathError::Negative(index))?;
                (index < items(found)?.len()).then_some(index)
            }
            None if part == "-" => items(found)?.len().checked_sub(1),
            None if part == "*" => return Err(FieldPathError::Any),
            None if is_item(part) => {
                let (name, value) = item_of(part)?;
                items(found)?.iter().position(|item| has_value(item, name, value))
            }
            None if found.is_null() => None,
            None => {
                let pairs = found.pairs().ok_or(FieldPathError::NoMapping)?;
                pairs.iter().position(|(key, _)| key.text() == Some(part))
            }
        };
        let Some(next) = next else { return Ok(None) };
        way.push(next);
        match step(found, next) {
            Some(inner) => found = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(way))
}

fn step(node: &Node, at: usize) -> Option<&Node> {
    match &node.kind {
        Kind::Scalar(_) => None,
        Kind::Sequence(items) => items.get(at),
        Kind::Mapping(pairs) => pairs.get(at).map(|(_, value)| value),
    }
}

fn step_mut(node: &mut Node, at: usize) -> Option<&mut Node> {
    match &mut node.kind {
        Kind::Scalar(_) => None,
        Kind::Sequence(items) => items.get_mut(at),
        Kind::Mapping(pairs) => pairs.get_mut(at).map(|(_, value)| value),
    }
}

/// The node at a place.
pub(crate) fn at<'a>(node: &'a Node, way: &[usize]) -> Option<&'a Node> {
    way.iter().try_fold(node, |node, at| step(node, *at))
}

/// As [`at`], to change.
pub(crate) fn at_mut<'a>(node: &'a mut Node, way: &[usize]) -> Option<&'a mut Node> {
    way.iter().try_fold(node, |node, at| step_mut(node, *at))
}

/// The one node at the end of a path; `None` when a part is absent.
///
/// # Errors
/// As [`way`].
pub(crate) fn get<'a>(node: &'a Node, parts: &[String]) -> Result<Option<&'a Node>, FieldPathError> {
    Ok(way(node, parts)?.and_then(|way| at(node, &way)))
}

/// As [`get`], to change.
pub(crate) fn get_mut<'a>(node: &'a mut Node, parts: &[String]) -> Result<Option<&'a mut Node>, FieldPathError> {
    Ok(way(node, parts)?.and_then(|way| at_mut(node, &way)))
}

/// Makes what is absent on the way of mappings, and gives the node at the end.
///
/// # Errors
/// When a part does not fit what is there.
pub(crate) fn get_or_make<'a>(
    node: &'a mut Node,
    parts: &[String],
    last: Made,
) -> Result<Option<&'a mut Node>, FieldPathError> {
    let parts: Vec<String> = parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let mut found = node;
    for (at, part) in parts.iter().enumerate() {
        if found.is_null() {
            return Ok(None);
        }
        let made = kind_before(parts.get(at + 1), last);
        let next = if let Some(index) = number(part) {
            let Kind::Sequence(list) = &mut found.kind else { return Err(FieldPathError::NoList) };
            usize::try_from(index).ok().and_then(|index| list.get_mut(index))
        } else if is_item(part) {
            let (name, value) = item_of(part)?;
            let Kind::Sequence(list) = &mut found.kind else { return Err(FieldPathError::NoList) };
            let at = match list.iter().position(|item| has_value(item, name, value)) {
                Some(at) => at,
                None => {
                    list.push(item_node(name, value));
                    list.len() - 1
                }
            };
            list.get_mut(at)
        } else {
            if found.pairs().is_none() {
                return Err(FieldPathError::NoMapping);
            }
            if found.get(part).is_none() {
                found.set(part, made.node());
            }
            found.get_mut(part)
        };
        match next {
            Some(next) => found = next,
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

fn has_value(item: &Node, name: &str, value: &str) -> bool {
    if name.is_empty() {
        return item.text().unwrap_or_default() == value;
    }
    item.get(name).is_some_and(|found| found.text().unwrap_or_default() == value)
}

fn item_node(name: &str, value: &str) -> Node {
    if name.is_empty() {
        return Node::plain(value);
    }
    let mut node = Node::mapping();
    node.set(name, Node::plain(value));
    node
}

/// What is done with a node, which is told where it is.
pub(crate) type Visitor<'a, E> = dyn FnMut(&[usize], &mut Node) -> Result<(), E> + 'a;

/// Calls `set` for every node that a path leads to, and gives their number. What is absent is made when `make` says of
/// which kind. Values in brackets are regular expressions here.
///
/// # Errors
/// What `set` gives, or when a part does not fit what is there.
pub(crate) fn visit<E: From<FieldPathError>>(
    node: &mut Node,
    parts: &[String],
    make: Option<Made>,
    set: &mut Visitor<'_, E>,
) -> Result<usize, E> {
    Visit { make, way: Way::new(), set }.node(node, parts)
}

struct Visit<'a, 'b, E> {
    make: Option<Made>,
    way: Way,
    set: &'a mut Visitor<'b, E>,
}

impl<E: From<FieldPathError>> Visit<'_, '_, E> {
    fn node(&mut self, node: &mut Node, parts: &[String]) -> Result<usize, E> {
        let Some((part, rest)) = parts.split_first() else {
            (self.set)(&self.way, node)?;
            return Ok(1);
        };
        if is_index(part) {
            return self.index(node, part, rest);
        }
        if is_item(part) {
            return self.items(node, part, rest);
        }
        if part == "*" {
            items(node)?;
            let Kind::Sequence(list) = &mut node.kind else { return Ok(0) };
            return list
                .iter_mut()
                .enumerate()
                .try_fold(0, |count, (at, item)| Ok(count + self.inner(at, item, rest)?));
        }
        self.field(node, part, rest)
    }

    fn inner(&mut self, at: usize, node: &mut Node, rest: &[String]) -> Result<usize, E> {
        self.way.push(at);
        let count = self.node(node, rest);
        self.way.pop();
        count
    }

    fn index(&mut self, node: &mut Node, part: &str, rest: &[String]) -> Result<usize, E> {
        let length = items(node)?.len();
        let index = usize::try_from(number(part).unwrap_or_default()).unwrap_or(usize::MAX);
        let Kind::Sequence(list) = &mut node.kind else { return Err(FieldPathError::NoItem(part.to_owned()).into()) };
        if index == length
            && let Some(last) = self.make
        {
            list.push(kind_before(rest.first(), last).node());
        }
        match list.get_mut(index) {
            Some(item) => self.inner(index, item, rest),
            None => Err(FieldPathError::PastEnd { part: part.to_owned(), length }.into()),
        }
    }

    fn items(&mut self, node: &mut Node, part: &str, rest: &[String]) -> Result<usize, E> {
        let (name, value) = item_of(part)?;
        let pattern = pattern::compile(value).map_err(FieldPathError::from)?;
        items(node)?;
        let Kind::Sequence(list) = &mut node.kind else { return Ok(0) };
        let count = self.matching(list, name, &pattern, rest)?;
        if count > 0 || self.make.is_none() {
            return Ok(count);
        }
        list.push(item_node(name, value));
        match self.matching(list, name, &pattern, rest)? {
            0 => Err(FieldPathError::Mismatch(part.to_owned()).into()),
            count => Ok(count),
        }
    }

    fn matching(&mut self, list: &mut [Node], name: &str, pattern: &Regex, rest: &[String]) -> Result<usize, E> {
        let mut count = 0;
        for (at, item) in list.iter_mut().enumerate() {
            // The rest of the path does not count for plain values.
            let (found, rest) = if name.is_empty() {
                (pattern.is_match(written(item).trim()), &[][..])
            } else {
                (item.get(name).is_some_and(|value| pattern.is_match(written(value).trim())), rest)
            };
            if found {
                count += self.inner(at, item, rest)?;
            }
        }
        Ok(count)
    }

    fn field(&mut self, node: &mut Node, part: &str, rest: &[String]) -> Result<usize, E> {
        if node.is_null() {
            // Stock kustomize makes the field on the side: nothing is seen of it.
            let Some(last) = self.make else { return Ok(0) };
            return self.inner(ASIDE, &mut kind_before(rest.first(), last).node(), rest);
        }
        if node.pairs().is_none() {
            return Err(FieldPathError::NoMapping.into());
        }
        if node.get(part).is_none()
            && let Some(last) = self.make
        {
            node.set(part, kind_before(rest.first(), last).node());
        }
        let at = node.pairs().unwrap_or_default().iter().position(|(key, _)| key.text() == Some(part));
        let Some((at, field)) = at.and_then(|at| Some((at, step_mut(node, at)?))) else { return Ok(0) };
        if !rest.is_empty()
            && let Kind::Scalar(text) = &field.kind
        {
            // A path that goes on inside a text is looked up in a copy of what the text holds.
            let inner = load::inner(text).map_err(FieldPathError::from)?;
            let mut inner = inner.ok_or(FieldPathError::EmptyText)?;
            return self.inner(ASIDE, &mut inner, rest);
        }
        self.inner(at, field, rest)
    }
}

/// A value as it is written in its file, quotes included, which is what expressions are held to.
fn written(node: &Node) -> String {
    match (&node.kind, node.style) {
        (Kind::Scalar(text), Style::SingleQuoted) => format!("'{}'", text.replace('\'', "''")),
        (Kind::Scalar(text), Style::DoubleQuoted) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
        }
        (Kind::Scalar(text), _) => text.clone(),
        (Kind::Sequence(_) | Kind::Mapping(_), _) => super::structured::write(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_in_brackets_and_behind_backslashes_stay() {
        let split = |text| split(text).join(" | ");
        assert_eq!(split("spec.containers.[name=a.b].image"), "spec | containers | [name=a.b] | image");
        assert_eq!(split("metadata.annotations.[a.b/c]"), "metadata | annotations | a.b/c");
        assert_eq!(split(r"metadata.annotations.a\.b/c.d"), "metadata | annotations | a.b/c | d");
        assert_eq!(split(".a"), "a");
        assert_eq!(split("a.[b.c"), "a | b.c");
        assert_eq!(split(""), "");
    }
}
