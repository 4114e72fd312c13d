//! Copies the memory map to the linker's search path.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=memory.x");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none")
        && let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from)
    {
        fs::write(out.join("memory.x"), include_bytes!("memory.x"))
            .expect("OUT_DIR can be written");
        println!("cargo::rustc-link-search={}", out.display());
        println!("cargo::rustc-link-arg-bins=-Tlink.x");
    }
}
