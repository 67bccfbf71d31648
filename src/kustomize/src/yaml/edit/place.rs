//! Where in the text a change goes: each function gives the one splice that makes it.

use std::ops::Range;

use granit_parser::ScalarStyle;
use serde_yaml::{Mapping, Value};

use super::tree::{Content, Entry, Node};
use super::write::{self, Quotes};
use super::{EditError, Step};

/// Text to put in the place of a range.
#[derive(Debug)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

type Placed = Result<Splice, EditError>;

fn refuse(message: impl Into<String>) -> EditError {
    EditError::Place(message.into())
}

/// The text that is edited.
pub(super) struct Source<'t> {
    pub(super) text: &'t str,
    /// Its line break.
    pub(super) newline: &'static str,
}

/// Where the walk along a path ended.
pub(super) struct Found<'n> {
    pub(super) node: &'n Node,
    /// Whether the node stands inside a flow collection.
    pub(super) in_flow: bool,
    /// The column of the key or dash that the node belongs to.
    pub(super) column: usize,
    /// What holds the node.
    pub(super) parent: Option<(&'n Node, usize)>,
    /// The steps that lead nowhere yet.
    pub(super) rest: Vec<Step>,
}

/// Walks `path` as far as there are nodes.
pub(super) fn walk<'n>(source: &Source<'_>, root: &'n Node, path: &[Step]) -> Result<Found<'n>, EditError> {
    let mut found = Found { node: root, in_flow: false, column: 0, parent: None, rest: Vec::new() };
    for (at, step) in path.iter().enumerate() {
        let node = found.node;
        let (child, place, index, flow) = match (&node.content, step) {
            (Content::Mapping { flow, entries }, Step::Key(key)) => {
                let Some(index) = entries.iter().position(|entry| entry.name.as_deref() == Some(key)) else {
                    found.rest = path[at..].to_vec();
                    return Ok(found);
                };
                (&entries[index].value, entries[index].key.start, index, *flow)
            }
            (Content::Sequence { flow, items, dashes }, Step::Index(index)) => {
                let item = items.get(*index).ok_or_else(|| refuse(format!("there is no item {index}")))?;
                (item, dashes.get(*index).copied().unwrap_or(item.span.start), *index, *flow)
            }
            (Content::Alias, _) => return Err(refuse("the value is an alias (*) of another place")),
            _ if node.is_absent() || node.is_empty_flow() => {
                found.rest = path[at..].to_vec();
                return Ok(found);
            }
            _ => return Err(refuse(format!("{step} does not fit what is written there"))),
        };
        found = Found {
            node: child,
            in_flow: found.in_flow || flow,
            column: source.column(place),
            parent: Some((node, index)),
            rest: Vec::new(),
        };
    }
    Ok(found)
}

/// Gives `found` the value, making what its path still lacks.
pub(super) fn set(source: &Source<'_>, found: &Found<'_>, value: &Value) -> Placed {
    if found.rest.is_empty() {
        return replace(source, found, value);
    }
    let mut value = value.clone();
    for step in found.rest.iter().skip(1).rev() {
        let Step::Key(key) = step else { return Err(refuse("a list item cannot be made on the way")) };
        value = Value::Mapping(Mapping::from_iter([(Value::String(key.clone()), value)]));
    }
    let Some(Step::Key(key)) = found.rest.first() else { return Err(refuse("the list is missing")) };
    match &found.node.content {
        Content::Mapping { flow: true, entries } => {
            let entry = format!("{}: {}", write::scalar(key), write::flow(&value));
            flow_insert(source, found.node, entries.last().map(|entry| entry.value.span.clone()), &entry)
        }
        Content::Mapping { flow: false, entries } => {
            if entries.iter().any(|entry| entry.name.as_deref() == Some("<<")) {
                return Err(refuse(format!("{key} may come from a merge (<<)")));
            }
            let (first, last) =
                entries.first().zip(entries.last()).ok_or_else(|| refuse("the mapping has no entry"))?;
            let lines = write::entry(key, &value);
            source.lines_after(last.value.span.end, source.column(first.key.start), &lines)
        }
        Content::Scalar { .. } | Content::Sequence { .. } | Content::Alias => {
            let whole = Value::Mapping(Mapping::from_iter([(Value::String(key.clone()), value)]));
            fill(source, found, &whole)
        }
    }
}

/// Puts another value in the place of a scalar or of nothing.
fn replace(source: &Source<'_>, found: &Found<'_>, value: &Value) -> Placed {
    let node = found.node;
    let Content::Scalar { style, .. } = &node.content else {
        if node.is_empty_flow() {
            return fill(source, found, value);
        }
        return Err(refuse("a whole list or mapping, or an alias, stands where a single value is to go"));
    };
    if matches!(value, Value::Mapping(_) | Value::Sequence(_)) {
        return fill(source, found, value);
    }
    if node.is_absent() {
        return Ok(Splice { range: node.span.clone(), text: format!(" {}", write::flow(value)) });
    }
    let quotes = match style {
        ScalarStyle::Plain if found.in_flow => Quotes::AsNeeded,
        ScalarStyle::Plain => Quotes::Block,
        ScalarStyle::SingleQuoted => Quotes::Single,
        ScalarStyle::DoubleQuoted => Quotes::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => return Err(refuse("the value is a text of several lines")),
    };
    let text = match value {
        Value::String(text) => write::quoted(text, quotes),
        other => write::flow(other),
    };
    Ok(Splice { range: node.span.clone(), text })
}

/// Puts a collection where nothing, `[]` or `{}` stands.
fn fill(source: &Source<'_>, found: &Found<'_>, value: &Value) -> Placed {
    let node = found.node;
    if !node.is_absent() && !node.is_empty_flow() {
        return Err(refuse("a value stands where a list or mapping is to go"));
    }
    if found.in_flow || !matches!(found.parent, Some((Node { content: Content::Mapping { .. }, .. }, _))) {
        let space = if node.is_absent() { " " } else { "" };
        return Ok(Splice { range: node.span.clone(), text: format!("{space}{}", write::flow(value)) });
    }
    let column = match value {
        Value::Mapping(_) => found.column + 2,
        _ => found.column,
    };
    let mut splice = source.lines_after(node.span.end, column, &write::block(value))?;
    let before = source.text[..node.span.start].trim_end_matches(' ').len();
    let comment = source.text[node.span.end..splice.range.start].trim_end();
    let space = if comment.is_empty() || comment.starts_with(' ') { "" } else { " " };
    splice.text = format!("{space}{comment}{}", splice.text);
    splice.range.start = if node.is_absent() { node.span.start } else { before };
    Ok(splice)
}

/// Puts an item into a list.
pub(super) fn insert(source: &Source<'_>, found: &Found<'_>, index: usize, value: &Value) -> Placed {
    if let [Step::Key(_), ..] = found.rest.as_slice() {
        return set(source, found, &Value::Sequence(vec![value.clone()]));
    }
    let node = found.node;
    match &node.content {
        Content::Sequence { flow: true, items, .. } if !items.is_empty() => match items.get(index) {
            Some(next) => {
                let start = next.span.start;
                Ok(Splice { range: start..start, text: format!("{}, ", write::flow(value)) })
            }
            None => flow_insert(source, node, items.last().map(|item| item.span.clone()), &write::flow(value)),
        },
        Content::Sequence { flow: false, items, dashes } => {
            let first = *dashes.first().ok_or_else(|| refuse("the list has no item"))?;
            let column = source.column(first);
            let lines = write::item(value);
            if let Some(previous) = index.checked_sub(1) {
                let previous = items.get(previous).ok_or_else(|| refuse(format!("there is no item {previous}")))?;
                return source.lines_after(previous.span.end, column, &lines);
            }
            let start = source.line_start(first);
            if !source.text[start..first].chars().all(|c| c == ' ') {
                return Err(refuse("the first item shares its line"));
            }
            let text: String =
                lines.iter().map(|line| format!("{}{line}{}", " ".repeat(column), source.newline)).collect();
            Ok(Splice { range: start..start, text })
        }
        _ if node.is_absent() || node.is_empty_flow() => fill(source, found, &Value::Sequence(vec![value.clone()])),
        _ => Err(refuse("there is no list")),
    }
}

/// Takes an entry or item away.
pub(super) fn remove(source: &Source<'_>, root: &Node, path: &[Step]) -> Placed {
    let (_, above) = path.split_last().ok_or_else(|| refuse("the whole document cannot be removed"))?;
    let found = walk(source, root, path)?;
    let Some((holder, index)) = found.parent.filter(|_| found.rest.is_empty()) else {
        return Err(refuse("there is nothing to remove"));
    };
    let (flow, children) = match &holder.content {
        Content::Mapping { flow, entries } => {
            (*flow, entries.iter().map(|Entry { key, value, .. }| key.start..value.span.end).collect::<Vec<_>>())
        }
        Content::Sequence { flow: true, items, .. } => (true, items.iter().map(|item| item.span.clone()).collect()),
        Content::Sequence { flow: false, items, dashes } => {
            (false, dashes.iter().zip(items).map(|(dash, item)| *dash..item.span.end).collect())
        }
        Content::Scalar { .. } | Content::Alias => return Err(refuse("there is nothing to remove")),
    };
    let child = children[index].clone();
    let previous = index.checked_sub(1).and_then(|at| children.get(at));
    let next = children.get(index + 1);
    if flow {
        let range = match (previous, next) {
            (_, Some(next)) => child.start..next.start,
            (Some(previous), None) => previous.end..child.end,
            (None, None) => child.clone(),
        };
        let between = [&source.text[range.start..child.start], &source.text[child.end..range.end]].concat();
        if between.contains(['#', '&', '!']) {
            return Err(refuse("a comment or an anchor stands between the entries"));
        }
        return Ok(Splice { range, text: String::new() });
    }
    let start = source.line_start(child.start);
    let alone = source.text[start..child.start].chars().all(|c| c == ' ');
    if let (None, None) = (previous, next) {
        let parent = walk(source, root, above)?;
        let (true, Some((Node { content: Content::Mapping { flow: false, entries }, .. }, at))) =
            (alone, parent.parent)
        else {
            return Err(refuse("it is the only one there"));
        };
        // What stays behind must stay a collection: `key:` alone would be null.
        let colon = colon(source.text, entries[at].key.end).ok_or_else(|| refuse("the ':' was not found"))? + 1;
        let empty = if matches!(holder.content, Content::Mapping { .. }) { " {}" } else { " []" };
        let kept = &source.text[colon..start];
        let end = source.line_end(child.end)?;
        let kept = kept.strip_suffix('\n').map_or(kept, |kept| kept.strip_suffix('\r').unwrap_or(kept));
        return Ok(Splice { range: colon..end, text: format!("{empty}{kept}") });
    }
    if !alone {
        let next = next.ok_or_else(|| refuse("it shares its line with something else"))?;
        if source.text[child.end..next.start].contains('#') {
            return Err(refuse("a comment stands in the way"));
        }
        return Ok(Splice { range: child.start..next.start, text: String::new() });
    }
    let end = source.line_end(child.end)?;
    let range = match source.text[end..].find('\n') {
        Some(newline) => start..end + newline + 1,
        // The last line of a file without a line break at its end.
        None => source.text[..start].trim_end_matches(['\r', '\n']).len()..end,
    };
    Ok(Splice { range, text: String::new() })
}

/// After the last entry of a flow collection, or as its only one.
fn flow_insert(source: &Source<'_>, node: &Node, last: Option<Range<usize>>, text: &str) -> Placed {
    let Some(last) = last else {
        let at = node.span.start + 1;
        return Ok(Splice { range: at..at, text: text.to_owned() });
    };
    let start = source.line_start(last.start);
    let lead = &source.text[start..last.start];
    let own_line = !lead.is_empty() && lead.chars().all(|c| c == ' ');
    let separator = if own_line { format!(",{}{lead}", source.newline) } else { ", ".to_owned() };
    Ok(Splice { range: last.end..last.end, text: format!("{separator}{text}") })
}

/// Changes the lines of a literal block from those of `old` to those of `new`; lines that stay keep their bytes.
pub(super) fn literal(source: &Source<'_>, node: &Node, old: &str, new: &str) -> Placed {
    let Content::Scalar { style: ScalarStyle::Literal, indent } = node.content else {
        return Err(refuse("the text inside is not a literal block (|)"));
    };
    let start = source.line_start(node.span.start);
    let outer: Vec<&str> = source.text[start..node.span.end].split('\n').collect();
    let lines = |text: &'_ str| -> Vec<String> { text.trim_end_matches('\n').split('\n').map(str::to_owned).collect() };
    let (old, new) = (lines(old), lines(new));
    if outer.len() != old.len() {
        return Err(refuse("the lines of the text inside do not match those of the file"));
    }
    let same = |(a, b): &(&String, &String)| a == b;
    let prefix = old.iter().zip(&new).take_while(same).count();
    let suffix = old[prefix..].iter().rev().zip(new[prefix..].iter().rev()).take_while(same).count();
    let middle: Vec<String> = new[prefix..new.len() - suffix]
        .iter()
        .map(|line| if line.is_empty() { String::new() } else { format!("{}{line}", " ".repeat(indent)) })
        .collect();
    let offset = |line: usize| start + outer[..line].iter().map(|line| line.len() + 1).sum::<usize>();
    let mut text = middle.join(source.newline);
    let range = if suffix > 0 {
        if !middle.is_empty() {
            text.push_str(source.newline);
        }
        offset(prefix)..offset(outer.len() - suffix)
    } else if prefix > 0 {
        // Up to the end of the block: what goes or comes begins with the break of the line that stays.
        if !middle.is_empty() {
            text.insert_str(0, source.newline);
        }
        source.text[..offset(prefix) - 1].trim_end_matches('\r').len()..node.span.end
    } else {
        start..node.span.end
    };
    Ok(Splice { range, text })
}

impl Source<'_> {
    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn column(&self, at: usize) -> usize {
        let line = &self.text[self.line_start(at)..at];
        line.trim_start_matches('\u{feff}').chars().count()
    }

    /// The end of the line that `at` stands on, when nothing but a comment follows.
    fn line_end(&self, at: usize) -> Result<usize, EditError> {
        let rest = &self.text[at..];
        let line = rest.find('\n').map_or(rest, |newline| &rest[..newline]);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let after = line.trim_start_matches([' ', '\t']);
        if after.is_empty() || (after.starts_with('#') && (after.len() < line.len() || at == 0)) {
            Ok(at + line.len())
        } else {
            Err(refuse("something else stands on the same line"))
        }
    }

    /// New lines below the line that `at` stands on.
    fn lines_after(&self, at: usize, column: usize, lines: &[String]) -> Placed {
        let end = self.line_end(at)?;
        let text: String = lines
            .iter()
            .map(|line| match line.as_str() {
                "" => self.newline.to_owned(),
                line => format!("{}{}{line}", self.newline, " ".repeat(column)),
            })
            .collect();
        Ok(Splice { range: end..end, text })
    }
}

/// The `:` after a key that ends at `after`.
pub(super) fn colon(text: &str, after: usize) -> Option<usize> {
    let rest = text.get(after..)?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    rest[blanks..].starts_with(':').then_some(after + blanks)
}

/// The next `-` after `after`, over white space, comments, anchors and tags.
pub(super) fn dash(text: &str, after: usize) -> Option<usize> {
    let mut at = after;
    loop {
        let rest = text.get(at..)?;
        match rest.chars().next()? {
            ' ' | '\t' | '\r' | '\n' => at += 1,
            '#' => at += rest.find('\n')?,
            '&' | '!' => at += rest.find([' ', '\t', '\r', '\n'])?,
            '-' => return Some(at),
            _ => return None,
        }
    }
}
