//! What in `docs` is made of the numbers in `docs/results`: all of `benchmarks.md`, the tables of
//! `classification.md` and its picture, the picture of `edge.md`, and the README's table of
//! CIFAR-10 classification.

use std::fs;
use std::path::PathBuf;

use crate::bench::{SUITES, cifar_classification, rules, silence};
use crate::paths::root;
use crate::table::Table;
use crate::{gpu, results};

const HEAD: &str = "# Benchmarks

Written by `cargo xtask pages --write` from the numbers in [results](results); do not edit. `cargo xtask bench --suite NAME --peer torch --write` measures a
suite again. Where others are measured too they take turns with Zor in the same run, after a round that warms up; ratios are taken pair by
pair, and given as median [lowest, highest]. PyTorch's version is pinned in `benches/peers/requirements.txt`. [cost.md](cost.md) explains what a step costs.

A figure marked SHORT is not what was promised; the text below its table says why.
";

/// Writes what is made of numbers, or says what is not as they make it.
pub(crate) fn run(write: bool) -> Result<(), String> {
    for (path, made) in made()? {
        if write {
            fs::write(&path, made).map_err(|e| format!("{}: {e}", path.display()))?;
        } else if fs::read_to_string(&path).unwrap_or_default() != made {
            return Err(format!(
                "{} is not what docs/results say: run `cargo xtask pages --write`",
                path.display()
            ));
        }
    }
    Ok(())
}

fn made() -> Result<Vec<(PathBuf, String)>, String> {
    let docs = root().join("docs");
    let mut made = vec![(docs.join("benchmarks.md"), page())];
    let path = docs.join("classification.md");
    let mut text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    if let Ok(kept) = results::read("cifar-classification") {
        text = filled(&text, "cifar-classification", &cifar_classification::page(&kept))?;
        let readme = root().join("README.md");
        let page = fs::read_to_string(&readme).map_err(|e| format!("{}: {e}", readme.display()))?;
        let table = cifar_classification::readme(&kept);
        made.push((readme, filled(&page, "cifar-classification", &table)?));
    }
    if let Ok(kept) = results::read("gpu") {
        let path = docs.join("cost.md");
        let page = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        made.push((path, filled(&page, "gpu", &gpu::page(&kept))?));
    }
    if let Ok(kept) = results::read("rules") {
        text = filled(&text, "rules", &rules::page(&kept))?;
        made.push((docs.join("rules.svg"), rules::picture(&kept)));
    }
    made.push((path, text));
    if let Ok(kept) = results::read("silence") {
        made.push((docs.join("silence.svg"), silence::picture(&kept)));
    }
    Ok(made)
}

/// A page with a table between the marks of its name.
fn filled(page: &str, name: &str, table: &str) -> Result<String, String> {
    let (start, end) = (format!("<!-- {name}.json -->\n"), format!("<!-- end of {name}.json -->"));
    let parts = page
        .split_once(&start)
        .and_then(|(before, rest)| rest.split_once(&end).map(|(_, after)| (before, after)));
    let (before, after) = parts.ok_or_else(|| format!("a page lacks the marks {start}{end}"))?;
    Ok(format!("{before}{start}\n{}\n\n{end}{after}", table.trim_end()))
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for suite in SUITES {
        let name = suite.name;
        let Ok(kept) = results::read(name) else {
            continue;
        };
        let mut table = Table::default();
        (suite.figures)(&kept, &mut table);
        let commit: String =
            kept["commit"].as_str().unwrap_or("unknown").chars().take(10).collect();
        page += &format!("\n## {name}\n\n");
        page += &format!(
            "[{name}.json](results/{name}.json), commit {commit}, {} threads.\n\n",
            kept["threads"]
        );
        page += &table.markdown();
        page += &format!("\n{}", suite.remarks);
    }
    page
}
