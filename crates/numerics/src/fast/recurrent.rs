//! Cells of recurrent networks: pass by pass over all elements of a gate, so that each pass is vectorised.

use super::Transcendental;
use crate::float::Float;
use crate::isa::{self, multiversion};
use crate::reference::{Activation, GruCell, LstmCell, held};

/// x = f(x held within the bound).
fn activate<T: Float>(x: &mut [T], activation: Activation, clip: Option<T>) {
    if clip.is_some() {
        isa::update(x, |x| held(x, clip));
    }
    match activation {
        Activation::Tanh => T::update_all(x, Transcendental::Tanh),
        Activation::Sigmoid => T::update_all(x, Transcendental::Sigmoid),
        _ => activate_each(x, activation),
    }
}

multiversion! {
    /// The activations without a fast form for many elements.
    fn activate_each[T: Float](x: &mut [T], activation: Activation) {
        // one loop for each function: the choice inside a loop would keep it scalar
        macro_rules! each {
            ($($pattern:pat),*) => {
                match activation {
                    $($pattern => x.iter_mut().for_each(|x| *x = activation.of(*x)),)*
                }
            };
        }
        each!(
            Activation::Relu,
            Activation::Tanh | Activation::Sigmoid,
            Activation::Affine { .. },
            Activation::LeakyRelu { .. },
            Activation::ThresholdedRelu { .. },
            Activation::ScaledTanh { .. },
            Activation::HardSigmoid { .. },
            Activation::Elu { .. },
            Activation::Softsign,
            Activation::Softplus
        );
    }
}

multiversion! {
    /// x = x + y.
    fn accumulate[T: Float](x: &mut [T], y: &[T]) {
        x.iter_mut().zip(y).for_each(|(x, &y)| *x = *x + y);
    }
}

multiversion! {
    /// x = fma(a, b, x).
    fn accumulate_products[T: Float](x: &mut [T], a: &[T], b: &[T]) {
        x.iter_mut().zip(a).zip(b).for_each(|((x, &a), &b)| *x = a.fma(b, *x));
    }
}

multiversion! {
    /// c = fma(forget, c, input · candidate).
    fn renew_cell[T: Float](cell: &mut [T], forget: &[T], input: &[T], candidate: &[T]) {
        for (((c, &f), &i), &u) in cell.iter_mut().zip(forget).zip(input).zip(candidate) {
            *c = f.fma(*c, i * u).canonical();
        }
    }
}

/// The bits of [`crate::reference::lstm_row`].
pub fn lstm_row<T: Float>(
    of: &LstmCell<'_, T>,
    products: &mut [T],
    recurrent: &[T],
    cell: &mut [T],
    hidden: &mut [T],
) {
    let size = hidden.len();
    let [f, g, h] = of.activations;
    accumulate(products, recurrent);
    let (input, rest) = products.split_at_mut(size);
    let (output, rest) = rest.split_at_mut(size);
    let (forget, candidate) = rest.split_at_mut(size);
    if let Some(p) = of.peepholes {
        accumulate_products(input, &p[..size], cell);
        accumulate_products(forget, &p[2 * size..], cell);
    }
    activate(input, f, of.clip);
    if of.coupled {
        forget.iter_mut().zip(&*input).for_each(|(f, &i)| *f = T::ONE - i);
    } else {
        activate(forget, f, of.clip);
    }
    activate(candidate, g, of.clip);
    renew_cell(cell, forget, input, candidate);
    if let Some(p) = of.peepholes {
        accumulate_products(output, &p[size..2 * size], cell);
    }
    activate(output, f, of.clip);
    hidden.copy_from_slice(cell);
    activate(hidden, h, None);
    for (h, &o) in hidden.iter_mut().zip(&*output) {
        *h = (o * *h).canonical();
    }
}

/// The bits of [`crate::reference::gru_gates`].
pub fn gru_gates<T: Float>(
    of: &GruCell<'_, T>,
    products: &mut [T],
    recurrent: &[T],
    hidden: &[T],
    reset_hidden: &mut [T],
) {
    let size = hidden.len();
    let gates = &mut products[..2 * size];
    accumulate(gates, &recurrent[..2 * size]);
    activate(gates, of.activations[0], of.clip);
    for ((out, &r), &h) in reset_hidden.iter_mut().zip(&gates[size..]).zip(hidden) {
        *out = (r * h).canonical();
    }
}

multiversion! {
    /// h = fma(z, h, (1 − z) · u).
    fn blend[T: Float](hidden: &mut [T], update: &[T], candidate: &[T]) {
        for ((h, &z), &u) in hidden.iter_mut().zip(update).zip(candidate) {
            *h = z.fma(*h, (T::ONE - z) * u).canonical();
        }
    }
}

multiversion! {
    /// x = fma(reset, r + bias, x).
    fn reset_products[T: Float](x: &mut [T], reset: &[T], r: &[T], bias: &[T]) {
        for (((x, &reset), &r), &b) in x.iter_mut().zip(reset).zip(r).zip(bias) {
            *x = reset.fma(r + b, *x);
        }
    }
}

/// The bits of [`crate::reference::gru_row`].
pub fn gru_row<T: Float>(of: &GruCell<'_, T>, products: &mut [T], recurrent: &[T], hidden: &mut [T]) {
    let size = hidden.len();
    let (update, rest) = products.split_at_mut(size);
    let (reset, candidate) = rest.split_at_mut(size);
    match of.linear_before_reset {
        Some(bias) => reset_products(candidate, reset, recurrent, bias),
        None => accumulate(candidate, recurrent),
    }
    activate(candidate, of.activations[1], of.clip);
    blend(hidden, update, candidate);
}

/// The bits of [`crate::reference::rnn_row`].
pub fn rnn_row<T: Float>(
    activation: Activation,
    clip: Option<T>,
    products: &mut [T],
    recurrent: &[T],
    hidden: &mut [T],
) {
    accumulate(products, recurrent);
    activate(products, activation, clip);
    hidden
        .iter_mut()
        .zip(&*products)
        .for_each(|(h, &x)| *h = x.canonical());
}
