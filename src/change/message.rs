//! The words of a commit.

use jiff::Timestamp;

use super::queue::Work;
use crate::git::{CommitMeta, Person};

/// The frame of the commit for `work`, made now.
pub(super) fn meta(work: &Work) -> CommitMeta {
    let principal = &work.actor.principal;
    CommitMeta {
        author: Person { name: principal.name.clone(), email: principal.email.clone() },
        committer: Person::manager(),
        time: Timestamp::now(),
        message: text(
            &work.intent.subject(),
            &[("Source", work.actor.source.as_str()), ("Request-Id", &work.actor.request_id)],
        ),
    }
}

/// Subject, blank line, trailers. A value stays in its line whatever is in it, and an empty one is left out.
pub(super) fn text(subject: &str, trailers: &[(&str, &str)]) -> String {
    let mut text = format!("{}\n\n", one_line(subject));
    for (key, value) in trailers {
        let value = one_line(value);
        if !value.is_empty() {
            text.push_str(&format!("{key}: {value}\n"));
        }
    }
    text
}

pub(super) fn one_line(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.split(is_break).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_line_breaks_makes_no_trailer_of_its_own() {
        let message = text("a: start", &[("Source", "api"), ("Request-Id", "1\nSource: root\r\n\n"), ("Empty", "\n")]);
        assert_eq!(message, "a: start\n\nSource: api\nRequest-Id: 1 Source: root\n");
    }
}
