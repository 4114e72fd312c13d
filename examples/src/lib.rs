//! Example programs, one file each. Run one by
//! `cargo run --release -p zor-examples --example NAME`.
//!
//! The snippets of the README are compiled and run as tests of this crate.

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct Readme;

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_shows_the_quick_start_as_it_is() {
        let program = include_str!("../quickstart.rs");
        let code = program.split_once("use zor").map_or("", |(_, code)| code);
        assert!(program.lines().count() <= 25, "the quick start is longer than 25 lines");
        assert!(include_str!("../../README.md").contains(&format!("use zor{code}")));
    }
}
