//! `docs/benchmarks.md`, from the numbers in `docs/results`.

use std::fs;

use crate::bench::{Suite, remarks};
use crate::figures::Table;
use crate::{results, root};

const HEAD: &str = "# Benchmarks

Written by `cargo xtask pages --write` from the numbers in [results](results); do not edit. `cargo xtask bench --suite NAME --peer torch --write` measures a
suite again. Where others are measured too they take turns with Zor in the same run, after a round that warms up; ratios are taken pair by
pair, and given as median [lowest, highest]. PyTorch's version is pinned in `benches/peers/requirements.txt`. [cost.md](cost.md) explains what a step costs.

A figure marked SHORT is not what was promised; the text below its table says why.
";

/// Writes the page, or says that it is not what the numbers make it.
pub(crate) fn run(write: bool) -> Result<(), String> {
    let path = root().join("docs/benchmarks.md");
    let page = page();
    if write {
        return fs::write(&path, page).map_err(|e| format!("{}: {e}", path.display()));
    }
    if fs::read_to_string(&path).unwrap_or_default() == page {
        return Ok(());
    }
    Err("docs/benchmarks.md is not what docs/results say: run `cargo xtask pages --write`"
        .to_owned())
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for suite in Suite::ALL {
        let name = suite.name();
        let Ok(kept) = results::read(name) else {
            continue;
        };
        let mut table = Table::default();
        suite.figures(&kept, &mut table);
        let commit: String =
            kept["commit"].as_str().unwrap_or("unknown").chars().take(10).collect();
        page += &format!("\n## {name}\n\n");
        page += &format!(
            "[{name}.json](results/{name}.json), commit {commit}, {} threads.\n\n",
            kept["threads"]
        );
        page += &table.markdown();
        page += &format!("\n{}\n", remarks::of(suite));
    }
    page
}
