//! The long run of byte fuzzing; see `bytes.rs`.

#![allow(clippy::print_stdout, reason = "what it finds is all that it prints")]

mod bytes;
#[path = "../bench/differential/dice.rs"]
#[allow(dead_code, reason = "made for trees, of which this needs less")]
mod dice;

use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name: &str| value(name).and_then(|text| text.parse::<u64>().ok());
    let Some(seconds) = number("--seconds").or(number("--count").map(|_| 3600)) else {
        println!("usage: --seconds N [--count N] [--seed N]; without a time nothing runs");
        return ExitCode::SUCCESS;
    };
    let (first, most) = (number("--seed").unwrap_or(1), number("--count").unwrap_or(u64::MAX));
    let corpus = bytes::corpus();
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut inputs, mut faults) = (0_u64, 0_u64);
    while inputs < most && Instant::now() < end {
        if let Err(what) = bytes::run(&corpus, first + inputs) {
            faults += 1;
            println!("seed {}: {what}", first + inputs);
        }
        inputs += 1;
    }
    println!("{inputs} inputs, {faults} faults");
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
