//! Cells of recurrent networks: what one step makes of the products, one element at a time.
//!
//! A step's products (of the input with W, of the hidden state with R) are chains like any product; here is what comes
//! after them. Gates lie one after another, `hidden` elements each, in ONNX's order.

use crate::float::Float;
use crate::math;

/// An activation function of ONNX's recurrent operators, with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// x ≤ 0 → +0, else x.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^−x).
    Sigmoid,
    /// fma(alpha, x, beta).
    Affine {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// x < 0 → alpha·x, else x.
    LeakyRelu {
        /// Slope below zero.
        alpha: f32,
    },
    /// x ≤ alpha → +0, else x.
    ThresholdedRelu {
        /// Threshold.
        alpha: f32,
    },
    /// alpha·tanh(beta·x), each product rounded.
    ScaledTanh {
        /// Factor of the result.
        alpha: f32,
        /// Factor of the argument.
        beta: f32,
    },
    /// As the operator HardSigmoid.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// As the operator Elu.
    Elu {
        /// Factor below zero.
        alpha: f32,
    },
    /// x / (1 + |x|).
    Softsign,
    /// As the operator Softplus.
    Softplus,
}

impl Activation {
    /// The function of one element.
    #[inline(always)]
    pub fn of<T: Float>(self, x: T) -> T {
        match self {
            Self::Relu => above(x, T::ZERO),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => x.sigmoid(),
            Self::Affine { alpha, beta } => T::from_f32(alpha).fma(x, T::from_f32(beta)),
            Self::LeakyRelu { alpha } => math::leaky_relu(x, T::from_f32(alpha)),
            Self::ThresholdedRelu { alpha } => above(x, T::from_f32(alpha)),
            Self::ScaledTanh { alpha, beta } => T::from_f32(alpha) * (T::from_f32(beta) * x).tanh(),
            Self::HardSigmoid { alpha, beta } => math::hard_sigmoid(x, alpha, beta),
            Self::Elu { alpha } => math::elu(x, alpha),
            Self::Softsign => x / (T::ONE + x.abs()),
            Self::Softplus => math::softplus(x),
        }
    }
}

#[inline(always)]
fn above<T: Float>(x: T, threshold: T) -> T {
    if x <= threshold { T::ZERO } else { x }
}

/// x within [−bound, bound]; NaN stays.
#[inline(always)]
pub(crate) fn held<T: Float>(x: T, bound: Option<T>) -> T {
    bound.map_or(x, |bound| x.maximum(-bound).minimum(bound))
}

/// The parameters of an LSTM's cell.
#[derive(Debug, Clone, Copy)]
pub struct LstmCell<'a, T> {
    /// Of the gates, of the candidate, of the cell's output.
    pub activations: [Activation; 3],
    /// The bound of what enters the first two.
    pub clip: Option<T>,
    /// Whether the forget gate is 1 − input gate.
    pub coupled: bool,
    /// Weights of the cell state in the gates: input, output, forget.
    pub peepholes: Option<&'a [T]>,
}

/// One row's step: `products` (input, output, forget, candidate: product with the input plus bias), `recurrent` (products with
/// the hidden state). Cell and hidden state are replaced.
pub fn lstm_row<T: Float>(
    of: &LstmCell<'_, T>,
    products: &mut [T],
    recurrent: &[T],
    cell: &mut [T],
    hidden: &mut [T],
) {
    let size = hidden.len();
    let [f, g, h] = of.activations;
    for j in 0..size {
        let sum = |gate: usize| products[gate * size + j] + recurrent[gate * size + j];
        let peep = |gate: usize, cell: T| {
            of.peepholes
                .map_or(sum(gate), |p| p[gate * size + j].fma(cell, sum(gate)))
        };
        let input = f.of(held(peep(0, cell[j]), of.clip));
        let forget = if of.coupled {
            T::ONE - input
        } else {
            f.of(held(peep(2, cell[j]), of.clip))
        };
        let candidate = g.of(held(sum(3), of.clip));
        cell[j] = forget.fma(cell[j], input * candidate).canonical();
        let output = f.of(held(peep(1, cell[j]), of.clip));
        hidden[j] = (output * h.of(cell[j])).canonical();
    }
}

/// The parameters of a GRU's cell.
#[derive(Debug, Clone, Copy)]
pub struct GruCell<'a, T> {
    /// Of the gates, of the candidate.
    pub activations: [Activation; 2],
    /// The bound of what enters them.
    pub clip: Option<T>,
    /// The recurrent bias of the candidate, where the reset gate acts on the finished product (`linear_before_reset`).
    pub linear_before_reset: Option<&'a [T]>,
}

/// The first half of one row's step: `products` and `recurrent` (both: update, reset) give the gates, in place of the
/// products; `reset_hidden` becomes reset gate × hidden state, whose product with R the second half needs.
pub fn gru_gates<T: Float>(
    of: &GruCell<'_, T>,
    products: &mut [T],
    recurrent: &[T],
    hidden: &[T],
    reset_hidden: &mut [T],
) {
    let size = hidden.len();
    for (x, &r) in products[..2 * size].iter_mut().zip(recurrent) {
        *x = of.activations[0].of(held(*x + r, of.clip));
    }
    for j in 0..size {
        reset_hidden[j] = (products[size + j] * hidden[j]).canonical();
    }
}

/// The second half: `products` are update gate, reset gate and the candidate's product with the input plus bias; `recurrent`
/// is the candidate's product with R.
pub fn gru_row<T: Float>(of: &GruCell<'_, T>, products: &mut [T], recurrent: &[T], hidden: &mut [T]) {
    let size = hidden.len();
    for j in 0..size {
        let (update, reset, x) = (products[j], products[size + j], products[2 * size + j]);
        let sum = match of.linear_before_reset {
            Some(bias) => reset.fma(recurrent[j] + bias[j], x),
            None => x + recurrent[j],
        };
        let candidate = of.activations[1].of(held(sum, of.clip));
        hidden[j] = update.fma(hidden[j], (T::ONE - update) * candidate).canonical();
    }
}

/// One row's step of a plain recurrent network: f(products + recurrent).
pub fn rnn_row<T: Float>(
    activation: Activation,
    clip: Option<T>,
    products: &mut [T],
    recurrent: &[T],
    hidden: &mut [T],
) {
    for j in 0..hidden.len() {
        hidden[j] = activation.of(held(products[j] + recurrent[j], clip)).canonical();
    }
}
