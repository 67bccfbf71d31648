//! `/agent/v1/ws` from the manager's side: subscribes, and reads frames.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::connection::{Forward, Stream};
use super::exchange::Answer;
use super::{Address, Client, ClientError};
use crate::agent::chat::{ClientFrame, ServerFrame};

/// How long the opening may take.
const OPEN: Duration = Duration::from_secs(5);
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(10);
/// How long an agent may be silent; it sends a ping every 20 s.
const SILENT: Duration = Duration::from_secs(65);
/// The longest message in bytes: an event with a text of 256 KiB, each character escaped.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// An open socket to one agent.
pub struct AgentSocket {
    at: Address,
    socket: WebSocketStream<Box<dyn Stream>>,
    _forward: Option<Forward>,
}

/// What an agent says.
#[derive(Debug)]
pub enum Frame {
    /// An event, as it came.
    Event {
        /// The conversation's id.
        conversation: String,
        /// The name of the log.
        epoch: String,
        /// The event's number.
        seq: u64,
        /// The id of the prompt, where the event is one.
        prompt: Option<String>,
        /// The event in JSON.
        json: String,
    },
    /// Anything else.
    Other(ServerFrame),
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct EventFrame {
    conversation: String,
    epoch: String,
    event: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventHead {
    seq: u64,
    kind: String,
    #[serde(default)]
    prompt_id: Option<String>,
}

impl Client {
    /// Opens the socket of an environment in the manager's name: what is sent there causes nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn socket(&self, at: &Address) -> Result<AgentSocket, ClientError> {
        let token = self.token(at, "manager")?;
        let connection = self.connect(at).await?;
        let forwarded = connection.is_forwarded();
        let mut request =
            "ws://agent/agent/v1/ws".into_client_request().map_err(|error| at.strange(error.to_string()))?;
        let bearer =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| at.strange(error.to_string()))?;
        request.headers_mut().insert("authorization", bearer);
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MAX_MESSAGE);
        config.max_frame_size = Some(MAX_MESSAGE);
        let opening = tokio_tungstenite::client_async_with_config(request, connection.stream, Some(config));
        let socket = match timeout(OPEN, opening).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(Error::Http(response))) => {
                let status = response.status().as_u16();
                let body = response.into_body().unwrap_or_default();
                let refused = at.judge(Answer { status, body: body.into() });
                return Err(refused.err().unwrap_or_else(|| at.strange(format!("status {status} to a WebSocket"))));
            }
            Ok(Err(error)) => return Err(at.unreachable(error.to_string())),
            Err(_) => return Err(at.unreachable(format!("no WebSocket within {} s", OPEN.as_secs()))),
        };
        if forwarded {
            self.go_around();
        }
        Ok(AgentSocket { at: at.clone(), socket, _forward: connection.forward })
    }
}

impl AgentSocket {
    /// Sends a frame.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the socket is broken or takes nothing.
    pub async fn send(&mut self, frame: &ClientFrame) -> Result<(), ClientError> {
        let text = serde_json::to_string(frame).map_err(|error| self.at.strange(error.to_string()))?;
        match timeout(WRITE, self.socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.at.unreachable(error.to_string())),
            Err(_) => Err(self.at.unreachable("it takes no frames".to_owned())),
        }
    }

    /// Waits for the next frame. May be dropped and called again; no frame is lost.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] when the socket has ended, [`ClientError::Protocol`] when a frame cannot be read.
    pub async fn next(&mut self) -> Result<Frame, ClientError> {
        loop {
            let message = match timeout(SILENT, self.socket.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(error))) => return Err(self.at.unreachable(error.to_string())),
                Ok(None) => return Err(self.at.unreachable("the socket has ended".to_owned())),
                Err(_) => return Err(self.at.unreachable(format!("silent for {} s", SILENT.as_secs()))),
            };
            match message {
                Message::Text(text) => return read(&text).map_err(|reason| self.at.strange(reason)),
                Message::Close(frame) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    return Err(self
                        .at
                        .unreachable(format!("the agent closed the socket: {}", super::one_line(&reason))));
                }
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

fn read(text: &str) -> Result<Frame, String> {
    let wrong = |error: serde_json::Error| format!("a frame cannot be read: {error}");
    let head: Head = serde_json::from_str(text).map_err(wrong)?;
    if head.kind != "event" {
        return serde_json::from_str(text).map(Frame::Other).map_err(wrong);
    }
    let frame: EventFrame = serde_json::from_str(text).map_err(wrong)?;
    let event: EventHead = serde_json::from_str(frame.event.get()).map_err(wrong)?;
    Ok(Frame::Event {
        conversation: frame.conversation,
        epoch: frame.epoch,
        seq: event.seq,
        prompt: event.prompt_id.filter(|_| event.kind == "prompt"),
        json: frame.event.get().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_fields_that_this_program_does_not_know() {
        let text =
            r#"{"type":"event","conversation":"c","epoch":"e","event":{"seq":3,"at":"t","kind":"text","glow":1}}"#;
        let Frame::Event { seq: 3, prompt: None, json, .. } = read(text).unwrap() else { panic!("no event") };
        assert_eq!(json, r#"{"seq":3,"at":"t","kind":"text","glow":1}"#);
        let text =
            r#"{"type":"event","conversation":"c","epoch":"e","event":{"seq":1,"kind":"prompt","promptId":"p"}}"#;
        assert!(matches!(read(text).unwrap(), Frame::Event { prompt: Some(prompt), .. } if prompt == "p"));
        assert!(matches!(read(r#"{"type":"hum"}"#).unwrap(), Frame::Other(ServerFrame::Unknown(_))));
        assert!(read(r#"{"type":"event"}"#).is_err() && read("[]").is_err());
    }
}
