//! Tries every one of the 2^32 inputs of each correctly rounded `f32` function against an independent oracle.
//!
//!     cargo run --release -p synod-numerics --example exhaustive [FUNCTION…]
//!
//! All but sigmoid are compared with CORE-MATH, whose C functions are proven correctly rounded. It has no
//! sigmoid: there CORE-MATH's correctly rounded binary64 exp gives a value with a known error bound, and the few
//! inputs whose rounding that bound leaves open are settled with 300 bits. Takes a minute or two for each
//! function and processor, and ends with a failure if one bit differs.
//!
//! The functions that have a fast form for many elements ([`Transcendental`], the two Gelus among them, which are not correctly
//! rounded but an algorithm) are then compared with their definitions on every instruction set of the machine: on the slowest with
//! the function of one element, on the others with its vectorised form, which that comparison covers.

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use astro_float::{BigFloat, Consts, RoundingMode};
use synod_numerics::fast::Transcendental;
use synod_numerics::isa::{Isa, force};
use synod_numerics::math;

/// A function by name, with what must equal it.
type Subject = (&'static str, fn(f32) -> f32, fn(f32) -> f32);

const SUBJECTS: [Subject; 16] = [
    ("exp", math::exp, |x| core_math::expf(x)),
    ("tanh", math::tanh, |x| core_math::tanhf(x)),
    ("sigmoid", math::sigmoid, sigmoid_oracle),
    ("log", math::log, |x| core_math::logf(x)),
    ("erf", math::erf, |x| core_math::erff(x)),
    ("sin", math::sin, |x| core_math::sinf(x)),
    ("cos", math::cos, |x| core_math::cosf(x)),
    ("tan", math::tan, |x| core_math::tanf(x)),
    ("asin", math::asin, |x| core_math::asinf(x)),
    ("acos", math::acos, |x| core_math::acosf(x)),
    ("atan", math::atan, |x| core_math::atanf(x)),
    ("sinh", math::sinh, |x| core_math::sinhf(x)),
    ("cosh", math::cosh, |x| core_math::coshf(x)),
    ("asinh", math::asinh, |x| core_math::asinhf(x)),
    ("acosh", math::acosh, |x| core_math::acoshf(x)),
    ("atanh", math::atanh, |x| core_math::atanhf(x)),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut clean = true;
    for (name, ours, oracle) in SUBJECTS {
        if is_wanted(name) {
            clean &= report(name, ours, oracle, || compare(ours, oracle));
        }
    }
    for &isa in Isa::available().iter().rev().filter(|&&isa| isa > Isa::Scalar) {
        force(Some(isa));
        for function in Transcendental::ALL {
            let name = format!("{function:?}").to_lowercase();
            if is_wanted(&name) {
                let many = |x| {
                    let mut y = [0.0];
                    function.map(&[x], &mut y);
                    y[0]
                };
                let what = format!("{name}, many at a time, {isa:?}");
                clean &= report(&what, many, |x| function.of(x), || compare_many(function, isa));
            }
        }
        force(None);
    }
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints what a comparison has found; whether that is nothing.
fn report(
    what: &str,
    ours: impl Fn(f32) -> f32,
    expected: impl Fn(f32) -> f32,
    compare: impl FnOnce() -> Vec<u32>,
) -> bool {
    let start = Instant::now();
    let differing = compare();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what:32} {} of 4294967296 differ, {seconds:.0} s",
        differing.len()
    );
    for &bits in differing.iter().take(40) {
        let x = f32::from_bits(bits);
        let (y, expected) = (ours(x).to_bits(), expected(x).to_bits());
        println!("    {bits:#010x} ({x:e}): {y:#010x}, must be {expected:#010x}");
    }
    differing.is_empty()
}

/// The inputs for which a function of many elements is not that of one.
fn compare_many(function: Transcendental, isa: Isa) -> Vec<u32> {
    const TOGETHER: usize = 4_096;
    in_parts(|start, end| {
        let mut differing = Vec::new();
        let [mut x, mut y, mut expected] = [const { [0.0_f32; TOGETHER] }; 3];
        for first in (start..end).step_by(TOGETHER) {
            for (bits, x) in (first..).zip(&mut x) {
                *x = f32::from_bits(bits as u32);
            }
            function.map(&x, &mut y);
            if isa > Isa::Sse2 {
                function.define(&x, &mut expected);
            } else {
                expected
                    .iter_mut()
                    .zip(&x)
                    .for_each(|(y, &x)| *y = function.of(x));
            }
            for ((x, y), expected) in x.iter().zip(&y).zip(&expected) {
                if y.to_bits() != expected.to_bits() {
                    differing.push(x.to_bits());
                }
            }
        }
        differing
    })
}

/// The inputs, as bits, for which the two differ; a NaN of ours must be the canonical one.
fn compare(ours: fn(f32) -> f32, oracle: fn(f32) -> f32) -> Vec<u32> {
    in_parts(|start, end| {
        let differs = |bits: &u32| {
            let x = f32::from_bits(*bits);
            let (y, expected) = (ours(x), oracle(x));
            if expected.is_nan() {
                y.to_bits() != 0x7fc0_0000
            } else {
                y.to_bits() != expected.to_bits()
            }
        };
        (start..end).map(|bits| bits as u32).filter(differs).collect()
    })
}

/// Calls `part` for as many parts of the 2^32 inputs as there are processors.
fn in_parts(part: impl Fn(u64, u64) -> Vec<u32> + Sync) -> Vec<u32> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let bound = |t: u64| (t << 32) / threads / 4_096 * 4_096;
    thread::scope(|scope| {
        let part = &part;
        let parts: Vec<_> = (0..threads)
            .map(|t| scope.spawn(move || part(bound(t), bound(t + 1))))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("a comparing thread does not panic"))
            .collect()
    })
}

/// The correctly rounded sigmoid.
fn sigmoid_oracle(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    if x == f32::INFINITY || x > 40.0 {
        return 1.0;
    }
    if x < -150.0 {
        return 0.0;
    }
    // exp is within 2^-53 of the truth, the sum and the quotient each add that much again
    let y = 1.0 / (1.0 + core_math::exp(-f64::from(x)));
    let bound = y * 2.0_f64.powi(-50);
    let (below, above) = ((y - bound) as f32, (y + bound) as f32);
    if below.to_bits() == above.to_bits() {
        return below;
    }
    let mut constants = Consts::new().expect("constants can be allocated");
    let (precision, mode) = (300, RoundingMode::ToEven);
    let one = BigFloat::from_f64(1.0, precision);
    let exact = one.div(
        &one.add(
            &BigFloat::from_f64(-f64::from(x), precision).exp(precision, mode, &mut constants),
            precision,
            mode,
        ),
        precision,
        mode,
    );
    // the candidate whose neighbourhood, bounded by the midpoint of the two (exact in f64), holds the value
    let midpoint = BigFloat::from_f64((f64::from(below) + f64::from(above)) / 2.0, precision);
    if exact.cmp(&midpoint).is_some_and(|order| order < 0) {
        below
    } else {
        above
    }
}
