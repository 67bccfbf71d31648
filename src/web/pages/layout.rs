//! What is around every page: head, navigation, what was just done, and the headers.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use crate::project::{Action, Principal};

/// Nothing but our own files, no code or style inside a page, no frame around it, no form to elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page.
pub(super) struct Frame<'a> {
    /// BASE_PATH.
    pub(super) base: &'a str,
    /// What the page is about, for the window's title.
    pub(super) title: &'a str,
    /// Who is signed in.
    pub(super) principal: Option<&'a Principal>,
    /// What was just done, or is wrong with everything.
    pub(super) notices: Vec<Markup>,
    /// What is below the navigation; has the page's one `h1`.
    pub(super) content: Markup,
}

impl Frame<'_> {
    /// The answer.
    pub(super) fn answer(&self, status: StatusCode) -> Response {
        let mut response = (status, self.markup().into_string()).into_response();
        put_headers(response.headers_mut());
        response
    }

    /// The whole document.
    pub(super) fn markup(&self) -> Markup {
        let base = self.base;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Claude Manager" }
                    link rel="icon" type="image/svg+xml" href=(format!("{base}/assets/{}", assets::ICON.name()));
                    link rel="stylesheet" href=(format!("{base}/assets/{}", assets::STYLE.name()));
                    script src=(format!("{base}/assets/{}", assets::SCRIPT.name())) defer {}
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header.top {
                        a.brand href=(format!("{base}/projects")) { "Claude Manager" }
                        @if let Some(principal) = self.principal {
                            nav aria-label="Main" {
                                a href=(format!("{base}/projects")) { "Projects" }
                                a href=(format!("{base}/chat")) { "Chat" }
                                a href=(format!("{base}/plan")) { "Plan" }
                                a href=(format!("{base}/backups")) { "Backups" }
                                @if principal.may(Action::Upgrade) { a href=(format!("{base}/upgrade")) { "Upgrade" } }
                                a href=(format!("{base}/new")) { "New project" }
                            }
                            form.out method="post" action=(format!("{base}/sign-out")) {
                                bdi.who { (principal.name) }
                                button.quiet type="submit" { "Sign out" }
                            }
                        }
                    }
                    main id="content" tabindex="-1" {
                        @for notice in &self.notices { (notice) }
                        (self.content)
                    }
                    // Filled by the script when a phase changes: readers hear it, whatever is focused.
                    p.unseen id="news" role="status" {}
                }
            }
        }
    }
}

/// The headers of a page. The referrer stays among our own pages; with `no-referrer`, the default of the other answers,
/// browsers would send `Origin: null` with our own forms.
pub(super) fn put_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}
