//! Where a tab may not stand.
//!
//! The parser takes tabs for blanks in many places where the readers of Kubernetes do not: a line is indented with spaces
//! alone, outside of brackets and of texts; an entry begins behind `-` and spaces; and below a plain text a tab counts as a
//! blank only behind the indentation.

use super::node::Mark;
use super::read::ReadError;

/// Follows the tokens of a text. Costs nothing for a text without tabs.
pub(super) struct Tabs<'t> {
    /// The lines; none for a text without tabs.
    lines: Vec<&'t str>,
    last: Token,
}

/// What matters of a token here.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text without quotes.
    Plain,
    /// A text below `|` or `>`.
    Block,
    #[default]
    Other,
}

/// A token of one or more lines.
#[derive(Clone, Copy, Default)]
pub(super) struct Token {
    /// The line that it begins in, from 1.
    pub(super) line: usize,
    /// Its column there, from 0.
    pub(super) column: usize,
    /// The line that it ends in.
    pub(super) end: usize,
    /// The column behind its end.
    pub(super) end_column: usize,
    /// What it is.
    pub(super) kind: Kind,
    /// The column of the collection around it that is in no brackets; `None` at the top.
    pub(super) indent: Option<usize>,
}

impl<'t> Tabs<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let lines = if text.contains('\t') { text.split('\n').collect() } else { Vec::new() };
        Self { lines, last: Token::default() }
    }

    /// Whether there is any.
    pub(super) fn matter(&self) -> bool {
        !self.lines.is_empty()
    }

    /// How far a collection is indented. A list as far as its dashes, which the parser does not always let it begin with.
    pub(super) fn indent(&self, begins: Mark, is_list: bool) -> usize {
        let column = (begins.column as usize).saturating_sub(1);
        let line = self.lines.get((begins.line as usize).saturating_sub(1)).copied().unwrap_or_default();
        if !is_list || line.chars().nth(column) == Some('-') && matches!(line.chars().nth(column + 1), None | Some(' '))
        {
            return column;
        }
        let before: String = line.chars().take(column).collect();
        match before.trim_end_matches([' ', '\t']).strip_suffix('-') {
            Some(ahead) => ahead.chars().count(),
            None => column,
        }
    }

    /// Takes the next token.
    ///
    /// # Errors
    /// When a tab stands before it, or inside of it, where none may.
    pub(super) fn token(&mut self, token: Token, in_brackets: bool) -> Result<(), ReadError> {
        let mut token = token;
        if token.kind == Kind::Block {
            // It begins with what is written below its head, and ends where something else does.
            self.between(token.line - 1, in_brackets)?;
            token.end = token.line.max(token.end - usize::from(token.end_column < token.column));
            self.in_block(token)?;
            self.last = token;
            return Ok(());
        }
        self.between(token.line, in_brackets)?;
        if !in_brackets && let Some(column) = self.behind_dash(token) {
            return Err(wrong(token.line, column));
        }
        if token.kind == Kind::Plain {
            for line in token.line + 1..=token.end {
                self.below_plain(line, token.indent)?;
            }
        }
        self.last = token;
        Ok(())
    }

    /// Takes the end of a document, or of the text.
    ///
    /// # Errors
    /// When a tab stands behind the last token where none may.
    pub(super) fn end(&mut self) -> Result<(), ReadError> {
        let rest = self.lines.iter().enumerate().skip(self.last.end);
        let mut marks = rest.filter(|(_, line)| line.starts_with("---") || line.starts_with("..."));
        let end = marks.next().map_or(self.lines.len(), |(at, _)| at);
        self.between(end, false)
    }

    /// The lines behind the last token up to this one, as far as they are blank.
    fn between(&self, end: usize, in_brackets: bool) -> Result<(), ReadError> {
        // The reader looks on for more of a plain text that ends with its line.
        let mut belongs_to_plain = self.last.kind == Kind::Plain && self.ends_its_line(self.last);
        let mut is_commented = false;
        for line in self.last.end + 1..=end {
            if belongs_to_plain {
                self.below_plain(line, self.last.indent)?;
            }
            let text = self.lines.get(line - 1).copied().unwrap_or_default();
            let is_comment = text.trim_start_matches([' ', '\t']).starts_with('#');
            // Comments that follow one another are read together.
            let may_have_tabs = belongs_to_plain || in_brackets || (is_commented && is_comment);
            if let Some(column) = self.first_tab(line).filter(|_| !may_have_tabs) {
                return Err(wrong(line, column));
            }
            belongs_to_plain &= !is_comment;
            is_commented |= is_comment;
        }
        Ok(())
    }

    fn below_plain(&self, line: usize, indent: Option<usize>) -> Result<(), ReadError> {
        match (self.first_tab(line), indent) {
            (Some(column), Some(indent)) if column <= indent => Err(wrong(line, column)),
            _ => Ok(()),
        }
    }

    fn ends_its_line(&self, token: Token) -> bool {
        let line = self.lines.get(token.end.saturating_sub(1)).copied().unwrap_or_default();
        line.chars().skip(token.end_column).all(|c| matches!(c, ' ' | '\t' | '\r'))
    }

    /// The lines of a block are indented with spaces, the blank ones as well.
    fn in_block(&self, block: Token) -> Result<(), ReadError> {
        let tab = |line| Some((line, self.first_tab(line).filter(|column| *column < block.column)?));
        match (block.line..=block.end).find_map(tab) {
            Some((line, column)) => Err(wrong(line, column)),
            None => Ok(()),
        }
    }

    /// The column of the first tab among the blanks that a line begins with.
    fn first_tab(&self, line: usize) -> Option<usize> {
        let text = self.lines.get(line.checked_sub(1)?)?;
        let spaces = text.len() - text.trim_start_matches(' ').len();
        text[spaces..].starts_with('\t').then_some(spaces)
    }

    /// The column of a tab between a token and the dash or question mark before it.
    fn behind_dash(&self, token: Token) -> Option<usize> {
        let line = self.lines.get(token.line.checked_sub(1)?)?;
        let before: String = line.chars().take(token.column).collect();
        let blanks = before.trim_end_matches([' ', '\t']);
        let tab = before[blanks.len()..].find('\t')? + blanks.len();
        let mut ahead = blanks.strip_suffix(['-', '?'])?.chars();
        ahead.next_back().is_none_or(|c| matches!(c, ' ' | '\t')).then_some(tab)
    }
}

fn wrong(line: usize, column: usize) -> ReadError {
    let message = "has a tab where only spaces may stand".to_owned();
    ReadError { line, column: column + 1, message }
}

#[cfg(test)]
mod tests {
    use crate::yaml::read;

    /// As stock kustomize takes them.
    const TAKEN: [&str; 29] = [
        "a: b\n \t# c\nd: e\n",
        "a: b\n \t\nd: e\n",
        "a:\n  b: c\n   \t\n  d: e\n",
        "a: |\n  x\n  \ty\nb: c\n",
        "a: |2\n   x\n  \ty\nb: c\n",
        "a: |\n  x\n",
        "a: |\n  x\n\n\n",
        "a: \"x\n\ty\"\n",
        "a: 'x\n\ty'\n",
        "a: [b,\n\tc]\n",
        "a:\n  b: [c\n   \t,d]\n",
        "a: x\n  \ty\n",
        "a:\tb\n",
        "a: \tb\t\n",
        "a: b\t# c\n",
        "a: b\n# c\n \t# d\nd: e\n",
        "a: &x\tb\nc: *x\n",
        "a:\n- b\n \t\n- c\n",
        "a:\n  - b\n   \t\n  - c\n",
        "a:\n- - b\n   \t\n  - c\n",
        "a:\n- b: c\n   \t\n- c\n",
        "a: !!str\tb\n",
        "a: {b: c,\n\td: e}\n",
        "a: \"b\"\n# x\n\t# y\nc: d\n",
        "a:\n# x\n\t# y\n  c: d\n",
        "a: |\n  x\n # c\n\t# d\nb: c\n",
        "a: |\n  x\n# c\n\t# d\nb: c\n",
        "a: |\n  x\n  \t# d\nb: c\n",
        "a: b\r\n \t\r\nb: c\n",
    ];
    const REFUSED: [&str; 44] = [
        "a:\n  -\tb\n",
        "a:\n  -\t- b\n",
        "a:\n  - \tb: c\n",
        "a: b\n\t# c\nd: e\n",
        "a: b\n\t\nd: e\n",
        "a:\n  b: c\n\t\n  d: e\n",
        "a:\n  b: c\n \t\n  d: e\n",
        "a:\n  b: c\n  \t\n  d: e\n",
        "a: |\n  x\n\t\nb: c\n",
        "a: |\n  x\n\n \t\nb: c\n",
        "a: |\n\n\t\n  x\nb: c\n",
        "a: |-\n  x\n\ty: z\n",
        "a: |+\n  x\n\n\t\nb: c\n",
        "a:\n- |\n  x\n\t\n- c\n",
        "a:\n \t# x\n  b: c\n",
        "a: [b\n\t,c]\n",
        "a: [b\n\t]\n",
        "a:\n  b: [c\n \t,d]\n",
        "a: {b: c}\n\t\nd: e\n",
        "a: \"x\"\n\t\nd: e\n",
        "a: \"x\"\n  \t# c\nd: e\n",
        "a: x\n  y\n\tz\n",
        "a: b\n# c\n\t\nd: e\n",
        "a: b # c\n \t# d\nd: e\n",
        "a: b # c\n \t\nd: e\n",
        "a:\n- b\n\t\n- c\n",
        "a:\n  - b\n  \t\n  - c\n",
        "a:\n- - b\n \t\n  - c\n",
        "a:\n- b: c\n \t\n- c\n",
        "a: b\n\t\n",
        "a: \"b\"\n\t\n",
        "a: \"b\"\n\t\n---\n\n",
        "a: >\n  x\n\ty\n",
        "?\ta\n: b\n",
        "a: b\n---\n\t\n\n",
        "\ta: b\n",
        " \ta: b\n",
        "a:\n\t{b: c}\n",
        "a:\n  \t\"b\"\n",
        "a:\n  \tb\n",
        "a: |\n  x\n\t# d\nb: c\n",
        "a: |\r\n  x\r\n\t\r\nb: c\n",
        "ä: b\n\t\nc: d\n",
        "a: ä # x\n\t\nc: d\n",
    ];

    #[test]
    fn tabs_stand_where_the_readers_of_kubernetes_take_them() {
        for text in TAKEN {
            assert!(read(text.as_bytes()).is_ok(), "{text:?}: {:?}", read(text.as_bytes()));
        }
        for text in REFUSED {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_place_of_the_tab_is_told() {
        let error = read(b"a: 1\nb:\n  \tc: 2\n").unwrap_err();
        assert_eq!((error.line, error.column), (3, 3));
        assert_eq!(error.message, "has a tab where only spaces may stand");
    }
}
