//! Why something in a conversation was not done.

use crate::agent::ClientError;
use crate::agent::chat::Problem;
use crate::operations::OperationError;
use crate::project::ProjectName;
use crate::store::StoreError;

/// Why something in a conversation was not done.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The project does not exist, the role does not allow it, or the project cannot be started.
    #[error("{0}")]
    Operation(#[from] OperationError),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The agent refuses, and says why.
    #[error("{}", .0.detail)]
    Agent(Box<Problem>),
    /// The agent gave no answer.
    #[error("{0}")]
    Unreachable(ClientError),
    /// The environment does not run, and this needs it.
    #[error("the environment of {0} does not run; start the project, or send a prompt, which starts it")]
    Offline(ProjectName),
    /// There is no such conversation, neither in the environment nor in the copy.
    #[error("there is no such conversation in this project")]
    NoConversation,
    /// There is no such prompt in the queue.
    #[error("there is no such prompt in the queue")]
    NoPrompt,
    /// The prompt's id was used with another text.
    #[error("the id of this prompt was used with another text; take a new UUID")]
    PromptConflict,
    /// A field is wrong. The message continues the field's name.
    #[error("{0} {1}")]
    Invalid(&'static str, String),
    /// Too many prompts wait for the environment.
    #[error("{0} prompts wait for this environment already; wait until it runs, or take one back")]
    TooMany(usize),
    /// What is stored cannot be understood.
    #[error("the copy of a conversation cannot be read: {0}")]
    Content(String),
}

impl From<ClientError> for ChatError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem(problem) => Self::Agent(problem),
            other => Self::Unreachable(other),
        }
    }
}

impl From<serde_json::Error> for ChatError {
    fn from(error: serde_json::Error) -> Self {
        Self::Content(error.to_string())
    }
}
