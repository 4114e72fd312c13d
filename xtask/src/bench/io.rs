//! Time to save and load a network, relative to hashing, writing and reading the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zor::io;
use zor::prelude::*;

use super::spread::Spread;
use super::suite::Suite;
use crate::paths::text;
use crate::table::Table;

/// This suite.
pub(crate) const SUITE: Suite =
    Suite { name: "io", data: None, peer: None, run: |_, _| run(), figures };

const ROUNDS: usize = 15;
/// Maximum time, relative to hashing, writing and reading the bytes alone.
const PROMISED: f64 = 2.0;

pub(crate) fn run() -> Result<Value, String> {
    let device = Device::flex();
    let network = Network::dense(&[3072, 728, 3072]).build(&device).map_err(text)?;
    let folder = std::env::temp_dir().join(format!("zor-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(text)?;
    let measured = rounds(&network, &folder);
    fs::remove_dir_all(&folder).map_err(text)?;
    let ratio = Spread::of(&measured?);
    println!(
        "saving and loading 3072-728-3072, relative to its bytes alone: {}",
        ratio.with_unit("")
    );
    Ok(json!({ "suite": "io", "times_its_bytes": ratio.json() }))
}

/// Adds the promised and the measured figures of the numbers that [`run`] returns.
pub(crate) fn figures(raw: &Value, table: &mut Table) {
    let ratio = Spread::read(&raw["times_its_bytes"]);
    let name = "saving and loading 3072-728-3072, relative to its bytes alone";
    let promised = format!("at most {PROMISED:.1}");
    table.add(name, promised, ratio.with_unit(""), ratio.median <= PROMISED);
}

/// Returns the ratio of each round: the speed of the machine affects both times alike.
fn rounds(network: &Network, folder: &Path) -> Result<Vec<f64>, String> {
    let (model, bytes) = (folder.join("model.zor"), folder.join("bytes"));
    io::save(network, &BTreeMap::new(), &model).map_err(text)?;
    let contents = fs::read(&model).map_err(text)?;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let digest = Sha256::digest(&contents);
        File::create(&bytes)
            .and_then(|mut file| file.write_all(&contents).and_then(|()| file.sync_all()))
            .map_err(text)?;
        if Sha256::digest(fs::read(&bytes).map_err(text)?) != digest {
            return Err("the bytes read differ from those written".to_owned());
        }
        let alone = start.elapsed().as_secs_f64();
        let start = Instant::now();
        io::save(network, &BTreeMap::new(), &model).map_err(text)?;
        let (loaded, _) = io::load(&model, &Device::flex()).map_err(text)?;
        ratios.push(start.elapsed().as_secs_f64() / alone);
        drop(loaded);
    }
    Ok(ratios)
}
