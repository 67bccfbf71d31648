//! Chooses the credentials of Claude Code from the mounted Secrets.
//!
//! The project's own come first. **Architecture invariant:** the defaults of all projects are never sent to an address that
//! a project names: who may edit one project could have the key of all sent to a server of their own.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::super::layout::Layout;
use super::super::secrets;
use super::Problem;
use crate::agent::chat::CredentialStatus;
use crate::project::SecretKey;

/// The ways to sign in, in Claude Code's own order, with the variables that carry them.
const WAYS: [(SecretKey, &str); 3] = [
    (SecretKey::AnthropicApiKey, "ANTHROPIC_API_KEY"),
    (SecretKey::AnthropicAuthToken, "ANTHROPIC_AUTH_TOKEN"),
    (SecretKey::ClaudeCodeOauthToken, "CLAUDE_CODE_OAUTH_TOKEN"),
];

/// What a process of Claude Code gets.
#[derive(Clone)]
pub(in crate::agent::program) struct Credentials {
    key: SecretKey,
    variable: &'static str,
    secret: SecretString,
    base_url: Option<SecretString>,
    default: bool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.key.as_str())
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        let address = |of: &Self| of.base_url.as_ref().map(|url| url.expose_secret().to_owned());
        self.variable == other.variable
            && self.secret.expose_secret() == other.secret.expose_secret()
            && address(self) == address(other)
    }
}

impl Credentials {
    /// Reads the mounted Secrets as they are now.
    pub(in crate::agent::program) fn read(layout: &Layout) -> Result<Self, Problem> {
        let own = |key| secrets::read(&layout.project_secret(key));
        let default = |key| secrets::read(&layout.default_secret(key));
        let own_url = own(SecretKey::AnthropicBaseUrl);
        let default_url = default(SecretKey::AnthropicBaseUrl);
        for (key, variable) in WAYS {
            if let Some(secret) = own(key) {
                let base_url = own_url.or(default_url);
                return Ok(Self { key, variable, secret, base_url, default: false });
            }
        }
        for (key, variable) in WAYS {
            if let Some(secret) = default(key) {
                if own_url.is_some() {
                    return Err(Problem::GatewayWithoutCredentials);
                }
                return Ok(Self { key, variable, secret, base_url: default_url, default: true });
            }
        }
        Err(if own_url.is_some() { Problem::GatewayWithoutCredentials } else { Problem::NoCredentials })
    }

    /// The variables for the process, and for no other.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let url = self.base_url.as_ref().map(|url| ("ANTHROPIC_BASE_URL", url.expose_secret()));
        std::iter::once((self.variable, self.secret.expose_secret())).chain(url)
    }

    /// Which credentials they are, without the credentials.
    pub(in crate::agent::program) fn status(&self) -> CredentialStatus {
        CredentialStatus { key: self.key.as_str().to_owned(), default: self.default, gateway: self.base_url.is_some() }
    }

    /// Takes the secret out of a text that is to be shown or logged. What is too short to be a secret stays, so that no
    /// text becomes unreadable.
    pub(super) fn mask(&self, text: String) -> String {
        let secret = self.secret.expose_secret();
        if secret.len() < 8 || !text.contains(secret) {
            return text;
        }
        text.replace(secret, "***")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn write(root: &Path, place: &str, key: SecretKey, value: &str) {
        let directory = root.join("etc/claude-manager").join(place);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(key.as_str()), value).unwrap();
    }

    fn variables(root: &Path) -> Result<Vec<String>, Problem> {
        let found = Credentials::read(&Layout::new(root).unwrap())?;
        Ok(found.variables().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn the_projects_own_come_before_the_defaults_of_all() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(variables(root), Err(Problem::NoCredentials));
        write(root, "default-secrets", SecretKey::AnthropicApiKey, "all\n");
        assert_eq!(variables(root).unwrap(), ["ANTHROPIC_API_KEY=all"]);
        write(root, "default-secrets", SecretKey::AnthropicBaseUrl, "https://gateway.example");
        assert_eq!(variables(root).unwrap(), ["ANTHROPIC_API_KEY=all", "ANTHROPIC_BASE_URL=https://gateway.example"]);
        write(root, "project-secrets", SecretKey::ClaudeCodeOauthToken, "mine");
        assert_eq!(
            variables(root).unwrap(),
            ["CLAUDE_CODE_OAUTH_TOKEN=mine", "ANTHROPIC_BASE_URL=https://gateway.example"]
        );
    }

    #[test]
    fn the_default_key_is_not_sent_to_a_projects_own_address() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "default-secrets", SecretKey::AnthropicApiKey, "all");
        write(root, "project-secrets", SecretKey::AnthropicBaseUrl, "https://mine.example");
        assert_eq!(variables(root), Err(Problem::GatewayWithoutCredentials));
        write(root, "project-secrets", SecretKey::AnthropicAuthToken, "t");
        assert_eq!(variables(root).unwrap(), ["ANTHROPIC_AUTH_TOKEN=t", "ANTHROPIC_BASE_URL=https://mine.example"]);
    }
}
