//! The arithmetic of Synod: what every operator computes, to the bit.
//!
//! Validators must agree on every bit of a network's output, on any processor, with any number of threads. So the
//! arithmetic is not what the hardware and the compiler happen to do, but what `docs/spec/arithmetic.md` says. It is
//! written down three times:
//!
//! 1. in words, in that document;
//! 2. in [`mod@reference`]: scalar, obvious code, one loop for each sum of the definition;
//! 3. in the fast kernels: vectorised over outputs, never over the terms of a sum, so that packing, tiles and vector
//!    width change the speed and nothing else.
//!
//! Property tests hold the second against the third over shapes and special values, and independent oracles against
//! both.
//!
//! What makes this possible: IEEE 754 fixes +, −, ×, ÷, √ and fused multiply-add to the bit, and the compiler neither
//! reorders nor contracts them. What is left to fix is the order of sums (a function of the operator and of the
//! reduced length, of nothing else), the functions that IEEE 754 leaves open ([`math`]), NaN payloads and signs (one
//! canonical quiet NaN leaves an operator), the sign of max(−0, +0), and the conversions.
//!
//! What can go wrong, and what guards against it: a C library in the process that sets flush-to-zero (see
//! [`environment`]); the x87 unit, which rounds twice (refused below); a platform's mathematical library (never
//! called; `clippy.toml` forbids it).
//!
//! This crate knows slices, not tensors and not chains.

pub mod environment;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(
        dead_code,
        unused_imports,
        unused_mut,
        reason = "what only the kernels of x86 have use for"
    )
)]
pub mod fast;
pub mod float;
pub mod half;
pub mod integer;
pub mod isa;
pub mod math;
pub mod pool;
pub mod quantize;
pub mod quotient;
pub mod reference;
pub mod shape;

#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!("the x87 unit rounds results twice: build for a target with SSE2");
