//! Server-sent events, cut out of a byte stream.
//!
//! Used by the client's streams.
//! Always true: an event is given out only when its closing empty line has arrived.

use serde_json::Value;

/// One block of a stream: an event, or comment lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event:` field.
    pub name: Option<String>,
    /// The `data:` lines, joined by line feeds.
    pub data: String,
    /// The last `id:` field.
    pub id: Option<String>,
    /// The text after the colon of a comment line.
    pub comment: Option<String>,
}

impl Event {
    /// The data as JSON; null when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or(Value::Null)
    }

    /// Whether this is `data: [DONE]`.
    pub fn is_done(&self) -> bool {
        self.data == "[DONE]"
    }

    /// The text of `choices[0].delta.content`, or the empty text.
    pub fn content(&self) -> String {
        let json = self.json();
        json["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    }

    fn parse(block: &str) -> Self {
        let mut event = Self::default();
        let mut data: Vec<&str> = Vec::new();
        for line in block.lines().filter(|line| !line.is_empty()) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" => event.comment = Some(value.to_owned()),
                "event" => event.name = Some(value.to_owned()),
                "id" => event.id = Some(value.to_owned()),
                "data" => data.push(value),
                _ => {}
            }
        }
        event.data = data.join("\n");
        event
    }
}

/// The bytes of which no event has been made yet.
#[derive(Debug, Default)]
pub(crate) struct Events {
    tail: Vec<u8>,
}

impl Events {
    /// Adds what has arrived.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// The next whole event.
    pub(crate) fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.end_of_block()?;
            let block: Vec<u8> = self.tail.drain(..end).collect();
            let text = String::from_utf8_lossy(&block);
            if !text.trim().is_empty() {
                return Some(Event::parse(&text));
            }
        }
    }

    /// What is left without an empty line after it.
    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail
    }

    fn end_of_block(&self) -> Option<usize> {
        let ends = self.tail.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        for (at, _) in ends {
            match self.tail.get(at + 1..) {
                Some([b'\n', ..]) => return Some(at + 2),
                Some([b'\r', b'\n', ..]) => return Some(at + 3),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_whatever_the_cuts() {
        let bytes = b": ping\n\nevent: a\ndata: {\"x\":1}\r\n\r\ndata: one\ndata: two\n\ndata: [DONE]\n\nda";
        let mut events = Events::default();
        let mut seen = Vec::new();
        for byte in bytes {
            events.feed(&[*byte]);
            seen.extend(events.next());
        }
        assert_eq!(seen[0].comment.as_deref(), Some("ping"));
        assert_eq!((seen[1].name.as_deref(), &seen[1].json()["x"]), (Some("a"), &1.into()));
        assert_eq!(seen[2].data, "one\ntwo");
        assert!(seen[3].is_done());
        assert_eq!((seen.len(), events.tail()), (4, &b"da"[..]));
    }
}
