//! Scripted upstreams for tests and benchmarks.
