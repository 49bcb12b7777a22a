//! Fourier transforms: DFT (versions 17 and 20) and STFT (version 17).
//!
//! Everything is computed in `f64` and rounded once to the type of the signal. With c and s the cosine and sine of
//! (m ÷ n) × 2π, m = j·k mod n, each result is a chain of fused multiply-adds over the places of the signal, ascending: direct
//! sums, n² of them, whose roundings do not depend on how a length factorises.

use super::{
    DType, Definition, FLOATS, INDICES, Inputs, Io, Kernel, NodeSpec, OpError, Operator, TensorType, Work,
    cast::cast, kernel_with_scratch, normalize_axis, streamed,
};
use crate::tensor::{TensorView, TensorViewMut};
use synod_numerics::{float::Float, math};

/// `DFT`
pub(super) const DFT: Definition = Definition {
    name: "DFT",
    since: &[17, 20],
    inputs: 1..=3,
    outputs: 1..=1,
    parse: |node| {
        let axis = if node.version < 20 {
            node.limit_inputs(2)?;
            Some(node.attributes.int("axis")?.unwrap_or(1))
        } else {
            None
        };
        Ok(Box::new(Dft {
            axis,
            inverse: node.attributes.flag("inverse", false)?,
            one_sided: node.attributes.flag("onesided", false)?,
        }))
    },
};

/// `STFT`
pub(super) const STFT: Definition = Definition {
    name: "STFT",
    since: &[17],
    inputs: 2..=4,
    outputs: 1..=1,
    parse: |node: &mut NodeSpec<'_>| {
        let one_sided = node.attributes.flag("onesided", true)?;
        Ok(Box::new(Stft { one_sided }))
    },
};

/// Multiply-add equivalents of a place of the signal in a result.
const PER_TERM: u64 = 400;

/// Those of a cosine and a sine.
const PER_TWIDDLE: u64 = 6_000;

/// Those of a result beside its terms, of converting it, and of reading a place.
const PER_PLACE: u64 = 600;

/// What a transform of one line computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Forward,
    Inverse,
    /// From the first half of the spectrum of a real signal to the signal.
    Real,
}

/// Transforms of lines of a tensor, which may overlap.
#[derive(Debug, Clone)]
struct Lines {
    form: Form,
    /// Length of the transform.
    length: usize,
    /// Results of a line.
    results: usize,
    /// Places of a line that are read; the others up to the length are zero.
    read: usize,
    /// Parts of a number in the input: 1 for a real signal, else 2.
    parts: usize,
    /// Numbers of lines: of outer ones, of frames in each, and of inner ones in each.
    counts: [usize; 3],
    /// Distances of those in the input, in numbers.
    steps: [usize; 3],
    /// Distance of two places of a line in the input, in numbers.
    stride: usize,
    windowed: bool,
}

impl Lines {
    fn lines(&self) -> u64 {
        self.counts
            .iter()
            .fold(1, |product, &count| product.saturating_mul(count as u64))
    }

    fn work(&self, bytes: u64) -> Work {
        let terms = (self.results as u64).saturating_mul(self.read as u64);
        let line = terms
            .saturating_mul(PER_TERM)
            .saturating_add((self.results as u64 + self.read as u64).saturating_mul(PER_PLACE));
        Work {
            arithmetic: self
                .lines()
                .saturating_mul(line)
                .saturating_add((self.length as u64).saturating_mul(PER_TWIDDLE)),
            bytes: bytes.saturating_mul(3),
        }
    }

    /// Parts of a number in the output.
    fn results_parts(&self) -> usize {
        if self.form == Form::Real { 1 } else { 2 }
    }

    /// A kernel for a signal, and of a window for its frames, at these positions among the inputs.
    fn kernel(self, elements: usize, window: Option<usize>) -> Box<dyn Kernel> {
        let outputs = self.lines() as usize * self.results * self.results_parts();
        let numbers = elements + outputs + 4 * self.length + if self.windowed { self.length } else { 0 };
        kernel_with_scratch(8 * numbers, move |io: &mut Io<'_, '_>| {
            let signal = io.input(0);
            let window = window.and_then(|index| io.optional_input(index));
            let (_, out, scratch) = io.split();
            let Some(out) = out.first_mut().and_then(Option::as_mut) else {
                return Ok(());
            };
            let scratch: &mut [f64] = bytemuck::cast_slice_mut(&mut scratch[..8 * numbers]);
            let (x, scratch) = scratch.split_at_mut(elements);
            let (y, scratch) = scratch.split_at_mut(outputs);
            let (cosines, scratch) = scratch.split_at_mut(self.length);
            let (sines, scratch) = scratch.split_at_mut(self.length);
            let (real, scratch) = scratch.split_at_mut(self.length);
            let (imaginary, weights) = scratch.split_at_mut(self.length);
            widen(&signal, x);
            if let Some(window) = window {
                widen(&window, weights);
            }
            for (place, (c, s)) in cosines.iter_mut().zip(sines.iter_mut()).enumerate() {
                let angle = place as f64 / self.length as f64 * (2.0 * std::f64::consts::PI);
                (*c, *s) = (math::cos(angle), math::sin(angle));
            }
            let [outer, frames, inner] = self.counts;
            let parts = self.results_parts();
            for outer in 0..outer {
                for frame in 0..frames {
                    for inner_line in 0..inner {
                        let first =
                            outer * self.steps[0] + frame * self.steps[1] + inner_line * self.steps[2];
                        for place in 0..self.read {
                            let at = (first + place * self.stride) * self.parts;
                            let weight = if self.windowed { weights[place] } else { 1.0 };
                            real[place] = x[at] * weight;
                            imaginary[place] = if self.parts == 2 { x[at + 1] * weight } else { 0.0 };
                        }
                        for result in 0..self.results {
                            let (re, im) = self.result(result, real, imaginary, cosines, sines);
                            let line = (outer * frames + frame) * self.results + result;
                            let at = (line * inner + inner_line) * parts;
                            y[at] = re.canonical();
                            if parts == 2 {
                                y[at + 1] = im.canonical();
                            }
                        }
                    }
                }
            }
            let bytes = bytemuck::cast_slice(y);
            let view = TensorView {
                dtype: DType::F64,
                shape: &[outputs],
                bytes,
            };
            cast(&view, out);
            Ok(())
        })
    }

    /// Result number `k` of a line.
    fn result(
        &self,
        k: usize,
        real: &[f64],
        imaginary: &[f64],
        cosines: &[f64],
        sines: &[f64],
    ) -> (f64, f64) {
        let (mut re, mut im, mut turn) = (0.0f64, 0.0f64, 0);
        let n = self.length;
        let complex = self.parts == 2;
        for place in 0..self.read {
            let (c, s) = (cosines[turn], sines[turn]);
            let (x, y) = (real[place], imaginary[place]);
            match self.form {
                Form::Forward => {
                    re = x.fma(c, re);
                    im = (-x).fma(s, im);
                    if complex {
                        re = y.fma(s, re);
                        im = y.fma(c, im);
                    }
                }
                Form::Inverse => {
                    re = x.fma(c, re);
                    im = x.fma(s, im);
                    if complex {
                        re = (-y).fma(s, re);
                        im = y.fma(c, im);
                    }
                }
                Form::Real => {
                    // Places but the first, and the middle one of an even length, stand for two.
                    if place == 0 || 2 * place == n {
                        re = x.fma(c, re);
                    } else {
                        re = (2.0 * x).fma(c, re);
                        if complex {
                            re = (-2.0 * y).fma(s, re);
                        }
                    }
                }
            }
            turn += k;
            if turn >= n {
                turn -= n;
            }
        }
        match self.form {
            Form::Forward => (re, im),
            Form::Inverse | Form::Real => (re / n as f64, im / n as f64),
        }
    }
}

/// Elements as f64.
pub(super) fn widen(from: &TensorView<'_>, to: &mut [f64]) {
    let shape = [to.len()];
    let mut to = TensorViewMut {
        dtype: DType::F64,
        shape: &shape,
        bytes: bytemuck::cast_slice_mut(to),
    };
    cast(from, &mut to);
}

/// One known number that is at least 1.
fn length(inputs: &Inputs<'_>, index: usize) -> Result<Option<usize>, OpError> {
    if inputs.optional(index).is_none() {
        return Ok(None);
    }
    inputs.of_types(index, INDICES)?;
    match inputs.known_i64s(index)?[..] {
        [number] if number >= 1 => Ok(Some(usize::try_from(number).unwrap_or(usize::MAX))),
        ref other => Err(OpError::Value(format!(
            "input {index} is {other:?}, not one number from 1"
        ))),
    }
}

/// Parts of the numbers of a signal, whose last dimension has them.
fn parts(shape: &[usize]) -> Result<usize, OpError> {
    match shape.last() {
        Some(&parts @ (1 | 2)) => Ok(parts),
        _ => Err(OpError::Shape(format!(
            "the signal's last dimension has 1 or 2 elements, the parts of a number; its shape is {shape:?}"
        ))),
    }
}

#[derive(Debug)]
struct Dft {
    /// In version 17; later it is an input.
    axis: Option<i64>,
    inverse: bool,
    one_sided: bool,
}

impl Dft {
    fn lines(&self, inputs: &Inputs<'_>) -> Result<(Lines, TensorType), OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let parts = parts(x.shape)?;
        let axis = match self.axis {
            Some(axis) => axis,
            None => match inputs.known_i64s_if_given(2)?.as_deref() {
                None => -2,
                Some(&[axis]) => axis,
                Some(other) => return Err(OpError::Value(format!("the axis is {other:?}, not one number"))),
            },
        };
        let axis = normalize_axis(axis, x.shape.len())?;
        if axis + 1 == x.shape.len() {
            return Err(OpError::Shape(
                "the last axis has the parts of numbers, not a signal".into(),
            ));
        }
        let form = match (self.inverse, self.one_sided) {
            (false, _) => Form::Forward,
            (true, false) => Form::Inverse,
            (true, true) => Form::Real,
        };
        let along = x.shape[axis];
        let default = if form == Form::Real {
            (2 * along).saturating_sub(2)
        } else {
            along
        };
        let length = length(inputs, 1)?.unwrap_or(default);
        if length == 0 {
            return Err(OpError::Shape("a transform of nothing".into()));
        }
        let half = length / 2 + 1;
        let results = if self.one_sided && !self.inverse {
            half
        } else {
            length
        };
        let read = along.min(if form == Form::Real { half } else { length });
        let inner: usize = x.shape[axis + 1..x.shape.len() - 1].iter().product();
        let mut shape = x.shape.to_vec();
        shape[axis] = results;
        *shape.last_mut().expect("it has the parts") = if form == Form::Real { 1 } else { 2 };
        let output = TensorType::new(x.dtype, shape)?;
        // What the kernel holds of the length itself has to be within the limits too.
        TensorType::new(DType::F64, vec![length, 4])?;
        let lines = Lines {
            form,
            length,
            results,
            read,
            parts,
            counts: [x.shape[..axis].iter().product(), 1, inner],
            steps: [along * inner, 0, 1],
            stride: inner,
            windowed: false,
        };
        Ok((lines, output))
    }
}

impl Operator for Dft {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![self.lines(inputs)?.1])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let lines = self.lines(inputs);
        lines.map_or_else(
            |_| Work::default(),
            |(lines, _)| lines.work(streamed(inputs, outputs)),
        )
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (lines, _) = self.lines(inputs)?;
        Ok(lines.kernel(inputs.required(0)?.elements(), None))
    }
}

#[derive(Debug)]
struct Stft {
    one_sided: bool,
}

impl Stft {
    fn lines(&self, inputs: &Inputs<'_>) -> Result<(Lines, TensorType), OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let &[batch, places, _] = x.shape else {
            return Err(OpError::Shape(format!(
                "the signal has the shape {:?}, not [batch, length, 1 or 2]",
                x.shape
            )));
        };
        let parts = parts(x.shape)?;
        let step = length(inputs, 1)?.ok_or(OpError::MissingInput { index: 1 })?;
        let window = match inputs.optional(2) {
            None => None,
            Some(_) => {
                let window = inputs.like(2, x.dtype)?;
                let &[size] = window.shape else {
                    return Err(OpError::Shape("the window has not one dimension".into()));
                };
                Some(size)
            }
        };
        let frame = length(inputs, 3)?.or(window).unwrap_or(places);
        if window.is_some_and(|window| window != frame) || frame == 0 || frame > places {
            return Err(OpError::Shape(format!(
                "frames of {frame} and a window of {window:?} do not fit a signal of {places}"
            )));
        }
        let frames = 1 + (places - frame) / step;
        let results = if self.one_sided { frame / 2 + 1 } else { frame };
        let output = TensorType::new(x.dtype, vec![batch, frames, results, 2])?;
        let lines = Lines {
            form: Form::Forward,
            length: frame,
            results,
            read: frame,
            parts,
            counts: [batch, frames, 1],
            steps: [places, step, 0],
            stride: 1,
            windowed: window.is_some(),
        };
        Ok((lines, output))
    }
}

impl Operator for Stft {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![self.lines(inputs)?.1])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let lines = self.lines(inputs);
        lines.map_or_else(
            |_| Work::default(),
            |(lines, _)| lines.work(streamed(inputs, outputs)),
        )
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (lines, _) = self.lines(inputs)?;
        let window = lines.windowed.then_some(2);
        Ok(lines.kernel(inputs.required(0)?.elements(), window))
    }
}
