//! What an upstream does with one request, as a list of steps.
//!
//! Built by tests and by [`crate::openai::answer`]; run by the upstream's connection.
//! Always true: each step that sends makes exactly one write, so that a test decides where the cuts are.

use std::time::Duration;

use serde_json::Value;

use crate::{Request, openai};

/// One thing that a connection does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Writes these bytes at once.
    Send(Vec<u8>),
    /// Waits until the test opens the gate.
    Wait(String),
    /// Waits for a time.
    Delay(Duration),
    /// Says nothing until the peer closes.
    Silence,
    /// Closes with FIN.
    Close,
    /// Closes with RST.
    Reset,
}

/// The answer to one request: a status, headers and steps, built by chaining.
///
/// `status` and `header` come before the first step that sends a head (`body`, `json`, `sse`,
/// `stream`). Afterwards the connection stays open for the next request, unless a step closes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    status: u16,
    headers: Vec<(String, String)>,
    length: Option<usize>,
    steps: Vec<Step>,
}

impl Script {
    /// An answer with status 200.
    pub fn ok() -> Self {
        Self::with_status(200)
    }

    /// An answer with this status.
    pub fn with_status(status: u16) -> Self {
        Self { status, headers: Vec::new(), length: None, steps: Vec::new() }
    }

    /// An OpenAI error body under this status.
    pub fn error(status: u16, message: &str) -> Self {
        Self::with_status(status).json(&openai::error(message, "fake_error", &status.to_string()))
    }

    /// A 429 with `retry-after`.
    pub fn rate_limited(retry_after_s: u64) -> Self {
        let body = openai::error("Rate limit reached", "requests", "rate_limit_exceeded");
        Self::with_status(429).header("retry-after", &retry_after_s.to_string()).json(&body)
    }

    /// The request as JSON: see [`openai::echo`].
    pub fn echo(request: &Request) -> Self {
        Self::ok().json(&openai::echo(request))
    }

    /// What a healthy upstream answers: see [`openai::answer`].
    pub fn answer(request: &Request) -> Self {
        openai::answer(request)
    }

    /// Never answers; the connection stays until the peer closes it.
    pub fn silent() -> Self {
        Self::ok().silence()
    }

    /// Adds a header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes `body` and `json` announce this length instead of the true one.
    #[must_use]
    pub fn declared_length(mut self, length: usize) -> Self {
        self.length = Some(length);
        self
    }

    /// Head and body in one write, with a content length.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let length = self.length.unwrap_or(body.len());
        let mut bytes = self.head(content_type, &format!("content-length: {length}\r\n"));
        bytes.extend_from_slice(body);
        self.raw(bytes)
    }

    /// Head and a JSON body in one write.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// A head without any length; the body is what follows until [`Script::close`].
    #[must_use]
    pub fn until_close(self, content_type: &str) -> Self {
        let bytes = self.head(content_type, "connection: close\r\n");
        self.raw(bytes)
    }

    /// A whole event stream: head, each event in its own write, `[DONE]`, the last chunk.
    #[must_use]
    pub fn sse(self, events: &[Value]) -> Self {
        self.stream().events(events).done()
    }

    /// The head of an event stream.
    #[must_use]
    pub fn stream(self) -> Self {
        self.chunked("text/event-stream")
    }

    /// A head with chunked framing; `chunk` adds to the body and `end` ends it.
    #[must_use]
    pub fn chunked(self, content_type: &str) -> Self {
        let bytes = self.head(content_type, "transfer-encoding: chunked\r\n");
        self.raw(bytes)
    }

    /// One chunk with these bytes: a part of an event, or several events.
    #[must_use]
    pub fn chunk(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.raw(framed)
    }

    /// One event with these data.
    #[must_use]
    pub fn data(self, data: &str) -> Self {
        self.chunk(format!("data: {data}\n\n"))
    }

    /// One event with JSON data.
    #[must_use]
    pub fn event(self, data: &Value) -> Self {
        self.data(&data.to_string())
    }

    /// One event with a name, as other wire formats have them.
    #[must_use]
    pub fn named_event(self, name: &str, data: &Value) -> Self {
        self.chunk(format!("event: {name}\ndata: {data}\n\n"))
    }

    /// Several events, each in its own write.
    #[must_use]
    pub fn events(self, events: &[Value]) -> Self {
        events.iter().fold(self, Self::event)
    }

    /// Several events in one chunk and one write.
    #[must_use]
    pub fn events_at_once(self, events: &[Value]) -> Self {
        self.chunk(events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>())
    }

    /// `data: [DONE]` and the end of the body.
    #[must_use]
    pub fn done(self) -> Self {
        self.data("[DONE]").end()
    }

    /// The last chunk.
    #[must_use]
    pub fn end(self) -> Self {
        self.raw("0\r\n\r\n")
    }

    /// These bytes as they are, in one write.
    #[must_use]
    pub fn raw(self, bytes: impl AsRef<[u8]>) -> Self {
        self.step(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Waits until the test calls [`crate::FakeUpstream::release`] with this name.
    #[must_use]
    pub fn wait(self, gate: &str) -> Self {
        self.step(Step::Wait(gate.to_owned()))
    }

    /// Waits for a time after what it says so far: only where the time itself is what is tested.
    #[must_use]
    pub fn delay(self, time: Duration) -> Self {
        self.step(Step::Delay(time))
    }

    /// Waits for a time before its first byte: only where the time itself is what is tested.
    #[must_use]
    pub fn late(mut self, time: Duration) -> Self {
        self.steps.insert(0, Step::Delay(time));
        self
    }

    /// Says nothing more; the connection stays until the peer closes it.
    #[must_use]
    pub fn silence(self) -> Self {
        self.step(Step::Silence)
    }

    /// Closes the connection with FIN.
    #[must_use]
    pub fn close(self) -> Self {
        self.step(Step::Close)
    }

    /// Closes the connection with RST.
    #[must_use]
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn head(&self, content_type: &str, framing: &str) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let named = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !named {
            head.push_str(&format!("content-type: {content_type}\r\n"));
        }
        head.push_str(framing);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => "Scripted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(script: Script) -> Vec<String> {
        let text = |step| match step {
            Step::Send(bytes) => String::from_utf8(bytes).unwrap(),
            other => format!("{other:?}"),
        };
        script.into_steps().into_iter().map(text).collect()
    }

    #[test]
    fn a_body_is_one_write_with_a_true_length_unless_told_otherwise() {
        let script = Script::with_status(429).header("Retry-After", "7").body("text/plain", "abc");
        let expected = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: text/plain\r\n\
                        content-length: 3\r\nRetry-After: 7\r\n\r\nabc";
        assert_eq!(sent(script), [expected]);
        let lie = Script::ok().declared_length(9).body("text/plain", "abc").close();
        assert!(sent(lie)[0].contains("content-length: 9\r\n"));
    }

    #[test]
    fn each_event_is_its_own_write() {
        let steps = sent(Script::ok().stream().data("a").wait("go").done());
        assert_eq!(
            steps[1..],
            ["9\r\ndata: a\n\n\r\n", "Wait(\"go\")", "e\r\ndata: [DONE]\n\n\r\n", "0\r\n\r\n"]
        );
    }
}
