//! Timings, run with `cargo bench -p zor-benches`.
