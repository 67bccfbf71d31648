//! Credentials for Claude Code: the three ways to give them, where each goes, and the form for one project.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::flash::{Deed, Told};
use super::format::sentence;
use super::page_request::Visit;
use crate::project::{Action, Intent, ProjectName};
use crate::web::AppState;
use crate::web::api::body;
use crate::web::problem::Problem;
use crate::web::request::{Id, name_of};

/// An input: the field of the API, the key in the project's Secret, the label.
const INPUTS: [(&str, &str, &str); 4] = [
    ("anthropicApiKey", "anthropic-api-key", "Anthropic API key"),
    ("claudeCodeOauthToken", "claude-code-oauth-token", "Token of claude setup-token"),
    ("anthropicBaseUrl", "anthropic-base-url", "Gateway address"),
    ("anthropicAuthToken", "anthropic-auth-token", "Gateway token"),
];

/// What Claude Code lacks in a project's environment, with the ways to bring it; nothing while all is there, or not known.
pub(super) async fn missing(state: &AppState, visit: &Visit, name: &ProjectName) -> Markup {
    let Some(problem) = state.chat.claude_problem(name).await else { return html! {} };
    let base = state.settings.server.base_path.as_str();
    html! {
        div.notice.needs id="missing" role="note" {
            p { strong { "Claude Code cannot work here." } " " (sentence(&problem.message)) }
            @if problem.code == crate::chat::word::NO_CREDENTIALS {
                (ways())
                @if visit.may(Action::Change) {
                    a.button href=(format!("{base}/projects/{name}/config#credentials")) { "Give credentials" }
                }
            }
        }
    }
}

/// The three ways, each for one project and as the default of all.
pub(super) fn ways() -> Markup {
    html! {
        ul {
            li {
                "API key of Anthropic: " code { "anthropic-api-key" } " of the project, or the default of all, which the setting "
                code { "DEFAULT_ANTHROPIC_API_KEY" } " gives to a new state repository."
            }
            li {
                "Token printed by " code { "claude setup-token" } ": " code { "claude-code-oauth-token" }
                " of the project, or the default of all."
            }
            li {
                "Gateway: its address in " code { "anthropic-base-url" } " and its token in " code { "anthropic-auth-token" }
                " of the project, or both as the default of all."
            }
            li {
                "One project: the form in its Config tab, " code { "PUT /api/projects/…" } ", or "
                code { "sops edit projects/…/secrets.sops.yaml" } ". All projects: " code { "sops edit secrets.sops.yaml" }
                " at the top of the state repository."
            }
        }
    }
}

/// The form for one project.
pub(super) fn form(base: &str, name: &ProjectName) -> Markup {
    html! {
        section aria-labelledby="credentials" {
            h2 id="credentials" { "Credentials for Claude Code" }
            p.small {
                "An API key, a token of " code { "claude setup-token" } ", or the address and the token of a gateway. Values are \
                 encrypted before they are committed, and no page shows them. Empty fields stay as they are."
            }
            form.narrow method="post" action=(format!("{base}/projects/{name}/credentials")) {
                @for (field, key, label) in INPUTS {
                    div.field {
                        label for=(field) { (label) }
                        input id=(field) name=(field) type="password" autocomplete="new-password" aria-describedby=(format!("{field}-hint"));
                        p.hint id=(format!("{field}-hint")) { code { (key) } }
                    }
                }
                div.actions { button id="give" type="submit" { "Commit credentials" } }
            }
            details {
                summary.small { "Other places, and the default of all projects" }
                div.notice { (ways()) }
            }
        }
    }
}

/// `POST /projects/{id}/credentials`
pub(in crate::web) async fn give(State(state): State<AppState>, id: Id, visit: Visit) -> Result<Response, Problem> {
    visit.permit(Action::Change)?;
    let name = name_of(id)?;
    let body = visit.form()?.to_json(INPUTS.map(|(field, ..)| field));
    let change = body::change(&body, &state.settings.defaults, &name, None)?;
    if change.secrets.is_empty() {
        return Err(Problem::field("anthropicApiKey", "is empty, and so are the other fields; fill at least one"));
    }
    let made = state.operations.submit(Intent::Change(name.clone(), Box::new(change)), visit.actor(), None).await?;
    let told = Told::new(Deed::Changed, name.clone(), made.revision, made.changed);
    Ok(visit.tell(&state, &format!("/projects/{name}"), &told))
}
