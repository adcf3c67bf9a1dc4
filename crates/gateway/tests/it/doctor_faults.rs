//! Deployments that do not work, each for one reason, over real sockets.
//!
//! Used by the tests of the doctor and by its page. Always true: a fault lives as long as its [`Fault`].

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::hostile_tls::{self, Server};

/// A deployment, and what it needs to fail as it does.
pub(crate) struct Fault {
    /// Its id, which is the verdict that it gets.
    pub(crate) id: &'static str,
    /// The step at which it fails.
    pub(crate) step: &'static str,
    /// Its `litellm_params`.
    pub(crate) params: Value,
    /// The port at which it is reached.
    pub(crate) port: Option<u16>,
    /// What keeps the fault alive.
    pub(crate) _alive: Box<dyn Any>,
}

/// `openai/gpt-4o` at an upstream that does this.
pub(crate) fn answering(id: &'static str, step: &'static str, script: fn() -> Script) -> Fault {
    let upstream = FakeUpstream::with(move |_| script());
    at(id, step, upstream.port(), Box::new(upstream))
}

/// `openai/gpt-4o` at this port.
pub(crate) fn at(id: &'static str, step: &'static str, port: u16, alive: Box<dyn Any>) -> Fault {
    let base = format!("http://127.0.0.1:{port}/v1");
    let params =
        json!({"model": "openai/gpt-4o", "api_key": "os.environ/MY_KEY", "api_base": base});
    Fault { id, step, params, port: Some(port), _alive: alive }
}

/// A deployment that is never reached, with these parameters.
fn unasked(id: &'static str, step: &'static str, params: Value) -> Fault {
    Fault { id, step, params, port: None, _alive: Box::new(()) }
}

fn tls(id: &'static str, server: Server) -> Fault {
    let (port, got) = hostile_tls::start(server);
    let mut fault = at(id, "tls", port, Box::new(got));
    fault.params["api_base"] = json!(format!("https://localhost:{port}/v1"));
    fault
}

fn error(status: u16, message: &str, code: &str) -> Script {
    Script::with_status(status).json(&openai::error(message, "invalid_request_error", code))
}

/// A port on which no process listens yet.
fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A port that drops packets: its accept queue is full, and no connection is accepted.
fn dropping() -> (u16, Box<dyn Any>) {
    let (listener, address) = bound();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 64, "the queue has no end");
    }
    (address.port(), Box::new((listener, waiting)))
}

pub(crate) fn missing_variable() -> Fault {
    let params = json!({"model": "openai/gpt-4o", "api_key": "os.environ/MY_KYE"});
    unasked("missing_variable", "environment", params)
}

pub(crate) fn missing_key() -> Fault {
    unasked("missing_key", "environment", json!({"model": "groq/llama-3.3-70b-versatile"}))
}

pub(crate) fn missing_credential() -> Fault {
    let params = json!({"model": "openai/gpt-4o", "litellm_credential_name": "team-a"});
    unasked("missing_credential", "environment", params)
}

pub(crate) fn missing_setting() -> Fault {
    unasked("missing_setting", "environment", json!({"model": "hosted_vllm/my-model"}))
}

pub(crate) fn unknown_provider() -> Fault {
    unasked("unknown_provider", "name", json!({"model": "opnai/gpt-4o", "api_key": "k"}))
}

pub(crate) fn dns() -> Fault {
    let base = "http://no-such-host.invalid/v1";
    let params =
        json!({"model": "openai/gpt-4o", "api_key": "os.environ/MY_KEY", "api_base": base});
    unasked("dns", "dns", params)
}

pub(crate) fn refused() -> Fault {
    let (socket, address) = bound();
    at("refused", "tcp", address.port(), Box::new(socket))
}

pub(crate) fn filtered() -> Fault {
    let (port, held) = dropping();
    at("filtered", "tcp", port, held)
}

/// The kernel refuses connections to this address: it is the broadcast address.
pub(crate) fn unreachable() -> Fault {
    let base = "http://255.255.255.255:8000/v1";
    let params =
        json!({"model": "openai/gpt-4o", "api_key": "os.environ/MY_KEY", "api_base": base});
    unasked("unreachable", "tcp", params)
}

pub(crate) fn tls_untrusted() -> Fault {
    tls("tls_untrusted", Server::With("self-signed.pem"))
}

pub(crate) fn tls_other_name() -> Fault {
    tls("tls_other_name", Server::With("elsewhere.pem"))
}

pub(crate) fn tls_not_valid_now() -> Fault {
    tls("tls_not_valid_now", Server::With("expired.pem"))
}

pub(crate) fn tls_not_spoken() -> Fault {
    let plain = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    tls("tls_not_spoken", Server::Says(plain))
}

pub(crate) fn tls_silent() -> Fault {
    tls("tls_silent", Server::Silent)
}

pub(crate) fn tls_refused() -> Fault {
    tls("tls", Server::Says(hostile_tls::REFUSAL))
}

pub(crate) fn not_http() -> Fault {
    let (port, got) = hostile_tls::start(Server::With("good.pem"));
    at("not_http", "probe", port, Box::new(got))
}

pub(crate) fn auth() -> Fault {
    answering("auth", "credential", || error(401, "Incorrect API key provided", "invalid_api_key"))
}

/// Source of the words: <https://github.com/home-assistant/core/issues/120072>.
pub(crate) fn permission() -> Fault {
    answering("permission", "credential", || {
        error(
            403,
            "Country, region, or territory not supported",
            "unsupported_country_region_territory",
        )
    })
}

pub(crate) fn quota() -> Fault {
    answering("quota", "credential", || {
        error(429, "You exceeded your current quota, please check your plan", "insufficient_quota")
    })
}

/// A 404 about the model.
pub(crate) fn no_model(message: &str) -> Script {
    error(404, message, "model_not_found")
}

pub(crate) fn model_not_found() -> Fault {
    let mut fault = answering("model_not_found", "model", || {
        error(
            404,
            "The model `gpt-4oo` does not exist or you do not have access to it.",
            "model_not_found",
        )
    });
    fault.params["model"] = json!("openai/gpt-4oo");
    fault
}

/// Source of the words: <https://github.com/openai/openai-quickstart-node/issues/127>.
pub(crate) fn model_deprecated() -> Fault {
    let mut fault = answering("model_deprecated", "model", || {
        let words = "The model `text-davinci-003` has been deprecated";
        error(404, words, "model_not_found")
    });
    fault.params["model"] = json!("openai/text-davinci-003");
    fault
}

/// What llama.cpp's server says while it loads: <https://github.com/mostlygeek/llama-swap/issues/146>.
pub(crate) fn not_ready() -> Fault {
    answering("not_ready", "model", || {
        let error = json!({"code": 503, "message": "Loading model", "type": "unavailable_error"});
        Script::with_status(503).json(&json!({"error": error}))
    })
}

pub(crate) fn rate_limited() -> Fault {
    answering("rate_limited", "probe", || Script::rate_limited(30))
}

pub(crate) fn overloaded() -> Fault {
    answering("overloaded", "probe", || Script::error(529, "Overloaded"))
}

pub(crate) fn server_error() -> Fault {
    answering("server_error", "probe", || Script::error(500, "EngineCore encountered an issue"))
}

pub(crate) fn crashed() -> Fault {
    answering("crashed", "probe", || Script::ok().close())
}

pub(crate) fn no_answer() -> Fault {
    answering("no_answer", "probe", Script::silent)
}

pub(crate) fn no_such_path() -> Fault {
    let mut fault = answering("no_such_path", "probe", || {
        Script::with_status(404).json(&json!({"detail": "Not Found"}))
    });
    let base = format!("http://127.0.0.1:{}", fault.port.unwrap());
    fault.params["api_base"] = json!(base);
    fault
}

pub(crate) fn redirect() -> Fault {
    answering("redirect", "probe", || {
        Script::with_status(301).header("location", "https://api.example/v1").body("text/html", "")
    })
}

pub(crate) fn bad_response() -> Fault {
    answering("bad_response", "probe", || Script::ok().body("text/html", "<html>Sign in</html>"))
}
