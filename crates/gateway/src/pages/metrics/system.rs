//! What the system counts of this process, as every exporter of Prometheus shows it.
//!
//! Read by the families of [`super`]. Always true: nothing is kept; what the system does not say has no value.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::clock;

/// Processor time in user and system mode, seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    Some(whole(clock::process_cpu_us()) / 1e6)
}

/// When the process started, seconds since 1970.
pub(super) fn started() -> Option<f64> {
    Some(whole(clock::started_unix_ms()) / 1e3)
}

/// Memory that is in use, bytes.
pub(super) fn resident_bytes() -> Option<f64> {
    of_status("VmRSS:")
}

/// Addresses that are in use, bytes.
pub(super) fn virtual_bytes() -> Option<f64> {
    of_status("VmSize:")
}

/// Descriptors that are open. The one that counts them is among them.
pub(super) fn open_descriptors() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(whole(open as u64))
}

/// Descriptors that may be open.
pub(super) fn most_descriptors() -> Option<f64> {
    getrlimit(Resource::Nofile).current.map(whole)
}

/// A line of the process's status, in kB.
fn of_status(name: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(whole(kib << 10))
}

#[allow(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn whole(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_descriptors_time_and_a_start() {
        clock::start();
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1e5));
        assert!(virtual_bytes() >= resident_bytes());
        assert!(open_descriptors() <= most_descriptors() && open_descriptors() > Some(2.0));
        assert!(cpu_seconds() > Some(0.0));
        assert!(started() > Some(1.7e9));
    }
}
