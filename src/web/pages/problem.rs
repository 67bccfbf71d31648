//! Problems as pages, inside the same frame as every other page.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::format::sentence;
use super::layout::{Frame, put_headers};
use crate::project::Principal;
use crate::web::AppState;
use crate::web::problem::Problem;

/// Makes the answer that carries `problem` a page. `here` is the address that was asked for, below BASE_PATH.
pub(in crate::web) fn put(
    state: &AppState,
    response: &mut Response,
    problem: &Problem,
    request_id: &str,
    here: &str,
    principal: Option<&Principal>,
) {
    let base = state.settings.server.base_path.as_str();
    let unknown = problem.status() == StatusCode::UNAUTHORIZED;
    let content = html! {
        h1 { (problem.title()) }
        p { (sentence(problem.detail())) }
        div.actions {
            @if unknown {
                a.button.primary href=(format!("{base}/sign-in")) { "Sign in" }
            } @else {
                a.button href=(format!("{base}/projects")) { "Show the projects" }
            }
        }
        p.small { "Status " (problem.status().as_u16()) ", request " code { (request_id) } }
    };
    let frame = Frame { base, here, title: problem.title(), principal, content, ..Frame::default() };
    *response.body_mut() = Body::from(frame.markup().into_string());
    put_headers(response.headers_mut());
}
