//! Any bytes as call data of the precompile, on a chain that has models.
#![no_main]

/// As the tests' module of this name; paths are from this package's folder.
mod artifacts {
    alloy_sol_types::sol!(
        #[allow(missing_docs)]
        Prober,
        "../../../contracts/artifacts/Prober.json"
    );
}
#[path = "../../tests/it/onnx.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod onnx;
#[path = "../../tests/it/property.rs"]
mod property;
#[path = "../../tests/it/world.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod world;

use alloy_primitives::Bytes;

thread_local! {
    static WORLD: world::World = world::World::with_models();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    WORLD.with(|world| property::ends_as_specified(world, Bytes::copy_from_slice(data), 1_000_000));
});
