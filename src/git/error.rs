//! What can go wrong with a repository.

use std::path::Path;

use crate::project::{ErrorKind, RepoPath, Revision};

use super::remote::RemoteError;

/// Why something could not be read or prepared.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GitError {
    /// There is no usable repository.
    #[error("the state repository {path} cannot be opened: {message}")]
    Open {
        /// Where it was looked for.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The text names no commit.
    #[error("{0:?} is no commit, branch or tag of the state repository")]
    UnknownRevision(String),
    /// The text is the beginning of several commit ids.
    #[error("{0:?} is the beginning of several ids; give more of its digits")]
    Ambiguous(String),
    /// An object is missing or damaged.
    #[error("object {id} of the state repository cannot be read: {message}; `git fsck` says more")]
    Object {
        /// Its id.
        id: String,
        /// What is wrong with it.
        message: String,
    },
    /// A change names a path that Git trees cannot have.
    #[error("{path} cannot be committed: {message}")]
    Path {
        /// The path.
        path: RepoPath,
        /// Why not.
        message: &'static str,
    },
    /// The disk or the operating system refused.
    #[error("{what} failed: {message}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// What the system said.
        message: String,
    },
}

impl GitError {
    pub(super) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io { what: format!("{what} {}", path.display()), message: error.to_string() }
    }

    /// An error of the object library, with what the system said below it.
    pub(super) fn whole(error: &(dyn std::error::Error + 'static)) -> String {
        let chain = std::iter::successors(Some(error), |error| error.source());
        let mut parts: Vec<String> = chain.map(ToString::to_string).collect();
        parts.dedup();
        parts.join(": ")
    }

    pub(super) fn object(id: impl ToString, message: impl ToString) -> Self {
        Self::Object { id: id.to_string(), message: message.to_string() }
    }

    /// What the error means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownRevision(_) | Self::Ambiguous(_) => ErrorKind::NotFound,
            Self::Path { .. } => ErrorKind::Invalid,
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Open { .. } | Self::Object { .. } => ErrorKind::Internal,
        }
    }
}

/// Why nothing was committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Somebody else moved the branch; the edit has to be made again on the new head.
    #[error("the head of the state repository moved meanwhile; try again")]
    HeadMoved {
        /// The head that the commit was made on.
        expected: Option<Revision>,
        /// The head as it is.
        found: Option<Revision>,
    },
    /// Another program holds Git's lock on the branch.
    #[error("{0} is held by another git program; remove it if none is running")]
    Locked(String),
    /// The repository could not be read or written.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The remote did not take the commit.
    #[error(transparent)]
    Remote(#[from] RemoteError),
}

impl CommitError {
    /// What the error means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::HeadMoved { .. } => ErrorKind::Conflict,
            Self::Locked(_) => ErrorKind::Unavailable,
            Self::Git(error) => error.kind(),
            Self::Remote(error) => error.kind(),
        }
    }
}
