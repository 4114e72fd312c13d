//! The tagging example learns, and its kind of network is refused by name where it has no form.

use std::error::Error;
use std::process::Command;

use zor::compile::{DType, compile};
use zor::prelude::*;

#[test]
fn tagging_prints_the_accuracy_of_all_words_and_of_those_with_two_tags()
-> Result<(), Box<dyn Error>> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(|deps| deps.parent()).ok_or("no target folder")?;
    let name = format!("tagging{}", std::env::consts::EXE_SUFFIX);
    let output = Command::new(folder.join("examples").join(name)).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let percent = |line: &str| line.split_once(" % of").and_then(|(found, _)| found.parse().ok());
    let accuracies: Vec<f32> = text.lines().filter_map(percent).collect();
    assert!(accuracies.len() == 2 && accuracies.iter().all(|found| *found > 95.0), "{text}");
    Ok(())
}

#[test]
fn a_program_for_small_devices_has_no_embeddings() -> zor::Result<()> {
    let network = Network::builder(&[1]).layer(EmbeddingConfig::new(7, 4));
    let network = network.layer(DenseConfig::new(2)).build(&Device::flex())?;
    let error = compile(&network, DType::F32, &[]).err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("layer 0 (embedding)")));
    Ok(())
}
