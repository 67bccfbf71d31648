//! Texts of a request become values. Each function says what would be right; none repeats a secret.

use secrecy::SecretString;

use crate::config::ProjectDefaults;
pub(in crate::web) use crate::config::{branch, storage_class};
use crate::project::{GitUrl, Image, ProjectName, Quantity};

/// The longest secret in bytes; a Kubernetes Secret holds a megabyte in all.
const MAX_SECRET: usize = 64 * 1024;

pub(in crate::web) fn short_name(text: &str) -> Result<ProjectName, String> {
    ProjectName::parse(text).map_err(|error| error.to_string())
}

pub(in crate::web) fn display_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if length > 100 {
        return Err(format!("must have at most 100 characters, has {length}"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not have line breaks or other control characters".to_owned());
    }
    Ok(text.trim().to_owned())
}

/// An address, or a bare name that `prefix` completes.
pub(in crate::web) fn repository(text: &str, defaults: &ProjectDefaults) -> Result<GitUrl, String> {
    if GitUrl::local_path(text).is_some() {
        if !defaults.local_repositories {
            return Err(
                "is a directory of this machine, which the environments of a cluster cannot reach; push it to a Git \
                        server and give its address, or try it with the embedded cluster"
                    .to_owned(),
            );
        }
        return GitUrl::parse_here(text).map_err(|error| error.to_string());
    }
    defaults.repository(text)
}

pub(in crate::web) fn image(text: &str) -> Result<Image, String> {
    Image::parse(text).map_err(|error| error.to_string())
}

pub(in crate::web) fn cpu(text: &str) -> Result<Quantity, String> {
    quantity(text, "1m", "1024", "must be from 1m to 1024 cores")
}

pub(in crate::web) fn memory(text: &str) -> Result<Quantity, String> {
    quantity(text, "1Mi", "64Ti", "must be from 1Mi to 64Ti (without a unit it is bytes)")
}

pub(in crate::web) fn size(text: &str) -> Result<Quantity, String> {
    quantity(text, "1Mi", "1Pi", "must be from 1Mi to 1Pi (without a unit it is bytes)")
}

fn quantity(text: &str, least: &str, most: &str, range: &str) -> Result<Quantity, String> {
    let parse = |text| Quantity::parse(text).map_err(|error| error.to_string());
    // A quantity may be long and mean little; what is longer than this is a mistake.
    if text.len() > 32 {
        return Err(range.to_owned());
    }
    let quantity = parse(text)?;
    if quantity < parse(least)? || quantity > parse(most)? { Err(range.to_owned()) } else { Ok(quantity) }
}

pub(in crate::web) fn jira_issue(text: &str) -> Result<String, String> {
    let fine = text.len() <= 64
        && text.split_once('-').is_some_and(|(project, number)| {
            project.len() > 1
                && project.starts_with(|c: char| c.is_ascii_uppercase())
                && project.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
                && !number.is_empty()
                && number.chars().all(|c| c.is_ascii_digit())
        });
    if fine { Ok(text.to_owned()) } else { Err("must be the key of a JIRA issue, as in ABC-123".to_owned()) }
}

/// Why a project is suspended. `false` in the overlay says that it is not.
pub(in crate::web) fn suspended(text: &str) -> Result<String, String> {
    let fine = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fine && text != "false" && !text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    Err("must be the reason, in 1 to 200 characters on one line; null resumes".to_owned())
}

/// A key or token: one word. Programs put it into a header, where anything else would break or be cut.
pub(in crate::web) fn token(text: &str) -> Result<SecretString, String> {
    sized(text)?;
    if text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(SecretString::from(text));
    }
    Err("must be one word of ASCII characters, without spaces or line breaks (also at its end)".to_owned())
}

pub(in crate::web) fn password(text: &str) -> Result<SecretString, String> {
    sized(text)?;
    if text.chars().any(char::is_control) {
        return Err("must not have line breaks (also at its end) or other control characters".to_owned());
    }
    Ok(SecretString::from(text))
}

/// An address that is kept as a secret, since it may name an internal gateway.
pub(in crate::web) fn base_url(text: &str) -> Result<SecretString, String> {
    sized(text)?;
    let error = || "must be https://host/path or http://host/path, without a user or password".to_owned();
    let uri: axum::http::Uri = text.parse().map_err(|_| error())?;
    let scheme_fine = matches!(uri.scheme_str(), Some("https" | "http"));
    let host_fine = uri.authority().is_some_and(|it| !it.host().is_empty() && !it.as_str().contains('@'));
    if scheme_fine && host_fine && text.len() <= 2048 { Ok(SecretString::from(text)) } else { Err(error()) }
}

/// A private key in PEM. OpenSSH wants Unix line ends and a newline after the last line, which copying often loses.
pub(in crate::web) fn ssh_private_key(text: &str) -> Result<SecretString, String> {
    sized(text)?;
    let lines = lines_of(text)?;
    let (first, last) = (lines.lines().next().unwrap_or_default(), lines.lines().last().unwrap_or_default());
    let label = first.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")).unwrap_or_default();
    if !label.ends_with("PRIVATE KEY") || last != format!("-----END {label}-----") {
        return Err(
            "must be a private key, from -----BEGIN … PRIVATE KEY----- to -----END … PRIVATE KEY-----".to_owned()
        );
    }
    if label.contains("ENCRYPTED") || lines.contains("\nProc-Type: 4,ENCRYPTED") {
        return Err("must be a key without a passphrase: the manager cannot type one".to_owned());
    }
    Ok(SecretString::from(lines))
}

pub(in crate::web) fn known_hosts(text: &str) -> Result<SecretString, String> {
    sized(text)?;
    let lines = lines_of(text)?;
    let mut entries = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    if entries.peek().is_none() || entries.any(|line| line.split_whitespace().count() < 3) {
        return Err("must be lines of a known_hosts file: hosts, key type, key".to_owned());
    }
    Ok(SecretString::from(lines))
}

/// The lines with Unix ends, no blank ones around, and a newline after the last.
fn lines_of(text: &str) -> Result<String, String> {
    let lines = text.replace("\r\n", "\n");
    if lines.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err("must not have control characters".to_owned());
    }
    Ok(format!("{}\n", lines.trim()))
}

fn sized(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty; null removes it".to_owned());
    }
    if text.len() > MAX_SECRET {
        return Err(format!("must have at most {MAX_SECRET} bytes, has {}", text.len()));
    }
    Ok(())
}
