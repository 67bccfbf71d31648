//! The kinds of error that users can tell apart.

/// What an error means to whoever caused it. The edges map it once: to an HTTP status, a ticket comment, a retry delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The request is wrong; the same request will fail again.
    Invalid,
    /// Nobody has shown who they are.
    Unauthenticated,
    /// The policy says no.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// It clashes with what is there.
    Conflict,
    /// The thing has changed since it was read.
    PreconditionFailed,
    /// Something outside does not answer; trying again later may help.
    Unavailable,
    /// A defect of ours.
    Internal,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// The field's path, as in `resources.cpu`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}
