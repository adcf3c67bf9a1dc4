//! Where a stream of the Anthropic wire stands, so that another answer goes on behind it.
//!
//! Called when a stream broke, with the events that the client has. Always true: a text goes on in its own block, or in a new
//! one where none is open.

use hale_core::rescue::No;

use super::stream_write::Writer;
use crate::bytes::members::texts;

/// Where the stream stands.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    started: bool,
    blocks: u64,
    /// The block that is open.
    open: Option<u64>,
}

impl Behind {
    /// Takes the next event.
    ///
    /// # Errors
    /// Why nothing goes on behind it.
    pub(crate) fn take(&mut self, text: &str) -> Result<(), No> {
        let names = ["type", "index", "content_block", "delta"];
        let [kind, index, block, delta] = texts(text, names).map_err(|_| No::NotText)?;
        let index = || index.and_then(|raw| raw.parse::<u64>().ok()).ok_or(No::NotText);
        match kind.unwrap_or_default() {
            r#""message_start""# => self.started = true,
            r#""content_block_start""# => {
                let names = ["type", "citations"];
                let [kind, cited] = texts(block.unwrap_or("{}"), names).map_err(|_| No::NotText)?;
                match kind {
                    Some(r#""tool_use""#) => return Err(No::ToolCall),
                    Some(r#""text""#) if cited.is_some_and(|list| list != "[]") => {
                        return Err(No::Citations);
                    }
                    Some(r#""text""# | r#""thinking""# | r#""redacted_thinking""#) => {}
                    _ => return Err(No::NotText),
                }
                let index = index()?;
                (self.open, self.blocks) = (Some(index), index.saturating_add(1));
            }
            r#""content_block_delta""# => {
                let [kind] = texts(delta.unwrap_or("{}"), ["type"]).map_err(|_| No::NotText)?;
                if kind == Some(r#""citations_delta""#) {
                    return Err(No::Citations);
                }
            }
            r#""content_block_stop""# => self.open = None,
            _ => {}
        }
        Ok(())
    }

    /// The writer of what follows.
    ///
    /// # Errors
    /// Why nothing does.
    pub(crate) fn writer(self) -> Result<Writer, No> {
        if !self.started {
            return Err(No::BetweenParts);
        }
        Ok(Writer::behind(self.blocks, self.open))
    }
}
