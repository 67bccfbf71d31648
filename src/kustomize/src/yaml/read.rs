//! The reader: bytes in, one tree for each document out.
//!
//! Anchors are resolved here, by copying, and merge keys (`<<`) are carried out, so that whoever changes a tree changes
//! one place of it only. Keys that stand twice in a mapping are errors.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle, options};

use super::compat::{refuse_odd_anchor, refuse_unknown_escapes, refuse_what_readers_disagree_about};
use super::node::{Kind, Mark, Node, Style, Tag};
use super::tabs::{self, Tabs, Token};

/// The deepest nesting.
pub const MAX_DEPTH: usize = 200;
/// How many nodes all anchors and aliases of a file may copy together.
pub const MAX_NODES: usize = 200_000;

/// How many values one text may hold, keys included.
pub const MAX_VALUES: usize = 4_000_000;

/// Why a text is no YAML, or none that is accepted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ReadError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl ReadError {
    pub(super) fn at(mark: Mark, message: impl Into<String>) -> Self {
        Self { line: mark.line as usize, column: mark.column as usize, message: message.into() }
    }
}

/// Reads all documents; empty ones are left out.
///
/// # Errors
/// [`ReadError`] with the place of the first fault.
pub fn read(bytes: &[u8]) -> Result<Vec<Node>, ReadError> {
    Ok(Reader::default().all(bytes)?.documents)
}

/// Reads a text that holds one document; `None` when it holds none.
///
/// # Errors
/// [`ReadError`], also for a second document.
pub fn read_one(bytes: &[u8]) -> Result<Option<Node>, ReadError> {
    let mut documents = read(bytes)?.into_iter();
    let first = documents.next();
    match documents.next() {
        Some(second) => Err(ReadError::at(second.mark, "only one document is expected here")),
        None => Ok(first),
    }
}

/// What becomes of a key that comes twice in one mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeats {
    /// It is an error.
    #[default]
    Refused,
    /// It counts the second time, as for older readers, and is noted.
    LastCounts,
}

/// Reads the first document of a text; `None` when that is empty. Nothing after it is read, which is noted.
///
/// # Errors
/// [`ReadError`] for a fault in the first document.
pub fn read_first(bytes: &[u8], repeats: Repeats) -> Result<(Option<Node>, Vec<ReadError>), ReadError> {
    let reader = Reader { repeats, extent: Extent::First, ..Reader::default() }.all(bytes)?;
    Ok((reader.documents.into_iter().next(), reader.notes))
}

/// How many dashes that stand alone between brackets one text may have.
const MAX_DASHES: usize = 20;

/// The text with quotes around the dash at the place of an error, when that is alone there.
fn dash_in_quotes(text: &[u8], error: &ReadError) -> Option<Vec<u8>> {
    let line =
        text.split_inclusive(|byte| *byte == b'\n').take(error.line.checked_sub(1)?).map(<[u8]>::len).sum::<usize>();
    let rest = std::str::from_utf8(text.get(line..)?).ok()?;
    let (at, c) = rest.char_indices().nth(error.column.checked_sub(1)?)?;
    let next = rest[at..].chars().nth(1);
    if c != '-' || !matches!(next, Some(',' | ']' | '}' | ':')) {
        return None;
    }
    let (before, after) = text.split_at(line + at);
    Some([before, b"\"-\"", &after[1..]].concat())
}

/// A collection that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key of a mapping whose value comes next.
    key: Option<Node>,
}

/// How much of a text is read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Extent {
    #[default]
    All,
    First,
    /// All that was asked for has been read.
    Done,
}

#[derive(Default)]
struct Reader {
    repeats: Repeats,
    extent: Extent,
    notes: Vec<ReadError>,
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    copied: usize,
    /// How many values there were so far.
    values: usize,
    /// The line on which the last scalar ends, when that is a block.
    block_end: Option<usize>,
}

impl Reader {
    /// Reads all documents. A dash alone between brackets, as in `[a, -]`, is text for the readers of Kubernetes and a fault
    /// for the parser; it is put in quotes, and the text read again.
    fn all(self, bytes: &[u8]) -> Result<Self, ReadError> {
        let (repeats, extent) = (self.repeats, self.extent);
        let mut reader = self;
        let mut text = std::borrow::Cow::Borrowed(bytes);
        for _ in 0..MAX_DASHES {
            let error = match reader.read(&text) {
                Ok(()) => return Ok(reader),
                Err(error) => error,
            };
            let Some(quoted) = dash_in_quotes(&text, &error) else { return Err(error) };
            text = std::borrow::Cow::Owned(quoted);
            reader = Self { repeats, extent, ..Self::default() };
        }
        reader.read(&text).map(|()| reader)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
                return Err(ReadError { line, column: 1, message: "is not UTF-8".to_owned() });
            }
        };
        if self.extent == Extent::All {
            refuse_what_readers_disagree_about(text, false, usize::MAX)?;
        }
        let options = options! {
            emit_comments: false,
            emit_anchor_events: true,
            block_scalar_eof_without_line_feed: true,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        let mut end = usize::MAX;
        let mut tabs = Tabs::of(text);
        for event in Parser::new_from_str_with_options(text, options) {
            if self.extent == Extent::Done {
                let (line, column) = match event {
                    // An empty document says nothing.
                    Ok((Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamEnd, _)) => continue,
                    Ok((Event::Scalar(_, ScalarStyle::Plain, ..), span)) if span.is_empty() => continue,
                    Ok((_, span)) => (span.start.line(), span.start.col() + 1),
                    Err(error) => (error.marker().line(), error.marker().col() + 1),
                };
                let message = "only the first document counts here; this is not read".to_owned();
                self.notes.push(ReadError { line, column, message });
                break;
            }
            match event {
                Ok((Event::Anchor(_, name), span)) => refuse_odd_anchor(&name, span.start)?,
                Ok((Event::DocumentEnd, span)) if self.extent == Extent::First => {
                    tabs.end()?;
                    end = span.start.line();
                    self.extent = Extent::Done;
                }
                Ok((event, span)) => {
                    let mark = Mark::new(span.start.line(), span.start.col() + 1);
                    if tabs.matter() && !span.is_empty() {
                        let token = Token {
                            line: span.start.line(),
                            column: span.start.col(),
                            end: span.end.line(),
                            end_column: span.end.col(),
                            kind: match event {
                                Event::Scalar(_, ScalarStyle::Plain, ..) => tabs::Kind::Plain,
                                Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => tabs::Kind::Block,
                                _ => tabs::Kind::Other,
                            },
                            indent: self.around().map(|(mark, is_list)| tabs.indent(mark, is_list)),
                        };
                        tabs.token(token, self.is_in_brackets())?;
                    }
                    if matches!(event, Event::Scalar(_, ScalarStyle::DoubleQuoted, ..)) {
                        refuse_unknown_escapes(span.slice(text).unwrap_or_default(), mark)?;
                    }
                    match event {
                        Event::Scalar(_, ScalarStyle::Literal | ScalarStyle::Folded, ..) => {
                            self.block_end = Some(span.end.line());
                        }
                        Event::Scalar(..) => self.block_end = None,
                        Event::DocumentEnd => {
                            tabs.end()?;
                            self.end_document(text);
                        }
                        _ => {}
                    }
                    self.event(event, mark, span.is_empty())?;
                }
                Err(error) => {
                    let marker = error.marker();
                    return Err(ReadError { line: marker.line(), column: marker.col() + 1, message: error.info() });
                }
            }
        }
        if self.extent == Extent::Done {
            refuse_what_readers_disagree_about(text, true, end)?;
        }
        Ok(())
    }

    fn is_in_brackets(&self) -> bool {
        self.open.last().is_some_and(|open| open.node.style == Style::Flow)
    }

    /// Where the innermost collection begins that is in no brackets, and whether it is a list.
    fn around(&self) -> Option<(Mark, bool)> {
        let block = self.open.iter().rev().find(|open| open.node.style != Style::Flow)?;
        Some((block.node.mark, matches!(block.node.kind, Kind::Sequence(_))))
    }

    /// Notes whether a comment stands behind the last block of a document.
    fn end_document(&mut self, text: &str) {
        let Some(start) = self.block_end.take() else { return };
        let mut after = text.split('\n').skip(start.saturating_sub(1)).take_while(|line| !line.starts_with("---"));
        if after.any(|line| line.trim_start().starts_with('#'))
            && let Some(document) = self.documents.last_mut()
            && document.style == Style::Plain
        {
            document.style = Style::Trailed;
        }
    }

    /// `absent` says that nothing is written there, as for the value in `key:`.
    fn event(&mut self, event: Event<'_>, mark: Mark, absent: bool) -> Result<(), ReadError> {
        match event {
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                };
                if self.is_in_brackets()
                    && style == Style::Plain
                    && ((absent && tag.is_some()) || text.starts_with('?'))
                {
                    return Err(ReadError::at(mark, "is read in several ways between brackets; put it in quotes"));
                }
                let tag = tag.map_or(Tag::None, |tag| tag_of(&tag));
                // The parser gives `~` for what is absent, but the difference counts in merges.
                let text = if absent && style == Style::Plain { String::new() } else { text.into_owned() };
                let node = Node { kind: Kind::Scalar(text), tag, style, mark };
                self.finish(node, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.start(Kind::Sequence(Vec::new()), style, anchor, tag, mark)
            }
            Event::MappingStart(style, anchor, tag) => self.start(Kind::Mapping(Vec::new()), style, anchor, tag, mark),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { mut node, anchor, .. }) => {
                    merge_keys(&mut node)?;
                    if let Err(duplicate) = refuse_duplicates(&node) {
                        if self.repeats == Repeats::Refused {
                            return Err(duplicate);
                        }
                        self.notes
                            .push(ReadError { message: format!("{}, which counts", duplicate.message), ..duplicate });
                        keep_last(&mut node);
                    }
                    self.finish(node, anchor)
                }
                None => Ok(()),
            },
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    return Err(ReadError::at(mark, "an alias cannot stand inside the node it names"));
                };
                let node = node.clone();
                self.charge(&node, mark)?;
                if self.open.len() + depth(&node) > MAX_DEPTH {
                    return Err(ReadError::at(mark, format!("is nested deeper than {MAX_DEPTH} levels")));
                }
                self.finish(node, 0)
            }
            // Stream and document ends carry nothing; comments and anchor names are not asked for.
            _ => Ok(()),
        }
    }

    fn start(
        &mut self,
        kind: Kind,
        style: StructureStyle,
        anchor: usize,
        tag: Option<std::borrow::Cow<'_, granit_parser::Tag>>,
        mark: Mark,
    ) -> Result<(), ReadError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(ReadError::at(mark, format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        let style = if style == StructureStyle::Flow { Style::Flow } else { Style::Plain };
        let tag = tag.map_or(Tag::None, |tag| tag_of(&tag));
        self.open.push(Open { node: Node { kind, tag, style, mark }, anchor, key: None });
        Ok(())
    }

    /// Puts a whole node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), ReadError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(ReadError::at(node.mark, format!("holds more than {MAX_VALUES} values")));
        }
        if anchor != 0 {
            self.charge(&node, node.mark)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            if !(node.is_null() && node.tag == Tag::None) {
                self.documents.push(node);
            }
            return Ok(());
        };
        match &mut open.node.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping(pairs) => match open.key.take() {
                Some(key) => pairs.push((key, node)),
                None => open.key = Some(node),
            },
            Kind::Scalar(_) => {}
        }
        Ok(())
    }

    fn charge(&mut self, node: &Node, mark: Mark) -> Result<(), ReadError> {
        self.copied += size(node);
        if self.copied > MAX_NODES {
            return Err(ReadError::at(mark, format!("anchors and aliases expand to more than {MAX_NODES} nodes")));
        }
        Ok(())
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::Sequence(items) => items.iter().map(size).sum(),
        Kind::Mapping(pairs) => pairs.iter().map(|(key, value)| size(key) + size(value)).sum(),
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Mapping(pairs) => 1 + pairs.iter().map(|(key, value)| depth(key).max(depth(value))).max().unwrap_or(0),
    }
}

fn tag_of(tag: &granit_parser::Tag) -> Tag {
    match tag.suffix_in_namespace("tag:yaml.org,2002:").as_deref() {
        Some("str") => Tag::Str,
        Some("int") => Tag::Int,
        Some("bool") => Tag::Bool,
        Some("float") => Tag::Float,
        Some("null") => Tag::Null,
        Some("timestamp") => Tag::Timestamp,
        Some("binary") => Tag::Binary,
        Some("map" | "seq") => Tag::None,
        // `! 5` says nothing that counts.
        _ if tag.original() == "!" => Tag::None,
        _ => Tag::Other,
    }
}

/// Whether a key is `<<`, written plainly.
fn is_merge_key(key: &Node) -> bool {
    key.text() == Some("<<") && key.style == Style::Plain && key.tag == Tag::None
}

/// Carries `<<` out: pairs of the named mappings are added where the mapping does not have the key itself.
fn merge_keys(node: &mut Node) -> Result<(), ReadError> {
    let Kind::Mapping(pairs) = &mut node.kind else { return Ok(()) };
    let Some(at) = pairs.iter().position(|(key, _)| is_merge_key(key)) else { return Ok(()) };
    let (key, value) = pairs.remove(at);
    if let Some((second, _)) = pairs.iter().find(|(key, _)| is_merge_key(key)) {
        return Err(ReadError::at(second.mark, "the merge key stands here a second time; give one a list"));
    }
    let sources = match value.kind {
        Kind::Sequence(items) => items,
        Kind::Mapping(_) | Kind::Scalar(_) => vec![value],
    };
    let mut own: BTreeSet<String> = pairs.iter().filter_map(|(key, _)| key.text().map(str::to_owned)).collect();
    for source in sources {
        let Kind::Mapping(more) = source.kind else {
            return Err(ReadError::at(key.mark, "a merge key takes a mapping or a list of mappings"));
        };
        for (key, value) in more {
            // Keys that are collections are refused later, so that nobody has to compare them.
            if key.text().is_none_or(|text| own.insert(text.to_owned())) {
                pairs.push((key, value));
            }
        }
    }
    Ok(())
}

fn refuse_duplicates(node: &Node) -> Result<(), ReadError> {
    let Some(pairs) = node.pairs() else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for (key, _) in pairs {
        if let Some(text) = key.text()
            && !seen.insert(text)
        {
            return Err(ReadError::at(key.mark, format!("the key {text:?} stands here a second time")));
        }
    }
    Ok(())
}

/// Of keys that come several times only the last stays.
fn keep_last(node: &mut Node) {
    let Kind::Mapping(pairs) = &mut node.kind else { return };
    let mut seen = BTreeSet::new();
    let mut kept: Vec<(Node, Node)> = Vec::with_capacity(pairs.len());
    for (key, value) in std::mem::take(pairs).into_iter().rev() {
        if key.text().is_none_or(|text| seen.insert(text.to_owned())) {
            kept.push((key, value));
        }
    }
    kept.reverse();
    *pairs = kept;
}
