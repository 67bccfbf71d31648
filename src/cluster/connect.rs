//! Which cluster, and the client for it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use tower::layer::layer_fn;

use super::Error;
use super::metrics_layer::Counted;
use crate::metrics::Metrics;

/// Where the cluster is. There is no variant for the kubeconfig in the home directory: whoever starts the manager by
/// accident on a laptop must not change whatever cluster was used there last.
#[derive(Clone)]
pub enum Target {
    /// The cluster of these kubeconfig files, merged as kubectl does.
    Kubeconfig {
        /// The files.
        paths: Vec<PathBuf>,
        /// The context; without one the current context of the files.
        context: Option<String>,
    },
    /// The cluster that this process runs in, by its service account.
    InCluster,
    /// Whatever this client leads to: the embedded cluster, or a test.
    Given(Client),
}

impl Target {
    /// Chooses by what the user said: a kubeconfig first (a flag's or variable's value, possibly several files as in
    /// `KUBECONFIG`), else the surrounding cluster when its variable `KUBERNETES_SERVICE_HOST` is there, else nothing,
    /// which means the embedded cluster.
    #[must_use]
    pub fn choose(kubeconfig: Option<&OsStr>, context: Option<&str>, service_host: Option<&OsStr>) -> Option<Self> {
        let paths: Vec<PathBuf> = kubeconfig
            .map(|value| std::env::split_paths(value).filter(|path| !path.as_os_str().is_empty()).collect())
            .unwrap_or_default();
        if !paths.is_empty() {
            return Some(Self::Kubeconfig { paths, context: context.map(str::to_owned) });
        }
        service_host.filter(|host| !host.is_empty()).map(|_| Self::InCluster)
    }

    /// Makes the client. Sends nothing: [`super::version`] tells whether somebody answers.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`], [`Error::NotInCluster`], [`Error::Certificate`] and [`Error::Credentials`] for settings that
    /// cannot work.
    pub async fn client(self) -> Result<Client, Error> {
        match self.config().await? {
            Ok(client) => Ok(client),
            Err(config) => Client::try_from(config).map_err(|error| Error::from_client(&error)),
        }
    }

    /// As [`Target::client`]; its requests are counted. Not so those of a given client.
    ///
    /// # Errors
    /// Those of [`Target::client`].
    pub async fn counted_client(self, metrics: &Metrics) -> Result<Client, Error> {
        match self.config().await? {
            Ok(client) => Ok(client),
            Err(config) => {
                let layer = layer_fn(|inner| Counted { inner, metrics: metrics.clone() });
                let builder = ClientBuilder::try_from(config).map_err(|error| Error::from_client(&error))?;
                Ok(builder.with_layer(&layer).build())
            }
        }
    }

    /// The client that was given, or the settings for one.
    async fn config(self) -> Result<Result<Client, Config>, Error> {
        let mut config = match self {
            Self::Given(client) => return Ok(Ok(client)),
            Self::InCluster => Config::incluster().map_err(|error| Error::NotInCluster(error.to_string()))?,
            Self::Kubeconfig { paths, context } => from_files(&paths, context).await?,
        };
        // An address that does not answer is found out soon; a slow answer has its limit in each request, as a watch
        // has to stay silent for minutes.
        config.connect_timeout = Some(Duration::from_secs(5));
        config.write_timeout = Some(Duration::from_secs(30));
        config.read_timeout = None;
        // Tried again here, where the plan's cancellation and the server's Retry-After are known.
        config.default_retry = false;
        Ok(Err(config))
    }
}

async fn from_files(paths: &[PathBuf], context: Option<String>) -> Result<Config, Error> {
    let shown = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let read = Kubeconfig::read_from(path).map_err(|error| kubeconfig(&path.display().to_string(), &error))?;
        merged = Some(match merged {
            None => read,
            Some(before) => before.merge(read).map_err(|error| kubeconfig(&shown, &error))?,
        });
    }
    let merged = merged.unwrap_or_default();
    let known: Vec<String> = merged.contexts.iter().map(|context| context.name.clone()).collect();
    let options = KubeConfigOptions { context: context.clone(), ..Default::default() };
    Config::from_custom_kubeconfig(merged, &options).await.map_err(|error| match (&error, context) {
        (KubeconfigError::LoadContext(_), Some(context)) => Error::Kubeconfig {
            path: shown,
            reason: format!("it has no context {context}, only: {}", known.join(", ")),
        },
        _ => kubeconfig(&shown, &error),
    })
}

fn kubeconfig(path: &str, error: &KubeconfigError) -> Error {
    let reason = match error {
        KubeconfigError::ReadConfig(io, _) => match io.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            _ => io.to_string(),
        },
        KubeconfigError::CurrentContextNotSet => {
            "it has no current-context; name one, or set it with `kubectl config use-context`".to_owned()
        }
        other => other.to_string(),
    };
    Error::Kubeconfig { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(kubeconfig: Option<&str>, host: Option<&str>) -> String {
        match Target::choose(kubeconfig.map(OsStr::new), None, host.map(OsStr::new)) {
            None => "embedded".to_owned(),
            Some(Target::InCluster) => "in-cluster".to_owned(),
            Some(Target::Given(_)) => "given".to_owned(),
            Some(Target::Kubeconfig { paths, .. }) => format!("{paths:?}"),
        }
    }

    #[test]
    fn what_the_user_names_wins_and_the_home_directory_is_never_looked_at() {
        assert_eq!(shape(None, None), "embedded");
        assert_eq!(shape(Some(""), None), "embedded");
        assert_eq!(shape(None, Some("10.0.0.1")), "in-cluster");
        assert_eq!(shape(Some("/etc/k"), Some("10.0.0.1")), r#"["/etc/k"]"#);
        assert_eq!(shape(Some("/a:/b"), None), r#"["/a", "/b"]"#);
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let target = Target::choose(Some(OsStr::new("/nowhere/kubeconfig")), None, None).unwrap();
        let error = target.client().await.err().unwrap();
        assert_eq!(error.to_string(), "kubeconfig /nowhere/kubeconfig: there is no such file");
        assert!(error.hint().is_some());
    }

    #[tokio::test]
    async fn a_context_that_is_not_there_is_answered_with_those_that_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: []\n\
             contexts: [{name: one, context: {cluster: c, user: ''}}, {name: two, context: {cluster: c, user: ''}}]\n",
        )
        .unwrap();
        let target = Target::choose(Some(file.path().as_os_str()), Some("three"), None).unwrap();
        let error = target.client().await.err().unwrap().to_string();
        assert!(error.ends_with("it has no context three, only: one, two"), "{error}");
    }
}
