//! Which refs a push may make.

/// Returns why a push may not write this ref. Beside branches and tags, Git gives some refs a meaning that changes what
/// others read (`refs/replace`), and a branch called `HEAD` or like a commit is taken for that.
pub(super) fn problem(name: &str) -> Option<String> {
    let short = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"));
    let Some(short) = short else {
        return Some(format!("{name} is neither a branch nor a tag; push to refs/heads/… or refs/tags/…"));
    };
    let is_id = short.len() == 40 && short.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_special = ["HEAD", "FETCH_HEAD", "ORIG_HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "@"]
        .iter()
        .any(|special| special.eq_ignore_ascii_case(short));
    let is_path = ["refs/", "heads/", "tags/", "-"].iter().any(|beginning| short.starts_with(beginning));
    let is_control = short.chars().any(|c| c.is_control() || c == '\u{fffd}');
    (is_id || is_special || is_path || is_control || short.len() > 255)
        .then(|| format!("{name} is taken for something else by Git's own commands; push under another name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ordinary_branches_and_tags_are_taken() {
        for name in ["refs/heads/main", "refs/heads/ana/x", "refs/tags/v1.0", "refs/heads/headlight"] {
            assert_eq!(problem(name), None, "{name}");
        }
        let id = format!("refs/heads/{}", "a1".repeat(20));
        for name in [
            "refs/replace/0123",
            "refs/notes/commits",
            "refs/heads/HEAD",
            "refs/tags/HEAD",
            "refs/heads/refs/heads/main",
            "refs/remotes/origin/main",
            "refs/stash",
            "HEAD",
            "refs/heads/@",
            &id,
        ] {
            assert!(problem(name).is_some(), "{name}");
        }
    }
}
