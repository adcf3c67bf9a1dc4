//! What a command needs to open a database: a runtime of its own thread.
//!
//! Called by `hale db`, `hale spend` and `hale migrate`. Always true: the runtime outlives what is opened with it.

use hale_store::{Means, Threads};
use tokio::runtime::{Builder, Runtime};

use crate::{clock, upstream};

/// A runtime, and the means of opening a database on it.
///
/// # Errors
/// The system starts no thread.
pub(super) fn means() -> Result<(Runtime, Means), String> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no thread could be started: {error}"))?;
    let means = Means {
        threads: Threads::of(runtime.handle().clone()),
        roots: upstream::roots,
        now: clock::unix_ms,
    };
    Ok((runtime, means))
}
