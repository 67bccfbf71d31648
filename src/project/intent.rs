//! What somebody wants changed, typed and validated.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{Action, GitUrl, Image, ProjectName, Quantity, Resources};

/// One change to the desired state.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Make a project.
    Create(Box<NewProject>),
    /// Change some of a project's fields.
    Change(ProjectName, Box<ProjectChange>),
    /// Delete a project.
    Delete(ProjectName, Volumes),
    /// Commit one replica.
    Start(ProjectName),
    /// Commit one replica, because a prompt waits for the environment.
    Wake(ProjectName),
    /// Commit no replica.
    Stop(ProjectName),
    /// Have every environment let a manager in.
    TrustAgentKey(AgentKey),
}

/// A manager's public key, as `agent-keys.yaml` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentKey {
    /// Its id.
    pub kid: String,
    /// The key, SPKI PEM.
    pub pem: String,
}

/// What becomes of a deleted project's volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volumes {
    /// They stay in the cluster.
    Keep,
    /// A tombstone says that they are to go.
    Delete,
}

/// A project to be made, with every default already filled in: defaults go into the overlay, never into a render.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// The id.
    pub short_name: ProjectName,
    /// The display name, 1 to 100 characters, no control characters.
    pub name: String,
    /// The repository to clone.
    pub git_repository: GitUrl,
    /// The branch to clone.
    pub git_branch: Option<String>,
    /// The container image.
    pub image: Image,
    /// CPU and memory; the template's when absent.
    pub resources: Resources,
    /// Size of the workspace volume.
    pub workspace_size: Quantity,
    /// Size of the configuration volume.
    pub config_size: Quantity,
    /// Class of both volumes; the cluster's default when absent.
    pub storage_class: Option<String>,
    /// The ticket behind the project.
    pub jira_issue: Option<String>,
    /// When, RFC 3339.
    pub created_at: String,
    /// Secrets to encrypt beside the overlay.
    pub secrets: SecretChange,
}

/// Fields to change; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct ProjectChange {
    /// The display name.
    pub name: Option<String>,
    /// The repository.
    pub git_repository: Option<GitUrl>,
    /// The branch; `Some(None)` removes it.
    pub git_branch: Option<Option<String>>,
    /// The image.
    pub image: Option<Image>,
    /// CPU and memory, each changed when given.
    pub resources: Resources,
    /// Size of the workspace volume; may only grow.
    pub workspace_size: Option<Quantity>,
    /// The ticket; `Some(None)` removes it.
    pub jira_issue: Option<Option<String>>,
    /// Why nothing is to be applied from now on; `Some(None)` has it applied again.
    pub suspended: Option<Option<String>>,
    /// Secrets to set or remove.
    pub secrets: SecretChange,
}

/// Secrets to set (`Some`) or remove (`None`), by their key in the project's Secret.
pub type SecretChange = BTreeMap<SecretKey, Option<SecretString>>;

/// A key of the Secret `<shortName>-secrets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretKey {
    /// `ANTHROPIC_API_KEY`.
    AnthropicApiKey,
    /// `ANTHROPIC_AUTH_TOKEN`.
    AnthropicAuthToken,
    /// `ANTHROPIC_BASE_URL`.
    AnthropicBaseUrl,
    /// `CLAUDE_CODE_OAUTH_TOKEN`.
    ClaudeCodeOauthToken,
    /// The password of the web IDE.
    CodeServerPassword,
    /// SSH host keys of the Git server.
    GitKnownHosts,
    /// The private key for the project's repository.
    GitSshPrivateKey,
    /// The token for the project's repository.
    GitToken,
    /// The password for `sudo` in the environment.
    SudoPassword,
}

impl SecretKey {
    /// The key's name in the Secret.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AnthropicApiKey => "anthropic-api-key",
            Self::AnthropicAuthToken => "anthropic-auth-token",
            Self::AnthropicBaseUrl => "anthropic-base-url",
            Self::ClaudeCodeOauthToken => "claude-code-oauth-token",
            Self::CodeServerPassword => "code-server-password",
            Self::GitKnownHosts => "git-known-hosts",
            Self::GitSshPrivateKey => "git-ssh-private-key",
            Self::GitToken => "git-token",
            Self::SudoPassword => "sudo-password",
        }
    }
}

impl Intent {
    /// The project that this is about; `None` for what concerns them all.
    #[must_use]
    pub fn project(&self) -> Option<&ProjectName> {
        match self {
            Self::Create(new) => Some(&new.short_name),
            Self::Change(name, _) | Self::Delete(name, _) => Some(name),
            Self::Start(name) | Self::Wake(name) | Self::Stop(name) => Some(name),
            Self::TrustAgentKey(_) => None,
        }
    }

    /// What the policy has to allow.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Create(_) => Action::Create,
            Self::Change(..) => Action::Change,
            Self::Delete(_, Volumes::Keep) => Action::Delete,
            Self::Delete(_, Volumes::Delete) => Action::DeleteVolumes,
            Self::Start(_) | Self::Wake(_) | Self::Stop(_) => Action::Scale,
            Self::TrustAgentKey(_) => Action::ManageKeys,
        }
    }

    /// The first line of the commit: `checkout: start`.
    #[must_use]
    pub fn subject(&self) -> String {
        let what = match self {
            Self::Create(_) => "create",
            Self::Change(..) => "change",
            Self::Delete(_, Volumes::Keep) => "delete",
            Self::Delete(_, Volumes::Delete) => "delete with volumes",
            Self::Start(_) => "start",
            Self::Wake(_) => "start for a prompt",
            Self::Stop(_) => "stop",
            Self::TrustAgentKey(key) => {
                return format!("Let the manager with the key {} into the environments", key.kid);
            }
        };
        match self.project() {
            Some(project) => format!("{project}: {what}"),
            None => what.to_owned(),
        }
    }
}
