//! Finds secrets that stand in a file in clear.
//!
//! Takes the name and the content of a file that a push or a write brings, gives what is wrong with it, never a value.
//! Looks at the text in each encoding that a reader of YAML takes, and at what its escapes stand for.
//!
//! What looks like a secret and is none is let through by the words `gitleaks:allow` on its line, which other scanners take,
//! too. A Secret's values in a manifest have no such way: they are what the cluster would get.

mod encoding;
mod manifest;
mod pattern;

use crate::project::layout::SECRETS_FILE;
use crate::sops;

/// What to do with a secret in a push.
const REMOVE: &str = "the commit itself has to go: `git commit --amend` or `git rebase`, then push again";

/// Returns what is wrong with the file `name`, if a secret stands in it in clear.
pub(super) fn find(name: &str, content: &[u8]) -> Option<String> {
    if name == SECRETS_FILE {
        let inspected = std::str::from_utf8(content).map(sops::inspect);
        match inspected {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Some(error.to_string()),
            Err(_) => return Some("is no UTF-8 text; write it with sops".to_owned()),
        }
    }
    let plain = String::from_utf8_lossy(content);
    let look = |text: &str| pattern::find(text).or_else(|| manifest::find(name, text));
    let found = look(&plain).or_else(|| look(&encoding::decode(content)?));
    found.map(|problem| format!("{problem}; {REMOVE}"))
}
