//! Problems as pages.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::Response;
use maud::html;

use super::layout::{Frame, put_headers};
use crate::web::AppState;
use crate::web::problem::Problem;

/// Makes the answer that carries `problem` a page.
pub(in crate::web) fn put(state: &AppState, response: &mut Response, problem: &Problem, request_id: &str) {
    let base = state.settings.server.base_path.as_str();
    let unknown = problem.status() == StatusCode::UNAUTHORIZED;
    let content = html! {
        h1 { (problem.title()) }
        p { (sentence(problem.detail())) }
        p {
            @if unknown {
                a.button href=(format!("{base}/sign-in")) { "Sign in" }
            } @else {
                a.button href=(format!("{base}/projects")) { "To the projects" }
            }
        }
        p.small { "Status " (problem.status().as_u16()) ", request " code { (request_id) } }
    };
    let frame = Frame { base, title: problem.title(), principal: None, notices: Vec::new(), content };
    *response.body_mut() = Body::from(frame.markup().into_string());
    put_headers(response.headers_mut());
}

/// A message as a sentence of its own.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let mut sentence: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    sentence.push_str(characters.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}
