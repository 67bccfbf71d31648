//! Pages for people: made on the server, usable without scripts, in plain forms that commit.
//!
//! A page reads the same snapshot as the API and its forms become the same intents, with `Source: ui` in the commit. What
//! a form leads to is answered with a redirect, so that a reload repeats nothing; what was done is told on the page after
//! it. The one script only adds comfort: a status that refreshes by itself, a suggested name, a log that grows.
//!
//! **Architecture invariant:** no page holds code or styles of its own (the policy of `frame` forbids it), and everything
//! that did not come from this source is written as text.

pub(super) mod assets;
pub(super) mod backups;
pub(super) mod chat;
pub(super) mod config;
pub(super) mod create;
pub(super) mod credentials;
pub(super) mod dashboard;
pub(super) mod delete;
mod flash;
mod form;
mod format;
mod held_deletions;
mod icon;
mod kept_form;
mod layout;
pub(super) mod list;
pub(super) mod log;
pub(super) mod manager_log;
mod markdown;
mod navigation;
mod page_request;
pub(super) mod plan;
mod problem;
pub(super) mod project;
mod project_head;
pub(super) mod settings;
pub(super) mod sign_in;
mod thread;
pub(super) mod tickets;
pub(super) mod upgrade;

use axum::extract::Request;
use axum::http::header::{ACCEPT, LOCATION};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::config::ServerSettings;

pub(super) use kept_form::is_kept;
pub(super) use page_request::Here;
pub(super) use problem::put as put_problem;

/// Whether the answer is for a person in front of a browser rather than for a program.
pub(super) fn is_wanted(server: &ServerSettings, request: &Request) -> bool {
    let path = request.uri().path();
    let below = path.strip_prefix(server.base_path.as_str()).unwrap_or(path);
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    !below.starts_with("/api/") && !below.starts_with("/fragments/") && accept.contains("text/html")
}

/// Leads to the sign-in page, and from there back to where somebody wanted to go.
pub(super) fn to_sign_in(server: &ServerSettings, wanted: &Uri) -> Response {
    let wanted = wanted.path_and_query().map_or("/", |wanted| wanted.as_str());
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", wanted).finish();
    see_other(server, &format!("/sign-in?{query}"))
}

/// A redirect to a page below BASE_PATH, to be fetched with GET.
fn see_other(server: &ServerSettings, path: &str) -> Response {
    to(&format!("{}{path}", server.base_path))
}

fn to(address: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(value) = HeaderValue::from_str(address) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}
