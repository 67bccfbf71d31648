//! Finds the repository that a ticket is about. Pure; what it finds is only an address, which is checked like any other.

use serde_json::Value;

use crate::config::ProjectDefaults;
use crate::jira::{Issue, text_of};
use crate::project::GitUrl;

/// What a text says about the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This one.
    One(GitUrl),
    /// Nothing.
    None,
    /// Several; the text is for people.
    Several(String),
    /// Something that is no address; the text is for people.
    Wrong(String),
}

/// Sites where every address of two parts is a repository.
const SITES: [&str; 3] = ["github.com", "gitlab.com", "bitbucket.org"];
/// The most text that is searched, in bytes.
const MOST: usize = 64 * 1024;

/// Looks into the field, where one is set, then into the description.
pub(super) fn of_issue(issue: &Issue, field: Option<&str>, defaults: &ProjectDefaults) -> Found {
    if let Some(value) = field.and_then(|field| issue.fields.get(field)) {
        match of_field(value, defaults) {
            Found::None => {}
            found => return found,
        }
    }
    of_text(&issue.description, defaults)
}

/// Reads a field: a text, an option, or a list of them. All of a text without blanks is the repository.
pub(super) fn of_field(value: &Value, defaults: &ProjectDefaults) -> Found {
    match value {
        Value::String(text) => of_answer(text, defaults),
        Value::Array(items) => one_of(items.iter().map(|item| of_field(item, defaults))),
        Value::Object(object) if object.contains_key("type") => of_answer(&text_of(value), defaults),
        Value::Object(object) => object.get("value").map_or(Found::None, |value| of_field(value, defaults)),
        _ => Found::None,
    }
}

/// Reads a text that is meant to name the repository: one word of it, or an address somewhere in it.
pub(super) fn of_answer(text: &str, defaults: &ProjectDefaults) -> Found {
    let text = text.trim();
    if text.is_empty() {
        return Found::None;
    }
    if !text.contains(char::is_whitespace) {
        let word = unmarked(text);
        return match address(word) {
            Some(url) => Found::One(url),
            None => match defaults.repository(word) {
                Ok(url) => Found::One(url),
                Err(message) => Found::Wrong(format!("{:?} {message}", word.chars().take(200).collect::<String>())),
            },
        };
    }
    of_text(text, defaults)
}

/// Looks for addresses of repositories in running text, and for a line `Repository: name`.
pub(super) fn of_text(text: &str, defaults: &ProjectDefaults) -> Found {
    let text = &text[..text.floor_char_boundary(MOST)];
    for line in text.lines() {
        let line = line.trim().trim_start_matches(['*', '-', '#', ' ']);
        let Some((label, value)) = line.split_once(':') else { continue };
        let is_label = matches!(label.trim_end_matches('*').to_ascii_lowercase().as_str(), "repository" | "repo");
        let value = value.trim().trim_start_matches('*').trim();
        if is_label && !value.is_empty() && !value.contains(char::is_whitespace) {
            return of_answer(value, defaults);
        }
    }
    // Wiki markup puts addresses into brackets, with `|` beside the words.
    let is_edge = |c: char| c.is_whitespace() || "[]|<>(){}\"'`,;".contains(c);
    one_of(text.split(is_edge).filter_map(|word| address(unmarked(word))).map(Found::One))
}

fn one_of(found: impl Iterator<Item = Found>) -> Found {
    let mut all: Vec<GitUrl> = Vec::new();
    for one in found {
        match one {
            Found::One(url) if !all.contains(&url) => all.push(url),
            Found::One(_) | Found::None => {}
            other => return other,
        }
    }
    if all.len() > 1 {
        let shown: Vec<&str> = all.iter().take(5).map(GitUrl::as_str).collect();
        return Found::Several(shown.join(", "));
    }
    all.pop().map_or(Found::None, Found::One)
}

/// The word without the signs that a sentence puts around it.
fn unmarked(word: &str) -> &str {
    word.trim_matches(|c: char| "[]<>(){}\"'`,;!*".contains(c)).trim_end_matches(['.', ':', '?'])
}

/// The address in a word that can be nothing but that of a repository.
fn address(word: &str) -> Option<GitUrl> {
    let word = word.split(['#', '?']).next().unwrap_or_default().trim_end_matches('/');
    if word.starts_with("ssh://") || (word.starts_with("git@") && word.contains(':')) {
        return GitUrl::parse(word).ok();
    }
    let rest = word.strip_prefix("https://").or_else(|| word.strip_prefix("http://"))?;
    if word.ends_with(".git") {
        return GitUrl::parse(word).ok();
    }
    let (host, path) = rest.split_once('/')?;
    let is_site =
        SITES.contains(&host) || ["git.", "gitlab.", "github.", "bitbucket."].iter().any(|h| host.starts_with(h));
    let parts: Vec<&str> = path.split('/').collect();
    // What follows the repository at such a site: a branch, an issue, a file.
    let known =
        parts.iter().position(|part| matches!(*part, "-" | "tree" | "blob" | "issues" | "pull" | "commit" | "src"));
    let parts = &parts[..known.unwrap_or(parts.len())];
    let fits = parts.len() == 2 || (parts.len() > 2 && !matches!(host, "github.com" | "bitbucket.org"));
    if !is_site || !fits {
        return None;
    }
    GitUrl::parse(&format!("https://{host}/{}.git", parts.join("/"))).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::config::Settings;

    fn defaults(org: Option<&str>) -> ProjectDefaults {
        let vars = org.map(|org| ("DEFAULT_GIT_ORG".to_owned(), org.to_owned()));
        Settings::from_vars(&vars.into_iter().collect::<BTreeMap<_, _>>()).unwrap().defaults
    }

    fn url(text: &str) -> Found {
        Found::One(GitUrl::parse(text).unwrap())
    }

    #[test]
    fn addresses_are_found_in_running_text() {
        let defaults = defaults(None);
        for (text, found) in [
            ("Fix https://git.example/team/app.git, please.", "https://git.example/team/app.git"),
            ("see [the code|https://github.com/acme/shop/issues/7].", "https://github.com/acme/shop.git"),
            ("git@git.example:team/app.git", "git@git.example:team/app.git"),
            ("clone ssh://git@h:2222/app.git and http://h/app.git is not meant", ""),
            ("https://gitlab.com/a/b/c/-/tree/main and https://gitlab.com/a/b/c", "https://gitlab.com/a/b/c.git"),
            ("The *Repository: https://h/x.git\nand others", "https://h/x.git"),
        ] {
            match found {
                "" => assert!(matches!(of_text(text, &defaults), Found::Several(_)), "{text}"),
                found => assert_eq!(of_text(text, &defaults), url(found), "{text}"),
            }
        }
        for text in
            ["", "see https://example.com/docs", "mail@example.com: x", "https://github.com/acme", "file:///etc/x.git"]
        {
            assert_eq!(of_text(text, &defaults), Found::None, "{text}");
        }
    }

    #[test]
    fn a_bare_name_needs_an_organisation() {
        let with = defaults(Some("acme"));
        assert_eq!(of_answer(" shop ", &with), url("https://github.com/acme/shop.git"));
        assert_eq!(of_text("What: x\n- Repo: shop\n", &with), url("https://github.com/acme/shop.git"));
        assert!(matches!(of_answer("shop", &defaults(None)), Found::Wrong(_)));
        assert_eq!(of_answer("I do not know", &with), Found::None);
        assert!(matches!(of_answer("https://u:secret@h/x.git", &with), Found::Wrong(_)));
    }

    #[test]
    fn fields_of_every_kind_are_read() {
        let defaults = defaults(Some("acme"));
        let shop = url("https://github.com/acme/shop.git");
        for value in [
            json!("shop"),
            json!({"value": "shop", "id": "1"}),
            json!(["shop"]),
            json!([{"value": "shop"}]),
            json!({"type": "doc", "content": [{"type": "paragraph", "content": [{"type": "text", "text": "shop"}]}]}),
        ] {
            assert_eq!(of_field(&value, &defaults), shop, "{value}");
        }
        assert!(matches!(of_field(&json!(["shop", "app"]), &defaults), Found::Several(_)));
        for value in [json!(null), json!(7), json!(""), json!({"name": "x"})] {
            assert_eq!(of_field(&value, &defaults), Found::None, "{value}");
        }
    }
}
