//! Pools: MaxPool (versions 1 to 22), AveragePool (1 to 22), LpPool (2 to 22), GlobalAveragePool and GlobalMaxPool (1, 22),
//! GlobalLpPool (2, 22).
//!
//! Taps over padding are skipped. A maximum is NaN if a tap is NaN, and -0 is below +0. An average is the sum of the taps
//! in ascending order from +0.0, divided by their number, or with `count_include_pad` by the number of taps over the
//! input and its padding. A global average is a mean in lanes like ReduceMean's.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Io, Kernel, NodeSpec, OpError, Operator, Path,
    TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    kernel, streamed,
    window::{Window, image, in_three},
};
use crate::tensor::{Element, TensorViewMut};
use std::{marker::PhantomData, sync::Arc};
use synod_numerics::{
    fast,
    pool::Plain,
    quantize::Byte,
    reference::{self, Order},
    shape::PoolShape,
};

/// `MaxPool`
pub(super) const MAX_POOL: Definition = Definition {
    name: "MaxPool",
    since: &[1, 8, 10, 11, 12, 22],
    inputs: 1..=1,
    outputs: 1..=2,
    parse: |node| {
        Ok(Box::new(MaxPool {
            window: Window::parse(node, node.version >= 10)?,
            ceil_mode: node.version >= 10 && node.attributes.flag("ceil_mode", false)?,
            column_major: node.version >= 8 && node.attributes.flag("storage_order", false)?,
            indices: node.outputs.len() > 1 && node.outputs[1],
        }))
    },
};

/// `AveragePool`
pub(super) const AVERAGE_POOL: Definition = Definition {
    name: "AveragePool",
    since: &[1, 7, 10, 11, 19, 22],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(AveragePool {
            window: Window::parse(node, node.version >= 19)?,
            ceil_mode: node.version >= 10 && node.attributes.flag("ceil_mode", false)?,
            count_padding: node.version >= 7 && node.attributes.flag("count_include_pad", false)?,
        }))
    },
};

/// `LpPool`
pub(super) const LP_POOL: Definition = Definition {
    name: "LpPool",
    since: &[2, 11, 18, 22],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let p = power(node)?;
        Ok(Box::new(LpPool {
            window: Window::parse(node, node.version >= 18)?,
            ceil_mode: node.version >= 18 && node.attributes.flag("ceil_mode", false)?,
            p,
        }))
    },
};

/// `GlobalLpPool`
pub(super) const GLOBAL_LP_POOL: Definition = Definition {
    name: "GlobalLpPool",
    since: &[2, 22],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Ok(Box::new(GlobalLpPool { p: power(node)? })),
};

/// The attribute `p`.
fn power(node: &mut NodeSpec<'_>) -> Result<u32, OpError> {
    let p = node.attributes.int("p")?.unwrap_or(2);
    u32::try_from(p).ok().filter(|&p| p >= 1).ok_or_else(|| {
        AttributeError::Value {
            name: "p",
            value: p.to_string(),
            expected: "1 to 4294967295",
        }
        .into()
    })
}

/// `GlobalAveragePool`
pub(super) const GLOBAL_AVERAGE_POOL: Definition = Definition {
    name: "GlobalAveragePool",
    since: &[1, 22],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Global::Average)),
};

/// `GlobalMaxPool`
pub(super) const GLOBAL_MAX_POOL: Definition = Definition {
    name: "GlobalMaxPool",
    since: &[1, 22],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Global::Max)),
};

/// Multiply-add equivalents of one tap: a load, an operation and the loop around them.
const PER_TAP: u64 = 46;

/// Geometry of a pool, and the shape of its output.
fn geometry(
    window: &Window,
    ceil_mode: bool,
    inputs: &Inputs<'_>,
) -> Result<(PoolShape, Vec<usize>), OpError> {
    let x = inputs.required(0)?;
    let (batch, channels, space) = image(x.shape)?;
    let kernel = window.kernel(None, space.len())?;
    let axes = window.axes(space, &kernel, ceil_mode)?;
    let mut dims = vec![batch, channels];
    dims.extend(axes.iter().map(|axis| axis.output));
    Ok((
        PoolShape {
            channels: batch * channels,
            axes: in_three(&axes),
        },
        dims,
    ))
}

/// Taps of a window.
fn taps(pool: Result<(PoolShape, Vec<usize>), OpError>) -> u64 {
    let axes = pool.map(|(shape, _)| shape.axes);
    axes.map_or(0, |axes| {
        axes.iter()
            .fold(1u64, |taps, axis| taps.saturating_mul(axis.kernel as u64))
    })
}

/// Work of walking over the taps of every window.
fn work(taps: u64, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
    Work::elementwise(inputs, outputs, taps.saturating_add(2).saturating_mul(PER_TAP))
}

#[derive(Debug)]
struct MaxPool {
    window: Window,
    ceil_mode: bool,
    column_major: bool,
    indices: bool,
}

const MAX_TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::U8,
];

impl Operator for MaxPool {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, MAX_TYPES)?;
        let (_, dims) = geometry(&self.window, self.ceil_mode, inputs)?;
        let values = TensorType::new(x.dtype, dims.clone())?;
        let indices = TensorType::new(DType::I64, dims)?;
        Ok(vec![values, indices])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let taps = taps(geometry(&self.window, self.ceil_mode, inputs));
        let mut work = work(taps, inputs, outputs);
        if self.indices {
            // the scalar reference runs
            work.arithmetic = work.arithmetic.saturating_mul(12);
        } else if matches!(outputs[0].dtype, DType::F32 | DType::I8 | DType::U8) {
            // a maximum along each axis, for all windows of a line at once
            let (read, planes) = inputs.optional(0).map_or((0, 0), |x| {
                (x.elements() as u64, x.shape[..2].iter().product::<usize>() as u64)
            });
            let of_one = taps.saturating_add(PER_TAP);
            work = Work::elementwise(inputs, outputs, of_one);
            work.arithmetic = work
                .arithmetic
                .saturating_add(read.saturating_mul(20))
                .saturating_add(planes.saturating_mul(320));
        }
        work
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (shape, _) = geometry(&self.window, self.ceil_mode, inputs)?;
        let pool = MaxKernel {
            shape,
            column_major: self.column_major,
            indices: self.indices,
        };
        Ok(match outputs[0].dtype {
            DType::I8 if !pool.indices => MaxOfBytes::<i8>::kernel(pool, inputs)?,
            DType::U8 if !pool.indices => MaxOfBytes::<u8>::kernel(pool, inputs)?,
            DType::I8 => pool.of::<i8>(),
            DType::U8 => pool.of::<u8>(),
            DType::F32 if !pool.indices => Box::new(MaxOfFloats {
                channels: inputs.required(0)?.shape[1],
                shape: pool.shape,
                blocks: None,
            }),
            DType::F32 => pool.of::<f32>(),
            DType::F64 => pool.of::<f64>(),
            _ if pool.indices => {
                return Err(OpError::Value(
                    "indices of a pool of 16-bit floats are not supported".into(),
                ));
            }
            _ => on_floats(&pool, inputs, &outputs[..1]),
        })
    }
}

#[derive(Clone)]
struct MaxKernel {
    shape: PoolShape,
    column_major: bool,
    indices: bool,
}

impl MaxKernel {
    fn of<T: Element + Order>(self) -> Box<dyn Kernel> {
        kernel(move |io: &mut Io<'_, '_>| {
            let (path, x) = (io.path, io.input(0).as_slice::<T>());
            if self.indices {
                self.with_indices(x, io);
                return Ok(());
            }
            let (_, out) = io.unary::<T, T>(0, 0);
            match path {
                Path::Fast => fast::max_pool(&self.shape, x, out),
                Path::Reference => reference::max_pool(&self.shape, x, out, |_, _| {}),
            }
            Ok(())
        })
    }

    fn with_indices<T: Element + Order>(&self, x: &[T], io: &mut Io<'_, '_>) {
        let (_, outputs, _) = io.split();
        let [values, indices, ..] = outputs else { return };
        let indices = indices
            .as_mut()
            .map_or(&mut [][..], TensorViewMut::as_mut_slice::<i64>);
        let mut unwanted = Vec::new();
        let values = match values {
            Some(values) => values.as_mut_slice::<T>(),
            None => {
                unwanted.resize(indices.len(), T::LOWEST);
                &mut unwanted
            }
        };
        let [depth, height, width] = self.shape.axes;
        let (size, per_channel) = (self.shape.input_size(), self.shape.output_size());
        reference::max_pool(&self.shape, x, values, |at, [d, h, w]| {
            let within = if self.column_major {
                d + depth.input * (h + height.input * w)
            } else {
                (d * height.input + h) * width.input + w
            };
            indices[at] = (at / per_channel * size + within) as i64;
        });
    }
}

/// The pool of images of bytes, whose channels may come last.
#[derive(Clone)]
struct MaxOfBytes<T> {
    shape: PoolShape,
    /// If the input's come last: whether the output's do.
    channels_last: Option<bool>,
    /// Of an image.
    channels: usize,
    of: PhantomData<fn() -> T>,
}

impl<T: Element + Order + Byte + Plain> MaxOfBytes<T> {
    fn kernel(pool: MaxKernel, inputs: &Inputs<'_>) -> Result<Box<dyn Kernel>, OpError> {
        Ok(Box::new(Self {
            shape: pool.shape,
            channels_last: None,
            channels: inputs.required(0)?.shape[1],
            of: PhantomData,
        }))
    }
}

impl<T: Element + Order + Byte + Plain> Kernel for MaxOfBytes<T> {
    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let path = io.path;
        let (x, out) = io.unary::<T, T>(0, 0);
        match (path, self.channels_last) {
            (Path::Fast, Some(true)) => fast::max_pool_channels_last(&self.shape, self.channels, x, out),
            (Path::Fast, Some(false)) => {
                fast::max_pool_channels_last_to_first(&self.shape, self.channels, x, out);
            }
            (Path::Fast, None) => fast::max_pool(&self.shape, x, out),
            (Path::Reference, _) => reference::max_pool(&self.shape, x, out, |_, _| {}),
        }
        Ok(())
    }

    fn with_channels_together(&self, input: bool, output: bool) -> Option<Arc<dyn Kernel>> {
        let can = output || fast::can_put_first(&self.shape, self.channels);
        (input && can).then(|| {
            let kernel: Arc<dyn Kernel> = Arc::new(Self {
                channels_last: Some(output),
                channels: self.channels,
                shape: self.shape,
                of: PhantomData,
            });
            kernel
        })
    }
}

/// The pool of images of floats, whose channels may lie in blocks.
#[derive(Clone)]
struct MaxOfFloats {
    shape: PoolShape,
    /// Of an image.
    channels: usize,
    /// If those of the input lie in blocks: whether the output's do.
    blocks: Option<bool>,
}

impl Kernel for MaxOfFloats {
    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let path = io.path;
        let (x, out) = io.unary::<f32, f32>(0, 0);
        match (path, self.blocks) {
            (Path::Fast, Some(output)) => fast::blocks::max_pool(&self.shape, x, output, out),
            (Path::Fast, None) => fast::max_pool_of_floats(&self.shape, x, out),
            (Path::Reference, _) => reference::max_pool(&self.shape, x, out, |_, _| {}),
        }
        Ok(())
    }

    fn with_channels_together(&self, input: bool, output: bool) -> Option<Arc<dyn Kernel>> {
        let can =
            input && self.channels.is_multiple_of(16) && (output || fast::blocks::can_turn(&self.shape));
        can.then(|| {
            let kernel: Arc<dyn Kernel> = Arc::new(Self {
                blocks: Some(output),
                ..self.clone()
            });
            kernel
        })
    }
}

impl FloatOperation for MaxKernel {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(FloatPool {
            shape: self.shape,
            kind: Kind::Max,
        })
    }
}

#[derive(Debug)]
struct AveragePool {
    window: Window,
    ceil_mode: bool,
    count_padding: bool,
}

impl Operator for AveragePool {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        Ok(vec![TensorType::new(
            x.dtype,
            geometry(&self.window, self.ceil_mode, inputs)?.1,
        )?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        work(
            taps(geometry(&self.window, self.ceil_mode, inputs)),
            inputs,
            outputs,
        )
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (shape, _) = geometry(&self.window, self.ceil_mode, inputs)?;
        let kind = Kind::Average {
            count_padding: self.count_padding,
        };
        Ok(on_floats(&FloatPool { shape, kind }, inputs, outputs))
    }
}

/// The p-norm of the taps.
#[derive(Debug)]
struct LpPool {
    window: Window,
    ceil_mode: bool,
    p: u32,
}

impl Operator for LpPool {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        Ok(vec![TensorType::new(
            x.dtype,
            geometry(&self.window, self.ceil_mode, inputs)?.1,
        )?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let mut work = work(
            taps(geometry(&self.window, self.ceil_mode, inputs)),
            inputs,
            outputs,
        );
        // the scalar reference runs, and above 2 a power for each tap
        work.arithmetic = work.arithmetic.saturating_mul(if self.p <= 2 { 5 } else { 30 });
        work
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (shape, _) = geometry(&self.window, self.ceil_mode, inputs)?;
        let kind = Kind::Norm { p: self.p };
        Ok(on_floats(&FloatPool { shape, kind }, inputs, outputs))
    }
}

/// The p-norm of each channel's plane: an LpPool whose window is the plane.
#[derive(Debug)]
struct GlobalLpPool {
    p: u32,
}

impl GlobalLpPool {
    fn pool(&self, inputs: &Inputs<'_>) -> Result<LpPool, OpError> {
        let x = inputs.required(0)?;
        let (_, _, space) = image(x.shape)?;
        if space.contains(&0) {
            return Err(OpError::Shape(format!(
                "input of shape {:?} has no elements to pool",
                x.shape
            )));
        }
        Ok(LpPool {
            window: Window::whole(space),
            ceil_mode: false,
            p: self.p,
        })
    }
}

impl Operator for GlobalLpPool {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        self.pool(inputs)?.infer(inputs)
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        self.pool(inputs)
            .map_or_else(|_| Work::default(), |pool| pool.work(inputs, outputs))
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        self.pool(inputs)?.specialize(inputs, outputs)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Norm { p: u32 },
    Max,
    Average { count_padding: bool },
}

#[derive(Clone)]
struct FloatPool {
    shape: PoolShape,
    kind: Kind,
}

impl FloatOperation for FloatPool {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for FloatPool {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (shape, x, out) = (&self.shape, required(inputs, 0), &mut *outputs[0]);
        match (path, self.kind) {
            (_, Kind::Norm { p }) => reference::norm_pool(shape, p, x, out),
            (Path::Fast, Kind::Max) => fast::max_pool(shape, x, out),
            (Path::Reference, Kind::Max) => reference::max_pool(shape, x, out, |_, _| {}),
            (Path::Fast, Kind::Average { count_padding }) => fast::average_pool(shape, count_padding, x, out),
            (Path::Reference, Kind::Average { count_padding }) => {
                reference::average_pool(shape, count_padding, x, out);
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Global {
    Average,
    Max,
}

impl Operator for Global {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let (batch, channels, space) = image(x.shape)?;
        if space.contains(&0) {
            return Err(OpError::Shape(format!(
                "input of shape {:?} has no elements to pool",
                x.shape
            )));
        }
        let mut dims = vec![batch, channels];
        dims.resize(x.shape.len(), 1);
        Ok(vec![TensorType::new(x.dtype, dims)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = inputs.optional(0).map_or(0, |x| x.elements()) as u64;
        let channels = outputs[0].elements() as u64;
        // a pass over the input, and the lanes' tree and rest of each channel
        Work {
            arithmetic: elements
                .saturating_mul(6)
                .saturating_add(channels.saturating_mul(1_000)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (_, _, space) = image(inputs.required(0)?.shape)?;
        Ok(on_floats(
            &GlobalKernel {
                kind: *self,
                size: space.iter().product(),
                channels: inputs.required(0)?.shape[1],
                blocks: false,
            },
            inputs,
            outputs,
        ))
    }
}

#[derive(Clone)]
struct GlobalKernel {
    kind: Global,
    size: usize,
    /// Of an image.
    channels: usize,
    /// Whether those of the input lie in blocks; the output, of one pixel, is the same.
    blocks: bool,
}

impl FloatOperation for GlobalKernel {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for GlobalKernel {
    fn scratch(&self) -> usize {
        0
    }

    fn in_blocks(&self, input: bool, _output: bool) -> Option<Box<dyn FloatKernel<T>>> {
        let can = matches!(self.kind, Global::Average) && self.channels.is_multiple_of(16);
        can.then(|| {
            let kernel: Box<dyn FloatKernel<T>> = Box::new(Self {
                blocks: input,
                ..self.clone()
            });
            kernel
        })
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (x, out) = (required(inputs, 0), &mut *outputs[0]);
        match (path, self.kind) {
            (Path::Fast, Global::Average) if self.blocks => {
                T::global_average_pool_of_blocks(x, self.size, out)
            }
            (Path::Fast, Global::Average) => fast::global_average_pool(x, self.size, out),
            (Path::Reference, Global::Average) => reference::global_average_pool(x, self.size, out),
            (Path::Fast, Global::Max) => fast::global_max_pool(x, self.size, out),
            (Path::Reference, Global::Max) => reference::global_max_pool(x, self.size, out),
        }
    }
}
