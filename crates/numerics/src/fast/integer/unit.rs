//! Which instructions multiply bytes.

use crate::isa::Isa;
use std::sync::atomic::{AtomicU8, Ordering};

/// Instructions for sums of products of bytes, slowest first. All are exact; none saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Unit {
    /// Any machine: what the compiler makes of it.
    Portable = 1,
    /// AVX2: bytes widened to 16 bits, `vpmaddwd`.
    Avx2 = 2,
    /// AVX-VNNI: `vpdpbusd` on 256 bits.
    AvxVnni = 3,
    /// AVX-512 with VNNI: `vpdpbusd` on 512 bits.
    Avx512Vnni = 4,
    /// The same, and AMX: `tdpbusd` on tiles, where products have rows enough for them.
    Amx = 5,
}

static FORCED: AtomicU8 = AtomicU8::new(0);

/// Makes the whole process use at most this unit, or the fastest again with `None`: for tests and measurements. An
/// [`Isa`] that is forced limits it too.
pub fn force(unit: Option<Unit>) {
    FORCED.store(unit.map_or(0, |unit| unit as u8), Ordering::Relaxed);
}

impl Unit {
    /// All units, slowest first.
    pub const ALL: [Unit; 5] = [
        Unit::Portable,
        Unit::Avx2,
        Unit::AvxVnni,
        Unit::Avx512Vnni,
        Unit::Amx,
    ];

    /// Whether this machine has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            match self {
                Unit::Portable => true,
                Unit::Avx2 => has!("avx2"),
                Unit::AvxVnni => has!("avx2") && has!("avxvnni"),
                Unit::Avx512Vnni => {
                    has!("avx2")
                        && has!("avx512f")
                        && has!("avx512bw")
                        && has!("avx512vl")
                        && has!("avx512vnni")
                }
                Unit::Amx => Unit::Avx512Vnni.is_available() && super::amx::is_available(),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Unit::Portable
        }
    }

    /// The unit in use: the fastest that the machine has, within what is forced.
    #[must_use]
    pub fn current() -> Unit {
        let most = match Isa::current() {
            Isa::Scalar | Isa::Sse2 => Unit::Portable,
            isa if isa < Isa::detect() => Unit::Avx2,
            _ => Unit::Amx,
        };
        let most = match FORCED.load(Ordering::Relaxed) {
            1 => Unit::Portable,
            2 => most.min(Unit::Avx2),
            3 => most.min(Unit::AvxVnni),
            4 => most.min(Unit::Avx512Vnni),
            _ => most,
        };
        let usable = |unit: &Unit| *unit <= most && unit.is_available();
        Unit::ALL.into_iter().rev().find(usable).unwrap_or(Unit::Portable)
    }

    /// Whether weights are packed as bytes, four terms together, rather than widened to 16 bits.
    pub(super) fn takes_bytes(self) -> bool {
        self >= Unit::AvxVnni
    }

    /// Whether it has `vpdpbusd` on 512 bits.
    pub(super) fn has_wide_vnni(self) -> bool {
        self >= Unit::Avx512Vnni
    }

    /// How many products of bytes it makes in a nanosecond, to tell whether work is worth sharing out.
    pub(super) fn per_nanosecond(self) -> u64 {
        match self {
            Unit::Amx => 1024,
            Unit::Avx512Vnni => 256,
            _ => 64,
        }
    }
}
