//! `agent` and its errands: the command line into the options of [`crate::agent`].

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};

use super::cli::{Agent, AgentErrand, AgentOptions};
use super::telemetry;
use crate::agent::{self, AgentError, ClaudeOptions, CredentialRequest, LaunchOptions, Options};
use crate::config::{LogFormat, LogLevel, LogSettings};
use crate::project::ProjectName;

pub(super) fn run(agent: Agent) -> anyhow::Result<ExitCode> {
    match agent.errand {
        None => serve(agent.options),
        Some(AgentErrand::Install { directory }) => {
            agent::install(&directory).context("the program cannot be installed")?;
            Ok(ExitCode::SUCCESS)
        }
        Some(AgentErrand::Launch { root, hide, write, arguments }) => {
            log()?;
            match agent::launch(LaunchOptions { root, hide, write, arguments }, std::io::stdin()) {
                Ok(never) => match never {},
                Err(error) => Ok(failed(&error)),
            }
        }
        Some(AgentErrand::Credential { origin, user, token_file, action }) => {
            let request = CredentialRequest { origin, user, token_file, action };
            agent::credential(&request, std::io::stdin(), std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(AgentErrand::Child { parent, program, arguments }) => {
            let error = agent::run_child(parent, &program, &arguments);
            Err(error).with_context(|| format!("{} cannot be run", program.display()))
        }
    }
}

fn serve(options: AgentOptions) -> anyhow::Result<ExitCode> {
    let Some(project) = options.project else {
        bail!("which project? Give --project, or CLAUDE_MANAGER_PROJECT");
    };
    let options = Options {
        project: ProjectName::parse(&project).with_context(|| format!("the project {project:?}"))?,
        root: options.root,
        listen: options.listen,
        pod_uid: options.pod_uid.filter(|uid| !uid.is_empty()),
        repository: options.repository,
        branch: options.branch,
        claude: ClaudeOptions {
            program: options.claude_bin,
            idle: Duration::from_secs(options.claude_idle_seconds.clamp(1, 24 * 3600)),
            silent: Duration::from_secs(options.claude_silent_seconds.clamp(1, 24 * 3600)),
        },
    };
    log()?;
    match agent::run(options) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Ok(failed(&error)),
    }
}

/// The text format has what the log of a pod is asked by: a time and a level before everything.
fn log() -> anyhow::Result<()> {
    telemetry::install(None, &LogSettings { format: LogFormat::Text, level: LogLevel::Info }).context("the log")
}

fn failed(error: &AgentError) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::from(error.exit_code())
}
