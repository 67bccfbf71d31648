//! A form that was sent after its session had ended: what was typed is kept in the sign-in page, and shown again in the form
//! once its sender has signed in. Nothing is sent before the sender presses the button again. Secrets are not kept.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use maud::{Markup, html};

use super::create;
use super::form::Form;
use super::page_request::Visit;
use crate::project::Principal;
use crate::web::AppState;
use crate::web::request::read_body;
use crate::web::same_origin::{is_from_here, session_cookie};

/// The largest form that is kept: a prompt may have 256 KiB.
const MOST: usize = 400 * 1024;

/// Fields that are the form's own, which no person types.
const HIDDEN: [&str; 9] = ["id", "plan", "project", "drift", "head", "overlay", "timestamp", "answer", "volumes"];

/// Labels of typed fields.
const LABELS: [(&str, &str); 4] =
    [("text", "Prompt"), ("why", "Reason"), ("message", "Reason for a denial"), ("confirm", "Confirmation")];

/// What was typed, and where it was sent to.
pub(super) struct KeptForm {
    /// The address, with BASE_PATH.
    pub(super) to: String,
    /// The fields.
    pub(super) form: Form,
}

/// Whether a request without a caller is such a form: of a browser that was signed in, from one of our own pages.
pub(in crate::web) fn is_kept(state: &AppState, headers: &HeaderMap) -> bool {
    let server = &state.settings.server;
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    session_cookie(server, headers).is_some()
        && is_from_here(server, headers)
        && content_type.starts_with("application/x-www-form-urlencoded")
}

/// Reads the form of a request; `None` when it is too large or not whole.
pub(super) async fn read(request: Request) -> Option<KeptForm> {
    let (parts, body): (Parts, Body) = request.into_parts();
    let body = read_body(&parts.headers, body).await.ok().filter(|body| body.len() <= MOST)?;
    Some(KeptForm { to: parts.uri.path().to_owned(), form: Form::of_pairs(&body) })
}

impl KeptForm {
    /// What a sign-in form was sent with; `None` when it keeps nothing.
    pub(super) fn of_sign_in(given: &Form) -> Option<Self> {
        let to = given.get("to");
        (!to.is_empty()).then(|| Self { to: to.to_owned(), form: Form::of_pairs(given.get("kept").as_bytes()) })
    }

    /// The fields of the sign-in form that keep it.
    pub(super) fn hidden(&self) -> Markup {
        let shown = self.form.pairs().filter(|(name, _)| !create::is_secret(name));
        let kept = form_urlencoded::Serializer::new(String::new()).extend_pairs(shown).finish();
        html! {
            input type="hidden" name="to" value=(self.to);
            input type="hidden" name="kept" value=(kept);
        }
    }

    /// The filled form.
    pub(super) fn page(&self, state: &AppState, principal: Principal, here: &str, parts: &Parts) -> Response {
        let visit = Visit::begun(principal, here, parts);
        if here == "/projects" {
            return create::filled(state, &visit, &self.form);
        }
        let content = html! {
            h1 { "Continue" }
            div.notice.needs role="status" {
                "You are signed in again. Nothing was sent while the session had ended: look at it, and send it now."
            }
            form.narrow method="post" action=(self.to) {
                @for (number, (name, value)) in self.form.pairs().enumerate() {
                    @let id = format!("kept-{number}");
                    @let label = LABELS.iter().find(|(known, _)| *known == name).map_or(name, |(_, label)| label);
                    @if HIDDEN.contains(&name) {
                        input type="hidden" name=(name) value=(value);
                    } @else if name == "text" {
                        div.field { label for=(id) { (label) } textarea id=(id) name=(name) rows="6" { (value) } }
                    } @else {
                        div.field { label for=(id) { (label) } input id=(id) name=(name) value=(value) autocomplete="off"; }
                    }
                }
                div.actions {
                    button.primary type="submit" { "Send" }
                    span.hint { "Sent to " code { (self.to) } }
                }
            }
        };
        visit.page(state, StatusCode::OK, "Continue", content)
    }
}
