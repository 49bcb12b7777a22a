//! Transcendental functions against oracles. `examples/exhaustive.rs` tries every `f32`; here is a sample of them, and
//! the `f64` functions, whose algorithm is the definition but whose error must stay small.

use astro_float::{BigFloat, Consts, RoundingMode};
use synod_numerics::fast::Transcendental;
use synod_numerics::float::Float;
use synod_numerics::math::{self, double};

use crate::{Numbers, assert_same, on_every_isa};

type Function = fn(f32) -> f32;

const CORRECTLY_ROUNDED: [(&str, Function, Function); 15] = [
    ("exp", math::exp, |x| core_math::expf(x)),
    ("tanh", math::tanh, |x| core_math::tanhf(x)),
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

/// Every 4,099th `f32` (a prime, so that all exponents and many mantissas come), and some of special interest.
fn sample() -> Vec<f32> {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        88.72284,
        -103.97208,
    ];
    (0..=u32::MAX)
        .step_by(4_099)
        .map(f32::from_bits)
        .chain(special)
        .collect()
}

#[test]
fn functions_of_one_variable_are_correctly_rounded() {
    for x in sample() {
        for (name, ours, oracle) in CORRECTLY_ROUNDED {
            let (y, expected) = (ours(x), oracle(x).canonical());
            assert_eq!(
                y.to_bits(),
                expected.to_bits(),
                "{name}({x:e}) is {expected:e}, not {y:e}"
            );
        }
    }
}

#[test]
fn functions_of_many_elements_are_those_of_one() {
    // each of the sample and its neighbours, random numbers of the range where the functions change, lengths that fill no vector
    let mut numbers = Numbers::new(7);
    let mut x = sample();
    x.extend((0..1_000_000).map(|_| numbers.finite()));
    x.extend((0..1_000_003).map(|_| numbers.any()));
    for function in Transcendental::ALL {
        let mut x = x.clone();
        x.extend(near_middles(function));
        let expected: Vec<f32> = x.iter().map(|&x| function.of(x)).collect();
        // in order, so that all elements of a vector lie where the same form of the function holds
        let mut by_size: Vec<(f32, f32)> = x.iter().copied().zip(expected.iter().copied()).collect();
        by_size.sort_by(|(x, _), (y, _)| x.total_cmp(y));
        let (sorted, of_sorted): (Vec<f32>, Vec<f32>) = by_size.into_iter().unzip();
        on_every_isa(|isa| {
            let what = format!("{function:?} on {isa:?}");
            let mut out = vec![0.0; x.len()];
            function.map(&x, &mut out);
            assert_same(&out, &expected, &what);
            out.copy_from_slice(&x);
            f32::update_all(&mut out, function);
            assert_same(&out, &expected, &what);
            function.map(&sorted, &mut out);
            assert_same(&out, &of_sorted, &format!("{what}, in order"));
            for length in 0..40 {
                let mut out = vec![7.0; length + 1];
                function.map(&x[x.len() - length..], &mut out[..length]);
                assert_same(&out[..length], &expected[x.len() - length..], &what);
                assert_eq!(out[length], 7.0, "{what}: an element beyond the end");
            }
        });
    }
}

/// Inputs whose results in `f64` lie close to the middle of two `f32`, where an approximation could fall on the wrong side.
fn near_middles(function: Transcendental) -> Vec<f32> {
    let close = |x: &f32| {
        let y: f64 = function.of(f64::from(*x));
        let (down, distance) = (y.to_bits() >> 29, y.to_bits() & ((1 << 29) - 1));
        down > 0 && distance.abs_diff(1 << 28) < 1 << 16
    };
    let mut numbers = Numbers::new(8);
    (0..4_000_000)
        .map(|_| numbers.finite() * 4.0)
        .filter(close)
        .collect()
}

#[test]
fn sigmoid_has_its_symmetry_and_limits() {
    assert_eq!(math::sigmoid(0.0), 0.5);
    assert_eq!(math::sigmoid(f32::INFINITY), 1.0);
    assert_eq!(math::sigmoid(f32::NEG_INFINITY).to_bits(), 0);
    assert_eq!(math::sigmoid(f32::from_bits(0xffc0_0001)).to_bits(), 0x7fc0_0000);
    // 1/2 + x/4 - x^3/48: at this x the first two terms are the middle of two numbers, and the third decides
    assert_eq!(math::sigmoid(f32::from_bits(0x34c0_0000)).to_bits(), 0x3f00_0001);
    assert_eq!(math::sigmoid(f32::from_bits(0xb440_0000)).to_bits(), 0x3eff_ffff);
}

/// The distance of an `f64` from the truth, in units of its last place.
fn error_in_ulp(y: f64, truth: &BigFloat) -> f64 {
    let ulp = f64::from_bits(y.abs().to_bits() + 1) - y.abs();
    let difference = BigFloat::from_f64(y, 200).sub(truth, 200, RoundingMode::ToEven);
    let text = difference
        .div(&BigFloat::from_f64(ulp, 200), 200, RoundingMode::ToEven)
        .to_string();
    text.parse::<f64>().expect("a finite number").abs()
}

#[test]
fn f64_functions_are_accurate_to_a_few_ulp() {
    let (p, mode) = (200, RoundingMode::ToEven);
    let mut constants = Consts::new().expect("constants can be allocated");
    let mut numbers = Numbers::new(20);
    let mut worst = [0.0_f64; 4];
    for _ in 0..3_000 {
        let x = f64::from(numbers.finite()) * (1.0 + f64::from(numbers.finite()) * 1e-9);
        if Float::is_nan(x) || x.abs() > 700.0 || x.abs() < 1e-300 {
            continue;
        }
        let exact = BigFloat::from_f64(x, p);
        let one = BigFloat::from_f64(1.0, p);
        let errors = [
            error_in_ulp(double::exp(x), &exact.exp(p, mode, &mut constants)),
            error_in_ulp(double::tanh(x), &exact.tanh(p, mode, &mut constants)),
            error_in_ulp(double::log(x.abs()), &exact.abs().ln(p, mode, &mut constants)),
            error_in_ulp(
                double::sigmoid(x),
                &one.div(
                    &one.add(&exact.neg().exp(p, mode, &mut constants), p, mode),
                    p,
                    mode,
                ),
            ),
        ];
        for (worst, error) in worst.iter_mut().zip(errors) {
            if error > *worst {
                *worst = error;
            }
        }
    }
    for (name, (worst, limit)) in ["exp", "tanh", "log", "sigmoid"]
        .iter()
        .zip(worst.iter().zip([2.0, 4.0, 2.0, 3.0]))
    {
        assert!(*worst < limit, "{name} is off by {worst} ulp");
        assert!(*worst > 0.0, "{name} was not tried");
    }
}

#[test]
#[expect(clippy::excessive_precision, reason = "the digits are those of the oracle")]
fn f64_erf_is_accurate_over_all_its_pieces() {
    // values to 20 digits, computed with 300 bits
    for (x, erf) in [
        (1e-10, 1.128379167095512615e-10),
        (0.5, 0.520499877813046537683),
        (0.99999, 0.842696641833229794),
        (1.0, 0.842700792949714869341),
        (2.0, 0.995322265018952734162),
        (3.999999, 0.999999984582615117),
        (4.0, 0.999999984582742099720),
        (5.0, 0.999999999998462540206),
        (5.9, 0.999999999999999928096),
        (7.0, 1.0),
    ] {
        assert!(
            (double::erf(x) - erf).abs() <= 3e-16 * erf,
            "erf({x}) is {erf}, not {}",
            double::erf(x)
        );
        assert_eq!(double::erf(-x), -double::erf(x));
    }
    assert!(double::erf(-0.0).is_sign_negative());
}

#[test]
fn extremes_of_f64_functions() {
    assert_eq!(double::exp(710.0), f64::INFINITY);
    assert_eq!(double::exp(f64::INFINITY), f64::INFINITY);
    assert_eq!(double::exp(-746.0), 0.0);
    assert_eq!(double::exp(f64::NEG_INFINITY), 0.0);
    assert_eq!(double::exp(-745.0), f64::from_bits(1));
    assert_eq!(double::expm1(f64::NEG_INFINITY), -1.0);
    assert_eq!(double::expm1(f64::INFINITY), f64::INFINITY);
    assert_eq!(double::expm1(1e-300), 1e-300);
    assert!(double::expm1(-0.0).is_sign_negative());
    assert_eq!(double::log(0.0), f64::NEG_INFINITY);
    assert!(Float::is_nan(double::log(-1.0)));
    assert_eq!(double::log(f64::INFINITY), f64::INFINITY);
    assert!((double::log(f64::from_bits(1)) - -744.440_071_921_381_3).abs() < 1e-12);
    assert_eq!(double::tanh(f64::INFINITY), 1.0);
    assert_eq!(double::tanh(f64::NEG_INFINITY), -1.0);
    assert_eq!(double::sigmoid(-745.0), f64::from_bits(1));
    for f in [
        double::exp,
        double::expm1,
        double::log,
        double::tanh,
        double::sigmoid,
        double::erf,
    ] {
        assert_eq!(
            f(f64::from_bits(0xfff8_0000_0000_0001)).to_bits(),
            0x7ff8_0000_0000_0000
        );
    }
}

#[test]
fn powers() {
    let nan = f32::NAN;
    let (inf, sub) = (f32::INFINITY, f32::from_bits(1));
    for (x, y, power) in [
        (2.0_f32, 3.0_f32, 8.0_f32),
        (3.0, 2.0, 9.0),
        (-3.0, 3.0, -27.0),
        (2.0, -2.0, 0.25),
        (4.0, 0.5, 2.0),
        (4.0, -0.5, 0.5),
        (nan, 0.0, 1.0),
        (1.0, nan, 1.0),
        (nan, 1.0, nan),
        (-1.0, 0.5, nan),
        (-8.0, 1.0 / 3.0, nan),
        (0.0, -1.0, inf),
        (-0.0, -1.0, -inf),
        (-0.0, 3.0, -0.0),
        (-0.0, 2.0, 0.0),
        (-0.0, 0.5, 0.0),
        (inf, -1.0, 0.0),
        (-inf, 3.0, -inf),
        (-inf, 2.5, inf),
        (0.5, inf, 0.0),
        (0.5, -inf, inf),
        (-1.0, inf, 1.0),
        (10.0, 100.0, inf),
        (0.1, 100.0, 0.0),
        (sub, 0.5, 3.743_392e-23),
        (1.1, 1e30, inf),
        (0.9, 1e30, 0.0),
        (-1.0, 1e30, 1.0),
        (-1.0, 16_777_217.0, 1.0),
        (-1.0, 16_777_215.0, -1.0),
    ] {
        let ours: f32 = math::pow(x, f64::from(y));
        assert_eq!(
            ours.to_bits(),
            power.canonical().to_bits(),
            "{x:e}^{y:e} is {ours}"
        );
    }
}

#[test]
fn powers_are_accurate() {
    let (p, mode) = (200, RoundingMode::ToEven);
    let mut constants = Consts::new().expect("constants can be allocated");
    let mut numbers = Numbers::new(21);
    let (mut worst, mut tried) = (0.0_f64, 0);
    for _ in 0..4_000 {
        let x = f64::from(numbers.finite().abs());
        let y = f64::from(numbers.finite());
        let power = math::pow(x, y);
        if !(1e-300..1e300).contains(&power) || y.abs() > 1e6 || power == 1.0 {
            continue;
        }
        tried += 1;
        let truth = BigFloat::from_f64(x, p).pow(&BigFloat::from_f64(y, p), p, mode, &mut constants);
        let error = error_in_ulp(power, &truth);
        if error > worst {
            worst = error;
        }
    }
    assert!(tried > 1_000, "only {tried} powers were tried");
    assert!(worst < 8.0, "off by {worst} ulp");
}

#[test]
fn activations_at_their_ends() {
    let (inf, zero) = (f32::INFINITY, 0.0_f32);
    assert_eq!(math::gelu(-inf).to_bits(), (-zero).to_bits());
    assert_eq!(math::gelu(inf), inf);
    assert_eq!(math::gelu_tanh(-inf).to_bits(), (-zero).to_bits());
    assert_eq!(math::softplus(-inf), 0.0);
    assert_eq!(math::softplus(inf), inf);
    assert_eq!(math::softplus(0.0_f32), std::f32::consts::LN_2);
    assert_eq!(math::elu(-inf, 2.0), -2.0);
    assert_eq!(math::elu(1.5_f32, 2.0), 1.5);
    assert_eq!(math::selu(2.0_f32, 1.5, 3.0), 6.0);
    assert_eq!(math::leaky_relu(-2.0_f32, 0.25), -0.5);
    assert_eq!(math::leaky_relu(-zero, 0.25).to_bits(), (-zero).to_bits());
    assert_eq!(math::hard_sigmoid(10.0_f32, 0.2, 0.5), 1.0);
    assert_eq!(math::hard_sigmoid(-10.0_f32, 0.2, 0.5), 0.0);
    assert_eq!(math::hard_swish(6.0_f32), 6.0);
    assert_eq!(math::hard_swish(-6.0_f32), 0.0);
    let nan = f32::from_bits(0xffc0_0007);
    let activations: [Function; 8] = [
        math::gelu,
        math::gelu_tanh,
        math::softplus,
        |x| math::elu(x, 1.0),
        |x| math::selu(x, 1.0, 1.0),
        |x| math::leaky_relu(x, 0.1),
        |x| math::hard_sigmoid(x, 0.2, 0.5),
        math::hard_swish,
    ];
    for f in activations {
        assert_eq!(f(nan).to_bits(), 0x7fc0_0000);
    }
}
