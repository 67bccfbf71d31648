//! Whether two addresses name one Git repository: a backup must not go where it comes from.
//!
//! Servers are compared by host and path, whatever the way to them; paths by what they lead to. A server may have further
//! names for one repository, which nothing here can know.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where an address leads.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A server, and a path on it without `.git`.
    Server { host: String, path: String },
    /// A directory of this machine.
    Directory(PathBuf),
}

/// Whether `a` and `b` lead to one repository. Looks at the file system.
#[must_use]
pub fn is_same_repository(a: &str, b: &str) -> bool {
    match (place(a), place(b)) {
        (Place::Directory(a), Place::Directory(b)) => is_same_directory(&a, &b),
        (a, b) => a == b,
    }
}

fn place(address: &str) -> Place {
    if let Some((scheme, rest)) = address.split_once("://") {
        if scheme.eq_ignore_ascii_case("file") {
            // `file://host/path`: git takes no notice of the host.
            let path = rest.find('/').map_or("", |at| &rest[at..]);
            return Place::Directory(PathBuf::from(percent_decoded(path)));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        return server(authority, &percent_decoded(path));
    }
    // `user@host:path`; a colon behind a slash belongs to a path.
    match address.split_once(':') {
        Some((authority, path)) if !authority.contains('/') && !authority.is_empty() => server(authority, path),
        _ => Place::Directory(PathBuf::from(address)),
    }
}

fn server(authority: &str, path: &str) -> Place {
    let host = authority.rsplit('@').next().unwrap_or(authority).to_ascii_lowercase();
    let host = [":443", ":80", ":22", ":9418"].iter().find_map(|port| host.strip_suffix(port)).unwrap_or(&host);
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    // Servers for many teams do not tell these apart; one that does loses nothing but two names that differ in case only.
    Place::Server { host: host.trim_end_matches('.').to_owned(), path: parts.join("/").to_ascii_lowercase() }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = (*first == b'%').then(|| behind.get(..2)).flatten();
        let decoded = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_same_directory(a: &Path, b: &Path) -> bool {
    let (a, b) = (git_directory(a), git_directory(b));
    if a == b {
        return true;
    }
    // Also through bind mounts and other names that lead to one directory.
    match (fs::metadata(&a), fs::metadata(&b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// The directory that git would take for `path`, with links resolved as far as there is something.
fn git_directory(path: &Path) -> PathBuf {
    let with = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let candidates = [path.join(".git"), path.to_owned(), with(".git/.git"), with(".git")];
    let found = candidates.into_iter().find(|candidate| candidate.join("HEAD").is_file());
    resolved(&found.unwrap_or_else(|| path.to_owned()))
}

fn resolved(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => resolved(parent).join(name),
        _ => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_many_spellings() {
        let base = "https://git.example/team/state.git";
        for same in [
            "https://git.example/team/state",
            "https://Git.Example:443/team/state.git/",
            "https://ana@git.example/team//state",
            "ssh://git@git.example/team/state.git",
            "ssh://git@git.example:22/team/state.git",
            "git@git.example:team/state.git",
            "https://git.example/team/st%61te",
            "https://git.example/team/./State.git",
        ] {
            assert!(is_same_repository(base, same), "{same}");
        }
        for other in [
            "https://git.example/team/state2",
            "https://git.example:8443/team/state",
            "https://git2.example/team/state",
            "/team/state.git",
            "git.example/team/state",
        ] {
            assert!(!is_same_repository(base, other), "{other}");
        }
    }

    #[test]
    fn one_directory_has_many_names() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state.git");
        fs::create_dir(&state).unwrap();
        fs::write(state.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        std::os::unix::fs::symlink(&state, folder.path().join("link")).unwrap();
        fs::create_dir(folder.path().join("other.git")).unwrap();
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        let state = at("state.git");
        for same in [at("state.git/"), at("link"), at("other.git/../link"), at("state"), format!("file://{state}")] {
            assert!(is_same_repository(&state, &same), "{same}");
        }
        for other in [at("other.git"), at("none"), format!("file://{}", at("none/state.git"))] {
            assert!(!is_same_repository(&state, &other), "{other}");
        }
        assert!(is_same_repository(&at("none"), &format!("file://{}", at("n%6fne"))));
    }
}
