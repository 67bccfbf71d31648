//! This machine: data directory, address, git, kubectl, database.

use std::fs::{self, File, TryLockError};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use super::Finding;
use crate::app::files;
use crate::auth::{self, AuthError};
use crate::config::Settings;
use crate::git::{self, VersionError};
use crate::store::Store;

/// The oldest kustomize that builds the template to the same bytes.
const OLDEST_KUSTOMIZE: (u32, u32) = (5, 5);

/// Whether `DATA_DIR` can be used, and is nobody else's to read.
pub(super) fn data_directory(settings: &Settings) -> Finding {
    const SUBJECT: &str = "data directory";
    let path = &settings.data_dir;
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::fine(SUBJECT, format!("{shown} is made at the first start"));
        }
        Err(error) => {
            return Finding::failure(
                SUBJECT,
                format!("{shown} cannot be looked at: {error}"),
                "set DATA_DIR to another place",
            );
        }
    };
    if !found.is_dir() {
        return Finding::failure(SUBJECT, format!("{shown} is no directory"), "set DATA_DIR to a directory");
    }
    let probe = path.join(format!(".doctor-{}", std::process::id()));
    if let Err(error) = fs::write(&probe, "x").and_then(|()| fs::remove_file(&probe)) {
        let hint = "give this user the right to write there, or set DATA_DIR to another place";
        return Finding::failure(SUBJECT, format!("{shown} cannot be written: {error}"), hint);
    }
    let mode = found.permissions().mode() & 0o777;
    // A volume in a pod belongs to root and is writable by the pod's group; its mode is not this user's to change.
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    if is_own && mode & 0o077 != 0 {
        let message = format!("{shown} is open to other users (mode {mode:o}); it holds keys");
        return Finding::warning(SUBJECT, message, format!("chmod 700 {shown}"));
    }
    let running =
        File::open(path.join("lock")).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
    Finding::fine(SUBJECT, format!("{shown}{}", if running { ", in use by a running manager" } else { "" }))
}

/// Whether the secrets of the sign-in are good.
pub(super) fn tokens(settings: &Settings) -> Finding {
    const SUBJECT: &str = "sign-in";
    let secrets = &settings.secrets;
    let admin = auth::existing_administrator_token(&settings.data_dir, secrets.admin_token.as_ref()).map(drop);
    let key = auth::existing_token_key(&settings.data_dir, secrets.jwt_secret.as_ref()).map(drop);
    let mut news = false;
    for found in [admin, key] {
        match found {
            Ok(()) => {}
            Err(AuthError::NoneYet(..)) => news = true,
            Err(error) => {
                return Finding::failure(
                    SUBJECT,
                    error.to_string(),
                    "the manager does not start before that is corrected",
                );
            }
        }
    }
    Finding::fine(
        SUBJECT,
        if news {
            "what is missing is made at the first start"
        } else {
            "administrator's token and key of tokens are there"
        },
    )
}

/// Whether the limit of open files leaves enough for connections.
pub(super) fn files(settings: &Settings) -> Finding {
    const SUBJECT: &str = "open files";
    let (files, wanted) = (files::hard_limit(), settings.server.max_connections);
    let most = usize::try_from(files::bound(files)).unwrap_or(usize::MAX);
    if most >= wanted {
        return Finding::fine(SUBJECT, format!("enough for {wanted} connections"));
    }
    let message = format!("the hard limit is {files}, so that {most} connections are served and not {wanted}");
    Finding::warning(SUBJECT, message, "raise it (`ulimit -Hn`, LimitNOFILE of the unit), or lower MAX_CONNECTIONS")
}

/// Whether the address can be listened on.
pub(super) fn address(settings: &Settings) -> Finding {
    let address = std::net::SocketAddr::new(settings.server.host, settings.server.port);
    match TcpListener::bind(address) {
        Ok(_) => Finding::fine("address", format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let hint = "fine if that is the manager itself; else stop what uses it, or set PORT to another port";
            Finding::warning("address", format!("{address} is in use"), hint)
        }
        Err(error) => {
            Finding::failure("address", format!("{address}: {error}"), "set HOST and PORT to what this machine has")
        }
    }
}

/// Whether git is there and new enough.
pub(super) fn git() -> Finding {
    match git::version() {
        Ok(version) => Finding::fine("git", version.to_string()),
        Err(error @ (VersionError::Missing(_) | VersionError::Unknown(_) | VersionError::Old { .. })) => {
            let text = error.to_string();
            let (message, hint) = text.split_once("; ").unwrap_or((&text, "install git"));
            Finding::failure("git", message, hint)
        }
    }
}

/// Whether the kubectl of this machine, where there is one, restores what the manager applies.
pub(super) fn kubectl() -> Finding {
    const SUBJECT: &str = "kubectl";
    let output = Command::new("kubectl")
        .args(["version", "--client", "--output=json"])
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        return Finding::fine(SUBJECT, "not on this machine; only a restore by hand needs it");
    };
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kustomize) = (text(&answer["clientVersion"]["gitVersion"]), text(&answer["kustomizeVersion"]));
    let hint = "use kubectl 1.32 or newer to restore by hand (`kubectl apply -k`)";
    match two_numbers(&kustomize) {
        None => Finding::warning(SUBJECT, format!("{version} does not name its kustomize"), hint),
        Some(found) if found < OLDEST_KUSTOMIZE => {
            let message = format!(
                "{version} builds with kustomize {kustomize}, which is older than 5.5 and builds other objects"
            );
            Finding::warning(SUBJECT, message, hint)
        }
        Some(_) => Finding::fine(SUBJECT, format!("{version}, kustomize {kustomize}")),
    }
}

fn two_numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Whether the database answers. A file is only looked at: opening it would bring it to this program's schema.
pub(super) async fn database(settings: &Settings) -> Finding {
    const SUBJECT: &str = "database";
    let Some(url) = &settings.database_url else {
        let path = settings.data_dir.join("manager.db");
        return match fs::OpenOptions::new().read(true).write(true).open(&path) {
            Ok(_) => Finding::fine(SUBJECT, format!("SQLite, {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Finding::fine(SUBJECT, "SQLite, made at the first start")
            }
            Err(error) => Finding::failure(
                SUBJECT,
                format!("{} cannot be opened: {error}", path.display()),
                "give this user the right to read and write it",
            ),
        };
    };
    match Store::look_at_postgres(url).await {
        Ok(version) => Finding::fine(SUBJECT, format!("PostgreSQL {version}")),
        Err(error) => Finding::failure(SUBJECT, error.to_string(), "check DATABASE_URL and that the server runs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kustomize_version_is_read_as_kubectl_prints_it() {
        assert_eq!(two_numbers("v5.5.0"), Some((5, 5)));
        assert_eq!(two_numbers("v5.10.1"), Some((5, 10)));
        assert!(two_numbers("v5.10.1") > Some(OLDEST_KUSTOMIZE));
        assert_eq!(two_numbers(""), None);
        assert_eq!(two_numbers("(devel)"), None);
    }
}
