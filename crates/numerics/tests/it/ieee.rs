//! What the arithmetic takes for granted, held against LLVM's software floats: that this machine adds, multiplies, divides,
//! takes roots and fuses as IEEE 754 says, subnormals included.

use rustc_apfloat::Float as _;
use rustc_apfloat::ieee::{Double, Single};
use synod_numerics::float::Float;

use crate::Numbers;

fn single(x: f32) -> Single {
    Single::from_bits(x.to_bits().into())
}

fn double(x: f64) -> Double {
    Double::from_bits(x.to_bits().into())
}

#[track_caller]
fn assert_f32(ours: f32, exact: Single, what: &str) {
    let exact = if exact.is_nan() {
        0x7fc0_0000
    } else {
        exact.to_bits()
    };
    assert_eq!(u128::from(ours.canonical().to_bits()), exact, "{what}");
}

#[track_caller]
fn assert_f64(ours: f64, exact: Double, what: &str) {
    let exact = if exact.is_nan() {
        0x7ff8_0000_0000_0000
    } else {
        exact.to_bits()
    };
    assert_eq!(u128::from(ours.canonical().to_bits()), exact, "{what}");
}

#[test]
fn single_precision() {
    let mut numbers = Numbers::new(40);
    for i in 0..300_000 {
        let mut next = || {
            if i % 2 == 0 {
                numbers.any()
            } else {
                numbers.special()
            }
        };
        let (a, b, c) = (next(), next(), next());
        let c = if i % 3 == 0 { -(a * b) } else { c };
        let what = format!("{a:e}, {b:e}, {c:e}");
        assert_f32(a + b, (single(a) + single(b)).value, &what);
        assert_f32(a - b, (single(a) - single(b)).value, &what);
        assert_f32(a * b, (single(a) * single(b)).value, &what);
        assert_f32(a / b, (single(a) / single(b)).value, &what);
        assert_f32(a.fma(b, c), single(a).mul_add(single(b), single(c)).value, &what);
    }
}

#[test]
fn double_precision() {
    let mut numbers = Numbers::new(41);
    for i in 0..200_000 {
        let mut next = || match i % 2 {
            0 => f64::from_bits(numbers.next()),
            _ => f64::from(numbers.special()) * (1.0 + f64::from(numbers.finite()) * 1e-10),
        };
        let (a, b, c) = (next(), next(), next());
        let c = if i % 3 == 0 { -(a * b) } else { c };
        let what = format!("{a:e}, {b:e}, {c:e}");
        assert_f64(a + b, (double(a) + double(b)).value, &what);
        assert_f64(a * b, (double(a) * double(b)).value, &what);
        assert_f64(a / b, (double(a) / double(b)).value, &what);
        assert_f64(a.fma(b, c), double(a).mul_add(double(b), double(c)).value, &what);
    }
}

#[test]
fn roots_are_correctly_rounded() {
    // r is the rounded root of x when x lies between the squares of the middles beside r; those squares are exact in f64
    let mut numbers = Numbers::new(42);
    for _ in 0..300_000 {
        let x = numbers.any();
        let root = Float::sqrt(x);
        if x.is_nan() || x < 0.0 {
            assert!(root.is_nan());
            continue;
        }
        if x == 0.0 || x == f32::INFINITY {
            assert_eq!(root.to_bits(), x.to_bits());
            continue;
        }
        let middle = |other: u32| (f64::from(root) + f64::from(f32::from_bits(other))) / 2.0;
        let (below, above) = (middle(root.to_bits() - 1), middle(root.to_bits() + 1));
        assert!(
            below * below < f64::from(x) && f64::from(x) < above * above,
            "root of {x:e} is not {root:e}"
        );
    }
    assert!(Float::sqrt(-0.0_f32).is_sign_negative());
}

#[test]
fn maxima_and_minima_order_zeros_and_keep_nan() {
    let nan = f32::from_bits(0xffc0_0001);
    for (a, b, min, max) in [
        (0.0_f32, -0.0_f32, -0.0_f32, 0.0_f32),
        (-0.0, 0.0, -0.0, 0.0),
        (-0.0, -0.0, -0.0, -0.0),
        (1.0, -2.0, -2.0, 1.0),
        (f32::NEG_INFINITY, 3.0, f32::NEG_INFINITY, 3.0),
        (nan, 1.0, f32::NAN, f32::NAN),
        (1.0, nan, f32::NAN, f32::NAN),
    ] {
        assert_eq!(Float::minimum(a, b).to_bits(), min.to_bits(), "min({a}, {b})");
        assert_eq!(Float::maximum(a, b).to_bits(), max.to_bits(), "max({a}, {b})");
    }
}
