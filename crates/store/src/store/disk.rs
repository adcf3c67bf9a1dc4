//! What of the store goes by the disk: the spool.
//!
//! Part of [`super::Store`]. Always true: one process has the spool; while another one has it, this one asks for it
//! again and again, so that what that one left is written once it is gone.

use std::sync::atomic::Ordering;

use super::Store;
use crate::address::Address;
use crate::spool::{self, Spool};

impl Store {
    /// Appends batches that are older than that tick to the spool.
    pub(super) async fn to_disk(&self, tick: u64) {
        loop {
            let Some((id, batch)) = self.pending.lock().unspooled(tick) else { return };
            let appended = self.with_spool(move |spool| spool.append(&batch)).await;
            match appended {
                Ok(Some(extent)) => {
                    if self.pending.lock().spooled(id, extent) {
                        self.spool_told.store(false, Ordering::Relaxed);
                    }
                }
                // There is no spool: what is in memory is all.
                Ok(None) => return,
                Err(error) => {
                    if !self.spool_told.swap(true, Ordering::Relaxed) {
                        let spool = self.options.spool.display();
                        tracing::warn!(%spool, %error, "the spool takes no more rows; they wait in memory, 16 MiB at most");
                    }
                    return;
                }
            }
        }
    }

    pub(super) async fn open_spool(&self) {
        if self.spool.lock().is_some() {
            return;
        }
        let path = self.options.spool.clone();
        let (place, own) = (path.clone(), self.spool.clone());
        let opened = self.options.means.threads.run(&place, move || {
            Ok(Spool::open(&path, spool::MAX).map(|(spool, left, lost)| {
                let bytes = spool.bytes();
                *own.lock() = Some(spool);
                (left, lost, bytes)
            }))
        });
        match opened.await {
            Ok(Ok((left, lost, bytes))) => {
                self.spool_bytes.store(bytes, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(spool = %place.display(), lost, "lines of the spool cannot be read; they are skipped");
                }
                if self.spool_told.swap(false, Ordering::Relaxed) {
                    tracing::info!(spool = %place.display(), batches = left.len(), "the spool is this process's now");
                }
                self.pending.lock().inherit(left);
                self.news.notify_one();
            }
            Ok(Err(error)) => {
                if self.spool_told.swap(true, Ordering::Relaxed) {
                    return;
                }
                // A directory that cannot be written has no file either, and that is said once.
                let is_told = matches!(self.options.address, Address::File(_));
                if is_told {
                    tracing::debug!(spool = %place.display(), %error, "there is no spool");
                    return;
                }
                tracing::warn!(spool = %place.display(), %error, "there is no spool yet: rows that the database does not take wait in memory");
            }
            Err(error) => tracing::error!(%error, "the spool could not be opened"),
        }
    }

    /// Does something with the spool, if there is one, where waiting harms nothing.
    pub(super) async fn with_spool<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Spool) -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<Option<T>> {
        let spool = self.spool.clone();
        let job = move || {
            let mut spool = spool.lock();
            let Some(spool) = spool.as_mut() else { return Ok(Ok((None, 0))) };
            Ok(job(spool).map(|done| (Some(done), spool.bytes())))
        };
        let done = self.options.means.threads.run(&self.options.spool, job).await;
        let (done, bytes) = done.unwrap_or_else(|error| Err(std::io::Error::other(error)))?;
        self.spool_bytes.store(bytes, Ordering::Relaxed);
        Ok(done)
    }
}
