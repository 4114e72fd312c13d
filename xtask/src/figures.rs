//! All promised figures with their measured values: `cargo xtask figures`.
//!
//! The short measurements take about a minute. Those of the suites are read from `docs/results/`;
//! `--long` measures them again, and adds twenty random draws of ten images with their baselines.
//! `--write` writes the results files. Figures that need the full data set are skipped with a
//! message where only the sample is available.

mod reconstruction;

use std::fs;

use serde_json::Value;
use zor::prelude::*;
use zor::tasks::parts::data_sets::{Cifar10Set, DataSet, FashionMnistSet};

use crate::bench::{SUITES, SuiteFilter};
use crate::clock::Machine;
use crate::paths::{root, text};
use crate::table::Table;
use crate::{parity, results};

/// Measures, prints the table, and fails if a figure misses its promise.
pub(crate) fn run(long: bool, write: bool) -> Result<(), String> {
    let locations = Locations::from_environment(None);
    let data = FashionMnistSet.load(&locations).map_err(text)?;
    println!("data: {}", data.source);
    println!("machine: {}", Machine::measured());
    if data.test.is_none() {
        println!(
            "skipped: figures other than those of ten images need the full data set (ZOR_DATA_DIR)"
        );
    }
    let mut table = Table::default();
    traces(&mut table)?;
    reconstruction::measure(&data, &mut table, long, write)?;
    let everything = SuiteFilter { peers: true, ..SuiteFilter::default() };
    let photographs = long.then(|| Cifar10Set.load(&locations).map(drop));
    if let Some(Err(error)) = &photographs {
        println!("skipped: suites on CIFAR-10 are not measured again: {error}");
    }
    for suite in SUITES {
        let there = match suite.data {
            Some(set) if set.name() == Cifar10Set.name() => matches!(photographs, Some(Ok(()))),
            Some(_) => data.test.is_some(),
            None => true,
        };
        if long && there {
            (suite.figures)(&suite.run(&everything, write)?, &mut table);
            continue;
        }
        // A suite without a results file misses its promises.
        let kept = results::read(suite.name);
        match &kept {
            Ok(kept) => println!("{}: measured at commit {}", suite.name, kept["commit"]),
            Err(error) => println!("{}: not measured: {error}", suite.name),
        }
        (suite.figures)(&kept.unwrap_or(Value::Null), &mut table);
    }
    table.print();
    let short = table.short();
    if short.is_empty() { Ok(()) } else { Err(format!("promises missed: {}", short.join("; "))) }
}

/// Adds the number of reference traces of the classic rule that are followed.
fn traces(table: &mut Table) -> Result<(), String> {
    let folder = root().join("xtask/golden");
    let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let (mut followed, mut all, mut on_the_edge, mut all_there) = (0, 0, 0, 0);
    for path in entries.flatten().map(|entry| entry.path()) {
        all += 1;
        followed += usize::from(parity::replay(&path)?.failure().is_none());
        if let Some(report) = parity::replay_on_the_edge(&path)? {
            all_there += 1;
            on_the_edge += usize::from(report.failure().is_none());
        }
    }
    let kept = on_the_edge == all_there;
    let promised = all_there.to_string();
    table.add("reference traces followed by zor-edge", promised, on_the_edge.to_string(), kept);
    let promised = all.to_string();
    table.add("reference traces followed", promised, followed.to_string(), followed == all);
    Ok(())
}
