//! What is YAML, and refused all the same: what the readers of Kubernetes take for something else, or do not read.

use super::node::Mark;
use super::read::ReadError;

/// Stock kustomize takes some characters for line breaks that others do not, and no document may start on the line of
/// its `---`.
pub(super) fn refuse_what_readers_disagree_about(text: &str, single: bool, lines: usize) -> Result<(), ReadError> {
    let (mut head, mut ended) = (true, false);
    for (at, line) in text.split('\n').enumerate().take(lines) {
        let error = |message: &str| ReadError { line: at + 1, column: 1, message: message.to_owned() };
        if line.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            return Err(error("has a line separator of Unicode; write it as \\u2028 in double quotes"));
        }
        // The first document ends where the next one starts, and what stands there is not read.
        if single && at + 1 == lines && line.starts_with("---") {
            return Ok(());
        }
        let rest = line.strip_prefix("---").filter(|_| at > 0).unwrap_or_default().trim();
        if !rest.is_empty() && !rest.starts_with('#') {
            return Err(error("has something behind ---; put it on the next line"));
        }
        // Of what stands between two `---` only the first document is read.
        ended = !line.starts_with("---") && (ended || line.trim_end() == "..." || line.starts_with("... "));
        let says_nothing = line.starts_with("...") || line.trim().is_empty() || line.trim_start().starts_with('#');
        if ended && !single && !says_nothing {
            return Err(error("is behind ..., where stock kustomize reads nothing any more; put --- in between"));
        }
        // Documents are taken apart at `---` before anybody reads them, which leaves a directive without its document.
        if head && line.starts_with('%') && !single {
            return Err(error("has a directive, which no file of objects may have; remove the line"));
        }
        let blank = line.trim().is_empty() || line.starts_with('#');
        head = line.starts_with("---") || line.starts_with("...") || (head && blank);
    }
    Ok(())
}

/// For the readers of Kubernetes the name of an anchor ends where anything else stands: `&a: b` is a key without a text.
pub(super) fn refuse_odd_anchor(name: &str, at: granit_parser::Marker) -> Result<(), ReadError> {
    if name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_')) {
        return Ok(());
    }
    let message = format!("has the anchor &{name}; its name may have letters, digits, - and _ only");
    Err(ReadError::at(Mark::new(at.line(), at.col() + 1), message))
}

/// Stock kustomize knows neither `\\/` nor halves of a character, which JSON has.
pub(super) fn refuse_unknown_escapes(quoted: &str, mark: Mark) -> Result<(), ReadError> {
    let mut rest = quoted;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        let half =
            escape.strip_prefix('u').and_then(|code| code.get(..4)).and_then(|code| u32::from_str_radix(code, 16).ok());
        if escape.starts_with('/') || half.is_some_and(|code| (0xD800..0xE000).contains(&code)) {
            let end = if escape.starts_with('/') { 1 } else { 5 };
            let message = format!("has the escape \\{}, which YAML readers of Kubernetes do not know", &escape[..end]);
            return Err(ReadError::at(mark, message));
        }
        rest = escape.get(escape.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    Ok(())
}
