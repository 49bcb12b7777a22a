//! Rotations of positions, linear attention, causal convolutions: loops over elements that lie side by side.

use crate::float::Float;
use crate::isa::multiversion;
use crate::reference::LinearUpdate;

multiversion! {
    /// The bits of [`crate::reference::rotate`].
    pub fn rotate[T: Float](interleaved: bool, x: &[T], cosines: &[T], sines: &[T], out: &mut [T]) {
        let half = cosines.len();
        let angles = cosines.iter().zip(sines);
        let (out, rest) = out.split_at_mut(2 * half);
        let (x, stays) = x.split_at(2 * half);
        rest.copy_from_slice(stays);
        if interleaved {
            let pairs = x.as_chunks::<2>().0.iter().zip(out.as_chunks_mut::<2>().0);
            for (([a, b], out), (&c, &s)) in pairs.zip(angles) {
                *out = [c.fma(*a, -(s * *b)).canonical(), c.fma(*b, s * *a).canonical()];
            }
        } else {
            let (first, second) = x.split_at(half);
            let (out_first, out_second) = out.split_at_mut(half);
            let outs = out_first.iter_mut().zip(out_second);
            for (((&a, &b), (x, y)), (&c, &s)) in first.iter().zip(second).zip(outs).zip(angles) {
                *x = c.fma(a, -(s * b)).canonical();
                *y = c.fma(b, s * a).canonical();
            }
        }
    }
}

multiversion! {
    /// The bits of [`crate::reference::linear_attention_write`].
    pub fn linear_attention_write[T: Float](
        update: &LinearUpdate<'_, T>, k: &[T], v: &[T], state: &mut [T], buffer: &mut [T]
    ) {
        let values = v.len();
        if values == 0 {
            return;
        }
        if let Some(decay) = update.decay {
            for (d, row) in state.chunks_exact_mut(values).enumerate() {
                let factor = decay[if decay.len() == 1 { 0 } else { d }].exp();
                row.iter_mut().for_each(|x| *x = (*x * factor).canonical());
            }
        }
        if let Some(rate) = update.rate {
            buffer.fill(T::ZERO);
            for (row, &k) in state.chunks_exact(values).zip(k) {
                for (retrieved, &x) in buffer.iter_mut().zip(row) {
                    *retrieved = x.fma(k, *retrieved);
                }
            }
            for (buffer, &v) in buffer.iter_mut().zip(v) {
                *buffer = rate * (v - *buffer);
            }
        } else {
            buffer.copy_from_slice(v);
        }
        for (row, &k) in state.chunks_exact_mut(values).zip(k) {
            for (x, &v) in row.iter_mut().zip(&*buffer) {
                *x = k.fma(v, *x).canonical();
            }
        }
    }
}

multiversion! {
    /// The bits of [`crate::reference::linear_attention_read`].
    pub fn linear_attention_read[T: Float](scale: T, q: &[T], state: &[T], out: &mut [T]) {
        if out.is_empty() {
            return;
        }
        let values = out.len();
        out.fill(T::ZERO);
        for (row, &q) in state.chunks_exact(values).zip(q) {
            for (chain, &x) in out.iter_mut().zip(row) {
                *chain = q.fma(x, *chain);
            }
        }
        out.iter_mut().for_each(|x| *x = (scale * *x).canonical());
    }
}

multiversion! {
    /// The bits of [`crate::reference::causal_conv`].
    pub fn causal_conv[T: Float](x: &[T], w: &[T], bias: Option<T>, swish: bool, out: &mut [T]) {
        out.fill(T::ZERO);
        for (j, &w) in w.iter().enumerate() {
            for (chain, &x) in out.iter_mut().zip(&x[j..]) {
                *chain = w.fma(x, *chain);
            }
        }
        if let Some(bias) = bias {
            out.iter_mut().for_each(|y| *y = *y + bias);
        }
        if swish {
            out.iter_mut().for_each(|y| *y = *y * y.sigmoid());
        }
        out.iter_mut().for_each(|y| *y = y.canonical());
    }
}
