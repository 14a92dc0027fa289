//! The DevTools protocol: a WebSocket to Chromium, commands with their answers, and the events in between.
//!
//! In: a method and its parameters as JSON.  Out: its result, or what Chromium said against it.
//! Always: one command at a time; every wait has a limit; events are kept until somebody takes them, the oldest go first.
//! Sources: the DevTools protocol (flat sessions), RFC 6455.

use std::{
    collections::VecDeque,
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket, protocol::WebSocketConfig};

use crate::support::now;

/// How long one command may take: a page that is drawn on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// How long one read waits before the limits are looked at again.
const READ_WAIT: Duration = Duration::from_millis(50);
/// Events kept at most.
const EVENTS_MAX: usize = 20_000;
/// The largest message: a picture of a long page.
const MESSAGE_MAX: usize = 128 << 20;

/// Something that Chromium told unasked.
#[derive(Clone, Debug)]
pub struct Event {
    /// Whose: the tab's session.
    pub session: String,
    /// What, e.g. `Page.loadEventFired`.
    pub method: String,
    /// The rest.
    pub params: Value,
}

/// The connection.
pub struct DevTools {
    socket: WebSocket<TcpStream>,
    asked: u64,
    events: VecDeque<Event>,
}

impl DevTools {
    /// Connects to the browser's own address.
    pub fn connect(port: u16, path: &str) -> Self {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&at, ANSWER_LIMIT).expect("Chromium listens");
        stream.set_read_timeout(Some(ANSWER_LIMIT)).expect("a socket has a limit");
        stream.set_nodelay(true).expect("a socket can be quick");
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MESSAGE_MAX);
        config.max_frame_size = Some(MESSAGE_MAX);
        let (socket, _) = tungstenite::client::client_with_config(format!("ws://{at}{path}"), stream, Some(config))
            .expect("Chromium speaks WebSocket");
        socket.get_ref().set_read_timeout(Some(READ_WAIT)).expect("a socket has a limit");
        DevTools { socket, asked: 0, events: VecDeque::new() }
    }

    /// Gives a command to a session (the browser itself: none) and waits for its result.
    pub fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Result<Value, String> {
        self.asked += 1;
        let mut command = json!({ "id": self.asked, "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = session.into();
        }
        self.socket.send(Message::text(command.to_string())).map_err(|e| format!("{method}: {e}"))?;
        let start = now();
        while start.elapsed() < ANSWER_LIMIT {
            let Some(message) = self.read()? else { continue };
            if message["id"].as_u64() != Some(self.asked) {
                continue;
            }
            return match message.get("error") {
                Some(error) => Err(format!("{method}: {error}")),
                None => Ok(message["result"].clone()),
            };
        }
        Err(format!("{method}: no answer within {ANSWER_LIMIT:?}"))
    }

    /// Waits until an event of this session satisfies `wanted`; events stay where they are.
    pub fn wait(&mut self, session: &str, limit: Duration, wanted: impl Fn(&Event) -> bool) -> bool {
        let start = now();
        loop {
            if self.events.iter().any(|e| e.session == session && wanted(e)) {
                return true;
            }
            if start.elapsed() > limit || self.read().is_err() {
                return false;
            }
        }
    }

    /// Takes this session's events.
    pub fn take(&mut self, session: &str) -> Vec<Event> {
        let (taken, left) = std::mem::take(&mut self.events).into_iter().partition(|e| e.session == session);
        self.events = left;
        Vec::from_iter::<VecDeque<Event>>(taken)
    }

    /// Reads what is there, for [`READ_WAIT`] at most: an answer, or nothing (an event is put aside).
    fn read(&mut self) -> Result<Option<Value>, String> {
        let text = match self.socket.read() {
            Ok(Message::Text(text)) => text,
            Ok(_) => return Ok(None),
            Err(Error::Io(e)) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
            Err(e) => return Err(format!("Chromium hung up: {e}")),
        };
        let message: Value = serde_json::from_str(text.as_str()).map_err(|e| format!("not JSON: {e}"))?;
        let Some(method) = message["method"].as_str() else { return Ok(Some(message)) };
        self.events.push_back(Event {
            session: message["sessionId"].as_str().unwrap_or_default().to_owned(),
            method: method.to_owned(),
            params: message["params"].clone(),
        });
        if self.events.len() > EVENTS_MAX {
            self.events.pop_front();
        }
        Ok(None)
    }
}
