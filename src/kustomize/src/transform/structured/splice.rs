//! Changes of single values inside a text, which keep its comments, anchors and layout.
//!
//! The original writes such a text anew, comments included, in its own layout: two spaces for each level, lists under
//! their key without any. Texts that are laid out like that stay as they are but for the values, which is what is done
//! here; others keep the layout that they have.

use crate::yaml::{Kind, Node, Style, Tag};

/// The text with the scalars of `after` in the place of those of `before`; `None` when more than scalars has changed, when
/// they cannot be found in the text, or when it has neither comments nor anchors, which are all that would be lost.
pub(super) fn scalars(text: &str, before: &Node, after: &Node) -> Option<String> {
    if !text.contains(['#', '&']) {
        return None;
    }
    let mut changes = Vec::new();
    collect(before, after, &mut changes)?;
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut spans = Vec::new();
    for (old, new) in changes {
        let line = *starts.get(usize::try_from(old.mark.line.checked_sub(1)?).ok()?)?;
        let rest = &text[line..];
        let (column, _) = rest.char_indices().nth(usize::try_from(old.mark.column.checked_sub(1)?).ok()?)?;
        let start = line + column;
        let source = source(&text[start..], old)?;
        spans.push((start, source, new));
    }
    spans.sort_by_key(|(start, ..)| *start);
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    for (start, source, new) in spans {
        result.push_str(text.get(done..start)?);
        super::scalar(new, 0, &mut result);
        done = start + source.len();
    }
    result.push_str(&text[done..]);
    Some(result)
}

/// Pairs of scalars that are not the same; `None` when the trees differ in more.
fn collect<'a>(before: &'a Node, after: &'a Node, changes: &mut Vec<(&'a Node, &'a Node)>) -> Option<()> {
    match (&before.kind, &after.kind) {
        (Kind::Scalar(_), Kind::Scalar(new)) => {
            if before.kind != after.kind {
                // Several lines take a layout of their own.
                (!new.contains('\n') && after.style != Style::Folded && after.style != Style::Literal).then_some(())?;
                changes.push((before, after));
            }
            Some(())
        }
        (Kind::Sequence(old), Kind::Sequence(new)) if old.len() == new.len() => {
            old.iter().zip(new).try_for_each(|(old, new)| collect(old, new, changes))
        }
        (Kind::Mapping(old), Kind::Mapping(new)) if old.len() == new.len() => {
            old.iter().zip(new).try_for_each(|((key, old), (name, new))| {
                (key.kind == name.kind).then_some(())?;
                collect(old, new, changes)
            })
        }
        _ => None,
    }
}

/// How a scalar is written at the start of `text`.
fn source<'t>(text: &'t str, node: &Node) -> Option<&'t str> {
    let value = node.text()?;
    match (node.style, &node.tag) {
        (Style::Plain, Tag::None) => {
            text.starts_with(value).then(|| &text[..value.len()]).filter(|text| !text.is_empty())
        }
        (Style::SingleQuoted, Tag::None) => {
            let written = format!("'{}'", value.replace('\'', "''"));
            text.starts_with(&written).then(|| &text[..written.len()])
        }
        (Style::DoubleQuoted, Tag::None) => {
            let mut escaped = false;
            let end = text.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            end.map(|(at, _)| &text[..=at])
        }
        _ => None,
    }
}
