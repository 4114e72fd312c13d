//! The checks that CI runs in addition to the tests, cheapest first.

pub(crate) mod crate_graph;
mod doc_promises;
pub(crate) mod firmware;
mod footprint;
pub(crate) mod instruction_count;
mod packages;
mod platforms;
mod tidy;

use crate::cargo::{self, timed};
use crate::{bench, page, python};

/// Runs every check up to the first that fails. `all_platforms` adds platforms to those that the
/// command is compiled for.
pub(crate) fn run(all_platforms: bool) -> Result<(), String> {
    timed("tidy", tidy::run)?;
    timed("crate graph", crate_graph::run)?;
    timed("promises", doc_promises::run)?;
    timed("pages", || page::run(false))?;
    cargo::run("formatting", &["fmt", "--all", "--check"])?;
    cargo::run("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    timed("Python", || python::check(false))?;
    timed("other platforms", || platforms::run(all_platforms))?;
    timed("firmware", || firmware::run(false))?;
    timed("instruction count", || instruction_count::run(false))?;
    timed("stability", bench::stability_of_few)?;
    cargo::run("documentation", &["doc", "--workspace", "--no-deps"])?;
    timed("packages", packages::run)?;
    timed("footprint", footprint::run)?;
    let suite = [
        "test",
        "--package",
        "zor-nn",
        "--package",
        "zor-io",
        "--lib",
        "--features",
        "wgpu,ndarray",
    ];
    let only = ["--", "--nocapture", "verify::", "device"];
    cargo::run("devices", &[&suite[..], &only].concat())
}
