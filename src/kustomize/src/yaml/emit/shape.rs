//! Which of the forms that YAML has for texts a text can take.

use crate::yaml::scalar;

/// How a scalar is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Single,
    Double,
    Literal,
}

pub(super) fn wanted_form(text: &str) -> Form {
    if text.contains('\n') {
        Form::Literal
    } else if scalar::needs_quotes(text) {
        Form::Double
    } else {
        Form::Plain
    }
}

/// Which forms a text allows.
pub(super) struct Shape {
    plain: bool,
    pub(super) single: bool,
    literal: bool,
    empty: bool,
    several_lines: bool,
}

impl Shape {
    pub(super) fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self { plain: true, single: true, literal: false, empty: true, several_lines: false };
        }
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let mut special = false;
        let (mut break_then_space, mut space_then_break) = (false, false);
        let mut several_lines = false;
        let mut before = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let space_follows = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            indicators |= match c {
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                    before.is_none()
                }
                '#' => before.is_none_or(|before| matches!(before, ' ' | '\t' | '\0') || is_break(before)),
                '?' | '-' => before.is_none() && space_follows,
                ':' => space_follows,
                _ => false,
            };
            special |= !is_printable(c);
            several_lines |= is_break(c);
            break_then_space |= c == ' ' && before.is_some_and(is_break);
            space_then_break |= is_break(c) && before == Some(' ');
            before = Some(c);
        }
        let blank = |c: Option<char>| c.is_some_and(|c| c == ' ' || is_break(c));
        let edges = blank(text.chars().next()) || blank(before);
        let broken = space_then_break || special;
        Self {
            plain: !(edges || break_then_space || broken || several_lines || indicators),
            single: !(break_then_space || broken),
            literal: !(before == Some(' ') || broken),
            empty: false,
            several_lines,
        }
    }

    pub(super) fn form(&self, wanted: Form, simple_key: bool) -> Form {
        let mut form = if simple_key && self.several_lines { Form::Double } else { wanted };
        if form == Form::Plain && (!self.plain || (self.empty && simple_key)) {
            form = Form::Single;
        }
        if form == Form::Single && !self.single {
            form = Form::Double;
        }
        if form == Form::Literal && (!self.literal || simple_key) {
            form = Form::Double;
        }
        form
    }
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FEFE}' | '\u{FF00}'..='\u{FFFD}')
}
