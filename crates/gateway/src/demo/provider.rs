//! A simulated provider: it answers like OpenAI, and fails when it is told to.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hale_core::deployment::MockContent;
use hale_core::operation::Operation;
use hale_wire::mock::{self, Frame};
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::runtime::LocalOptions;

/// How a provider behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mood {
    /// Answers.
    Healthy,
    /// Answers 500.
    Failing,
    /// Answers 429 with a Retry-After.
    Limited,
    /// Cuts the connection instead of answering.
    Cutting,
}

/// A simulated provider.
pub(super) struct Provider {
    /// The deployment's id.
    pub(super) name: &'static str,
    /// Its description.
    pub(super) about: &'static str,
    /// Where it listens.
    pub(super) address: SocketAddr,
    mood: Arc<AtomicU8>,
}

impl Provider {
    /// Changes how it behaves.
    pub(super) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::Relaxed);
    }
}

/// How many providers there are.
pub(super) const COUNT: usize = 4;

/// Starts the providers on one thread, on free ports.
///
/// # Errors
/// A socket or the thread cannot be opened.
pub(super) fn start() -> std::io::Result<[Provider; COUNT]> {
    let (steady, steady_socket) = bind("steady", "answers in 60 ms")?;
    let (slow, slow_socket) = bind("slow", "answers in 700 ms")?;
    let (flaky, flaky_socket) = bind("flaky", "answers in 60 ms, until it fails")?;
    let (standby, standby_socket) = bind("standby", "a fallback: only health probes reach it")?;
    let served = [
        (steady_socket, steady.mood.clone(), Duration::from_millis(60)),
        (slow_socket, slow.mood.clone(), Duration::from_millis(700)),
        (flaky_socket, flaky.mood.clone(), Duration::from_millis(60)),
        (standby_socket, standby.mood.clone(), Duration::from_millis(60)),
    ];
    std::thread::Builder::new().name("providers".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        if let Ok(runtime) = runtime {
            runtime.block_on(async move {
                for (socket, mood, pace) in served {
                    tokio::task::spawn_local(serve(socket, mood, pace));
                }
                std::future::pending::<()>().await;
            });
        }
    })?;
    Ok([steady, slow, flaky, standby])
}

fn bind(name: &'static str, about: &'static str) -> std::io::Result<(Provider, TcpListener)> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    let mood = Arc::new(AtomicU8::new(Mood::Healthy as u8));
    Ok((Provider { name, about, address: socket.local_addr()?, mood }, socket))
}

async fn serve(socket: TcpListener, mood: Arc<AtomicU8>, pace: Duration) {
    let Ok(socket) = tokio::net::TcpListener::from_std(socket) else { return };
    while let Ok((stream, _)) = socket.accept().await {
        let mood = mood.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(request, mood.load(Ordering::Relaxed), pace));
            let served =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            // The script asks for a cut connection.
            drop(served);
        });
    }
}

/// Cuts the connection.
#[derive(Debug, thiserror::Error)]
#[error("cut by the script")]
struct CutHere;

async fn answer(
    request: http::Request<Incoming>,
    mood: u8,
    pace: Duration,
) -> Result<Response<Full<Bytes>>, CutHere> {
    let mut body = request.into_body();
    let mut asked_for_stream = false;
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            asked_for_stream |= memory_has(data, b"\"stream\":true");
        }
    }
    tokio::time::sleep(pace).await;
    if mood == Mood::Cutting as u8 {
        return Err(CutHere);
    }
    let refusal = |status, text: &'static str| {
        let body = serde_json::json!({"error": {"message": text, "type": "server_error"}});
        reply(status, "application/json", body.to_string().into_bytes())
    };
    if mood == Mood::Failing as u8 {
        return Ok(refusal(StatusCode::INTERNAL_SERVER_ERROR, "simulated outage"));
    }
    if mood == Mood::Limited as u8 {
        let mut refused = refusal(StatusCode::TOO_MANY_REQUESTS, "simulated rate limit");
        refused.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("2"));
        return Ok(refused);
    }
    let text = MockContent::Text("Hello from a simulated provider.".into());
    let frame = Frame { id: "chatcmpl-demo", created: 1_700_000_000, model: "demo-model" };
    let (kind, body) = if asked_for_stream {
        ("text/event-stream", mock::stream(Operation::Chat, &text, frame))
    } else {
        ("application/json", mock::full(Operation::Chat, &text, frame))
    };
    Ok(reply(StatusCode::OK, kind, body.unwrap_or_default()))
}

fn memory_has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
