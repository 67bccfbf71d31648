//! Ids that are made from what they name, so that work that is done again meets what it did before.

use sha2::{Digest, Sha256};

use crate::chat::Id;
use crate::project::ProjectName;

/// The id of the delivery with JIRA's identifier, or with this body where there is none.
pub(super) fn delivery(identifier: Option<&str>, body: &[u8]) -> String {
    match identifier {
        Some(identifier) => uuid(&[b"delivery", identifier.as_bytes()]),
        None => uuid(&[b"delivery of body", body]),
    }
    .to_string()
}

/// The conversation of an issue.
pub(super) fn conversation(site: &str, issue: &str) -> Id {
    uuid(&[b"conversation", site.as_bytes(), issue.as_bytes()])
}

/// The prompt of one act in an issue, such as one comment; several webhooks tell of the same act.
pub(super) fn prompt(site: &str, issue: &str, act: &str) -> Id {
    uuid(&[b"prompt", site.as_bytes(), issue.as_bytes(), act.as_bytes()])
}

/// What marks the manager's own comment in an issue.
pub(super) fn mark(site: &str, issue: &str) -> String {
    format!("claude-manager/{}", &hash(&[b"mark", site.as_bytes(), issue.as_bytes()])[..12])
}

/// The SHA-256 of parts, in hex.
pub(super) fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // The length keeps "a" + "bc" apart from "ab" + "c".
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A UUID of version 8 (RFC 9562) with a part of the hash.
fn uuid(parts: &[&[u8]]) -> Id {
    let hash = hash(parts);
    let text = format!("{}-{}-8{}-8{}-{}", &hash[..8], &hash[8..12], &hash[12..15], &hash[15..18], &hash[18..30]);
    // The text has the form of a UUID whatever the hash is.
    Id::parse(&text).unwrap_or_else(|_| Id::random())
}

/// The short name of an issue's project: `SHOP-311` is `shop-311`; the second try appends a number.
pub(super) fn project(key: &str, attempt: u32) -> Option<ProjectName> {
    let mut text: String = key.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect();
    let suffix = if attempt > 1 { format!("-{attempt}") } else { String::new() };
    if text.len() + suffix.len() > ProjectName::MAX_LENGTH {
        // The number at the end tells issues apart.
        let number = text.rsplit_once('-').map(|(_, number)| format!("-{number}")).unwrap_or_default();
        text.truncate(ProjectName::MAX_LENGTH.saturating_sub(suffix.len() + number.len()));
        text = format!("{}{number}", text.trim_end_matches('-'));
    }
    ProjectName::parse(&format!("{text}{suffix}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_gives_the_same_id_and_another_another() {
        let id = prompt("https://j", "1", "comment/2");
        assert_eq!(id, prompt("https://j", "1", "comment/2"));
        assert_ne!(id, prompt("https://j", "1", "comment/3"));
        assert_ne!(id, prompt("https://j", "1c", "omment/2"));
        assert_eq!((&id.as_str()[14..15], &id.as_str()[19..20]), ("8", "8"));
        assert_eq!(delivery(Some("x"), b"a"), delivery(Some("x"), b"b"));
        assert_ne!(delivery(None, b"a"), delivery(None, b"b"));
        assert_ne!(delivery(Some("a"), b""), delivery(None, b"a"));
    }

    #[test]
    fn keys_become_short_names() {
        let name = |key: &str, attempt| project(key, attempt).map(|name| name.to_string());
        assert_eq!(name("SHOP-311", 1).as_deref(), Some("shop-311"));
        assert_eq!(name("A_B2-1", 2).as_deref(), Some("a-b2-1-2"));
        let long = format!("{}-12345", "A".repeat(50));
        assert_eq!(name(&long, 2), Some(format!("{}-12345-2", "a".repeat(32))));
        assert_eq!(name("", 1), None);
    }
}
