//! Running float operators on any of the four float types.
//!
//! `f32` and `f64` operands are used where they lie. Operators on 16-bit floats compute in `f32` and round once at their
//! end: [`on_floats`] widens their inputs and narrows their outputs, in scratch memory. Operands of different types
//! (BatchNormalization allows them) compute in the widest.

use super::{Inputs, Io, Kernel, OpError, Path, TensorType};
use crate::{
    DType,
    tensor::{Element, TensorView, TensorViewMut},
};
use std::sync::Arc;
use synod_numerics::{
    fast::{
        self, blocks, convolution,
        epilogue::{self, Epilogue, Simple},
        matrix,
    },
    float::Float,
    half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16},
    pool::Plain,
    reference::{self, Order},
    shape::{ConvShape, Matrix},
};

/// A type that operators compute in, with the kernels that differ between the two.
pub(super) trait Compute: Float + Element + Order + Plain {
    /// Its element type.
    const DTYPE: DType;
    /// The right operand of a matrix product, arranged for the fast kernels.
    type Packed: Send + Sync + 'static;
    /// The weights of a convolution, arranged for the fast kernels.
    type Arranged: Send + Sync + 'static;
    /// What the fast kernels know of a convolution's shape in advance.
    type Geometry: Send + Sync + 'static;

    /// Arranges a k × n matrix.
    fn pack(k: usize, n: usize, b: Matrix<'_, Self>) -> Self::Packed;
    /// The k × n matrix again, row by row.
    fn unpack(packed: &Self::Packed) -> Vec<Self>;
    /// Scratch elements of [`Compute::gemm`].
    fn gemm_scratch(m: usize, n: usize, k: usize) -> usize;
    /// Scratch elements of [`Compute::gemm_packed`].
    fn gemm_packed_scratch(m: usize, k: usize) -> usize;
    /// out\[m, n\] = a\[m, k\] · b\[k, n\].
    fn gemm(
        dims: [usize; 3],
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        then: Option<&Then<'_, Self>>,
        out: &mut [Self],
        scratch: &mut [Self],
    );
    /// [`Compute::gemm`] with `b` arranged before.
    fn gemm_packed(
        dims: [usize; 3],
        a: Matrix<'_, Self>,
        b: &Self::Packed,
        then: Option<&Then<'_, Self>>,
        out: &mut [Self],
        scratch: &mut [Self],
    );
    /// y = alpha · y + beta · c, each product and the sum rounded.
    fn scale_and_add(y: &mut [Self], alpha: Self, c: &[Self], beta: Self);
    /// The elements, if they are `f32`.
    fn floats(elements: &[Self]) -> Option<&[f32]>;
    /// Applies an epilogue, which there is in `f32` only.
    fn apply(epilogue: &dyn Epilogue, first: usize, y: &mut [Self]);
    /// Arranges the weights of a convolution.
    fn arrange(shape: &ConvShape, w: &[Self]) -> Self::Arranged;
    /// Looks at a convolution's shape.
    fn geometry(shape: &ConvShape) -> Self::Geometry;
    /// Looks at a convolution's shape whose input or output has its channels in blocks, if it can be computed so.
    fn geometry_in_blocks(shape: &ConvShape, input: bool, output: bool) -> Option<Self::Geometry>;
    /// Scratch elements of a convolution.
    fn conv_scratch(shape: &ConvShape) -> usize;
    /// The means of planes of `size` elements of an input whose channels lie in blocks, which there is in `f32` only.
    fn global_average_pool_of_blocks(x: &[Self], size: usize, out: &mut [Self]);
    /// A convolution with its weights arranged before.
    fn conv(
        geometry: &Self::Geometry,
        x: &[Self],
        w: &Self::Arranged,
        bias: Option<&[Self]>,
        epilogue: Option<&dyn Epilogue>,
        out: &mut [Self],
    );
}

/// What is done to finished elements of a product.
#[derive(Clone, Copy)]
pub(super) struct Then<'a, T> {
    /// Does it from an index of the output on: to whole rows, or some elements of one.
    pub(super) work: &'a (dyn Fn(usize, &mut [T]) + Sync),
    /// The same for kernels that can do it in registers, if it is that simple.
    pub(super) simple: Option<Simple<'a>>,
}

impl Epilogue for Then<'_, f32> {
    fn apply(&self, first: usize, y: &mut [f32]) {
        (self.work)(first, y);
    }

    fn apply_rows(&self, first: usize, y: &mut [f32], _row: usize) {
        (self.work)(first, y);
    }

    fn simple(&self) -> Option<Simple<'_>> {
        self.simple
    }
}

/// [`Then`] of every row.
fn then_rows<T>(then: Option<&Then<'_, T>>, n: usize, out: &mut [T]) {
    let Some(then) = then else { return };
    let rows = out.chunks_mut(n.max(1)).enumerate();
    rows.for_each(|(row, out)| (then.work)(row * n, out));
}

impl Compute for f32 {
    const DTYPE: DType = DType::F32;
    type Packed = matrix::PackedColumns;
    type Arranged = convolution::ConvWeights;
    type Geometry = convolution::Geometry;

    fn pack(k: usize, n: usize, b: Matrix<'_, Self>) -> Self::Packed {
        matrix::PackedColumns::new(k, n, b)
    }
    fn unpack(packed: &Self::Packed) -> Vec<Self> {
        packed.unpack()
    }
    fn gemm_scratch(m: usize, n: usize, k: usize) -> usize {
        matrix::gemm_scratch(m, n, k)
    }
    fn gemm_packed_scratch(m: usize, k: usize) -> usize {
        matrix::gemm_packed_scratch(m, k)
    }
    fn gemm(
        [m, n, k]: [usize; 3],
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        then: Option<&Then<'_, Self>>,
        out: &mut [Self],
        scratch: &mut [Self],
    ) {
        let epilogue = then.map(|then| then as &dyn Epilogue);
        matrix::gemm_then([m, n, k], a, b, epilogue, out, scratch);
    }
    fn gemm_packed(
        [m, _, _]: [usize; 3],
        a: Matrix<'_, Self>,
        b: &Self::Packed,
        then: Option<&Then<'_, Self>>,
        out: &mut [Self],
        _: &mut [Self],
    ) {
        let epilogue = then.map(|then| then as &dyn Epilogue);
        matrix::gemm_packed_then(m, a, b, epilogue, out);
    }
    fn scale_and_add(y: &mut [Self], alpha: Self, c: &[Self], beta: Self) {
        epilogue::with_each(y, c, move |y: f32, c: f32| (alpha * y + beta * c).canonical());
    }
    fn floats(elements: &[Self]) -> Option<&[f32]> {
        Some(elements)
    }
    fn apply(epilogue: &dyn Epilogue, first: usize, y: &mut [Self]) {
        epilogue.apply(first, y);
    }
    fn arrange(shape: &ConvShape, w: &[Self]) -> Self::Arranged {
        convolution::ConvWeights::new(shape.groups, shape.out_channels, shape.terms(), w)
    }
    fn geometry(shape: &ConvShape) -> Self::Geometry {
        convolution::Geometry::new(shape)
    }
    fn geometry_in_blocks(shape: &ConvShape, input: bool, output: bool) -> Option<Self::Geometry> {
        convolution::Geometry::in_blocks(shape, input, output)
    }
    fn conv_scratch(shape: &ConvShape) -> usize {
        convolution::conv_scratch(shape)
    }
    fn global_average_pool_of_blocks(x: &[Self], size: usize, out: &mut [Self]) {
        blocks::global_average_pool(x, size, out);
    }
    fn conv(
        geometry: &Self::Geometry,
        x: &[Self],
        w: &Self::Arranged,
        bias: Option<&[Self]>,
        epilogue: Option<&dyn Epilogue>,
        out: &mut [Self],
    ) {
        convolution::conv_packed(geometry, w, x, bias, epilogue, out);
    }
}

impl Compute for f64 {
    const DTYPE: DType = DType::F64;
    /// In rows.
    type Packed = Vec<f64>;
    type Arranged = Vec<f64>;
    type Geometry = ConvShape;

    fn pack(k: usize, n: usize, b: Matrix<'_, Self>) -> Self::Packed {
        (0..k * n).map(|i| b.at(i / n, i % n)).collect()
    }
    fn unpack(packed: &Self::Packed) -> Vec<Self> {
        packed.clone()
    }
    fn gemm_scratch(_m: usize, _n: usize, _k: usize) -> usize {
        0
    }
    fn gemm_packed_scratch(_m: usize, _k: usize) -> usize {
        0
    }
    fn gemm(
        [m, n, k]: [usize; 3],
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        then: Option<&Then<'_, Self>>,
        out: &mut [Self],
        _: &mut [Self],
    ) {
        matrix::gemm_generic(m, n, k, a, b, out);
        then_rows(then, n, out);
    }
    fn gemm_packed(
        [m, n, k]: [usize; 3],
        a: Matrix<'_, Self>,
        b: &Self::Packed,
        then: Option<&Then<'_, Self>>,
        out: &mut [Self],
        _: &mut [Self],
    ) {
        matrix::gemm_generic(m, n, k, a, Matrix::row_major(b, n), out);
        then_rows(then, n, out);
    }
    fn scale_and_add(y: &mut [Self], alpha: Self, c: &[Self], beta: Self) {
        y.iter_mut()
            .zip(c)
            .for_each(|(y, &c)| *y = (alpha * *y + beta * c).canonical());
    }
    fn floats(_: &[Self]) -> Option<&[f32]> {
        None
    }
    fn apply(_: &dyn Epilogue, _: usize, _: &mut [Self]) {
        unreachable!("only kernels on f32 take epilogues");
    }
    fn arrange(_shape: &ConvShape, w: &[Self]) -> Self::Arranged {
        w.to_vec()
    }
    fn geometry(shape: &ConvShape) -> Self::Geometry {
        *shape
    }
    fn geometry_in_blocks(_: &ConvShape, _: bool, _: bool) -> Option<Self::Geometry> {
        None
    }
    fn conv_scratch(_shape: &ConvShape) -> usize {
        0
    }
    fn global_average_pool_of_blocks(_: &[Self], _: usize, _: &mut [Self]) {
        unreachable!("only images of f32 lie in blocks");
    }
    fn conv(
        shape: &Self::Geometry,
        x: &[Self],
        w: &Self::Arranged,
        bias: Option<&[Self]>,
        _: Option<&dyn Epilogue>,
        out: &mut [Self],
    ) {
        fast::conv_planes(shape, x, w, bias, out);
    }
}

/// A float operation specialised for concrete shapes, on elements of the type it computes in.
pub(super) trait FloatKernel<T: Compute>: Send + Sync {
    /// Scratch elements.
    fn scratch(&self) -> usize;

    /// Whether a run reads this input (one arranged in advance it does not).
    fn reads(&self, path: Path, input: usize) -> bool;

    /// Computes the outputs; one that is not wanted is empty.
    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]);

    /// The same kernel, in `f32`, for images whose channels lie in blocks of sixteen, in the first input, in the only output, or
    /// both, if it has such a form.
    fn in_blocks(&self, _input: bool, _output: bool) -> Option<Box<dyn FloatKernel<T>>> {
        None
    }

    /// Whether [`Self::run_then`] may be called.
    fn takes_epilogue(&self) -> bool {
        false
    }

    /// Runs the fast path and applies an epilogue to the only output.
    fn run_then(
        &self,
        _inputs: &[Option<&[T]>],
        _out: &mut [T],
        _scratch: &mut [T],
        _epilogue: &dyn Epilogue,
    ) {
        unreachable!("this kernel takes no epilogue");
    }
}

/// What a [`MixedKernel`] computes from: the float operands in the type that it computes in, and all operands as they are.
pub(super) struct Operands<'a, 'b, T> {
    /// Float operands; `None` where there is none, it is of another kind, or the kernel does not read it.
    pub(super) floats: &'b [Option<&'b [T]>],
    /// Every operand.
    pub(super) views: &'b [Option<TensorView<'a>>],
    /// What is done to the elements of the output, if the kernel takes it.
    epilogue: Option<&'b dyn Epilogue>,
}

/// A [`FloatKernel`] that has operands of other kinds too (lengths, masks), or may refuse a value.
pub(super) trait MixedKernel<T: Compute>: Send + Sync {
    /// Scratch elements.
    fn scratch(&self) -> usize;

    /// Whether a run reads this float input (one arranged in advance it does not).
    fn reads(&self, path: Path, input: usize) -> bool;

    /// Computes the outputs; one that is not wanted is empty.
    fn run(
        &self,
        path: Path,
        operands: &Operands<'_, '_, T>,
        outputs: &mut [&mut [T]],
        scratch: &mut [T],
    ) -> Result<(), OpError>;

    /// As [`FloatKernel::in_blocks`].
    fn in_blocks(&self, _input: bool, _output: bool) -> Option<Box<dyn MixedKernel<T>>> {
        None
    }

    /// Whether a run applies [`Operands::epilogue`].
    fn takes_epilogue(&self) -> bool {
        false
    }
}

/// A float kernel as a mixed one.
struct FloatsOnly<T: Compute>(Box<dyn FloatKernel<T>>);

impl<T: Compute> MixedKernel<T> for FloatsOnly<T> {
    fn scratch(&self) -> usize {
        self.0.scratch()
    }

    fn reads(&self, path: Path, input: usize) -> bool {
        self.0.reads(path, input)
    }

    fn run(
        &self,
        path: Path,
        operands: &Operands<'_, '_, T>,
        outputs: &mut [&mut [T]],
        scratch: &mut [T],
    ) -> Result<(), OpError> {
        match operands.epilogue {
            Some(epilogue) => self
                .0
                .run_then(operands.floats, &mut *outputs[0], scratch, epilogue),
            None => self.0.run(path, operands.floats, outputs, scratch),
        }
        Ok(())
    }

    fn in_blocks(&self, input: bool, output: bool) -> Option<Box<dyn MixedKernel<T>>> {
        Some(Box::new(FloatsOnly(self.0.in_blocks(input, output)?)))
    }

    fn takes_epilogue(&self) -> bool {
        self.0.takes_epilogue()
    }
}

/// An operation on operands of several kinds that can be specialised for either type of computing.
pub(super) trait MixedOperation {
    /// Specialises; `known` has the inputs whose value is known in advance.
    fn build<T: Compute>(&self, known: &Known<'_>) -> Box<dyn MixedKernel<T>>;
}

/// An operation that can be specialised for either type of computing.
pub(super) trait FloatOperation {
    /// Specialises; `known` has the inputs whose value is known in advance.
    fn build<T: Compute>(&self, known: &Known<'_>) -> Box<dyn FloatKernel<T>>;
}

/// Inputs whose value is known before the model runs.
pub(super) struct Known<'a>(&'a Inputs<'a>);

/// What a known value is arranged for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// The right operand of a matrix product.
    Product,
    /// The weights of a convolution.
    Convolution,
    /// Rows of a stack of matrices, transposed, as right operand of a product: see [`PackedWeights`].
    Rows,
}

impl Known<'_> {
    /// A known value as `arrange` arranges it, made once for these parameters (all that the arrangement depends on). `restore` makes the
    /// elements again of an arrangement that holds all of them.
    pub(super) fn arranged<T: Compute, P: Send + Sync + 'static>(
        &self,
        index: usize,
        purpose: Purpose,
        parameters: [usize; 3],
        arrange: impl FnOnce(&[T]) -> P,
        restore: Option<impl Fn(&P) -> Vec<T> + Send + Sync + 'static>,
    ) -> Option<Arc<P>> {
        let [a, b, c] = parameters;
        let operand = self.0.optional(index)?;
        let restore = restore.filter(|_| operand.dtype == T::DTYPE);
        operand.arranged(
            &[purpose as usize, a, b, c],
            |value| {
                if value.dtype() == T::DTYPE {
                    return arrange(value.as_slice());
                }
                let mut elements = vec![T::ZERO; value.elements()];
                widen_into(&value.view(), &mut elements);
                arrange(&elements)
            },
            restore.map(|restore| move |arranged: &P| bytemuck::cast_slice(&restore(arranged)).to_vec()),
        )
    }
}

/// Some rows of an operand, transposed: the right operand of products x · rowsᵀ, arranged once if the operand is known in
/// advance.
pub(super) struct PackedWeights<T: Compute> {
    input: usize,
    first: usize,
    rows: usize,
    terms: usize,
    packed: Option<Arc<T::Packed>>,
}

impl<T: Compute> PackedWeights<T> {
    /// `rows` rows of `terms` elements of input `input`, from row `first`.
    pub(super) fn new(known: &Known<'_>, input: usize, first: usize, rows: usize, terms: usize) -> Self {
        let parameters = [first, rows, terms];
        let packed = known.arranged(
            input,
            Purpose::Rows,
            parameters,
            |w: &[T]| {
                T::pack(
                    terms,
                    rows,
                    Matrix::transposed(&w[first * terms..][..rows * terms], terms),
                )
            },
            None::<fn(&T::Packed) -> Vec<T>>,
        );
        Self {
            input,
            first,
            rows,
            terms,
            packed,
        }
    }

    /// Whether a run reads the operand itself.
    pub(super) fn reads(&self, path: Path) -> bool {
        self.packed.is_none() || path == Path::Reference
    }

    /// Scratch elements of a product of `m` rows.
    pub(super) fn scratch(&self, m: usize) -> usize {
        match &self.packed {
            Some(_) => T::gemm_packed_scratch(m, self.terms),
            None => T::gemm_scratch(m, self.rows, self.terms),
        }
    }

    /// out\[m, rows\] = x\[m, terms\] · rowsᵀ.
    pub(super) fn product(
        &self,
        path: Path,
        floats: &[Option<&[T]>],
        x: &[T],
        out: &mut [T],
        scratch: &mut [T],
    ) {
        let m = out.len() / self.rows;
        let dims = [m, self.rows, self.terms];
        let x = Matrix::row_major(x, self.terms);
        if let (Path::Fast, Some(packed)) = (path, &self.packed) {
            return T::gemm_packed(dims, x, packed, None, out, scratch);
        }
        let weights = &required(floats, self.input)[self.first * self.terms..][..self.rows * self.terms];
        let weights = Matrix::transposed(weights, self.terms);
        match path {
            Path::Fast => T::gemm(dims, x, weights, None, out, scratch),
            Path::Reference => reference::gemm(m, self.rows, self.terms, x, weights, out),
        }
    }
}

/// The required input of a [`FloatKernel`].
pub(super) fn required<'a, T>(inputs: &[Option<&'a [T]>], index: usize) -> &'a [T] {
    inputs[index].expect("inference checked that the input is given, and the kernel says that it reads it")
}

/// A kernel for float operands and results of any type.
pub(super) fn on_floats(
    operation: &impl FloatOperation,
    inputs: &Inputs<'_>,
    outputs: &[TensorType],
) -> Box<dyn Kernel> {
    let known = Known(inputs);
    if computes_in_f64(inputs) {
        adapt::<f64>(Box::new(FloatsOnly(operation.build(&known))), inputs, outputs)
    } else {
        adapt::<f32>(Box::new(FloatsOnly(operation.build(&known))), inputs, outputs)
    }
}

/// A kernel for operands of several kinds, whose results are floats.
pub(super) fn on_mixed(
    operation: &impl MixedOperation,
    inputs: &Inputs<'_>,
    outputs: &[TensorType],
) -> Box<dyn Kernel> {
    let known = Known(inputs);
    if computes_in_f64(inputs) {
        adapt::<f64>(operation.build(&known), inputs, outputs)
    } else {
        adapt::<f32>(operation.build(&known), inputs, outputs)
    }
}

fn computes_in_f64(inputs: &Inputs<'_>) -> bool {
    inputs.iter().any(|operand| operand.dtype == DType::F64)
}

fn adapt<T: Compute>(
    kernel: Box<dyn MixedKernel<T>>,
    inputs: &Inputs<'_>,
    outputs: &[TensorType],
) -> Box<dyn Kernel> {
    let inputs: Vec<_> = (0..inputs.len())
        .map(|index| {
            inputs
                .optional(index)
                .map(|operand| (operand.dtype, operand.elements()))
        })
        .collect();
    Box::new(Adapted {
        kernel,
        inputs,
        outputs: outputs
            .iter()
            .map(|output| (output.dtype, output.elements()))
            .collect(),
    })
}

/// Operands without memory of their own being allocated for them; no operator on floats has more outputs.
const FEW: usize = 8;

/// A float kernel among operands of other float types.
struct Adapted<T: Compute> {
    kernel: Box<dyn MixedKernel<T>>,
    inputs: Vec<Option<(DType, usize)>>,
    outputs: Vec<(DType, usize)>,
}

/// Elements that an operand of another type takes in scratch memory.
fn converted_elements<T: Compute>((dtype, elements): (DType, usize)) -> usize {
    if dtype == T::DTYPE { 0 } else { elements }
}

impl<T: Compute> Kernel for Adapted<T> {
    fn scratch_bytes(&self) -> usize {
        let operands = self
            .inputs
            .iter()
            .copied()
            .flatten()
            .chain(self.outputs.iter().copied());
        let converted = operands
            .map(converted_elements::<T>)
            .fold(0, usize::saturating_add);
        converted
            .saturating_add(self.kernel.scratch())
            .saturating_mul(size_of::<T>())
    }

    fn with_channels_together(&self, input: bool, output: bool) -> Option<Arc<dyn Kernel>> {
        let all = self.inputs.iter().flatten().chain(&self.outputs);
        if !all.clone().all(|&(dtype, _)| dtype == DType::F32) {
            return None;
        }
        Some(Arc::new(Self {
            kernel: self.kernel.in_blocks(input, output)?,
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
        }))
    }

    fn reads_input(&self, index: usize) -> bool {
        self.kernel.reads(Path::Fast, index)
    }

    fn takes_epilogue(&self) -> bool {
        let plain = |&(dtype, _): &(DType, usize)| dtype == DType::F32;
        self.kernel.takes_epilogue() && self.outputs.iter().all(plain)
    }

    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let (path, epilogue) = (io.path, io.epilogue);
        let (views, outputs, scratch) = io.split();
        let mut scratch: &mut [T] = bytemuck::cast_slice_mut(scratch);
        let mut take = |length: usize| -> &mut [T] {
            let (taken, rest) = std::mem::take(&mut scratch).split_at_mut(length);
            scratch = rest;
            taken
        };
        // few operators have more operands, and a run should not allocate
        let (mut few, mut many) = ([None::<&[T]>; FEW], Vec::new());
        let inputs = match few.get_mut(..views.len()) {
            Some(few) => few,
            None => {
                many.resize(views.len(), None);
                &mut many[..]
            }
        };
        for (index, view) in views.iter().enumerate() {
            inputs[index] = match view {
                Some(view) if view.dtype().is_float() && self.kernel.reads(path, index) => {
                    Some(if view.dtype() == T::DTYPE {
                        view.as_slice()
                    } else {
                        let converted = take(self.inputs[index].map_or(0, |(_, elements)| elements));
                        widen_into(view, converted);
                        converted
                    })
                }
                _ => None,
            };
        }
        let mut narrowed: [Option<&mut TensorViewMut<'_>>; FEW] = std::array::from_fn(|_| None);
        let mut results: [&mut [T]; FEW] = std::array::from_fn(|_| &mut [][..]);
        // a node may list fewer outputs than there are: the others are not wanted either
        let mut listed = outputs.iter_mut();
        for (at, &(dtype, elements)) in self.outputs.iter().enumerate() {
            match listed.next().and_then(Option::as_mut) {
                None => {}
                Some(output) if dtype == T::DTYPE => results[at] = output.as_mut_slice(),
                Some(output) => {
                    narrowed[at] = Some(output);
                    results[at] = take(elements);
                }
            }
        }
        let operands = Operands {
            floats: inputs,
            views,
            epilogue,
        };
        self.kernel
            .run(path, &operands, &mut results[..self.outputs.len()], scratch)?;
        for (result, output) in results.iter().zip(narrowed) {
            if let Some(output) = output {
                narrow_into(result, output);
            }
        }
        Ok(())
    }
}

fn widen_into<T: Compute>(from: &TensorView<'_>, to: &mut [T]) {
    match from.dtype() {
        DType::F16 => fill(to, from.as_slice::<u16>(), |x| T::from_f32(f16_to_f32(x))),
        DType::BF16 => fill(to, from.as_slice::<u16>(), |x| T::from_f32(bf16_to_f32(x))),
        DType::F32 => fill(to, from.as_slice::<f32>(), T::from_f32),
        _ => fill(to, from.as_slice::<f64>(), T::from_f64),
    }
}

fn narrow_into<T: Compute>(from: &[T], to: &mut TensorViewMut<'_>) {
    // a result computed in f64 of 16-bit operands among wider ones still rounds once
    let single = |x: T| Float::to_f64(x);
    match (to.dtype(), T::DTYPE) {
        (DType::F16, DType::F32) => fill(to.as_mut_slice::<u16>(), from, |x| f32_to_f16(single(x) as f32)),
        (DType::BF16, DType::F32) => fill(to.as_mut_slice::<u16>(), from, |x| f32_to_bf16(single(x) as f32)),
        (DType::F16, _) => fill(to.as_mut_slice::<u16>(), from, |x| {
            synod_numerics::half::f64_to_f16(single(x))
        }),
        (DType::BF16, _) => fill(to.as_mut_slice::<u16>(), from, |x| {
            synod_numerics::half::f64_to_bf16(single(x))
        }),
        (DType::F32, _) => fill(to.as_mut_slice::<f32>(), from, |x| (single(x) as f32).canonical()),
        _ => fill(to.as_mut_slice::<f64>(), from, single),
    }
}

fn fill<A: Copy, B>(to: &mut [B], from: &[A], convert: impl Fn(A) -> B) {
    to.iter_mut()
        .zip(from)
        .for_each(|(to, &from)| *to = convert(from));
}
