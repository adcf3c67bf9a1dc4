//! Records as lines of JSON in a file.
//!
//! Written by [`super::Sinks`]. Always true: a pipe or a terminal gets what it takes at once and the remainder
//! with the next batch, so that a slow reader holds up nothing; a line that was cut is followed by a line end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use hale_core::record::RequestRecord;
use hale_core::usage::{CountedBy, Usage};
use hale_wire::edit::push_string;
use rustix::fs::OFlags;

use super::export::{Shows, Told, push_raw};

/// Text that a file may leave untaken before records are dropped, bytes.
const HELD_MAX: usize = 8 << 20;
/// Memory that is kept after a burst, bytes.
const KEPT: usize = 1 << 20;

/// A file of JSON lines.
pub(crate) struct Jsonl {
    path: Box<str>,
    file: File,
    /// Whether the file may end in half a line, as a crash or a full disk leaves it.
    is_torn: bool,
    /// What the file has not taken yet.
    text: Vec<u8>,
    /// How many records that are, one that is partly written included.
    records: u64,
    /// Whether each line has what was said.
    shows: Shows,
}

/// Records that will not be written.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) records: u64,
    pub(super) error: io::Error,
}

impl Jsonl {
    /// Opens `path` to append to it. Never waits, whatever it is.
    pub(super) fn open(path: &str, shows: Shows) -> io::Result<Jsonl> {
        let kind = fs::metadata(path).ok().map(|found| found.file_type());
        let is_fifo = kind.is_some_and(|kind| kind.is_fifo());
        let is_regular = kind.is_none_or(|kind| kind.is_file());
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        if !is_regular {
            options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        }
        // A FIFO opened for both directions needs no reader to be there first.
        let file = options.read(is_fifo).open(path)?;
        Ok(Jsonl {
            path: path.into(),
            file,
            is_torn: ends_in_a_line(path).unwrap_or(false),
            text: Vec::new(),
            records: 0,
            shows,
        })
    }

    /// Whether `path` leads to this file, which is not so after a rename.
    pub(super) fn is_at(&self, path: &str, shows: Shows) -> bool {
        if self.shows != shows {
            return false;
        }
        let place = |found: fs::Metadata| (found.dev(), found.ino());
        let (own, there) = (self.file.metadata().map(place), fs::metadata(path).map(place));
        *self.path == *path && own.is_ok_and(|own| there.is_ok_and(|there| own == there))
    }

    /// Whether the file has not taken all that was written.
    pub(super) fn is_held_up(&self) -> bool {
        !self.text.is_empty()
    }

    /// Appends one line per record, in one write.
    pub(super) fn write(&mut self, batch: &[RequestRecord]) -> Result<(), Lost> {
        let new = batch.len() as u64;
        let lost = |error| Lost { records: new, error };
        self.push().map_err(|lost| Lost { records: lost.records + new, ..lost })?;
        if self.text.len() > HELD_MAX {
            return Err(lost(io::Error::new(io::ErrorKind::TimedOut, "the file is not read")));
        }
        if self.is_torn && !batch.is_empty() && self.text.is_empty() {
            self.text.push(b'\n');
        }
        for record in batch {
            append(record, &mut self.text);
            if self.shows == Shows::Messages {
                append_said(record, &mut self.text);
            }
            self.text.push(b'\n');
            self.records += 1;
        }
        self.push()
    }

    /// Writes what the file takes now.
    fn push(&mut self) -> Result<(), Lost> {
        let mut done = 0;
        let failed = loop {
            let Some(text) = self.text.get(done..).filter(|text| !text.is_empty()) else {
                break None;
            };
            match self.file.write(text) {
                Ok(0) => break Some(io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => break None,
                    _ => break Some(error),
                },
            }
        };
        self.is_torn = match done.checked_sub(1).and_then(|last| self.text.get(last)) {
            Some(last) => *last != b'\n',
            None => self.is_torn,
        };
        if done == self.text.len() {
            self.text.clear();
        } else {
            let lines = memchr::memchr_iter(b'\n', &self.text[..done]).count() as u64;
            self.records = self.records.saturating_sub(lines);
            self.text.drain(..done);
        }
        if let Some(error) = failed {
            return Err(self.lose(error));
        }
        if self.text.is_empty() {
            self.records = 0;
            self.text.shrink_to(KEPT);
        }
        Ok(())
    }

    /// Gives up what the file has not taken.
    pub(super) fn abandon(&mut self) -> Option<Lost> {
        let error = io::Error::new(io::ErrorKind::TimedOut, "the file is not read");
        self.is_held_up().then(|| self.lose(error))
    }

    fn lose(&mut self, error: io::Error) -> Lost {
        self.text = Vec::new();
        Lost { records: std::mem::take(&mut self.records), error }
    }
}

/// Whether the last line has no end. Only regular files have an end to look at.
fn ends_in_a_line(path: &str) -> io::Result<bool> {
    if !std::fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// The name of a field as it stands in the line, with the comma before it: one copy writes it.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Appends the record as one JSON object. Written by hand: a general serializer takes three times as long, and
/// every request pays for it.
fn append(record: &RequestRecord, out: &mut Vec<u8>) {
    let start = out.len();
    let mut line = Line { out };
    line.text(name!("call_id"), &record.call_id);
    line.number(name!("arrived_unix_ms"), record.arrived_unix_ms);
    line.word(name!("operation"), record.operation.name());
    line.some_text(name!("requested_model"), record.requested_model.as_deref());
    line.some_text(name!("user"), record.user.as_deref());
    if let Some(identity) = &record.identity {
        line.some_text(name!("key"), Some(&identity.key));
        line.some_text(name!("key_alias"), identity.key_alias.as_deref());
        line.some_text(name!("key_user"), identity.user.as_deref());
        line.some_text(name!("team"), identity.team.as_deref());
        line.some_text(name!("organization"), identity.organization.as_deref());
    }
    line.some_text(name!("model_group"), record.model_group.as_deref());
    line.some_text(name!("deployment"), record.deployment.as_deref());
    line.some_text(name!("deployment_name"), record.deployment_name.as_deref());
    line.number(name!("status"), record.status.into());
    line.word(name!("ending"), record.ending.name());
    if let Some(cause) = record.cause {
        line.word(name!("cause"), cause.name());
    }
    line.literal(name!("stream"), if record.stream { "true" } else { "false" });
    line.number(name!("retries"), record.retries.into());
    line.number(name!("fallbacks"), record.fallbacks.into());
    line.above_zero(name!("resends"), record.resends.total().into());
    if let Some(rescue) = record.rescue {
        line.word(name!("rescue"), rescue.name());
    }
    line.number(name!("duration_us"), record.duration_us);
    if let Some(us) = record.first_content_us {
        line.number(name!("first_content_us"), us);
    }
    line.number(name!("overhead_us"), record.overhead_us);
    line.above_zero(name!("waited_us"), record.waited_us);
    if let Some(usage) = &record.usage {
        line.usage(usage);
        match record.counted_by {
            CountedBy::Provider => {}
            CountedBy::Estimate => line.literal(name!("usage_estimated"), "true"),
        }
    }
    if let Some(usd) = record.cost_usd {
        line.decimal(name!("cost_usd"), usd);
    }
    if let Some(answer) = record.cache {
        line.word(name!("cache"), answer.name());
    }
    line.number(name!("request_bytes"), record.request_bytes);
    line.number(name!("response_bytes"), record.response_bytes);
    // No comma comes before the first field.
    out[start] = b'{';
    out.push(b'}');
}

/// Adds what was said to the object at the end of `out`.
fn append_said(record: &RequestRecord, out: &mut Vec<u8>) {
    let Some(told) = Told::of(record, Shows::Messages).filter(Told::shows) else { return };
    if out.last() == Some(&b'}') {
        out.pop();
    }
    for (name, json) in [
        (name!("messages"), told.messages().map(str::to_owned)),
        (name!("response"), told.output()),
    ] {
        out.extend_from_slice(name.as_bytes());
        push_raw(out, json.as_deref().unwrap_or("null"));
    }
    if let Some(left_out) = told.left_out() {
        Line { out }.word(name!("left_out"), left_out);
    }
    out.push(b'}');
}

/// A JSON object that is being written.
struct Line<'o> {
    out: &'o mut Vec<u8>,
}

impl Line<'_> {
    fn name(&mut self, name: &'static str) {
        self.out.extend_from_slice(name.as_bytes());
    }

    /// Text of any kind.
    fn text(&mut self, name: &'static str, text: &str) {
        self.name(name);
        push_string(self.out, text);
    }

    fn some_text(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// A word of ours, which needs no escapes.
    fn word(&mut self, name: &'static str, word: &'static str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'"');
    }

    fn literal(&mut self, name: &'static str, literal: &'static str) {
        self.name(name);
        self.out.extend_from_slice(literal.as_bytes());
    }

    fn number(&mut self, name: &'static str, number: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// A count that most requests do not have: every field costs time and space.
    fn above_zero(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            self.number(name, count);
        }
    }

    fn decimal(&mut self, name: &'static str, number: f64) {
        self.name(name);
        // Writing a number to memory cannot fail.
        let _written: Result<(), _> = serde_json::to_writer(&mut *self.out, &number);
    }

    /// Of the input: read from the provider's cache, and written to it. Of the output: reasoning.
    fn usage(&mut self, usage: &Usage) {
        self.number(name!("input_tokens"), usage.input);
        self.number(name!("output_tokens"), usage.output);
        self.above_zero(name!("cache_read_tokens"), usage.cached_input);
        self.above_zero(name!("cache_write_tokens"), usage.cache_creation);
        self.above_zero(name!("reasoning_tokens"), usage.reasoning);
        self.above_zero(name!("images"), usage.units.images.into());
        self.above_zero(name!("characters"), usage.units.characters);
        self.above_zero(name!("searches"), usage.units.searches.into());
        self.above_zero(name!("pages"), usage.units.pages.into());
        self.above_zero(name!("heard_ms"), usage.units.heard_ms);
    }
}

#[cfg(test)]
mod tests {
    use hale_core::cache::CacheAnswer;
    use hale_core::cause::Cause;
    use hale_core::operation::Operation;
    use hale_core::record::{Ending, ResendReason, Resends};
    use hale_core::rescue::Outcome as Rescue;
    use hale_core::usage::Units;
    use serde_json::{Value, json};

    use super::*;

    fn least() -> RequestRecord {
        RequestRecord {
            call_id: "id".into(),
            arrived_unix_ms: 1,
            operation: Operation::Chat,
            requested_model: None,
            user: None,
            identity: None,
            model_group: None,
            model_pattern: None,
            deployment: None,
            deployment_name: None,
            status: 200,
            ending: Ending::Success,
            cause: None,
            stream: false,
            retries: 0,
            fallbacks: 0,
            resends: Resends::default(),
            rescue: None,
            duration_us: 2,
            first_content_us: None,
            overhead_us: 3,
            waited_us: 0,
            usage: None,
            counted_by: CountedBy::Provider,
            cost_usd: None,
            cache: None,
            calls: Vec::new(),
            billed_to: None,
            request_bytes: 4,
            response_bytes: u64::MAX,
            detail: None,
        }
    }

    fn read(record: &RequestRecord) -> Value {
        let mut text = Vec::new();
        append(record, &mut text);
        assert!(!text.contains(&b'\n'), "a record is one line");
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn a_record_without_details_has_the_fields_of_every_record() {
        assert_eq!(
            read(&least()),
            json!({
                "call_id": "id", "arrived_unix_ms": 1, "operation": Operation::Chat.name(),
                "status": 200, "ending": "success", "stream": false, "retries": 0, "fallbacks": 0,
                "duration_us": 2, "overhead_us": 3, "request_bytes": 4, "response_bytes": u64::MAX,
            })
        );
        let unused = RequestRecord { usage: Some(Usage::default()), ..least() };
        assert_eq!(read(&unused)["input_tokens"], 0);
        assert_eq!(read(&unused).get("cache_read_tokens"), None);
    }

    #[test]
    fn a_record_with_every_detail_is_json_whatever_its_texts_hold() {
        let odd = "a \"b\" \\ \n \u{1} \u{e4} \u{1f600}";
        let mut resends = Resends::default();
        resends.add(ResendReason::Reset);
        let units = Units {
            images: 15,
            characters: 16,
            searches: 17,
            pages: 18,
            heard_ms: 19,
            ..Units::default()
        };
        let usage = Usage {
            input: 10,
            output: 11,
            cached_input: 12,
            cache_creation: 13,
            reasoning: 14,
            units,
            ..Usage::default()
        };
        let record = RequestRecord {
            call_id: odd.into(),
            requested_model: Some(odd.into()),
            model_group: Some(odd.into()),
            deployment: Some(odd.into()),
            deployment_name: Some(odd.into()),
            status: 502,
            ending: Ending::Broken,
            cause: Some(Cause::StreamCut),
            stream: true,
            retries: 5,
            fallbacks: 6,
            resends,
            rescue: Some(Rescue::Continued),
            first_content_us: Some(7),
            usage: Some(usage),
            cost_usd: Some(0.000_012_5),
            cache: Some(CacheAnswer::Hit),
            ..least()
        };
        let page = include_str!("../../../../docs/records.md");
        let estimated = RequestRecord { counted_by: CountedBy::Estimate, ..record.clone() };
        for field in read(&estimated).as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{field}`")), "{field} is not in docs/records.md");
        }
        assert_eq!(
            read(&record),
            json!({
                "call_id": odd, "arrived_unix_ms": 1, "operation": Operation::Chat.name(),
                "requested_model": odd, "model_group": odd, "deployment": odd,
                "deployment_name": odd, "status": 502,
                "ending": Ending::Broken.name(), "cause": "stream_cut", "stream": true, "retries": 5,
                "fallbacks": 6, "resends": 1, "rescue": "continued", "duration_us": 2, "first_content_us": 7,
                "overhead_us": 3, "input_tokens": 10, "output_tokens": 11, "cache_read_tokens": 12,
                "cache_write_tokens": 13, "reasoning_tokens": 14, "images": 15, "characters": 16,
                "searches": 17, "pages": 18, "heard_ms": 19, "cost_usd": 0.000_012_5, "cache": "hit",
                "request_bytes": 4, "response_bytes": u64::MAX,
            })
        );
    }
}
