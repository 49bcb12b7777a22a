//! From call data to tensors and back: which shapes an input has, and what its bytes mean.
//!
//! Everything here is decided by the model's declared inputs and the call alone, before anything is planned or run, and
//! every refusal is a typed revert with what was expected and what came.

use crate::{failure::Failure, interface::IPredict as errors};
use alloy_primitives::U256;
use std::collections::BTreeMap;
use synod_model::{DType, Tensor};

/// A size of a declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// Always this.
    Fixed(u64),
    /// Free: the same for every occurrence of the name in one call, from 1 to a bound.
    Free { symbol: String, maximum: u64 },
}

/// A declared input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<Dimension>,
}

/// Concrete shapes, one for each input or output.
pub(crate) type Shapes = Vec<Vec<usize>>;

/// What the length of a flat input counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes of packed elements.
    Bytes,
    /// Elements, as in fixed point.
    Values,
}

/// Where the free dimension of a flat input stands.
#[derive(Debug, Clone, Copy)]
struct Free {
    /// Units of one step of the dimension, over all inputs.
    step: u64,
    maximum: u64,
}

/// The shapes of inputs that come as one flat sequence of `length` units.
///
/// At most one free dimension, at most once in each input, so that the length determines it.
pub(crate) fn shapes_of_length(ports: &[Port], unit: Unit, length: u64) -> Result<Shapes, Failure> {
    let mut fixed = 0u64;
    let mut free: Option<(&str, Free)> = None;
    for port in ports {
        let each = match unit {
            Unit::Bytes => port.dtype.size() as u64,
            Unit::Values => 1,
        };
        let mut units = each;
        let mut symbol = None;
        for dimension in &port.shape {
            match dimension {
                Dimension::Fixed(size) => units = units.saturating_mul(*size),
                Dimension::Free {
                    symbol: name,
                    maximum,
                } => {
                    if symbol.replace((name.as_str(), *maximum)).is_some() {
                        return Err(errors::AmbiguousShape {}.into());
                    }
                }
            }
        }
        match (symbol, &mut free) {
            (None, _) => fixed = fixed.saturating_add(units),
            (Some((name, maximum)), None) => free = Some((name, Free { step: units, maximum })),
            (Some((name, maximum)), Some((known, free))) if name == *known => {
                free.step = free.step.saturating_add(units);
                free.maximum = free.maximum.min(maximum);
            }
            (Some(_), Some(_)) => return Err(errors::AmbiguousShape {}.into()),
        }
    }
    let size = match free {
        None if length == fixed => 0,
        None => return Err(wrong_length(unit, fixed, length)),
        Some((_, Free { step: 0, .. })) => return Err(errors::AmbiguousShape {}.into()),
        Some((_, Free { step, maximum })) => length
            .checked_sub(fixed)
            .filter(|rest| rest % step == 0)
            .map(|rest| rest / step)
            .filter(|size| (1..=maximum).contains(size))
            .ok_or_else(|| wrong_free_length(unit, fixed, step, maximum, length))?,
    };
    Ok(concrete(ports, |_, _| size))
}

fn wrong_length(unit: Unit, expected: u64, got: u64) -> Failure {
    let (expected, got) = (U256::from(expected), U256::from(got));
    match unit {
        Unit::Bytes => errors::WrongInputLength { expected, got }.into(),
        Unit::Values => errors::WrongValueCount { expected, got }.into(),
    }
}

fn wrong_free_length(unit: Unit, fixed: u64, step: u64, maximum: u64, got: u64) -> Failure {
    let [fixed, step, maximum, got] = [fixed, step, maximum, got].map(U256::from);
    match unit {
        Unit::Bytes => errors::WrongFreeInputLength {
            fixedBytes: fixed,
            step,
            maximum,
            got,
        }
        .into(),
        Unit::Values => errors::WrongFreeValueCount {
            fixedValues: fixed,
            step,
            maximum,
            got,
        }
        .into(),
    }
}

/// The shapes in which every free dimension has its largest size.
pub(crate) fn largest_shapes(ports: &[Port]) -> Shapes {
    concrete(ports, |_, maximum| maximum)
}

fn concrete(ports: &[Port], size_of: impl Fn(&str, u64) -> u64) -> Shapes {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => *size,
        Dimension::Free { symbol, maximum } => size_of(symbol, *maximum),
    };
    ports
        .iter()
        .map(|port| {
            port.shape
                .iter()
                .map(|dimension| to_usize(size(dimension)))
                .collect()
        })
        .collect()
}

fn to_usize(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Checks shapes that the caller states against the declared ones.
pub(crate) fn check_shapes(ports: &[Port], shapes: &[Vec<u64>]) -> Result<Shapes, Failure> {
    if shapes.len() != ports.len() {
        return Err(errors::WrongInputCount {
            expected: U256::from(ports.len()),
            got: U256::from(shapes.len()),
        }
        .into());
    }
    let mut bound: BTreeMap<&str, u64> = BTreeMap::new();
    for (input, (port, shape)) in ports.iter().zip(shapes).enumerate() {
        let input = U256::from(input);
        if shape.len() != port.shape.len() {
            return Err(errors::WrongInputRank {
                input,
                expected: U256::from(port.shape.len()),
                got: U256::from(shape.len()),
            }
            .into());
        }
        for (axis, (dimension, &got)) in port.shape.iter().zip(shape).enumerate() {
            let axis = U256::from(axis);
            let expected = match dimension {
                Dimension::Fixed(size) => *size,
                Dimension::Free { symbol, maximum } => {
                    if !(1..=*maximum).contains(&got) {
                        let (maximum, got) = (U256::from(*maximum), U256::from(got));
                        return Err(errors::DimensionOutOfRange {
                            input,
                            axis,
                            maximum,
                            got,
                        }
                        .into());
                    }
                    *bound.entry(symbol).or_insert(got)
                }
            };
            if got != expected {
                let (expected, got) = (U256::from(expected), U256::from(got));
                return Err(errors::WrongDimension {
                    input,
                    axis,
                    expected,
                    got,
                }
                .into());
            }
        }
    }
    Ok(shapes
        .iter()
        .map(|shape| shape.iter().map(|&size| to_usize(size)).collect())
        .collect())
}

/// Number of elements of a shape.
pub(crate) fn element_count(shape: &[usize]) -> u64 {
    shape
        .iter()
        .fold(1u64, |product, &size| product.saturating_mul(size as u64))
}

/// Bytes of the packed elements of these shapes.
pub(crate) fn packed_bytes(ports: &[Port], shapes: &[Vec<usize>]) -> u64 {
    ports.iter().zip(shapes).fold(0, |sum: u64, (port, shape)| {
        sum.saturating_add(element_count(shape).saturating_mul(port.dtype.size() as u64))
    })
}

/// The tensors of all inputs from one flat sequence of packed elements, whose length fits the shapes.
pub(crate) fn unpack_inputs(
    ports: &[Port],
    shapes: &[Vec<usize>],
    packed: &[u8],
) -> Result<Vec<Tensor>, Failure> {
    let mut rest = packed;
    ports
        .iter()
        .zip(shapes)
        .enumerate()
        .map(|(input, (port, shape))| {
            let bytes =
                to_usize(element_count(shape).saturating_mul(port.dtype.size() as u64)).min(rest.len());
            let (data, tail) = rest.split_at(bytes);
            rest = tail;
            unpack_tensor(input, port.dtype, shape, data)
        })
        .collect()
}

/// The tensor of one input from its packed elements.
pub(crate) fn unpack_tensor(
    input: usize,
    dtype: DType,
    shape: &[usize],
    data: &[u8],
) -> Result<Tensor, Failure> {
    let input = U256::from(input);
    if let Some(element) = first_not_finite(dtype, data) {
        return Err(errors::NotFinite {
            input,
            element: U256::from(element),
        }
        .into());
    }
    if dtype == DType::Bool
        && let Some(element) = data.iter().position(|&byte| byte > 1)
    {
        return Err(errors::InvalidBool {
            input,
            element: U256::from(element),
        }
        .into());
    }
    Tensor::from_be_bytes(dtype, shape, data).map_err(|_| {
        let expected = U256::from(element_count(shape).saturating_mul(dtype.size() as u64));
        errors::WrongTensorLength {
            input,
            expected,
            got: U256::from(data.len()),
        }
        .into()
    })
}

/// The first element of big-endian data that is a NaN or an infinity: one whose exponent field is all ones.
pub(crate) fn first_not_finite(dtype: DType, data: &[u8]) -> Option<usize> {
    let (mask, size) = match dtype {
        DType::F16 => (0x7c00u16, 2),
        DType::BF16 => (0x7f80, 2),
        DType::F32 => (0x7f80, 4),
        DType::F64 => (0x7ff0, 8),
        _ => return None,
    };
    data.chunks_exact(size)
        .position(|element| u16::from_be_bytes([element[0], element[1]]) & mask == mask)
}

/// Which output `classify` looks at: the first of a floating-point type, else the first.
pub(crate) fn score_port(outputs: &[Port]) -> Option<usize> {
    outputs
        .iter()
        .position(|port| port.dtype.is_float())
        .or((!outputs.is_empty()).then_some(0))
}

/// Whether a shape holds the scores of one sample: not empty, and every dimension but the last is 1.
pub(crate) fn is_one_sample(shape: &[usize]) -> bool {
    let leading = shape.len().saturating_sub(1);
    shape[..leading].iter().all(|&size| size == 1) && element_count(shape) > 0
}

/// The index of the greatest of big-endian finite elements, the first on ties, and its bytes.
pub(crate) fn arg_max(dtype: DType, data: &[u8]) -> Option<(usize, &[u8])> {
    let mut best: Option<(usize, u64, &[u8])> = None;
    for (index, element) in data.chunks_exact(dtype.size()).enumerate() {
        let rank = rank(dtype, element);
        if best.is_none_or(|(_, greatest, _)| rank > greatest) {
            best = Some((index, rank, element));
        }
    }
    best.map(|(index, _, element)| (index, element))
}

/// An unsigned integer that orders big-endian elements as their values do; both zeros of a float rank the same.
fn rank(dtype: DType, element: &[u8]) -> u64 {
    const SIGN: u64 = 1 << 63;
    // The element in the high bits, so that its sign is bit 63 whatever its size.
    let mut bytes = [0; 8];
    bytes[..element.len()].copy_from_slice(element);
    let bits = u64::from_be_bytes(bytes);
    match dtype {
        _ if dtype.is_float() => {
            let magnitude = bits & !SIGN;
            if bits & SIGN == 0 || magnitude == 0 {
                SIGN | magnitude
            } else {
                SIGN - magnitude
            }
        }
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => bits ^ SIGN,
        _ => bits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::IPredict::IPredictErrors;

    fn port(dtype: DType, shape: &[Dimension]) -> Port {
        Port {
            name: "x".into(),
            dtype,
            shape: shape.to_vec(),
        }
    }

    fn fixed(size: u64) -> Dimension {
        Dimension::Fixed(size)
    }

    fn free(symbol: &str, maximum: u64) -> Dimension {
        Dimension::Free {
            symbol: symbol.into(),
            maximum,
        }
    }

    fn refusal<T: std::fmt::Debug>(result: Result<T, Failure>) -> IPredictErrors {
        match result {
            Err(Failure::Refused(refusal)) => *refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_length_determines_one_free_dimension() {
        let ports = [
            port(DType::F32, &[free("n", 5), fixed(3)]),
            port(DType::I64, &[fixed(2)]),
            port(DType::U8, &[fixed(1), free("n", 4)]),
        ];
        // 16 bytes of i64, and 12 + 1 for each n.
        assert_eq!(
            shapes_of_length(&ports, Unit::Bytes, 16 + 26).unwrap(),
            [vec![2, 3], vec![2], vec![1, 2]]
        );
        assert_eq!(shapes_of_length(&ports, Unit::Values, 2 + 16).unwrap()[0], [4, 3]);
        for length in [0, 15, 16, 30, 16 + 13 * 5] {
            let expected = errors::WrongFreeInputLength {
                fixedBytes: U256::from(16),
                step: U256::from(13),
                maximum: U256::from(4),
                got: U256::from(length),
            };
            let refused = refusal(shapes_of_length(&ports, Unit::Bytes, length));
            assert_eq!(refused, IPredictErrors::WrongFreeInputLength(expected));
        }
    }

    #[test]
    fn a_length_that_determines_nothing_is_refused() {
        for ports in [
            vec![port(DType::F32, &[free("n", 5), free("n", 5)])],
            vec![port(DType::F32, &[free("n", 5), free("m", 5)])],
            vec![
                port(DType::F32, &[free("n", 5)]),
                port(DType::F32, &[free("m", 5)]),
            ],
            vec![port(DType::F32, &[free("n", 5), fixed(0)])],
        ] {
            let refused = refusal(shapes_of_length(&ports, Unit::Bytes, 20));
            assert!(matches!(refused, IPredictErrors::AmbiguousShape(_)), "{ports:?}");
        }
        let huge = [port(DType::F64, &[fixed(u64::MAX), fixed(u64::MAX)])];
        assert!(shapes_of_length(&huge, Unit::Bytes, 8).is_err());
    }

    #[test]
    fn stated_shapes_must_be_the_declared_ones() {
        let ports = [
            port(DType::F32, &[free("n", 5), fixed(3)]),
            port(DType::F32, &[free("n", 5)]),
        ];
        assert_eq!(
            check_shapes(&ports, &[vec![2, 3], vec![2]]).unwrap(),
            [vec![2, 3], vec![2]]
        );
        type Check = fn(&IPredictErrors) -> bool;
        let cases: [(&[Vec<u64>], Check); 6] = [
            (&[vec![2, 3]], |e| matches!(e, IPredictErrors::WrongInputCount(_))),
            (&[vec![2], vec![2]], |e| {
                matches!(e, IPredictErrors::WrongInputRank(_))
            }),
            (&[vec![2, 4], vec![2]], |e| {
                matches!(e, IPredictErrors::WrongDimension(_))
            }),
            (&[vec![2, 3], vec![3]], |e| {
                matches!(e, IPredictErrors::WrongDimension(_))
            }),
            (&[vec![0, 3], vec![0]], |e| {
                matches!(e, IPredictErrors::DimensionOutOfRange(_))
            }),
            (&[vec![6, 3], vec![6]], |e| {
                matches!(e, IPredictErrors::DimensionOutOfRange(_))
            }),
        ];
        for (shapes, expected) in cases {
            let refused = refusal(check_shapes(&ports, shapes));
            assert!(expected(&refused), "{shapes:?}: {refused:?}");
        }
    }

    #[test]
    fn finds_the_first_nan_or_infinity() {
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<_>>();
        assert_eq!(
            first_not_finite(DType::F32, &floats(&[0.0, f32::MAX, f32::MIN_POSITIVE])),
            None
        );
        assert_eq!(
            first_not_finite(DType::F32, &floats(&[1.0, f32::NEG_INFINITY, f32::NAN])),
            Some(1)
        );
        assert_eq!(first_not_finite(DType::F64, &f64::MAX.to_be_bytes()), None);
        assert_eq!(first_not_finite(DType::F64, &f64::NAN.to_be_bytes()), Some(0));
        assert_eq!(first_not_finite(DType::F16, &[0x7b, 0xff, 0xfc, 0x00]), Some(1));
        assert_eq!(first_not_finite(DType::BF16, &[0x7f, 0x7f, 0xff, 0x80]), Some(1));
        assert_eq!(first_not_finite(DType::I32, &[0xff; 8]), None);
    }

    #[test]
    fn the_greatest_is_the_first_of_equals() {
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_be_bytes()).collect::<Vec<_>>();
        for (values, label) in [
            (&[-1.0f32, -0.5, -3.0][..], 1),
            (&[0.0, -0.0, -1.0], 0),
            (&[-0.0, 0.0], 0),
            (&[1.0, 1.0], 0),
            (&[1e-45, 3e-45, -1e30], 1),
        ] {
            assert_eq!(
                arg_max(DType::F32, &floats(values)).unwrap().0,
                label,
                "{values:?}"
            );
        }
        assert_eq!(
            arg_max(DType::I8, &[0x80, 0xff, 0x7f, 0x7f]),
            Some((2, [0x7f].as_slice()))
        );
        assert_eq!(arg_max(DType::U16, &[0x00, 0x01, 0xff, 0x00]).unwrap().0, 1);
        assert_eq!(arg_max(DType::U16, &[]), None);
    }

    #[test]
    fn one_sample_has_one_row() {
        for (shape, one) in [
            (&[][..], true),
            (&[3], true),
            (&[1, 3], true),
            (&[2, 3], false),
            (&[3, 1], false),
            (&[1, 0], false),
        ] {
            assert_eq!(is_one_sample(shape), one, "{shape:?}");
        }
    }
}
