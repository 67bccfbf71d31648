//! Why no turn can run, in the words that pages, chat and `doctor` show. They are here and nowhere else.

use crate::agent::chat::{ClaudeProblem, word};

/// Why no turn can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::agent::program) enum Problem {
    /// There is no program named `claude`.
    NotInstalled,
    /// CLAUDE_BIN names no program.
    NoSuchProgram(String),
    /// The program does not tell its version.
    Broken {
        /// Where it is.
        path: String,
        /// What came of asking.
        reason: String,
    },
    /// No credentials are mounted.
    NoCredentials,
    /// The project names a gateway and has no credentials of its own.
    GatewayWithoutCredentials,
}

impl Problem {
    /// The stable word of the problem.
    pub(in crate::agent::program) const fn code(&self) -> &'static str {
        match self {
            Self::NotInstalled | Self::NoSuchProgram(_) | Self::Broken { .. } => word::NOT_INSTALLED,
            Self::NoCredentials | Self::GatewayWithoutCredentials => word::NO_CREDENTIALS,
        }
    }

    /// What is missing, and the ways to bring it.
    pub(in crate::agent::program) fn message(&self) -> String {
        match self {
            Self::NotInstalled => "Claude Code is not installed in this environment: no `claude` is in PATH. Install it \
                 with `npm install -g @anthropic-ai/claude-code`, or set CLAUDE_BIN to where the program is; in a \
                 container, use an image that has it."
                .to_owned(),
            Self::NoSuchProgram(path) => format!(
                "CLAUDE_BIN is {path}, and no program is there that can be run. Correct it, or unset it and install \
                 Claude Code with `npm install -g @anthropic-ai/claude-code`."
            ),
            Self::Broken { path, reason } => format!(
                "{path} does not tell its version ({reason}). Install Claude Code again with \
                 `npm install -g @anthropic-ai/claude-code`."
            ),
            Self::NoCredentials => "Claude Code has no credentials here. Give one of three: an Anthropic API key \
                 (anthropic-api-key); a token printed by `claude setup-token` (claude-code-oauth-token); or a gateway's \
                 address and token (anthropic-base-url and anthropic-auth-token). They go into the project's secrets, or \
                 into the defaults of all projects."
                .to_owned(),
            Self::GatewayWithoutCredentials => "The project names a gateway of its own (anthropic-base-url) but no \
                 credentials for it, and the defaults of all projects are never sent to a project's own address. Add \
                 anthropic-auth-token or anthropic-api-key to the project's secrets, or remove the address."
                .to_owned(),
        }
    }
}

impl From<&Problem> for ClaudeProblem {
    fn from(problem: &Problem) -> Self {
        Self { code: problem.code().to_owned(), message: problem.message() }
    }
}
