//! The command line: what each command takes, in the words of `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    },
    /// Brings the cluster to the head of the state repository.
    Reconcile {
        /// Stops when there is nothing left to do, instead of going on; exits with 1 when something failed.
        #[arg(long, required = true)]
        once: bool,
    },
    /// Makes a new state repository in a directory, to be pushed where you like.
    Init {
        /// The directory; made when it does not exist, refused when it is not empty.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Looks at settings, machine, state repository and cluster, and says what is wrong and what to do. Changes nothing;
    /// exits with 1 when something has to be mended.
    Doctor,
    /// Runs inside an environment: clones its repository and answers the manager.
    #[command(args_conflicts_with_subcommands = true)]
    Agent(Agent),
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

/// The agent, or one of its errands.
#[derive(Debug, Args)]
pub struct Agent {
    /// What else to do.
    #[command(subcommand)]
    pub errand: Option<AgentErrand>,
    /// How to run.
    #[command(flatten)]
    pub options: AgentOptions,
}

/// How the agent runs.
#[derive(Debug, Args)]
pub struct AgentOptions {
    /// The directory that everything of the environment lies under: workspace, config, etc/claude-manager.
    #[arg(long, env = "CLAUDE_MANAGER_AGENT_ROOT", default_value = "/", value_name = "DIR")]
    pub root: PathBuf,
    /// Where to listen; port 7780 of every address when not given.
    #[arg(long, env = "CLAUDE_MANAGER_AGENT_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// The short name of the project.
    #[arg(long, env = "CLAUDE_MANAGER_PROJECT", value_name = "NAME")]
    pub project: Option<String>,
    /// The uid of the pod, noted in the lock of the workspace.
    #[arg(long, env = "CLAUDE_MANAGER_POD_UID", value_name = "UID")]
    pub pod_uid: Option<String>,
    /// Takes a directory away from the agent and all that it starts, except for what lies under the root or is linked
    /// from there (Linux, by Landlock); may be given several times.
    #[arg(long, value_name = "DIR")]
    pub hide: Vec<PathBuf>,
    /// The repository to clone into the workspace.
    #[arg(long, env = "GIT_REPOSITORY", hide_env_values = true, value_name = "URL")]
    pub repository: Option<String>,
    /// Its branch; the repository's own default when not given.
    #[arg(long, env = "GIT_BRANCH", value_name = "NAME")]
    pub branch: Option<String>,
}

/// What the program does for an agent beside running it.
#[derive(Debug, Subcommand)]
pub enum AgentErrand {
    /// Copies this program into a directory, for an environment's container to run it.
    Install {
        /// The directory.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Called by Git: answers with the token of the project's repository.
    #[command(hide = true)]
    Credential {
        /// The only `https://host[:port]` to answer for.
        #[arg(long)]
        origin: String,
        /// The user name beside the token.
        #[arg(long)]
        user: String,
        /// The file with the token.
        #[arg(long)]
        token_file: PathBuf,
        /// What Git wants.
        action: String,
    },
}
