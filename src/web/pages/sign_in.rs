//! Signing in by a link or a form, and out again.
//!
//! The link carries the token, as the terminal prints it. It is used up by a redirect, so that it stays neither in the
//! address bar nor in a `Referer`; log lines name the route alone. A link on somebody else's page does not sign anybody in:
//! it could sign a visitor in as whoever wrote the page, who would then read what the visitor types.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::Response;
use maud::html;
use tokio::time::timeout;

use super::form::Form;
use super::kept_form::{self, KeptForm};
use super::layout::Frame;
use super::{see_other, to};
use crate::auth::{Refusal, SignInError};
use crate::config::ServerSettings;
use crate::project::Principal;
use crate::web::AppState;
use crate::web::now;
use crate::web::problem::Problem;
use crate::web::request::read_body;
use crate::web::same_origin::{foreign, is_from_here, refused, session_cookie, set_session};

/// How long the form may take: it is read before the sender is known, and holds a connection meanwhile.
const BODY: Duration = Duration::from_secs(5);

/// What the form says above its field.
#[derive(Clone, Copy)]
enum Hint {
    Nothing,
    Wrong,
    Elsewhere,
    SignedOut,
    /// A form was sent after the session had ended.
    Ended,
}

/// `GET /sign-in`, with a token in the link or without.
pub(in crate::web) async fn look(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let server = &state.settings.server;
    let given = parameters(request.uri());
    let next = local(server, given.get("next"));
    let token = given.get("token");
    if token.is_empty() {
        if request.extensions().get::<Principal>().is_some() {
            return Ok(to(&next));
        }
        let hint = match given.get("hint") {
            "wrong" => Hint::Wrong,
            "elsewhere" => Hint::Elsewhere,
            "out" => Hint::SignedOut,
            _ => Hint::Nothing,
        };
        return Ok(form(server, StatusCode::OK, &next, hint, None));
    }
    if is_foreign_link(request.headers()) {
        return Ok(without_token(server, &next, "elsewhere"));
    }
    match open(&state, token, &next).await {
        Ok(response) => Ok(response),
        Err(SignInError::Refused(Refusal::Unknown | Refusal::Expired)) => Ok(without_token(server, &next, "wrong")),
        Err(error) => Err(problem(error)),
    }
}

/// `POST /sign-in`, from the form.
pub(in crate::web) async fn sign_in(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let server = &state.settings.server;
    if !is_from_here(server, request.headers()) {
        return Err(foreign());
    }
    let (parts, body) = request.into_parts();
    let body = timeout(BODY, read_body(&parts.headers, body)).await.map_err(|_| {
        let detail = "the form did not arrive within 5 seconds; send it again";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long", detail)
    })??;
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = Form::parse(content_type.unwrap_or_default(), &body)?;
    let next = local(server, given.get("next"));
    let kept = KeptForm::of_sign_in(&given).filter(|kept| local(server, &kept.to) == kept.to);
    match open(&state, given.get("token"), &next).await {
        Ok(response) => match kept {
            Some(kept) => continued(&state, &kept, response.headers().get(SET_COOKIE).cloned(), &parts).await,
            None => Ok(response),
        },
        Err(SignInError::Refused(Refusal::Unknown | Refusal::Expired)) => {
            Ok(form(server, StatusCode::UNAUTHORIZED, &next, Hint::Wrong, kept.as_ref()))
        }
        Err(error) => Err(problem(error)),
    }
}

/// Asks the sender of a form whose session has ended to sign in, and keeps what was typed.
pub(in crate::web) async fn ask_again(state: &AppState, request: Request) -> Response {
    let server = &state.settings.server;
    let kept = kept_form::read(request).await;
    form(server, StatusCode::UNAUTHORIZED, &local(server, ""), Hint::Ended, kept.as_ref())
}

/// The filled form, in the session whose cookie `set` sets.
async fn continued(
    state: &AppState,
    kept: &KeptForm,
    set: Option<HeaderValue>,
    parts: &Parts,
) -> Result<Response, Problem> {
    let server = &state.settings.server;
    let cookie = set.as_ref().and_then(|set| set.to_str().ok()?.split(';').next()?.split_once('='));
    let (_, cookie) = cookie.ok_or_else(|| Problem::internal("a session without a cookie".to_owned()))?;
    let session = state.auth.session(&state.store, cookie, now().as_second()).await?;
    let caller = session.ok_or_else(|| Problem::internal("a session that has just begun is not there".to_owned()))?;
    let here = kept.to.strip_prefix(server.base_path.as_str()).unwrap_or(&kept.to);
    let mut response = kept.page(state, caller.principal, here, parts);
    response.headers_mut().extend(set.map(|set| (SET_COOKIE, set)));
    Ok(response)
}

/// `POST /sign-out`
pub(in crate::web) async fn sign_out(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let server = &state.settings.server;
    if let Some(cookie) = session_cookie(server, request.headers()) {
        state.auth.sign_out(&state.store, cookie).await?;
    }
    let mut response = see_other(server, "/sign-in?hint=out");
    response.headers_mut().extend(set_session(server, "").map(|header| (SET_COOKIE, header)));
    Ok(response)
}

/// Opens a session and leads on.
async fn open(state: &AppState, token: &str, next: &str) -> Result<Response, SignInError> {
    let cookie = state.auth.sign_in(&state.store, token, now().as_second()).await?;
    let mut response = to(next);
    let header = set_session(&state.settings.server, &cookie);
    response.headers_mut().extend(header.map(|header| (SET_COOKIE, header)));
    Ok(response)
}

fn problem(error: SignInError) -> Problem {
    match error {
        SignInError::Refused(refusal) => refused(refusal),
        SignInError::Store(error) => error.into(),
    }
}

fn parameters(uri: &Uri) -> Form {
    let mut form = Form::default();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        form.set(&name, value.into_owned());
    }
    form
}

/// Whether a page of somebody else led here. From a terminal, a mail program or the address bar nobody did.
fn is_foreign_link(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    site.is_some_and(|site| !matches!(site, "none" | "same-origin"))
}

/// The address after signing in: one of ours, or the projects.
fn local(server: &ServerSettings, next: &str) -> String {
    let base = server.base_path.as_str();
    let below = next.strip_prefix(base).unwrap_or_default();
    // `//host` and `/\host` are other hosts to a browser.
    let ours = below.starts_with('/')
        && !below.starts_with("//")
        && !below.starts_with("/sign-")
        && below.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    if ours { next.to_owned() } else { format!("{base}/projects") }
}

fn without_token(server: &ServerSettings, next: &str, hint: &str) -> Response {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("hint", hint).append_pair("next", next);
    see_other(server, &format!("/sign-in?{}", query.finish()))
}

fn form(server: &ServerSettings, status: StatusCode, next: &str, hint: Hint, kept: Option<&KeptForm>) -> Response {
    let base = server.base_path.as_str();
    let wrong = matches!(hint, Hint::Wrong);
    let content = html! {
        h1 { "Sign in" }
        @match hint {
            Hint::Nothing => {}
            Hint::Wrong => div.notice.bad id="token-error" role="alert" {
                "This token is not valid, or it has expired. A link from an earlier start of the manager may carry an older one."
            },
            Hint::Elsewhere => div.notice role="alert" {
                "You came by a link on another page, which does not sign anybody in. Paste the token here, or open the \
                 link from where the manager printed it."
            },
            Hint::Ended if kept.is_some() => div.notice.needs role="alert" {
                "Your session has ended, so nothing was sent. What you typed is kept: sign in, and the form is shown again. \
                 Secrets have to be typed again."
            },
            Hint::Ended => div.notice.needs role="alert" { "Your session has ended, and nothing was sent." },
            Hint::SignedOut => div.notice.good role="status" { "You are signed out." },
        }
        form.narrow method="post" action=(format!("{base}/sign-in")) {
            input type="hidden" name="next" value=(next);
            @if let Some(kept) = kept { (kept.hidden()) }
            div.field {
                label for="token" { "Token" }
                input id="token" name="token" type="password" autocomplete="current-password" required autofocus
                    aria-describedby=(if wrong { "token-error token-hint" } else { "token-hint" })
                    aria-invalid=[wrong.then_some("true")];
                p.hint id="token-hint" {
                    "The manager prints a link with the administrator's when it starts; " code { "claude-manager token show" }
                    " prints that token, and " code { "claude-manager token create --role viewer" } " makes others."
                }
            }
            div.actions { button.primary type="submit" { "Sign in" } }
        }
    };
    Frame { base, title: "Sign in", content, ..Frame::default() }.answer(status)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Settings;

    #[test]
    fn nobody_is_led_to_another_host() {
        let server = |base: &str| {
            let vars = [("BASE_PATH".to_owned(), base.to_owned())];
            Settings::from_vars(&BTreeMap::from(vars)).unwrap().server
        };
        for (base, next, expected) in [
            ("", "/projects/a?x=1", "/projects/a?x=1"),
            ("", "//evil.example/", "/projects"),
            ("", "/\\evil.example", "/projects"),
            ("", "https://evil.example/", "/projects"),
            ("", "", "/projects"),
            ("", "/sign-in?token=x", "/projects"),
            ("", "/a\r\nSet-Cookie: x", "/projects"),
            ("/c", "/c/projects/a", "/c/projects/a"),
            ("/c", "/projects/a", "/c/projects"),
            ("/c", "/c", "/c/projects"),
            ("/c", "/c//evil.example", "/c/projects"),
            ("/c", "/cc/projects", "/c/projects"),
        ] {
            assert_eq!(local(&server(base), next), expected, "{base} {next}");
        }
    }
}
