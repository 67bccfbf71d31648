//! Names that spoil clones: what Git would store, and some machine could not check out, or would check out as another thing.

use crate::git::{NewEntry, NewKind};

/// The longest name that file systems take, in bytes.
const MAX_NAME: usize = 255;
/// The longest path, in bytes: what programs take is 4,096 with the directory of the clone before it, on Windows less.
const MAX_PATH: usize = 1024;
/// The file that says how others are checked out.
const ATTRIBUTES: &str = ".gitattributes";

/// Returns what is wrong with an entry, and what to do.
pub(super) fn problem(entry: &NewEntry) -> Option<String> {
    let Ok(name) = std::str::from_utf8(&entry.name) else {
        return Some("has a name with bytes that are no UTF-8; rename it".to_owned());
    };
    if name.contains('\\') {
        return Some("has a name with a backslash, which is a directory on some machines; rename it".to_owned());
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Some("has a name with a line break or control character; rename it".to_owned());
    }
    if name.len() > MAX_NAME {
        return Some(format!("has a name of {} bytes, and file systems take {MAX_NAME}; shorten it", name.len()));
    }
    if entry.path.len() > MAX_PATH {
        return Some(format!("has a path of {} bytes; shorten it to {MAX_PATH}", entry.path.len()));
    }
    if matches!(name, "" | "." | "..") || name.contains('/') {
        return Some("has a name that is no name of a file; rename it".to_owned());
    }
    if is_git(name) {
        return Some("has a name that Git keeps for its own directory, on some machines; rename it".to_owned());
    }
    if let Some(twin) = &entry.twin {
        return Some(format!(
            "has the same name as {twin:?} beside it but for upper and lower case, and many machines can have only one of \
             them; rename one"
        ));
    }
    match &entry.kind {
        NewKind::Link(target) => link_problem(&entry.path, target),
        NewKind::Directory if is_attributes(name) => Some("is a directory; the name is a file's".to_owned()),
        NewKind::File | NewKind::Directory | NewKind::Submodule => None,
    }
}

/// Whether an entry says how others are checked out: also in capitals, as some machines read it.
pub(super) fn is_attributes(name: &str) -> bool {
    name.eq_ignore_ascii_case(ATTRIBUTES)
}

/// Returns what is wrong with the content of a `.gitattributes`: with a filter or another encoding, a clone has other files
/// than the tree that is judged and applied.
pub(super) fn attributes_problem(content: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(content);
    let words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    let changes = ["filter", "working-tree-encoding", "ident"];
    let found = words.into_iter().find(|word| {
        let attribute = word.split_once('=').map_or(*word, |(attribute, _)| attribute);
        changes.contains(&attribute)
    })?;
    Some(format!(
        "sets {found}, by which a clone has other content than what is judged and applied here; remove it, and keep the \
         files as they are (large ones elsewhere)"
    ))
}

/// Whether some machine takes the name for `.git`: in other letters, with what file systems leave out, or as Windows
/// shortens it.
fn is_git(name: &str) -> bool {
    let invisible = |c: &char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}');
    let plain: String = name.chars().filter(|c| !invisible(c)).flat_map(char::to_lowercase).collect();
    let plain = plain.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    plain == ".git" || plain == "git~1"
}

/// Returns what is wrong with a link. It may lead to what is in the tree. Steps up stand first: behind a name, they would
/// lead from where that leads.
fn link_problem(path: &str, target: &[u8]) -> Option<String> {
    let Some(text) = std::str::from_utf8(target).ok().filter(|text| !text.is_empty()) else {
        return Some("is a link to no path; remove it".to_owned());
    };
    let mut above = path.matches('/').count();
    let mut is_down = false;
    let mut leaves = text.starts_with('/') || text.contains(['\\', '\0', ':']);
    for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." if is_down || above == 0 => leaves = true,
            ".." => above -= 1,
            name => {
                is_down = true;
                leaves |= is_git(name);
            }
        }
    }
    leaves.then(|| format!("is a link to {text:?}, outside of the repository; put the file here instead"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &[u8], kind: NewKind) -> NewEntry {
        NewEntry { path: String::from_utf8_lossy(name).into_owned(), name: name.to_vec(), kind, twin: None }
    }

    #[test]
    fn names_that_some_machine_cannot_have_are_told() {
        let long = "x".repeat(256);
        for name in [
            long.as_bytes(),
            b"a\nb",
            b"a\rb",
            b"a\x1b[2J",
            "a\u{2028}b".as_bytes(),
            b"a\\b",
            b"\xff",
            b"..",
            b".git",
            b".GIT",
            b".git.",
            b".git ",
            b"GIT~1",
            ".g\u{200c}it".as_bytes(),
            b".git::$INDEX_ALLOCATION",
        ] {
            assert!(problem(&entry(name, NewKind::Directory)).is_some(), "{}", String::from_utf8_lossy(name));
        }
        let fine = "x".repeat(255);
        for name in [fine.as_str(), ".github", ".gitignore", ".gitattributes", "gitea", "übung", "a b", "a:b"] {
            assert_eq!(problem(&entry(name.as_bytes(), NewKind::File)), None, "{name}");
        }
        let twin = NewEntry { twin: Some("A".into()), ..entry(b"a", NewKind::File) };
        assert!(problem(&twin).unwrap().contains("upper and lower case"));
    }

    #[test]
    fn a_link_stays_in_the_tree() {
        let told = |path: &str, target: &str| {
            let kind = NewKind::Link(target.as_bytes().to_vec());
            problem(&NewEntry { path: path.to_owned(), ..entry(b"x", kind) }).is_some()
        };
        for (path, target) in [("x", "README.md"), ("a/x", "../b/y"), ("a/b/x", "../../c"), ("x", "./a/b")] {
            assert!(!told(path, target), "{path} -> {target}");
        }
        for (path, target) in [
            ("x", "/etc/passwd"),
            ("x", "../y"),
            ("a/x", "../../y"),
            ("a/x", "b/../../../y"),
            ("a/b/x", "c/../.."),
            ("x", ".git/config"),
            ("x", "C:\\y"),
            ("x", ""),
        ] {
            assert!(told(path, target), "{path} -> {target}");
        }
    }

    #[test]
    fn attributes_that_change_what_a_clone_has_are_told() {
        for text in
            ["*.yaml filter=lfs diff=lfs\n", "* working-tree-encoding=UTF-16\n", "* ident\n", "[attr]x filter=a\n"]
        {
            assert!(attributes_problem(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["* text=auto\n", "*.png binary\n", "# filter=lfs\n", "* -filter\n", "*.sh eol=lf\n"] {
            assert_eq!(attributes_problem(text.as_bytes()), None, "{text}");
        }
    }
}
