//! Opens everything a command needs, in order, with an error that says what could not be opened and what to do.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::past::Past;
use crate::agent::{self, Reach, Signer};
use crate::backup::{self, Backups};
use crate::cluster::Target;
use crate::config::Settings;
use crate::git::{self, CommitMeta, Credentials, Person, Remote, Repository};
use crate::metrics::Metrics;
use crate::project::{AgentKey, ChangeSet, Files, RepoPath, Revision, SCOPE_LABEL, SecretKey, Unit, layout};
use crate::reconcile::Dependencies;
use crate::sops::{self, Identity};
use crate::store::Store;
use crate::{edit, embedded, jira, tickets};

/// What every command that looks at the cluster works with.
pub(crate) struct Wired {
    /// For the reconciler.
    pub(crate) parts: Dependencies,
    /// What the cluster is, for people.
    pub(crate) cluster: &'static str,
    /// The embedded cluster, when it is the one: whoever serves runs its pods.
    pub(crate) embedded: Option<embedded::Cluster>,
    /// Held while this process may write to the data directory.
    _lock: File,
}

/// Whether the command writes; two writers on one data directory would undo each other's work.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only looks.
    Read,
    /// May write to Git, the store or the embedded cluster.
    Write,
}

/// Opens the data directory, the keys, the store, the repository and the cluster.
pub(crate) async fn wire(settings: &Settings, access: Access) -> anyhow::Result<Wired> {
    let data = &settings.data_dir;
    if access == Access::Write {
        // Said now, not by the first push or clone that needs it.
        git::version()?;
    }
    make_private(data)?;
    let lock = lock(data, access)?;
    let is_new_file = settings.database_url.is_none() && !data.join("manager.db").exists();
    let store = match &settings.database_url {
        Some(url) => Store::connect_postgres(url).await.context("the database of DATABASE_URL")?,
        None => Store::open_sqlite(data).await?,
    };
    let (repository, identities) = match access {
        Access::Read => (existing_repository(settings)?, existing_identities(settings)?),
        Access::Write => {
            let past = Past::find(settings, &store).await?;
            if is_new_file && !past.is_first() {
                tracing::warn!(
                    path = %data.join("manager.db").display(),
                    "the database was missing and is made anew: conversations and tickets of before are not in it; if it was \
                     lost, stop, and put it back"
                );
            }
            repository(settings, &past)?
        }
    };
    let metrics = Metrics::new().context("the metrics cannot be registered")?;
    let (client, embedded) = client(settings, access, &metrics).await?;
    let cluster = if embedded.is_some() { "embedded" } else { "Kubernetes" };
    let agents = match access {
        // Who only looks asks no environment.
        Access::Read => None,
        Access::Write => {
            let reach = if embedded.is_some() { Reach::Direct } else { Reach::Cluster(client.clone()) };
            Some(agent::Client::new(signer(settings)?, reach))
        }
    };
    let parts = Dependencies {
        repository,
        client,
        store,
        age_identities: Arc::new(identities),
        memo: Arc::default(),
        namespace: settings.namespace.clone(),
        agents,
        metrics,
    };
    Ok(Wired { parts, cluster, embedded, _lock: lock })
}

fn make_private(directory: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(|| {
        format!(
            "the data directory {} cannot be made; set DATA_DIR to a place that can be written",
            directory.display()
        )
    })
}

/// One writer for each data directory; readers do not mind.
fn lock(data: &Path, access: Access) -> anyhow::Result<File> {
    let path = data.join("lock");
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).with_context(|| {
            format!("{} cannot be opened; DATA_DIR has to be writable for this user", path.display())
        })?;
    if access == Access::Write {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another claude-manager works in {}; stop it first, or set DATA_DIR to another place",
                data.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).context("the data directory cannot be locked"),
        }
    }
    Ok(file)
}

/// The age identities: those of the settings, else the one in the data directory. One is made at a first start, and refused
/// where the secrets of `repository`, or what earlier starts have left, are for another.
pub(crate) fn age_identities(
    settings: &Settings,
    past: &Past,
    repository: Option<(&Repository, Revision)>,
) -> anyhow::Result<Vec<Identity>> {
    let known = existing_identities(settings)?;
    if !known.is_empty() {
        return Ok(known);
    }
    match past.key_missing(repository) {
        Some(refusal) => Err(refusal),
        None => Ok(vec![new_identity(settings)?]),
    }
}

/// Makes the age key of the data directory.
pub(crate) fn new_identity(settings: &Settings) -> anyhow::Result<Identity> {
    let path = age_key(settings);
    make_private(&settings.data_dir)?;
    let (identity, text) = sops::generate(Timestamp::now());
    write_private(&path, text.expose_secret())?;
    tracing::info!(path = %path.display(), "made a new age key; keep a copy, secrets cannot be read without it");
    Ok(identity)
}

/// The age identities that there are; none before the first start.
pub(crate) fn existing_identities(settings: &Settings) -> anyhow::Result<Vec<Identity>> {
    if let Some(given) = settings.secrets.age_identities()? {
        return sops::parse_identities(&given).context("SOPS_AGE_KEY or SOPS_AGE_KEY_FILE");
    }
    let path = age_key(settings);
    match fs::read_to_string(&path) {
        Ok(text) => sops::parse_identities(&SecretString::from(text)).with_context(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// The file with the key, in the data directory.
pub(super) const AGE_KEY: &str = "age.key";

pub(super) fn age_key(settings: &Settings) -> std::path::PathBuf {
    settings.data_dir.join(AGE_KEY)
}

/// The identities by which the hook of the state repository at `path` can read encrypted files: the one of the data directory
/// around it, where this user may read it and the repository's own rules name it. Without one, the hook judges what can be
/// seen of a file, and the reconciler the rest.
pub(crate) fn hook_identities(path: &Path, repository: &Repository) -> Vec<Identity> {
    let beside = path.parent().map(|data| data.join(AGE_KEY)).and_then(|path| fs::read_to_string(path).ok());
    let identities = beside.and_then(|text| sops::parse_identities(&SecretString::from(text)).ok()).unwrap_or_default();
    let rules = || {
        let tree = repository.tree(repository.head().ok()??).ok()?;
        let text = tree.read(&RepoPath::parse(layout::SOPS_CONFIG).ok()?).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    // A key that was left behind when the settings took over is nobody's.
    let rules = rules().unwrap_or_default();
    identities.into_iter().filter(|identity| rules.contains(&identity.recipient().to_string())).collect()
}

/// What signs the tokens for environments: the key of the settings, else the one in the data directory, made when there is
/// none.
pub(crate) fn signer(settings: &Settings) -> anyhow::Result<Signer> {
    match &settings.secrets.agent_signing_key {
        Some(key) => Signer::from_pem(key.expose_secret()).context("AGENT_SIGNING_KEY"),
        None => Ok(Signer::open(&settings.data_dir)?),
    }
}

/// Its public half, as the state repository has it.
pub(crate) fn agent_key(signer: &Signer) -> AgentKey {
    let key = signer.public_key();
    AgentKey { kid: key.kid(), pem: key.to_pem() }
}

/// The public key of the first identity: what a new repository encrypts for.
fn recipient(identities: &[Identity]) -> anyhow::Result<String> {
    identities.first().map(|identity| identity.recipient().to_string()).context("there is no age key")
}

/// Writes a file that only this user can read, whole or not at all.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let making = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&making)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&making, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// The first commit of a new state repository: the template, and the default key when there is one. Later, settings
/// change nothing in it: what Git says counts.
pub(crate) fn seed(settings: &Settings, identities: &[Identity]) -> anyhow::Result<ChangeSet> {
    let seed = edit::seed::seed(&settings.namespace, &recipient(identities)?);
    let mut seed = edit::seed::with_agent_key(seed, &agent_key(&signer(settings)?))?;
    if let Some(key) = &settings.secrets.default_anthropic_api_key {
        let secret = sops::Secret {
            name: layout::secret_name(&Unit::Base),
            labels: BTreeMap::from([(SCOPE_LABEL.to_owned(), "base".to_owned())]),
            values: BTreeMap::from([(SecretKey::AnthropicApiKey.as_str().to_owned(), key.clone())]),
            ..sops::Secret::default()
        };
        let recipients: Vec<_> = identities.iter().map(Identity::recipient).collect();
        let text = sops::encrypt(&secret, &recipients, Timestamp::now()).context("the default key")?;
        seed.write(layout::secrets_path(&Unit::Base), text);
    }
    Ok(seed)
}

/// The state repository for whoever only looks.
fn existing_repository(settings: &Settings) -> anyhow::Result<Repository> {
    Repository::open(&settings.data_dir.join("state.git"), Some(&settings.state.branch))
        .with_context(|| "there is no state repository yet; `claude-manager serve` makes it at its first start")
}

/// The state repository (the bare one in the data directory, or a mirror of the remote), and the keys for its secrets. Both
/// are made at a first start, and never in the place of what was lost.
fn repository(settings: &Settings, past: &Past) -> anyhow::Result<(Repository, Vec<Identity>)> {
    let path = settings.data_dir.join("state.git");
    let branch = &settings.state.branch;
    let url = settings.state.repository.as_ref();
    let remote = url.map(|url| Remote::new(url, credentials(settings, url))).transpose()?;
    let is_remote = remote.is_some();
    // Before anything is made at the path.
    let existing = if path.join("HEAD").exists() { Some(Repository::open(&path, Some(branch))?) } else { None };
    let has_branch = existing.as_ref().map(Repository::head).transpose()?.flatten().is_some();
    if !has_branch {
        let (place, others) = match (&remote, &existing) {
            (Some(remote), _) => (remote.url().to_owned(), remote.branches(&settings.data_dir)?),
            (None, Some(existing)) => (path.display().to_string(), existing.branches()?),
            (None, None) => (path.display().to_string(), Vec::new()),
        };
        let refusal = past.branch_missing(&place, is_remote, &others);
        if let Some(refusal) = refusal.filter(|_| !others.contains(branch)) {
            return Err(refusal);
        }
    }
    if past.is_first() {
        past.begin()?;
    }
    let repository = Repository::open_or_make(&path, branch, remote)?;
    let head = repository.head()?;
    if let Some(head) = head {
        repository.check_commit(head).map_err(|error| past.head_damaged(head, &error, is_remote))?;
    }
    let identities = age_identities(settings, past, head.map(|head| (&repository, head)))?;
    if head.is_none() {
        let meta = CommitMeta {
            author: Person::manager(),
            committer: Person::manager(),
            time: Timestamp::now(),
            message: "Begin the state repository".to_owned(),
        };
        repository.seed_if_empty(&seed(settings, &identities)?, &meta)?;
    }
    past.end()?;
    let program = std::env::current_exe().context("where this program is")?;
    repository.install_hook(&program)?;
    Ok((repository, identities))
}

/// How the repository at `url` is opened: by the token over http, by the key over ssh, and a path by neither.
pub(crate) fn credentials(settings: &Settings, url: &str) -> Credentials {
    let secrets = &settings.secrets;
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    // `user@host:path`; a colon behind a slash belongs to a path.
    let is_scp = scheme.is_none() && url.split_once(':').is_some_and(|(host, _)| !host.contains('/'));
    let token = secrets.git_token.as_ref().filter(|_| matches!(scheme, Some("http" | "https")));
    let key = secrets.git_ssh_private_key.as_ref().filter(|_| is_scp || scheme == Some("ssh"));
    match (token, key) {
        (Some(token), _) => Credentials::Token { user: None, token: token.clone() },
        (None, Some(key)) => Credentials::SshKey { private_key: key.clone(), known_hosts: known_hosts(settings) },
        (None, None) => Credentials::None,
    }
}

/// The host keys in BACKUP_DIR/.ssh, where there are any.
fn known_hosts(settings: &Settings) -> Option<String> {
    let text = fs::read_to_string(backup_directory(settings).join(".ssh/known_hosts")).ok()?;
    Some(text).filter(|text| !text.trim().is_empty())
}

/// BACKUP_DIR.
pub(crate) fn backup_directory(settings: &Settings) -> std::path::PathBuf {
    settings.backup.directory.clone().unwrap_or_else(|| settings.data_dir.join("backup"))
}

/// The backups of `repository`.
pub(crate) fn backups(settings: &Settings, repository: &Repository, metrics: &Metrics) -> anyhow::Result<Backups> {
    let backup = &settings.backup;
    let remote = backup.repository.as_ref().map(|url| Remote::new(url, credentials(settings, url)));
    let remote = remote.transpose().context("BACKUP_GIT_REPOSITORY")?;
    let mut state_addresses = vec![repository.path().display().to_string()];
    state_addresses.extend(settings.state.repository.clone());
    let options = backup::Options {
        directory: backup_directory(settings),
        remote,
        branch: backup.branch.clone(),
        interval: (backup.interval_hours > 0).then(|| Duration::from_secs(3600 * u64::from(backup.interval_hours))),
        state_addresses,
        agent_key: Some(agent_key(&signer(settings)?)),
    };
    Ok(Backups::open(repository.clone(), options, metrics.clone())?)
}

/// What tickets need of the settings. A client of JIRA is there once its address and key are.
pub(crate) fn tickets(settings: &Settings, is_embedded: bool) -> anyhow::Result<tickets::Options> {
    let server = &settings.server;
    Ok(tickets::Options {
        jira: jira(settings)?,
        site: settings.jira.base_url.clone(),
        repository_field: settings.jira.repository_field.clone(),
        // A process of this machine is no sandbox: there, tickets make projects only where a person said so.
        may_create: settings.jira.auto_create_projects.unwrap_or(!is_embedded),
        has_secret: settings.secrets.webhook_secret.is_some(),
        defaults: settings.defaults.clone(),
        public_url: server.public_url.clone(),
    })
}

/// The client of JIRA; `None` while its address or its key is not set.
pub(crate) fn jira(settings: &Settings) -> anyhow::Result<Option<jira::Client>> {
    let (Some(base), Some(key)) = (&settings.jira.base_url, &settings.secrets.jira_api_key) else { return Ok(None) };
    Ok(Some(jira::Client::new(base, settings.jira.email.as_deref(), key).context("JIRA")?))
}

/// The cluster that is configured; `None` is the embedded one.
pub(crate) fn target(settings: &Settings) -> Option<Target> {
    let host = std::env::var_os("KUBERNETES_SERVICE_HOST");
    let kubeconfig = settings.kubeconfig.as_ref().map(|path| path.as_os_str());
    Target::choose(kubeconfig, None, host.as_deref())
}

/// A client for the cluster, and the cluster itself when it is the embedded one.
async fn client(
    settings: &Settings,
    access: Access,
    metrics: &Metrics,
) -> anyhow::Result<(kube::Client, Option<embedded::Cluster>)> {
    match target(settings) {
        Some(target) => {
            let client = target.counted_client(metrics).await.map_err(|error| {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                anyhow::anyhow!("{error}{hint}")
            })?;
            Ok((client, None))
        }
        None => {
            let directory = settings.data_dir.join("cluster");
            let cluster = match access {
                Access::Write => embedded::Cluster::open(&directory)?,
                Access::Read => copy_of_embedded(&directory)?,
            };
            Ok((cluster.client(), Some(cluster)))
        }
    }
}

/// The embedded cluster as it is now: a running manager keeps the one in `directory` to itself, so a reader opens a copy
/// and forgets it.
fn copy_of_embedded(directory: &Path) -> anyhow::Result<embedded::Cluster> {
    let copy = directory.with_extension(format!("look-{}", std::process::id()));
    make_private(&copy)?;
    let open = || -> anyhow::Result<embedded::Cluster> {
        match fs::copy(directory.join("objects.jsonl"), copy.join("objects.jsonl")) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("the embedded cluster cannot be read"),
        }
        Ok(embedded::Cluster::open(&copy)?)
    };
    let cluster = open();
    // What is open stays readable.
    let _ = fs::remove_dir_all(&copy);
    cluster
}
