//! The program: settings in, everything wired once, commands out.
//!
//! The only place where parts meet that do not know one another; it holds no logic that another place could hold.

mod agent;
pub mod cli;
mod commands;
mod directory;
mod doctor;
mod files;
mod past;
mod serve;
pub mod telemetry;
mod wiring;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Context;

use self::cli::{AgeKey, Cli, Command, Hook, Token};
use crate::config::{Origin, Settings};

/// Runs one command and gives the exit code: 0 done, 1 failed, 2 `plan` found something to do or `upgrade` kept something.
///
/// # Errors
/// Whatever the command could not do, in words for the terminal.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Some(Command::Build(arguments)) => return commands::build(&arguments),
        Some(Command::Hook { hook: Hook::PreReceive }) => return commands::pre_receive(),
        Some(Command::Init { directory }) => return commands::init(&directory, &settings(None)?),
        Some(Command::AgeKey { age_key: AgeKey::New }) => return commands::new_age_key(&settings(cli.kubeconfig)?),
        Some(Command::Token { token: Token::Show }) => return commands::show_token(&settings(cli.kubeconfig)?),
        Some(Command::Token { token: Token::Create { role, ttl, name, email } }) => {
            return commands::create_token(&settings(cli.kubeconfig)?, role, ttl, name, email);
        }
        // Neither a `.env` file nor a runtime of several threads: an agent is none of the manager's processes.
        Some(Command::Agent(agent)) => return agent::run(agent),
        None
        | Some(
            Command::Serve | Command::Plan { .. } | Command::Reconcile { .. } | Command::Upgrade | Command::Doctor,
        ) => {}
    }
    let settings = settings(cli.kubeconfig);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let settings = match (&cli.command, settings) {
            (Some(Command::Doctor), settings) => return doctor::doctor(settings).await,
            (_, settings) => settings?,
        };
        match cli.command {
            Some(Command::Plan { revision, server }) => commands::plan(settings, revision.as_deref(), server).await,
            Some(Command::Reconcile { once: _, plan }) => commands::reconcile(settings, plan.as_deref()).await,
            Some(Command::Upgrade) => commands::upgrade(settings).await,
            _ => serve::serve(settings).await,
        }
    })
}

/// The settings: a `.env` file first, then the environment above it, then the command line.
fn settings(kubeconfig: Option<std::path::PathBuf>) -> anyhow::Result<Settings> {
    let mut variables: BTreeMap<String, String> = match dotenvy::dotenv_iter() {
        Ok(lines) => lines.collect::<Result<_, _>>().context("the .env file cannot be read")?,
        Err(error) if error.not_found() => BTreeMap::new(),
        Err(error) => return Err(error).context("the .env file cannot be read"),
    };
    let mut in_file: BTreeSet<String> = variables.keys().cloned().collect();
    let environment =
        || std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    for (name, _) in environment() {
        in_file.remove(&name);
    }
    variables.extend(environment());
    let by_option = kubeconfig.is_some();
    if let Some(path) = kubeconfig {
        variables.insert("KUBECONFIG".to_owned(), path.display().to_string());
    }
    let mut settings = Settings::from_vars(&variables).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(|error| format!("  {error}")).collect();
        anyhow::anyhow!("some settings are wrong:\n{}", lines.join("\n"))
    })?;
    settings.given.mark(Origin::DotEnv, |name| in_file.contains(name));
    settings.given.mark(Origin::CommandLine, |name| by_option && name == "KUBECONFIG");
    settings.secrets.read_directory()?;
    Ok(settings)
}
