//! `agent credential`: Git asks it for the token of the project's repository (`git help credentials`, "custom helpers").
//!
//! It answers for one origin and reads the mounted file each time, so that a renewed token counts at once.
//!
//! **Architecture invariant:** the token goes to standard output, which is Git's pipe, and nowhere else.

use std::io::{Read, Write};
use std::path::PathBuf;

use secrecy::ExposeSecret;

use super::secrets;

/// What Git asks, and what the configuration says that may be answered.
#[derive(Clone, Debug)]
pub struct CredentialRequest {
    /// `https://host[:port]`: the only place to answer for.
    pub origin: String,
    /// The user name beside the token.
    pub user: String,
    /// The file with the token.
    pub token_file: PathBuf,
    /// `get`, `store` or `erase`.
    pub action: String,
}

/// Reads Git's question from `input` and answers on `output`, or stays silent.
///
/// # Errors
/// When Git does not listen.
pub fn answer(request: &CredentialRequest, input: impl Read, mut output: impl Write) -> std::io::Result<()> {
    // Whether the token was right or wrong: it is not ours to keep or to forget.
    if request.action != "get" {
        return Ok(());
    }
    let mut question = String::new();
    input.take(64 * 1024).read_to_string(&mut question)?;
    let value = |key: &str| question.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let asked = format!("{}://{}", value("protocol").unwrap_or_default(), value("host").unwrap_or_default());
    if !asked.eq_ignore_ascii_case(&request.origin) {
        return Ok(());
    }
    let Some(token) = secrets::read(&request.token_file) else { return Ok(()) };
    let token = token.expose_secret();
    // A line break would begin another line of the answer.
    if token.contains(['\n', '\r', '\0']) {
        return Err(std::io::Error::other("the file git-token has several lines; it must hold the token alone"));
    }
    write!(output, "username={}\npassword={token}\n", request.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(question: &str, action: &str, token: Option<&str>) -> String {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("git-token");
        if let Some(token) = token {
            std::fs::write(&token_file, token).unwrap();
        }
        let request = CredentialRequest {
            origin: "https://git.example:8443".to_owned(),
            user: "x-access-token".to_owned(),
            token_file,
            action: action.to_owned(),
        };
        let mut output = Vec::new();
        let _ = answer(&request, question.as_bytes(), &mut output);
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn the_token_is_for_its_own_origin_alone() {
        let own = "protocol=https\nhost=git.example:8443\n\n";
        assert_eq!(ask(own, "get", Some("t0ken\n")), "username=x-access-token\npassword=t0ken\n");
        for (question, action, token) in [
            (own, "store", Some("t0ken")),
            (own, "erase", Some("t0ken")),
            (own, "get", None),
            (own, "get", Some("\n")),
            (own, "get", Some("t0ken\nhost=evil.example")),
            ("protocol=http\nhost=git.example:8443\n", "get", Some("t0ken")),
            ("protocol=https\nhost=git.example\n", "get", Some("t0ken")),
            ("protocol=https\nhost=evil.example\n", "get", Some("t0ken")),
            ("", "get", Some("t0ken")),
        ] {
            assert_eq!(ask(question, action, token), "", "{question:?} {action} {token:?}");
        }
    }
}
