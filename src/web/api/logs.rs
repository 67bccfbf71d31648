//! A project's log over HTTP: plain text, and on and on for whoever follows.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;

use super::json;
use crate::operations::{LogQuery, Since};
use crate::project::{Action, FieldError};
use crate::web::AppState;
use crate::web::problem::Problem;
use crate::web::request::{Call, Id, name_of};

/// The most lines that can be asked for.
const MAX_LINES: u32 = 10_000;

/// `GET /api/projects/{id}/logs`
pub(in crate::web) async fn read(State(state): State<AppState>, id: Id, call: Call) -> Result<Response, Problem> {
    call.permit(Action::Read)?;
    let name = name_of(id)?;
    let query = parse(&call.query()?)?;
    let stream = state.operations.logs(&name, &query).await?.take_until(Box::pin(state.ended(&call.extensions)));
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Some proxies would keep the lines until there are many.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Reads the parameters of a request.
pub(in crate::web) fn parse(parameters: &[(String, String)]) -> Result<LogQuery, Problem> {
    let mut query = LogQuery { container: "agent".to_owned(), lines: 100, since: None, previous: false, follow: false };
    let mut errors = Vec::new();
    let mut seen = Vec::new();
    for (name, value) in parameters {
        let result = if seen.contains(&name) { Err("is given twice".to_owned()) } else { set(&mut query, name, value) };
        seen.push(name);
        if let Err(message) = result {
            errors.push(FieldError { field: json::path("", name), message });
        }
    }
    if errors.is_empty() { Ok(query) } else { Err(Problem::fields(errors)) }
}

fn set(query: &mut LogQuery, name: &str, value: &str) -> Result<(), String> {
    match name {
        "lines" => {
            let lines = value.parse().ok().filter(|lines| (1..=MAX_LINES).contains(lines));
            query.lines = lines.ok_or_else(|| format!("must be a number from 1 to {MAX_LINES}"))?;
        }
        "follow" => query.follow = flag(value)?,
        "previous" => query.previous = flag(value)?,
        "since" => query.since = Some(since(value)?),
        "container" => query.container = container(value)?,
        _ => return Err("is not known here; the parameters are lines, follow, since, container, previous".to_owned()),
    }
    Ok(())
}

/// A parameter that may stand without a value.
fn flag(value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// Seconds, a duration as in `1h30m`, or a moment.
fn since(value: &str) -> Result<Since, String> {
    let wrong =
        || "must be seconds, a duration such as 10m or 1h30m, or a time such as 2026-11-24T10:00:00Z".to_owned();
    if let Some(seconds) = duration(value) {
        return u32::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Since::Seconds).ok_or_else(wrong);
    }
    value.parse().map(Since::Time).map_err(|_| wrong())
}

fn duration(text: &str) -> Option<u64> {
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let factor = match behind.chars().next() {
            None if rest.len() == text.len() => 1,
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(factor)?)?;
        rest = behind.get(1..).unwrap_or_default();
    }
    (!text.is_empty()).then_some(seconds)
}

fn container(value: &str) -> Result<String, String> {
    let fine = (1..=63).contains(&value.len())
        && value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fine { Ok(value.to_owned()) } else { Err("must be the name of a container, as in agent".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<LogQuery, Vec<String>> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        parse(&pairs).map_err(|problem| problem.errors().iter().map(|error| error.field.clone()).collect())
    }

    #[test]
    fn every_way_to_say_since_is_understood() {
        for (text, expected) in [
            ("90", Since::Seconds(90)),
            ("90s", Since::Seconds(90)),
            ("10m", Since::Seconds(600)),
            ("1h30m", Since::Seconds(5400)),
            ("2d", Since::Seconds(172_800)),
            ("2026-11-24T10:00:00Z", Since::Time("2026-11-24T10:00:00Z".parse().unwrap())),
            ("2026-11-24T12:00:00%2B02:00", Since::Time("2026-11-24T10:00:00Z".parse().unwrap())),
        ] {
            assert_eq!(parsed(&format!("since={text}")).unwrap().since, Some(expected), "{text}");
        }
        for text in
            ["", "0", "0m", "-5", "m", "10x", "10m5", "1h 5m", "yesterday", "99999999999999999999", "5000000000"]
        {
            assert_eq!(parsed(&format!("since={text}")), Err(vec!["since".to_owned()]), "{text}");
        }
    }

    #[test]
    fn bad_parameters_are_all_named() {
        let query = "lines=0&follow=maybe&since=soon&container=../x&previous=2&colour=red&lines=5";
        let fields = ["lines", "follow", "since", "container", "previous", "colour", "lines"].map(str::to_owned);
        assert_eq!(parsed(query), Err(fields.to_vec()));
        let query = parsed("follow&previous=false&lines=10000&container=ide").unwrap();
        assert!(query.follow && !query.previous && query.lines == 10_000 && query.container == "ide");
        let plain = parsed("").unwrap();
        assert_eq!((plain.container.as_str(), plain.lines, plain.follow), ("agent", 100, false));
    }
}
