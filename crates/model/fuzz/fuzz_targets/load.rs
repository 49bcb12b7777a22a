//! Any bytes as a canonical graph and its weights: two bytes of length, the graph, the weights.
#![no_main]

#[path = "../../tests/fuzzing/mod.rs"]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let split = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        fuzzing::load_any(&rest[..split], &rest[split..]);
    }
});
