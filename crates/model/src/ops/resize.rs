//! Resize (versions 10, 11, 13, 18, 19) and its forerunner Upsample (7, 9): a tensor sampled at other places, axis by axis.
//!
//! Where an output element lies in the input, and the weights of its neighbours there, are computed in `f64`, in the order of the
//! specification. `nearest` moves elements of any type. `linear` and `cubic` take floats and go through the axes in ascending order;
//! each element is a chain of fused products over its taps, ascending, those of weight 0 left out. An axis that stays as it is
//! is skipped.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Io, Kernel, NodeSpec, OpError, Operator, Path,
    TensorType, Work,
    cast::converted,
    data::{by_size, distinct_axes},
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    kernel_with_scratch,
    sampling::{Coordinates, Mode, Nearest, Sampling},
    streamed,
};
use crate::{
    Tensor,
    shape::{Shape, element_count},
    tensor::TensorViewMut,
};

/// `Resize`
pub(super) const RESIZE: Definition = Definition {
    name: "Resize",
    since: &[10, 11, 13, 18, 19],
    inputs: 1..=4,
    outputs: 1..=1,
    parse: |node| Resize::parse(node),
};

/// `Upsample`
pub(super) const UPSAMPLE: Definition = Definition {
    name: "Upsample",
    since: &[7, 9],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| {
        let mode = mode(node)?;
        let scales = if node.version < 9 {
            node.limit_inputs(1)?;
            let scales = node.attributes.floats("scales")?;
            Given::Attribute(scales.ok_or(AttributeError::Missing { name: "scales" })?)
        } else {
            Given::Input {
                scales: 1,
                sizes: None,
                roi: None,
            }
        };
        Ok(Box::new(Resize {
            scales,
            ..Resize::asymmetric(mode)
        }))
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Stretch,
    NotLarger,
    NotSmaller,
}

/// Where scales and sizes come from.
#[derive(Debug, Clone)]
enum Given {
    Attribute(Vec<f32>),
    Input {
        scales: usize,
        sizes: Option<usize>,
        roi: Option<usize>,
    },
}

#[derive(Debug, Clone)]
struct Resize {
    mode: Mode,
    coordinates: Coordinates,
    policy: Policy,
    axes: Option<Vec<i64>>,
    antialias: bool,
    exclude_outside: bool,
    cubic: f32,
    extrapolation: f32,
    scales: Given,
}

fn refuse<T>(name: &'static str, value: &str, expected: &'static str) -> Result<T, OpError> {
    Err(AttributeError::Value {
        name,
        value: value.to_owned(),
        expected,
    }
    .into())
}

/// The modes of Upsample and of the first Resize.
fn mode(node: &mut NodeSpec<'_>) -> Result<Mode, OpError> {
    match node.attributes.string("mode")?.as_deref() {
        None | Some("nearest") => Ok(Mode::Nearest(Nearest::Floor)),
        Some("linear" | "bilinear") => Ok(Mode::Linear),
        Some(other) => refuse("mode", other, "nearest, linear"),
    }
}

impl Resize {
    /// What there was before version 11 of Resize: a place is the output's divided by the scale.
    fn asymmetric(mode: Mode) -> Self {
        Self {
            mode,
            coordinates: Coordinates::Asymmetric,
            policy: Policy::Stretch,
            axes: None,
            antialias: false,
            exclude_outside: false,
            cubic: -0.75,
            extrapolation: 0.0,
            scales: Given::Input {
                scales: 1,
                sizes: None,
                roi: None,
            },
        }
    }

    fn parse(node: &mut NodeSpec<'_>) -> Result<Box<dyn Operator>, OpError> {
        if node.version < 11 {
            node.limit_inputs(2)?;
            return Ok(Box::new(Self::asymmetric(mode(node)?)));
        }
        let nearest = match node.attributes.string("nearest_mode")?.as_deref() {
            None | Some("round_prefer_floor") => Nearest::PreferFloor,
            Some("round_prefer_ceil") => Nearest::PreferCeil,
            Some("floor") => Nearest::Floor,
            Some("ceil") => Nearest::Ceil,
            Some(other) => {
                return refuse(
                    "nearest_mode",
                    other,
                    "round_prefer_floor, round_prefer_ceil, floor, ceil",
                );
            }
        };
        let mode = match node.attributes.string("mode")?.as_deref() {
            None | Some("nearest") => Mode::Nearest(nearest),
            Some("linear") => Mode::Linear,
            Some("cubic") => Mode::Cubic,
            Some(other) => return refuse("mode", other, "nearest, linear, cubic"),
        };
        let coordinates = match node
            .attributes
            .string("coordinate_transformation_mode")?
            .as_deref()
        {
            None | Some("half_pixel") => Coordinates::HalfPixel,
            Some("half_pixel_symmetric") if node.version >= 19 => Coordinates::HalfPixelSymmetric,
            Some("pytorch_half_pixel") => Coordinates::PytorchHalfPixel,
            Some("align_corners") => Coordinates::AlignCorners,
            Some("asymmetric") => Coordinates::Asymmetric,
            Some("tf_crop_and_resize") => Coordinates::CropAndResize,
            Some(other) => {
                let expected = "half_pixel, pytorch_half_pixel, align_corners, asymmetric, tf_crop_and_resize, and from opset 19 \
                                half_pixel_symmetric";
                return refuse("coordinate_transformation_mode", other, expected);
            }
        };
        let newer = node.version >= 18;
        let policy = match if newer {
            node.attributes.string("keep_aspect_ratio_policy")?
        } else {
            None
        }
        .as_deref()
        {
            None | Some("stretch") => Policy::Stretch,
            Some("not_larger") => Policy::NotLarger,
            Some("not_smaller") => Policy::NotSmaller,
            Some(other) => {
                return refuse(
                    "keep_aspect_ratio_policy",
                    other,
                    "stretch, not_larger, not_smaller",
                );
            }
        };
        let antialias = newer && node.attributes.flag("antialias", false)?;
        if antialias && matches!(mode, Mode::Nearest(_)) {
            return refuse("antialias", "1", "0 where the mode is nearest");
        }
        Ok(Box::new(Self {
            mode,
            coordinates,
            policy,
            axes: if newer {
                node.attributes.ints("axes")?
            } else {
                None
            },
            antialias,
            exclude_outside: node.attributes.flag("exclude_outside", false)?,
            cubic: node.attributes.float("cubic_coeff_a")?.unwrap_or(-0.75),
            extrapolation: node.attributes.float("extrapolation_value")?.unwrap_or(0.0),
            scales: Given::Input {
                scales: 2,
                sizes: Some(3),
                roi: Some(1),
            },
        }))
    }

    /// How every axis is sampled.
    fn samplings(&self, inputs: &Inputs<'_>) -> Result<Vec<Sampling>, OpError> {
        let shape = inputs.required(0)?.shape;
        let named = match &self.axes {
            Some(axes) => distinct_axes(axes, shape.len())?,
            None => (0..shape.len()).collect(),
        };
        let floats = |index: usize| -> Result<Vec<f64>, OpError> {
            Ok(converted(inputs.known(index)?, DType::F64)?
                .as_slice::<f64>()
                .to_vec())
        };
        let given = |index: usize| {
            inputs
                .optional(index)
                .is_some_and(|operand| operand.elements() > 0)
        };
        let fits = |count: usize| {
            if count == named.len() {
                Ok(())
            } else {
                Err(OpError::Shape(format!(
                    "{count} scales or sizes for {} axes",
                    named.len()
                )))
            }
        };
        let mut samplings: Vec<Sampling> = shape.iter().map(|&size| self.sampling(size)).collect();
        let (scales, sizes) = match &self.scales {
            Given::Attribute(scales) => (Some(scales.iter().map(|&scale| f64::from(scale)).collect()), None),
            Given::Input { scales, sizes, .. } => match sizes.filter(|&sizes| given(sizes)) {
                Some(_) if given(*scales) => {
                    return Err(OpError::Shape("both scales and sizes are given".into()));
                }
                Some(sizes) => (None, Some(inputs.known_i64s(sizes)?)),
                None => (Some(floats(*scales)?), None),
            },
        };
        if let Given::Input { roi: Some(roi), .. } = self.scales
            && self.coordinates == Coordinates::CropAndResize
        {
            let roi = floats(roi)?;
            if roi.len() != 2 * named.len() || roi.iter().any(|bound| !bound.is_finite()) {
                return Err(OpError::Shape(format!(
                    "a region of {} numbers for {} axes",
                    roi.len(),
                    named.len()
                )));
            }
            for (index, &axis) in named.iter().enumerate() {
                samplings[axis].region = [roi[index], roi[named.len() + index]];
            }
        }
        if let Some(scales) = scales {
            let scales: Vec<f64> = scales;
            fits(scales.len())?;
            for (&axis, scale) in named.iter().zip(scales) {
                samplings[axis].scale_by(scale)?;
            }
        }
        if let Some(sizes) = sizes {
            fits(sizes.len())?;
            let sizes = crate::shape::shape_from_i64s(&sizes)?;
            let scale = |axis: usize, size: usize| size as f64 / shape[axis] as f64;
            let mut common: Option<f64> = None;
            for (&axis, &size) in named.iter().zip(&sizes) {
                let own = scale(axis, size);
                let held = common.unwrap_or(own);
                let replaces = if self.policy == Policy::NotLarger {
                    own < held
                } else {
                    own > held
                };
                common = Some(if replaces { own } else { held });
            }
            for (&axis, &size) in named.iter().zip(&sizes) {
                match common.filter(|_| self.policy != Policy::Stretch) {
                    Some(scale) => {
                        samplings[axis].scale_to((scale * shape[axis] as f64 + 0.5).floor(), scale)?
                    }
                    None => samplings[axis].scale_to(size as f64, scale(axis, size))?,
                }
            }
        }
        for sampling in &mut samplings {
            sampling.settle()?;
        }
        Ok(samplings)
    }

    fn sampling(&self, size: usize) -> Sampling {
        Sampling {
            mode: self.mode,
            coordinates: self.coordinates,
            antialias: self.antialias,
            exclude_outside: self.exclude_outside,
            cubic: self.cubic.into(),
            from: size,
            to: size,
            extent: size as f64,
            scale: 1.0,
            region: [0.0, 1.0],
            taps: 1,
        }
    }
}

impl Operator for Resize {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = match self.mode {
            Mode::Nearest(_) => inputs.required(0)?,
            _ => inputs.of_types(0, FLOATS)?,
        };
        let shape = self
            .samplings(inputs)?
            .iter()
            .map(|sampling| sampling.to)
            .collect();
        Ok(vec![TensorType::new(x.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (Ok(samplings), Some(x)) = (self.samplings(inputs), inputs.optional(0)) else {
            return Work::default();
        };
        let mut work = Work {
            arithmetic: 0,
            bytes: streamed(inputs, outputs),
        };
        let mut shape = x.shape.to_vec();
        let nearest = matches!(self.mode, Mode::Nearest(_));
        for (axis, sampling) in samplings
            .iter()
            .enumerate()
            .filter(|(_, sampling)| nearest || !sampling.is_identity())
        {
            shape[axis] = sampling.to;
            let (elements, taps) = (element_count(&shape) as u64, sampling.taps as u64);
            let table = (sampling.to as u64).saturating_mul(taps.saturating_mul(450).saturating_add(2_400));
            let inner = element_count(&shape[axis + 1..]) as u64;
            let pass = match inner {
                _ if nearest => 0,
                0 | 1 => elements.saturating_mul(taps.saturating_mul(80).saturating_add(110)),
                _ => {
                    let lines =
                        (elements / inner).saturating_mul(taps.saturating_mul(220).saturating_add(220));
                    lines.saturating_add(elements.saturating_mul(taps.saturating_mul(24).saturating_add(12)))
                }
            };
            work.arithmetic = work.arithmetic.saturating_add(table).saturating_add(pass);
            work.bytes = work
                .bytes
                .saturating_add(if nearest { 0 } else { elements.saturating_mul(16) });
        }
        let results = outputs[0].elements() as u64;
        let rows = results / outputs[0].shape.last().map_or(1, |&last| last.max(1) as u64);
        let each = if nearest { 48 } else { 8 };
        let moving = results
            .saturating_mul(each)
            .saturating_add(rows.saturating_mul(1_000));
        work.arithmetic = work.arithmetic.saturating_add(moving);
        work
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let samplings = self.samplings(inputs)?;
        let shape = inputs.required(0)?.shape.to_vec();
        let extrapolation = self.extrapolation;
        match self.mode {
            Mode::Nearest(nearest) => Picking {
                nearest,
                samplings,
                shape,
                extrapolation,
            }
            .into_kernel(outputs[0].dtype),
            _ => Ok(on_floats(
                &Weighing {
                    samplings,
                    shape,
                    extrapolation,
                },
                inputs,
                outputs,
            )),
        }
    }
}

/// Resizing by picking the nearest elements.
struct Picking {
    nearest: Nearest,
    samplings: Vec<Sampling>,
    shape: Shape,
    extrapolation: f32,
}

impl Picking {
    fn into_kernel(self, dtype: DType) -> Result<Box<dyn Kernel>, OpError> {
        let mut value = Tensor::zeros(DType::F32, &[])?;
        value.as_mut_slice::<f32>()[0] = self.extrapolation;
        value.canonicalize_nan();
        let fill = converted(&value, dtype)?.to_le_bytes();
        let size = dtype.size();
        let table: usize = self.samplings.iter().map(|sampling| sampling.to).sum();
        Ok(kernel_with_scratch(
            table * size_of::<u32>(),
            move |io: &mut Io<'_, '_>| {
                let input = io.input(0).bytes();
                let (_, outputs, scratch) = io.split();
                let output = outputs.first_mut().and_then(Option::as_mut);
                let output = output.map_or(&mut [][..], TensorViewMut::bytes_mut);
                let table: &mut [u32] = &mut bytemuck::cast_slice_mut(scratch)[..table];
                by_size!(size, Word => {
                    let fill: Word = bytemuck::pod_read_unaligned(&fill);
                    self.run::<Word>(bytemuck::cast_slice(input), bytemuck::cast_slice_mut(output), fill, table);
                });
                Ok(())
            },
        ))
    }

    fn run<W: bytemuck::Pod>(&self, input: &[W], output: &mut [W], fill: W, table: &mut [u32]) {
        const NONE: u32 = u32::MAX;
        let mut rest = &mut *table;
        for sampling in &self.samplings {
            let (own, others) = rest.split_at_mut(sampling.to);
            for (index, place) in own.iter_mut().enumerate() {
                *place = sampling
                    .nearest(self.nearest, index)
                    .map_or(NONE, |place| place as u32);
            }
            rest = others;
        }
        let Some((last, outer)) = self.samplings.split_last() else {
            return output.copy_from_slice(input);
        };
        let steps = crate::shape::strides(&self.shape);
        let starts: Vec<usize> = self
            .samplings
            .iter()
            .scan(0, |at, sampling| Some(std::mem::replace(at, *at + sampling.to)))
            .collect();
        let columns = &table[starts[outer.len()]..][..last.to];
        let mut coordinates = vec![0; outer.len()];
        for row in output.chunks_exact_mut(last.to.max(1)) {
            let mut from = Some(0);
            for (axis, &at) in coordinates.iter().enumerate() {
                let place = table[starts[axis] + at];
                from = from
                    .filter(|_| place != NONE)
                    .map(|from| from + place as usize * steps[axis]);
            }
            match from {
                None => row.fill(fill),
                Some(from) => {
                    for (y, &column) in row.iter_mut().zip(columns) {
                        *y = if column == NONE {
                            fill
                        } else {
                            input[from + column as usize]
                        };
                    }
                }
            }
            for axis in (0..outer.len()).rev() {
                coordinates[axis] += 1;
                if coordinates[axis] < outer[axis].to {
                    break;
                }
                coordinates[axis] = 0;
            }
        }
    }
}

/// Resizing by weighing neighbours.
#[derive(Clone)]
struct Weighing {
    samplings: Vec<Sampling>,
    shape: Shape,
    extrapolation: f32,
}

impl Weighing {
    /// The axes that change, and the shape after each.
    fn passes(&self) -> Vec<(usize, Shape)> {
        let mut shape = self.shape.clone();
        let changing = self
            .samplings
            .iter()
            .enumerate()
            .filter(|(_, sampling)| !sampling.is_identity());
        changing
            .map(|(axis, sampling)| {
                shape[axis] = sampling.to;
                (axis, shape.clone())
            })
            .collect()
    }
}

impl FloatOperation for Weighing {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Weighing {
    fn scratch(&self) -> usize {
        let passes = self.passes();
        let between = passes.iter().rev().skip(1).map(|(_, shape)| element_count(shape));
        let tables = passes.iter().map(|(axis, _)| {
            let sampling = &self.samplings[*axis];
            sampling.to.saturating_mul(sampling.taps + 1)
        });
        between.chain(tables).fold(0, usize::saturating_add)
    }

    fn reads(&self, _path: Path, input: usize) -> bool {
        // the others were read while planning
        input == 0
    }

    fn run(&self, _path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let (x, out) = (required(inputs, 0), &mut *outputs[0]);
        let passes = self.passes();
        let Some(last) = passes.len().checked_sub(1) else {
            return out.copy_from_slice(x);
        };
        let (mut source, mut rest): (&[T], &mut [T]) = (x, scratch);
        for (number, (axis, shape)) in passes.iter().enumerate() {
            let sampling = &self.samplings[*axis];
            let (weights, others) = std::mem::take(&mut rest).split_at_mut(sampling.to * sampling.taps);
            let (firsts, others) = others.split_at_mut(sampling.to);
            let firsts: &mut [i32] = &mut bytemuck::cast_slice_mut(firsts)[..sampling.to];
            for (index, (first, weights)) in firsts
                .iter_mut()
                .zip(weights.chunks_exact_mut(sampling.taps))
                .enumerate()
            {
                *first = sampling.weigh(index, weights);
            }
            let inner = element_count(&shape[axis + 1..]);
            if number == last {
                pass(sampling, inner, source, out, firsts, weights);
                break;
            }
            let (between, others) = others.split_at_mut(element_count(shape));
            pass(sampling, inner, source, between, firsts, weights);
            (source, rest) = (between, others);
        }
        let crops = passes
            .iter()
            .filter(|(axis, _)| self.samplings[*axis].coordinates == Coordinates::CropAndResize);
        for (axis, _) in crops {
            let (sampling, shape) = (&self.samplings[*axis], &passes[last].1);
            let inner = element_count(&shape[axis + 1..]);
            for (number, line) in out.chunks_exact_mut(inner.max(1)).enumerate() {
                if sampling.first(number % sampling.to).is_none() {
                    line.fill(T::from_f32(self.extrapolation).canonical());
                }
            }
        }
    }
}

/// Resizes one axis.
fn pass<T: Compute>(
    sampling: &Sampling,
    inner: usize,
    x: &[T],
    out: &mut [T],
    firsts: &[i32],
    weights: &[T],
) {
    if inner == 0 || sampling.to == 0 {
        return;
    }
    let blocks = x
        .chunks_exact(sampling.from * inner)
        .zip(out.chunks_exact_mut(sampling.to * inner));
    for (x, out) in blocks {
        let lines = out
            .chunks_exact_mut(inner)
            .zip(firsts)
            .zip(weights.chunks_exact(sampling.taps));
        for ((line, &first), weights) in lines {
            // a NaN weighs: it is not 0
            let taps = weights
                .iter()
                .enumerate()
                .filter(|(_, weight)| **weight != T::ZERO);
            let taps = taps.map(|(tap, &weight)| (sampling.held(i64::from(first) + tap as i64), weight));
            if let [y] = line {
                *y = taps
                    .fold(T::ZERO, |sum, (source, weight)| weight.fma(x[source], sum))
                    .canonical();
                continue;
            }
            line.fill(T::ZERO);
            for (source, weight) in taps {
                let source = &x[source * inner..][..inner];
                line.iter_mut()
                    .zip(source)
                    .for_each(|(y, &x)| *y = weight.fma(x, *y));
            }
            line.iter_mut().for_each(|y| *y = y.canonical());
        }
    }
}
