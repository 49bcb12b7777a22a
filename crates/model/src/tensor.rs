//! Tensors: an element type, a shape, and the elements in row-major order in one aligned buffer.
//!
//! The elements are kept as little-endian bytes aligned to 64 (a cache line, and the widest vector register), and read
//! through typed views, so that one buffer can serve values of different types in turn. The crate therefore needs a
//! little-endian machine, which is checked when it is compiled.
//!
//! **NaN.** Payload and sign of a NaN are unobservable on the chain: there is one quiet NaN for each float type. Whatever
//! enters (inputs, weights) is brought to it by [`Tensor::canonicalize_nan`]; operators return no other.

use crate::{
    DType,
    shape::{Shape, SizeError, byte_length},
};
use bytemuck::{Pod, Zeroable};
use bytes::Bytes;
use std::fmt;

#[cfg(target_endian = "big")]
compile_error!(
    "tensors are kept as little-endian bytes and read in place: big-endian machines are not supported"
);

/// What one allocation of a [`Buffer`] consists of: a cache line.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes of tensors: own ones, aligned to 64, or a part of a model's weights, which it shares.
#[derive(Clone)]
pub(crate) struct Buffer {
    data: Data,
    length: usize,
}

#[derive(Clone)]
enum Data {
    Own(Vec<Line>),
    /// Aligned to [`SHARED_ALIGNMENT`] at least.
    Shared(Bytes),
}

/// What every element type is aligned to.
const SHARED_ALIGNMENT: usize = 8;

impl Default for Buffer {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Buffer {
    pub(crate) const EMPTY: Self = Self {
        data: Data::Own(Vec::new()),
        length: 0,
    };

    /// A buffer of `length` zero bytes.
    pub(crate) fn zeroed(length: usize) -> Self {
        Self {
            data: Data::Own(bytemuck::zeroed_vec(length.div_ceil(64))),
            length,
        }
    }

    /// A buffer with these bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut buffer = Self::zeroed(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        buffer
    }

    /// A buffer of these bytes, uncopied if they lie as elements must.
    pub(crate) fn sharing(bytes: Bytes) -> Self {
        if bytes.as_ptr().align_offset(SHARED_ALIGNMENT) != 0 {
            return Self::from_bytes(&bytes);
        }
        Self {
            length: bytes.len(),
            data: Data::Shared(bytes),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::Own(lines) => &bytemuck::cast_slice(lines)[..self.length],
            Data::Shared(bytes) => bytes,
        }
    }

    /// The bytes for writing: a copy, if others share them.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        if let Data::Shared(bytes) = &self.data {
            *self = Self::from_bytes(&bytes.clone());
        }
        match &mut self.data {
            Data::Own(lines) => &mut bytemuck::cast_slice_mut(lines)[..self.length],
            Data::Shared(_) => unreachable!("what is shared was just copied"),
        }
    }
}

/// A Rust type that elements can be read as.
///
/// f16 and bf16 are read as `u16` (their bits), bool as `u8` (0 or 1).
pub trait Element: Pod + PartialEq + PartialOrd + fmt::Debug + Send + Sync {
    /// Whether elements of `dtype` are read as this type.
    fn holds(dtype: DType) -> bool;
}

macro_rules! element {
    ($($rust:ty: $($dtype:ident)|+;)+) => {$(
        impl Element for $rust {
            fn holds(dtype: DType) -> bool {
                matches!(dtype, $(DType::$dtype)|+)
            }
        }
    )+};
}
element! {
    f32: F32;
    f64: F64;
    i8: I8;
    i16: I16;
    i32: I32;
    i64: I64;
    u8: U8 | Bool;
    u16: U16 | F16 | BF16;
    u32: U32;
    u64: U64;
}

/// A tensor that owns its elements.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Shape,
    data: Buffer,
    /// Every NaN is known to be the canonical one: nobody has written since that was made so.
    canonical: bool,
}

/// Why bytes are not a tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The byte length does not match shape and type.
    #[error("{dtype} tensor of shape {shape:?} needs {expected} bytes, got {got}")]
    Length {
        /// Element type.
        dtype: DType,
        /// Shape.
        shape: Shape,
        /// Bytes that shape and type ask for.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// A bool byte that is neither 0 nor 1.
    #[error("bool element {index} is the byte {value}: only 0 and 1 are allowed")]
    Bool {
        /// Position of the element.
        index: usize,
        /// The byte found.
        value: u8,
    },
    /// Too large a shape.
    #[error(transparent)]
    Size(#[from] SizeError),
}

impl Tensor {
    /// A tensor of zeros.
    ///
    /// # Errors
    /// If the shape is beyond the [limits](crate::limits).
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Self, SizeError> {
        let length = byte_length(dtype, shape)?;
        Ok(Self {
            dtype,
            shape: shape.to_vec(),
            data: Buffer::zeroed(length),
            canonical: true,
        })
    }

    /// A tensor with these elements; their Rust type must be how `dtype` is [read](Element).
    ///
    /// # Errors
    /// If their number is not what the shape asks for.
    pub fn from_slice<T: Element>(
        dtype: DType,
        shape: &[usize],
        elements: &[T],
    ) -> Result<Self, TensorError> {
        assert!(
            T::holds(dtype),
            "{dtype} elements are not kept as {}",
            std::any::type_name::<T>()
        );
        Self::from_le_bytes(dtype, shape, bytemuck::cast_slice(elements))
    }

    /// A tensor from packed little-endian elements in row-major order. NaNs become the canonical NaN.
    ///
    /// # Errors
    /// If the length is wrong, the shape too large, or a bool is neither 0 nor 1.
    pub fn from_le_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self, TensorError> {
        check_bytes(dtype, shape, bytes)?;
        Ok(Self::canonical(dtype, shape, Buffer::from_bytes(bytes)))
    }

    /// [`Self::from_le_bytes`] without a copy, if the bytes are aligned and have no other NaN than the canonical one.
    pub(crate) fn sharing(dtype: DType, shape: &[usize], bytes: Bytes) -> Result<Self, TensorError> {
        check_bytes(dtype, shape, &bytes)?;
        Ok(Self::canonical(dtype, shape, Buffer::sharing(bytes)))
    }

    fn canonical(dtype: DType, shape: &[usize], data: Buffer) -> Self {
        let mut tensor = Self {
            dtype,
            shape: shape.to_vec(),
            data,
            canonical: false,
        };
        tensor.canonicalize_nan();
        tensor
    }

    /// A tensor from packed big-endian elements in row-major order (the form of the EVM's packed encoding).
    ///
    /// # Errors
    /// As [`Self::from_le_bytes`].
    pub fn from_be_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self, TensorError> {
        let mut swapped = bytes.to_vec();
        swap_bytes(dtype, &mut swapped);
        Self::from_le_bytes(dtype, shape, &swapped)
    }

    /// A tensor whose bytes have no NaNs but the canonical one.
    pub(crate) fn from_buffer(dtype: DType, shape: Shape, data: Buffer) -> Self {
        debug_assert_eq!(byte_length(dtype, &shape), Ok(data.bytes().len()));
        Self {
            dtype,
            shape,
            data,
            canonical: true,
        }
    }

    /// The bytes, for a run that writes them elsewhere and gives them back with [`Self::put_buffer`].
    pub(crate) fn take_buffer(&mut self) -> Buffer {
        std::mem::take(&mut self.data)
    }

    /// Bytes in place of those taken.
    pub(crate) fn put_buffer(&mut self, data: Buffer) {
        self.data = data;
        self.canonical = true;
    }

    /// The packed elements, little-endian.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        self.data.bytes().to_vec()
    }

    /// The packed elements, big-endian.
    pub fn to_be_bytes(&self) -> Vec<u8> {
        let mut bytes = self.to_le_bytes();
        swap_bytes(self.dtype, &mut bytes);
        bytes
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.data.bytes().len() / self.dtype.size()
    }

    /// Whether the bytes are a part of a model's weights.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.data.data, Data::Shared(_))
    }

    /// The elements, little-endian, without copying.
    pub fn bytes(&self) -> &[u8] {
        self.data.bytes()
    }

    /// The elements as a typed slice.
    ///
    /// # Panics
    /// If `T` is not how this element type is [read](Element): a mistake of the caller, not of the data.
    pub fn as_slice<T: Element>(&self) -> &[T] {
        self.view().as_slice()
    }

    /// The elements as a typed slice.
    ///
    /// # Panics
    /// As [`Self::as_slice`].
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        assert!(
            T::holds(self.dtype),
            "{} elements are not kept as {}",
            self.dtype,
            std::any::type_name::<T>()
        );
        self.canonical = false;
        bytemuck::cast_slice_mut(self.data.bytes_mut())
    }

    /// This tensor, borrowed.
    pub fn view(&self) -> TensorView<'_> {
        TensorView {
            dtype: self.dtype,
            shape: &self.shape,
            bytes: self.data.bytes(),
        }
    }

    /// This tensor, borrowed for writing.
    pub fn view_mut(&mut self) -> TensorViewMut<'_> {
        self.canonical = false;
        TensorViewMut {
            dtype: self.dtype,
            shape: &self.shape,
            bytes: self.data.bytes_mut(),
        }
    }

    /// The elements of an integer or bool tensor as `i64` (`u64` beyond `i64::MAX` saturates); `None` for floats.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        Some(match self.dtype {
            DType::I8 => self.as_slice::<i8>().iter().map(|&x| x.into()).collect(),
            DType::I16 => self.as_slice::<i16>().iter().map(|&x| x.into()).collect(),
            DType::I32 => self.as_slice::<i32>().iter().map(|&x| x.into()).collect(),
            DType::I64 => self.as_slice::<i64>().to_vec(),
            DType::U8 | DType::Bool => self.as_slice::<u8>().iter().map(|&x| x.into()).collect(),
            DType::U16 => self.as_slice::<u16>().iter().map(|&x| x.into()).collect(),
            DType::U32 => self.as_slice::<u32>().iter().map(|&x| x.into()).collect(),
            DType::U64 => self
                .as_slice::<u64>()
                .iter()
                .map(|&x| i64::try_from(x).unwrap_or(i64::MAX))
                .collect(),
            DType::F32 | DType::F64 | DType::F16 | DType::BF16 => return None,
        })
    }

    /// Replaces every NaN by the canonical quiet NaN of its type.
    pub fn canonicalize_nan(&mut self) {
        if self.has_only_canonical_nans() {
            self.canonical = true;
            return;
        }
        self.canonical = true;
        let dtype = self.dtype;
        let bytes = self.data.bytes_mut();
        match dtype {
            DType::F32 => bytemuck::cast_slice_mut(bytes)
                .iter_mut()
                .for_each(|bits| *bits = canonical_f32(*bits)),
            DType::F64 => bytemuck::cast_slice_mut(bytes)
                .iter_mut()
                .for_each(|bits| *bits = canonical_f64(*bits)),
            DType::F16 => bytemuck::cast_slice_mut(bytes)
                .iter_mut()
                .for_each(|bits| *bits = canonical_f16(*bits)),
            DType::BF16 => bytemuck::cast_slice_mut(bytes)
                .iter_mut()
                .for_each(|bits| *bits = canonical_bf16(*bits)),
            _ => {}
        }
    }

    /// Whether [`Self::canonicalize_nan`] would change nothing.
    pub(crate) fn has_only_canonical_nans(&self) -> bool {
        if self.canonical {
            return true;
        }
        let bytes = self.data.bytes();
        match self.dtype {
            DType::F32 => changes_nothing(bytemuck::cast_slice(bytes), canonical_f32),
            DType::F64 => changes_nothing(bytemuck::cast_slice(bytes), canonical_f64),
            DType::F16 => changes_nothing(bytemuck::cast_slice(bytes), canonical_f16),
            DType::BF16 => changes_nothing(bytemuck::cast_slice(bytes), canonical_bf16),
            _ => true,
        }
    }
}

/// Whether a function gives every element back. Asked of many at a time, without an end among them, so that the question is vectorised.
fn changes_nothing<T: Copy + PartialEq>(elements: &[T], f: impl Fn(T) -> T) -> bool {
    elements
        .chunks(1024)
        .all(|elements| !elements.iter().fold(false, |changed, &x| changed | (f(x) != x)))
}

/// Checks that bytes are a tensor.
fn check_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<(), TensorError> {
    let expected = byte_length(dtype, shape)?;
    if bytes.len() != expected {
        return Err(TensorError::Length {
            dtype,
            shape: shape.to_vec(),
            expected,
            got: bytes.len(),
        });
    }
    if dtype == DType::Bool
        && let Some(index) = bytes.iter().position(|&byte| byte > 1)
    {
        return Err(TensorError::Bool {
            index,
            value: bytes[index],
        });
    }
    Ok(())
}

fn canonical_f32(bits: u32) -> u32 {
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        0x7fc0_0000
    } else {
        bits
    }
}

fn canonical_f64(bits: u64) -> u64 {
    if bits & (u64::MAX >> 1) > 0x7ff0 << 48 {
        0x7ff8 << 48
    } else {
        bits
    }
}

fn canonical_f16(bits: u16) -> u16 {
    if bits & 0x7fff > 0x7c00 { 0x7e00 } else { bits }
}

fn canonical_bf16(bits: u16) -> u16 {
    if bits & 0x7fff > 0x7f80 { 0x7fc0 } else { bits }
}

/// Bitwise equality: same type, same shape, same bits (so NaN equals NaN and -0 differs from 0).
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.data.bytes() == other.data.bytes()
    }
}

impl Eq for Tensor {}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// A tensor borrowed for reading.
#[derive(Clone, Copy)]
pub struct TensorView<'a> {
    pub(crate) dtype: DType,
    pub(crate) shape: &'a [usize],
    pub(crate) bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The elements, little-endian.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A copy.
    pub fn to_tensor(&self) -> Tensor {
        Tensor::from_buffer(self.dtype, self.shape.to_vec(), Buffer::from_bytes(self.bytes))
    }

    /// The elements as a typed slice.
    ///
    /// # Panics
    /// If `T` is not how this element type is [read](Element).
    pub fn as_slice<T: Element>(&self) -> &'a [T] {
        assert!(
            T::holds(self.dtype),
            "{} elements are not kept as {}",
            self.dtype,
            std::any::type_name::<T>()
        );
        bytemuck::cast_slice(self.bytes)
    }
}

impl fmt::Debug for TensorView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?} ", self.dtype, self.shape)?;
        match self.dtype {
            DType::F32 => self.as_slice::<f32>().fmt(f),
            DType::F64 => self.as_slice::<f64>().fmt(f),
            DType::I8 => self.as_slice::<i8>().fmt(f),
            DType::I16 => self.as_slice::<i16>().fmt(f),
            DType::I32 => self.as_slice::<i32>().fmt(f),
            DType::I64 => self.as_slice::<i64>().fmt(f),
            DType::U8 | DType::Bool => self.as_slice::<u8>().fmt(f),
            DType::U16 | DType::F16 | DType::BF16 => self.as_slice::<u16>().fmt(f),
            DType::U32 => self.as_slice::<u32>().fmt(f),
            DType::U64 => self.as_slice::<u64>().fmt(f),
        }
    }
}

/// A tensor borrowed for writing.
pub struct TensorViewMut<'a> {
    pub(crate) dtype: DType,
    pub(crate) shape: &'a [usize],
    pub(crate) bytes: &'a mut [u8],
}

impl TensorViewMut<'_> {
    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        self.shape
    }

    /// The elements, little-endian.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// The elements as a typed slice.
    ///
    /// # Panics
    /// If `T` is not how this element type is [read](Element).
    pub fn as_mut_slice<T: Element>(&mut self) -> &mut [T] {
        assert!(
            T::holds(self.dtype),
            "{} elements are not kept as {}",
            self.dtype,
            std::any::type_name::<T>()
        );
        bytemuck::cast_slice_mut(self.bytes)
    }
}

fn swap_bytes(dtype: DType, bytes: &mut [u8]) {
    if dtype.size() > 1 {
        bytes.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_and_out_in_both_orders() {
        let tensor = Tensor::from_slice(DType::I32, &[2], &[1i32, -2]).unwrap();
        assert_eq!(tensor.to_be_bytes(), [0, 0, 0, 1, 255, 255, 255, 254]);
        assert_eq!(
            Tensor::from_be_bytes(DType::I32, &[2], &tensor.to_be_bytes()).unwrap(),
            tensor
        );
        assert_eq!(
            Tensor::from_le_bytes(DType::I32, &[2], &tensor.to_le_bytes()).unwrap(),
            tensor
        );
        assert_eq!(tensor.elements(), 2);
    }

    #[test]
    fn wrong_lengths_and_bools_are_refused() {
        assert_eq!(
            Tensor::from_le_bytes(DType::F32, &[2, 2], &[0; 15]),
            Err(TensorError::Length {
                dtype: DType::F32,
                shape: vec![2, 2],
                expected: 16,
                got: 15
            })
        );
        assert_eq!(
            Tensor::from_le_bytes(DType::Bool, &[2], &[1, 2]),
            Err(TensorError::Bool { index: 1, value: 2 })
        );
        assert!(matches!(
            Tensor::from_le_bytes(DType::F32, &[usize::MAX, 2], &[]),
            Err(TensorError::Size(_))
        ));
    }

    #[test]
    fn every_nan_becomes_the_canonical_one() {
        let bits = [
            0xffc0_0001u32,
            0x7f80_0001,
            0x7fc0_0000,
            0x7f80_0000,
            0xff80_0000,
            0x8000_0000,
        ];
        let floats = bits.map(f32::from_bits);
        let tensor = Tensor::from_slice(DType::F32, &[6], &floats).unwrap();
        let words: Vec<u32> = tensor.as_slice::<f32>().iter().map(|x| x.to_bits()).collect();
        assert_eq!(
            words,
            [
                0x7fc0_0000,
                0x7fc0_0000,
                0x7fc0_0000,
                0x7f80_0000,
                0xff80_0000,
                0x8000_0000
            ]
        );
        let half = Tensor::from_slice(DType::F16, &[2], &[0xfc01u16, 0xfc00]).unwrap();
        assert_eq!(half.as_slice::<u16>(), [0x7e00, 0xfc00]);
        let brain = Tensor::from_slice(DType::BF16, &[2], &[0xff81u16, 0xff80]).unwrap();
        assert_eq!(brain.as_slice::<u16>(), [0x7fc0, 0xff80]);
        let double = Tensor::from_slice(DType::F64, &[1], &[f64::from_bits(0xfff0_0000_0000_0001)]).unwrap();
        assert_eq!(double.as_slice::<f64>()[0].to_bits(), 0x7ff8 << 48);
    }
}
