//! Whether somebody answers, and who.

use kube::Client;
use serde_json::Value;

use super::{Error, request};

/// The API server's version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
    /// The whole, as in `v1.36.3`.
    pub text: String,
}

/// Asks for the version: the cheapest way to know that the server is there and lets us in.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::Certificate`] or what the server says instead.
pub async fn version(client: &Client) -> Result<Version, Error> {
    let answer = request::get(client, "/version").await?;
    let number = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        // Some vendors append a sign, as in `33+`.
        text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
    };
    let text = answer["gitVersion"].as_str().ok_or_else(|| Error::Answer("no gitVersion in /version".to_owned()))?;
    Ok(Version { major: number(&answer["major"]), minor: number(&answer["minor"]), text: text.to_owned() })
}
