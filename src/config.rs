//! Every setting of the program, read once from the environment into small structs.
//!
//! [`Settings::from_vars`] is pure: variables in, settings or *all* the errors out. An unknown variable is no error (an
//! environment is full of them); an empty one counts as unset, as container tools often pass it so.

mod given;
mod reader;
mod repository;
mod secrets;
mod table;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use secrecy::SecretString;

use crate::project::{GitUrl, Image, Quantity};
use reader::Reader;

pub use given::{Given, GivenSettings, Origin};
pub use reader::SettingError;
pub use secrets::Secrets;
pub use table::{SETTINGS, Setting, env_example};

/// The settings of one process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// KUBERNETES_NAMESPACE: seeds the `namespace:` of a new state repository.
    pub namespace: String,
    /// KUBECONFIG: the cluster to use; without it the pod's own, else the embedded one.
    pub kubeconfig: Option<PathBuf>,
    /// DATA_DIR: everything that this process keeps on disk.
    pub data_dir: PathBuf,
    /// CLAUDE_BIN: the program that environments of the embedded cluster run; the first `claude` in PATH when absent.
    pub claude_bin: Option<PathBuf>,
    /// DATABASE_URL: a PostgreSQL server; without it a file in `data_dir`.
    pub database_url: Option<SecretString>,
    /// How lines are logged.
    pub log: LogSettings,
    /// LOG_DIR; without it `logs` in the data directory.
    pub log_dir: Option<PathBuf>,
    /// How requests are served.
    pub server: ServerSettings,
    /// What a new project gets where its request is silent.
    pub defaults: ProjectDefaults,
    /// Where the state repository is.
    pub state: StateSettings,
    /// Where backups of it go.
    pub backup: BackupSettings,
    /// Where tickets come from, and what they may do.
    pub jira: JiraSettings,
    /// Keys and credentials of the manager itself.
    pub secrets: Secrets,
    /// Which of them were given, and by what.
    pub given: GivenSettings,
}

/// How lines are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// NODE_ENV: `production` writes JSON. Nothing else depends on it.
    pub format: LogFormat,
    /// LOG_LEVEL.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Text,
    /// One JSON object on each line.
    Json,
}

/// The least severe level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures that somebody has to look at.
    Error,
    /// Also what may become one.
    Warn,
    /// Also what was done.
    Info,
    /// Also how.
    Debug,
    /// Everything.
    Trace,
}

/// How requests are served.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// HOST: the address to listen on.
    pub host: IpAddr,
    /// PORT.
    pub port: u16,
    /// BASE_PATH: empty, or `/prefix` without a slash at its end.
    pub base_path: String,
    /// PUBLIC_URL: how browsers reach the manager, without a slash at its end.
    pub public_url: Option<String>,
    /// FRONTEND_URL: the origin (`https://host[:port]`) that browsers may call the API from.
    pub frontend_origin: Option<String>,
    /// ALLOWED_HOSTS: further `Host` names that a process on the loopback address answers to, in lower case.
    pub allowed_hosts: Vec<String>,
    /// METRICS_OPEN: whether metrics need no token.
    pub metrics_open: bool,
    /// HEALTH_OPEN: whether the health report needs no token.
    pub health_open: bool,
    /// MAX_CONNECTIONS: how many connections are served at a time.
    pub max_connections: usize,
}

/// What a new project gets where its request is silent.
#[derive(Clone, Debug)]
pub struct ProjectDefaults {
    /// DEFAULT_STORAGE_CLASS; the cluster's own default when absent.
    pub storage_class: Option<String>,
    /// DEFAULT_WORKSPACE_SIZE.
    pub workspace_size: Quantity,
    /// DEFAULT_CONFIG_SIZE.
    pub config_size: Quantity,
    /// CLAUDE_DEV_IMAGE.
    pub image: Image,
    /// DEFAULT_GIT_ORG as what stands before a bare repository name, with its `/` or `:` at the end.
    pub git_prefix: Option<String>,
    /// Whether a repository may be a directory of this machine. No setting: set where the environments are processes of it.
    pub local_repositories: bool,
}

/// Where the state repository is.
#[derive(Clone, Debug)]
pub struct StateSettings {
    /// STATE_GIT_REPOSITORY: a remote, or a path; without it `DATA_DIR/state.git`.
    pub repository: Option<String>,
    /// STATE_GIT_BRANCH.
    pub branch: String,
    /// STATE_GIT_POLL_SECONDS: how often a remote is asked for new commits.
    pub poll_seconds: u64,
}

/// Where backups of the state repository go.
#[derive(Clone, Debug)]
pub struct BackupSettings {
    /// BACKUP_GIT_REPOSITORY: a remote, a path or `file://…`; without it backups stay in the directory.
    pub repository: Option<String>,
    /// BACKUP_GIT_BRANCH.
    pub branch: String,
    /// BACKUP_INTERVAL_HOURS; 0 makes backups on request only.
    pub interval_hours: u32,
    /// BACKUP_DIR: local copies; without it `backup` in the data directory.
    pub directory: Option<PathBuf>,
}

/// Where tickets come from, and what they may do.
#[derive(Clone, Debug)]
pub struct JiraSettings {
    /// JIRA_BASE_URL, without a slash at its end.
    pub base_url: Option<String>,
    /// JIRA_EMAIL: set for Cloud, unset for Data Center.
    pub email: Option<String>,
    /// JIRA_REPOSITORY_FIELD: the id or the name of the field with the repository.
    pub repository_field: Option<String>,
    /// AUTO_CREATE_PROJECTS; unset: with a cluster, and not with the embedded one.
    pub auto_create_projects: Option<bool>,
}

impl Settings {
    /// Reads the settings from variables.
    ///
    /// # Errors
    /// All that is wrong, in the order of the settings; each error names the variable, its value (unless that may be a
    /// secret) and what is allowed.
    pub fn from_vars(vars: &BTreeMap<String, String>) -> Result<Self, Vec<SettingError>> {
        let mut reader = Reader::new(vars);
        let namespace = reader.with_default("KUBERNETES_NAMESPACE", "claude-manager", label);
        let kubeconfig = reader.optional("KUBECONFIG", path);
        let data_dir = reader.with_default("DATA_DIR", "./data", path);
        let database_url = reader.secret("DATABASE_URL", database_url);
        let claude_bin = reader.optional("CLAUDE_BIN", path);
        let format = reader.with_default("NODE_ENV", "development", |text| {
            Ok(if text == "production" { LogFormat::Json } else { LogFormat::Text })
        });
        let level = reader.with_default("LOG_LEVEL", "info", log_level);
        let log_dir = reader.optional("LOG_DIR", path);
        let host = reader.with_default("HOST", "127.0.0.1", host);
        let port = reader.with_default("PORT", "3000", port);
        let base_path = reader.optional("BASE_PATH", base_path).unwrap_or_default();
        let public_url = reader.optional("PUBLIC_URL", public_url);
        let frontend_origin = reader.optional("FRONTEND_URL", origin);
        let allowed_hosts = reader.optional("ALLOWED_HOSTS", host_names).unwrap_or_default();
        let metrics_open = reader.with_default("METRICS_OPEN", "true", boolean);
        let health_open = reader.with_default("HEALTH_OPEN", "true", boolean);
        let max_connections = reader.with_default("MAX_CONNECTIONS", "2048", max_connections);
        let storage_class = reader.optional("DEFAULT_STORAGE_CLASS", storage_class);
        let workspace_size = reader.with_default("DEFAULT_WORKSPACE_SIZE", "20Gi", size);
        let config_size = reader.with_default("DEFAULT_CONFIG_SIZE", "5Gi", size);
        let image = reader.with_default("CLAUDE_DEV_IMAGE", "claude-dev-env:latest", |text| {
            Image::parse(text).map_err(|error| error.to_string())
        });
        let git_prefix = reader.optional("DEFAULT_GIT_ORG", git_prefix);
        let repository = reader.optional("STATE_GIT_REPOSITORY", state_repository);
        let branch = reader.with_default("STATE_GIT_BRANCH", "main", branch);
        let poll_seconds = reader.with_default("STATE_GIT_POLL_SECONDS", "30", poll_seconds);
        let backup_repository = reader.optional("BACKUP_GIT_REPOSITORY", state_repository);
        let backup_branch = reader.with_default("BACKUP_GIT_BRANCH", "main", self::branch);
        let interval_hours = reader.with_default("BACKUP_INTERVAL_HOURS", "24", interval_hours);
        let backup_directory = reader.optional("BACKUP_DIR", path);
        let jira = JiraSettings {
            base_url: reader.optional("JIRA_BASE_URL", self::public_url),
            email: reader.optional("JIRA_EMAIL", email),
            repository_field: reader.optional("JIRA_REPOSITORY_FIELD", field_name),
            auto_create_projects: reader.optional("AUTO_CREATE_PROJECTS", boolean),
        };
        let secrets = Secrets {
            directory: reader.optional("SECRETS_DIR", path),
            sops_age_key: reader.secret("SOPS_AGE_KEY", anything),
            sops_age_key_file: reader.optional("SOPS_AGE_KEY_FILE", path),
            default_anthropic_api_key: reader.secret("DEFAULT_ANTHROPIC_API_KEY", anything),
            git_token: reader.secret("BACKUP_GIT_TOKEN", anything),
            git_ssh_private_key: reader.secret("BACKUP_SSH_PRIVATE_KEY", anything),
            agent_signing_key: reader.secret("AGENT_SIGNING_KEY", anything),
            admin_token: reader.secret("ADMIN_TOKEN", anything),
            jwt_secret: reader.secret("JWT_SECRET", anything),
            webhook_secret: reader.secret("WEBHOOK_SECRET", anything),
            jira_api_key: reader.secret("JIRA_API_KEY", one_word),
            files: Vec::new(),
        };
        let given = reader.take_given();
        // Everything has been read by now, so that one run reports every error.
        let assemble = || {
            Some(Self {
                namespace: namespace?,
                kubeconfig,
                data_dir: data_dir?,
                claude_bin,
                database_url,
                log: LogSettings { format: format?, level: level? },
                log_dir,
                server: ServerSettings {
                    host: host?,
                    port: port?,
                    base_path,
                    public_url,
                    frontend_origin,
                    allowed_hosts,
                    metrics_open: metrics_open?,
                    health_open: health_open?,
                    max_connections: max_connections?,
                },
                defaults: ProjectDefaults {
                    storage_class,
                    workspace_size: workspace_size?,
                    config_size: config_size?,
                    image: image?,
                    git_prefix,
                    local_repositories: false,
                },
                state: StateSettings { repository, branch: branch?, poll_seconds: poll_seconds? },
                backup: BackupSettings {
                    repository: backup_repository,
                    branch: backup_branch?,
                    interval_hours: interval_hours?,
                    directory: backup_directory,
                },
                jira,
                secrets,
                given,
            })
        };
        reader.finish(assemble())
    }

    /// Where the log files are.
    #[must_use]
    pub fn log_directory(&self) -> PathBuf {
        self.log_dir.clone().unwrap_or_else(|| self.data_dir.join("logs"))
    }
}

fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

/// A token goes into a header.
fn one_word(text: &str) -> Result<(), String> {
    let fits = text.chars().all(|c| c.is_ascii_graphic());
    if fits { Ok(()) } else { Err("must be one word of ASCII characters".to_owned()) }
}

fn email(text: &str) -> Result<String, String> {
    let fits = text.contains('@') && text.len() <= 254 && text.chars().all(|c| c.is_ascii_graphic() && c != ':');
    if fits { Ok(text.to_owned()) } else { Err("must be the e-mail address of the account in JIRA Cloud".to_owned()) }
}

fn field_name(text: &str) -> Result<String, String> {
    let fits = text.chars().count() <= 255 && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("must be the id (customfield_10079) or the name of a field".to_owned()) }
}

fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

fn label(text: &str) -> Result<String, String> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fine =
        text.len() <= 63 && text.starts_with(word) && text.ends_with(word) && text.chars().all(|c| word(c) || c == '-');
    if fine { Ok(text.to_owned()) } else { Err("must be lower-case letters, digits and '-', at most 63".to_owned()) }
}

fn database_url(text: &str) -> Result<(), String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(());
    }
    Err("must be postgres://user:password@host/database; leave it unset to use SQLite in DATA_DIR".to_owned())
}

fn log_level(text: &str) -> Result<LogLevel, String> {
    match text.to_ascii_lowercase().as_str() {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err("must be error, warn, info, debug or trace".to_owned()),
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.parse().map_err(|_| "must be an IP address, as in 127.0.0.1, 0.0.0.0 or ::".to_owned())
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "must be a port number from 0 to 65535 (0 takes any free one)".to_owned())
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn max_connections(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 16..=65_536) => Ok(count),
        _ => Err("must be a number of connections from 16 to 65536".to_owned()),
    }
}

fn base_path(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let part = |part: &str| {
        !matches!(part, "" | "." | "..") && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-~".contains(c))
    };
    match trimmed.strip_prefix('/') {
        None if trimmed.is_empty() => Ok(String::new()),
        Some(parts) if parts.split('/').all(part) => Ok(trimmed.to_owned()),
        _ => Err("must be a path such as /claude".to_owned()),
    }
}

/// An `http` or `https` URL in its parts: scheme with authority, and path.
fn web_url(text: &str) -> Result<(String, String), String> {
    let error = || "must be http://host[:port] or https://host[:port]".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| error())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(error()) };
    if !matches!(scheme, "http" | "https") || authority.as_str().contains('@') || uri.query().is_some() {
        return Err(error());
    }
    let origin = format!("{scheme}://{}", authority.as_str().to_ascii_lowercase());
    Ok((origin, uri.path().trim_end_matches('/').to_owned()))
}

fn public_url(text: &str) -> Result<String, String> {
    web_url(text).map(|(origin, path)| format!("{origin}{path}"))
}

fn origin(text: &str) -> Result<String, String> {
    match web_url(text)? {
        (origin, path) if path.is_empty() => Ok(origin),
        _ => Err("must be an origin without a path, as in https://host".to_owned()),
    }
}

fn host_names(text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let fine = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if fine { Ok(name.to_ascii_lowercase()) } else { Err("must be host names with ',' between".to_owned()) }
        })
        .collect()
}

pub(crate) fn storage_class(text: &str) -> Result<String, String> {
    let fine = text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        });
    if fine { Ok(text.to_owned()) } else { Err("must be the name of a storage class".to_owned()) }
}

fn size(text: &str) -> Result<Quantity, String> {
    match Quantity::parse(text) {
        Ok(size) if size.is_positive() => Ok(size),
        Ok(_) => Err("must be more than nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A bare organisation is one at GitHub, as it was with the predecessor.
fn git_prefix(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let bare = !trimmed.is_empty() && trimmed.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let prefix = match bare {
        true => format!("https://github.com/{trimmed}/"),
        false if trimmed.ends_with(':') => trimmed.to_owned(),
        false => format!("{trimmed}/"),
    };
    match GitUrl::parse(&format!("{prefix}name.git")) {
        Ok(_) => Ok(prefix),
        Err(_) => Err("must be an organisation (of github.com), https://host/org or user@host:org".to_owned()),
    }
}

fn state_repository(text: &str) -> Result<String, String> {
    if text.starts_with('-') || text.contains("::") || text.chars().any(char::is_control) {
        return Err("must be the address of a Git repository or a path".to_owned());
    }
    // An address with a password would be repeated in logs and in the remote's configuration.
    let authority = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    if authority.and_then(|authority| authority.rsplit_once('@')).is_some_and(|(user, _)| user.contains(':')) {
        return Err("must not carry a password; give BACKUP_GIT_TOKEN instead".to_owned());
    }
    Ok(text.to_owned())
}

/// The rules of `git check-ref-format`, and no characters that somebody would have to quote.
pub(crate) fn branch(text: &str) -> Result<String, String> {
    let part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock");
    let fine = text.len() <= 255
        && text.split('/').all(part)
        && !text.starts_with('-')
        && !text.contains("..")
        && !text.contains("@{")
        && text != "@"
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\\"'`$".contains(c));
    if fine { Ok(text.to_owned()) } else { Err("must be the name of a branch".to_owned()) }
}

fn poll_seconds(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(seconds),
        _ => Err("must be a number of seconds from 1 to 86400".to_owned()),
    }
}

fn interval_hours(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(hours @ 0..=8760) => Ok(hours),
        _ => Err("must be a number of hours from 0 (on request only) to 8760".to_owned()),
    }
}

#[cfg(test)]
mod tests;
