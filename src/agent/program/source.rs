//! What is to be cloned, and by which way.

use crate::project::GitUrl;

/// A repository that can be cloned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Its address.
    pub(super) url: GitUrl,
    /// The branch that is asked for.
    pub(super) branch: Option<String>,
    /// The folder of the clone in the workspace.
    pub(super) folder: String,
    /// How it is reached.
    pub(super) way: Way,
}

/// How a repository is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By https, or by http.
    Web {
        /// `https://host[:port]`: the one place that gets the token.
        origin: String,
        /// The user name that goes with the token there.
        user: &'static str,
        /// Whether a token may be sent at all: not in clear over a network.
        safe: bool,
    },
    /// By ssh.
    Ssh {
        /// The one host that the key is offered to.
        host: String,
    },
    /// By Git's own protocol, which knows no credentials.
    Git,
    /// From a directory of this machine.
    Local,
}

impl Source {
    /// The repository of the settings; `None` when there is none.
    /// A directory of this machine is one only for an environment that is a process of it.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the address. It does not repeat it: it may carry a password.
    pub(super) fn parse(url: Option<&str>, branch: Option<&str>, whole_machine: bool) -> Result<Option<Self>, String> {
        let Some(text) = url.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
        let read = if whole_machine { GitUrl::parse } else { GitUrl::parse_here };
        let url = read(text).map_err(|error| format!("GIT_REPOSITORY {error}."))?;
        let branch = branch.map(str::trim).filter(|branch| !branch.is_empty());
        if branch.is_some_and(|branch| branch.starts_with('-') || branch.chars().any(char::is_control)) {
            return Err("GIT_BRANCH is no name of a branch.".to_owned());
        }
        let folder = folder(url.as_str()).ok_or("GIT_REPOSITORY ends in no name that a folder could have.")?;
        let way = way(url.as_str())?;
        Ok(Some(Self { branch: branch.map(str::to_owned), folder, way, url }))
    }
}

/// The last part of an address without `.git`, as `git clone` names the folder.
fn folder(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    let last = url.rsplit(['/', ':']).next()?;
    let name = last.strip_suffix(".git").unwrap_or(last);
    // A hidden folder could be one of the agent's own.
    let fine = !name.is_empty() && !name.starts_with('.') && name.len() <= 255;
    fine.then(|| name.to_owned())
}

fn way(url: &str) -> Result<Way, String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        // user@host:path
        let before = url.split(':').next().unwrap_or_default();
        return ssh(before.rsplit('@').next().unwrap_or_default());
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let host = match host_and_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host_and_port.split(':').next().unwrap_or_default(),
    };
    match scheme {
        "ssh" => ssh(host),
        "git" => Ok(Way::Git),
        "file" => Ok(Way::Local),
        _ => Ok(Way::Web {
            safe: scheme == "https" || ["localhost", "127.0.0.1", "::1"].contains(&host),
            user: if host == "bitbucket.org" { "x-token-auth" } else { "x-access-token" },
            origin: format!("{scheme}://{host_and_port}"),
        }),
    }
}

/// The host is written into a configuration of ssh, where other characters would mean something.
fn ssh(host: &str) -> Result<Way, String> {
    let host = host.to_ascii_lowercase();
    if !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c)) {
        return Ok(Way::Ssh { host });
    }
    Err("GIT_REPOSITORY names no host that ssh could reach.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Source {
        Source::parse(Some(url), None, true).unwrap().unwrap()
    }

    #[test]
    fn the_folder_is_the_last_part_of_the_address() {
        for (url, expected) in [
            ("https://git.example/team/checkout.git", "checkout"),
            ("https://git.example/team/checkout/", "checkout"),
            ("git@git.example:checkout.git", "checkout"),
            ("ssh://git@git.example:22/team/check.out", "check.out"),
        ] {
            assert_eq!(parsed(url).folder, expected);
        }
        for url in ["https://git.example/team/.git", "https://git.example/..", "https://git.example/.cloning"] {
            assert!(Source::parse(Some(url), None, true).is_err(), "{url}");
        }
    }

    #[test]
    fn the_token_goes_to_one_origin_and_the_key_to_one_host() {
        let web = |origin: &str, user, safe| Way::Web { origin: origin.to_owned(), user, safe };
        for (url, expected) in [
            ("https://Git.Example:8443/a/b", web("https://git.example:8443", "x-access-token", true)),
            ("https://bitbucket.org/a/b.git", web("https://bitbucket.org", "x-token-auth", true)),
            ("http://127.0.0.1:3000/a", web("http://127.0.0.1:3000", "x-access-token", true)),
            ("http://git.example/a", web("http://git.example", "x-access-token", false)),
            ("http://localhost.example/a", web("http://localhost.example", "x-access-token", false)),
            ("git@git.example:a/b", Way::Ssh { host: "git.example".to_owned() }),
            ("ssh://me@[::1]:2222/a", Way::Ssh { host: "::1".to_owned() }),
            ("git://git.example/a", Way::Git),
        ] {
            assert_eq!(parsed(url).way, expected, "{url}");
        }
        assert!(Source::parse(Some("me@*:a"), None, true).is_err(), "a pattern of ssh's configuration");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_address() {
        let error = Source::parse(Some("https://me:s3cret@git.example/a"), None, true).unwrap_err();
        assert!(error.contains("must not carry") && !error.contains("s3cret"), "{error}");
        assert!(Source::parse(Some("https://git.example/a"), Some("--upload-pack=x"), true).is_err());
        assert_eq!(Source::parse(Some(" "), None, true), Ok(None));
        assert_eq!(Source::parse(None, Some("main"), true), Ok(None));
        assert!(Source::parse(Some("file:///srv/app"), None, true).is_err());
        let here = Source::parse(Some("/srv/app"), None, false).unwrap().unwrap();
        assert_eq!((here.way, here.folder.as_str()), (Way::Local, "app"));
    }
}
