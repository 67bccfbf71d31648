//! The command line and the variables of one process.
//!
//! Everything is said at each start: a resumed session keeps neither its permission mode nor its rules.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::super::layout::Layout;
use super::{Credentials, Home, tree};

/// Variables that a process gets from here or not at all: whose account it uses, where its files are, whose socket it
/// could find.
const WITHHELD: [&str; 8] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CONFIG_DIR",
    "CLAUDECODE",
    "CLAUDE_BIN",
    "XDG_RUNTIME_DIR",
];

/// Everything that a start needs.
#[derive(Debug)]
pub(in crate::agent::program) struct Start<'a> {
    /// The program.
    pub(in crate::agent::program) program: &'a Path,
    /// The environment.
    pub(in crate::agent::program) layout: &'a Layout,
    /// The prepared home.
    pub(in crate::agent::program) home: &'a Home,
    /// The working tree.
    pub(in crate::agent::program) directory: &'a Path,
    /// The conversation.
    pub(in crate::agent::program) conversation: &'a str,
    /// Claude Code's session.
    pub(in crate::agent::program) session: &'a str,
    /// Whether that session is there already.
    pub(in crate::agent::program) resume: bool,
    /// The model, when one is asked for.
    pub(in crate::agent::program) model: Option<&'a str>,
    /// The permission mode.
    pub(in crate::agent::program) mode: &'a str,
    /// The account.
    pub(in crate::agent::program) credentials: &'a Credentials,
}

impl Start<'_> {
    fn arguments(&self) -> Vec<String> {
        let mut all: Vec<String> = [
            "-p",
            "--input-format",
            "stream-json",
            "--output-format",
            "stream-json",
            "--verbose",
            "--include-partial-messages",
            "--replay-user-messages",
            "--permission-prompt-tool",
            "stdio",
            "--setting-sources",
            "user",
            "--strict-mcp-config",
            // One conversation's output is never another's instruction.
            "--disallowedTools",
            "SendMessage",
            "ListAgents",
            "--permission-mode",
            self.mode,
            "--settings",
        ]
        .map(str::to_owned)
        .to_vec();
        all.push(self.home.settings.display().to_string());
        if let Some(model) = self.model {
            all.extend(["--model".to_owned(), model.to_owned()]);
        }
        all.extend([if self.resume { "--resume" } else { "--session-id" }.to_owned(), self.session.to_owned()]);
        all
    }

    /// The process, ready to be started.
    pub(super) fn command(&self) -> Command {
        let mut command = match std::env::current_exe() {
            // By this program, so that it ends with the agent. A test's program has no such errand.
            Ok(own) if own.file_name().is_some_and(|name| name == "claude-manager") => {
                let mut command = Command::new(own);
                command.args(["agent", "child", "--parent", &std::process::id().to_string(), "--"]).arg(self.program);
                command
            }
            _ => Command::new(self.program),
        };
        command.args(self.arguments());
        for name in WITHHELD {
            command.env_remove(name);
        }
        command
            .env("HOME", self.layout.config())
            .env("TMPDIR", &self.home.temporary)
            .env("CLAUDE_CONFIG_DIR", &self.home.config)
            .env(tree::VARIABLE, self.conversation)
            .env("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", "1")
            .env("DISABLE_TELEMETRY", "1")
            .env("DISABLE_ERROR_REPORTING", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .envs(self.credentials.variables())
            .current_dir(self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}
