//! Limits of the process: the descriptors and the memory that clients may use.
//!
//! Used at start, at each reload, and for each body. Always true: half of the descriptors are left for upstreams;
//! all bodies together, with their copies, hold at most a quarter of an enforced memory limit: the rest is for the
//! buffers of connections and for what is read of bodies.

mod account;
mod collected;

use std::fs;

use hale_core::settings::Bounds;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(crate) use self::account::{Buffered, Held};
pub(crate) use self::collected::{Added, Collected};

/// Descriptors that are kept free of clients and upstreams: for standard streams, the log, files, the store and what runs in
/// the background.
const OWN_DESCRIPTORS: usize = 28;
/// Descriptors of each worker: its listener and its reactor.
const PER_WORKER: usize = 8;

/// Raises the soft limit of descriptors to the hard limit, which is usually much higher.
pub(crate) fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let wanted = Rlimit { current: maximum, maximum };
        // Some systems do not grant their own maximum; then the limit stays as it was.
        let _kept: Result<(), _> = setrlimit(Resource::Nofile, wanted);
    }
}

/// How many client connections each of `workers` may have.
pub(crate) fn clients_per_worker(workers: usize) -> usize {
    let limit = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    share(limit, workers)
}

fn share(limit: usize, workers: usize) -> usize {
    let own = OWN_DESCRIPTORS + PER_WORKER * workers;
    (limit.saturating_sub(own) / 2 / workers.max(1)).max(1)
}

/// Lowers the limit of buffered bodies to a quarter of the memory limit, and logs it.
pub(crate) fn fit(bounds: &mut Bounds) {
    if let Some(limit) = memory_limit() {
        fit_into(bounds, limit);
    }
}

fn fit_into(bounds: &mut Bounds, limit: u64) {
    let room = usize::try_from(limit / 4).unwrap_or(usize::MAX);
    if bounds.buffered_bytes > room {
        let (limit_mb, max_buffered_mb) = (limit >> 20, room >> 20);
        tracing::info!(limit_mb, max_buffered_mb, "bodies may hold a quarter of the memory limit");
        bounds.buffered_bytes = room;
        bounds.body_bytes = bounds.body_bytes.min(room);
        bounds.response_bytes = bounds.response_bytes.min(room);
    }
}

/// The lowest memory limit that is enforced on this process, bytes.
fn memory_limit() -> Option<u64> {
    let resources = [Resource::Data, Resource::As].map(|one| getrlimit(one).current);
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups(&own).into_iter().map(|file| {
        // An unset limit is the text `max`, or a number larger than any memory.
        let text = fs::read_to_string(file).ok()?;
        text.trim().parse().ok().filter(|limit| *limit < u64::MAX / 4)
    });
    resources.into_iter().chain(groups).flatten().min()
}

/// The limit files of the control groups in `/proc/self/cgroup`, of both versions.
fn groups(own: &str) -> Vec<String> {
    let mut files = vec![
        "/sys/fs/cgroup/memory.max".to_owned(),
        "/sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("0"), Some(""), Some(path)) => {
                files.push(format!("/sys/fs/cgroup{path}/memory.max"));
            }
            (Some(_), Some("memory"), Some(path)) => {
                files.push(format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes"));
            }
            _ => {}
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_left_for_upstreams() {
        assert_eq!(share(64, 1), 14);
        assert_eq!(share(20_000, 2), 4_989);
        assert_eq!(share(3, 8), 1, "one client can always be served");
        assert!(share(usize::MAX, 1) > 1 << 40);
    }

    #[test]
    fn bodies_fit_into_a_quarter_of_the_memory() {
        let mut bounds = Bounds::default();
        fit_into(&mut bounds, 8 << 30);
        assert_eq!(bounds, Bounds::default());
        fit_into(&mut bounds, 256 << 20);
        assert_eq!((bounds.buffered_bytes, bounds.body_bytes), (64 << 20, 64 << 20));
        assert_eq!(bounds.response_bytes, 64 << 20);
    }

    #[test]
    fn groups_of_both_versions_are_looked_at() {
        let files = groups("4:memory:/a/b\n1:cpu:/\n0::/user.slice\n");
        assert!(files.contains(&"/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes".to_owned()));
        assert!(files.contains(&"/sys/fs/cgroup/user.slice/memory.max".to_owned()));
        assert_eq!(files.len(), 4);
    }
}
