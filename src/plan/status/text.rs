//! Texts of strangers, made fit for a sentence.

/// The longest quotation in characters.
const LONGEST_QUOTE: usize = 400;
/// So many lines of a log are quoted.
const LINES: usize = 5;
/// The longest message in characters.
const LONGEST_MESSAGE: usize = 1000;

/// Quotes what the cluster, an overlay or an image said: on one line, without escape sequences and control characters,
/// without the final full stop, and bounded.
pub(super) fn quote(text: &str) -> String {
    let clean = clean(text);
    cut(clean.trim_end_matches(['.', ' ']), LONGEST_QUOTE)
}

/// The end of a log in one line: the last lines that say something, at most as long as a quotation.
pub(super) fn last_lines(log: &str) -> String {
    let mut lines: Vec<String> = log.lines().rev().map(clean).filter(|line| !line.is_empty()).take(LINES).collect();
    lines.reverse();
    let text = lines.join(" | ");
    // What was written last says most.
    match text.chars().count().checked_sub(LONGEST_QUOTE) {
        None | Some(0) => text,
        Some(more) => format!("…{}", text.chars().skip(more).collect::<String>().trim_start()),
    }
}

/// Bounds a whole message.
pub(super) fn bounded(text: &str) -> String {
    cut(&clean(text), LONGEST_MESSAGE)
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
    }
}

fn clean(text: &str) -> String {
    let mut clean = String::new();
    let mut chars = text.chars().peekable();
    let mut gap = false;
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // An escape sequence goes as a whole: what follows the escape character is no text either.
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| !('\u{40}'..='\u{7e}').contains(c)).is_some() {}
            }
            chars.next();
            continue;
        }
        if c.is_whitespace() || c.is_control() {
            gap = gap || c.is_whitespace();
            continue;
        }
        if turns_direction(c) {
            continue;
        }
        if gap && !clean.is_empty() {
            clean.push(' ');
        }
        gap = false;
        clean.push(c);
    }
    clean
}

/// Marks that make a text read differently from how it is written.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_escape_sequences_are_dropped() {
        let table = [
            ("plain text", "plain text"),
            ("two\nlines\r\n\tand more", "two lines and more"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}x", "0;titlex"),
            ("a\0b\u{202e}c", "abc"),
            ("ends. ", "ends"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
        ];
        for (text, expected) in table {
            assert_eq!(quote(text), expected, "{text:?}");
        }
    }

    #[test]
    fn of_a_log_the_last_lines_that_say_something_are_told() {
        assert_eq!(last_lines(""), "");
        assert_eq!(last_lines("one\n\n\u{1b}[31mtwo\u{1b}[0m\r\n  \n"), "one | two");
        assert_eq!(last_lines("1\n2\n3\n4\n5\n6\n"), "2 | 3 | 4 | 5 | 6");
        let long = last_lines(&format!("{}\nthe cause", "ä".repeat(5000)));
        assert!(long.starts_with('…') && long.ends_with(" | the cause"), "{long}");
        assert_eq!(long.chars().count(), LONGEST_QUOTE + 1);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cut = quote(&"ä".repeat(10_000));
        assert_eq!(cut.chars().count(), LONGEST_QUOTE + 1);
        assert!(cut.ends_with('…'));
    }
}
