//! The mounted Secrets: read when they are needed, looked at for changes.
//!
//! *Rationale.* A change is found by looking every second, not by a watch: the kubelet swaps links, the directory may
//! come later, and a machine with fifty environments has too few watches to give each its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use secrecy::SecretString;

/// The longest secret in bytes; Kubernetes takes no larger Secrets.
const MAX_LENGTH: u64 = 1 << 20;

/// What a directory of secrets looks like, without their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(BTreeMap<OsString, (u64, u64, i64, i64)>);

/// Looks at a directory; an absent one is empty.
pub(super) fn look(directory: &Path) -> Fingerprint {
    let Ok(entries) = fs::read_dir(directory) else { return Fingerprint::default() };
    let mut found = BTreeMap::new();
    for entry in entries.flatten() {
        // Through the links that the kubelet makes.
        if let Ok(meta) = fs::metadata(entry.path()) {
            found.insert(entry.file_name(), (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()));
        }
    }
    Fingerprint(found)
}

/// The text of a secret without the newlines that editors add; `None` when it is missing, empty, unreadable or no text.
pub(super) fn read(file: &Path) -> Option<SecretString> {
    if fs::metadata(file).ok()?.len() > MAX_LENGTH {
        tracing::warn!(file = %file.display(), "this is too long for a secret; passed over");
        return None;
    }
    match fs::read_to_string(file) {
        Ok(text) => {
            let text = text.trim_end_matches(['\r', '\n']);
            (!text.is_empty()).then(|| SecretString::from(text))
        }
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "this secret cannot be read");
            None
        }
    }
}
