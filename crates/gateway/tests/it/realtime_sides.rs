//! The two sides of a session over a WebSocket: an upstream that is scripted, and a client, both made with a
//! library of their own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use hale_testkit::{Hale, TIMEOUT};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::{HeaderMap, HeaderValue};
use tungstenite::{Error, Message, WebSocket};

use crate::support::{Config, KEY, LOG, UPSTREAM_KEY};

/// A WebSocket as a test holds it.
pub(crate) type Socket = WebSocket<TcpStream>;

/// A provider that agrees to every handshake and then plays its script.
pub(crate) struct SocketUpstream {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<(String, HeaderMap)>>>,
    ends: Receiver<String>,
}

impl SocketUpstream {
    /// An upstream whose sessions are this, each on a thread of its own; what it gives is how the session
    /// ended for the upstream.
    pub(crate) fn start(
        session: impl Fn(&mut Socket) -> String + Send + Sync + 'static,
    ) -> SocketUpstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<_>>> = Arc::default();
        let (ended, ends) = channel();
        let (noted, session) = (heads.clone(), Arc::new(session));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (noted, session, ended) = (noted.clone(), session.clone(), ended.clone());
                thread::spawn(move || serve(stream.unwrap(), &noted, &*session, &ended));
            }
        });
        SocketUpstream { address, heads, ends }
    }

    /// An upstream that echoes everything.
    pub(crate) fn echo() -> SocketUpstream {
        SocketUpstream::start(echo)
    }

    pub(crate) fn api_base(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Path and headers of the handshakes so far.
    pub(crate) fn heads(&self) -> Vec<(String, HeaderMap)> {
        self.heads.lock().clone()
    }

    /// How the next session ended.
    #[track_caller]
    pub(crate) fn next_end(&self) -> String {
        self.ends.recv_timeout(TIMEOUT).expect("a session ends")
    }
}

fn serve(
    stream: TcpStream,
    heads: &Mutex<Vec<(String, HeaderMap)>>,
    session: &dyn Fn(&mut Socket) -> String,
    ended: &Sender<String>,
) {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    #[allow(clippy::result_large_err, reason = "the library's signature")]
    let note = |request: &Request, mut response: Response| {
        heads.lock().push((request.uri().to_string(), request.headers().clone()));
        let offered = request.headers().get("sec-websocket-protocol");
        let first = offered.and_then(|list| list.to_str().ok()?.split(',').next());
        if let Some(first) = first {
            let first = HeaderValue::from_str(first.trim()).unwrap();
            response.headers_mut().insert("sec-websocket-protocol", first);
        }
        Ok(response)
    };
    if let Ok(mut socket) = tungstenite::accept_hdr(stream, note) {
        let end = session(&mut socket);
        // The test may be over.
        drop(ended.send(end));
    }
}

/// Echoes everything until the other side closes; how it closed.
pub(crate) fn echo(socket: &mut Socket) -> String {
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                if let Err(error) = socket.send(message) {
                    return error.to_string();
                }
            }
            Ok(Message::Close(frame)) => {
                // The library answers; this sends it.
                drop(socket.flush());
                return frame.map_or("close".to_owned(), |frame| {
                    format!("{} {}", u16::from(frame.code), frame.reason)
                });
            }
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

/// A group `m` in which the deployments stand in the order of their weights: the first is always called first.
pub(crate) fn config(bases: &[(&str, String)]) -> Config {
    let config = Config::new().general(json!({"request_log": LOG}));
    bases.iter().enumerate().fold(config, |config, (place, (id, base))| {
        config.entry(entry(id, base, json!({"weight": if place == 0 { 1 } else { 0 }})))
    })
}

/// One deployment of `m`.
pub(crate) fn entry(id: &str, base: &str, more: Value) -> Value {
    let mut params = json!({
        "model": "openai/gpt-realtime", "api_key": UPSTREAM_KEY, "api_base": base,
    });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"model_name": "m", "litellm_params": params, "model_info": {"id": id}})
}

/// The result of a handshake: the socket and the head of the answer, or the answer that refuses.
pub(crate) type Opened = Result<(Socket, HeaderMap), Box<(u16, HeaderMap, Value)>>;

/// Opens a session with these headers.
#[track_caller]
pub(crate) fn open_with(hale: &Hale, path: &str, headers: &[(&str, &str)]) -> Opened {
    let mut request = format!("ws://{}{path}", hale.address()).into_client_request().unwrap();
    for (name, value) in headers {
        let name: tungstenite::http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    }
    let stream = TcpStream::connect(hale.address()).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    match tungstenite::client(request, stream) {
        Ok((socket, answer)) => Ok((socket, answer.headers().clone())),
        Err(HandshakeError::Failure(Error::Http(answer))) => {
            let body = answer.body().clone().unwrap_or_default();
            let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
            Err(Box::new((answer.status().as_u16(), answer.headers().clone(), json)))
        }
        Err(other) => panic!("no answer to the handshake: {other}"),
    }
}

/// Opens a session of `m` with the key.
pub(crate) fn open(hale: &Hale) -> Opened {
    open_with(hale, "/v1/realtime?model=m", &[("authorization", &format!("Bearer {KEY}"))])
}

/// The next message, which must be one.
#[track_caller]
pub(crate) fn next(socket: &mut Socket) -> Message {
    socket.read().expect("a message comes")
}

/// Code and reason of the close that comes next; the kind of the error when there is none.
#[track_caller]
pub(crate) fn close_of(socket: &mut Socket) -> Result<(u16, String), String> {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(frame))) => {
                drop(socket.flush());
                return Ok((frame.code.into(), frame.reason.to_string()));
            }
            Ok(Message::Close(None)) => return Ok((1005, String::new())),
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("nothing came within {TIMEOUT:?}")
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Waits at most this long for the next message.
pub(crate) fn patience(socket: &Socket, time: Duration) {
    socket.get_ref().set_read_timeout(Some(time)).unwrap();
}
