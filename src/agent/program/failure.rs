//! What Git said when a clone failed: which word it is for the status, and what to do.
//!
//! Pure: lines in, a [`Condition`] out. Git has no codes for these, so it is run in one language and its words are looked
//! for.

use super::Condition;
use super::source::{Source, Way};
use crate::agent::Readiness;

/// Which credentials are mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounted {
    pub(super) token: bool,
    pub(super) ssh_key: bool,
    pub(super) known_hosts: bool,
}

/// What kind of refusal a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// The server wants to know who asks.
    Credentials,
    /// Something else, with what to do.
    Other(&'static str),
}

/// Words of Git, curl and ssh, the more telling ones first: a failing ssh is followed by Git's "Could not read from remote
/// repository", whatever it was.
const SIGNS: &[(&str, Sign)] = &[
    ("Host key verification failed", Sign::Other("give the server's host keys as gitCredentials.knownHosts")),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Sign::Other("give the server's host keys as gitCredentials.knownHosts")),
    ("error in libcrypto", Sign::Other("the SSH key is damaged; give the whole private key file")),
    ("invalid format", Sign::Other("the SSH key is damaged; give the whole private key file")),
    ("incorrect passphrase", Sign::Other("the SSH key has a passphrase; give a key without one")),
    ("No user exists for uid", Sign::Other("ssh wants the image to know the user; add it to /etc/passwd of the image")),
    ("cannot run ssh", Sign::Other("the image has no ssh; add it, or use an https address")),
    ("ssh: not found", Sign::Other("the image has no ssh; add it, or use an https address")),
    ("ssh: command not found", Sign::Other("the image has no ssh; add it, or use an https address")),
    ("Permission denied (", Sign::Credentials),
    ("could not read Username", Sign::Credentials),
    ("could not read Password", Sign::Credentials),
    ("Authentication failed", Sign::Credentials),
    ("The requested URL returned error: 401", Sign::Credentials),
    ("The requested URL returned error: 403", Sign::Credentials),
    ("Remote branch", Sign::Other("check GIT_BRANCH (gitBranch of the project)")),
    ("not found in upstream", Sign::Other("check GIT_BRANCH (gitBranch of the project)")),
    (
        "Repository not found",
        Sign::Other("check the address; a private repository also needs credentials that may see it"),
    ),
    ("not found", Sign::Other("check the address; a private repository also needs credentials that may see it")),
    ("does not appear to be a git repository", Sign::Other("check the path in the address")),
    ("Could not resolve host", Sign::Other("check the address, and the name service of the environment")),
    ("Connection refused", Sign::Other("check the address and port, and that the server runs")),
    ("Connection timed out", Sign::Other("check the address, and the network policy")),
    ("Failed to connect", Sign::Other("check the address, and the network policy")),
    ("SSL certificate", Sign::Other("have the server's authority trusted in the image")),
    ("certificate verification failed", Sign::Other("have the server's authority trusted in the image")),
    ("transport '", Sign::Other("use an https or ssh address")),
    ("No space left on device", Sign::Other("make the workspace larger, or remove what is not needed")),
    ("Disk quota exceeded", Sign::Other("make the workspace larger, or remove what is not needed")),
];

/// Judges a failed clone by the lines that it printed, without secrets in them.
pub(super) fn judge(lines: &[String], source: &Source, mounted: Mounted) -> Condition {
    let found = SIGNS.iter().find_map(|(word, sign)| Some((lines.iter().find(|line| line.contains(word))?, *sign)));
    let (said, sign) = match found {
        Some((line, sign)) => (line.as_str(), Some(sign)),
        None => (last_words(lines), None),
    };
    let said = said.trim_start_matches("fatal: ").trim_start_matches("error: ").trim().trim_end_matches('.');
    let (reason, advice) = match sign {
        Some(Sign::Other(advice)) => (Readiness::CloneFailed, advice),
        Some(Sign::Credentials) => credentials(source, mounted),
        None => (Readiness::CloneFailed, "see the log"),
    };
    let message = match reason {
        Readiness::WaitingForCredentials => format!("{} asks for credentials: {said}; {advice}.", source.url),
        _ => format!("{} cannot be cloned: {said}; {advice}.", source.url),
    };
    Condition { reason, message }
}

fn credentials(source: &Source, mounted: Mounted) -> (Readiness, &'static str) {
    match (&source.way, mounted) {
        (Way::Web { safe: false, .. }, Mounted { token: true, .. }) => {
            (Readiness::CloneFailed, "the token is not sent over plain http; use the https address")
        }
        // Said before a token is given, so that nobody gives one to no avail.
        (Way::Web { safe: false, .. }, _) => (
            Readiness::WaitingForCredentials,
            "use the https address, and give the project a token (gitCredentials.token): none is sent over plain http",
        ),
        (Way::Web { .. }, Mounted { token: true, .. }) => {
            (Readiness::CloneFailed, "the token is refused: check that it is valid and may read the repository")
        }
        (Way::Web { .. }, Mounted { ssh_key: true, .. }) => {
            (Readiness::WaitingForCredentials, "there is an SSH key, but an https address wants a token")
        }
        (Way::Web { .. }, _) => (Readiness::WaitingForCredentials, "give the project a token (gitCredentials.token)"),
        (Way::Ssh { .. }, Mounted { ssh_key: true, .. }) => {
            (Readiness::CloneFailed, "the SSH key is refused: register its public half with the repository")
        }
        (Way::Ssh { .. }, Mounted { token: true, .. }) => {
            (Readiness::WaitingForCredentials, "there is a token, but an ssh address wants an SSH key")
        }
        (Way::Ssh { .. }, _) => {
            (Readiness::WaitingForCredentials, "give the project an SSH key (gitCredentials.sshPrivateKey)")
        }
        (Way::Git, _) => (Readiness::CloneFailed, "use an https or ssh address"),
        (Way::Local, _) => (Readiness::CloneFailed, "give a directory of this machine that is a Git repository"),
    }
}

/// The last line that says why, in a run whose words are not known.
fn last_words(lines: &[String]) -> &str {
    let telling = |line: &&String| line.starts_with("fatal: ") || line.starts_with("error: ");
    let last = lines.iter().rev().find(telling).or_else(|| lines.last());
    last.map_or("git failed without a word", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Mounted = Mounted { token: false, ssh_key: false, known_hosts: false };
    const TOKEN: Mounted = Mounted { token: true, ..NOTHING };
    const KEY: Mounted = Mounted { ssh_key: true, ..NOTHING };

    fn judged(url: &str, text: &str, mounted: Mounted) -> (Readiness, String) {
        let source = Source::parse(Some(url), None, true).unwrap().unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let Condition { reason, message } = judge(&lines, &source, mounted);
        (reason, message)
    }

    #[test]
    fn what_git_says_is_judged_by_this_table() {
        const WEB: &str = "https://git.example/a.git";
        const SSH: &str = "git@git.example:a.git";
        let asks = "fatal: could not read Username for 'https://git.example': terminal prompts disabled";
        let denied = "git@git.example: Permission denied (publickey).\nfatal: Could not read from remote repository.";
        for (url, text, mounted, reason, word) in [
            (WEB, asks, NOTHING, Readiness::WaitingForCredentials, "gitCredentials.token"),
            (WEB, asks, KEY, Readiness::WaitingForCredentials, "wants a token"),
            (
                WEB,
                "fatal: Authentication failed for 'https://git.example/a.git/'",
                TOKEN,
                Readiness::CloneFailed,
                "refused",
            ),
            ("http://git.example/a", asks, TOKEN, Readiness::CloneFailed, "plain http"),
            ("http://git.example/a", asks, NOTHING, Readiness::WaitingForCredentials, "use the https address"),
            ("http://127.0.0.1/a", asks, NOTHING, Readiness::WaitingForCredentials, "; give the project a token"),
            (SSH, denied, NOTHING, Readiness::WaitingForCredentials, "gitCredentials.sshPrivateKey"),
            (SSH, denied, TOKEN, Readiness::WaitingForCredentials, "wants an SSH key"),
            (SSH, denied, KEY, Readiness::CloneFailed, "register"),
            (SSH, "Host key verification failed.\nfatal: Could not read …", KEY, Readiness::CloneFailed, "knownHosts"),
            (
                WEB,
                "fatal: repository 'https://git.example/a.git/' not found",
                TOKEN,
                Readiness::CloneFailed,
                "check the address",
            ),
            (
                WEB,
                "warning: Could not find remote branch x to clone.\nfatal: Remote branch x not found in upstream origin",
                TOKEN,
                Readiness::CloneFailed,
                "GIT_BRANCH",
            ),
            (WEB, "fatal: something new", TOKEN, Readiness::CloneFailed, "something new; see the log"),
            (WEB, "", TOKEN, Readiness::CloneFailed, "without a word"),
        ] {
            let (found, message) = judged(url, text, mounted);
            assert!(found == reason && message.contains(word), "{text:?}: {found:?} {message}");
            assert!(!message.contains('\n') && message.ends_with('.'), "{message}");
        }
    }
}
