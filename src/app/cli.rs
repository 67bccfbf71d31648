//! The command line: what each command takes, in the words of `--help`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Manages a fleet of Claude Code environments on Kubernetes; a Git repository of Kustomize overlays is the only
/// source of truth.
#[derive(Debug, Parser)]
#[command(name = "claude-manager", version, about, propagate_version = true)]
pub struct Cli {
    /// The kubeconfig of the cluster to manage. Without it, and outside a cluster, the embedded one is used;
    /// the file in the home directory is never taken silently.
    #[arg(long, env = "KUBECONFIG", global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// What to do; `serve` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the manager: API, reconciler, state repository. This is the default.
    Serve,
    /// Prints the objects of a directory with a kustomization.yaml, as `kustomize build DIR` does.
    Build {
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Shows what would change in the cluster. Exits with 2 when something would, with 0 when nothing would.
    Plan {
        /// The revision to compare with the cluster: a branch, tag or commit of the state repository; its head when
        /// not given.
        #[arg(long = "ref", value_name = "REV")]
        revision: Option<String>,
        /// Also asks the API server what it would say to each change (a dry run).
        #[arg(long)]
        server: bool,
    },
    /// Brings the cluster to the head of the state repository.
    Reconcile {
        /// Stops when there is nothing left to do, instead of going on; exits with 1 when something failed.
        #[arg(long, required = true)]
        once: bool,
        /// Does only what `plan` showed with this hash; when anything differs by now, nothing is done.
        #[arg(long, value_name = "HASH")]
        plan: Option<String>,
    },
    /// Commits this program's base into the state repository where it has an older one, never over a person's edits. The
    /// manager has to be stopped.
    Upgrade,
    /// Makes a new state repository in a directory, to be pushed where you like.
    Init {
        /// The directory; made when it does not exist, refused when it is not empty.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Called by Git in the state repository.
    #[command(hide = true)]
    Hook {
        /// The hook's name.
        #[command(subcommand)]
        hook: Hook,
    },
}

/// Hooks of the state repository.
#[derive(Debug, Subcommand)]
pub enum Hook {
    /// Checks a push before its refs move; reads `old new ref` lines from standard input.
    PreReceive,
}
