//! Who sends a request, and whether a browser was led to send it by somebody else's page.
//!
//! Programs send a token in a header, which no foreign page can make a browser do. Browsers send the session's cookie,
//! and they send it with whatever any page makes them ask for; so a request that is known by its cookie and may change
//! something must come from a page of ours:
//!
//! - `Sec-Fetch-Site` says so in every current browser over HTTPS and on localhost, and pages cannot set it. Only
//!   `same-origin` counts, and `none` (the address bar). `same-site` does not: another port of this machine is that.
//! - Elsewhere (plain HTTP in a network) `Origin` comes with every POST and has to name the host that was asked, or
//!   PUBLIC_URL. `null` and another port are foreign.
//! - A cookie with neither header comes from no browser of the last years, and is refused.
//!
//! A token hidden in each form would add nothing: whoever could send the right `Origin` reads our pages as well, and the
//! token in them. The cookie's `SameSite=Lax` is the second wall: other sites' POSTs come without the cookie at all. It is
//! not `Strict`, since a link in a ticket or a chat to one of our pages would then find nobody signed in. Reading with GET
//! changes nothing here, and no foreign page can see the answer.

use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::problem::Problem;
use super::{AppState, now};
use crate::auth::{Caller, Refusal, SESSION};
use crate::config::ServerSettings;
use crate::project::ErrorKind;
use crate::store::StoreError;

/// Why a request has no caller.
pub(super) enum Denied {
    /// No good token, no good cookie.
    Refused(Refusal),
    /// A good cookie, and a foreign page behind the request.
    Foreign,
    /// Whether the cookie is good cannot be known now.
    Store(StoreError),
}

/// Whose request this is.
pub(super) async fn caller(state: &AppState, method: &Method, headers: &HeaderMap) -> Result<Caller, Denied> {
    if headers.contains_key(AUTHORIZATION) {
        return state.auth.authenticate(headers).map_err(Denied::Refused);
    }
    let server = &state.settings.server;
    let Some(cookie) = session_cookie(server, headers) else { return Err(Denied::Refused(Refusal::Missing)) };
    let session = state.auth.session(&state.store, cookie, now().as_second()).await.map_err(Denied::Store)?;
    let caller = session.ok_or(Denied::Refused(Refusal::Missing))?;
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || is_from_here(server, headers) { Ok(caller) } else { Err(Denied::Foreign) }
}

/// The answer to a request without a caller. One that guesses waits for it.
pub(super) async fn denied(state: &AppState, why: Denied) -> Problem {
    match why {
        Denied::Refused(refusal) => refused(state.auth.slowly(refusal).await),
        Denied::Foreign => foreign(),
        Denied::Store(error) => error.into(),
    }
}

/// The problem of a refusal.
pub(super) fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::TooMany => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            let problem = Problem::new(status, "too-many", "Too many wrong tokens", refusal.to_string());
            problem.with_header(RETRY_AFTER, HeaderValue::from_static("1"))
        }
        Refusal::Missing | Refusal::Malformed | Refusal::Unknown | Refusal::Expired => {
            Problem::of_kind(ErrorKind::Unauthenticated, refusal.to_string())
                .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(refusal.challenge()))
        }
    }
}

/// The problem of a request that a foreign page caused.
pub(super) fn foreign() -> Problem {
    let detail = "the request comes from a page of another origin; send it from a page of this manager, or with a token in \
                  the Authorization header. Behind a proxy that changes the Host header, set PUBLIC_URL";
    Problem::new(StatusCode::FORBIDDEN, "foreign-origin", "The request comes from elsewhere", detail)
}

/// Whether a page of ours (or no page at all) made the browser send this.
pub(super) fn is_from_here(server: &ServerSettings, headers: &HeaderMap) -> bool {
    let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_ascii_lowercase();
    match (headers.get("sec-fetch-site").map(text), headers.get(ORIGIN).map(text)) {
        (Some(site), _) => matches!(site.as_str(), "same-origin" | "none"),
        (None, Some(origin)) => {
            let asked = headers.get(HOST).map(text).unwrap_or_default();
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).unwrap_or_default();
            let public = server.public_url.as_deref().map(origin_of);
            !host.is_empty() && (host == asked || Some(origin) == public)
        }
        (None, None) => false,
    }
}

/// `https://host[:port]` of `https://host[:port]/path`.
fn origin_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()).to_ascii_lowercase()
}

/// Cookies know no ports: two managers on one machine would sign each other's people out, were the port not in the name.
fn cookie_name(server: &ServerSettings) -> String {
    format!("claude-manager-{}", server.port)
}

/// The value of the session's cookie.
pub(super) fn session_cookie<'h>(server: &ServerSettings, headers: &'h HeaderMap) -> Option<&'h str> {
    cookie(headers, &cookie_name(server))
}

/// The value of a cookie; of several with one name, the first, which is the one with the longest path.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(found, _)| *found == name);
    named.next().map(|(_, value)| value).filter(|value| !value.is_empty())
}

/// The header that sets the session's cookie; an empty value takes it away.
pub(super) fn set_session(server: &ServerSettings, value: &str) -> Option<HeaderValue> {
    let seconds = if value.is_empty() { 0 } else { SESSION.as_secs() };
    set_cookie(server, &cookie_name(server), value, seconds)
}

/// A `Set-Cookie` header for the pages below BASE_PATH; scripts cannot read it.
pub(super) fn set_cookie(server: &ServerSettings, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
    let path = if server.base_path.is_empty() { "/" } else { &server.base_path };
    let https = server.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    let secure = if https { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Settings;

    fn server(vars: &[(&str, &str)]) -> ServerSettings {
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::from_vars(&vars.collect::<BTreeMap<_, _>>()).unwrap().server
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn what_comes_from_here_is_this_table() {
        let local = server(&[]);
        let public = server(&[("PUBLIC_URL", "https://claude.example.com/x")]);
        let host = ("host", "localhost:3000");
        for (server, pairs, expected) in [
            (&local, vec![host, ("sec-fetch-site", "same-origin")], true),
            (&local, vec![host, ("sec-fetch-site", "none")], true),
            (&local, vec![host, ("sec-fetch-site", "same-site")], false),
            (&local, vec![host, ("sec-fetch-site", "cross-site")], false),
            (&local, vec![host, ("sec-fetch-site", "cross-site"), ("origin", "http://localhost:3000")], false),
            (&local, vec![host, ("origin", "http://localhost:3000")], true),
            (&local, vec![host, ("origin", "https://localhost:3000")], true),
            (&local, vec![host, ("origin", "http://localhost:8080")], false),
            (&local, vec![host, ("origin", "http://localhost:3000.evil.example")], false),
            (&local, vec![host, ("origin", "null")], false),
            (&local, vec![host, ("origin", "")], false),
            (&local, vec![host], false),
            (&local, vec![("origin", "null")], false),
            (&public, vec![("host", "inner:3000"), ("origin", "https://claude.example.com")], true),
            (&public, vec![("host", "inner:3000"), ("origin", "http://claude.example.com")], false),
            (&public, vec![("host", "inner:3000"), ("origin", "https://evil.example")], false),
        ] {
            assert_eq!(is_from_here(server, &headers(&pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let map = headers(&[("cookie", "a=1; claude-manager-3000=right"), ("cookie", "claude-manager-30=wrong")]);
        assert_eq!(session_cookie(&server(&[]), &map), Some("right"));
        assert_eq!(session_cookie(&server(&[]), &headers(&[("cookie", "claude-manager-3000=")])), None);
        assert_eq!(session_cookie(&server(&[("PORT", "3001")]), &map), None);
    }

    #[test]
    fn the_cookie_is_as_narrow_as_it_can_be() {
        let of = |vars: &[(&str, &str)]| set_session(&server(vars), "v").unwrap().to_str().unwrap().to_owned();
        assert_eq!(of(&[]), "claude-manager-3000=v; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax");
        assert_eq!(
            of(&[("BASE_PATH", "/claude"), ("PUBLIC_URL", "https://example.com/claude"), ("PORT", "1")]),
            "claude-manager-1=v; Path=/claude; Max-Age=604800; HttpOnly; SameSite=Lax; Secure"
        );
    }
}
