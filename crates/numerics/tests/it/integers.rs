//! Products and convolutions of 8-bit integers: exact, on every instruction set.

use synod_numerics::fast::integer as fast;
use synod_numerics::quantize::Byte;
use synod_numerics::reference as slow;
use synod_numerics::shape::{Axis, ConvShape, Matrix};

use crate::{Numbers, on_every_isa};

/// Bytes, the extremes often among them.
fn bytes<B: Byte>(numbers: &mut Numbers, count: usize) -> Vec<B> {
    let (low, high) = B::RANGE;
    (0..count)
        .map(|_| {
            B::narrow(match numbers.below(4) {
                0 => low,
                1 => high,
                _ => low + numbers.below(256) as i32,
            })
        })
        .collect()
}

fn zeros<B: Byte>(numbers: &mut Numbers, count: usize) -> Vec<i32> {
    let none = numbers.below(3) == 0;
    bytes::<B>(numbers, count)
        .into_iter()
        .map(|b| if none { 0 } else { b.widen().into() })
        .collect()
}

fn products_of<A: Byte, B: Byte>(seed: u64) {
    let mut numbers = Numbers::new(seed);
    for _ in 0..60 {
        let (m, n, k) = (numbers.below(40), numbers.below(40), numbers.below(90));
        let (a, b) = (bytes::<A>(&mut numbers, m * k), bytes::<B>(&mut numbers, k * n));
        let a_zero = zeros::<A>(&mut numbers, m.max(1));
        let columns = if numbers.below(2) == 0 { 1 } else { n.max(1) };
        let b_zero = zeros::<B>(&mut numbers, columns);
        let (a, b) = (Matrix::row_major(&a, k), Matrix::row_major(&b, n));
        let mut expected = vec![7; m * n];
        let of_column = |j: usize| b_zero[if columns == 1 { 0 } else { j }];
        slow::integer_gemm(m, n, k, a, |i| a_zero[i], b, of_column, &mut expected);
        on_every_isa(|isa| {
            let packed = fast::PackedBytes::new(k, n, b);
            assert_eq!(packed.shape(), [k, n]);
            let (mut out, mut scratch) = (vec![3; m * n], vec![9; fast::integer_gemm_scratch(m, k)]);
            let (panels, a_zero) = (packed.panels(), |i: usize| a_zero[i]);
            fast::integer_gemm(m, n, k, a, a_zero, panels, &b_zero, &mut out, &mut scratch);
            assert_eq!(out, expected, "{m}x{n}x{k} on {isa:?}");
        });
    }
}

#[test]
fn products() {
    products_of::<u8, u8>(41);
    products_of::<u8, i8>(42);
    products_of::<i8, u8>(43);
    products_of::<i8, i8>(44);
}

/// Where a kernel with saturating 16-bit sums gives 1,048,544.
#[test]
fn sums_never_saturate() {
    let (a, b) = ([255u8; 64], [127i8; 64]);
    let (a, b) = (Matrix::row_major(&a, 64), Matrix::row_major(&b, 1));
    on_every_isa(|_| {
        let packed = fast::PackedBytes::new(64, 1, b);
        let (mut out, mut scratch) = ([0], vec![0; fast::integer_gemm_scratch(1, 64)]);
        fast::integer_gemm(1, 1, 64, a, |_| 0, packed.panels(), &[0], &mut out, &mut scratch);
        assert_eq!(out, [2_072_640]);
    });
}

/// Beyond what 32 bits hold they wrap.
#[test]
fn long_sums_wrap() {
    let k = 40_000;
    let (a, b) = (vec![255u8; k], vec![255u8; k]);
    let (a, b) = (Matrix::row_major(&a, k), Matrix::row_major(&b, 1));
    let expected = (255i64 * 255 * k as i64) as i32;
    assert!(expected < 0);
    let mut slow_out = [0];
    slow::integer_gemm(1, 1, k, a, |_| 0, b, |_| 0, &mut slow_out);
    on_every_isa(|_| {
        let packed = fast::PackedBytes::new(k, 1, b);
        let (mut out, mut scratch) = ([0], vec![0; fast::integer_gemm_scratch(1, k)]);
        fast::integer_gemm(1, 1, k, a, |_| 0, packed.panels(), &[0], &mut out, &mut scratch);
        assert_eq!([out, slow_out], [[expected]; 2]);
    });
}

fn axis(numbers: &mut Numbers) -> Axis {
    let mut axis = Axis {
        input: 1 + numbers.below(12),
        output: 0,
        kernel: 1 + numbers.below(3),
        stride: 1 + numbers.below(3),
        dilation: 1 + numbers.below(2),
        pad_begin: numbers.below(3),
        pad_end: numbers.below(3),
    };
    let reach = (axis.kernel - 1) * axis.dilation + 1;
    let padded = axis.input + axis.pad_begin + axis.pad_end;
    axis.output = if padded < reach {
        0
    } else {
        (padded - reach) / axis.stride + 1
    };
    axis
}

fn convolutions_of<X: Byte, W: Byte>(seed: u64) {
    let mut numbers = Numbers::new(seed);
    for _ in 0..60 {
        let shape = ConvShape {
            batch: 1 + numbers.below(2),
            groups: 1 + numbers.below(2),
            in_channels: 1 + numbers.below(4),
            out_channels: 1 + numbers.below(9),
            axes: [
                if numbers.below(4) == 0 {
                    axis(&mut numbers)
                } else {
                    Axis::UNIT
                },
                axis(&mut numbers),
                axis(&mut numbers),
            ],
        };
        let channels = shape.groups * shape.out_channels;
        let x = bytes::<X>(
            &mut numbers,
            shape.batch * shape.groups * shape.in_channels * shape.input_size(),
        );
        let w = bytes::<W>(&mut numbers, channels * shape.terms());
        let x_zero = zeros::<X>(&mut numbers, 1)[0];
        let count = if numbers.below(2) == 0 { 1 } else { channels };
        let w_zero = zeros::<W>(&mut numbers, count);
        let mut expected = vec![7; shape.batch * channels * shape.output_size()];
        let of_channel = |m: usize| w_zero[if w_zero.len() == 1 { 0 } else { m }];
        slow::integer_conv(&shape, &x, x_zero, &w, of_channel, &mut expected);
        let filters = fast::PackedFilters::new(&shape, &w);
        on_every_isa(|isa| {
            for filters in [None, Some(&filters)] {
                let mut out = vec![3; expected.len()];
                let mut scratch = vec![9; fast::integer_conv_scratch(&shape)];
                fast::integer_conv(&shape, &x, x_zero, &w, filters, &w_zero, &mut out, &mut scratch);
                assert_eq!(out, expected, "{shape:?} on {isa:?}");
            }
        });
    }
}

#[test]
fn convolutions() {
    convolutions_of::<u8, i8>(51);
    convolutions_of::<u8, u8>(52);
    convolutions_of::<i8, i8>(53);
}
