//! Transcendental functions of many `f32`: the bits of [`crate::math`], sooner.
//!
//! The functions there are correctly rounded or an algorithm in `f64` that is rounded once. Here a shorter, fused computation gives
//! bounds between which the number to be rounded lies. Where both bounds round to the same `f32`, that is the result; where they do
//! not (one element in half a million), its sixteen elements are computed by the defining functions (Ziv's strategy). So the bits
//! cannot depend on how good an approximation is, only the time can, as long as the bounds hold: `examples/exhaustive.rs` compares all
//! 2^32 inputs of each function on each instruction set.

#[cfg(target_arch = "x86_64")]
use super::doubles::{Avx2, Avx512, Doubles};
use crate::float::Float;
use crate::isa::{self, Isa};
use crate::math;
use crate::pool;

/// A function of one element that takes long enough to have a fast form for many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transcendental {
    /// e^x.
    Exp,
    /// Natural logarithm.
    Log,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// Error function.
    Erf,
    /// [`math::gelu`].
    Gelu,
    /// [`math::gelu_tanh`].
    GeluTanh,
    /// [`math::softplus`].
    Softplus,
    /// [`math::mish`].
    Mish,
}

impl Transcendental {
    /// All of them.
    pub const ALL: [Transcendental; 9] = [
        Transcendental::Exp,
        Transcendental::Log,
        Transcendental::Sigmoid,
        Transcendental::Tanh,
        Transcendental::Erf,
        Transcendental::Gelu,
        Transcendental::GeluTanh,
        Transcendental::Softplus,
        Transcendental::Mish,
    ];

    /// The function of one element, as it is defined.
    #[must_use]
    #[inline(always)]
    pub fn of<T: Float>(self, x: T) -> T {
        match self {
            Transcendental::Exp => x.exp(),
            Transcendental::Log => x.log(),
            Transcendental::Sigmoid => x.sigmoid(),
            Transcendental::Tanh => x.tanh(),
            Transcendental::Erf => x.erf(),
            Transcendental::Gelu => math::gelu(x),
            Transcendental::GeluTanh => math::gelu_tanh(x),
            Transcendental::Softplus => math::softplus(x),
            Transcendental::Mish => math::mish(x),
        }
    }

    /// Writes the function of every element.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn map(self, x: &[f32], out: &mut [f32]) {
        assert_eq!(
            x.len(),
            out.len(),
            "an elementwise function has as many outputs as inputs"
        );
        // about a nanosecond each
        let pieces = pool::pieces(x.len() as u64);
        if pieces == 1 {
            return self.part(x, out);
        }
        let size = x.len().div_ceil(pieces).next_multiple_of(BLOCK);
        pool::chunks(out, size, |piece, out| {
            self.part(&x[piece * size..][..out.len()], out);
        });
    }

    /// [`Self::map`] by the definition alone, whatever the instruction set: what the fast forms are measured and compared with.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn define(self, x: &[f32], out: &mut [f32]) {
        match self {
            Transcendental::Exp => isa::apply(x, out, Definition(Exp)),
            Transcendental::Log => isa::apply(x, out, Definition(Log)),
            Transcendental::Sigmoid => isa::apply(x, out, Definition(Sigmoid)),
            Transcendental::Tanh => isa::apply(x, out, Definition(Tanh)),
            Transcendental::Erf => isa::apply(x, out, Definition(Erf)),
            Transcendental::Gelu => isa::apply(x, out, Definition(Gelu)),
            Transcendental::GeluTanh => isa::apply(x, out, Definition(GeluTanh)),
            Transcendental::Softplus => isa::apply(x, out, Definition(Softplus)),
            Transcendental::Mish => isa::apply(x, out, Definition(Mish)),
        }
    }

    fn part(self, x: &[f32], out: &mut [f32]) {
        match self {
            Transcendental::Exp => map::<Exp>(x, out),
            Transcendental::Log => map::<Log>(x, out),
            Transcendental::Sigmoid => map::<Sigmoid>(x, out),
            Transcendental::Tanh => map::<Tanh>(x, out),
            Transcendental::Erf => map::<Erf>(x, out),
            Transcendental::Gelu => map::<Gelu>(x, out),
            Transcendental::GeluTanh => map::<GeluTanh>(x, out),
            Transcendental::Softplus => map::<Softplus>(x, out),
            Transcendental::Mish => map::<Mish>(x, out),
        }
    }

    /// Writes the function of every element over it.
    pub fn update(self, x: &mut [f32]) {
        let mut before = [0.0; 256];
        for x in x.chunks_mut(before.len()) {
            let before = &mut before[..x.len()];
            before.copy_from_slice(x);
            self.map(before, x);
        }
    }
}

/// Elements that are settled together.
const BLOCK: usize = 16;

/// A function with its approximation.
trait Formula: Copy + Default {
    /// The definition.
    fn of(x: f32) -> f32;

    /// Two numbers between which lies what [`Self::of`] rounds to `f32`, in either order, and rounds alike: a zero has its sign. NaN
    /// where the result is NaN. Where nothing is known, two numbers far apart.
    ///
    /// # Safety
    /// As [`Doubles`].
    #[cfg(target_arch = "x86_64")]
    unsafe fn bounds<D: Doubles>(x: D) -> (D, D);
}

/// [`Formula::of`] where a function is vectorised by the compiler.
#[derive(Clone, Copy, Default)]
struct Definition<F>(F);

impl<F: Formula> isa::Unary<f32, f32> for Definition<F> {
    #[inline(always)]
    fn call(self, x: f32) -> f32 {
        F::of(x)
    }
}

fn map<F: Formula>(x: &[f32], out: &mut [f32]) {
    match Isa::current() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the processor has what `Isa::current` says.
        Isa::Avx512 => unsafe { avx512::<F>(x, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2::<F>(x, out) },
        _ => isa::apply(x, out, Definition::<F>::default()),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512<F: Formula>(x: &[f32], out: &mut [f32]) {
    // SAFETY: these features are enabled here.
    unsafe { blocks::<Avx512, F>(x, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<F: Formula>(x: &[f32], out: &mut [f32]) {
    // SAFETY: as above.
    unsafe { blocks::<Avx2, F>(x, out) }
}

/// # Safety
/// As [`Doubles`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn blocks<D: Doubles, F: Formula>(x: &[f32], out: &mut [f32]) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    let (results, last) = out.as_chunks_mut::<BLOCK>();
    for (x, out) in blocks.iter().zip(results) {
        // SAFETY: the contract.
        unsafe { block::<D, F>(x, out) };
    }
    if !rest.is_empty() {
        let (mut x, mut out) = ([0.0; BLOCK], [0.0; BLOCK]);
        x[..rest.len()].copy_from_slice(rest);
        // SAFETY: the contract.
        unsafe { block::<D, F>(&x, &mut out) };
        last.copy_from_slice(&out[..rest.len()]);
    }
}

/// # Safety
/// As [`Doubles`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn block<D: Doubles, F: Formula>(x: &[f32; BLOCK], out: &mut [f32; BLOCK]) {
    let mut settled = true;
    let mut at = 0;
    while at < BLOCK {
        // SAFETY: the width divides the block; the rest is the contract.
        unsafe {
            let bounds = F::bounds(D::widen(x.as_ptr().add(at)));
            settled &= D::settle(bounds, out.as_mut_ptr().add(at));
        }
        at += D::WIDTH;
    }
    if !settled {
        define::<F>(x, out);
    }
}

#[cfg(target_arch = "x86_64")]
#[cold]
#[inline(never)]
fn define<F: Formula>(x: &[f32; BLOCK], out: &mut [f32; BLOCK]) {
    isa::apply(x, out, Definition::<F>::default());
}

/// 2^−44: what an approximation may be off, relatively. All are at least four times as good.
const ERROR: f64 = 1.0 / (1_u64 << 44) as f64;
/// 1.5·2^52: adding it rounds to an integer, which the low bits then hold.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// 1/2!, 1/3!, … 1/11!
#[cfg(target_arch = "x86_64")]
const TAYLOR: [f64; 10] = {
    let mut series = [0.5; 10];
    let mut i = 1;
    while i < 10 {
        series[i] = series[i - 1] / (i + 2) as f64;
        i += 1;
    }
    series
};

/// y (1 ± [`ERROR`]).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn around<D: Doubles>(y: D) -> (D, D) {
    // SAFETY: the caller has the instruction set.
    unsafe { (y.mul(D::splat(1.0 - ERROR)), y.mul(D::splat(1.0 + ERROR))) }
}

/// x held within the bounds; NaN stays.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn held<D: Doubles>(x: D, low: f64, high: f64) -> D {
    // SAFETY: as above.
    unsafe { D::splat(low).max(D::splat(high).min(x)) }
}

/// c\[0\] + x·(c\[1\] + …), fused.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn polynomial<D: Doubles, const N: usize>(coefficients: &[f64; N], x: D) -> D {
    // SAFETY: as above.
    unsafe {
        let mut sum = D::splat(coefficients[N - 1]);
        let mut i = N - 1;
        while i > 0 {
            i -= 1;
            sum = sum.fma(x, D::splat(coefficients[i]));
        }
        sum
    }
}

/// s and p with e^x = s + s·p, s being a power of two and p = e^r − 1, |r| ≤ ln 2 / 2, as its Taylor polynomial of degree 11, whose
/// remainder is below 2^−46 of it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn exp_parts<D: Doubles>(x: D) -> (D, D) {
    // SAFETY: as above.
    unsafe {
        let shifted = x.fma(D::splat(std::f64::consts::LOG2_E), D::splat(ROUND));
        let n = shifted.sub(D::splat(ROUND));
        let r = n.fma(D::splat(-std::f64::consts::LN_2), x);
        let p = r.mul(r).fma(polynomial(&TAYLOR, r), r);
        (shifted.power_of_two(), p)
    }
}

/// tanh of numbers in [0, 20], relatively within 2^−45, as e / (e + 2) with e = e^2x − 1.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn tanh<D: Doubles>(x: D) -> D {
    // SAFETY: as above.
    unsafe {
        let (s, p) = exp_parts(x.add(x));
        let e = s.fma(p, s.sub(D::splat(1.0)));
        e.div(e.add(D::splat(2.0)))
    }
}

/// ½·x·(1 + t) where t has the sign of `of` and a magnitude, never below 0, between `low` and `high`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn gate<D: Doubles>(x: D, of: D, low: D, high: D) -> (D, D) {
    // SAFETY: as above.
    unsafe {
        let half = x.mul(D::splat(0.5));
        let one = D::splat(1.0);
        let low = D::splat(0.0).max(low);
        (
            half.mul(one.add(of.give_sign(low))),
            half.mul(one.add(of.give_sign(high))),
        )
    }
}

/// Defines a formula: its definition and its bounds.
macro_rules! formula {
    ($(#[$doc:meta])* $name:ident: $definition:expr, |$x:ident: $d:ident| $bounds:block) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default)]
        struct $name;

        impl Formula for $name {
            #[inline(always)]
            fn of(x: f32) -> f32 {
                $definition(x)
            }

            #[cfg(target_arch = "x86_64")]
            #[inline(always)]
            unsafe fn bounds<$d: Doubles>($x: $d) -> ($d, $d) {
                // SAFETY: the contract is the caller's.
                unsafe { $bounds }
            }
        }
    };
}

formula!(Exp: math::exp, |x: D| {
    let (s, p) = exp_parts(held(x, -110.0, 100.0));
    around(s.fma(p, s))
});

formula!(Sigmoid: math::sigmoid, |x: D| {
    let (s, p) = exp_parts(D::splat(0.0).sub(held(x, -110.0, 100.0)));
    let one = D::splat(1.0);
    around(one.div(s.fma(p, s).add(one)))
});

formula!(Tanh: math::tanh, |x: D| {
    let (low, high) = around(tanh(D::splat(10.0).min(x.abs())));
    (x.give_sign(low), x.give_sign(high))
});

formula!(Erf: math::erf, |x: D| {
    // from 3.999 on erf is 1 in `f32`
    let (low, high) = around(D::splat(3.999).min(x.abs()).erf());
    (x.give_sign(low), x.give_sign(high))
});

/// log of positive normal numbers, relatively within 2^−50: [`math::log`]'s own algorithm, fused. With m = x / 2^k near 1, f = m − 1
/// and s = f / (2 + f) it is k·ln 2 + f − (f²/2 − s·(f²/2 + R(s²))).
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn log<D: Doubles>(x: D) -> D {
    // SAFETY: as above.
    unsafe {
        let (k, m) = x.split(std::f64::consts::FRAC_1_SQRT_2);
        let f = m.sub(D::splat(1.0));
        let s = f.div(f.add(D::splat(2.0)));
        let z = s.mul(s);
        let half = f.mul(D::splat(0.5)).mul(f);
        let rest = half.sub(s.mul(z.fma(polynomial(&math::LOG, z), half)));
        k.fma(D::splat(std::f64::consts::LN_2), f.sub(rest))
    }
}

formula!(Log: math::log, |x: D| {
    let (low, high) = around(log(x));
    // nothing is known where there is no logarithm, and of what is not finite
    let unknown = x.sub(x);
    (low, x.if_below(1e-46, D::splat(f64::NAN), high.add(unknown)))
});

formula!(
    /// log(1 + e) with e = e^−|x|: where 1 + e rounds, what it lost is added to the logarithm. Without a division by 1 + e that is
    /// within 2^−53 of the result.
    Softplus: math::softplus::<f32>, |x: D| {
        let one = D::splat(1.0);
        let magnitude = D::splat(110.0).min(x.abs());
        let (s, p) = exp_parts(D::splat(0.0).sub(magnitude));
        let e = s.fma(p, s);
        let sum = one.add(e);
        let lost = e.sub(sum.sub(one));
        around(D::splat(0.0).max(x).add(log(sum).add(lost)))
    }
);

formula!(
    /// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x·(e^x + 2).
    Mish: math::mish::<f32>, |x: D| {
        let x = held(x, -110.0, f64::INFINITY);
        let (s, p) = exp_parts(D::splat(40.0).min(x));
        let e = s.fma(p, s);
        let two = D::splat(2.0);
        let n = e.mul(e.add(two));
        around(x.mul(n.div(n.add(two))))
    }
);

formula!(
    /// erf is known to [`ERROR`] up to 3.999; from 5.93 on it is 1 to that.
    Gelu: math::gelu::<f32>, |x: D| {
        let x = held(x, -50.0, f64::INFINITY);
        let z = x.mul(D::splat(std::f64::consts::FRAC_1_SQRT_2));
        let magnitude = z.abs();
        let erf = D::splat(3.999).min(magnitude).erf();
        let one = D::splat(1.0);
        let low = magnitude.if_below(5.93, erf, one).sub(D::splat(ERROR));
        let high = magnitude.if_below(3.999, erf, one).add(D::splat(ERROR));
        gate(x, z, low, high)
    }
);

formula!(GeluTanh: math::gelu_tanh::<f32>, |x: D| {
    let x = held(x, -50.0, f64::INFINITY);
    let cubed = x.mul(x).mul(x);
    let u = cubed.fma(D::splat(0.044715), x).mul(D::splat(math::SQRT_2_OVER_PI));
    let tanh = tanh(D::splat(20.0).min(u.abs()));
    gate(x, u, tanh.sub(D::splat(ERROR)), tanh.add(D::splat(ERROR)))
});
