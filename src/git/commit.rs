//! Who, when and why: the frame of a commit.

use gix::actor::Signature;
use gix::bstr::BString;
use jiff::Timestamp;

/// A person or program as commits name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

impl Person {
    /// The manager itself, the committer of everything it writes.
    #[must_use]
    pub fn manager() -> Self {
        Self { name: "Claude Manager".to_owned(), email: "claude-manager@localhost".to_owned() }
    }

    /// The signature as it stands in a commit. Names come from users: what would end the field or the line is left
    /// out, and what is then empty gets a word, because Git refuses empty names.
    pub(super) fn signature(&self, time: Timestamp) -> Signature {
        let clean = |text: &str, fallback: &str| {
            let kept: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '<' | '>')).collect();
            let trimmed = kept.trim_matches(|c: char| c.is_whitespace() || ".,:;\"'\\".contains(c));
            BString::from(if trimmed.is_empty() { fallback } else { trimmed })
        };
        Signature {
            name: clean(&self.name, "unknown"),
            email: clean(&self.email, "unknown@localhost"),
            time: gix::date::Time { seconds: time.as_second(), offset: 0 },
        }
    }
}

/// Everything of a commit but its tree and parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMeta {
    /// Who wanted it.
    pub author: Person,
    /// Who made it.
    pub committer: Person,
    /// When.
    pub time: Timestamp,
    /// Subject, blank line, body, trailers.
    pub message: String,
}

impl CommitMeta {
    /// The message as it is stored: no NUL byte (Git cuts there), one line end at the end.
    pub(super) fn stored_message(&self) -> BString {
        let text = self.message.replace('\0', "");
        BString::from(format!("{}\n", text.trim_end()))
    }
}
