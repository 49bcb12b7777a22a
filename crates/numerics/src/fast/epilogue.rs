//! What is done to the elements of a product or convolution while they are still in the cache.
//!
//! An elementwise node that follows a product costs as much to load and store its elements as to compute them. A kernel that is
//! given an [`Epilogue`] calls it for every run of finished elements instead, so that they are read and written once. The bits are
//! those of separate nodes: the epilogue sees exactly what the product alone would have left, NaNs canonical.

use super::Transcendental;
use crate::float::Float;
use crate::isa;
use crate::math;

/// Elementwise work on finished elements.
pub trait Epilogue: Sync {
    /// Computes on `y` in place: the elements of the output from `first` on, all of one row of a product or one channel (or, where
    /// channels lie in blocks, one block) of a convolution. Every element comes once, on any thread, in any order. NaNs come and must
    /// leave canonical.
    fn apply(&self, first: usize, y: &mut [f32]);

    /// [`Self::apply`] of whole rows of `row` elements that lie side by side.
    fn apply_rows(&self, first: usize, y: &mut [f32], row: usize) {
        for (index, y) in y.chunks_mut(row.max(1)).enumerate() {
            self.apply(first + index * row, y);
        }
    }

    /// The same work for kernels that can do it before they write an element, if it is that simple.
    fn simple(&self) -> Option<Simple<'_>> {
        None
    }
}

/// An epilogue that costs a few instructions in registers: additions, then bounds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Simple<'a> {
    /// The sum with the element of a row that repeats over the output comes first, if there is one,
    pub row: Option<&'a [f32]>,
    /// then the sum with the element of another tensor of the output's shape and layout, if there is one,
    pub add: Option<&'a [f32]>,
    /// then max(x, +0)
    pub relu: bool,
    /// and min(x, this), which is above 0.
    pub at_most: Option<f32>,
}

impl<F: Fn(usize, &mut [f32]) + Sync> Epilogue for F {
    fn apply(&self, first: usize, y: &mut [f32]) {
        self(first, y);
    }
}

/// One step of an epilogue: what a node of the graph would do, with its rounding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step<'a> {
    /// A function of the element.
    Function(Function),
    /// The sum with the element of another tensor of the output's shape.
    Add(&'a [f32]),
    /// The product with the element of another tensor of the output's shape.
    Multiply(&'a [f32]),
    /// The sum with the element of a row of as many elements as the output has columns.
    AddRow(&'a [f32]),
}

/// A function of one element, as the operator of its name defines it (`docs/spec/arithmetic.md` §9.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// max(x, +0).
    Relu,
    /// min(max(x, low), high).
    Clip {
        /// The least result.
        low: f32,
        /// The greatest result.
        high: f32,
    },
    /// x, or slope · x below 0.
    LeakyRelu {
        /// The slope below 0.
        slope: f32,
    },
    /// max(0, min(1, alpha · x + beta)).
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
    /// x · HardSigmoid(x, 1/6, ½).
    HardSwish,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// x · Sigmoid(x), each rounded, as two nodes compute it.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// x · Φ(x).
    Gelu,
    /// The tanh form of Gelu.
    GeluTanh,
}

impl Function {
    /// The function as bounds, if it is nothing else.
    #[must_use]
    pub fn simple(self) -> Option<Simple<'static>> {
        let at_most = match self {
            Function::Relu => None,
            Function::Clip { low, high } if low.to_bits() == 0 && high > 0.0 => Some(high),
            _ => return None,
        };
        Some(Simple {
            relu: true,
            at_most,
            ..Simple::default()
        })
    }

    /// The function of every element.
    pub fn apply(self, y: &mut [f32]) {
        match self {
            Function::Relu => isa::update(y, |x: f32| if x <= 0.0 { 0.0 } else { x }),
            Function::Clip { low, high } => {
                isa::update(y, move |x: f32| Float::minimum(Float::maximum(x, low), high));
            }
            Function::LeakyRelu { slope } => isa::update(y, move |x| math::leaky_relu(x, slope)),
            Function::HardSigmoid { alpha, beta } => {
                isa::update(y, move |x: f32| math::hard_sigmoid(x, alpha, beta));
            }
            Function::HardSwish => isa::update(y, math::hard_swish::<f32>),
            Function::Sigmoid => Transcendental::Sigmoid.update(y),
            Function::Silu => silu(y),
            Function::Tanh => Transcendental::Tanh.update(y),
            Function::Gelu => Transcendental::Gelu.update(y),
            Function::GeluTanh => Transcendental::GeluTanh.update(y),
        }
    }
}

fn silu(y: &mut [f32]) {
    let mut gate = [0.0; 256];
    for y in y.chunks_mut(gate.len()) {
        let gate = &mut gate[..y.len()];
        Transcendental::Sigmoid.map(y, gate);
        with_each(y, gate, |x: f32, gate: f32| (x * gate).canonical());
    }
}

/// Steps one after another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps<'a>(pub &'a [Step<'a>]);

impl Epilogue for Steps<'_> {
    fn simple(&self) -> Option<Simple<'_>> {
        let (row, rest) = match self.0 {
            [Step::AddRow(row), rest @ ..] => (Some(*row), rest),
            all => (None, all),
        };
        let (add, bounds) = match rest {
            [Step::Add(other), rest @ ..] => (Some(*other), rest),
            all => (None, all),
        };
        let simple = match bounds {
            [] => Simple::default(),
            [Step::Function(function)] => function.simple()?,
            _ => return None,
        };
        Some(Simple { row, add, ..simple })
    }

    fn apply(&self, first: usize, y: &mut [f32]) {
        for step in self.0 {
            match *step {
                Step::Function(function) => function.apply(y),
                Step::Add(other) => with_each(y, &other[first..], |a: f32, b: f32| (a + b).canonical()),
                Step::Multiply(other) => with_each(y, &other[first..], |a: f32, b: f32| (a * b).canonical()),
                Step::AddRow(row) => {
                    let column = first.checked_rem(row.len()).unwrap_or(0);
                    with_each(y, &row[column..], |a: f32, b: f32| (a + b).canonical());
                }
            }
        }
    }
}

isa::multiversion! {
    /// y = f(y, other), for as many elements as y has.
    pub fn with_each[F: isa::Binary<f32, f32, f32>](y: &mut [f32], other: &[f32], f: F) {
        let other = &other[..y.len()];
        for (y, &x) in y.iter_mut().zip(other) {
            *y = f.call(*y, x);
        }
    }
}

isa::multiversion! {
    /// Finishes a run of elements of one row or channel: adds the bias, if there is one, and makes NaNs canonical.
    pub(super) fn add_bias[](y: &mut [f32], bias: Option<f32>) {
        match bias {
            Some(bias) => y.iter_mut().for_each(|y| *y = (*y + bias).canonical()),
            None => y.iter_mut().for_each(|y| *y = y.canonical()),
        }
    }
}
