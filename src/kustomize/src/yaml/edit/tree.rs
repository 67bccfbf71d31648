//! The nodes of a document with their places in its text.

use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use super::{EditError, place};

/// Deeper documents are refused: the tree is walked by recursion.
const MAX_DEPTH: usize = 100;

/// A node and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    /// Bytes of the content, without anchor, tag and the header of a block scalar. A block collection ends where its
    /// last child ends; a value that is not written has an empty range.
    pub(super) span: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Content {
    /// `indent` is that of a block scalar's lines.
    Scalar {
        style: ScalarStyle,
        indent: usize,
    },
    Mapping {
        flow: bool,
        entries: Vec<Entry>,
    },
    /// `dashes` are the places of the `-` before each item of a block sequence.
    Sequence {
        flow: bool,
        items: Vec<Node>,
        dashes: Vec<usize>,
    },
    Alias,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The key's text; `None` where the key is no scalar.
    pub(super) name: Option<String>,
    pub(super) key: Range<usize>,
    pub(super) value: Node,
}

impl Node {
    /// Whether nothing is written where the node stands.
    pub(super) fn is_absent(&self) -> bool {
        self.span.is_empty() && matches!(self.content, Content::Scalar { style: ScalarStyle::Plain, .. })
    }

    pub(super) fn is_empty_flow(&self) -> bool {
        match &self.content {
            Content::Mapping { flow: true, entries } => entries.is_empty(),
            Content::Sequence { flow: true, items, .. } => items.is_empty(),
            Content::Mapping { .. } | Content::Sequence { .. } | Content::Scalar { .. } | Content::Alias => false,
        }
    }
}

/// The only document of `text`.
pub(super) fn parse(text: &str) -> Result<Node, EditError> {
    let mut events = Vec::new();
    let mut starts = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| EditError::Syntax { line: error.marker().line(), message: error.info().to_owned() })?;
        match event {
            Event::DocumentStart(..) => starts.push(end(&span)),
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Comment(..) => {}
            other => events.push((other, span)),
        }
    }
    let [start] = starts.as_slice() else {
        return Err(EditError::Place(format!("the file has {} documents, and only one can be edited", starts.len())));
    };
    let mut reader = Reader { text, events: events.into_iter() };
    let first = reader.next()?;
    reader.node(first, 0, *start)
}

fn end(span: &Span) -> usize {
    span.byte_range().unwrap_or_default().end
}

struct Reader<'t> {
    text: &'t str,
    events: std::vec::IntoIter<(Event<'t>, Span)>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), EditError> {
        self.events.next().ok_or_else(|| EditError::Place("the document ends too early".to_owned()))
    }

    /// `after` is where the text that can belong to the node begins.
    fn node(&mut self, (event, span): (Event<'t>, Span), depth: usize, after: usize) -> Result<Node, EditError> {
        if depth > MAX_DEPTH {
            return Err(EditError::Place(format!("the document is nested more than {MAX_DEPTH} levels deep")));
        }
        let bytes = span.byte_range().unwrap_or_default();
        match event {
            Event::Scalar(_, style, ..) => Ok(Node {
                span: self.scalar_span(style, bytes),
                content: Content::Scalar { style, indent: span.indent.unwrap_or(0) },
            }),
            Event::MappingStart(style, ..) => self.mapping(style == StructureStyle::Flow, bytes, depth, after),
            Event::SequenceStart(style, ..) => self.sequence(style == StructureStyle::Flow, bytes, depth, after),
            Event::Alias(_) => Ok(Node { content: Content::Alias, span: bytes }),
            _ => Err(EditError::Place("the document has something that no edit understands".to_owned())),
        }
    }

    fn mapping(&mut self, flow: bool, bytes: Range<usize>, depth: usize, after: usize) -> Result<Node, EditError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut after = after.max(bytes.end);
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                let end =
                    if flow { end(&span) } else { entries.last().map_or(bytes.end, |entry| entry.value.span.end) };
                return Ok(Node { content: Content::Mapping { flow, entries }, span: bytes.start..end });
            }
            let name = event.scalar().map(|(text, _)| text.to_owned());
            let key = self.node((event, span), depth + 1, after)?.span;
            // A key without a colon stands in flow style only; nothing can be placed there.
            let colon = place::colon(self.text, key.end).map_or(key.end, |at| at + 1);
            let value = self.next()?;
            let mut value = self.node(value, depth + 1, colon)?;
            // An absent value is reported anywhere up to the next token.
            if value.is_absent() {
                value.span = colon..colon;
            }
            after = value.span.end;
            entries.push(Entry { name, key, value });
        }
    }

    fn sequence(&mut self, flow: bool, bytes: Range<usize>, depth: usize, after: usize) -> Result<Node, EditError> {
        let (mut items, mut dashes): (Vec<Node>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut after = if flow { bytes.end } else { after };
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                let end = if flow { end(&span) } else { items.last().map_or(bytes.end, |item| item.span.end) };
                return Ok(Node { content: Content::Sequence { flow, items, dashes }, span: bytes.start..end });
            }
            if !flow {
                let dash = place::dash(self.text, after)
                    .ok_or_else(|| EditError::Place("the '-' before a list item was not found".to_owned()))?;
                after = dash + 1;
                dashes.push(dash);
            }
            let mut item = self.node((event, span), depth + 1, after)?;
            if !flow && item.is_absent() {
                item.span = after..after;
            }
            after = item.span.end;
            items.push(item);
        }
    }

    /// The blank lines after a block scalar are no part of it, unless it keeps them (`|+`).
    fn scalar_span(&self, style: ScalarStyle, bytes: Range<usize>) -> Range<usize> {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return bytes;
        }
        let slice = self.text.get(bytes.clone()).unwrap_or_default();
        let header = self.text.get(..bytes.start).unwrap_or_default().trim_end_matches([' ', '\r', '\n']);
        let header = header.rsplit('\n').next().unwrap_or_default();
        let keeps = header.split('#').next().unwrap_or_default().trim_end().trim_end_matches(char::is_numeric);
        if keeps.ends_with('+') {
            // The line break that ends the scalar belongs to it; places are counted up to the end of a line.
            let end = slice.strip_suffix('\n').unwrap_or(slice);
            return bytes.start..bytes.start + end.strip_suffix('\r').unwrap_or(end).len();
        }
        bytes.start..bytes.start + slice.trim_end_matches([' ', '\t', '\r', '\n']).len()
    }
}
