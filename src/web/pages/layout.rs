//! What is around every page: head, navigation, connection, what was just done, and the headers.

use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::icon::{Icon, icon, mark};
use super::{assets, navigation};
use crate::project::Principal;

/// Nothing but our own files, no code or style inside a page, no frame around it, no form to elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page.
#[derive(Default)]
pub(super) struct Frame<'a> {
    /// BASE_PATH.
    pub(super) base: &'a str,
    /// The address of the page below it.
    pub(super) here: &'a str,
    /// What the page is about, for the window's title.
    pub(super) title: &'a str,
    /// Who is signed in; without one the page has no navigation.
    pub(super) principal: Option<&'a Principal>,
    /// The pages above this one with their addresses below BASE_PATH.
    pub(super) above: &'a [(&'a str, &'a str)],
    /// Whether the page fills the window and scrolls in its parts.
    pub(super) is_chat: bool,
    /// What was just done, or is wrong with everything.
    pub(super) notices: Vec<Markup>,
    /// What is beside the navigation; has the page's one `h1`.
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
        let body = match (self.principal, self.is_chat) {
            (None, _) => Some("plain"),
            (Some(_), true) => Some("chat"),
            (Some(_), false) => None,
        };
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
                body class=[body] {
                    a.skip href="#content" { "Skip to the content" }
                    @if let Some(principal) = self.principal { (self.sidebar(principal)) }
                    div.frame {
                        (self.topbar())
                        main id="content" tabindex="-1" {
                            @if !self.is_chat { @for notice in &self.notices { (notice) } }
                            (self.content)
                        }
                        // Filled by the script when a phase changes: readers hear it, whatever is focused.
                        p.unseen id="news" role="status" {}
                    }
                }
            }
        }
    }

    fn sidebar(&self, principal: &Principal) -> Markup {
        let base = self.base;
        html! {
            nav.sidebar id="nav" popover="auto" aria-label="Main" {
                a.brand href=(format!("{base}/")) { (mark()) span { "Claude Manager" } }
                (navigation::places(base, self.here, principal))
                form.out method="post" action=(format!("{base}/sign-out")) {
                    bdi.who { (principal.name) }
                    button.quiet.slim type="submit" { "Sign out" }
                }
            }
        }
    }

    fn topbar(&self) -> Markup {
        let base = self.base;
        html! {
            header.topbar {
                @if self.principal.is_some() {
                    button.open-nav.quiet type="button" popovertarget="nav" aria-label="Open the navigation" { (icon(Icon::Menu)) }
                    nav aria-label="Breadcrumb" {
                        ol.crumbs {
                            @for (label, path) in self.above {
                                li { a href=(format!("{base}{path}")) { bdi { (label) } } }
                            }
                            li aria-current="page" { bdi { (self.title) } }
                        }
                    }
                } @else {
                    a.brand href=(format!("{base}/")) { (mark()) span { "Claude Manager" } }
                }
                // The script says here when the manager does not answer or the session has ended.
                span.conn id="conn" role="status" data-probe=(format!("{base}/livez")) data-sign-in=(format!("{base}/sign-in")) {}
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
