//! DeformConv: a convolution that reads the image at places that an input shifts, between its elements. ONNX versions 19 and
//! 22, with two axes of space.
//!
//! A sample at (y, x) is nothing unless −1 < y < height and −1 < x < width; else, with l the largest integer not above, a and b
//! the fractions of y and x and elements outside the image 0:
//! ((1 − a)·(1 − b)·v00 + (1 − a)·b·v01) + (a·(1 − b)·v10 + a·b·v11), weights first, times the mask. Results are chains of fused
//! multiply-adds over channels, rows and columns of the kernel, to which the bias is added.

use super::{
    Definition, FLOATS, Inputs, Kernel, NodeSpec, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    streamed,
};
use synod_numerics::float::Float;

/// `DeformConv`
pub(super) const DEFORM_CONV: Definition = Definition {
    name: "DeformConv",
    since: &[19, 22],
    inputs: 3..=5,
    outputs: 1..=1,
    parse: |node| Ok(Box::new(DeformConv::parse(node)?)),
};

/// Multiply-add equivalents of a sample, and of a product.
const PER_SAMPLE: u64 = 2_400;
const PER_PRODUCT: u64 = 240;

#[derive(Debug)]
struct DeformConv {
    kernel: Option<Vec<i64>>,
    strides: [usize; 2],
    dilations: [usize; 2],
    /// Before and behind each axis: top, left, bottom, right.
    pads: [usize; 4],
    groups: usize,
    offset_groups: usize,
}

/// Attributes that are sizes, one for each place.
fn sizes<const N: usize>(
    node: &mut NodeSpec<'_>,
    name: &'static str,
    default: usize,
) -> Result<[usize; N], OpError> {
    let Some(values) = node.attributes.ints(name)? else {
        return Ok([default; N]);
    };
    let sizes: Option<Vec<usize>> = values
        .iter()
        .map(|&value| {
            usize::try_from(value)
                .ok()
                .filter(|size| (default..1 << 31).contains(size))
        })
        .collect();
    sizes
        .and_then(|sizes| <[usize; N]>::try_from(sizes).ok())
        .ok_or_else(|| {
            OpError::Shape(format!(
                "{name} is {values:?}: {N} numbers from {default} are supported"
            ))
        })
}

impl DeformConv {
    fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        let count = |node: &mut NodeSpec<'_>, name: &'static str| -> Result<usize, OpError> {
            let value = node.attributes.int(name)?.unwrap_or(1);
            let count = usize::try_from(value).ok().filter(|&count| count > 0);
            count.ok_or_else(|| OpError::Shape(format!("{name} is {value}, not a number from 1")))
        };
        Ok(Self {
            kernel: node.attributes.ints("kernel_shape")?,
            strides: sizes(node, "strides", 1)?,
            dilations: sizes(node, "dilations", 1)?,
            pads: sizes(node, "pads", 0)?,
            groups: count(node, "group")?,
            offset_groups: count(node, "offset_group")?,
        })
    }

    fn geometry(&self, inputs: &Inputs<'_>) -> Result<Geometry, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        for index in 1..inputs.len() {
            if inputs.optional(index).is_some() {
                inputs.like(index, x.dtype)?;
            }
        }
        let (w, offsets) = (inputs.required(1)?, inputs.required(2)?);
        let refuse = |what: &str| OpError::Shape(format!("{what} does not fit the other shapes"));
        let &[images, channels, height, width] = x.shape else {
            return Err(OpError::Shape(
                "only images with two axes of space are supported".into(),
            ));
        };
        let &[results, of_group, rows, columns] = w.shape else {
            return Err(refuse("the weight"));
        };
        let kernel_fits = self
            .kernel
            .as_ref()
            .is_none_or(|kernel| *kernel == [rows as i64, columns as i64]);
        if !kernel_fits
            || of_group.checked_mul(self.groups) != Some(channels)
            || results % self.groups != 0
            || channels % self.offset_groups != 0
            || rows == 0
            || columns == 0
        {
            return Err(refuse("the weight"));
        }
        let out = |size: usize, axis: usize, taps: usize| {
            let reach = (taps - 1).checked_mul(self.dilations[axis])?;
            let padded = size + self.pads[axis] + self.pads[axis + 2];
            Some(padded.checked_sub(reach.checked_add(1)?)? / self.strides[axis] + 1)
        };
        let (Some(out_height), Some(out_width)) = (out(height, 0, rows), out(width, 1, columns)) else {
            return Err(refuse("the kernel"));
        };
        let taps = rows.saturating_mul(columns);
        let places = taps.saturating_mul(self.offset_groups);
        if offsets.shape != [images, places.saturating_mul(2), out_height, out_width] {
            return Err(refuse("the offset"));
        }
        if inputs.optional(3).is_some_and(|bias| bias.shape != [results]) {
            return Err(refuse("the bias"));
        }
        if inputs
            .optional(4)
            .is_some_and(|mask| mask.shape != [images, places, out_height, out_width])
        {
            return Err(refuse("the mask"));
        }
        Ok(Geometry {
            images,
            channels,
            size: [height, width],
            results,
            kernel: [rows, columns],
            out: [out_height, out_width],
            strides: self.strides,
            dilations: self.dilations,
            pads: [self.pads[0], self.pads[1]],
            groups: self.groups,
            offset_groups: self.offset_groups,
        })
    }
}

#[derive(Debug, Clone)]
struct Geometry {
    images: usize,
    channels: usize,
    size: [usize; 2],
    results: usize,
    kernel: [usize; 2],
    out: [usize; 2],
    strides: [usize; 2],
    dilations: [usize; 2],
    pads: [usize; 2],
    groups: usize,
    offset_groups: usize,
}

impl Operator for DeformConv {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let of = self.geometry(inputs)?;
        let dtype = inputs.required(0)?.dtype;
        let shape = vec![of.images, of.results, of.out[0], of.out[1]];
        Ok(vec![TensorType::new(dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(of) = self.geometry(inputs) else {
            return Work::default();
        };
        let product = |sizes: &[usize]| {
            sizes
                .iter()
                .fold(1u64, |product, &size| product.saturating_mul(size as u64))
        };
        let places = product(&[of.images, of.out[0], of.out[1]]);
        let taps = product(&of.kernel);
        let samples = product(&[of.channels]).saturating_mul(taps);
        let products = product(&[of.results, of.channels / of.groups]).saturating_mul(taps);
        let each = samples
            .saturating_mul(PER_SAMPLE)
            .saturating_add(products.saturating_mul(PER_PRODUCT))
            .saturating_add((of.results as u64).saturating_mul(600));
        Work {
            arithmetic: places.saturating_mul(each),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let terms = inputs
            .optional(1)
            .map_or(0, |w| w.shape[1..].iter().product::<usize>() as u64);
        terms.saturating_mul(outputs[0].elements() as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(on_floats(&self.geometry(inputs)?, inputs, outputs))
    }
}

impl FloatOperation for Geometry {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl Geometry {
    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Samples of all channels and taps for one place of the output.
    fn sample<T: Float>(&self, inputs: &[Option<&[T]>], image: usize, place: [usize; 2], samples: &mut [T]) {
        let [height, width] = self.size;
        let (x, offsets) = (required(inputs, 0), required(inputs, 2));
        let mask = inputs.get(4).copied().flatten();
        let (taps, positions) = (self.taps(), self.out[0] * self.out[1]);
        let at = place[0] * self.out[1] + place[1];
        let of_group = self.channels / self.offset_groups;
        for channel in 0..self.channels {
            let plane = &x[(image * self.channels + channel) * height * width..][..height * width];
            let group = image * self.offset_groups + channel / of_group;
            for tap in 0..taps {
                let shift = |axis: usize| offsets[((group * taps + tap) * 2 + axis) * positions + at];
                let tap_at = [tap / self.kernel[1], tap % self.kernel[1]];
                let base = |axis: usize| {
                    let from = place[axis] * self.strides[axis] + tap_at[axis] * self.dilations[axis];
                    from as f64 - self.pads[axis] as f64
                };
                let y = T::from_f64(base(0)) + shift(0);
                let x = T::from_f64(base(1)) + shift(1);
                let value = bilinear(plane, height, width, y, x);
                samples[channel * taps + tap] = match mask {
                    Some(mask) => value * mask[(group * taps + tap) * positions + at],
                    None => value,
                };
            }
        }
    }
}

/// The image between its elements.
fn bilinear<T: Float>(plane: &[T], height: usize, width: usize, y: T, x: T) -> T {
    let (rows, columns) = (T::from_f64(height as f64), T::from_f64(width as f64));
    let inside = y > -T::ONE && y < rows && x > -T::ONE && x < columns;
    if !inside {
        return T::ZERO;
    }
    let (top, left) = (y.floor(), x.floor());
    let (a, b) = (y - top, x - left);
    let (row, column) = (top.to_f64() as i64, left.to_f64() as i64);
    let element = |row: i64, column: i64| match (usize::try_from(row), usize::try_from(column)) {
        (Ok(row), Ok(column)) if row < height && column < width => plane[row * width + column],
        _ => T::ZERO,
    };
    let above =
        (T::ONE - a) * (T::ONE - b) * element(row, column) + (T::ONE - a) * b * element(row, column + 1);
    let below = a * (T::ONE - b) * element(row + 1, column) + a * b * element(row + 1, column + 1);
    above + below
}

impl<T: Compute> FloatKernel<T> for Geometry {
    fn scratch(&self) -> usize {
        self.channels * self.taps()
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, _path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let samples = &mut scratch[..self.channels * self.taps()];
        let (w, bias) = (required(inputs, 1), inputs.get(3).copied().flatten());
        let terms = self.channels / self.groups * self.taps();
        let of_group = self.results / self.groups;
        let [rows, columns] = self.out;
        for image in 0..self.images {
            for row in 0..rows {
                for column in 0..columns {
                    self.sample(inputs, image, [row, column], samples);
                    for result in 0..self.results {
                        let weights = &w[result * terms..][..terms];
                        let read = &samples[result / of_group * terms..][..terms];
                        let chain = weights
                            .iter()
                            .zip(read)
                            .fold(T::ZERO, |chain, (&weight, &value)| weight.fma(value, chain));
                        let sum = match bias {
                            Some(bias) => chain + bias[result],
                            None => chain,
                        };
                        let at = ((image * self.results + result) * rows + row) * columns + column;
                        outputs[0][at] = sum.canonical();
                    }
                }
            }
        }
    }
}
