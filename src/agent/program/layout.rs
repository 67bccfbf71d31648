//! Where everything of an environment is.

use std::path::{Path, PathBuf};

use super::AgentError;
use crate::project::SecretKey;

/// The paths under one root.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Result<Self, AgentError> {
        let root = std::path::absolute(root).map_err(AgentError::file("is no path", root))?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the whole machine is the environment.
    pub(super) fn is_whole_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    /// Where clones are made, before they are moved to their place.
    pub(super) fn cloning(&self) -> PathBuf {
        self.workspace().join(".cloning")
    }

    /// The agent's own files on the workspace volume.
    pub(super) fn own(&self) -> PathBuf {
        self.workspace().join(".claude-manager")
    }

    /// The home.
    pub(super) fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    /// The agent's own files in the home: what Git and ssh are pointed to.
    pub(super) fn own_config(&self) -> PathBuf {
        self.config().join(".claude-manager")
    }

    pub(super) fn claude_config(&self) -> PathBuf {
        self.config().join(".claude")
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn project_secrets(&self) -> PathBuf {
        self.root.join("etc/claude-manager/project-secrets")
    }

    pub(super) fn project_secret(&self, key: SecretKey) -> PathBuf {
        self.project_secrets().join(key.as_str())
    }

    pub(super) fn default_secret(&self, key: SecretKey) -> PathBuf {
        self.root.join("etc/claude-manager/default-secrets").join(key.as_str())
    }

    pub(super) fn agent_keys(&self) -> PathBuf {
        self.root.join("etc/claude-manager/agent-keys")
    }
}
