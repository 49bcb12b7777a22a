//! ConvInteger and QLinearConv.

use super::{
    A_SCALE, B_SCALE, BYTES, PER_SUM, PLAIN, Pieces, Places, QUANTIZING, Y_SCALE, Y_ZERO, arithmetic, grid,
    number, of_line, single, with_byte,
};
use crate::ops::{
    DType, Definition, Inputs, Io, Kernel, NodeSpec, OpError, Operator, Path, TensorType, Work,
    conv::Conv,
    quantize::{read_floats, read_integers},
    streamed,
};
use crate::tensor::{Tensor, TensorViewMut};
use std::sync::Arc;
use synod_numerics::{
    fast::integer::{
        ConvOutput, DEPTHWISE_LANES, Layout, Operand as Bytes, PackedFilters, Prepared, conv_columns,
        conv_copies, conv_gathers, conv_is_depthwise, conv_places, integer_conv, integer_conv_scratch,
    },
    quantize::{Byte, Grid, requantize},
    reference,
    shape::ConvShape,
};

/// Multiply-add equivalents of an image.
const STARTING: u64 = 8_000;
/// Of a channel that is computed alone.
const PER_CHANNEL: u64 = 70;
/// Of a term that is gathered, where windows are too vast or have too many axes to be read in place.
const PER_GATHERED: u64 = 110;
/// Of a weight that is not known in advance: it is brought into the kernels' order.
const PER_PACKED: u64 = 80;
/// Of a sum that is written as it is; of channels that are computed alone.
const PER_WRITTEN: u64 = 40;
const PER_SCATTERED: u64 = 360;
/// Terms beyond which those of a position may need scratch memory.
const LONG: usize = 131_072;
/// Where QLinearConv lists its bias.
const BIAS: usize = 8;

/// `ConvInteger`
pub(in crate::ops) const CONV_INTEGER: Definition = Definition {
    name: "ConvInteger",
    since: &[10],
    inputs: 2..=4,
    outputs: 1..=1,
    parse: |node| convolution(node, false),
};

/// `QLinearConv`
pub(in crate::ops) const Q_LINEAR_CONV: Definition = Definition {
    name: "QLinearConv",
    since: &[10],
    inputs: 8..=9,
    outputs: 1..=1,
    parse: |node| convolution(node, true),
};

fn convolution(node: &mut NodeSpec<'_>, quantizes: bool) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Convolution {
        of: Conv::parse(node)?,
        quantizes,
    }))
}

#[derive(Debug)]
struct Convolution {
    of: Conv,
    quantizes: bool,
}

impl Convolution {
    fn places(&self) -> Places {
        if self.quantizes { QUANTIZING } else { PLAIN }
    }

    fn shape(&self, inputs: &Inputs<'_>) -> Result<ConvShape, OpError> {
        let operands = self.places().values.map(|place| inputs.optional(place));
        self.of.shape(&Inputs(&operands))
    }

    /// Checks numbers that go with output channels: one for all or one each.
    fn check_channels(inputs: &Inputs<'_>, index: usize, channels: usize) -> Result<(), OpError> {
        let operand = inputs.required(index)?;
        if (operand.elements() == 1 && operand.shape.len() <= 1) || operand.shape == [channels] {
            Ok(())
        } else {
            Err(OpError::Shape(format!(
                "input {index} has the shape {:?}; one number or [{channels}] is needed",
                operand.shape
            )))
        }
    }
}

impl Operator for Convolution {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let Places {
            values: [x, w],
            zeros: [x_zero, w_zero],
        } = self.places();
        let (x, w) = (inputs.of_types(x, BYTES)?, inputs.of_types(w, BYTES)?);
        let shape = self.shape(inputs)?;
        let channels = shape.groups * shape.out_channels;
        if self.quantizes || inputs.optional(x_zero).is_some() {
            inputs.like(x_zero, x.dtype)?;
            single(inputs, x_zero)?;
        }
        if self.quantizes || inputs.optional(w_zero).is_some() {
            inputs.like(w_zero, w.dtype)?;
            Self::check_channels(inputs, w_zero, channels)?;
        }
        let mut dtype = DType::I32;
        if self.quantizes {
            for index in [A_SCALE, B_SCALE, Y_SCALE] {
                inputs.of_types(index, &[DType::F32])?;
            }
            single(inputs, A_SCALE)?;
            Self::check_channels(inputs, B_SCALE, channels)?;
            single(inputs, Y_SCALE)?;
            single(inputs, Y_ZERO)?;
            dtype = inputs.of_types(Y_ZERO, BYTES)?.dtype;
            if inputs.optional(BIAS).is_some() && inputs.of_types(BIAS, &[DType::I32])?.shape != [channels] {
                return Err(OpError::Shape(format!(
                    "the bias must have the shape [{channels}]"
                )));
            }
        }
        let mut dims = vec![shape.batch, channels];
        let axes = &shape.axes[3 - (x.shape.len() - 2)..];
        dims.extend(axes.iter().map(|axis| axis.output));
        // the sums must be a possible tensor too
        TensorType::new(DType::I32, dims.clone())?;
        Ok(vec![TensorType::new(dtype, dims)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(shape) = self.shape(inputs) else {
            return Work::default();
        };
        let (channels, terms, positions) = (shape.out_channels, shape.terms(), shape.output_size());
        let each = |count: usize, of_one: u64| (count as u64).saturating_mul(of_one);
        let gathered = conv_gathers(&shape);
        let depthwise = conv_is_depthwise(&shape);
        let copied = if gathered { None } else { conv_copies(&shape) };
        let image = if depthwise {
            let together = shape.groups.next_multiple_of(DEPTHWISE_LANES);
            each(together * positions, terms as u64 + 12).saturating_add(each(shape.groups, PER_CHANNEL))
        } else {
            let gathering = if gathered { PER_GATHERED } else { 0 };
            arithmetic(positions, channels, terms)
                .saturating_add(each(positions, gathering).saturating_mul(terms as u64))
                .saturating_mul(shape.groups as u64)
        };
        let known = inputs
            .optional(self.places().values[1])
            .is_some_and(|w| w.is_known());
        let packing = if known {
            0
        } else {
            each(channels * terms, PER_PACKED).saturating_mul(shape.groups as u64)
        };
        let sum = match (self.quantizes, depthwise) {
            (true, _) => PER_SUM,
            (false, false) => PER_WRITTEN,
            // channels lie side by side as they are computed, and far apart as they are written
            (false, true) => PER_SCATTERED,
        };
        Work {
            arithmetic: image
                .saturating_add(STARTING)
                .saturating_mul(shape.batch as u64)
                .saturating_add(packing)
                .saturating_add(each(outputs[0].elements(), sum)),
            bytes: streamed(inputs, outputs)
                .saturating_add(outputs[0].elements() as u64 * 4)
                .saturating_add(each(shape.batch, copied.unwrap_or(0) as u64)),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let terms = self.shape(inputs).map_or(0, |shape| shape.terms());
        (outputs[0].elements() as u64).saturating_mul(terms as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = self.shape(inputs)?;
        let places = self.places();
        let filters = inputs.required(places.values[1])?.arranged(
            &PackedFilters::parameters(&shape),
            |value| with_byte!(value.dtype(), W => PackedFilters::kept(&shape, value.as_slice::<W>())),
            None::<fn(&PackedFilters) -> Vec<u8>>,
        );
        let count = |index: usize| inputs.optional(index).map_or(1, |operand| operand.elements());
        let mut kernel = ConvolutionKernel {
            layouts: [Layout::ChannelsFirst; 2],
            quantizes: self.quantizes,
            places,
            zeros: count(places.zeros[1]),
            scales: if self.quantizes { count(B_SCALE) } else { 0 },
            shape,
            filters,
            numbers: None,
            elements: outputs[0].elements(),
            dtype: outputs[0].dtype,
        };
        kernel.numbers = kernel.known_numbers(inputs).map(Arc::new);
        Ok(Box::new(kernel))
    }
}

/// What goes with the output channels of a convolution: see [`PackedFilters::prepare`].
struct ChannelNumbers {
    starts: Vec<i32>,
    zeros: Vec<i32>,
    factors: Vec<f32>,
}

#[derive(Clone)]
struct ConvolutionKernel {
    /// Of the images and of the results, on the fast path.
    layouts: [Layout; 2],
    quantizes: bool,
    places: Places,
    /// How many zero points, and scales, the weights have.
    zeros: usize,
    scales: usize,
    shape: ConvShape,
    filters: Option<Arc<PackedFilters>>,
    /// If all that they are made of is known before the model runs.
    numbers: Option<Arc<ChannelNumbers>>,
    elements: usize,
    dtype: DType,
}

impl ConvolutionKernel {
    /// What the sums of each channel are multiplied by, at the channel's place.
    fn factors(&self, x_scale: f32, scales: &[f32], y_scale: f32, factors: &mut [f32]) {
        factors.fill(0.0);
        let place = conv_places(&self.shape);
        for channel in 0..self.shape.groups * self.shape.out_channels {
            factors[place(channel)] = x_scale * of_line(scales, channel) / y_scale;
        }
    }

    fn known_numbers(&self, inputs: &Inputs<'_>) -> Option<ChannelNumbers> {
        let filters = self.filters.as_ref()?;
        let view = |index: usize| {
            inputs
                .optional(index)
                .map(|operand| operand.value().map(Tensor::view))
        };
        let integers = |index: usize, count: usize| {
            let mut out = vec![0; count];
            if let Some(value) = view(index) {
                read_integers(&value?, 0, &mut out);
            }
            Some(out)
        };
        let floats = |index: usize, count: usize| {
            let mut out = vec![0.0; count];
            read_floats(&view(index)??, 0, &mut out);
            Some(out)
        };
        let x = inputs.optional(self.places.values[0])?;
        let x = Bytes {
            zero: integers(self.places.zeros[0], 1)?[0],
            signed: x.dtype == DType::I8,
        };
        let w_zeros = integers(self.places.zeros[1], self.zeros)?;
        let columns = conv_columns(&self.shape);
        let mut numbers = ChannelNumbers {
            starts: vec![0; columns],
            zeros: vec![0; columns],
            factors: vec![0.0; columns],
        };
        let mut bias = None;
        if self.quantizes {
            let [x_scale, y_scale] = [floats(A_SCALE, 1)?[0], floats(Y_SCALE, 1)?[0]];
            let scales = floats(B_SCALE, self.scales)?;
            self.factors(x_scale, &scales, y_scale, &mut numbers.factors);
            if let Some(value) = view(BIAS) {
                bias = Some(value?.as_slice::<i32>());
            }
        }
        filters.prepare(
            &self.shape,
            x,
            &w_zeros,
            bias,
            &mut numbers.starts,
            &mut numbers.zeros,
        );
        Some(numbers)
    }
}

impl Kernel for ConvolutionKernel {
    fn with_channels_together(&self, input: bool, output: bool) -> Option<Arc<dyn Kernel>> {
        let layout = |last: bool| {
            if last {
                Layout::ChannelsLast
            } else {
                Layout::ChannelsFirst
            }
        };
        // sums are given with their channels first
        (self.quantizes || !output).then(|| {
            let kernel: Arc<dyn Kernel> = Arc::new(Self {
                layouts: [layout(input), layout(output)],
                ..self.clone()
            });
            kernel
        })
    }

    fn scratch_bytes(&self) -> usize {
        let sums = if self.quantizes { self.elements } else { 0 };
        // bounds that hold for every way of packing; where the weights are not known their packed form lives while the
        // convolution runs, beside the scratch memory but counted here
        let ConvShape {
            groups,
            in_channels,
            out_channels,
            ..
        } = self.shape;
        let columns = groups * out_channels.next_multiple_of(16);
        let terms = self.shape.kernel_size() * in_channels.next_multiple_of(4);
        let packed = if self.filters.is_some() {
            0
        } else {
            2 * (columns + 64) * terms + 4 * (columns + 64)
        };
        let gathered = if terms > LONG { terms } else { 0 };
        debug_assert!(columns + 64 >= conv_columns(&self.shape));
        debug_assert!(self.filters.is_some() || packed >= PackedFilters::bytes(&self.shape));
        debug_assert!(gathered >= integer_conv_scratch(&self.shape));
        4 * (self.zeros + self.scales + sums + 3 * (columns + 64)) + packed + gathered
    }

    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let mut memory = Pieces(std::mem::take(&mut io.scratch));
        let [x_zero, w_zero] = self.places.zeros.map(|place| io.optional_input(place));
        let w_zeros = memory.integers(w_zero, self.zeros);
        let mut x_zeros = [0];
        if let Some(zero) = x_zero {
            read_integers(&zero, 0, &mut x_zeros);
        }
        let scales: &[f32] = if self.quantizes {
            memory.floats(&io.input(B_SCALE), self.scales)
        } else {
            &[]
        };
        let [x, w] = self.places.values.map(|place| io.input(place));
        let (_, outputs, _) = io.split();
        let Some(mut output) = outputs.first_mut().and_then(Option::take) else {
            return Ok(());
        };
        let quantizing = self.quantizes.then(|| {
            let number = |index: usize| number(&io.input(index));
            (grid(io, self.dtype), number(A_SCALE), number(Y_SCALE))
        });
        let bias = quantizing.and_then(|_| io.optional_input(BIAS));
        let bias = bias.as_ref().map(|bias| bias.as_slice::<i32>());
        match io.path {
            Path::Fast => with_byte!(x.dtype(), X => with_byte!(w.dtype(), W => with_byte!(self.dtype, Y => {
                let of = Bytes::of::<X>(x_zeros[0]);
                let packed;
                let filters = match &self.filters {
                    Some(filters) => filters,
                    None => {
                        packed = PackedFilters::new(&self.shape, w.as_slice::<W>());
                        &packed
                    }
                };
                let columns = conv_columns(&self.shape);
                let starts: &mut [i32] = memory.take(columns);
                let zeros: &mut [i32] = memory.take(columns);
                let own_factors: &mut [f32] = memory.take(columns);
                let (prepared, factors) = match (&self.numbers, quantizing) {
                    (Some(known), _) => (Prepared::new(&known.starts, &known.zeros), &known.factors[..]),
                    (None, quantizing) => {
                        if let Some((_, x_scale, y_scale)) = quantizing {
                            self.factors(x_scale, scales, y_scale, own_factors);
                        }
                        (filters.prepare(&self.shape, of, w_zeros, bias, starts, zeros), &*own_factors)
                    }
                };
                let output = match quantizing {
                    Some((grid, ..)) => ConvOutput::Bytes {
                        out: Y::bytes_mut(output.as_mut_slice::<Y>()),
                        layout: self.layouts[1],
                        factors,
                        of: Bytes::of::<Y>(grid.zero),
                    },
                    None => ConvOutput::Sums(output.as_mut_slice()),
                };
                let x = X::bytes(x.as_slice::<X>());
                let layout = self.layouts[0];
                integer_conv(&self.shape, x, of, layout, filters, prepared, output, memory.0);
            }))),
            Path::Reference => {
                let own_sums = memory.take::<i32>(if self.quantizes { self.elements } else { 0 });
                let convolve = |sums: &mut [i32]| {
                    with_byte!(x.dtype(), X => with_byte!(w.dtype(), W => {
                        let (x, w) = (x.as_slice::<X>(), w.as_slice::<W>());
                        reference::integer_conv(&self.shape, x, x_zeros[0], w, |m| of_line(w_zeros, m), sums);
                    }))
                };
                match quantizing {
                    Some((grid, x_scale, y_scale)) => {
                        convolve(own_sums);
                        let factor = |channel: usize| x_scale * of_line(scales, channel) / y_scale;
                        self.requantize_each(own_sums, bias, factor, grid, &mut output);
                    }
                    None => convolve(output.as_mut_slice()),
                }
            }
        }
        Ok(())
    }
}

impl ConvolutionKernel {
    /// What becomes of the sums, one channel after another.
    fn requantize_each(
        &self,
        sums: &mut [i32],
        bias: Option<&[i32]>,
        factor: impl Fn(usize) -> f32,
        grid: Grid,
        output: &mut TensorViewMut<'_>,
    ) {
        let positions = self.shape.output_size();
        if positions == 0 {
            return;
        }
        let channels = self.shape.groups * self.shape.out_channels;
        for (index, sums) in sums.chunks_exact_mut(positions).enumerate() {
            let channel = index % channels;
            if let Some(bias) = bias {
                sums.iter_mut()
                    .for_each(|sum| *sum = sum.wrapping_add(bias[channel]));
            }
            with_byte!(self.dtype, Y => {
                let out = &mut output.as_mut_slice::<Y>()[index * positions..][..positions];
                requantize::<Y>(sums, factor(channel), grid, out);
            });
        }
    }
}
