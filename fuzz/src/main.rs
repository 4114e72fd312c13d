//! The command of the fuzzer; see the library.

use std::process::ExitCode;
use std::time::Instant;

use zor::prelude::Random;
use zor_fuzz::allocations::Counting;
use zor_fuzz::targets::{TARGETS, Target};
use zor_fuzz::{corpus, feed, kept, mutate, sound};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const USAGE: &str = "usage: cargo run -p zor-fuzz -- --executions N [--target NAME] [--seed N]
       cargo run -p zor-fuzz -- --write-corpus";

/// Maximum number of inputs in the pool: the corpus, and mutated inputs to mutate again.
const POOL: usize = 256;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--write-corpus"] {
        return match sound::write(&corpus()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(1)
            }
        };
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let number = |name| value(name).map(|text| text.replace('_', "").parse::<u64>());
    let (Some(Ok(executions)), Ok(seed)) =
        (number("--executions"), number("--seed").unwrap_or(Ok(0)))
    else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let chosen = |target: &&Target| value("--target").is_none_or(|name| name == target.name);
    let mut found = 0;
    let mut any = false;
    for target in TARGETS.iter().filter(chosen) {
        any = true;
        match fuzz(target, executions, seed) {
            Ok(n) => found += n,
            Err(error) => {
                eprintln!("{}: {error}", target.name);
                return ExitCode::from(1);
            }
        }
    }
    if !any {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("{USAGE}\ntargets: {}", names.join(", "));
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(found > 0))
}

/// Fuzzes one target. Returns the number of inputs that failed, and saves them in the corpus.
fn fuzz(target: &Target, executions: u64, seed: u64) -> std::io::Result<usize> {
    let mut pool: Vec<Vec<u8>> = kept(target)?.into_iter().map(|(_, bytes)| bytes).collect();
    let sound = pool.len();
    if sound == 0 {
        return Err(std::io::Error::other("it has no corpus"));
    }
    // Panics are counted, not printed.
    std::panic::set_hook(Box::new(|_| {}));
    let (start, mut found, mut taken) = (Instant::now(), 0, 0);
    let (mut random, mut input) = (Random::stream(seed, executions), Vec::new());
    for _ in 0..executions {
        // Half of the inputs are direct mutations of the corpus.
        let from = if random.chance(0.5) { sound } else { pool.len() };
        let (one, other) = (random.below(from), random.below(pool.len()));
        mutate::mutate(&pool[one], &pool[other], &mut random, &mut input);
        match feed(target, &input) {
            Ok(accepted) => taken += u64::from(accepted),
            Err(harm) => {
                found += 1;
                let path = corpus().join(format!("{}-harm-{seed}-{found}", target.name));
                eprintln!("{}: {harm}; saved as {}", target.name, path.display());
                std::fs::write(path, &input)?;
                if found == 10 {
                    break;
                }
            }
        }
        // Some mutated inputs join the pool and replace earlier ones, so that mutations accumulate.
        if random.below(64) == 0 {
            if pool.len() < POOL {
                pool.push(input.clone());
            } else {
                let place = sound + random.below(POOL - sound);
                pool[place].clone_from(&input);
            }
        }
    }
    let _ = std::panic::take_hook();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}: {executions} executions in {seconds:.0} s, {taken} inputs accepted, {found} failed",
        target.name
    );
    Ok(found)
}
