//! Secrets by their looks: tokens that say whose they are, private keys, and addresses with a password in them.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use regex::{Regex, RegexSet};

/// The words on a line by which a finding is known to be none.
const ALLOW: &str = "gitleaks:allow";

/// What a token is, and its form. The group is what makes it secret.
const TOKENS: &[(&str, &str)] = &[
    ("an age private key", r"(?i)AGE-SECRET-KEY-(?:PQ-)?1([a-z0-9]{50,})"),
    ("a GitHub token", r"\bgh[pousr]_([A-Za-z0-9]{30,})"),
    ("a GitHub token", r"\bgithub_pat_([A-Za-z0-9_]{22,})"),
    ("a GitLab token", r"\b(?:glpat|gldt|glrt|glrtr|glcbt|glptt|glft|glimt|glagent|gloas|glsoat)-([A-Za-z0-9_-]{20,})"),
    ("a Bitbucket app password", r"\bATBB([A-Za-z0-9]{24,})"),
    ("an Atlassian token", r"\bAT[AC]TT3xFf([A-Za-z0-9+/=_-]{20,})"),
    ("an Anthropic key", r"\bsk-ant-([A-Za-z0-9_-]{20,})"),
    ("an OpenAI key", r"\bsk-(?:proj|svcacct|admin)-([A-Za-z0-9_-]{20,})"),
    ("an AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA)([A-Z2-7]{16})\b"),
    ("an AWS secret key", r#"(?i)aws.{0,20}secret.{0,20}[:=]\s*["']?([A-Za-z0-9/+]{40})\b"#),
    ("a Google key", r"\bAIza([A-Za-z0-9_-]{35})"),
    ("a Slack token", r"\bxox[abeoprs]-([A-Za-z0-9-]{10,})"),
    ("a Stripe key", r"\b[rs]k_live_([A-Za-z0-9]{16,})"),
    ("an npm token", r"\bnpm_([A-Za-z0-9]{36})"),
    ("a PyPI token", r"\bpypi-AgEIcHlwaS5vcmc([A-Za-z0-9_-]{20,})"),
    ("a Hugging Face token", r"\bhf_([A-Za-z]{34})"),
    ("a DigitalOcean token", r"\bdo[opr]_v1_([a-f0-9]{64})"),
    ("a HashiCorp Vault token", r"\bhv[sbr]\.([A-Za-z0-9_-]{24,})"),
    ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.([A-Za-z0-9_-]{20,})"),
    ("a PuTTY private key", r"\bPrivate-Lines: ([0-9]+)"),
    ("a password in an address", r#"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@"'`<>]*:([^\s/@"'`<>]{6,})@"#),
    (
        "a token in an address",
        r#"(?i)://[^\s"'`<>]*[?&#][a-z0-9_.-]*(?:token|secret|passwd|password|api_?key|access_?key|signature)=([^\s&#"'`<>]{8,})"#,
    ),
];

struct Forms {
    any: RegexSet,
    each: Vec<(&'static str, Regex)>,
    private_key: Regex,
}

/// `None` never comes about: the forms are fixed, and a test makes them.
static FORMS: LazyLock<Option<Forms>> = LazyLock::new(|| {
    let form = |(what, form): &(&'static str, &str)| Some((*what, Regex::new(form).ok()?));
    Some(Forms {
        any: RegexSet::new(TOKENS.iter().map(|(_, form)| *form)).ok()?,
        each: TOKENS.iter().map(form).collect::<Option<_>>()?,
        private_key: Regex::new(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----").ok()?,
    })
});

/// Returns which secret a text looks to have, and in which line.
pub(super) fn find(text: &str) -> Option<String> {
    let forms = FORMS.as_ref()?;
    let token = || {
        let matching = forms.any.matches(text);
        matching.into_iter().filter_map(|at| forms.each.get(at)).find_map(|(what, form)| {
            let found = form.captures_iter(text).find(|found| {
                let is_secret = found.get(1).is_some_and(|secret| !is_placeholder(secret.as_str()));
                is_secret && found.get(0).is_some_and(|all| !is_allowed(text, all.start()))
            })?;
            Some((*what, found.get(0)?.start()))
        })
    };
    let (what, at) = private_key(&forms.private_key, text).map(|at| ("a private key", at)).or_else(token)?;
    let line = text[..at].matches('\n').count() + 1;
    Some(format!(
        "line {line} looks like {what}, and everything in this repository can be read by all who clone it: revoke it, and \
         set it through the API or with sops (the words {ALLOW} on the line say that it is no secret)"
    ))
}

/// Where a private key begins that has its content with it.
fn private_key(header: &Regex, text: &str) -> Option<usize> {
    let plain = header.find_iter(text).find(|header| {
        let rest = &text[header.end()..];
        let end = rest.find("-----END").unwrap_or(rest.len());
        has_key(&rest[..end]) && !is_allowed(text, header.start())
    });
    let encoded = || {
        text.match_indices("LS0tLS1CRUdJTi").map(|(at, _)| at).find(|at| {
            let rest = &text[*at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+/".contains(c))).unwrap_or(rest.len());
            let whole = end - end % 4;
            let decoded = STANDARD_NO_PAD.decode(&rest[..whole]).unwrap_or_default();
            header.is_match(&String::from_utf8_lossy(&decoded)) && !is_allowed(text, *at)
        })
    };
    plain.map(|header| header.start()).or_else(encoded)
}

/// Whether a line of a key is there: a page that shows how one begins is fine.
fn has_key(body: &str) -> bool {
    let longest = body.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))).map(str::len).max();
    longest.is_some_and(|length| length >= 40)
}

/// Whether the line that holds `at` says that it is no secret.
fn is_allowed(text: &str, at: usize) -> bool {
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    text[start..end].contains(ALLOW)
}

/// Whether what stands in the place of a secret only shows where one would stand.
fn is_placeholder(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words = ["example", "placeholder", "changeme", "change-me", "your-", "your_", "redacted", "xxxx", "...", "***"];
    let names = ["password", "passwd", "secret", "token"];
    let is_number = text.chars().all(|c| c.is_ascii_digit());
    let few = text.chars().collect::<std::collections::BTreeSet<_>>().len() < 5 && !is_number;
    few || text.starts_with(['$', '{', '%', '<', '*', '('])
        || words.iter().any(|word| lower.contains(word))
        || names.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body that is put together here, so that no scanner takes this file for a leak.
    fn body(length: usize) -> String {
        "aB3dE6gH9kL2mN5pQ8sT1vX4zA7cF0jR".chars().cycle().take(length).collect()
    }

    #[test]
    fn tokens_are_told_by_their_looks() {
        let key = format!("-----BEGIN {}PRIVATE KEY-----\n{}\n", "OPENSSH ", body(64));
        let encoded = base64::engine::general_purpose::STANDARD.encode(&key);
        for (text, what) in [
            (format!("token: ghp_{}", body(36)), "GitHub"),
            (format!("github_pat_{}", body(40)), "GitHub"),
            (format!("x=glpat-{}", body(20)), "GitLab"),
            (format!("ATBB{}", body(32)), "Bitbucket"),
            (format!("ATATT3xFfGF0{}", body(60)), "Atlassian"),
            (format!("ANTHROPIC_API_KEY=sk-ant-api03-{}", body(40)), "Anthropic"),
            (format!("AKIA{}", "QWERTYUIOPASDFGH"), "AWS"),
            (format!("aws_secret_access_key = {}", body(40)), "AWS"),
            (format!("AGE-SECRET-KEY-1{}", body(58).to_uppercase()), "age"),
            (key.clone(), "a private key"),
            (key.replace('\n', "\\n"), "a private key"),
            (format!("tls.key: {encoded}"), "a private key"),
            (format!("https://ana:{}@git.example/x", body(12)), "password in an address"),
            (format!("GIT_REPOSITORY=https://git.example/x?private_token={}", body(20)), "token in an address"),
            (format!("eyJ{}.eyJ{}.{}", body(20), body(30), body(43)), "JSON web token"),
        ] {
            let told = find(&format!("first\n{text}\n")).unwrap_or_default();
            assert!(told.starts_with("line 2 ") && told.contains(what), "{text}: {told}");
            assert!(!told.contains(&body(12)), "{told}");
            let allowed = text.lines().next().unwrap_or_default();
            let rest = text.strip_prefix(allowed).unwrap_or_default();
            assert_eq!(find(&format!("{allowed} # gitleaks:allow{rest}\n")), None, "{text}");
        }
    }

    #[test]
    fn what_only_shows_a_place_is_none() {
        for text in [
            "https://user:password@host/x".to_owned(),
            "https://oauth2:${GIT_TOKEN}@host/x".to_owned(),
            "https://git.example/x?token=<your token>".to_owned(),
            "https://git.example/x?page=1&sort=token".to_owned(),
            "sk-ant-xxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
            "AKIAIOSFODNN7EXAMPLE".to_owned(),
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----".to_owned(),
            format!("-----BEGIN PUBLIC KEY-----\n{}\n", body(64)),
            format!("-----BEGIN CERTIFICATE-----\n{}\n", body(64)),
            format!("LS0tLS1CRUdJTi{}", body(64)),
            "ghp_short".to_owned(),
            format!("sha256:{}", "0123456789abcdef".repeat(4)),
            "image: registry.example:5000/dev@sha256:abc".to_owned(),
            "git@git.example:team/app.git".to_owned(),
            "ssh://git@git.example:2222/app.git".to_owned(),
        ] {
            assert_eq!(find(&text), None, "{text}");
        }
    }
}
