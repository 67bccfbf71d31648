//! One request and its answer.

use std::time::Duration;

use http::{Request, header};
use http_body_util::BodyExt as _;
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Error;

/// How long one answer may take. Watches are apart.
const LIMIT: Duration = Duration::from_secs(30);

/// Sends a request and reads its JSON.
pub(super) async fn send<T: DeserializeOwned>(client: &Client, request: Request<Vec<u8>>) -> Result<T, Error> {
    match tokio::time::timeout(LIMIT, exchange(client, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Unreachable(format!("no answer within {} s", LIMIT.as_secs()))),
    }
}

async fn exchange<T: DeserializeOwned>(client: &Client, request: Request<Vec<u8>>) -> Result<T, Error> {
    let response = client.send(request.map(Into::into)).await.map_err(|error| Error::from_client(&error))?;
    let code = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse().ok());
    let body = response.into_body().collect().await.map_err(|error| Error::from_client(&error))?.to_bytes();
    if code.is_success() {
        return serde_json::from_slice(&body).map_err(|error| Error::Answer(error.to_string()));
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

/// A `GET`.
pub(super) async fn get(client: &Client, path: &str) -> Result<Value, Error> {
    get_as(client, path).await
}

/// A `GET` whose answer has this shape.
pub(super) async fn get_as<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, Error> {
    let request = Request::get(path).body(Vec::new()).map_err(|error| Error::Answer(error.to_string()))?;
    send(client, request).await
}
