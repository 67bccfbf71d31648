//! The command line: what each command takes, in the words of `--help`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    Build(Build),
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
    /// Looks at settings, machine, state repository and cluster, and says what is wrong and what to do. Changes nothing;
    /// exits with 1 when something has to be mended.
    Doctor,
    /// Tokens for those who call the API.
    Token {
        /// What to do.
        #[command(subcommand)]
        token: Token,
    },
    /// The key that the secrets of the state repository are encrypted for.
    AgeKey {
        /// What to do.
        #[command(subcommand)]
        age_key: AgeKey,
    },
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

/// What `build` takes: the flags of `kustomize build` that make sense for files alone. Those that run programs are known,
/// so that each is refused with a reason.
#[derive(Debug, Args)]
pub struct Build {
    /// The directory.
    #[arg(value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// Writes to this file instead of printing.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where a kustomization may read files: in and below its own directory, or anywhere.
    #[arg(long, value_name = "RULE", value_enum, default_value = "LoadRestrictionsRootOnly")]
    pub load_restrictor: LoadRestrictor,
    /// The order of the objects where the kustomization has no sortOptions.
    #[arg(long, value_name = "ORDER", value_enum, default_value = "legacy")]
    pub reorder: Reorder,
    #[arg(long, hide = true)]
    enable_alpha_plugins: bool,
    #[arg(long, hide = true)]
    enable_exec: bool,
    #[arg(long, hide = true)]
    enable_helm: bool,
    #[arg(long, hide = true)]
    helm_command: Option<String>,
    #[arg(long, hide = true)]
    helm_api_versions: Vec<String>,
    #[arg(long, hide = true)]
    helm_kube_version: Option<String>,
    #[arg(long, hide = true)]
    helm_debug: bool,
    #[arg(long, hide = true)]
    stack_trace: bool,
    #[arg(long, hide = true)]
    network: bool,
    #[arg(long, hide = true)]
    network_name: Option<String>,
    #[arg(long, hide = true)]
    mount: Vec<String>,
    #[arg(short, long, hide = true)]
    env: Vec<String>,
    #[arg(long, hide = true)]
    as_current_user: bool,
}

impl Build {
    /// The first flag that asks for a program, and why none is run.
    pub(super) fn refused(&self) -> Option<(&'static str, &'static str)> {
        const PLUGIN: &str = "programs and containers are never run; render their output to a file under resources";
        const HELM: &str = "charts are not rendered; use `helm template` and list its output under resources";
        const TRACE: &str = "an error names the file, line and field instead";
        [
            ("--enable-alpha-plugins", self.enable_alpha_plugins, PLUGIN),
            ("--enable-exec", self.enable_exec, PLUGIN),
            ("--network", self.network, PLUGIN),
            ("--network-name", self.network_name.is_some(), PLUGIN),
            ("--mount", !self.mount.is_empty(), PLUGIN),
            ("--env", !self.env.is_empty(), PLUGIN),
            ("--as-current-user", self.as_current_user, PLUGIN),
            ("--enable-helm", self.enable_helm, HELM),
            ("--helm-command", self.helm_command.is_some(), HELM),
            ("--helm-api-versions", !self.helm_api_versions.is_empty(), HELM),
            ("--helm-kube-version", self.helm_kube_version.is_some(), HELM),
            ("--helm-debug", self.helm_debug, HELM),
            ("--stack-trace", self.stack_trace, TRACE),
        ]
        .into_iter()
        .find(|(_, given, _)| *given)
        .map(|(flag, _, reason)| (flag, reason))
    }
}

/// Rules for where files may be, in the words of kustomize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoadRestrictor {
    /// In and below the directory of the kustomization.
    #[value(name = "LoadRestrictionsRootOnly")]
    RootOnly,
    /// Anywhere.
    #[value(name = "LoadRestrictionsNone")]
    None,
}

/// Orders of the output, in the words of kustomize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reorder {
    /// Kinds that others need come first.
    Legacy,
    /// As in the files.
    None,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Prints the administrator's token, for whoever may read the data directory or the Secret anyway. Makes none.
    Show,
    /// Prints a new token with a role, for API, pages and Git. The manager need not run; the token ends at its time, or when
    /// the key jwt-secret is replaced.
    Create {
        /// What the token allows: a viewer reads, an operator also changes projects and sends prompts, an administrator does
        /// everything.
        #[arg(long, value_name = "ROLE", value_enum)]
        role: RoleName,
        /// How long it is good for: 30m, 12h, 90d; at most 366d.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = crate::auth::parse_ttl)]
        ttl: std::time::Duration,
        /// The author of commits that are made with it.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// The author's address.
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
}

/// Roles, each including the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Reads.
    Viewer,
    /// Also changes projects and sends prompts.
    Operator,
    /// Does everything.
    Administrator,
}

/// What `age-key` does.
#[derive(Debug, Subcommand)]
pub enum AgeKey {
    /// Makes a new key in the data directory, where the old one is lost for good. Old secrets stay unreadable.
    New,
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
    /// The repository to clone into the workspace.
    #[arg(long, env = "GIT_REPOSITORY", hide_env_values = true, value_name = "URL")]
    pub repository: Option<String>,
    /// Its branch; the repository's own default when not given.
    #[arg(long, env = "GIT_BRANCH", value_name = "NAME")]
    pub branch: Option<String>,
    /// The program of Claude Code; the first `claude` in PATH when not given.
    #[arg(long, env = "CLAUDE_BIN", value_name = "FILE")]
    pub claude_bin: Option<PathBuf>,
    /// After how many seconds without work a process of Claude Code is ended; its next turn then takes a second or two
    /// longer.
    #[arg(long, env = "CLAUDE_IDLE_SECONDS", default_value_t = 300, value_name = "SECONDS")]
    pub claude_idle_seconds: u64,
    /// After how many seconds without output a turn is interrupted.
    #[arg(long, env = "CLAUDE_SILENT_SECONDS", default_value_t = 900, value_name = "SECONDS")]
    pub claude_silent_seconds: u64,
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
    /// Called by the manager: hides directories from this process (Linux, by Landlock), reads variables from standard input
    /// and executes the agent with them.
    #[command(hide = true)]
    Launch {
        /// The agent's root; it can be read as a whole.
        #[arg(long, value_name = "DIR")]
        root: PathBuf,
        /// Hides a directory; may be given several times.
        #[arg(long, value_name = "DIR")]
        hide: Vec<PathBuf>,
        /// Keeps the directory of a volume writable; may be given several times.
        #[arg(long, value_name = "DIR")]
        write: Vec<PathBuf>,
        /// The agent's own arguments.
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<OsString>,
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
    /// Called by the agent: runs a program that ends with its parent.
    #[command(hide = true)]
    Child {
        /// The agent's process.
        #[arg(long)]
        parent: u32,
        /// The program.
        program: PathBuf,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}
