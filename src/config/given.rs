//! Which settings were given, their values for people, and where each comes from.

use std::collections::BTreeMap;

/// Where the value of a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was not given.
    Default,
    /// The `.env` file.
    DotEnv,
    /// The environment of the process.
    Environment,
    /// An option of the command.
    CommandLine,
}

/// A setting that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its value; `None` for a secret. A password in an address is masked.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// The settings that were given, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenSettings(BTreeMap<&'static str, Given>);

impl GivenSettings {
    /// Returns what is known of a setting; `None` when it was not given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Given> {
        self.0.get(name)
    }

    /// Says of those settings that `is_from` names where they come from.
    pub fn mark(&mut self, origin: Origin, is_from: impl Fn(&str) -> bool) {
        for (name, given) in &mut self.0 {
            if is_from(name) {
                given.origin = origin;
            }
        }
    }

    /// Notes a value that may be shown.
    pub(super) fn note(&mut self, name: &'static str, text: &str) {
        self.0.insert(name, Given { value: Some(without_password(text)), origin: Origin::Environment });
    }

    /// Notes a secret.
    pub(super) fn note_secret(&mut self, name: &'static str) {
        self.0.insert(name, Given { value: None, origin: Origin::Environment });
    }
}

/// An address without the password in it.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((user, host)) = rest[..end].rsplit_once('@') else { return text.to_owned() };
    let name = user.split(':').next().unwrap_or_default();
    // A token may stand in the place of the name, so that the name is shown only before a password.
    let shown = if user.contains(':') { format!("{name}:***") } else { "***".to_owned() };
    format!("{scheme}://{shown}@{host}{}", &rest[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_masked() {
        for (text, expected) in [
            ("https://a:b@host/x", "https://a:***@host/x"),
            ("https://token@host/x@y", "https://***@host/x@y"),
            ("https://a:b@c@host", "https://a:***@host"),
            ("https://host/x?user=a@b", "https://host/x?user=a@b"),
            ("git@host:path", "git@host:path"),
            ("info", "info"),
        ] {
            assert_eq!(without_password(text), expected);
        }
    }
}
