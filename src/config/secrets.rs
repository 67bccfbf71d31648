//! Keys and credentials: from variables, or from the files of a mounted Secret.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::reader::SettingError;

/// Keys and credentials of the manager itself. `Debug` masks them.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// SECRETS_DIR: a folder with one file for each key, as Kubernetes mounts a Secret.
    pub directory: Option<PathBuf>,
    /// SOPS_AGE_KEY, `sops-age-key`: age identities, one on each line.
    pub sops_age_key: Option<SecretString>,
    /// SOPS_AGE_KEY_FILE: a file of age identities.
    pub sops_age_key_file: Option<PathBuf>,
    /// DEFAULT_ANTHROPIC_API_KEY, `default-anthropic-api-key`.
    pub default_anthropic_api_key: Option<SecretString>,
    /// BACKUP_GIT_TOKEN, `backup-git-token`: the token for the remote state and backup repositories.
    pub git_token: Option<SecretString>,
    /// BACKUP_SSH_PRIVATE_KEY, `backup-ssh-private-key`: the SSH key for them.
    pub git_ssh_private_key: Option<SecretString>,
    /// AGENT_SIGNING_KEY, `agent-signing-key`: signs the tokens that let the manager into environments.
    pub agent_signing_key: Option<SecretString>,
    /// ADMIN_TOKEN, `admin-token`: the administrator's token; without it one is made in `data_dir`.
    pub admin_token: Option<SecretString>,
    /// JWT_SECRET, `jwt-secret`: signs tokens with a role; without it one is made in `data_dir`.
    pub jwt_secret: Option<SecretString>,
    /// WEBHOOK_SECRET, `webhook-secret`: signs what calls the webhooks without a token.
    pub webhook_secret: Option<SecretString>,
    /// JIRA_API_KEY, `jira-api-key`: the API token (Cloud) or personal access token (Data Center) of the manager's account.
    pub jira_api_key: Option<SecretString>,
    /// The files of `directory` that gave a secret. Each is named as its variable, in small letters and with hyphens.
    pub files: Vec<&'static str>,
}

impl Secrets {
    /// Whether a file of [`Secrets::directory`] gave the secret of the variable `name`.
    #[must_use]
    pub fn is_from_file(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.to_uppercase().replace('-', "_") == name)
    }

    /// Fills what no variable gave from the files of [`Secrets::directory`].
    ///
    /// # Errors
    /// When a file is there and cannot be read; a missing file is none.
    pub fn read_directory(&mut self) -> Result<(), SettingError> {
        let Some(directory) = self.directory.clone() else { return Ok(()) };
        for (slot, file) in [
            (&mut self.default_anthropic_api_key, "default-anthropic-api-key"),
            (&mut self.git_token, "backup-git-token"),
            (&mut self.git_ssh_private_key, "backup-ssh-private-key"),
            (&mut self.agent_signing_key, "agent-signing-key"),
            (&mut self.admin_token, "admin-token"),
            (&mut self.jwt_secret, "jwt-secret"),
            (&mut self.sops_age_key, "sops-age-key"),
            (&mut self.webhook_secret, "webhook-secret"),
            (&mut self.jira_api_key, "jira-api-key"),
        ] {
            if slot.is_none() {
                *slot = read_secret_file(&directory.join(file))?;
                if slot.is_some() {
                    self.files.push(file);
                }
            }
        }
        Ok(())
    }

    /// The age identities: the variable, else the file; `None` when neither is set.
    ///
    /// # Errors
    /// When the file is set and cannot be read.
    pub fn age_identities(&self) -> Result<Option<SecretString>, SettingError> {
        match (&self.sops_age_key, &self.sops_age_key_file) {
            (Some(key), _) => Ok(Some(key.clone())),
            (None, Some(file)) => match read_secret_file(file)? {
                Some(key) => Ok(Some(key)),
                None => Err(SettingError::new("SOPS_AGE_KEY_FILE", format!("{} is missing or empty", file.display()))),
            },
            (None, None) => Ok(None),
        }
    }
}

/// The text of a file without the newline that editors add; `None` when it is missing or has nothing in it.
fn read_secret_file(file: &Path) -> Result<Option<SecretString>, SettingError> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            let secret = SecretString::from(text.trim_end_matches(['\r', '\n']));
            Ok(if secret.expose_secret().is_empty() { None } else { Some(secret) })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SettingError::new("SECRETS_DIR", format!("{} cannot be read: {error}", file.display()))),
    }
}
