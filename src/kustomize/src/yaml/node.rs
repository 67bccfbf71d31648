//! The tree: text as written, with style, tag and place.

use serde_json::{Map, Number, Value};

use super::scalar::{self, Resolved};

/// Where a node starts; both count from 1. A line of 0 says that nobody wrote it; the column may then tell what made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line in its file.
    pub line: u32,
    /// The column in characters.
    pub column: u32,
}

impl Mark {
    /// The place; what is further than anybody counts is as far as can be told.
    #[must_use]
    pub fn new(line: usize, column: usize) -> Self {
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: short(line), column: short(column) }
    }
}

/// A node that has no JSON value. Its text names no place: the caller knows the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct JsonError {
    /// The node.
    pub mark: Mark,
    /// What is wrong with it.
    pub fault: JsonFault,
}

/// Why a node has no JSON value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// A key is no string.
    #[error("the key {0} is no string; put it in quotes")]
    Key(String),
    /// A text does not fit its tag.
    #[error("{text:?} is no {expected}")]
    Tag {
        /// The text.
        text: String,
        /// What the tag asks for.
        expected: &'static str,
    },
    /// A block text starts with a tab, which the original cannot write.
    #[error("is a block that starts with a tab; write it in double quotes")]
    Tab,
    /// A number is infinite or none.
    #[error("{0} is a number that JSON does not have")]
    Number(String),
}

/// How a node was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// A plain scalar, or a block collection.
    #[default]
    Plain,
    /// `'text'`
    SingleQuoted,
    /// `"text"`
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
    /// A collection in brackets.
    Flow,
    /// A document that ends with a block, behind which a comment stands.
    Trailed,
}

/// The explicit tag of a node; most have none and are resolved by style and text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    /// None.
    #[default]
    None,
    /// `!!str`
    Str,
    /// `!!int`
    Int,
    /// `!!bool`
    Bool,
    /// `!!float`
    Float,
    /// `!!null`
    Null,
    /// `!!timestamp`
    Timestamp,
    /// `!!binary`
    Binary,
    /// Any other.
    Other,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text after the escapes of its style.
    Scalar(String),
    /// Items in order.
    Sequence(Vec<Node>),
    /// Pairs in the order of the text.
    Mapping(Vec<(Node, Node)>),
}

/// One node of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it holds.
    pub kind: Kind,
    /// Its explicit tag.
    pub tag: Tag,
    /// How it was written.
    pub style: Style,
    /// Where.
    pub mark: Mark,
}

impl Node {
    /// A plain scalar that is resolved by its text.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { kind: Kind::Scalar(text.into()), tag: Tag::None, style: Style::Plain, mark: Mark::default() }
    }

    /// A string, whatever its text looks like.
    #[must_use]
    pub fn string(text: impl Into<String>) -> Self {
        Self { tag: Tag::Str, ..Self::plain(text) }
    }

    /// An empty mapping.
    #[must_use]
    pub fn mapping() -> Self {
        Self { kind: Kind::Mapping(Vec::new()), ..Self::plain("") }
    }

    /// An empty sequence.
    #[must_use]
    pub fn sequence() -> Self {
        Self { kind: Kind::Sequence(Vec::new()), ..Self::plain("") }
    }

    /// The text of a scalar.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text) => Some(text),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// The items of a sequence.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        match &self.kind {
            Kind::Sequence(items) => Some(items),
            Kind::Scalar(_) | Kind::Mapping(_) => None,
        }
    }

    /// The pairs of a mapping.
    #[must_use]
    pub fn pairs(&self) -> Option<&[(Self, Self)]> {
        match &self.kind {
            Kind::Mapping(pairs) => Some(pairs),
            Kind::Scalar(_) | Kind::Sequence(_) => None,
        }
    }

    /// Whether this is null, by its tag or as it was written. Nothing that has another tag is, nor what has no type yet.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match (&self.kind, &self.tag) {
            (Kind::Scalar(_), Tag::Null) => true,
            (Kind::Scalar(text), Tag::None) => !self.is_untyped() && matches!(self.resolve(text), Resolved::Null),
            (Kind::Scalar(_) | Kind::Sequence(_) | Kind::Mapping(_), _) => false,
        }
    }

    /// Whether this is null, an empty string or an empty collection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Scalar(text) => text.is_empty() || self.is_null(),
            Kind::Sequence(items) => items.is_empty(),
            Kind::Mapping(pairs) => pairs.is_empty(),
        }
    }

    /// Whether this is a scalar that resolves to a string.
    #[must_use]
    pub fn is_string(&self) -> bool {
        match &self.kind {
            Kind::Scalar(text) => matches!(self.resolve(text), Resolved::Str),
            Kind::Sequence(_) | Kind::Mapping(_) => false,
        }
    }

    /// The tag of a scalar, its own or the one that its text stands for.
    #[must_use]
    pub fn type_tag(&self) -> Tag {
        match (&self.kind, &self.tag) {
            (Kind::Scalar(text), Tag::None) => match self.resolve(text) {
                Resolved::Null => Tag::Null,
                Resolved::Bool(_) => Tag::Bool,
                Resolved::Int(_) | Resolved::Unsigned(_) => Tag::Int,
                Resolved::Float(_) => Tag::Float,
                Resolved::Str if self.is_timestamp() => Tag::Timestamp,
                Resolved::Str => Tag::Str,
            },
            (_, tag) => tag.clone(),
        }
    }

    /// Whether this is a scalar that nobody has written in a file, nor given a tag: it has no type until it is printed.
    #[must_use]
    pub fn is_untyped(&self) -> bool {
        self.mark.line == 0 && self.tag == Tag::None && matches!(self.kind, Kind::Scalar(_))
    }

    /// Whether this is text without quotes that the reader of YAML 1.1 takes for something else, a collection included.
    #[must_use]
    pub fn is_other_in_1_1(&self) -> bool {
        let Kind::Scalar(text) = &self.kind else { return false };
        if self.style != Style::Plain || text.is_empty() || text.contains('\n') {
            return false;
        }
        match self.tag {
            Tag::None if !self.is_untyped() => scalar::is_old_boolean(text),
            Tag::None | Tag::Str if super::emit::style_of(text) == Style::SingleQuoted => {
                // What cannot stand there without quotes is looked at as a document.
                super::read_first(text.as_bytes(), super::Repeats::LastCounts)
                    .is_ok_and(|(document, _)| document.is_none_or(|document| !document.is_string()))
            }
            Tag::None | Tag::Str => scalar::is_typed_in_1_1(text),
            Tag::Int | Tag::Bool | Tag::Float | Tag::Null | Tag::Timestamp | Tag::Binary | Tag::Other => false,
        }
    }

    /// With the tag that its text stands for, so that another text has the same type, or fits it not at all. What has no
    /// type yet gets none.
    #[must_use]
    pub fn pinned(self) -> Self {
        let has_type = matches!(self.kind, Kind::Scalar(_)) && !self.is_untyped();
        if has_type { Self { tag: self.type_tag(), ..self } } else { self }
    }

    /// Another text in the place of this scalar. It keeps the style, so that what was in quotes stays a string, and has no
    /// type.
    #[must_use]
    pub fn with_text(&self, text: impl Into<String>) -> Self {
        // The mark of what nobody wrote tells where else it is.
        let mark = if self.mark.line == 0 { self.mark } else { Mark::default() };
        Self { style: self.style, mark, ..Self::plain(text) }
    }

    /// How many nodes there are in this one, itself and keys included, and how deep they are nested.
    #[must_use]
    pub fn extent(&self) -> (usize, usize) {
        let more = |(nodes, depth): (usize, usize), inner: &Self| {
            let (more, deep) = inner.extent();
            (nodes + more, depth.max(deep + 1))
        };
        match &self.kind {
            Kind::Scalar(_) => (1, 0),
            Kind::Sequence(items) => items.iter().fold((1, 0), more),
            Kind::Mapping(pairs) => pairs.iter().fold((1, 0), |sum, (key, value)| more(more(sum, key), value)),
        }
    }

    /// The value of `key` in a mapping.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.pairs()?.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// The value of `key` in a mapping, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.kind {
            Kind::Mapping(pairs) => pairs.iter_mut().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value),
            Kind::Scalar(_) | Kind::Sequence(_) => None,
        }
    }

    /// The value at the end of a path of keys.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Sets `key` of a mapping in its place, or adds it at the end; no effect on other kinds.
    pub fn set(&mut self, key: &str, value: Self) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
        } else if let Kind::Mapping(pairs) = &mut self.kind {
            // Most mappings get one key or two, once; what is kept is kept many times.
            pairs.reserve_exact(1);
            pairs.push((Self::plain(key), value));
        }
    }

    /// Takes `key` out of a mapping.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        match &mut self.kind {
            Kind::Mapping(pairs) => {
                let index = pairs.iter().position(|(name, _)| name.text() == Some(key))?;
                Some(pairs.remove(index).1)
            }
            Kind::Scalar(_) | Kind::Sequence(_) => None,
        }
    }

    /// A node for a resolved value, in the styles in which the original writes and reads it; mappings keep the order of the
    /// map.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self { tag: Tag::Null, ..Self::plain("null") },
            Value::Bool(truth) => Self { tag: Tag::Bool, ..Self::plain(truth.to_string()) },
            Value::Number(number) => Self::of_number(number),
            Value::String(text) => Self { style: super::emit::style_of(text), ..Self::string(text.as_str()) },
            Value::Array(items) => {
                let style = if items.is_empty() { Style::Flow } else { Style::Plain };
                Self { kind: Kind::Sequence(items.iter().map(Self::from_json).collect()), style, ..Self::plain("") }
            }
            Value::Object(pairs) => {
                let style = if pairs.is_empty() { Style::Flow } else { Style::Plain };
                let pairs = pairs.iter().map(|(key, value)| (Self::string(key.as_str()), Self::from_json(value)));
                Self { kind: Kind::Mapping(pairs.collect()), style, ..Self::plain("") }
            }
        }
    }

    /// A number as the original's writer puts it: from a million on with an exponent.
    fn of_number(number: &Number) -> Self {
        match number.as_i64() {
            Some(integer) if integer.unsigned_abs() < 1_000_000 => {
                Self { tag: Tag::Int, ..Self::plain(integer.to_string()) }
            }
            _ => Self { tag: Tag::Float, ..Self::plain(super::emit::float_text(number.as_f64().unwrap_or_default())) },
        }
    }

    /// The resolved value, normalised as `kustomize build` prints it: `1e3` and `1_000` are the integer 1000, and the
    /// plain text `2020-1-2` is the string `2020-01-02T00:00:00Z`.
    ///
    /// # Errors
    /// [`JsonError`] with the place of the node that has no such value.
    pub fn to_json(&self) -> Result<Value, JsonError> {
        let Kind::Mapping(pairs) = &self.kind else { return self.to_json_in(false) };
        let in_brackets = self.style == Style::Flow;
        let mut map = Map::new();
        for (key, value) in pairs {
            // Here, and only here, any plain text but null is a key.
            let Some(name) = key.text().filter(|_| !key.is_null()) else { return Err(no_key(key)) };
            map.insert(name.to_owned(), value.to_json_in(in_brackets)?);
        }
        if self.style == Style::Trailed {
            self.lengthen_last_block(&mut map);
        }
        Ok(Value::Object(map))
    }

    /// The comment behind the last block of a document is written with an empty line before it when stock kustomize
    /// prints the object for itself, and that line is one more of a block that keeps its empty lines.
    fn lengthen_last_block(&self, map: &mut Map<String, Value>) {
        let Some((key, mut node)) = self.pairs().and_then(<[_]>::last).map(|(key, value)| (key, value)) else { return };
        let mut value = map.get_mut(key.text().unwrap_or_default());
        loop {
            (node, value) = match (&node.kind, value) {
                (Kind::Sequence(items), Some(Value::Array(values))) => match items.last() {
                    Some(last) => (last, values.last_mut()),
                    None => return,
                },
                (Kind::Mapping(pairs), Some(Value::Object(values))) => match pairs.last() {
                    Some((key, last)) => (last, values.get_mut(key.text().unwrap_or_default())),
                    None => return,
                },
                (Kind::Scalar(_), Some(Value::String(text))) => {
                    if matches!(node.style, Style::Literal | Style::Folded)
                        && scalar::stays_block(text)
                        && (text.ends_with("\n\n") || text == "\n")
                    {
                        text.push('\n');
                    }
                    return;
                }
                _ => return,
            };
        }
    }

    /// Whether this is plain text that readers take for a point in time. It is a string for everybody else.
    #[must_use]
    pub fn is_timestamp(&self) -> bool {
        let Kind::Scalar(text) = &self.kind else { return false };
        let plain = self.tag == Tag::None && self.style == Style::Plain;
        self.tag == Tag::Timestamp || (plain && scalar::timestamp(text).is_some())
    }

    fn to_json_in(&self, in_brackets: bool) -> Result<Value, JsonError> {
        let in_brackets = in_brackets || self.style == Style::Flow;
        match &self.kind {
            // Nothing between brackets, as in `{a: }`, is written again in quotes.
            Kind::Scalar(text) if in_brackets && text.is_empty() && self.tag == Tag::None => {
                Ok(Value::String(String::new()))
            }
            Kind::Scalar(text) => self.scalar_to_json(text, in_brackets),
            Kind::Sequence(items) => {
                items.iter().map(|item| item.to_json_in(in_brackets)).collect::<Result<_, _>>().map(Value::Array)
            }
            Kind::Mapping(pairs) => {
                let mut map = Map::new();
                for (key, value) in pairs {
                    let name = key.text().filter(|_| key.is_string() && !key.is_timestamp());
                    let Some(name) = name else { return Err(no_key(key)) };
                    map.insert(name.to_owned(), value.to_json_in(in_brackets)?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    /// Whether kustomize's writer of nodes takes this for a block: as it was written, or of several lines and never quoted.
    fn is_block(&self, text: &str) -> bool {
        match self.style {
            Style::Literal | Style::Folded => true,
            Style::Plain => text.contains('\n'),
            Style::SingleQuoted | Style::DoubleQuoted | Style::Flow | Style::Trailed => false,
        }
    }

    fn resolve(&self, text: &str) -> Resolved {
        match (&self.tag, self.style) {
            (Tag::None, Style::Plain) => scalar::resolve(text),
            (Tag::Null, _) => Resolved::Null,
            (Tag::Int | Tag::Bool | Tag::Float, _) => scalar::resolve(text),
            (Tag::None | Tag::Str | Tag::Timestamp | Tag::Binary | Tag::Other, _) => Resolved::Str,
        }
    }

    fn scalar_to_json(&self, text: &str, in_brackets: bool) -> Result<Value, JsonError> {
        let error = |fault| Err(JsonError { mark: self.mark, fault });
        let mismatch = |expected| error(JsonFault::Tag { text: text.to_owned(), expected });
        if self.tag == Tag::Binary {
            let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            return match base64::Engine::decode(&base64::engine::general_purpose::STANDARD, compact) {
                Ok(bytes) => Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned())),
                Err(_) => mismatch("base64"),
            };
        }
        if self.tag == Tag::Null && !matches!(scalar::resolve(text), Resolved::Null) {
            return mismatch("null");
        }
        if self.tag == Tag::Timestamp {
            return scalar::timestamp(text).map_or_else(|| mismatch("point in time"), |text| Ok(Value::String(text)));
        }
        let resolved = self.resolve(text);
        if self.tag == Tag::Int && matches!(resolved, Resolved::Float(_)) {
            return mismatch("integer");
        }
        let value = match resolved {
            Resolved::Str if self.style == Style::Plain && self.tag == Tag::None => {
                Value::String(scalar::timestamp(text).unwrap_or_else(|| text.to_owned()))
            }
            Resolved::Str if !in_brackets && self.is_block(text) && scalar::stays_block(text) => {
                if scalar::starts_with_tab(text) {
                    return error(JsonFault::Tab);
                }
                Value::String(if self.style == Style::Folded { scalar::refold(text) } else { text.to_owned() })
            }
            Resolved::Str => Value::String(text.to_owned()),
            Resolved::Null => Value::Null,
            Resolved::Bool(truth) => Value::Bool(truth),
            Resolved::Int(number) => Value::Number(number.into()),
            Resolved::Unsigned(number) => Value::Number(number.into()),
            Resolved::Float(number) => match scalar::float_to_json(number) {
                Some(number) => Value::Number(number),
                None => return error(JsonFault::Number(text.to_owned())),
            },
        };
        match (&self.tag, &value) {
            (Tag::Int, Value::Number(_)) | (Tag::Float, Value::Number(_)) | (Tag::Bool, Value::Bool(_)) => Ok(value),
            (Tag::Int, _) => mismatch("integer"),
            (Tag::Float, _) => mismatch("number"),
            (Tag::Bool, _) => mismatch("boolean"),
            (Tag::None | Tag::Str | Tag::Null | Tag::Timestamp | Tag::Binary | Tag::Other, _) => Ok(value),
        }
    }
}

fn no_key(key: &Node) -> JsonError {
    JsonError { mark: key.mark, fault: JsonFault::Key(key.text().unwrap_or("a collection").to_owned()) }
}
