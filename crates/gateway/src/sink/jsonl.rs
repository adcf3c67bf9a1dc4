//! Records as lines of JSON in a file.
//!
//! Written by [`super::Sinks`]. Always true: a pipe or a terminal gets what it takes at once and the remainder
//! with the next batch, so that a slow reader holds up nothing; a line that was cut is followed by a line end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

use hale_core::record::RequestRecord;
use hale_core::usage::Usage;
use rustix::fs::OFlags;
use serde::Serialize;

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
}

/// Records that will not be written.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) records: u64,
    pub(super) error: io::Error,
}

#[derive(Serialize)]
struct Line<'r> {
    call_id: &'r str,
    arrived_unix_ms: u64,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_model: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_group: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<&'r str>,
    status: u16,
    ending: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    stream: bool,
    retries: u32,
    fallbacks: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    resends: Option<u32>,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_content_us: Option<u64>,
    overhead_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u64>,
    /// Of the input: read from the provider's cache, and written to it. Of the output: reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_read_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    characters: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    searches: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    request_bytes: u64,
    response_bytes: u64,
}

impl Jsonl {
    /// Opens `path` to append to it. Never waits, whatever it is.
    pub(super) fn open(path: &str) -> io::Result<Jsonl> {
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
        })
    }

    /// Whether `path` leads to this file, which is not so after a rename.
    pub(super) fn is_at(&self, path: &str) -> bool {
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
            serde_json::to_writer(&mut self.text, &line(record))
                .map_err(|error| lost(error.into()))?;
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
        let lines = self.text.drain(..done).filter(|byte| *byte == b'\n').count() as u64;
        self.records = self.records.saturating_sub(lines);
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

fn line(record: &RequestRecord) -> Line<'_> {
    // Most requests have none of these, and every field costs time and space.
    let some = |part: fn(&Usage) -> u64| record.usage.as_ref().map(part).filter(|count| *count > 0);
    Line {
        call_id: &record.call_id,
        arrived_unix_ms: record.arrived_unix_ms,
        operation: record.operation.name(),
        requested_model: record.requested_model.as_deref(),
        model_group: record.model_group.as_deref(),
        deployment: record.deployment.as_deref(),
        status: record.status,
        ending: record.ending.name(),
        cause: record.cause.map(hale_core::cause::Cause::name),
        stream: record.stream,
        retries: record.retries,
        fallbacks: record.fallbacks,
        resends: Some(record.resends.total()).filter(|count| *count > 0),
        duration_us: record.duration_us,
        first_content_us: record.first_content_us,
        overhead_us: record.overhead_us,
        input_tokens: record.usage.map(|usage| usage.input),
        output_tokens: record.usage.map(|usage| usage.output),
        cache_read_tokens: some(|usage| usage.cached_input),
        cache_write_tokens: some(|usage| usage.cache_creation),
        reasoning_tokens: some(|usage| usage.reasoning),
        images: some(|usage| usage.units.images.into()),
        characters: some(|usage| usage.units.characters),
        searches: some(|usage| usage.units.searches.into()),
        pages: some(|usage| usage.units.pages.into()),
        heard_ms: some(|usage| usage.units.heard_ms),
        cost_usd: record.cost_usd,
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
    }
}
