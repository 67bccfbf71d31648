//! Who is to read new files: the repository's `.sops.yaml`.

use regex::Regex;
use serde_yaml::Value;

use super::{MAX_LENGTH, Recipient, SopsError};

/// The recipients that `.sops.yaml` (`text`) names for the file at `path`: those of the first rule that fits.
///
/// # Errors
/// [`SopsError::Metadata`] when no rule fits, or the one that fits has keys other than age or no age key.
pub fn recipients_for(text: &str, path: &str) -> Result<Vec<Recipient>, SopsError> {
    let wrong = |message: String| SopsError::Metadata(format!("of .sops.yaml {message}"));
    if text.len() > MAX_LENGTH {
        return Err(SopsError::TooLarge);
    }
    let config: Value =
        serde_yaml::from_str(text).map_err(|error| SopsError::Yaml(error.location().map_or(1, |at| at.line())))?;
    let rules = config.get("creation_rules").and_then(Value::as_sequence);
    for rule in rules.map(Vec::as_slice).unwrap_or_default() {
        if let Some(pattern) = rule.get("path_regex").and_then(Value::as_str) {
            let regex = Regex::new(pattern).map_err(|_| wrong(format!("has the invalid path_regex {pattern:?}")))?;
            if !regex.is_match(path) {
                continue;
            }
        }
        if let Some(other) = ["key_groups", "kms", "gcp_kms", "azure_keyvault", "hc_vault_transit_uri", "pgp"]
            .into_iter()
            .find(|field| rule.get(field).is_some_and(|value| !value.is_null()))
        {
            return Err(wrong(format!("has {other} for {path}; only age is supported")));
        }
        let recipients: Vec<Recipient> = match rule.get("age") {
            Some(Value::String(list)) => {
                list.split(',').map(str::trim).filter(|key| !key.is_empty()).map(Recipient::parse).collect()
            }
            Some(Value::Sequence(list)) => {
                list.iter().map(|key| Recipient::parse(key.as_str().unwrap_or_default())).collect()
            }
            _ => Ok(Vec::new()),
        }?;
        if recipients.is_empty() {
            return Err(wrong(format!("names no age recipient for {path}")));
        }
        return Ok(recipients);
    }
    Err(wrong(format!("has no rule for {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

    #[test]
    fn the_first_rule_that_fits_says_who_reads() {
        let text = format!(
            "creation_rules:\n- path_regex: ^other/\n  pgp: x\n- path_regex: (^|/)secrets\\.sops\\.yaml$\n  age: {ONE} , {ONE}\n"
        );
        let recipients = recipients_for(&text, "projects/a/secrets.sops.yaml").unwrap();
        assert_eq!(recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), [ONE, ONE]);
        for (path, message) in [
            ("other/x", "the sops section of .sops.yaml has pgp for other/x; only age is supported"),
            ("x", "the sops section of .sops.yaml has no rule for x"),
        ] {
            assert_eq!(recipients_for(&text, path).unwrap_err().to_string(), message);
        }
        let unset = recipients_for("creation_rules:\n- age: AGE_RECIPIENT\n", "x").unwrap_err().to_string();
        assert!(unset.starts_with("\"AGE_RECIPIENT\" is no age recipient"), "{unset}");
        let list = format!("creation_rules: [{{age: [{ONE}]}}]");
        assert_eq!(recipients_for(&list, "x").unwrap().len(), 1);
    }
}
