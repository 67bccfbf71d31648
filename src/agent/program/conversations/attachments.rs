//! Files that go with prompts: checked, stored once under their hash, given to Claude Code as content blocks.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::bounds::MAX_ATTACHED;
use super::error::ChatError;
use super::meta::replace;
use crate::agent::chat::{Attachment, AttachmentSummary, MAX_ATTACHMENT, MAX_ATTACHMENTS};

/// Decodes and checks attachments. What an image is, its first bytes say.
pub(super) fn check(attachments: &[Attachment]) -> Result<Vec<(AttachmentSummary, Vec<u8>)>, ChatError> {
    let invalid = |index: usize, field: &str, reason: String| {
        ChatError::invalid(&format!("attachments[{index}].{field}"), reason)
    };
    if attachments.len() > MAX_ATTACHMENTS {
        return Err(ChatError::invalid("attachments", format!("are more than {MAX_ATTACHMENTS}")));
    }
    let mut checked = Vec::new();
    let mut total = 0;
    for (index, attachment) in attachments.iter().enumerate() {
        let name = attachment.name.trim();
        if name.is_empty() || name.len() > 255 || name.chars().any(|c| c.is_control() || c == '/') {
            return Err(invalid(index, "name", "is no file name".to_owned()));
        }
        let content =
            STANDARD.decode(&attachment.data).map_err(|_| invalid(index, "data", "is no base64".to_owned()))?;
        total += content.len();
        if content.is_empty() || content.len() > MAX_ATTACHMENT || total > MAX_ATTACHED {
            let reason = format!("must hold 1 to {MAX_ATTACHMENT} bytes, and all together at most {MAX_ATTACHED}");
            return Err(invalid(index, "data", reason));
        }
        let media_type = match image(&content) {
            Some(kind) => kind.to_owned(),
            None if attachment.media_type.starts_with("text/") && std::str::from_utf8(&content).is_ok() => {
                "text/plain".to_owned()
            }
            None => {
                return Err(invalid(index, "mediaType", "must be PNG, JPEG, GIF, WebP, or a text in UTF-8".to_owned()));
            }
        };
        let sha256 = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        let size = content.len() as u64;
        checked.push((AttachmentSummary { name: name.to_owned(), media_type, size, sha256 }, content));
    }
    Ok(checked)
}

fn image(content: &[u8]) -> Option<&'static str> {
    match content {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// Stores attachments durably; what is there already is not written again.
pub(super) fn store(directory: &Path, checked: &[(AttachmentSummary, Vec<u8>)]) -> io::Result<()> {
    if checked.is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for (summary, content) in checked {
        let file = directory.join(&summary.sha256);
        if !file.exists() {
            replace(&file, content)?;
        }
    }
    Ok(())
}

/// The content blocks of stored attachments.
pub(super) fn blocks(directory: &Path, attachments: &[AttachmentSummary]) -> io::Result<Vec<Value>> {
    attachments
        .iter()
        .map(|attachment| {
            // The hash comes from the log, which anybody in the environment can write.
            let is_hash = attachment.sha256.len() == 64 && attachment.sha256.bytes().all(|b| b.is_ascii_hexdigit());
            let content = if is_hash { fs::read(directory.join(&attachment.sha256))? } else { Vec::new() };
            Ok(if attachment.media_type.starts_with("image/") {
                let source =
                    json!({"type": "base64", "media_type": attachment.media_type, "data": STANDARD.encode(content)});
                json!({"type": "image", "source": source})
            } else {
                let text = String::from_utf8_lossy(&content);
                json!({"type": "text", "text": format!("Attached file {}:\n{text}", attachment.name)})
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(name: &str, media_type: &str, content: &[u8]) -> Attachment {
        Attachment { name: name.to_owned(), media_type: media_type.to_owned(), data: STANDARD.encode(content) }
    }

    #[test]
    fn files_are_what_their_bytes_say() {
        let png = attachment("a.jpg", "image/jpeg", b"\x89PNG\r\n");
        let text = attachment("b.md", "text/markdown", "é".as_bytes());
        let checked = check(&[png, text]).unwrap();
        assert_eq!(checked[0].0.media_type, "image/png");
        assert_eq!(checked[1].0.media_type, "text/plain");

        let directory = tempfile::tempdir().unwrap();
        store(directory.path(), &checked).unwrap();
        let summaries: Vec<AttachmentSummary> = checked.into_iter().map(|(summary, _)| summary).collect();
        let blocks = blocks(directory.path(), &summaries).unwrap();
        assert_eq!(blocks[0]["source"]["media_type"], "image/png");
        assert_eq!(blocks[1]["text"], "Attached file b.md:\né");
    }

    #[test]
    fn what_is_too_large_or_unknown_is_refused() {
        let of = |attachment: Attachment| check(&[attachment]).unwrap_err().to_string();
        assert!(of(attachment("a", "image/png", b"nothing")).contains("attachments[0].mediaType"));
        assert!(of(attachment("a", "text/plain", b"\xff")).contains("mediaType"));
        assert!(of(attachment("a", "text/plain", b"")).contains("data"));
        assert!(of(attachment("../a", "text/plain", b"x")).contains("name"));
        assert!(of(attachment("a", "text/plain", &vec![b'x'; MAX_ATTACHMENT + 1])).contains("data"));
        let many = vec![attachment("a", "text/plain", b"x"); MAX_ATTACHMENTS + 1];
        assert!(check(&many).is_err());
        assert!(check(&[Attachment { data: "?".to_owned(), ..attachment("a", "text/plain", b"") }]).is_err());
    }
}
