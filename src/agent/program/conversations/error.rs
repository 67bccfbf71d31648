//! Why a request about a conversation is refused.

use crate::agent::chat::word;
use crate::agent::program::claude;

/// The refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::agent::program) enum ChatError {
    /// There is no such thing.
    #[error("there is no {what} {id} here")]
    NotFound {
        /// `conversation`, `prompt` or `request`.
        what: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// A field is wrong.
    #[error("{field} {reason}")]
    Invalid {
        /// The field.
        field: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The prompt's id was used before.
    #[error("the prompt {0} was sent before with another text; give each prompt an id of its own")]
    PromptConflict(String),
    /// The prompt cannot be taken back.
    #[error("the prompt {0} has started; interrupt its turn instead")]
    PromptStarted(String),
    /// The request needs no answer.
    #[error("the request {id} {how}")]
    RequestClosed {
        /// The request.
        id: String,
        /// `was answered before: allow`, `was withdrawn`.
        how: String,
    },
    /// The answer is none that this request takes.
    #[error("no rule can be made of this request; answer `allow` or `deny`")]
    NoRule,
    /// Something is full.
    #[error("{0}")]
    Limit(String),
    /// Claude Code cannot run.
    #[error("{}", .0.message())]
    Claude(claude::Problem),
    /// The log cannot be written.
    #[error("the conversation's log cannot be written: {0}; look at the room and the rights of the config volume")]
    NotWritable(String),
}

impl ChatError {
    /// The HTTP status and the word at the end of the problem's type.
    pub(in crate::agent::program) const fn kind(&self) -> (u16, &'static str) {
        match self {
            Self::NotFound { .. } => (404, word::NOT_FOUND),
            Self::Invalid { .. } => (422, word::INVALID),
            Self::PromptConflict(_) => (409, word::PROMPT_CONFLICT),
            Self::PromptStarted(_) => (409, word::PROMPT_STARTED),
            Self::RequestClosed { .. } => (409, word::REQUEST_CLOSED),
            Self::NoRule => (409, word::NO_RULE),
            Self::Limit(_) => (429, word::LIMIT),
            Self::Claude(problem) => (503, problem.code()),
            Self::NotWritable(_) => (503, word::NOT_WRITABLE),
        }
    }

    /// A field is wrong.
    pub(super) fn invalid(field: &str, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), reason: reason.into() }
    }
}

impl From<std::io::Error> for ChatError {
    fn from(error: std::io::Error) -> Self {
        Self::NotWritable(error.to_string())
    }
}
