//! Weights of a few bits: `MatMulNBits`, `GatherBlockQuantized`.
//!
//! The file's bytes stay as they are, several weights in one; a run takes them apart. A block of weights has one scale and one zero point:
//! `(weight - zero point) × scale`.
//!
//! ONNX Runtime may compute a product of more than 2 bits with 8-bit integers of A (`accuracy_level` 4). Here A is what it is.

use super::{Operator, body::*, operator};
use crate::DType;

/// What is known of these, by name.
pub(super) const OPERATORS: &[Operator] = &[
    operator(
        "GatherBlockQuantized",
        3..=4,
        &["bits", "block_size", "gather_axis", "quantize_axis"],
        gather,
    ),
    operator(
        "MatMulNBits",
        3..=6,
        &[
            "K",
            "N",
            "accuracy_level",
            "bits",
            "block_size",
            "weight_prepacked",
        ],
        product,
    ),
];

/// What weights are packed as.
#[derive(Debug, Clone, Copy)]
struct Packing {
    bits: i64,
    /// Weights of a block.
    block: i64,
}

impl Packing {
    fn of(body: &Body<'_>) -> Result<Self, String> {
        let bits = body.int("bits").unwrap_or(4);
        if ![2, 4, 8].contains(&bits) {
            return Err(format!(
                "weights of {bits} bits are not supported; 2, 4 and 8 are"
            ));
        }
        let block = body.int("block_size").unwrap_or(128);
        if !(16..=1 << 16).contains(&block) || block.count_ones() != 1 {
            return Err(format!(
                "attribute `block_size` is {block}; a power of two from 16 on is needed"
            ));
        }
        Ok(Self { bits, block })
    }

    /// Weights in a byte.
    fn each(self) -> i64 {
        8 / self.bits
    }

    /// The zero point where none is given.
    fn middle(self) -> u8 {
        1 << (self.bits - 1)
    }
}

/// A · B with B as [N, blocks, bytes of a block] of weights along K.
fn product(body: &mut Body<'_>) -> Result<Vec<String>, String> {
    const SHIFTS: i64 = 11;
    body.needs_opset(SHIFTS)?;
    body.without(&[("4", "g_idx")])?;
    body.only("weight_prepacked", 0)?;
    let packing = Packing::of(body)?;
    let (columns, depth) = (body.count("N")?, body.count("K")?);
    let blocks = (depth + packing.block - 1) / packing.block;
    // N last, as the product wants it, while the weights are bytes
    let weights = body.reshaped("1", &[columns, blocks, packing.block / packing.each()]);
    let weights = body.transposed(&weights, &[1, 2, 0]);
    let weights = unpacked(body, &weights, packing, 1, &[blocks, packing.block, columns]);
    let by_block = |body: &mut Body<'_>, x: &str| {
        let x = body.reshaped(x, &[columns, blocks]);
        let x = body.transposed(&x, &[1, 0]);
        body.with_axis(&x, 1)
    };
    let scales = by_block(body, "2");
    let zeros = match body.dtype("3") {
        _ if !body.gives("3") => None,
        Some(dtype) if dtype.is_float() => Some((by_block(body, "3"), true)),
        _ => {
            let bytes = (blocks + packing.each() - 1) / packing.each();
            let zeros = body.reshaped("3", &[columns, bytes]);
            let zeros = body.transposed(&zeros, &[1, 0]);
            let all = [bytes * packing.each(), columns];
            let zeros = unpacked(body, &zeros, packing, 0, &all);
            let (from, to) = (body.numbers(&[0]), body.numbers(&[blocks]));
            let zeros = body.part(&zeros, 0, &from, &to);
            Some((body.with_axis(&zeros, 1), false))
        }
    };
    let weights = dequantized(body, &weights, &scales, zeros, packing.middle());
    let mut weights = body.reshaped(&weights, &[-1, columns]);
    if depth % packing.block != 0 {
        let (from, to) = (body.numbers(&[0]), body.numbers(&[depth]));
        weights = body.part(&weights, 0, &from, &to);
    }
    let y = body.node("MatMul", &["0", &weights], []);
    Ok(vec![body.plus(&y, "5")])
}

/// Rows of a table whose weights are packed along its last axis.
fn gather(body: &mut Body<'_>) -> Result<Vec<String>, String> {
    const SHIFTS: i64 = 11;
    body.needs_opset(SHIFTS)?;
    let packing = Packing::of(body)?;
    body.only("gather_axis", 0)?;
    let is_narrow = body.is_narrow("0");
    if body.shape("0").is_none_or(|shape| shape.len() != 2)
        || !(is_narrow || body.dtype("0") == Some(DType::U8))
    {
        return Err("its table is not a matrix of bytes, nor one of 2 or 4 bits".into());
    }
    if !matches!(body.int("quantize_axis"), None | Some(1 | -1)) {
        return Err("quantize_axis is not the last".into());
    }
    let picked = |body: &mut Body<'_>, table: &str| body.node("Gather", &[table, "1"], []);
    let indices = body.node("Shape", &["1"], []);
    let with_last = |body: &mut Body<'_>, x: &str, last: &[i64]| {
        let last = body.numbers(last);
        body.reshaped_to(x, &[&indices, &last])
    };
    let unpack = |body: &mut Body<'_>, x: &str| {
        if is_narrow {
            x.to_owned()
        } else {
            apart(body, x, packing, -1)
        }
    };
    let weights = picked(body, "0");
    let weights = unpack(body, &weights);
    let weights = with_last(body, &weights, &[-1, packing.block]);
    let scales = picked(body, "2");
    let blocks = body.size("2", 1);
    let zeros = body.gives("3").then(|| {
        let zeros = picked(body, "3");
        let zeros = unpack(body, &zeros);
        let zeros = with_last(body, &zeros, &[-1]);
        let from = body.numbers(&[0]);
        let zeros = body.part(&zeros, -1, &from, &blocks);
        (body.with_axis(&zeros, -1), false)
    });
    let scales = body.with_axis(&scales, -1);
    let middle = if is_narrow { 0 } else { packing.middle() };
    let y = dequantized(body, &weights, &scales, zeros, middle);
    Ok(vec![with_last(body, &y, &[-1])])
}

/// Weights in bytes of their own: those of a byte along an axis of their own behind this one.
fn apart(body: &mut Body<'_>, x: &str, packing: Packing, axis: i64) -> String {
    let behind = if axis < 0 { axis } else { axis + 1 };
    if packing.bits == 8 {
        return body.with_axis(x, behind);
    }
    let parts: Vec<String> = (0..packing.each())
        .map(|part| {
            // away with what is above it, then with what is below it
            let above = 8 - packing.bits * (part + 1);
            let mut x = x.to_owned();
            for (direction, bits) in [("LEFT", above), ("RIGHT", 8 - packing.bits)] {
                if bits > 0 {
                    let bits = body.byte_values(&[], &[bits as u8]);
                    x = body.node("BitShift", &[&x, &bits], [string("direction", direction)]);
                }
            }
            body.with_axis(&x, behind)
        })
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    body.joined(&parts, behind)
}

/// The same with a shape.
fn unpacked(body: &mut Body<'_>, x: &str, packing: Packing, axis: i64, shape: &[i64]) -> String {
    let x = apart(body, x, packing, axis);
    body.reshaped(&x, shape)
}

/// Weights less their zero points, which are bytes, or floats if they say so, or this one, times their scales.
fn dequantized(
    body: &mut Body<'_>,
    weights: &str,
    scales: &str,
    zeros: Option<(String, bool)>,
    middle: u8,
) -> String {
    let as_float = |body: &mut Body<'_>, x: &str| {
        let x = body.node("Cast", &[x], [int("to", FLOAT)]);
        body.typed(x, scales)
    };
    let weights = as_float(body, weights);
    let zeros = match zeros {
        None => body.constant(middle.into(), scales),
        Some((zeros, true)) => zeros,
        Some((zeros, false)) => as_float(body, &zeros),
    };
    let centred = body.node("Sub", &[&weights, &zeros], []);
    body.node("Mul", &[&centred, scales], [])
}
