//! Records as lines of JSON in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

use hale_core::record::RequestRecord;
use hale_core::usage::Usage;
use serde::Serialize;

/// A file of JSON lines.
pub(super) struct Jsonl {
    file: File,
    /// Whether the file may end in half a line, as a crash or a full disk leaves it.
    is_torn: bool,
    text: Vec<u8>,
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
    /// Opens `path` to append to it.
    pub(super) fn open(path: &str) -> io::Result<Jsonl> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Jsonl { file, is_torn: ends_in_a_line(path).unwrap_or(false), text: Vec::new() })
    }

    /// Appends one line per record, in one write.
    pub(super) fn write(&mut self, batch: &[RequestRecord]) -> io::Result<()> {
        self.text.clear();
        if self.is_torn {
            self.text.push(b'\n');
        }
        for record in batch {
            serde_json::to_writer(&mut self.text, &line(record))?;
            self.text.push(b'\n');
        }
        self.is_torn = true;
        self.file.write_all(&self.text)?;
        self.is_torn = false;
        Ok(())
    }
}

/// Whether something stands behind the last line end. What is no regular file has no end to look at.
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
    // Most requests have none of them, and every field is a part of the line's cost.
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
