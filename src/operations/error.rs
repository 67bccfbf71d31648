//! Why an operation was not done, for every edge: kind, message, fields. Each edge maps it once to its own form.

use crate::change::ChangeError;
use crate::git::GitError;
use crate::project::{ErrorKind, FieldError};
use crate::reconcile::OnceError;
use crate::store::StoreError;

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// What it means to the caller.
    pub kind: ErrorKind,
    /// What programs may have to tell apart beyond the kind.
    pub code: Option<ErrorCode>,
    /// What is wrong, where, and what to do. Of the kind `Internal`, it is for the log only.
    pub message: String,
    /// The fields at fault.
    pub fields: Vec<FieldError>,
    /// What the log says where the caller is told less.
    pub cause: Option<String>,
}

/// Errors with a name of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The project has no pod, or its container has not started: there is no log.
    NoPod,
    /// The container has had no earlier run: there is no log of it.
    NoPreviousRun,
    /// The cluster refused or did not answer; the caller's request was good.
    Cluster,
}

impl OperationError {
    /// An error of a kind, with a message for the caller.
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: None, message: message.into(), fields: Vec::new(), cause: None }
    }

    /// The same error with a code.
    pub(super) fn with_code(self, code: ErrorCode) -> Self {
        Self { code: Some(code), ..self }
    }

    /// A wrong field of the request. `message` continues the field's name: `must be true or false`.
    pub(super) fn field(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let fields = vec![FieldError { field: field.to_owned(), message: message.clone() }];
        Self { fields, ..Self::new(ErrorKind::Invalid, format!("{field} {message}")) }
    }

    /// A defect; `cause` is for the log.
    pub(super) fn internal(cause: impl ToString) -> Self {
        Self::new(ErrorKind::Internal, cause.to_string())
    }

    /// There is no project that `text` names. It may be any text of a request.
    #[must_use]
    pub fn no_such_project(text: &str) -> Self {
        Self::no_such("project", text)
    }

    /// There is no thing of a kind that `text` names. It may be any text of a request.
    #[must_use]
    pub fn no_such(kind: &str, text: &str) -> Self {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
        Self::new(ErrorKind::NotFound, format!("there is no {kind} {shown:?}"))
    }
}

impl std::fmt::Display for OperationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for OperationError {}

impl From<ChangeError> for OperationError {
    fn from(error: ChangeError) -> Self {
        Self { fields: error.fields, ..Self::new(error.kind, error.message) }
    }
}

impl From<GitError> for OperationError {
    fn from(error: GitError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        // What the database said is for the log: callers can do nothing with it.
        let cause = error.to_string();
        match error.kind() {
            ErrorKind::Internal => Self::internal(cause),
            kind => Self { cause: Some(cause), ..Self::new(kind, "the manager's database does not answer") },
        }
    }
}

impl From<OnceError> for OperationError {
    fn from(error: OnceError) -> Self {
        let message = error.to_string();
        match error {
            OnceError::Git(error) => error.into(),
            OnceError::Store(error) => error.into(),
            OnceError::Root(_) | OnceError::Outdated { .. } => Self::new(ErrorKind::Conflict, message),
            OnceError::Cluster(_) => Self::new(ErrorKind::Unavailable, message),
        }
    }
}
