//! What a project is, as its overlay says it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ProjectName, Quantity};

/// A project as it is read back from its rendered overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectSpec {
    /// The id.
    pub short_name: ProjectName,
    /// The display name (annotation `claude-manager.io/display-name`; the short name when absent).
    pub name: String,
    /// The repository that the environment clones; empty when an overlay has none.
    pub git_repository: String,
    /// The branch; the remote's default when absent.
    pub git_branch: Option<String>,
    /// 0 is stopped, 1 is running.
    pub replicas: u32,
    /// Requests of the `agent` container.
    pub resources: Resources,
    /// The workspace volume.
    pub storage: Storage,
    /// The image of the `agent` container.
    pub image: String,
    /// The ticket behind the project.
    pub jira_issue: Option<String>,
    /// Why nothing of it is applied; `None` when it is.
    pub suspended: Option<String>,
    /// When the overlay was made, RFC 3339.
    pub created_at: Option<String>,
}

/// CPU and memory: requests, and limits of the same size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Cores.
    pub cpu: Option<Quantity>,
    /// Bytes.
    pub memory: Option<Quantity>,
}

/// A project's workspace volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its size.
    pub size: Option<Quantity>,
    /// Its class; the cluster's default when absent.
    pub storage_class: Option<String>,
}

/// Why a text is no valid value of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub String);

/// The address of a Git repository: `https://…`, `ssh://…` or `user@host:path`, without a password in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitUrl(String);

impl GitUrl {
    /// The longest address in bytes.
    pub const MAX_LENGTH: usize = 2048;

    /// Parses an address.
    ///
    /// # Errors
    /// [`ValueError`] for other schemes (`file:` and `ext::` would run or read things on the machine that clones),
    /// for passwords in the address, and for characters that no address has.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let error = |message: &str| Err(ValueError(message.to_owned()));
        if text.is_empty() {
            return error("must not be empty");
        }
        if text.len() > Self::MAX_LENGTH {
            return error("must have at most 2048 characters");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'`\\<>{}|^".contains(c)) {
            return error("has a character that no repository address has");
        }
        if text.starts_with('-') {
            return error("must not start with '-'");
        }
        // No host needs one to clone from, and a token in it would stand in Git in clear.
        if text.contains(['?', '#']) {
            return error("must not carry a query or fragment; give a token as gitToken instead");
        }
        let shape = "must be https://host/path, ssh://user@host/path or user@host:path";
        if let Some((scheme, rest)) = text.split_once("://") {
            if !matches!(scheme, "https" | "http" | "ssh" | "git") {
                return error(shape);
            }
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = match authority.rsplit_once('@') {
                Some((user, _)) if user.contains(':') || (scheme != "ssh" && !user.is_empty()) => {
                    return error("must not carry a user or password; give gitCredentials instead");
                }
                Some((_, host)) => host,
                None => authority,
            };
            if host.is_empty() || host.starts_with('-') || path.is_empty() {
                return error(shape);
            }
            return Ok(Self(text.to_owned()));
        }
        match text.split_once(':') {
            Some((host, path))
                if host.contains('@') && !host.contains('/') && !path.is_empty() && !path.starts_with(':') =>
            {
                let name = host.rsplit('@').next().unwrap_or_default();
                if name.is_empty() || name.starts_with('-') { error(shape) } else { Ok(Self(text.to_owned())) }
            }
            _ => error(shape),
        }
    }

    /// Parses an address, or a directory of this machine: an absolute path or a `file://` address, which becomes a `file://`
    /// address. Only where environments are processes of this machine can they reach such a directory.
    ///
    /// # Errors
    /// [`ValueError`] as for [`GitUrl::parse`], and for a path with `..` in it.
    pub fn parse_here(text: &str) -> Result<Self, ValueError> {
        let Some(path) = Self::local_path(text) else { return Self::parse(text) };
        let error = |message: &str| Err(ValueError(message.to_owned()));
        if text.len() > Self::MAX_LENGTH {
            return error("must have at most 2048 characters");
        }
        if path.chars().any(|c| c.is_whitespace() || c.is_control() || "\"'`\\<>{}|^?#%".contains(c)) {
            return error("is a path with blanks or special characters; make a link without them and give that");
        }
        if !path.starts_with('/') || path.trim_matches('/').is_empty() {
            return error("must be an absolute path, as in /home/me/app or file:///home/me/app");
        }
        if path.split('/').any(|part| part == ".." || part == ".") {
            return error("must be a path without . and ..");
        }
        Ok(Self(format!("file://{path}")))
    }

    /// Returns the path in a text that names a directory of this machine; `None` for other addresses.
    #[must_use]
    pub fn local_path(text: &str) -> Option<&str> {
        text.strip_prefix("file://").or_else(|| text.starts_with('/').then_some(text))
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for GitUrl {
    type Error = ValueError;
    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::parse(&text)
    }
}

impl From<GitUrl> for String {
    fn from(url: GitUrl) -> Self {
        url.0
    }
}

/// A container image reference, in the parts that Kustomize's `images` field sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Registry and repository.
    pub name: String,
    /// The tag, if one was given.
    pub tag: Option<String>,
    /// The digest (`sha256:…`), if one was given.
    pub digest: Option<String>,
}

impl Image {
    /// Parses `name[:tag][@digest]`.
    ///
    /// # Errors
    /// [`ValueError`] when a part is empty or has characters that image references do not have.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError("must be an image reference, as in host/name:tag or name@sha256:…".to_owned());
        if text.len() > 512 {
            return Err(ValueError("must have at most 512 characters".to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let word = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c) || more.contains(c))
        };
        let parts_fine = name.split('/').all(|part| word(part, ":")) && word(name, "/:");
        let tag_fine = tag.is_none_or(|tag| word(tag, "") && tag.len() <= 128);
        let digest_fine = digest.is_none_or(|digest| word(digest, ":+") && digest.contains(':'));
        if !parts_fine || !tag_fine || !digest_fine {
            return Err(error());
        }
        Ok(Self { name: name.to_owned(), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_addresses_are_https_or_ssh_without_secrets() {
        for url in
            ["https://git.example/team/app.git", "ssh://git@git.example:2222/app.git", "git@git.example:team/app.git"]
        {
            assert!(GitUrl::parse(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "app",
            "file:///etc",
            "ext::sh -c id",
            "https://u:p@h/x",
            "https://token@h/x",
            "-oProxyCommand=x",
            "https://h",
            "ssh://-oX/x",
            "a@-h:x",
            "https://h/a b",
            "x:y",
            "https://h/x?token=abc",
            "https://h/x#abc",
            "git@h:x?private_token=abc",
        ] {
            assert!(GitUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_directory_of_this_machine_is_an_address_only_here() {
        for (text, url) in [("/home/me/app", "file:///home/me/app"), ("file:///srv/app.git", "file:///srv/app.git")] {
            assert_eq!(GitUrl::parse_here(text).unwrap().as_str(), url);
            assert!(GitUrl::parse(text).is_err(), "{text}");
        }
        for text in ["/", "file://host/app", "/a/../b", "/a b", "file:///a?b", "app", "./app", "ext::sh"] {
            assert!(GitUrl::parse_here(text).is_err(), "{text}");
        }
        assert!(GitUrl::parse_here("https://git.example/a").is_ok());
    }

    #[test]
    fn images_fall_into_name_tag_and_digest() {
        let image = Image::parse("host:5000/team/dev:1.2").unwrap();
        assert_eq!((image.name.as_str(), image.tag.as_deref()), ("host:5000/team/dev", Some("1.2")));
        let image = Image::parse("dev@sha256:abc").unwrap();
        assert_eq!((image.name.as_str(), image.digest.as_deref()), ("dev", Some("sha256:abc")));
        for text in ["", ":x", "a b", "a//b", "a:", "a@", "a@b"] {
            assert!(Image::parse(text).is_err(), "{text}");
        }
    }
}
