//! One request and its answer.

use std::time::Duration;

use http::{Request, header};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use super::Error;

/// How long one answer may take. Watches are apart.
const LIMIT: Duration = Duration::from_secs(30);

/// Sends a request and takes its answer as it is.
pub(super) async fn fetch(client: &Client, request: Request<Vec<u8>>) -> Result<Bytes, Error> {
    match tokio::time::timeout(LIMIT, exchange(client, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Unreachable(format!("no answer within {} s", LIMIT.as_secs()))),
    }
}

async fn exchange(client: &Client, request: Request<Vec<u8>>) -> Result<Bytes, Error> {
    let response = client.send(request.map(Into::into)).await.map_err(|error| Error::from_client(&error))?;
    let code = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let body = response.into_body().collect().await.map_err(|error| Error::from_client(&error))?.to_bytes();
    if code.is_success() {
        return Ok(body);
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // Proxies in between answer in their own words.
    let status: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Err(Error::from_answer(
        code.as_u16(),
        text(&status["reason"]).unwrap_or_default(),
        text(&status["message"]).unwrap_or_else(|| format!("the API server answered {code}")),
        retry_after.or_else(|| status["details"]["retryAfterSeconds"].as_u64()),
    ))
}

/// Reads an answer's JSON.
pub(super) fn read<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(answer).map_err(|error| Error::Answer(error.to_string()))
}

/// A `GET`.
pub(super) async fn get(client: &Client, path: &str) -> Result<Value, Error> {
    read(&fetch(client, at(path)?).await?)
}

/// A `GET` request.
pub(super) fn at(path: &str) -> Result<Request<Vec<u8>>, Error> {
    Request::get(path).body(Vec::new()).map_err(|error| Error::Answer(error.to_string()))
}
