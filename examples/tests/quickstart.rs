//! The quick start prints what the README says. `cargo test` builds the example.

use std::error::Error;
use std::process::Command;

#[test]
fn the_quick_start_prints_what_the_readme_says() -> Result<(), Box<dyn Error>> {
    let readme = include_str!("../../README.md");
    let said = readme.split_once("Both print `").and_then(|(_, rest)| rest.split_once('`'));
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(|deps| deps.parent()).ok_or("no target folder")?;
    let name = format!("quickstart{}", std::env::consts::EXE_SUFFIX);
    let output = Command::new(folder.join("examples").join(name)).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout)?.trim(), said.ok_or("no output in the README")?.0);
    Ok(())
}
