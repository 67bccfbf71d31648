//! A short run of byte fuzzing with every `cargo test`; `tests/fuzz/bytes.rs` says how to run it for longer.

#[path = "../fuzz/bytes.rs"]
mod bytes;
#[path = "../bench/differential/dice.rs"]
#[allow(dead_code, reason = "made for trees, of which this needs less")]
mod dice;

#[test]
fn spoilt_files_are_read_written_and_built_without_a_panic() {
    let corpus = bytes::corpus();
    assert!(corpus.len() > 20, "{}", corpus.len());
    for seed in 0..400 {
        if let Err(what) = bytes::run(&corpus, seed) {
            panic!("seed {seed}: {what}");
        }
    }
}
