//! A file's document: its values in order, which of them are secret, and the sum over them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde_yaml::{Mapping, Value};
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;

use super::cipher::{DataKey, is_framed, is_sealed};
use super::keys::Identity;
use super::rules::Rules;
use super::{MAX_LENGTH, SopsError, aad};
use crate::desired::SecretFile;
use kustomize::yaml;

/// Values are not nested deeper in any Secret.
const MAX_DEPTH: usize = 32;
/// The sum of a file with `mac_only_encrypted` starts with these bytes, the SHA-256 of `sops`.
const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b, 0x97, 0x5b,
    0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];
/// How an encrypted data key begins.
const ARMOR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
/// Key services that a file may name beside age.
const OTHERS: [&str; 6] = ["kms", "gcp_kms", "azure_kv", "hc_vault", "pgp", "hckms"];

/// A file that was read.
pub(super) struct Document {
    raw: Vec<Raw>,
    rules: Rules,
    only_encrypted: bool,
    /// Recipient and armored data key.
    age: Vec<(String, String)>,
    others: Vec<&'static str>,
    last_modified: String,
    mac: String,
}

/// A value as it stands in the file.
struct Raw {
    path: Vec<String>,
    text: String,
    /// Whether the rules want it sealed.
    secret: bool,
    is_string: bool,
}

/// A value in clear.
pub(super) struct Leaf {
    pub(super) path: Vec<String>,
    bytes: SecretSlice<u8>,
}

impl Leaf {
    pub(super) fn text(&self) -> Result<SecretString, SopsError> {
        text(&self.path, self.bytes.expose_secret().to_vec())
    }

    /// The text behind the base64 of a value in `data`.
    pub(super) fn decoded(&self) -> Result<SecretString, SopsError> {
        let encoded: Vec<u8> =
            self.bytes.expose_secret().iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let bytes = STANDARD.decode(encoded);
        text(&self.path, bytes.map_err(|_| SopsError::NotASecret(format!("{} is no base64", self.path.join("."))))?)
    }
}

fn text(path: &[String], bytes: Vec<u8>) -> Result<SecretString, SopsError> {
    String::from_utf8(bytes).map(SecretString::from).map_err(|_| SopsError::NotText(path.join(".")))
}

impl Document {
    pub(super) fn read(text: &str) -> Result<Self, SopsError> {
        if text.len() > MAX_LENGTH {
            return Err(SopsError::TooLarge);
        }
        let document = yaml::edit::read(text).map_err(|error| match error {
            yaml::edit::EditError::Syntax { line, .. } => SopsError::Yaml(line),
            yaml::edit::EditError::Place(_) => SopsError::TooLarge,
        })?;
        let Value::Mapping(mut document) = document else { return Err(SopsError::NotEncrypted) };
        let Some(Value::Mapping(section)) = document.shift_remove("sops") else { return Err(SopsError::NotEncrypted) };
        if section.contains_key("key_groups") {
            return Err(SopsError::Metadata(
                "has key_groups, which need several keys at once; not supported".to_owned(),
            ));
        }
        let rules = Rules::read(&section)?;
        let mut raw = Vec::new();
        for (key, value) in &document {
            collect(key, value, &mut Vec::new(), &rules, &mut raw)?;
        }
        Ok(Self {
            raw,
            rules,
            only_encrypted: section.get("mac_only_encrypted").and_then(Value::as_bool).unwrap_or(false),
            age: age(&section)?,
            others: OTHERS.into_iter().filter(|name| filled(section.get(name))).collect(),
            last_modified: string(&section, "lastmodified")?,
            mac: string(&section, "mac")?,
        })
    }

    /// Whether the rules seal a value at `path`.
    pub(super) fn seals(&self, path: &[String]) -> bool {
        self.rules.seal(path)
    }

    /// The place of a value that ought to be sealed and is not: by the file's own rules, or because it is a Secret's.
    pub(super) fn in_clear(&self) -> Option<String> {
        self.not_shaped(is_framed)
    }

    /// The place of a value that ought to be sealed and has not that shape.
    fn not_shaped(&self, shape: impl Fn(&str) -> bool) -> Option<String> {
        let is_value =
            |raw: &Raw| raw.path.first().is_some_and(|field| ["data", "stringData"].contains(&field.as_str()));
        let in_clear = |raw: &&Raw| (raw.secret || is_value(raw)) && !(raw.is_string && shape(&raw.text));
        self.raw.iter().find(in_clear).map(|raw| raw.path.join("."))
    }

    /// Refuses a file that lacks what makes it an encrypted one, as far as one can see without a key.
    pub(super) fn is_complete(&self) -> Result<(), SopsError> {
        if let Some(path) = self.not_shaped(is_sealed) {
            return Err(SopsError::InClear(path));
        }
        if self.age.is_empty() {
            return Err(SopsError::NoAge(self.other_services()));
        }
        if let Some((recipient, _)) = self.age.iter().find(|(_, armored)| !armored.trim_start().starts_with(ARMOR)) {
            return Err(SopsError::Metadata(format!("has no data key for {recipient}: its enc is no age file")));
        }
        if self.mac.is_empty() || !is_sealed(&self.mac) {
            return Err(SopsError::Mac);
        }
        Ok(())
    }

    /// What of the Secret stands in clear.
    pub(super) fn outline(&self) -> Result<SecretFile, SopsError> {
        let clear = |path: &[&str]| self.raw.iter().find(|raw| raw.path == path && !raw.secret);
        let text = |path: &[&str]| clear(path).map(|raw| raw.text.clone());
        let sealed = |path: &[&str]| self.raw.iter().any(|raw| raw.path == path && raw.secret);
        for (field, wanted) in [("apiVersion", "v1"), ("kind", "Secret")] {
            if !sealed(&[field]) && text(&[field]).as_deref() != Some(wanted) {
                return Err(SopsError::NotASecret("apiVersion has to be v1 and kind Secret".to_owned()));
            }
        }
        let name = ["metadata", "name"];
        if !sealed(&name) && text(&name).is_none_or(|name| name.is_empty()) {
            return Err(SopsError::NotASecret("metadata.name is missing".to_owned()));
        }
        Ok(SecretFile { name: text(&name), secret_type: text(&["type"]), ..SecretFile::default() })
    }

    fn other_services(&self) -> String {
        if self.others.is_empty() { "nobody".to_owned() } else { self.others.join(", ") }
    }

    pub(super) fn data_key(&self, identities: &[Identity]) -> Result<DataKey, SopsError> {
        if self.age.is_empty() {
            return Err(SopsError::NoAge(self.other_services()));
        }
        let tries = identities.iter().flat_map(|identity| self.age.iter().map(move |(_, armored)| (identity, armored)));
        tries.into_iter().find_map(|(identity, armored)| identity.unwrap(armored)).ok_or_else(|| {
            let recipients: Vec<&str> = self.age.iter().map(|(recipient, _)| recipient.as_str()).collect();
            SopsError::OtherRecipients(recipients.join(", "))
        })
    }

    /// All values in clear, when the sum in the file is theirs.
    pub(super) fn verify(&self, key: &DataKey) -> Result<Vec<Leaf>, SopsError> {
        let (leaves, sum) = self.open(key)?;
        let mac = key.open(&self.mac, &self.last_modified).ok_or(SopsError::Mac)?;
        if bool::from(mac.bytes.ct_eq(sum.as_bytes())) { Ok(leaves) } else { Err(SopsError::Mac) }
    }

    /// All values in clear, and the sum over them.
    pub(super) fn open(&self, key: &DataKey) -> Result<(Vec<Leaf>, String), SopsError> {
        if let Some(path) = self.in_clear() {
            return Err(SopsError::InClear(path));
        }
        let mut sum = Sha512::new();
        if self.only_encrypted {
            sum.update(ONLY_ENCRYPTED);
        }
        let mut leaves = Vec::new();
        for raw in &self.raw {
            let bytes = if raw.secret {
                let damaged = || SopsError::Damaged(raw.path.join("."));
                let opened = key.open(&raw.text, &aad(&raw.path)).ok_or_else(damaged)?;
                if opened.is_comment {
                    continue;
                }
                opened.bytes
            } else {
                raw.text.clone().into_bytes()
            };
            if raw.secret || !self.only_encrypted {
                sum.update(&bytes);
            }
            leaves.push(Leaf { path: raw.path.clone(), bytes: bytes.into() });
        }
        let sum: String = sum.finalize().iter().map(|byte| format!("{byte:02X}")).collect();
        Ok((leaves, sum))
    }
}

/// The values below `value` in the order of the file; items of a list share the path of their list.
fn collect(
    key: &Value,
    value: &Value,
    path: &mut Vec<String>,
    rules: &Rules,
    out: &mut Vec<Raw>,
) -> Result<(), SopsError> {
    let Value::String(key) = key else {
        return Err(SopsError::NotASecret(format!("{} has a key that is no string", path.join("."))));
    };
    if path.len() > MAX_DEPTH {
        return Err(SopsError::NotASecret("it is nested too deep".to_owned()));
    }
    path.push(key.clone());
    below(value, path, rules, out, 0)?;
    path.pop();
    Ok(())
}

fn below(
    value: &Value,
    path: &mut Vec<String>,
    rules: &Rules,
    out: &mut Vec<Raw>,
    depth: usize,
) -> Result<(), SopsError> {
    let mut leaf = |text: String, is_string: bool| {
        out.push(Raw { path: path.clone(), text, secret: rules.seal(path), is_string });
    };
    match value {
        Value::Null => {}
        Value::String(text) => leaf(text.clone(), true),
        // As the first implementation, in Python, wrote them.
        Value::Bool(true) => leaf("True".to_owned(), false),
        Value::Bool(false) => leaf("False".to_owned(), false),
        Value::Number(number) => {
            let text = match number.as_f64() {
                Some(float) if number.is_f64() => float.to_string(),
                _ => number.to_string(),
            };
            leaf(text, false);
        }
        Value::Mapping(entries) => {
            for (key, value) in entries {
                collect(key, value, path, rules, out)?;
            }
        }
        Value::Sequence(items) if depth < MAX_DEPTH => {
            for item in items {
                below(item, path, rules, out, depth + 1)?;
            }
        }
        Value::Sequence(_) | Value::Tagged(_) => {
            return Err(SopsError::NotASecret(format!("{} has a value that Secrets do not have", path.join("."))));
        }
    }
    Ok(())
}

fn string(section: &Mapping, field: &str) -> Result<String, SopsError> {
    let text = section.get(field).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| SopsError::Metadata(format!("has no {field}")))
}

fn filled(value: Option<&Value>) -> bool {
    value.and_then(Value::as_sequence).is_some_and(|items| !items.is_empty())
}

fn age(section: &Mapping) -> Result<Vec<(String, String)>, SopsError> {
    let entries = match section.get("age") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Sequence(entries)) if entries.len() <= 100 => entries,
        Some(_) => {
            return Err(SopsError::Metadata("has an age field that is no list of at most 100 entries".to_owned()));
        }
    };
    entries
        .iter()
        .map(|entry| {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).map(str::to_owned);
            text("recipient").zip(text("enc"))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| SopsError::Metadata("has an age entry without recipient or enc".to_owned()))
}
