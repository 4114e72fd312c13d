//! Every promised figure beside what is measured.
//!
//! The short ones take about a minute. Long ones stand in `docs/results/` with their commit;
//! `--long` measures them anew, and adds twenty random draws of ten images with their baselines.
//! `--write` keeps the raw numbers. Figures that need the full data set are skipped, and said to
//! be, where only the sample is there.

mod reconstruction;

use std::fs;

use serde_json::Value;
use zor::prelude::*;
use zor::tasks::parts::data_sets::{Cifar10Set, DataSet, FashionMnistSet};

use crate::bench::{Choice, SUITES};
use crate::paths::{root, text};
use crate::table::Table;
use crate::{parity, results};

/// Measures, prints the table, and fails if a figure falls short.
pub(crate) fn run(long: bool, write: bool) -> Result<(), String> {
    let locations = Locations::from_environment(None);
    let data = FashionMnistSet.load(&locations).map_err(text)?;
    println!("data: {}", data.source);
    if data.test.is_none() {
        println!("skipped: all but ten images needs the full data set (ZOR_DATA_DIR)");
    }
    let mut table = Table::default();
    traces(&mut table)?;
    reconstruction::measure(&data, &mut table, long, write)?;
    let everything = Choice { torch: true, ..Choice::default() };
    let photographs = long.then(|| Cifar10Set.load(&locations).map(drop));
    if let Some(Err(error)) = &photographs {
        println!("skipped: cifar is not measured anew: {error}");
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
        // A suite without numbers is in the table as short.
        let kept = results::read(suite.name);
        match &kept {
            Ok(kept) => println!("{}: measured at commit {}", suite.name, kept["commit"]),
            Err(error) => println!("{}: not measured: {error}", suite.name),
        }
        (suite.figures)(&kept.unwrap_or(Value::Null), &mut table);
    }
    table.print();
    let short = table.short();
    if short.is_empty() {
        Ok(())
    } else {
        Err(format!("short of what is promised: {}", short.join("; ")))
    }
}

/// The classic rule's reference traces.
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
