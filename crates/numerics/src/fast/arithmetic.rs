//! Sums, differences, products and quotients of many elements, one after another in registers.
//!
//! Networks spell what they compute in operators of one operation each. An element that stays in a register between them costs an
//! instruction for each; loaded and stored, it costs three times that. Every operation rounds as it does alone. NaNs become canonical
//! at the end only: whatever a NaN's bits are, an operation makes a NaN of it and of nothing else.

use super::lanes::{Lanes, first_lanes, on_isa};
use crate::isa::Isa;

/// What is done to an element, with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// element + other.
    Add,
    /// element − other.
    Subtract,
    /// other − element.
    SubtractFrom,
    /// element · other.
    Multiply,
    /// element ÷ other.
    Divide,
    /// other ÷ element.
    DivideInto,
}

impl Operation {
    /// The operation with its operands exchanged.
    #[must_use]
    pub fn exchanged(self) -> Self {
        match self {
            Self::Add | Self::Multiply => self,
            Self::Subtract => Self::SubtractFrom,
            Self::SubtractFrom => Self::Subtract,
            Self::Divide => Self::DivideInto,
            Self::DivideInto => Self::Divide,
        }
    }
}

/// The other operand of an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Other<'a> {
    /// The same number for every element.
    Number(f32),
    /// One for each.
    Elements(&'a [f32]),
}

/// Writes what a number of operations, each with its rounding, make of every element.
///
/// # Panics
/// If the slices differ in length.
pub fn compute(x: &[f32], steps: &[(Operation, Other<'_>)], out: &mut [f32]) {
    let length = out.len();
    let fits = |other: &Other<'_>| match other {
        Other::Number(_) => true,
        Other::Elements(elements) => elements.len() == length,
    };
    assert!(
        x.len() == length && steps.iter().all(|(_, other)| fits(other)),
        "an operation has as many results as elements, and as many others"
    );
    let isa = Isa::current();
    // SAFETY: the processor has what `Isa::current` says, and all slices have as many elements.
    unsafe {
        // as many vectors, with as many others, as there are registers for
        match isa {
            Isa::Avx512 => in_registers::<8>(isa, x, steps, out),
            Isa::Avx2 => in_registers::<4>(isa, x, steps, out),
            _ => in_registers::<2>(isa, x, steps, out),
        }
    }
}

/// Lanes of a vector.
const LANES: usize = 16;

on_isa! {
    /// # Safety
    /// The machine must have the instruction set, and all slices as many elements as `out`.
    unsafe fn in_registers<L, const V: usize>(x: &[f32], steps: &[(Operation, Other<'_>)], out: &mut [f32]) {
        let (length, x, out) = (out.len(), x.as_ptr(), out.as_mut_ptr());
        let mut at = 0;
        while at < length {
            // SAFETY: what is loaded and stored begins before the end, and no lane beyond it is; the rest is the contract.
            unsafe {
                if at + V * LANES <= length {
                    several::<L, V>(x, steps, out, at);
                    at += V * LANES;
                } else {
                    let mask = first_lanes((length - at).min(LANES));
                    some::<L>(x, steps, out, at, mask);
                    at += LANES;
                }
            }
        }
    }
}

/// Several vectors of elements from one on.
///
/// # Safety
/// As [`in_registers`]; there are so many elements.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "see `lanes`")]
unsafe fn several<L: Lanes, const V: usize>(
    x: *const f32,
    steps: &[(Operation, Other<'_>)],
    out: *mut f32,
    at: usize,
) {
    // SAFETY: by the contract.
    unsafe {
        let mut vectors = [L::zero(); V];
        for v in 0..V {
            vectors[v] = L::load(x.add(at + v * LANES));
        }
        for (operation, other) in steps {
            match other {
                Other::Number(number) => step(*operation, &mut vectors, &[L::splat(number); V]),
                Other::Elements(elements) => {
                    let elements = elements.as_ptr();
                    let mut others = [L::zero(); V];
                    for v in 0..V {
                        others[v] = L::load(elements.add(at + v * LANES));
                    }
                    step(*operation, &mut vectors, &others);
                }
            }
        }
        for v in 0..V {
            vectors[v].canonical().store(out.add(at + v * LANES));
        }
    }
}

/// Those of a vector of elements whose bit is set.
///
/// # Safety
/// As [`in_registers`]; these elements are there.
#[inline(always)]
unsafe fn some<L: Lanes>(
    x: *const f32,
    steps: &[(Operation, Other<'_>)],
    out: *mut f32,
    at: usize,
    mask: u16,
) {
    // SAFETY: by the contract.
    unsafe {
        let mut vector = [L::load_some(x.add(at), mask)];
        for (operation, other) in steps {
            let other = match other {
                Other::Number(number) => L::splat(number),
                Other::Elements(elements) => L::load_some(elements.as_ptr().add(at), mask),
            };
            step(*operation, &mut vector, &[other]);
        }
        vector[0].canonical().store_some(out.add(at), mask);
    }
}

/// One operation on several vectors.
///
/// # Safety
/// The machine must have the instruction set.
#[inline(always)]
unsafe fn step<L: Lanes, const V: usize>(operation: Operation, x: &mut [L; V], y: &[L; V]) {
    macro_rules! each {
        (|$a:ident, $b:ident| $result:expr) => {
            for v in 0..V {
                let ($a, $b) = (x[v], y[v]);
                x[v] = $result;
            }
        };
    }
    // SAFETY: by the contract.
    unsafe {
        match operation {
            Operation::Add => each!(|a, b| a.add(b)),
            Operation::Subtract => each!(|a, b| a.sub(b)),
            Operation::SubtractFrom => each!(|a, b| b.sub(a)),
            Operation::Multiply => each!(|a, b| a.mul(b)),
            Operation::Divide => each!(|a, b| a.div(b)),
            Operation::DivideInto => each!(|a, b| b.div(a)),
        }
    }
}
