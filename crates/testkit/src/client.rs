//! A blocking HTTP/1.1 client that can also misbehave.
//!
//! Used by tests against the gateway, usually through [`crate::Hale::client`].
//! Always true: every read ends within [`crate::TIMEOUT`], so that a hang fails the test that met it.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use crate::TIMEOUT;
use crate::sse::{Event, Events};
use crate::wire::{Body, Head, Headers, is_timeout};

/// A client with at most one connection, kept open between requests.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
    timeout: Duration,
    line: Option<BufReader<TcpStream>>,
}

/// A response read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header lines in order.
    pub headers: Headers,
    /// The body, with chunked framing taken off.
    pub body: Vec<u8>,
    /// Whether the connection ended before the body did.
    pub cut: bool,
}

impl Response {
    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{} with no JSON ({error}): {}", self.status, self.text()),
        }
    }
}

impl Client {
    /// A client for this address; it connects with its first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, headers: Vec::new(), timeout: TIMEOUT, line: None }
    }

    /// Sends `authorization: Bearer KEY` with every request.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives up reads after this time instead of [`TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// `GET`.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[], b"")
    }

    /// `POST` of a JSON body.
    #[track_caller]
    pub fn post_json(&mut self, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
        self.request("POST", path, &json_headers(headers), body.to_string().as_bytes())
    }

    /// Any request with a body of known length; panics when no response comes.
    #[track_caller]
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        match self.try_request(method, path, headers, body) {
            Ok(response) => response,
            Err(error) => panic!("{method} {path} got no response: {error}"),
        }
    }

    /// Any request; an error when the connection is refused, ends or stays silent.
    pub fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        // A server may answer, and close, before it has read the body.
        let sent = self.send(method, path, headers, body);
        self.read_response_to(method).or_else(|error| sent.and(Err(error)))
    }

    /// `POST` of a JSON body whose answer is read event by event.
    #[track_caller]
    pub fn stream(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> EventStream<'_> {
        let body = body.to_string();
        match self
            .send("POST", path, &json_headers(headers), body.as_bytes())
            .and_then(|()| self.read_stream())
        {
            Ok(stream) => stream,
            Err(error) => panic!("POST {path} got no response: {error}"),
        }
    }

    /// Sends a request without waiting for anything.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.forget_a_closed_line();
        self.send_raw(&bytes)
    }

    /// Sends these bytes as they are, connecting first if need be.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.line()?.get_mut().write_all(bytes)
    }

    /// Reads one response to its end.
    pub fn read_response(&mut self) -> io::Result<Response> {
        self.read_response_to("GET")
    }

    /// Reads one response if any of it is there already.
    pub fn read_response_now(&mut self) -> Option<Response> {
        let line = self.line().ok()?;
        let stream = line.get_ref();
        stream.set_nonblocking(true).ok()?;
        let waiting = matches!(stream.peek(&mut [0]), Err(error) if is_timeout(&error));
        stream.set_nonblocking(false).ok()?;
        if waiting { None } else { self.read_response().ok() }
    }

    /// Reads a head and leaves the body to be read event by event.
    pub fn read_stream(&mut self) -> io::Result<EventStream<'_>> {
        let (status, head, body) = self.read_head("POST")?;
        Ok(EventStream {
            status,
            headers: head.headers,
            client: self,
            body,
            events: Events::default(),
        })
    }

    /// Reads everything until the other side closes.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self.line()?.read_to_end(&mut bytes) {
            Err(error) if is_timeout(&error) => Err(error),
            // A reset ends the connection as well.
            _ => Ok(bytes),
        }
    }

    /// Waits for the other side's close; an error when bytes come instead, or nothing at all.
    pub fn wait_for_close(&mut self) -> io::Result<()> {
        let bytes = self.read_to_end()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Err(io::Error::new(ErrorKind::InvalidData, format!("before its close came {text:?}")))
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub fn half_close(&mut self) -> io::Result<()> {
        self.line()?.get_ref().shutdown(Shutdown::Write)
    }

    /// Closes with FIN; the next request connects anew.
    pub fn disconnect(&mut self) {
        self.line = None;
    }

    /// Closes with RST.
    pub fn abort(&mut self) {
        if let Some(line) = self.line.take() {
            drop(SockRef::from(line.get_ref()).set_linger(Some(Duration::ZERO)));
        }
    }

    fn line(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.line.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(self.timeout))?;
            stream.set_write_timeout(Some(self.timeout))?;
            self.line = Some(BufReader::new(stream));
        }
        self.line.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// A server may close an idle connection; the next request then takes a new one.
    fn forget_a_closed_line(&mut self) {
        let Some(line) = &self.line else { return };
        let stream = line.get_ref();
        let idle = line.buffer().is_empty() && stream.set_nonblocking(true).is_ok();
        let alive = matches!(stream.peek(&mut [0]), Err(error) if is_timeout(&error));
        if !idle || !alive || stream.set_nonblocking(false).is_err() {
            self.line = None;
        }
    }

    fn read_response_to(&mut self, method: &str) -> io::Result<Response> {
        let (status, head, mut body) = self.read_head(method)?;
        let bytes = body.read_all(self.line()?)?;
        self.finish(&head.headers, &body);
        Ok(Response { status, headers: head.headers, body: bytes, cut: body.cut })
    }

    fn read_head(&mut self, method: &str) -> io::Result<(u16, Head, Body)> {
        loop {
            let Some(head) = Head::read(self.line()?)? else {
                self.line = None;
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed without a response"));
            };
            let status = head.word(1).parse().map_err(|_| {
                io::Error::new(ErrorKind::InvalidData, format!("start line {:?}", head.start))
            })?;
            if status == 100 {
                continue;
            }
            let body = Body::of_response(&head, status, method);
            return Ok((status, head, body));
        }
    }

    /// Drops the connection where the response says that it cannot be used again.
    fn finish(&mut self, headers: &Headers, body: &Body) {
        let close = headers.get("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        let framed = headers.contains("content-length") || headers.contains("transfer-encoding");
        if close || body.cut || !framed {
            self.line = None;
        }
    }
}

/// A response whose body is read event by event.
#[derive(Debug)]
pub struct EventStream<'a> {
    /// The status code.
    pub status: u16,
    /// The header lines in order.
    pub headers: Headers,
    client: &'a mut Client,
    body: Body,
    events: Events,
}

impl EventStream<'_> {
    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The next event; `None` at the end of the body. Panics when none comes in time.
    #[track_caller]
    pub fn next_event(&mut self) -> Option<Event> {
        match self.try_next_event() {
            Ok(event) => event,
            Err(error) => panic!("no event came: {error}"),
        }
    }

    /// The next event; `None` at the end of the body.
    pub fn try_next_event(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.next() {
                return Ok(Some(event));
            }
            match self.body.next(self.client.line()?)? {
                Some(bytes) => self.events.feed(&bytes),
                None => {
                    self.client.finish(&self.headers, &self.body);
                    return Ok(None);
                }
            }
        }
    }

    /// Every event that is left.
    #[track_caller]
    pub fn remaining(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next_event()).collect()
    }

    /// The text of every event that is left.
    #[track_caller]
    pub fn content(&mut self) -> String {
        self.remaining().iter().map(Event::content).collect()
    }

    /// The bytes of the body that are left, events or not.
    #[track_caller]
    pub fn text(&mut self) -> String {
        let mut bytes = self.events.tail().to_vec();
        let line = self.client.line().expect("a stream has its connection");
        match self.body.read_all(line) {
            Ok(remainder) => bytes.extend(remainder),
            Err(error) => panic!("the body did not end: {error}"),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes of the body, events or not, until `is_enough` for them or the body ends. Panics when they do not come in time.
    #[track_caller]
    pub fn text_until(&mut self, is_enough: impl Fn(&str) -> bool) -> String {
        let mut bytes = self.events.tail().to_vec();
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if is_enough(&text) {
                return text.into_owned();
            }
            let line = self.client.line().expect("a stream has its connection");
            match self.body.next(line) {
                Ok(Some(more)) => bytes.extend_from_slice(&more),
                Ok(None) => return text.into_owned(),
                Err(error) => panic!("only this came: {text:?}: {error}"),
            }
        }
    }

    /// After the end: whether the connection ended before the body did.
    pub fn cut(&self) -> bool {
        self.body.cut
    }

    /// After the end: bytes that no empty line made an event.
    pub fn tail(&self) -> String {
        String::from_utf8_lossy(self.events.tail()).into_owned()
    }

    /// Closes with FIN in the middle of the stream.
    pub fn disconnect(self) {
        self.client.disconnect();
    }

    /// Closes with RST in the middle of the stream.
    pub fn abort(self) {
        self.client.abort();
    }
}

impl Drop for EventStream<'_> {
    fn drop(&mut self) {
        // What was not read to its end must not be taken for the next response.
        if !self.body.ended() {
            self.client.disconnect();
        }
    }
}

fn json_headers<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    all
}

#[cfg(test)]
mod tests;
