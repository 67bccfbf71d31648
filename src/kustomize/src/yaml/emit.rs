//! The writer: a value in the exact form of `kustomize build`.
//!
//! Block style, sequences not indented under their key, keys in [`natural_order`], plain text where it reads back as a
//! string, literal blocks for several lines, folding after column 80.

mod shape;

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde_json::{Number, Value};
use shape::{Form, Shape, is_break, is_printable, wanted_form};

use super::{Style, scalar};

/// Lines are folded at the first space after this column.
const WIDTH: usize = 80;
/// The longest text that may stand as a key on one line with its value.
const LONGEST_SIMPLE_KEY: usize = 128;

/// Writes one document without `---`; it ends with a line break.
#[must_use]
pub fn emit(value: &Value) -> String {
    let mut text = String::new();
    emit_to(&mut text, value);
    text
}

/// As [`emit`], at the end of a text.
pub fn emit_to(text: &mut String, value: &Value) {
    let out = std::mem::take(text);
    let mut writer = Writer { out, column: 0, indent: None, after_space: true, only_indented: true };
    writer.node(value, Context::Root);
    if writer.column > 0 {
        writer.line_break();
    }
    *text = writer.out;
}

/// The order of keys: letters after all else, runs of digits by their number.
#[must_use]
pub fn natural_order(a: &str, b: &str) -> Ordering {
    for ((at, x), y) in a.char_indices().zip(b.chars()) {
        if x == y {
            continue;
        }
        match (x.is_alphabetic(), y.is_alphabetic()) {
            (true, true) => return x.cmp(&y),
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) => {}
        }
        // Up to here both are the same, so this is one place in both. A zero inside a number is a digit like others; one at
        // its start makes the number shorter, not smaller.
        let before = a[..at].bytes().rev().take_while(u8::is_ascii_digit);
        let inside = (x == '0' || y == '0') && before.into_iter().any(|digit| digit != b'0');
        let (number_a, digits_a) = number(&a[at..], inside);
        let (number_b, digits_b) = number(&b[at..], inside);
        return number_a.cmp(&number_b).then(digits_a.cmp(&digits_b)).then(x.cmp(&y));
    }
    a.len().cmp(&b.len())
}

/// The number that a text starts with, and how many digits it has.
fn number(text: &str, inside: bool) -> (i64, usize) {
    let mut number = i64::from(inside);
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    let count = digits.map(|digit| number = number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'))).count();
    (number, count)
}

/// Sorts by an order that need not be consistent (numbers wrap), which the standard sort answers with a panic.
fn sort<'a>(mut keys: Vec<(&'a String, &'a Value)>) -> Vec<(&'a String, &'a Value)> {
    if keys.len() < 2 {
        return keys;
    }
    let mut right = sort(keys.split_off(keys.len() / 2)).into_iter().peekable();
    let mut left = sort(keys).into_iter().peekable();
    let mut sorted = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let from_right = natural_order(b.0, a.0) == Ordering::Less;
        sorted.extend(if from_right { right.next() } else { left.next() });
    }
    sorted.extend(left);
    sorted.extend(right);
    sorted
}

/// What stands around a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Item,
    Value,
    SimpleKey,
    Key,
}

struct Writer {
    out: String,
    column: usize,
    indent: Option<usize>,
    /// Whether the last thing written was a space, or an indicator that needs none after it.
    after_space: bool,
    /// Whether the line so far holds nothing but indentation and indicators of it.
    only_indented: bool,
}

impl Writer {
    /// For a single scalar that stands in other text.
    fn wide() -> Self {
        Self { out: String::new(), column: 0, indent: None, after_space: true, only_indented: false }
    }

    fn node(&mut self, value: &Value, context: Context) {
        match value {
            Value::Null => self.scalar("null", Form::Plain, context),
            Value::Bool(truth) => self.scalar(if *truth { "true" } else { "false" }, Form::Plain, context),
            Value::Number(number) => self.scalar(&number_text(number), Form::Plain, context),
            Value::String(text) => self.scalar(text, wanted_form(text), context),
            Value::Array(items) if items.is_empty() => self.empty('[', ']'),
            Value::Array(items) => {
                let outer = self.indent;
                let indentless = context == Context::Value && !self.only_indented;
                self.indent = Some(match outer {
                    None => 0,
                    Some(indent) if indentless => indent,
                    Some(indent) => indent + 2,
                });
                for item in items {
                    self.start_line();
                    self.indicator('-', true, true);
                    self.node(item, Context::Item);
                }
                self.indent = outer;
            }
            Value::Object(pairs) if pairs.is_empty() => self.empty('{', '}'),
            Value::Object(pairs) => {
                let outer = self.indent;
                self.indent = Some(outer.map_or(0, |indent| indent + 2));
                for (key, value) in sort(pairs.iter().collect()) {
                    self.pair(key, value);
                }
                self.indent = outer;
            }
        }
    }

    fn pair(&mut self, key: &str, value: &Value) {
        self.start_line();
        if key.len() <= LONGEST_SIMPLE_KEY && !key.contains(is_break) {
            self.scalar(key, wanted_form(key), Context::SimpleKey);
            self.indicator(':', false, false);
        } else {
            self.indicator('?', true, true);
            self.scalar(key, wanted_form(key), Context::Key);
            self.start_line();
            self.indicator(':', true, true);
        }
        self.node(value, Context::Value);
    }

    fn empty(&mut self, open: char, close: char) {
        self.space();
        self.put(open);
        self.put(close);
        self.after_space = false;
        self.only_indented = false;
    }

    fn scalar(&mut self, text: &str, wanted: Form, context: Context) {
        let form = Shape::of(text).form(wanted, context == Context::SimpleKey);
        let outer = self.indent;
        self.indent = Some(outer.map_or(2, |indent| indent + 2));
        let may_fold = context != Context::SimpleKey;
        match form {
            Form::Plain => self.plain(text, may_fold),
            Form::Single => self.single_quoted(text, may_fold),
            Form::Double => self.double_quoted(text, may_fold),
            Form::Literal => self.literal(text),
        }
        self.indent = outer;
    }

    fn plain(&mut self, text: &str, may_fold: bool) {
        self.space();
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' {
                if may_fold && !spaces && self.column > WIDTH && chars.peek() != Some(&' ') {
                    self.start_line();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                self.only_indented = false;
                spaces = false;
            }
        }
        self.after_space = false;
        self.only_indented = false;
    }

    fn single_quoted(&mut self, text: &str, may_fold: bool) {
        self.quote('\'', true);
        let mut spaces = false;
        let mut breaks = false;
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if c == ' ' {
                let inner = at > 0 && next.is_some() && next != Some(' ');
                if may_fold && !spaces && self.column > WIDTH && inner {
                    self.start_line();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.line_break();
                }
                self.put_break(c);
                self.only_indented = true;
                breaks = true;
            } else {
                if breaks {
                    self.start_line();
                }
                if c == '\'' {
                    self.put(c);
                }
                self.put(c);
                self.only_indented = false;
                spaces = false;
                breaks = false;
            }
        }
        self.quote('\'', false);
    }

    fn double_quoted(&mut self, text: &str, may_fold: bool) {
        self.quote('"', true);
        // A text that starts with a byte order mark is escaped as a whole.
        let marked = text.starts_with('\u{FEFF}');
        let mut spaces = false;
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            if marked || !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                self.escape(c);
                spaces = false;
            } else if c == ' ' {
                if may_fold && !spaces && self.column > WIDTH && at > 0 && next.is_some() {
                    self.start_line();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.quote('"', false);
    }

    fn escape(&mut self, c: char) {
        let short = match c {
            '\0' => "0",
            '\x07' => "a",
            '\x08' => "b",
            '\t' => "t",
            '\n' => "n",
            '\x0b' => "v",
            '\x0c' => "f",
            '\r' => "r",
            '\x1b' => "e",
            '"' => "\"",
            '\\' => "\\",
            '\u{85}' => "N",
            '\u{A0}' => "_",
            '\u{2028}' => "L",
            '\u{2029}' => "P",
            _ => "",
        };
        let code = u32::from(c);
        let start = self.out.len();
        self.out.push('\\');
        // Writing to a string cannot fail.
        let _ = match (short, code) {
            ("", ..=0xFF) => write!(self.out, "x{code:02X}"),
            ("", ..=0xFFFF) => write!(self.out, "u{code:04X}"),
            ("", _) => write!(self.out, "U{code:08X}"),
            (short, _) => write!(self.out, "{short}"),
        };
        self.column += self.out.len() - start;
    }

    fn literal(&mut self, text: &str) {
        self.indicator('|', true, false);
        if text.starts_with([' ', '\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            self.put('2');
        }
        let mut ends = text.chars().rev();
        match (ends.next().is_some_and(is_break), ends.next().is_none_or(is_break)) {
            (false, _) => self.put('-'),
            (true, true) => self.put('+'),
            (true, false) => {}
        }
        self.line_break();
        self.only_indented = true;
        self.after_space = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.put_break(c);
                self.only_indented = true;
                breaks = true;
            } else {
                if breaks {
                    self.start_line();
                }
                self.put(c);
                self.only_indented = false;
                breaks = false;
            }
        }
    }

    fn quote(&mut self, quote: char, opening: bool) {
        if opening {
            self.space();
        }
        self.put(quote);
        self.after_space = false;
        self.only_indented = false;
    }

    fn indicator(&mut self, indicator: char, needs_space: bool, indents: bool) {
        if needs_space {
            self.space();
        }
        self.put(indicator);
        self.after_space = false;
        self.only_indented = self.only_indented && indents;
    }

    fn space(&mut self) {
        if !self.after_space {
            self.put(' ');
        }
    }

    /// Goes to the indentation: on this line when nothing else stands on it, else on the next.
    fn start_line(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.only_indented || self.column > indent || (self.column == indent && !self.after_space) {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.after_space = true;
        self.only_indented = true;
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn put_break(&mut self, c: char) {
        self.out.push(c);
        self.column = 0;
    }

    fn line_break(&mut self) {
        self.put_break('\n');
    }
}

/// The style in which a text is written as a value.
pub(super) fn style_of(text: &str) -> Style {
    match Shape::of(text).form(wanted_form(text), false) {
        Form::Plain => Style::Plain,
        Form::Single => Style::SingleQuoted,
        Form::Double => Style::DoubleQuoted,
        Form::Literal => Style::Literal,
    }
}

/// A text in double quotes on one line.
#[must_use]
pub fn in_quotes(text: &str) -> String {
    let mut writer = Writer::wide();
    writer.double_quoted(text, false);
    writer.out
}

/// Whether a text can stand in single quotes.
#[must_use]
pub fn fits_single_quotes(text: &str) -> bool {
    Shape::of(text).single
}

/// A text as plain as it can be whatever type it seems to have: in quotes only where characters ask for it.
#[must_use]
pub fn without_type(text: &str) -> String {
    let mut writer = Writer::wide();
    match Shape::of(text).form(Form::Plain, true) {
        Form::Single => writer.single_quoted(text, false),
        Form::Double => writer.double_quoted(text, false),
        Form::Plain | Form::Literal => writer.plain(text, false),
    }
    writer.out
}

fn number_text(number: &Number) -> String {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return number.to_string() };
    match scalar::float_to_json(float) {
        Some(whole) if !whole.is_f64() => whole.to_string(),
        _ => float_text(float),
    }
}

/// The shortest digits that read back the same, with an exponent of at least two digits for large and small ones.
#[must_use]
pub fn float_text(float: f64) -> String {
    let scientific = format!("{float:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..=5) if exponent <= 5 => format!("{float}"),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        Err(_) => scientific,
    }
}
