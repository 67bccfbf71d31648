//! Which values of a file are secret: by the keys on their path.

use regex::Regex;
use serde_yaml::{Mapping, Value};

use super::SopsError;

/// What a file says where it says nothing.
const DEFAULT_SUFFIX: &str = "_unencrypted";

/// One rule on the keys of a path.
enum Keys {
    Suffix(String),
    Matching(Regex),
}

/// The rules of a file. SOPS writes one of them; should there be more, a later one overrules.
pub(super) struct Rules(Vec<(Keys, bool)>);

impl Rules {
    pub(super) fn read(section: &Mapping) -> Result<Self, SopsError> {
        for field in ["encrypted_comment_regex", "unencrypted_comment_regex"] {
            if section.contains_key(field) {
                return Err(SopsError::Metadata(format!("has {field}, which is not supported")));
            }
        }
        let text = |field: &str| section.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
        let regex = |field: &str| match text(field) {
            None => Ok(None),
            Some(text) => Regex::new(text)
                .map(|regex| Some(Keys::Matching(regex)))
                .map_err(|_| SopsError::Metadata(format!("has an {field} that is no regular expression"))),
        };
        let suffix = |field: &str| text(field).map(|text| Keys::Suffix(text.to_owned()));
        let rules = [
            (suffix("unencrypted_suffix"), false),
            (suffix("encrypted_suffix"), true),
            (regex("unencrypted_regex")?, false),
            (regex("encrypted_regex")?, true),
        ];
        let mut rules: Vec<(Keys, bool)> = rules.into_iter().filter_map(|(keys, to)| Some((keys?, to))).collect();
        if rules.is_empty() {
            rules.push((Keys::Suffix(DEFAULT_SUFFIX.to_owned()), false));
        }
        Ok(Self(rules))
    }

    /// Whether a value at `path` is secret.
    pub(super) fn seal(&self, path: &[String]) -> bool {
        let mut sealed = true;
        for (keys, to) in &self.0 {
            let hit = path.iter().any(|key| match keys {
                Keys::Suffix(suffix) => key.ends_with(suffix.as_str()),
                Keys::Matching(regex) => regex.is_match(key),
            });
            match (to, hit) {
                (true, hit) => sealed = hit,
                (false, true) => sealed = false,
                (false, false) => {}
            }
        }
        sealed
    }
}
