//! What of the store goes by the disk: the spool.
//!
//! Part of [`super::Store`]. Always true: one process has the spool; while another one has it, this one asks for it
//! again and again, so that what that one left is written once it is gone. What the spool holds and what [`Pending`] says
//! that it holds change together, while the spool is locked: it is emptied only if it holds nothing that waits.
//!
//! [`Pending`]: crate::pending::Pending

use std::sync::atomic::Ordering;

use super::Store;
use crate::address::Address;
use crate::spool::{self, Spool};

impl Store {
    /// Appends batches that are older than that tick to the spool.
    pub(super) async fn to_disk(&self, tick: u64) {
        loop {
            let Some((id, batch)) = self.pending.lock().unspooled(tick) else { return };
            let pending = self.pending.clone();
            let appended = self.with_spool(move |spool| {
                let extent = spool.append(&batch)?;
                Ok(pending.lock().spooled(id, extent))
            });
            match appended.await {
                Ok(Some(true)) => self.spool_told.store(false, Ordering::Relaxed),
                // It was written in the meantime.
                Ok(Some(false)) => {}
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
        let (place, own, pending) = (path.clone(), self.spool.clone(), self.pending.clone());
        let opened = self.options.means.threads.run(&place, move || {
            Ok(Spool::open(&path, spool::MAX).map(|(spool, left, lost)| {
                let (bytes, batches) = (spool.bytes(), left.len());
                let mut own = own.lock();
                pending.lock().inherit(left);
                *own = Some(spool);
                (batches, lost, bytes)
            }))
        });
        match opened.await {
            Ok(Ok((batches, lost, bytes))) => {
                self.spool_bytes.store(bytes, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(spool = %place.display(), lost, "lines of the spool cannot be read; they are skipped");
                }
                if self.spool_told.swap(false, Ordering::Relaxed) {
                    tracing::info!(spool = %place.display(), batches, "the spool is this process's now");
                }
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

    /// Empties the spool if nothing in it waits. What stays in it is written again after a restart, and skipped.
    pub(super) async fn clear_spool(&self) {
        if self.spool_bytes.load(Ordering::Relaxed) == 0 {
            return;
        }
        let pending = self.pending.clone();
        let cleared = self.with_spool(move |spool| match pending.lock().is_off_disk() {
            true => spool.clear(),
            false => Ok(()),
        });
        let _cleared = cleared.await;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::batch::Batch;
    use crate::database::{Means, Threads};
    use crate::pending::Place;
    use crate::retention::Retention;
    use crate::spend::SpendRows;
    use crate::store::{Options, Sample};
    use crate::table::Table;

    fn store(directory: &std::path::Path) -> Arc<Store> {
        Store::new(Options {
            address: Address::File(directory.join("hale.db")),
            spool: directory.join("hale.spool"),
            means: Means {
                threads: Threads::of(tokio::runtime::Handle::current()),
                roots: || Arc::new(rustls::RootCertStore::empty()),
                now: || 0,
            },
            replica: "r".into(),
            writer: "w".into(),
            retention: Retention::default(),
            spend: SpendRows { per_second: 1_000 },
            sample: Sample { failures: true, share: 1.0, per_second: 1 },
            watch: crate::Watch::default(),
        })
    }

    fn batch(number: i64) -> Arc<Batch> {
        Arc::new(Batch::of("w", number, vec![(Table::Requests, vec!["x".into()])]))
    }

    #[test]
    fn what_comes_to_the_spool_while_it_is_emptied_stays_there() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let directory = std::env::temp_dir().join(format!("hale-spool-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        runtime.block_on(async {
            let store = store(&directory);
            store.open_spool().await;
            for round in 0..200 {
                // What is in it is written, and something else comes.
                let old = batch(2 * round + 1);
                store.with_spool(move |spool| spool.append(&old)).await.unwrap();
                store.pending.lock().push(batch(2 * round + 2), 0);
                let (adding, emptying) = (store.clone(), store.clone());
                let both = (
                    tokio::spawn(async move { adding.to_disk(1).await }),
                    tokio::spawn(async move { emptying.clear_spool().await }),
                );
                both.0.await.unwrap();
                both.1.await.unwrap();
                let extent = match store.pending.lock().slots_extent() {
                    Some(extent) => extent,
                    None => panic!("it is on the disk"),
                };
                let read = store.with_spool(move |spool| spool.read(extent)).await;
                assert_eq!(read.unwrap().unwrap().number, 2 * round + 2, "round {round}");
                let first = store.pending.lock().first();
                let Some((id, Place::Memory(_) | Place::Disk(_))) = first else { panic!("none") };
                store.pending.lock().remove(id);
            }
        });
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
