//! Sums of two quantised tensors, quantised again: what joins the branches of a quantised network.

use super::{BLOCK, Grid, Steps};
use crate::isa::{self, Isa, multiversion};
use crate::quotient::Divisor;
use std::sync::OnceLock;

/// The sum of two quantised tensors, perhaps within bounds, quantised: each operation rounds as it does by itself,
///
/// ```text
/// place(bounds((a − zero)·scale + (b − zero)·scale) ÷ scale)
/// ```
///
/// There are 65,536 pairs of bytes. Sums of many are computed by a shorter formula, two fused multiply-adds, if it gives the
/// byte above for each of these pairs, which is looked for once.
#[derive(Debug)]
pub struct Sum {
    of: [Steps; 2],
    /// Bounds of the sum.
    low: f32,
    high: f32,
    to: Steps,
    /// The shorter formula, if there is one, once it has been looked for.
    short: OnceLock<Option<Short>>,
}

/// A formula for steps: a·f + (b·g + start), each operation rounded once.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Short {
    factors: [f32; 2],
    start: f32,
}

/// Elements of tensors for whose sake a shorter formula is looked for: one for each pair, so that looking for it takes a few times as
/// long as such a sum.
const MANY: usize = 1 << 16;

impl Sum {
    /// The sum is held above 0 if `relu` says so, and below a bound if there is one. `None` if a value, or the sum of two, may not be
    /// finite.
    #[must_use]
    pub fn new(of: [Steps; 2], relu: bool, at_most: Option<f32>, to: Steps) -> Option<Self> {
        of.iter().all(|of| of.are_finite()).then(|| Self {
            of,
            low: if relu { 0.0 } else { f32::MIN },
            high: at_most.unwrap_or(f32::MAX),
            to,
            short: OnceLock::new(),
        })
    }

    /// Tells how many elements the sums will have that follow.
    pub fn prepare(&self, elements: usize) {
        if elements >= MANY && has_fused() {
            self.short.get_or_init(|| self.shorter());
        }
    }

    /// What is flipped to make bytes u8.
    fn flips(&self) -> [u8; 2] {
        self.of.map(|of| of.as_unsigned().0)
    }

    /// The zero points of the operands as u8.
    fn zeros(&self) -> [i32; 2] {
        self.of.map(|of| of.as_unsigned().1)
    }

    /// The bytes of a + b.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn write(&self, a: &[u8], b: &[u8], out: &mut [u8]) {
        let ([flip_a, flip_b], [zero_a, zero_b]) = (self.flips(), self.zeros());
        let Steps { scale, grid } = self.to;
        if let Some(steps) = self.short() {
            // of so few operations two that flip nothing would be a sixth
            return if [flip_a, flip_b] == [0, 0] {
                isa::apply_binary(a, b, out, move |a: u8, b: u8| steps.place(a, b, grid))
            } else {
                let place = move |a: u8, b: u8| steps.place(a ^ flip_a, b ^ flip_b, grid);
                isa::apply_binary(a, b, out, place)
            };
        }
        let ([of_a, of_b], low, high) = (self.of, self.low, self.high);
        let sum = move |a: u8, b: u8| {
            let a = (i32::from(a ^ flip_a) - zero_a) as f32 * of_a.scale;
            let b = (i32::from(b ^ flip_b) - zero_b) as f32 * of_b.scale;
            let sum = a + b;
            let sum = if sum > low { sum } else { low };
            if sum < high { sum } else { high }
        };
        match Divisor::new(scale).filter(|_| grid.is_of_bytes()) {
            Some(scale) => place_each(a, b, sum, scale, grid, out),
            None => isa::apply_binary(a, b, out, move |a: u8, b: u8| grid.place(sum(a, b) / scale) as u8),
        }
    }

    /// The shorter formula, where it is one: it takes a fused multiply-add.
    fn short(&self) -> Option<Short> {
        self.short.get().copied().flatten().filter(|_| has_fused())
    }

    /// A shorter formula for every pair of bytes: the one that real numbers would have, or one whose numbers differ from it in a last place.
    fn shorter(&self) -> Option<Short> {
        let ([zero_a, zero_b], scale) = (self.zeros().map(f64::from), f64::from(self.to.scale));
        let [a, b] = self.of.map(|of| f64::from(of.scale) / scale);
        let start = (-(zero_a * a + zero_b * b)) as f32;
        let [a, b] = [a as f32, b as f32];
        let near = |x: f32| [x.next_up(), x.next_down()];
        let first = std::iter::once(([a, b], start));
        let tried = first
            .chain(near(start).map(|start| ([a, b], start)))
            .chain(near(a).map(|a| ([a, b], start)))
            .chain(near(b).map(|b| ([a, b], start)));

        let bytes: [u8; 256] = std::array::from_fn(|byte| byte as u8);
        let [flip_a, flip_b] = self.flips();
        let grid = self.to.grid;
        let tried = tried.map(|(factors, start)| Short { factors, start });
        // beyond, steps might be NaN, whose bits are no place
        let mut tried = tried.filter(|steps| {
            [steps.start, steps.factors[0], steps.factors[1]]
                .iter()
                .all(|x| x.abs() < 1e30)
        });
        tried.find(|steps| {
            let steps = *steps;
            bytes.iter().all(|&a| {
                let (mut out, mut expected) = ([0; 256], [0; 256]);
                let place = move |b: u8| steps.place(a ^ flip_a, b ^ flip_b, grid);
                isa::apply(&bytes, &mut out, place);
                self.write(&[a; 256], &bytes, &mut expected);
                out == expected
            })
        })
    }
}

/// Whether a fused multiply-add is an instruction of kernels in use.
fn has_fused() -> bool {
    cfg!(target_arch = "aarch64") || Isa::current() >= Isa::Avx2
}

impl Short {
    /// The byte of a pair. Steps that are NaN have none: such a formula is never taken.
    #[inline(always)]
    fn place(self, a: u8, b: u8, grid: Grid) -> u8 {
        let [f, g] = self.factors;
        let steps = f32::from(a).mul_add(f, f32::from(b).mul_add(g, self.start));
        grid.place_about(steps).0 as u8
    }
}

multiversion! {
    /// The bytes of f(a, b) ÷ scale. A product with the reciprocal is rounded to the same integer as the quotient unless it is close to a
    /// half: only blocks in which one is are divided. Sums are made before any is placed, of as many elements as is known
    /// beforehand: vectors stay in registers.
    fn place_each[F: isa::Binary<u8, u8, f32>](
        a: &[u8], b: &[u8], f: F, scale: Divisor, grid: Grid, out: &mut [u8]
    ) {
        assert!(a.len() == out.len() && b.len() == out.len(), "as many sums as elements of each");
        let ((a, last_a), (b, last_b)) = (a.as_chunks::<BLOCK>(), b.as_chunks::<BLOCK>());
        let (out, last) = out.as_chunks_mut::<BLOCK>();
        for ((a, b), out) in a.iter().zip(b).zip(out) {
            let mut sums = [0.0; BLOCK];
            for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                *sum = f.call(a, b);
            }
            let mut open = false;
            for (out, sum) in out.iter_mut().zip(sums) {
                let (place, settled) = grid.place_about(sum * scale.reciprocal);
                *out = place as u8;
                open |= !settled;
            }
            if open {
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = grid.place(scale.quotient(sum)) as u8;
                }
            }
        }
        for ((out, &a), &b) in last.iter_mut().zip(last_a).zip(last_b) {
            *out = grid.place(scale.quotient(f.call(a, b))) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_bytes_are_those_of_their_values() {
        let steps = |scale, zero, low| Steps {
            scale,
            grid: Grid {
                zero,
                low,
                high: low + 255,
            },
        };
        let value = |q: u8, of: Steps| {
            let q = if of.grid.low < 0 {
                i32::from(q as i8)
            } else {
                i32::from(q)
            };
            (q - of.grid.zero) as f32 * of.scale
        };
        let pairs: Vec<(u8, u8)> = (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))).collect();
        let (a, b): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
        for (of_a, of_b, to) in [
            (steps(0.02, 128, 0), steps(0.013, 0, 0), steps(0.031, 3, 0)),
            (steps(0.5, -7, -128), steps(0.25, 0, -128), steps(0.5, 0, -128)),
            (steps(1e30, 0, 0), steps(-1e30, 5, -128), steps(0.0, 9, 0)),
            (steps(1e-38, 0, 0), steps(1e-45, 0, 0), steps(1e-38, 0, -128)),
            (steps(0.1, 0, -128), steps(0.2, 255, 0), steps(f32::NAN, 1, 0)),
        ] {
            for (relu, at_most) in [(false, None), (true, None), (true, Some(6.0))] {
                let expected = a.iter().zip(&b).map(|(&a, &b)| {
                    let mut sum = value(a, of_a) + value(b, of_b);
                    if relu {
                        sum = sum.clamp(0.0, at_most.unwrap_or(f32::INFINITY));
                    }
                    to.grid.place(sum / to.scale) as u8
                });
                let expected: Vec<u8> = expected.collect();
                let sum = Sum::new([of_a, of_b], relu, at_most, to).unwrap();
                let check = |by: &str| {
                    let mut out = vec![9; a.len()];
                    sum.write(&a, &b, &mut out);
                    for index in 0..a.len() {
                        assert_eq!(
                            out[index], expected[index],
                            "{} + {} of {sum:?} {by}",
                            a[index], b[index]
                        );
                    }
                };
                check("as it is defined");
                sum.prepare(a.len());
                check("by what was found");
            }
        }
    }

    /// Of scales as networks have them nearly all have a shorter formula; where values have other bounds, or none are finite, it is not
    /// taken.
    #[test]
    fn shorter_formulas_are_found_and_refused() {
        if !has_fused() {
            return;
        }
        let steps = |scale, zero| Steps {
            scale,
            grid: Grid {
                zero,
                low: 0,
                high: 255,
            },
        };
        let short = |of, at_most, to| {
            let sum = Sum::new(of, true, at_most, to).unwrap();
            sum.prepare(MANY - 1);
            assert_eq!(sum.short(), None, "few elements are not worth it");
            sum.prepare(MANY);
            sum.short()
        };
        let found = (0..40).filter(|&index| {
            // scales that have little to do with each other: of 0.01 and 0.02 many sums are close to a half
            let scale = |k: usize| 0.01 + 0.002 * ((index + 2) as f32 * k as f32).sqrt();
            let of = [steps(scale(3), index), steps(scale(7), 0)];
            short(of, None, steps(1.4 * scale(5), 0)).is_some()
        });
        assert!(found.count() >= 36);
        let of = [steps(0.02, 128), steps(0.02, 128)];
        assert!(short(of, Some(6.0), steps(0.0235, 0)).is_some());
        assert_eq!(short(of, Some(2.0), steps(0.0235, 0)), None);
        assert_eq!(short(of, None, steps(0.0, 0)), None);
        assert_eq!(short(of, None, steps(f32::NAN, 0)), None);
        assert_eq!(
            Sum::new([steps(0.1, 0), steps(f32::NAN, 0)], false, None, of[0]).map(|_| ()),
            None
        );
    }
}
