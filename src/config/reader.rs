//! Takes variables one by one and keeps what is wrong with them.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::given::GivenSettings;

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct SettingError {
    /// The variable.
    pub name: String,
    /// Its value, unless that may be a secret, and what is allowed.
    pub message: String,
}

impl SettingError {
    /// An error about `name`.
    pub(super) fn new(name: &str, message: String) -> Self {
        Self { name: name.to_owned(), message }
    }
}

/// Variables, and what was found wrong so far.
pub(super) struct Reader<'a> {
    vars: &'a BTreeMap<String, String>,
    errors: Vec<SettingError>,
    given: GivenSettings,
}

impl<'a> Reader<'a> {
    pub(super) fn new(vars: &'a BTreeMap<String, String>) -> Self {
        Self { vars, errors: Vec::new(), given: GivenSettings::default() }
    }

    /// A setting that has a default; `None` only after an error.
    pub(super) fn with_default<T>(
        &mut self,
        name: &'static str,
        default: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.text(name);
        if let Some(text) = given {
            self.given.note(name, text);
        }
        let text = given.unwrap_or(default);
        self.keep(name, Some(text), parse(text))
    }

    /// A setting that may be absent.
    pub(super) fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        self.given.note(name, text);
        self.keep(name, Some(text), parse(text))
    }

    /// A setting whose value no message may repeat.
    pub(super) fn secret(
        &mut self,
        name: &'static str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<SecretString> {
        let text = self.text(name)?;
        self.given.note_secret(name);
        self.keep(name, None, check(text))?;
        Some(SecretString::from(text))
    }

    /// Takes which settings were given so far.
    pub(super) fn take_given(&mut self) -> GivenSettings {
        std::mem::take(&mut self.given)
    }

    /// The settings, unless something was wrong.
    pub(super) fn finish<T>(self, settings: Option<T>) -> Result<T, Vec<SettingError>> {
        match settings {
            Some(settings) if self.errors.is_empty() => Ok(settings),
            _ => Err(self.errors),
        }
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.vars.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    fn keep<T>(&mut self, name: &str, shown: Option<&str>, parsed: Result<T, String>) -> Option<T> {
        parsed
            .map_err(|allowed| {
                let message = match shown {
                    Some(text) => format!("{text:?} {allowed}"),
                    None => format!("the value {allowed}"),
                };
                self.errors.push(SettingError::new(name, message));
            })
            .ok()
    }
}
