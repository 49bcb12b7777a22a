//! The arithmetic against itself (fast kernels against the reference) and against independent oracles.

mod agreement;
mod arithmetic;
mod blocks;
mod conversions;
mod epilogues;
mod functions;
mod ieee;
mod integers;
mod networks;

use std::sync::{Mutex, MutexGuard, PoisonError};

use synod_numerics::isa::{Isa, force};
use synod_numerics::pool::set_threads;

/// Numbers from a seed, the awkward ones often among them.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 32) as usize % end
    }

    /// Any bit pattern.
    pub(crate) fn any(&mut self) -> f32 {
        f32::from_bits((self.next() >> 32) as u32)
    }

    /// What networks hold, with now and then a subnormal, a zero of either sign, something huge; no infinity or NaN.
    pub(crate) fn finite(&mut self) -> f32 {
        let bits = (self.next() >> 32) as u32;
        let unit = f32::from_bits((bits & 0x807f_ffff) | 0x3f00_0000);
        match self.below(64) {
            0 => f32::from_bits(bits & 0x807f_ffff),
            1 => f32::from_bits(bits & 0x8000_0000),
            2 => unit * 1e30,
            3 => unit * 1e-30,
            _ => unit * (self.below(7) as f32 - 3.0),
        }
    }

    /// [`Numbers::finite`], but one in 300 is an infinity or a NaN with some payload.
    pub(crate) fn special(&mut self) -> f32 {
        match self.below(600) {
            0 => f32::from_bits(((self.next() >> 32) as u32) | 0x7fc0_0000),
            1 if self.below(2) == 0 => f32::INFINITY,
            1 => f32::NEG_INFINITY,
            _ => self.finite(),
        }
    }

    /// A slice: every third holds infinities and NaNs.
    pub(crate) fn slice(&mut self, length: usize) -> Vec<f32> {
        let special = self.below(3) == 0;
        (0..length)
            .map(|_| if special { self.special() } else { self.finite() })
            .collect()
    }
}

/// Runs a comparison on every instruction set of this machine, one test at a time.
pub(crate) fn on_every_isa(mut compare: impl FnMut(Isa)) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    struct Forced(#[expect(dead_code, reason = "held until the forcing ends")] MutexGuard<'static, ()>);
    impl Drop for Forced {
        fn drop(&mut self) {
            force(None);
        }
    }
    let _forced = Forced(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner));
    for &isa in Isa::available() {
        force(Some(isa));
        compare(isa);
    }
}

/// Runs a comparison on every instruction set with one thread and with three.
pub(crate) fn on_every_isa_and_threads(mut compare: impl FnMut(&str)) {
    on_every_isa(|isa| {
        for threads in [1, 3] {
            set_threads(threads);
            compare(&format!("{isa:?} with {threads} threads"));
        }
        set_threads(1);
    });
}

/// Asserts that two results have the same bits.
#[track_caller]
pub(crate) fn assert_same(ours: &[f32], reference: &[f32], what: &str) {
    assert_eq!(ours.len(), reference.len(), "{what}: lengths");
    for (i, (a, b)) in ours.iter().zip(reference).enumerate() {
        assert_eq!(
            a.to_bits(),
            b.to_bits(),
            "{what}: element {i} is {a:e}, the reference has {b:e}"
        );
    }
}
