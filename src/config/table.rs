//! The settings as people see them: names, defaults, one sentence each.

use std::fmt::Write;

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// What it is when unset; empty for nothing.
    pub default: &'static str,
    /// A value to show where there is no default.
    pub example: &'static str,
    /// What it does.
    pub help: &'static str,
}

const fn setting(name: &'static str, default: &'static str, example: &'static str, help: &'static str) -> Setting {
    Setting { name, default, example, help }
}

/// Every setting, in the order of `.env.example`.
pub const SETTINGS: &[Setting] = &[
    setting("HOST", "127.0.0.1", "", "Address to listen on; 0.0.0.0 for all."),
    setting("PORT", "3000", "", "Port to listen on."),
    setting("BASE_PATH", "", "/claude", "Path prefix of every address, when a proxy serves the manager below one."),
    setting("PUBLIC_URL", "", "https://claude.example.com", "How browsers reach the manager; used in links."),
    setting("FRONTEND_URL", "", "https://frontend.example.com", "Origin of another site that may call the API (CORS)."),
    setting(
        "ALLOWED_HOSTS",
        "",
        "claude.internal,claude.test",
        "Further host names that a manager on the loopback address answers to, with ',' between.",
    ),
    setting("METRICS_OPEN", "true", "", "Whether /api/monitoring/metrics needs no token."),
    setting("HEALTH_OPEN", "true", "", "Whether /api/monitoring/health needs no token."),
    setting(
        "MAX_CONNECTIONS",
        "2048",
        "",
        "Connections that are served at a time; fewer where the limit of open files is lower. Beyond it the oldest idle one is closed.",
    ),
    setting(
        "NODE_ENV",
        "development",
        "",
        "Format of the log and no more: production writes JSON, others plain lines.",
    ),
    setting("LOG_LEVEL", "info", "", "Least severe lines to log: error, warn, info, debug or trace."),
    setting(
        "LOG_DIR",
        "",
        "/var/log/claude-manager",
        "Folder of combined.log, error.log, project-operations.log and webhooks.log; without it DATA_DIR/logs.",
    ),
    setting("DATA_DIR", "./data", "", "Folder for everything that is kept on disk; keep it between restarts."),
    setting(
        "DATABASE_URL",
        "",
        "postgres://user:password@host/claude_manager",
        "PostgreSQL database; without it SQLite in DATA_DIR.",
    ),
    setting("KUBERNETES_NAMESPACE", "claude-manager", "", "Namespace that a new state repository is made for."),
    setting(
        "KUBECONFIG",
        "",
        "/etc/claude-manager/kubeconfig",
        "File that names the cluster; in a pod the pod's own account is used, elsewhere the embedded cluster.",
    ),
    setting(
        "CLAUDE_BIN",
        "",
        "/usr/local/bin/claude",
        "Claude Code for the environments of the embedded cluster; without it the first `claude` in PATH.",
    ),
    setting(
        "STATE_GIT_REPOSITORY",
        "",
        "https://git.example.com/team/state.git",
        "State repository, a remote or a path; without it one is made in DATA_DIR/state.git.",
    ),
    setting("STATE_GIT_BRANCH", "main", "", "Branch of the state repository that is brought to the cluster."),
    setting("STATE_GIT_POLL_SECONDS", "30", "", "How often a remote state repository is asked for new commits."),
    setting(
        "CLAUDE_DEV_IMAGE",
        "claude-dev-env:latest",
        "",
        "Image of new projects; written into the overlay, so a later change leaves old projects alone.",
    ),
    setting("DEFAULT_STORAGE_CLASS", "", "fast-ssd", "Storage class of new projects; unset is the cluster's default."),
    setting("DEFAULT_WORKSPACE_SIZE", "20Gi", "", "Size of a new project's workspace volume."),
    setting("DEFAULT_CONFIG_SIZE", "5Gi", "", "Size of a new project's configuration volume."),
    setting(
        "DEFAULT_GIT_ORG",
        "",
        "https://git.example.com/team",
        "Completes a bare repository name; a bare organisation is one at github.com.",
    ),
    setting("SECRETS_DIR", "", "/etc/claude-manager/secrets", "Folder with one file for each key of the Secret."),
    setting(
        "ADMIN_TOKEN",
        "",
        "a-random-text-of-at-least-32-characters",
        "Token of the administrator, at least 32 characters (admin-token in SECRETS_DIR); without it one is made in DATA_DIR. `claude-manager token show` prints it.",
    ),
    setting(
        "JWT_SECRET",
        "",
        "a-random-text-of-at-least-32-characters",
        "Key that signs the tokens of `claude-manager token create`, at least 32 characters (jwt-secret in SECRETS_DIR); without it one is made in DATA_DIR. Several replicas must share one; a new one ends every token.",
    ),
    setting(
        "SOPS_AGE_KEY",
        "",
        "AGE-SECRET-KEY-1...",
        "Age identity that decrypts the projects' secrets (sops-age-key in SECRETS_DIR).",
    ),
    setting(
        "SOPS_AGE_KEY_FILE",
        "",
        "/etc/claude-manager/age.key",
        "File with that identity; without either one is made in DATA_DIR.",
    ),
    setting(
        "DEFAULT_ANTHROPIC_API_KEY",
        "",
        "sk-ant-...",
        "Anthropic key of projects without their own, for a new state repository; later `sops secrets.sops.yaml` (default-anthropic-api-key in SECRETS_DIR).",
    ),
    setting(
        "BACKUP_GIT_REPOSITORY",
        "",
        "https://git.example.com/team/backup.git",
        "Repository that backups are pushed to, a remote or a path; without it they are kept in BACKUP_DIR only.",
    ),
    setting(
        "BACKUP_GIT_BRANCH",
        "main",
        "",
        "Branch of the backup repository that follows by fast-forward; each backup is a tag as well.",
    ),
    setting("BACKUP_INTERVAL_HOURS", "24", "", "Hours from one backup to the next; 0 makes them on request only."),
    setting(
        "BACKUP_DIR",
        "",
        "/app/backup",
        "Folder of the local copy and bundles; without it DATA_DIR/backup. Host keys are taken from .ssh/known_hosts in it.",
    ),
    setting(
        "BACKUP_GIT_TOKEN",
        "",
        "token",
        "Token for the backup and the remote state repository (backup-git-token in SECRETS_DIR).",
    ),
    setting(
        "BACKUP_SSH_PRIVATE_KEY",
        "",
        "\"-----BEGIN OPENSSH PRIVATE KEY-----\\n...\"",
        "SSH key for the backup and the remote state repository (backup-ssh-private-key in SECRETS_DIR).",
    ),
    setting(
        "AGENT_SIGNING_KEY",
        "",
        "\"-----BEGIN PRIVATE KEY-----\\n...\"",
        "Ed25519 key that lets the manager into environments (agent-signing-key in SECRETS_DIR); without it one is made in DATA_DIR. Several replicas must share one.",
    ),
    setting(
        "WEBHOOK_SECRET",
        "",
        "random-text",
        "Signs calls of /api/webhooks (webhook-secret in SECRETS_DIR): X-Hub-Signature or X-Hub-Signature-256 with HMAC-SHA256 over the body. JIRA's webhook needs it.",
    ),
    setting("JIRA_BASE_URL", "", "https://example.atlassian.net", "Address of JIRA, to write answers to tickets."),
    setting(
        "JIRA_EMAIL",
        "",
        "claude@example.com",
        "E-mail address of the manager's account in JIRA Cloud; unset for JIRA Data Center.",
    ),
    setting(
        "JIRA_API_KEY",
        "",
        "token",
        "API token (Cloud) or personal access token (Data Center) of an account of the manager's own (jira-api-key in SECRETS_DIR).",
    ),
    setting(
        "JIRA_REPOSITORY_FIELD",
        "",
        "customfield_10079",
        "Id or name of the field of issues that names the repository; without it the description is read.",
    ),
    setting(
        "AUTO_CREATE_PROJECTS",
        "",
        "true",
        "Whether a new ticket makes a project; unset: with a cluster yes, on this machine no.",
    ),
];

/// The text of `.env.example`: all settings, commented out, with their defaults or an example.
#[must_use]
pub fn env_example() -> String {
    let mut text =
        "# Copy to .env and change what you need. Lines show the default, or an example where there is none.\n"
            .to_owned();
    for Setting { name, default, example, help } in SETTINGS {
        let (value, note) = if default.is_empty() { (example, " (Example.)") } else { (default, "") };
        // Writing into a string cannot fail.
        let _ = write!(text, "\n# {help}{note}\n#{name}={value}\n");
    }
    text
}
