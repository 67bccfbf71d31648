//! Making a project: three fields, and the rest folded away with its defaults.
//!
//! The form becomes the body that the API takes, and is read by the same code; so pages and programs are told the same of
//! the same mistake. What was typed stays in the form, secrets excepted: those are in no page.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::flash::{Deed, Told};
use super::form::Form;
use super::format::sentence;
use super::page_request::Visit;
use crate::config::ProjectDefaults;
use crate::project::{Action, FieldError, Image, Intent, ProjectName};
use crate::web::api::body;
use crate::web::problem::Problem;
use crate::web::{AppState, now};

/// One input. Its name is the path of the field in the API.
struct Input {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Required,
    Text,
    /// One line that no page shows again.
    Secret,
    /// Several lines that no page shows again.
    SecretLines,
    Lines,
}

const fn input(name: &'static str, label: &'static str, hint: &'static str, kind: Kind) -> Input {
    Input { name, label, hint, kind }
}

/// What has to be said.
const FIRST: &[Input] = &[
    input("name", "Name", "As people read it.", Kind::Required),
    input(
        "shortName",
        "Short name",
        "Its id for ever: small letters, digits and hyphens. Left empty, it is made from the name.",
        Kind::Text,
    ),
    input("gitRepository", "Git repository", "As in https://host/path or git@host:path.", Kind::Required),
];

/// What has defaults.
const MORE: &[Input] = &[
    input("gitBranch", "Branch", "The repository's own default when empty.", Kind::Text),
    input("image", "Image", "", Kind::Text),
    input("resources.cpu", "CPU", "In cores, as in 500m or 2; the template's when empty.", Kind::Text),
    input("resources.memory", "Memory", "As in 4Gi; the template's when empty.", Kind::Text),
    input("storage.size", "Size of the workspace", "", Kind::Text),
    input("storage.storageClass", "Storage class", "", Kind::Text),
    input("jiraIssue", "JIRA issue", "As in ABC-123.", Kind::Text),
];

/// What is encrypted before it is committed.
const SECRETS: &[Input] = &[
    input("gitCredentials.token", "Git token", "For an https repository that is not public.", Kind::Secret),
    input(
        "gitCredentials.sshPrivateKey",
        "SSH private key",
        "Instead of a token, for git@host:path.",
        Kind::SecretLines,
    ),
    input("gitCredentials.knownHosts", "SSH known hosts", "Lines of a known_hosts file.", Kind::Lines),
    input("anthropicApiKey", "Anthropic API key", "The manager's default key when empty.", Kind::Secret),
    input("claudeCodeOauthToken", "Claude Code OAuth token", "From claude setup-token.", Kind::Secret),
    input("anthropicAuthToken", "Gateway token", "", Kind::Secret),
    input("anthropicBaseUrl", "Gateway address", "", Kind::Secret),
    input("codeServerPassword", "Password of the web IDE", "", Kind::Secret),
    input("sudoPassword", "Password for sudo", "", Kind::Secret),
];

/// `GET /new`
pub(in crate::web) async fn page(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Create)?;
    Ok(show(&state, &visit, StatusCode::OK, &Form::default(), None))
}

/// `POST /projects`
pub(in crate::web) async fn create(State(state): State<AppState>, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Create)?;
    let mut form = visit.form()?;
    if form.get("shortName").trim().is_empty() {
        form.set("shortName", suggestion(form.get("name")));
    }
    let names = [FIRST, MORE, SECRETS].into_iter().flatten().map(|input| input.name);
    let new = match body::create(&form.to_json(names), &state.settings.defaults, now().to_string()) {
        Ok(new) => new,
        Err(problem) => return Ok(show(&state, &visit, problem.status(), &form, Some(&problem))),
    };
    let name = new.short_name.clone();
    let made = state.operations.submit(Intent::Create(Box::new(new)), visit.actor(), None).await;
    match made.map_err(Problem::from) {
        Ok(made) => {
            let told = Told::new(Deed::Created, name.clone(), made.revision, made.changed);
            Ok(visit.tell(&state, &format!("/projects/{name}"), &told))
        }
        // What the person can mend stays with what was typed; also what may pass.
        Err(problem) if problem.word() != "internal" => {
            Ok(show(&state, &visit, problem.status(), &form, Some(&problem)))
        }
        Err(problem) => Err(problem),
    }
}

/// Whether a field of a form must not be in any page.
pub(super) fn is_secret(name: &str) -> bool {
    let is_shown = |input: &Input| !matches!(input.kind, Kind::Secret | Kind::SecretLines);
    SECRETS.iter().any(|input| input.name == name && !is_shown(input))
}

/// The form with what was typed in it before the session ended, without the secrets.
pub(super) fn filled(state: &AppState, visit: &Visit, form: &Form) -> Response {
    show(state, visit, StatusCode::OK, form, None)
}

/// A short name out of a name; empty when it has no letters that could be in one.
fn suggestion(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        let fits = c.is_ascii_lowercase() || (c.is_ascii_digit() && !text.is_empty());
        if fits {
            text.push(c);
        } else if !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
    }
    text.truncate(40);
    let text = text.trim_end_matches('-');
    if ProjectName::parse(text).is_ok() { text.to_owned() } else { String::new() }
}

fn show(state: &AppState, visit: &Visit, status: StatusCode, form: &Form, problem: Option<&Problem>) -> Response {
    let base = state.settings.server.base_path.as_str();
    let defaults = &state.settings.defaults;
    let errors = problem.map(Problem::errors).unwrap_or_default();
    let group = |inputs: &[Input]| {
        html! { @for input in inputs { (field(input, form, errors, defaults)) } }
    };
    let wrong = |inputs: &[Input]| inputs.iter().any(|input| error_of(input, errors).is_some());
    let used = |inputs: &[Input]| inputs.iter().any(|input| !form.get(input.name).trim().is_empty());
    let retype = problem.is_some() && used(SECRETS);
    let content = html! {
        h1 { "New project" }
        @if let Some(problem) = problem { (summary(problem, errors)) }
        form.narrow method="post" action=(format!("{base}/projects")) {
            (group(FIRST))
            details.more open[wrong(MORE) || used(MORE)] {
                summary { "Branch, image, resources, storage, ticket" }
                (group(MORE))
            }
            details.more open[wrong(SECRETS) || retype] {
                summary { "Credentials" }
                p.hint {
                    "They are encrypted before they are committed, and no page shows them."
                    @if retype { strong { " Type them again: they were not kept." } }
                }
                (group(SECRETS))
            }
            div.actions {
                button.primary type="submit" { "Create project" }
                a.button.quiet href=(format!("{base}/projects")) { "Cancel" }
            }
        }
    };
    let title = if problem.is_some() { "Error: new project" } else { "New project" };
    visit.page_below(state, status, title, &[("Projects", "/projects")], content)
}

fn error_of<'e>(input: &Input, errors: &'e [FieldError]) -> Option<&'e FieldError> {
    errors.iter().find(|error| error.field == input.name)
}

/// All that is wrong, above the form, each leading to its field.
fn summary(problem: &Problem, errors: &[FieldError]) -> Markup {
    let inputs = || [FIRST, MORE, SECRETS].into_iter().flatten();
    let of = |error: &FieldError| inputs().find(|input| input.name == error.field);
    html! {
        div.notice.bad role="alert" {
            p { strong { "The project was not created." } }
            ul {
                @for error in errors {
                    li {
                        @match of(error) {
                            Some(input) => a href=(format!("#{}", id(input))) { (input.label) " " (error.message) },
                            None => { (error.field) " " (error.message) }
                        }
                    }
                }
                @if errors.is_empty() { li { (sentence(problem.detail())) } }
            }
        }
    }
}

fn id(input: &Input) -> String {
    input.name.replace('.', "-")
}

/// What happens when the input stays empty.
fn default_of(input: &Input, defaults: &ProjectDefaults) -> String {
    match input.name {
        "image" => {
            let part = |sign, part: Option<&String>| part.map_or_else(String::new, |part| format!("{sign}{part}"));
            let Image { name, tag, digest } = &defaults.image;
            format!("{name}{}{} when empty.", part(':', tag.as_ref()), part('@', digest.as_ref()))
        }
        "storage.size" => format!("{} when empty; it can grow later, but not shrink.", defaults.workspace_size),
        "storage.storageClass" => match &defaults.storage_class {
            Some(class) => format!("{class} when empty."),
            None => "The cluster's own default when empty.".to_owned(),
        },
        "gitRepository" => {
            let mut hint = input.hint.to_owned();
            if let Some(prefix) = &defaults.git_prefix {
                hint.push_str(&format!(" A bare name is completed with {prefix}."));
            }
            if defaults.local_repositories {
                hint.push_str(" Or the absolute path of a repository on this machine.");
            }
            hint
        }
        _ => input.hint.to_owned(),
    }
}

fn field(input: &Input, form: &Form, errors: &[FieldError], defaults: &ProjectDefaults) -> Markup {
    let (id, hint, error) = (id(input), default_of(input, defaults), error_of(input, errors));
    let secret = matches!(input.kind, Kind::Secret | Kind::SecretLines);
    let value = if secret { "" } else { form.get(input.name) };
    let invalid = error.map(|_| "true");
    let mut describes = Vec::new();
    if error.is_some() {
        describes.push(format!("{id}-error"));
    }
    if !hint.is_empty() {
        describes.push(format!("{id}-hint"));
    }
    let described = Some(describes.join(" ")).filter(|text| !text.is_empty());
    let required = input.kind == Kind::Required;
    html! {
        div.field {
            label for=(id) { (input.label) @if required { " " span.mute { "(required)" } } }
            @if let Some(error) = error { p.error id=(format!("{id}-error")) { (sentence(&error.message)) } }
            @match input.kind {
                Kind::Lines | Kind::SecretLines => textarea id=(id) name=(input.name) rows="4" autocomplete="off" spellcheck="false"
                    aria-invalid=[invalid] aria-describedby=[described] { (value) },
                Kind::Secret => input id=(id) name=(input.name) type="password" autocomplete="new-password"
                    aria-invalid=[invalid] aria-describedby=[described];,
                Kind::Text | Kind::Required => input id=(id) name=(input.name) value=(value) autocomplete="off" dir="auto"
                    required[required] data-short-name=[(input.name == "shortName").then_some("name")]
                    aria-invalid=[invalid] aria-describedby=[described];,
            }
            @if !hint.is_empty() { p.hint id=(format!("{id}-hint")) { (hint) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_made_from_a_name_where_that_can_be() {
        for (name, expected) in [
            ("Checkout", "checkout"),
            ("  My 2nd Shop! ", "my-2nd-shop"),
            ("2026 plans", "plans"),
            ("Größe", "gr-e"),
            ("日本語", ""),
            ("", ""),
            ("-", ""),
        ] {
            assert_eq!(suggestion(name), expected, "{name}");
        }
        assert_eq!(suggestion(&"a".repeat(99)), "a".repeat(40));
        assert_eq!(suggestion(&format!("{} b", "a".repeat(39))), "a".repeat(39));
    }
}
