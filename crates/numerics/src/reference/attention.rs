//! Rotations of positions, linear attention, causal convolutions.

use crate::float::Float;

/// RotaryEmbedding of one row of a head: pairs turn by the angles whose cosines and sines are given, the elements behind them
/// stay. Pairs are neighbours if `interleaved`, else element i and element i + half.
///
/// x' = fma(c, x, −(s × y)), y' = fma(c, y, s × x).
pub fn rotate<T: Float>(interleaved: bool, x: &[T], cosines: &[T], sines: &[T], out: &mut [T]) {
    let half = cosines.len();
    for i in 0..half {
        let (first, second) = if interleaved {
            (2 * i, 2 * i + 1)
        } else {
            (i, half + i)
        };
        let (a, b, c, s) = (x[first], x[second], cosines[i], sines[i]);
        out[first] = c.fma(a, -(s * b)).canonical();
        out[second] = c.fma(b, s * a).canonical();
    }
    out[2 * half..].copy_from_slice(&x[2 * half..]);
}

/// How a step of linear attention changes a head's state before it is read.
#[derive(Debug, Clone, Copy)]
pub struct LinearUpdate<'a, T> {
    /// The logarithms of what the state's rows decay by: one for all, or one each.
    pub decay: Option<&'a [T]>,
    /// The rate of the delta rule.
    pub rate: Option<T>,
}

/// One step of linear attention on a head's state\[keys, values\]: decay, correct, write.
///
/// state\[d, m\] = state\[d, m\] × e^decay\[d\]; with the delta rule v\[m\] = rate × (v\[m\] − chain over d of state\[d, m\], k\[d\]);
/// state\[d, m\] = fma(k\[d\], v\[m\], state\[d, m\]). `buffer` has as many elements as `v`.
pub fn linear_attention_write<T: Float>(
    update: &LinearUpdate<'_, T>,
    k: &[T],
    v: &[T],
    state: &mut [T],
    buffer: &mut [T],
) {
    let values = v.len();
    if let Some(decay) = update.decay {
        for d in 0..k.len() {
            let factor = decay[if decay.len() == 1 { 0 } else { d }].exp();
            for m in 0..values {
                state[d * values + m] = (state[d * values + m] * factor).canonical();
            }
        }
    }
    for m in 0..values {
        buffer[m] = v[m];
        if let Some(rate) = update.rate {
            let mut retrieved = T::ZERO;
            for d in 0..k.len() {
                retrieved = state[d * values + m].fma(k[d], retrieved);
            }
            buffer[m] = rate * (v[m] - retrieved);
        }
    }
    for d in 0..k.len() {
        for m in 0..values {
            state[d * values + m] = k[d].fma(buffer[m], state[d * values + m]).canonical();
        }
    }
}

/// Reads a head's state: out\[m\] = scale × (chain over d of q\[d\], state\[d, m\]).
pub fn linear_attention_read<T: Float>(scale: T, q: &[T], state: &[T], out: &mut [T]) {
    let values = out.len();
    for m in 0..values {
        let mut chain = T::ZERO;
        for d in 0..q.len() {
            chain = q[d].fma(state[d * values + m], chain);
        }
        out[m] = (scale * chain).canonical();
    }
}

/// A convolution of one channel over what came before and what comes: out\[t\] = chain over j of w\[j\], x\[t + j\], then the
/// bias, then y × sigmoid(y) if `swish`. `x` has `w.len() − 1` elements more than `out`.
pub fn causal_conv<T: Float>(x: &[T], w: &[T], bias: Option<T>, swish: bool, out: &mut [T]) {
    for t in 0..out.len() {
        let mut chain = T::ZERO;
        for j in 0..w.len() {
            chain = w[j].fma(x[t + j], chain);
        }
        let y = bias.map_or(chain, |bias| chain + bias);
        out[t] = (if swish { y * y.sigmoid() } else { y }).canonical();
    }
}
