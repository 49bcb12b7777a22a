//! LSTM, GRU and RNN. ONNX versions 7, 14 and 22 of all three.
//!
//! The input's products with W are one product for all steps; each step adds its own with R. Both are chains in ascending
//! k. What a cell makes of them is in `synod_numerics::reference::recurrent`. States are kept in the computing type between
//! steps; 16-bit floats round once, where an output is stored.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Kernel, NodeSpec, OpError, Operator, Path, TensorType,
    Work,
    floats::{Compute, Known, MixedKernel, MixedOperation, Operands, PackedWeights, on_mixed, required},
    matmul::product_arithmetic,
    streamed,
};
use synod_numerics::{
    fast,
    reference::{self, Activation, GruCell, LstmCell},
};

/// Multiply-add equivalents of one evaluation of an activation function, the other operations of a gate included.
const PER_ACTIVATION: u64 = 280;
/// Of what a row's step takes besides: calls, copies.
const PER_ROW: u64 = 4_500;
/// Rows that packing a right operand costs as much as, where it is not known in advance.
const PACKING_ROWS: usize = 8;

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Lstm { coupled: bool },
    Gru { linear_before_reset: bool },
    Rnn,
}

impl Network {
    /// Gates, each a block of `hidden` rows in W and R.
    fn gates(self) -> usize {
        match self {
            Self::Lstm { .. } => 4,
            Self::Gru { .. } => 3,
            Self::Rnn => 1,
        }
    }

    /// Activation functions of a direction.
    fn default_activations(self) -> &'static [Activation] {
        match self {
            Self::Lstm { .. } => &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
            Self::Gru { .. } => &[Activation::Sigmoid, Activation::Tanh],
            Self::Rnn => &[Activation::Tanh],
        }
    }

    /// Outputs: all steps, the last hidden state, the last cell state.
    fn outputs(self) -> usize {
        if matches!(self, Self::Lstm { .. }) { 3 } else { 2 }
    }

    /// How often a step evaluates an activation function for one element.
    fn evaluations(self) -> u64 {
        match self {
            Self::Lstm { .. } => 5,
            Self::Gru { .. } => 3,
            Self::Rnn => 1,
        }
    }
}

/// `LSTM`
pub(super) const LSTM: Definition = Definition {
    name: "LSTM",
    since: &[7, 14, 22],
    inputs: 3..=8,
    outputs: 0..=3,
    parse: |node| {
        let coupled = node.attributes.flag("input_forget", false)?;
        parse(node, Network::Lstm { coupled })
    },
};

/// `GRU`
pub(super) const GRU: Definition = Definition {
    name: "GRU",
    since: &[7, 14, 22],
    inputs: 3..=6,
    outputs: 0..=2,
    parse: |node| {
        let linear_before_reset = node.attributes.int("linear_before_reset")?.unwrap_or(0) != 0;
        parse(node, Network::Gru { linear_before_reset })
    },
};

/// `RNN`
pub(super) const RNN: Definition = Definition {
    name: "RNN",
    since: &[7, 14, 22],
    inputs: 3..=6,
    outputs: 0..=2,
    parse: |node| parse(node, Network::Rnn),
};

#[derive(Debug, Clone)]
struct Recurrent {
    network: Network,
    /// For each direction, whether it runs backwards.
    backwards: Vec<bool>,
    activations: Vec<Activation>,
    clip: Option<f32>,
    hidden: Option<i64>,
    batch_first: bool,
}

fn parse(node: &mut NodeSpec<'_>, network: Network) -> Result<Box<dyn Operator>, OpError> {
    let direction = node.attributes.string("direction")?;
    let backwards = match direction.as_deref() {
        None | Some("forward") => vec![false],
        Some("reverse") => vec![true],
        Some("bidirectional") => vec![false, true],
        Some(other) => {
            return Err(AttributeError::Value {
                name: "direction",
                value: other.to_owned(),
                expected: "forward, reverse, bidirectional",
            }
            .into());
        }
    };
    let clip = node.attributes.float("clip")?;
    if clip.is_some_and(|clip| clip.is_nan() || clip < 0.0) {
        return Err(AttributeError::Value {
            name: "clip",
            value: clip.unwrap_or_default().to_string(),
            expected: "a number that is not negative",
        }
        .into());
    }
    Ok(Box::new(Recurrent {
        network,
        activations: activations(node, network, backwards.len())?,
        backwards,
        clip,
        hidden: node.attributes.int("hidden_size")?,
        batch_first: node.version >= 14 && node.attributes.flag("layout", false)?,
    }))
}

/// The activation functions of all directions. Those with parameters take them from the lists in order, or have a default.
fn activations(
    node: &mut NodeSpec<'_>,
    network: Network,
    directions: usize,
) -> Result<Vec<Activation>, OpError> {
    let names = node.attributes.strings("activations")?.unwrap_or_default();
    let mut alphas = node
        .attributes
        .floats("activation_alpha")?
        .unwrap_or_default()
        .into_iter();
    let mut betas = node
        .attributes
        .floats("activation_beta")?
        .unwrap_or_default()
        .into_iter();
    if names.is_empty() {
        return Ok(network.default_activations().repeat(directions));
    }
    let refuse = |value: String| AttributeError::Value {
        name: "activations",
        value,
        expected: "as many as the network has, of Relu, Tanh, Sigmoid, Affine, LeakyRelu, ThresholdedRelu, \
                   ScaledTanh, HardSigmoid, Elu, Softsign, Softplus",
    };
    let count = network.default_activations().len() * directions;
    if names.len() != count {
        return Err(refuse(format!("a list of {}", names.len())).into());
    }
    let mut functions = Vec::with_capacity(count);
    for name in names {
        let name = String::from_utf8_lossy(&name).into_owned();
        let mut alpha = |default| {
            alphas.next().or(default).ok_or(AttributeError::Missing {
                name: "activation_alpha",
            })
        };
        let mut beta = |default| {
            betas.next().or(default).ok_or(AttributeError::Missing {
                name: "activation_beta",
            })
        };
        functions.push(match name.to_ascii_lowercase().as_str() {
            "relu" => Activation::Relu,
            "tanh" => Activation::Tanh,
            "sigmoid" => Activation::Sigmoid,
            "affine" => Activation::Affine {
                alpha: alpha(None)?,
                beta: beta(None)?,
            },
            "leakyrelu" => Activation::LeakyRelu {
                alpha: alpha(Some(0.01))?,
            },
            "thresholdedrelu" => Activation::ThresholdedRelu {
                alpha: alpha(Some(1.0))?,
            },
            "scaledtanh" => Activation::ScaledTanh {
                alpha: alpha(None)?,
                beta: beta(None)?,
            },
            "hardsigmoid" => Activation::HardSigmoid {
                alpha: alpha(Some(0.2))?,
                beta: beta(Some(0.5))?,
            },
            "elu" => Activation::Elu {
                alpha: alpha(Some(1.0))?,
            },
            "softsign" => Activation::Softsign,
            "softplus" => Activation::Softplus,
            _ => return Err(refuse(format!("`{name}`")).into()),
        });
    }
    Ok(functions)
}

/// Dimensions of a run.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
}

impl Recurrent {
    fn sizes(&self, inputs: &Inputs<'_>) -> Result<Sizes, OpError> {
        let (x, r) = (inputs.required(0)?, inputs.required(2)?);
        let (&[a, b, input], &[_, _, hidden]) = (x.shape, r.shape) else {
            return Err(OpError::Shape(format!(
                "X of shape {:?} and R of shape {:?}: both need three dimensions",
                x.shape, r.shape
            )));
        };
        if hidden == 0 || self.hidden.is_some_and(|given| given != hidden as i64) {
            return Err(OpError::Shape(format!(
                "hidden_size is {:?}, but R has the shape {:?}",
                self.hidden, r.shape
            )));
        }
        let (steps, batch) = if self.batch_first { (b, a) } else { (a, b) };
        Ok(Sizes {
            steps,
            batch,
            input,
            hidden,
        })
    }

    /// The shape of a state.
    fn state(&self, sizes: &Sizes) -> Vec<usize> {
        let directions = self.backwards.len();
        if self.batch_first {
            vec![sizes.batch, directions, sizes.hidden]
        } else {
            vec![directions, sizes.batch, sizes.hidden]
        }
    }
}

impl Operator for Recurrent {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let sizes = self.sizes(inputs)?;
        let directions = self.backwards.len();
        let rows = self.network.gates() * sizes.hidden;
        let state = self.state(&sizes);
        let expected: [(usize, Vec<usize>); 6] = [
            (1, vec![directions, rows, sizes.input]),
            (2, vec![directions, rows, sizes.hidden]),
            (3, vec![directions, 2 * rows]),
            (5, state.clone()),
            (6, state.clone()),
            (7, vec![directions, 3 * sizes.hidden]),
        ];
        for (index, shape) in expected {
            if index > 2 && inputs.optional(index).is_none() {
                continue;
            }
            let operand = inputs.like(index, x.dtype)?;
            if operand.shape != shape {
                return Err(OpError::Shape(format!(
                    "input {index} has the shape {:?}; {shape:?} is needed",
                    operand.shape
                )));
            }
        }
        if inputs.optional(4).is_some() {
            let lengths = inputs.of_types(4, &[DType::I32])?;
            if lengths.shape != [sizes.batch] {
                return Err(OpError::Shape(format!(
                    "sequence_lens has the shape {:?}; [{}] is needed",
                    lengths.shape, sizes.batch
                )));
            }
        }
        let all = if self.batch_first {
            vec![sizes.batch, sizes.steps, directions, sizes.hidden]
        } else {
            vec![sizes.steps, directions, sizes.batch, sizes.hidden]
        };
        let mut outputs = vec![TensorType::new(x.dtype, all)?];
        for _ in 1..self.network.outputs() {
            outputs.push(TensorType::new(x.dtype, state.clone())?);
        }
        Ok(outputs)
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (Ok(s), Some(w), Some(r)) = (self.sizes(inputs), inputs.optional(1), inputs.optional(2)) else {
            return Work::default();
        };
        let dtype = outputs[0].dtype;
        let rows = self.network.gates() * s.hidden;
        let packing = |known: bool| if known { 0 } else { PACKING_ROWS };
        let ahead = product_arithmetic(dtype, s.steps * s.batch + packing(w.is_known()), rows, s.input);
        let step = product_arithmetic(dtype, s.batch + packing(r.is_known()), rows, s.hidden)
            // the candidate of a GRU may have a product of its own, in tiles of its own
            .saturating_add(product_arithmetic(dtype, s.batch, 16, s.hidden));
        let factor = if dtype == DType::F64 { 4 } else { 1 };
        let row = (s.hidden as u64)
            .saturating_mul(self.network.evaluations() * PER_ACTIVATION * factor)
            .saturating_add(PER_ROW);
        let direction = ahead
            .saturating_add(step.saturating_mul(s.steps as u64))
            .saturating_add(row.saturating_mul((s.steps * s.batch) as u64));
        Work {
            arithmetic: direction.saturating_mul(self.backwards.len() as u64),
            bytes: streamed(inputs, outputs)
                .saturating_add(((s.steps * s.batch) as u64).saturating_mul(rows as u64 * 8))
                .saturating_add(
                    (s.steps as u64)
                        .saturating_mul((rows * s.hidden) as u64 * dtype.size() as u64)
                        .saturating_mul(self.backwards.len() as u64),
                ),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> u64 {
        self.sizes(inputs).map_or(0, |s| {
            ((s.steps * s.batch) as u64)
                .saturating_mul((self.backwards.len() * self.network.gates() * s.hidden) as u64)
                .saturating_mul((s.input + s.hidden) as u64)
        })
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let operation = Sized {
            of: self.clone(),
            sizes: self.sizes(inputs)?,
        };
        Ok(on_mixed(&operation, inputs, outputs))
    }
}

#[derive(Clone)]
struct Sized {
    of: Recurrent,
    sizes: Sizes,
}

impl MixedOperation for Sized {
    fn build<T: Compute>(&self, known: &Known<'_>) -> Box<dyn MixedKernel<T>> {
        let (gates, Sizes { input, hidden, .. }) = (self.of.network.gates(), self.sizes);
        let rows = gates * hidden;
        // where the reset gate acts before the candidate's product, that product waits for the gates
        let split = matches!(
            self.of.network,
            Network::Gru {
                linear_before_reset: false
            }
        );
        let first = if split { 2 * hidden } else { rows };
        let weights = (0..self.of.backwards.len()).map(|direction| DirectionWeights {
            input: PackedWeights::new(known, 1, direction * rows, rows, input),
            recurrent: PackedWeights::new(known, 2, direction * rows, first, hidden),
            candidate: split
                .then(|| PackedWeights::new(known, 2, direction * rows + first, rows - first, hidden)),
        });
        Box::new(Run {
            of: self.of.clone(),
            sizes: self.sizes,
            weights: weights.collect(),
        })
    }
}

struct DirectionWeights<T: Compute> {
    input: PackedWeights<T>,
    recurrent: PackedWeights<T>,
    /// Of a GRU whose reset gate acts first.
    candidate: Option<PackedWeights<T>>,
}

struct Run<T: Compute> {
    of: Recurrent,
    sizes: Sizes,
    weights: Vec<DirectionWeights<T>>,
}

impl<T: Compute> Run<T> {
    /// Scratch elements of the largest product.
    fn product_scratch(&self) -> usize {
        let Sizes { steps, batch, .. } = self.sizes;
        let of = |weights: &DirectionWeights<T>| {
            let candidate = weights.candidate.as_ref().map_or(0, |w| w.scratch(batch));
            weights
                .input
                .scratch(steps * batch)
                .max(weights.recurrent.scratch(batch))
                .max(candidate)
        };
        self.weights.iter().map(of).max().unwrap_or(0)
    }

    /// Where a row of a state begins.
    fn state_at(&self, direction: usize, row: usize) -> usize {
        let Sizes { batch, hidden, .. } = self.sizes;
        if self.of.batch_first {
            (row * self.of.backwards.len() + direction) * hidden
        } else {
            (direction * batch + row) * hidden
        }
    }
}

impl<T: Compute> MixedKernel<T> for Run<T> {
    fn scratch(&self) -> usize {
        let Sizes {
            steps, batch, hidden, ..
        } = self.sizes;
        let rows = self.of.network.gates() * hidden;
        // all steps' products with the input, a step's with R, two states, the reset state, the biases
        (steps * batch * rows)
            .saturating_add(batch * rows)
            .saturating_add(3 * batch * hidden)
            .saturating_add(rows + hidden)
            .saturating_add(self.product_scratch())
    }

    fn reads(&self, path: Path, input: usize) -> bool {
        match input {
            1 => self.weights.iter().any(|w| w.input.reads(path)),
            2 => self
                .weights
                .iter()
                .any(|w| w.recurrent.reads(path) || w.candidate.as_ref().is_some_and(|w| w.reads(path))),
            _ => true,
        }
    }

    fn run(
        &self,
        path: Path,
        operands: &Operands<'_, '_, T>,
        outputs: &mut [&mut [T]],
        scratch: &mut [T],
    ) -> Result<(), OpError> {
        let Sizes {
            steps, batch, hidden, ..
        } = self.sizes;
        let network = self.of.network;
        let rows = network.gates() * hidden;
        let floats = operands.floats;
        let given = |index: usize| floats.get(index).copied().flatten();
        let lengths = match operands.views.get(4).copied().flatten() {
            Some(lengths) => lengths.as_slice::<i32>(),
            None => &[],
        };
        if let Some(length) = lengths
            .iter()
            .find(|&&length| usize::try_from(length).map_or(true, |length| length > steps))
        {
            return Err(OpError::Value(format!(
                "a sequence length is {length}; there are {steps} steps"
            )));
        }
        let length_of = |row: usize| lengths.get(row).map_or(steps, |&length| length as usize);

        let (products, scratch) = scratch.split_at_mut(steps * batch * rows);
        let (recurrent, scratch) = scratch.split_at_mut(batch * rows);
        let (h, scratch) = scratch.split_at_mut(batch * hidden);
        let (c, scratch) = scratch.split_at_mut(batch * hidden);
        let (reset, scratch) = scratch.split_at_mut(batch * hidden);
        let (bias, scratch) = scratch.split_at_mut(rows);
        let (candidate_bias, scratch) = scratch.split_at_mut(hidden);
        let [all, last_h, rest @ ..] = outputs else {
            unreachable!("inference gives two outputs or three")
        };
        all.fill(T::ZERO);
        let clip = self.of.clip.map(T::from_f32);
        let per_direction = network.default_activations().len();
        for (direction, weights) in self.weights.iter().enumerate() {
            let backwards = self.of.backwards[direction];
            let functions = &self.of.activations[direction * per_direction..][..per_direction];
            for row in 0..batch {
                let at = self.state_at(direction, row);
                let start = |index: usize, state: &mut [T]| match given(index) {
                    Some(initial) => state.copy_from_slice(&initial[at..][..hidden]),
                    None => state.fill(T::ZERO),
                };
                start(5, &mut h[row * hidden..][..hidden]);
                start(6, &mut c[row * hidden..][..hidden]);
            }
            if batch * steps > 0 {
                weights
                    .input
                    .product(path, floats, required(floats, 0), products, scratch);
            }
            let b = given(3).map(|b| &b[direction * 2 * rows..][..2 * rows]);
            // the candidate's recurrent bias stands with its product if the reset gate acts on that
            let apart = match network {
                Network::Gru {
                    linear_before_reset: true,
                } => 2 * hidden,
                _ => rows,
            };
            for (j, bias) in bias.iter_mut().enumerate() {
                *bias = match b {
                    None => T::ZERO,
                    Some(b) if j < apart => b[j] + b[rows + j],
                    Some(b) => b[j],
                };
            }
            for products in products.chunks_exact_mut(rows) {
                products.iter_mut().zip(&*bias).for_each(|(x, &b)| *x = *x + b);
            }
            match b {
                Some(b) => candidate_bias.copy_from_slice(&b[2 * rows - hidden..]),
                None => candidate_bias.fill(T::ZERO),
            }
            let lstm = LstmCell {
                activations: std::array::from_fn(|i| functions[i.min(per_direction - 1)]),
                clip,
                coupled: network == Network::Lstm { coupled: true },
                peepholes: given(7).map(|p| &p[direction * 3 * hidden..][..3 * hidden]),
            };
            let gru = GruCell {
                activations: std::array::from_fn(|i| functions[i.min(per_direction - 1)]),
                clip,
                linear_before_reset: (apart < rows).then_some(&*candidate_bias),
            };
            for step in 0..steps {
                let first = if weights.candidate.is_some() {
                    2 * hidden
                } else {
                    rows
                };
                let of_gates = &mut recurrent[..batch * first];
                if batch > 0 {
                    weights.recurrent.product(path, floats, h, of_gates, scratch);
                }
                // a row's position in the products, while its sequence lasts
                let place = |row: usize| {
                    let length = length_of(row);
                    (step < length).then(|| {
                        let at = if backwards { length - 1 - step } else { step };
                        let index = if self.of.batch_first {
                            row * steps + at
                        } else {
                            at * batch + row
                        };
                        (at, index * rows)
                    })
                };
                if let Some(candidate) = &weights.candidate {
                    for row in 0..batch {
                        let reset = &mut reset[row * hidden..][..hidden];
                        let (state, r) = (&h[row * hidden..][..hidden], &recurrent[row * first..][..first]);
                        match place(row) {
                            Some((_, at)) => {
                                let products = &mut products[at..][..rows];
                                match path {
                                    Path::Fast => fast::gru_gates(&gru, products, r, state, reset),
                                    Path::Reference => reference::gru_gates(&gru, products, r, state, reset),
                                }
                            }
                            None => reset.fill(T::ZERO),
                        }
                    }
                    if batch > 0 {
                        let out = &mut recurrent[..batch * hidden];
                        candidate.product(path, floats, reset, out, scratch);
                    }
                }
                for row in 0..batch {
                    let Some((at, index)) = place(row) else { continue };
                    let products = &mut products[index..][..rows];
                    let h = &mut h[row * hidden..][..hidden];
                    let c = &mut c[row * hidden..][..hidden];
                    match network {
                        Network::Lstm { .. } => {
                            let r = &recurrent[row * rows..][..rows];
                            match path {
                                Path::Fast => fast::lstm_row(&lstm, products, r, c, h),
                                Path::Reference => reference::lstm_row(&lstm, products, r, c, h),
                            }
                        }
                        Network::Gru { .. } => {
                            let r = if weights.candidate.is_some() {
                                &recurrent[row * hidden..][..hidden]
                            } else {
                                let r = &recurrent[row * rows..][..rows];
                                match path {
                                    Path::Fast => fast::gru_gates(&gru, products, r, h, reset),
                                    Path::Reference => reference::gru_gates(&gru, products, r, h, reset),
                                }
                                &r[2 * hidden..]
                            };
                            match path {
                                Path::Fast => fast::gru_row(&gru, products, r, h),
                                Path::Reference => reference::gru_row(&gru, products, r, h),
                            }
                        }
                        Network::Rnn => {
                            let r = &recurrent[row * rows..][..rows];
                            match path {
                                Path::Fast => fast::rnn_row(functions[0], clip, products, r, h),
                                Path::Reference => reference::rnn_row(functions[0], clip, products, r, h),
                            }
                        }
                    }
                    if !all.is_empty() {
                        let directions = self.weights.len();
                        let index = if self.of.batch_first {
                            (row * steps + at) * directions + direction
                        } else {
                            (at * directions + direction) * batch + row
                        };
                        all[index * hidden..][..hidden].copy_from_slice(h);
                    }
                }
            }
            for row in 0..batch {
                let at = self.state_at(direction, row);
                if !last_h.is_empty() {
                    last_h[at..][..hidden].copy_from_slice(&h[row * hidden..][..hidden]);
                }
                if let [last_c] = rest
                    && !last_c.is_empty()
                {
                    last_c[at..][..hidden].copy_from_slice(&c[row * hidden..][..hidden]);
                }
            }
        }
        Ok(())
    }
}
