//! A simulated world around the router: seeded, with a virtual clock, without I/O.
//!
//! `cargo test -p hale-core --test sim` runs the figures that routing must reach and a few hundred
//! random worlds; `-- --ignored` runs ten thousand. A failing world prints the line that repeats
//! it: `HALE_SIM_SEED=17 cargo test -p hale-core --test sim equal_seeds_make_equal_worlds`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod affinity;
mod figures;
mod fleet;
mod incidents;
mod leases;
mod probes;
mod properties;
mod report;
mod rescue;
mod strategies;
mod swarm;
mod upstream;
mod waiting;
mod world;
