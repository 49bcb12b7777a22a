//! Kernels of recurrence, attention and newer normalisations: fast against reference, on every instruction set.

use synod_numerics::fast;
use synod_numerics::reference::{self as slow, Activation, GruCell, LinearUpdate, LstmCell};

use crate::{Numbers, assert_same, on_every_isa};

const ACTIVATIONS: [Activation; 11] = [
    Activation::Relu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Affine {
        alpha: 0.7,
        beta: -0.2,
    },
    Activation::LeakyRelu { alpha: 0.01 },
    Activation::ThresholdedRelu { alpha: 0.4 },
    Activation::ScaledTanh {
        alpha: 1.7,
        beta: 0.6,
    },
    Activation::HardSigmoid {
        alpha: 0.2,
        beta: 0.5,
    },
    Activation::Elu { alpha: 1.3 },
    Activation::Softsign,
    Activation::Softplus,
];

/// NaNs within a step have whatever sign: only what it leaves is compared.
#[test]
fn recurrent_cells() {
    let mut numbers = Numbers::new(31);
    for _ in 0..200 {
        let size = 1 + numbers.below(40);
        let mut function = || ACTIVATIONS[numbers.below(ACTIVATIONS.len())];
        let functions = [function(), function(), function()];
        let clip = (numbers.below(2) == 0).then_some(0.8);
        let (products, recurrent) = (numbers.slice(4 * size), numbers.slice(4 * size));
        let (cell, hidden) = (numbers.slice(size), numbers.slice(size));
        let (peepholes, bias) = (numbers.slice(3 * size), numbers.slice(size));
        let lstm = LstmCell {
            activations: functions,
            clip,
            coupled: numbers.below(2) == 0,
            peepholes: (numbers.below(2) == 0).then_some(&peepholes[..]),
        };
        let gru = GruCell {
            activations: [functions[0], functions[1]],
            clip,
            linear_before_reset: (numbers.below(2) == 0).then_some(&bias[..]),
        };
        type Lstm = fn(&LstmCell<'_, f32>, &mut [f32], &[f32], &mut [f32], &mut [f32]);
        let lstm_of = |row: Lstm| {
            let (mut x, mut c, mut h) = (products.clone(), cell.clone(), hidden.clone());
            row(&lstm, &mut x, &recurrent, &mut c, &mut h);
            [c, h].concat()
        };
        type Gates = fn(&GruCell<'_, f32>, &mut [f32], &[f32], &[f32], &mut [f32]);
        type Gru = fn(&GruCell<'_, f32>, &mut [f32], &[f32], &mut [f32]);
        let gru_of = |gates: Gates, row: Gru| {
            let (mut x, mut h, mut reset) = (products[..3 * size].to_vec(), hidden.clone(), vec![7.0; size]);
            gates(&gru, &mut x, &recurrent, &h, &mut reset);
            row(&gru, &mut x, &recurrent[2 * size..3 * size], &mut h);
            [h, reset].concat()
        };
        type Rnn = fn(Activation, Option<f32>, &mut [f32], &[f32], &mut [f32]);
        let rnn_of = |row: Rnn| {
            let (mut x, mut h) = (products[..size].to_vec(), hidden.clone());
            row(functions[0], clip, &mut x, &recurrent[..size], &mut h);
            h
        };
        let expected = [
            lstm_of(slow::lstm_row),
            gru_of(slow::gru_gates, slow::gru_row),
            rnn_of(slow::rnn_row),
        ]
        .concat();
        on_every_isa(|isa| {
            let got = [
                lstm_of(fast::lstm_row),
                gru_of(fast::gru_gates, fast::gru_row),
                rnn_of(fast::rnn_row),
            ]
            .concat();
            assert_same(&got, &expected, &format!("{functions:?} of {size} on {isa:?}"));
        });
    }
}

#[test]
fn rotations_and_linear_attention() {
    let mut numbers = Numbers::new(32);
    for case in 0..150 {
        let (half, more) = (numbers.below(20), numbers.below(3));
        let x = numbers.slice(2 * half + more);
        // what does not turn is copied as it is: a NaN there is canonical, as every operator's input is
        let x: Vec<f32> = x
            .iter()
            .map(|x| {
                if x.is_nan() {
                    f32::from_bits(0x7fc0_0000)
                } else {
                    *x
                }
            })
            .collect();
        let (cosines, sines) = (numbers.slice(half), numbers.slice(half));
        let (keys, values) = (1 + numbers.below(9), numbers.below(40));
        let (k, v, q) = (numbers.slice(keys), numbers.slice(values), numbers.slice(keys));
        let state = numbers.slice(keys * values);
        let decay = numbers.slice(if case % 2 == 0 { keys } else { 1 });
        let update = LinearUpdate {
            decay: (numbers.below(2) == 0).then_some(&decay[..]),
            rate: (numbers.below(2) == 0).then_some(0.3),
        };
        let (taps, length) = (1 + numbers.below(5), numbers.below(40));
        let (w, past) = (numbers.slice(taps), numbers.slice(length + taps - 1));
        let bias = (numbers.below(2) == 0).then_some(0.7);
        let run = |fast: bool| {
            let mut turned = vec![7.0; x.len()];
            let (mut state, mut read, mut buffer) = (state.clone(), vec![7.0; values], vec![7.0; values]);
            let mut convolved = vec![7.0; length];
            let (interleaved, swish) = (case % 2 == 0, case % 3 == 0);
            if fast {
                fast::rotate(interleaved, &x, &cosines, &sines, &mut turned);
                fast::linear_attention_write(&update, &k, &v, &mut state, &mut buffer);
                fast::linear_attention_read(0.5, &q, &state, &mut read);
                fast::causal_conv(&past, &w, bias, swish, &mut convolved);
            } else {
                slow::rotate(interleaved, &x, &cosines, &sines, &mut turned);
                slow::linear_attention_write(&update, &k, &v, &mut state, &mut buffer);
                slow::linear_attention_read(0.5, &q, &state, &mut read);
                slow::causal_conv(&past, &w, bias, swish, &mut convolved);
            }
            [turned, state, read, convolved].concat()
        };
        let expected = run(false);
        on_every_isa(|isa| assert_same(&run(true), &expected, &format!("case {case} on {isa:?}")));
    }
}

#[test]
fn normalisations_of_groups_and_rows() {
    let mut numbers = Numbers::new(33);
    for _ in 0..150 {
        let (groups, of_group, size) = (1 + numbers.below(3), 1 + numbers.below(4), 1 + numbers.below(40));
        let channels = groups * of_group;
        let x = numbers.slice(2 * channels * size);
        let (scale, bias) = (numbers.slice(channels), numbers.slice(channels));
        let row = numbers.slice(size);
        let (mut by_group, mut by_row) = (vec![7.0; x.len()], vec![7.0; x.len()]);
        slow::group_norm(&x, size, of_group, &scale, &bias, 1e-5, &mut by_group);
        slow::rms_norm(&x, &row, 1e-5, &mut by_row);
        on_every_isa(|isa| {
            let mut out = vec![3.0; x.len()];
            fast::group_norm(&x, size, of_group, &scale, &bias, 1e-5, &mut out);
            assert_same(&out, &by_group, &format!("group norm on {isa:?}"));
            fast::rms_norm(&x, &row, 1e-5, &mut out);
            assert_same(&out, &by_row, &format!("rms norm on {isa:?}"));
        });
    }
}
