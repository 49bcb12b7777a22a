//! The floating-point environment of the thread.
//!
//! Rounding mode and the treatment of subnormals are a register of each thread, and a C library can change it (audio and
//! graphics libraries set flush-to-zero; some are linked with start-up code that does). Then every sum could differ. So
//! whoever runs a network asks first.

/// Whether this thread rounds to nearest, keeps subnormals and traps nothing, as the arithmetic assumes.
///
/// On processors whose register cannot be read here, a few operations that would show a difference are tried.
#[must_use]
pub fn is_default() -> bool {
    register_is_default() && behaves()
}

#[cfg(target_arch = "x86_64")]
fn register_is_default() -> bool {
    let mut mxcsr = 0_u32;
    // SAFETY: stmxcsr writes the 32 bits of the register to the given address, which is that of a live u32.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags));
    }
    // everything but the sticky exception flags (bits 0 to 5): all exceptions masked, round to nearest, no DAZ, no FTZ
    mxcsr & !0x3f == 0x1f80
}

#[cfg(target_arch = "aarch64")]
fn register_is_default() -> bool {
    let fpcr: u64;
    // SAFETY: reading FPCR has no effect.
    unsafe {
        std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags));
    }
    // AHP, DN, FZ, RMode, FZ16 and the trap enables
    fpcr & 0x07ff_9f00 == 0
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn register_is_default() -> bool {
    true
}

/// Subnormals survive as operands and results, and halfway cases go to even on both sides of zero.
fn behaves() -> bool {
    use std::hint::black_box;
    let tiny = black_box(f32::from_bits(1));
    let least = black_box(f32::MIN_POSITIVE);
    let ulp_half = black_box(f32::EPSILON / 2.0);
    let one = black_box(1.0_f32);
    tiny + tiny == f32::from_bits(2)
        && least * 0.5 == f32::from_bits(0x0040_0000)
        && one + ulp_half == one
        && -one - ulp_half == -one
        && (one + f32::EPSILON) + ulp_half == one + 2.0 * f32::EPSILON
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_thread_has_the_default_environment() {
        assert!(is_default());
        assert!(std::thread::spawn(is_default).join().unwrap());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_changed_register_is_noticed() {
        let set = |value: u32| {
            // SAFETY: the value keeps every exception masked, so no later operation can trap, and the thread ends
            // with the default restored.
            unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack)) }
        };
        std::thread::spawn(move || {
            for changed in [0x1f80 | 0x8000, 0x1f80 | 0x0040, 0x1f80 | 0x2000, 0x1f80 | 0x6000] {
                set(changed);
                let noticed = !is_default();
                set(0x1f80);
                assert!(noticed, "MXCSR {changed:#x}");
            }
            assert!(is_default());
        })
        .join()
        .unwrap();
    }
}
