//! Inputs and attributes that fit together, for operators that a blind draw would never satisfy.

use super::{random::Random, *};
use std::collections::BTreeMap;
use synod_model::DType;

/// A node's inputs and attributes.
#[derive(Default)]
pub struct Drawn {
    /// Types of the inputs; `None` skips one.
    pub inputs: Vec<Option<(DType, Vec<usize>)>>,
    pub attributes: Vec<Vec<u8>>,
    /// Values of those inputs that are constants of i64 with one dimension, by their position.
    pub numbers: BTreeMap<usize, Vec<i64>>,
}

impl Drawn {
    fn input(mut self, dtype: DType, shape: &[usize]) -> Self {
        self.inputs.push(Some((dtype, shape.to_vec())));
        self
    }

    fn maybe(mut self, given: bool, dtype: DType, shape: &[usize]) -> Self {
        self.inputs.push(given.then(|| (dtype, shape.to_vec())));
        self
    }

    fn numbers(mut self, values: &[i64]) -> Self {
        self.numbers.insert(self.inputs.len(), values.to_vec());
        self.input(DType::I64, &[values.len()])
    }

    fn with(mut self, attribute: Vec<u8>) -> Self {
        self.attributes.push(attribute);
        self
    }
}

const FLOAT_TYPES: &[DType] = &[DType::F32, DType::F32, DType::F64, DType::F16, DType::BF16];

/// A draw for this operator, if it has one here.
pub fn draw(operator: &str, random: &mut Random) -> Option<Drawn> {
    Some(match operator {
        "LSTM" => recurrent(4, 3, random),
        "GRU" => recurrent(3, 2, random).with(attr_int("linear_before_reset", random.below(2) as i64)),
        "RNN" => recurrent(1, 1, random),
        "MaxPool" | "AveragePool" => pool(random),
        _ => return None,
    })
}

fn pool(random: &mut Random) -> Drawn {
    let space = 1 + random.below(3);
    let mut dims = vec![random.below(3), 1 + random.below(3)];
    dims.extend((0..space).map(|_| 3 + random.below(4)));
    let mut list = |from: usize, below: usize, count: usize| -> Vec<i64> {
        (0..count).map(|_| (from + random.below(below)) as i64).collect()
    };
    let kernel = list(1, 3, space);
    let (strides, pads) = (list(1, 3, space), list(0, 2, 2 * space));
    Drawn::default()
        .input(random.pick(FLOAT_TYPES), &dims)
        .with(attr_ints("kernel_shape", &kernel))
        .with(attr_ints("strides", &strides))
        .with(attr_ints("pads", &pads))
}

fn recurrent(gates: usize, functions: usize, random: &mut Random) -> Drawn {
    let dtype = random.pick(FLOAT_TYPES);
    let (direction, directions) = random.pick(&[("forward", 1), ("reverse", 1), ("bidirectional", 2)]);
    let (steps, batch, input, hidden) = (
        random.below(4),
        random.pick(&[1, 1, 2, 7]),
        1 + random.below(4),
        1 + random.below(6),
    );
    let layout = random.below(2);
    let (x, state) = if layout == 1 {
        ([batch, steps, input], [batch, directions, hidden])
    } else {
        ([steps, batch, input], [directions, batch, hidden])
    };
    let mut given = || random.below(2) == 0;
    let (bias, lengths, initial) = (given(), given(), given());
    let (peepholes, coupled) = (given(), given());
    let rows = gates * hidden;
    let mut drawn = Drawn::default()
        .input(dtype, &x)
        .input(dtype, &[directions, rows, input])
        .input(dtype, &[directions, rows, hidden])
        .maybe(bias, dtype, &[directions, 2 * rows])
        .maybe(lengths, DType::I32, &[batch])
        .maybe(initial, dtype, &state)
        .with(attr_string("direction", direction))
        .with(attr_int("layout", layout as i64));
    if gates == 4 {
        drawn = drawn
            .maybe(initial, dtype, &state)
            .maybe(peepholes, dtype, &[directions, 3 * hidden])
            .with(attr_int("input_forget", coupled.into()));
    }
    if random.below(2) == 0 {
        drawn = drawn.with(attr_float("clip", random.float().abs()));
    }
    if random.below(2) == 0 {
        let names: Vec<&str> = (0..functions * directions)
            .map(|_| {
                random.pick(&[
                    "Relu",
                    "Tanh",
                    "Sigmoid",
                    "LeakyRelu",
                    "ThresholdedRelu",
                    "HardSigmoid",
                    "Elu",
                    "Softsign",
                    "Softplus",
                ])
            })
            .collect();
        drawn = drawn.with(attr_strings("activations", &names));
    }
    drawn
}
