//! Fast kernels give the reference's bits, whatever the shape, the values and the instruction set.

use synod_numerics::fast::epilogue::Epilogue;
use synod_numerics::fast::{self, IntegerFold, convolution as fc, matrix as fm};
use synod_numerics::float::Float;
use synod_numerics::isa::{Isa, map};
use synod_numerics::reference::{self as slow, Extreme};
use synod_numerics::shape::{Axis, ConvShape, Matrix, PoolShape, ReduceShape};

use crate::{Numbers, assert_same, on_every_isa, on_every_isa_and_threads};

/// A matrix of some layout.
fn matrix(numbers: &mut Numbers, rows: usize, columns: usize) -> (Vec<f32>, usize, usize) {
    let gap = numbers.below(3);
    if numbers.below(2) == 0 {
        (numbers.slice(rows * (columns + gap)), columns + gap, 1)
    } else {
        (numbers.slice(columns * (rows + gap)), 1, rows + gap)
    }
}

#[test]
fn products_of_matrices() {
    let mut numbers = Numbers::new(1);
    let sizes = [0, 1, 2, 5, 6, 7, 15, 16, 17, 33, 49, 64, 65, 100];
    let terms = [0, 1, 2, 3, 7, 64, 511, 512, 513, 1025, 2100];
    for case in 0..150 {
        let mut pick = |from: &[usize]| from[numbers.below(from.len())];
        let (m, n, k) = (
            if case % 3 == 0 { 1 } else { pick(&sizes) },
            pick(&sizes),
            pick(&terms),
        );
        let (a, a_row, a_column) = matrix(&mut numbers, m, k);
        let (b, b_row, b_column) = matrix(&mut numbers, k, n);
        let a = Matrix {
            data: &a,
            row_stride: a_row,
            column_stride: a_column,
        };
        let b = Matrix {
            data: &b,
            row_stride: b_row,
            column_stride: b_column,
        };
        let mut expected = vec![f32::NAN; m * n];
        slow::gemm(m, n, k, a, b, &mut expected);
        on_every_isa(|isa| {
            let what = format!("{m}x{n}x{k} on {isa:?}");
            let mut out = vec![7.0; m * n];
            fm::gemm(m, n, k, a, b, &mut out, &mut vec![3.0; fm::gemm_scratch(m, n, k)]);
            assert_same(&out, &expected, &what);
            out.fill(7.0);
            let packed = fm::PackedColumns::new(k, n, b);
            fm::gemm_packed(m, a, &packed, &mut out);
            assert_same(&out, &expected, &format!("{what}, packed"));
        });
    }
}

#[test]
fn an_output_does_not_depend_on_its_neighbours() {
    let mut numbers = Numbers::new(2);
    let (m, n, k) = (13, 21, 700);
    let (a, b) = (numbers.slice(m * k), numbers.slice(k * n));
    let mut whole = vec![0.0; m * n];
    let b = Matrix::row_major(&b, n);
    fm::gemm(
        m,
        n,
        k,
        Matrix::row_major(&a, k),
        b,
        &mut whole,
        &mut vec![0.0; fm::gemm_scratch(m, n, k)],
    );
    for i in 0..m {
        let mut row = vec![0.0; n];
        fm::gemm(
            1,
            n,
            k,
            Matrix::row_major(&a[i * k..][..k], k),
            b,
            &mut row,
            &mut [],
        );
        assert_same(&row, &whole[i * n..][..n], "a row alone");
    }
}

/// An axis with some window; the output as ONNX computes it, sometimes with padding that ceil_mode leaves over.
fn axis(numbers: &mut Numbers, longest: usize) -> Axis {
    loop {
        let mut axis = Axis {
            input: 1 + numbers.below(longest),
            output: 0,
            kernel: 1 + numbers.below(4),
            stride: 1 + numbers.below(3),
            dilation: 1 + numbers.below(2),
            pad_begin: numbers.below(4),
            pad_end: numbers.below(4),
        };
        let reach = (axis.kernel - 1) * axis.dilation + 1;
        let padded = axis.input + axis.pad_begin + axis.pad_end;
        if padded >= reach {
            axis.output = (padded - reach) / axis.stride + 1;
            return axis;
        }
    }
}

fn axes(numbers: &mut Numbers) -> [Axis; 3] {
    match numbers.below(4) {
        0 => [Axis::UNIT, Axis::UNIT, axis(numbers, 70)],
        1 => [axis(numbers, 4), axis(numbers, 5), axis(numbers, 6)],
        2 => {
            let input = 1 + numbers.below(20);
            [
                Axis::UNIT,
                Axis {
                    input,
                    output: input,
                    ..Axis::UNIT
                },
                Axis {
                    input: 9,
                    output: 9,
                    ..Axis::UNIT
                },
            ]
        }
        _ => [Axis::UNIT, axis(numbers, 12), axis(numbers, 20)],
    }
}

#[test]
fn convolutions() {
    let mut numbers = Numbers::new(3);
    for _ in 0..250 {
        let shape = ConvShape {
            batch: 1 + numbers.below(2),
            groups: 1 + numbers.below(3),
            in_channels: [0, 1, 2, 3, 40][numbers.below(5)],
            out_channels: [0, 1, 2, 3, 4, 6, 13][numbers.below(7)],
            axes: axes(&mut numbers),
        };
        let x = numbers.slice(shape.batch * shape.groups * shape.in_channels * shape.input_size());
        let w = numbers.slice(shape.groups * shape.out_channels * shape.terms());
        let bias = (numbers.below(2) == 0).then(|| numbers.slice(shape.groups * shape.out_channels));
        let bias = bias.as_deref();
        let mut expected =
            vec![f32::NAN; shape.batch * shape.groups * shape.out_channels * shape.output_size()];
        slow::conv(&shape, &x, &w, bias, &mut expected);
        on_every_isa(|isa| {
            let what = format!("{shape:?} on {isa:?}");
            let mut out = vec![7.0; expected.len()];
            fc::conv(&shape, &x, &w, bias, &mut out);
            assert_same(&out, &expected, &what);
            let packed = fc::ConvWeights::new(shape.groups, shape.out_channels, shape.terms(), &w);
            out.fill(7.0);
            fc::conv_packed(&fc::Geometry::new(&shape), &packed, &x, bias, None, &mut out);
            assert_same(&out, &expected, &format!("{what}, packed"));
            out.fill(7.0);
            fast::conv_planes(&shape, &x, &w, bias, &mut out);
            assert_same(&out, &expected, &format!("{what}, plane by plane"));
        });
    }
}

/// A convolution of a square image.
fn square(
    [groups, in_channels, out_channels]: [usize; 3],
    input: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
) -> ConvShape {
    let axis = Axis {
        input,
        output: (input + 2 * pad - kernel) / stride + 1,
        kernel,
        stride,
        dilation: 1,
        pad_begin: pad,
        pad_end: pad,
    };
    ConvShape {
        batch: 1,
        groups,
        in_channels,
        out_channels,
        axes: [Axis::UNIT, axis, axis],
    }
}

/// Shapes of networks: every way of computing a convolution, more than one block of terms, positions and channels.
pub(crate) fn convolutions_of_networks() -> Vec<ConvShape> {
    let line = |kernel: usize, out_channels: usize| ConvShape {
        batch: 2,
        groups: 1,
        in_channels: 2,
        out_channels,
        axes: [
            Axis::UNIT,
            Axis::UNIT,
            Axis {
                input: 700,
                output: 701 - kernel,
                kernel,
                ..Axis::UNIT
            },
        ],
    };
    let axis_of = |input: usize, kernel: usize, stride: usize, dilation: usize| Axis {
        input,
        output: (input - (kernel - 1) * dilation - 1) / stride + 1,
        kernel,
        stride,
        dilation,
        ..Axis::UNIT
    };
    let dilated = |input: usize, kernel: usize, dilation: usize| {
        let axis = axis_of(input, kernel, 1, dilation);
        ConvShape {
            axes: [Axis::UNIT, axis, axis],
            ..square([3, 1, 1], 9, 1, 1, 0)
        }
    };
    // more positions of a row than one window is copied for
    let signal = |kernel: usize, stride: usize| ConvShape {
        axes: [Axis::UNIT, Axis::UNIT, axis_of(1_400 * stride, kernel, stride, 1)],
        ..square([2, 1, 1], 9, 1, 1, 0)
    };
    vec![
        square([1, 3, 32], 33, 3, 2, 1),
        square([1, 3, 20], 30, 7, 2, 3),
        square([1, 16, 40], 19, 1, 1, 0),
        square([1, 24, 72], 14, 1, 1, 0),
        square([1, 70, 50], 7, 3, 1, 1),
        square([1, 60, 33], 7, 1, 1, 0),
        square([1, 60, 33], 8, 1, 2, 0),
        square([1, 40, 100], 1, 1, 1, 0),
        square([1, 130, 36], 9, 2, 2, 0),
        square([2, 60, 17], 10, 3, 1, 1),
        square([4, 8, 8], 12, 3, 1, 1),
        square([40, 1, 1], 23, 3, 1, 1),
        square([20, 1, 1], 23, 5, 2, 2),
        square([8, 1, 2], 15, 3, 3, 1),
        square([6, 1, 1], 7, 3, 1, 1),
        square([1, 8, 8], 50, 3, 1, 1),
        line(600, 9),
        line(600, 2),
        square([3, 1, 1], 100, 3, 1, 1),
        square([3, 1, 1], 101, 5, 1, 2),
        square([5, 1, 1], 40, 3, 2, 1),
        square([2, 2, 3], 31, 4, 3, 2),
        square([1, 4, 5], 32, 3, 1, 1),
        square([1, 1, 1], 60, 29, 1, 14),
        square([1, 2, 1], 90, 1, 4, 0),
        dilated(9, 3, 2),
        dilated(20, 5, 3),
        // rows of one element
        ConvShape {
            axes: [Axis::UNIT, axis_of(300, 5, 1, 1), Axis::UNIT],
            ..square([1, 40, 32], 9, 1, 1, 0)
        },
        ConvShape {
            axes: [axis_of(9, 3, 2, 1), axis_of(30, 3, 1, 2), Axis::UNIT],
            ..square([2, 5, 6], 9, 1, 1, 0)
        },
        signal(31, 1),
        signal(16, 2),
        signal(7, 5),
        // taps that no window of a thread's buffer holds
        ConvShape {
            axes: [Axis::UNIT, Axis::UNIT, axis_of(300_003, 3, 1, 150_000)],
            ..signal(1, 1)
        },
    ]
}

#[test]
fn convolutions_of_networks_on_threads() {
    let mut numbers = Numbers::new(30);
    for shape in convolutions_of_networks() {
        let x = numbers.slice(shape.batch * shape.groups * shape.in_channels * shape.input_size());
        let w = numbers.slice(shape.groups * shape.out_channels * shape.terms());
        let bias = numbers.slice(shape.groups * shape.out_channels);
        let mut expected =
            vec![f32::NAN; shape.batch * shape.groups * shape.out_channels * shape.output_size()];
        slow::conv(&shape, &x, &w, Some(&bias), &mut expected);
        packed_convolution_gives(&expected, &shape, [&x, &w], Some(&bias), None, "");
    }
}

/// Asserts what a convolution (of input and weights) with packed weights gives, on every instruction set and on threads.
pub(crate) fn packed_convolution_gives(
    expected: &[f32],
    shape: &ConvShape,
    [x, w]: [&[f32]; 2],
    bias: Option<&[f32]>,
    epilogue: Option<&dyn Epilogue>,
    what: &str,
) {
    let packed = fc::ConvWeights::new(shape.groups, shape.out_channels, shape.terms(), w);
    on_every_isa_and_threads(|how| {
        let mut out = vec![7.0; expected.len()];
        fc::conv_packed(&fc::Geometry::new(shape), &packed, x, bias, epilogue, &mut out);
        assert_same(&out, expected, &format!("{shape:?}{what} on {how}"));
    });
}

#[test]
fn large_products_on_threads() {
    let mut numbers = Numbers::new(31);
    for (m, n, k) in [
        (130, 200, 600),
        (3, 300, 700),
        (1, 1500, 900),
        (40, 33, 1100),
        (300, 3, 500),
    ] {
        let (a, b) = (numbers.slice(m * k), numbers.slice(k * n));
        let a = Matrix::row_major(&a, k);
        for b in [Matrix::row_major(&b, n), Matrix::transposed(&b, k)] {
            let mut expected = vec![f32::NAN; m * n];
            slow::gemm(m, n, k, a, b, &mut expected);
            on_every_isa_and_threads(|how| {
                let what = format!("{m}x{n}x{k} on {how}");
                let mut out = vec![7.0; m * n];
                fm::gemm(m, n, k, a, b, &mut out, &mut vec![3.0; fm::gemm_scratch(m, n, k)]);
                assert_same(&out, &expected, &what);
                out.fill(7.0);
                fm::gemm_packed(m, a, &fm::PackedColumns::new(k, n, b), &mut out);
                assert_same(&out, &expected, &format!("{what}, packed"));
            });
        }
    }
}

/// Rows of zeros and a few ones, as one-hot encodings are: whole blocks of them, blocks that another number or too many ones spoil,
/// weights that are not finite.
#[test]
fn products_of_ones() {
    let mut numbers = Numbers::new(33);
    for case in 0..60 {
        let (m, n, k) = (
            2 + numbers.below(300),
            1 + numbers.below(100),
            1 + numbers.below(300),
        );
        let zeros = [0.0, -0.0];
        let mut a: Vec<f32> = (0..m * k).map(|_| zeros[numbers.below(2)]).collect();
        let ones = if case % 5 == 4 { k.div_ceil(2) } else { case % 5 };
        for row in a.chunks_exact_mut(k) {
            (0..ones).for_each(|_| row[numbers.below(k)] = 1.0);
        }
        if case % 4 == 1 {
            let at = numbers.below(m * k);
            a[at] = numbers.special();
        }
        let b: Vec<f32> = match case % 3 {
            0 => numbers.slice(k * n),
            _ => (0..k * n).map(|_| numbers.finite()).collect(),
        };
        let (rows, columns) = (Matrix::row_major(&a, k), Matrix::row_major(&b, n));
        let mut expected = vec![f32::NAN; m * n];
        slow::gemm(m, n, k, rows, columns, &mut expected);
        on_every_isa_and_threads(|what| {
            let packed = fm::PackedColumns::new(k, n, columns);
            let mut out = vec![7.0; m * n];
            fm::gemm_packed(m, rows, &packed, &mut out);
            assert_same(
                &out,
                &expected,
                &format!("case {case}: {m} × {n} × {k} on {what}"),
            );
        });
    }
}

#[test]
fn weights_packed_on_one_instruction_set_serve_another() {
    let mut numbers = Numbers::new(32);
    let shape = square([1, 70, 50], 7, 3, 1, 1);
    let (x, w) = (numbers.slice(70 * 49), numbers.slice(50 * 70 * 9));
    let (packed, geometry) = (fc::ConvWeights::new(1, 50, 630, &w), fc::Geometry::new(&shape));
    let mut expected = vec![f32::NAN; 50 * 49];
    slow::conv(&shape, &x, &w, None, &mut expected);
    on_every_isa(|isa| {
        let mut out = vec![7.0; expected.len()];
        fc::conv_packed(&geometry, &packed, &x, None, None, &mut out);
        assert_same(&out, &expected, &format!("packed elsewhere, run on {isa:?}"));
    });
}

#[test]
fn transposed_convolutions() {
    let mut numbers = Numbers::new(4);
    for _ in 0..250 {
        let mut axes = axes(&mut numbers);
        for axis in &mut axes {
            // any output extent is possible: output_padding and output_shape choose it
            let reach = (axis.input - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
            axis.output = (reach + numbers.below(3))
                .saturating_sub(axis.pad_begin + axis.pad_end)
                .max(1);
        }
        let shape = ConvShape {
            batch: 1 + numbers.below(2),
            groups: 1 + numbers.below(2),
            in_channels: 1 + numbers.below(3),
            out_channels: 1 + numbers.below(3),
            axes,
        };
        let x = numbers.slice(shape.batch * shape.groups * shape.in_channels * shape.input_size());
        let w = numbers.slice(shape.groups * shape.out_channels * shape.terms());
        let bias = (numbers.below(2) == 0).then(|| numbers.slice(shape.groups * shape.out_channels));
        let mut expected =
            vec![f32::NAN; shape.batch * shape.groups * shape.out_channels * shape.output_size()];
        slow::conv_transpose(&shape, &x, &w, bias.as_deref(), &mut expected);
        on_every_isa(|isa| {
            let mut out = vec![7.0; expected.len()];
            fc::conv_transpose(&shape, &x, &w, bias.as_deref(), &mut out);
            assert_same(&out, &expected, &format!("{shape:?} on {isa:?}"));
        });
    }
}

#[test]
fn pools() {
    let mut numbers = Numbers::new(5);
    for _ in 0..250 {
        let mut axes = axes(&mut numbers);
        for axis in &mut axes {
            // ceil_mode: a last window that begins within the input or its first padding and ends anywhere
            if axis.output * axis.stride < axis.input + axis.pad_begin {
                axis.output += numbers.below(2);
            }
        }
        let shape = PoolShape {
            channels: 1 + numbers.below(4),
            axes,
        };
        let x = numbers.slice(shape.channels * shape.input_size());
        let mut expected = vec![f32::NAN; shape.channels * shape.output_size()];
        let mut out = expected.clone();
        slow::max_pool(&shape, &x, &mut expected, |_, _| {});
        on_every_isa(|isa| {
            fast::max_pool(&shape, &x, &mut out);
            let mut again = vec![7.0; out.len()];
            fast::max_pool_of_floats(&shape, &x, &mut again);
            assert_same(&again, &out, &format!("{shape:?} on {isa:?}, by vectors"));
            assert_same(&out, &expected, &format!("max {shape:?} on {isa:?}"));
        });
        for count_padding in [false, true] {
            slow::average_pool(&shape, count_padding, &x, &mut expected);
            on_every_isa(|isa| {
                fast::average_pool(&shape, count_padding, &x, &mut out);
                assert_same(&out, &expected, &format!("average {shape:?} on {isa:?}"));
            });
        }
    }
}

/// Channels are shared out to threads.
#[test]
fn a_large_pool_on_threads() {
    let axis = Axis {
        input: 112,
        output: 56,
        kernel: 3,
        stride: 2,
        pad_begin: 1,
        pad_end: 1,
        ..Axis::UNIT
    };
    let shape = PoolShape {
        channels: 67,
        axes: [Axis::UNIT, axis, axis],
    };
    let x = Numbers::new(51).slice(shape.channels * shape.input_size());
    let mut expected = vec![f32::NAN; shape.channels * shape.output_size()];
    slow::max_pool(&shape, &x, &mut expected, |_, _| {});
    for threads in [1, 2, 3] {
        synod_numerics::pool::set_threads(threads);
        let mut out = vec![7.0; expected.len()];
        fast::max_pool(&shape, &x, &mut out);
        assert_same(&out, &expected, &format!("on {threads} threads"));
    }
    synod_numerics::pool::set_threads(1);
}

#[test]
fn the_winner_of_a_pool_holds_its_maximum() {
    let mut numbers = Numbers::new(6);
    for _ in 0..100 {
        let shape = PoolShape {
            channels: 2,
            axes: axes(&mut numbers),
        };
        let x = numbers.slice(2 * shape.input_size());
        let mut out = vec![0.0; 2 * shape.output_size()];
        let mut winners = vec![None; out.len()];
        slow::max_pool(&shape, &x, &mut out, |at, place| winners[at] = Some(place));
        let [_, height, width] = shape.axes;
        for (i, (&max, winner)) in out.iter().zip(&winners).enumerate() {
            let Some([d, h, w]) = *winner else { continue };
            let channel = i / shape.output_size();
            let at = channel * shape.input_size() + (d * height.input + h) * width.input + w;
            assert!(x[at] == max || max.is_nan() && x[at].is_nan() || max == f32::NEG_INFINITY);
        }
    }
}

fn reduce_shape(numbers: &mut Numbers) -> ReduceShape {
    ReduceShape {
        outer: numbers.below(4),
        length: [0, 1, 2, 15, 16, 17, 31, 100, 333][numbers.below(9)],
        inner: [0, 1, 1, 1, 2, 15, 16, 17, 40][numbers.below(9)],
    }
}

#[test]
fn reductions() {
    type Reduction = fn(&ReduceShape, &[f32], &mut [f32]);
    let pairs: [(&str, Reduction, Reduction); 6] = [
        ("sum", fast::reduce_sum, slow::reduce_sum),
        (
            "squares",
            fast::reduce_sum_of_squares,
            slow::reduce_sum_of_squares,
        ),
        ("mean", fast::reduce_mean, slow::reduce_mean),
        ("product", fast::reduce_product, slow::reduce_product),
        (
            "max",
            |s, x, y| fast::reduce_extreme(Extreme::Max, s, x, y),
            |s, x, y| {
                slow::reduce_extreme(Extreme::Max, s, x, y);
            },
        ),
        (
            "min",
            |s, x, y| fast::reduce_extreme(Extreme::Min, s, x, y),
            |s, x, y| {
                slow::reduce_extreme(Extreme::Min, s, x, y);
            },
        ),
    ];
    let mut numbers = Numbers::new(7);
    for _ in 0..200 {
        let shape = reduce_shape(&mut numbers);
        let x = numbers.slice(shape.outer * shape.length * shape.inner);
        for (name, fast, slow) in pairs {
            let mut expected = vec![f32::NAN; shape.outer * shape.inner];
            slow(&shape, &x, &mut expected);
            on_every_isa(|isa| {
                let mut out = vec![7.0; expected.len()];
                fast(&shape, &x, &mut out);
                assert_same(&out, &expected, &format!("{name} {shape:?} on {isa:?}"));
            });
        }
    }
}

#[test]
fn integers_fold_as_if_one_by_one() {
    let mut numbers = Numbers::new(17);
    for _ in 0..100 {
        let shape = reduce_shape(&mut numbers);
        let x: Vec<i32> = (0..shape.outer * shape.length * shape.inner)
            .map(|_| (numbers.below(1 << 32) as u32).cast_signed())
            .collect();
        let each = |start: i32, take: fn(i32, i32) -> i32| -> Vec<i32> {
            (0..shape.outer * shape.inner)
                .map(|at| {
                    let (outer, inner) = (at / shape.inner, at % shape.inner);
                    (0..shape.length)
                        .map(|l| x[(outer * shape.length + l) * shape.inner + inner])
                        .fold(start, take)
                })
                .collect()
        };
        let expected = [
            (IntegerFold::Sum, each(0, i32::wrapping_add)),
            (
                IntegerFold::Magnitudes,
                each(0, |sum, x| sum.wrapping_add(x.wrapping_abs())),
            ),
            (
                IntegerFold::Squares,
                each(0, |sum, x| sum.wrapping_add(x.wrapping_mul(x))),
            ),
            (IntegerFold::Product, each(1, i32::wrapping_mul)),
        ];
        on_every_isa(|isa| {
            for (fold, expected) in &expected {
                let mut out = vec![7; expected.len()];
                fast::reduce_integers(*fold, &shape, &x, &mut out);
                assert_eq!(&out, expected, "{fold:?} {shape:?} on {isa:?}");
            }
        });
    }
}

#[test]
fn the_order_of_a_sum_is_that_of_the_definition() {
    // the definition once more, in the words of the specification
    let mut numbers = Numbers::new(8);
    for length in [1, 5, 16, 17, 40, 129] {
        let x: Vec<f32> = (0..length).map(|_| numbers.finite()).collect();
        let mut lanes = [0.0_f32; 16];
        for (i, x) in x.iter().enumerate() {
            lanes[i % 16] += x;
        }
        let eight: Vec<f32> = (0..8).map(|l| lanes[l] + lanes[l + 8]).collect();
        let four: Vec<f32> = (0..4).map(|l| eight[l] + eight[l + 4]).collect();
        let sum = (four[0] + four[2]) + (four[1] + four[3]);
        let mut out = [0.0];
        fast::reduce_sum(
            &ReduceShape {
                outer: 1,
                length,
                inner: 1,
            },
            &x,
            &mut out,
        );
        assert_same(&out, &[sum], "sum");
    }
}

#[test]
fn softmaxes() {
    let mut numbers = Numbers::new(9);
    for _ in 0..200 {
        let shape = reduce_shape(&mut numbers);
        let x = numbers.slice(shape.outer * shape.length * shape.inner);
        let (mut expected, mut expected_log) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
        slow::softmax(&shape, &x, &mut expected);
        slow::log_softmax(&shape, &x, &mut expected_log);
        on_every_isa(|isa| {
            let mut out = vec![7.0; x.len()];
            fast::softmax(&shape, &x, &mut out);
            assert_same(&out, &expected, &format!("softmax {shape:?} on {isa:?}"));
            fast::log_softmax(&shape, &x, &mut out);
            assert_same(&out, &expected_log, &format!("log softmax {shape:?} on {isa:?}"));
        });
    }
}

/// Rows as attention has them, masked elements and rows of them among them.
#[test]
fn softmaxes_of_attention() {
    let mut numbers = Numbers::new(19);
    for length in [16, 17, 31, 49, 63, 64, 65, 80, 127, 128, 197, 256, 1000] {
        let shape = ReduceShape {
            outer: 7,
            length,
            inner: 1,
        };
        let mut x = numbers.slice(shape.outer * length);
        for (row, x) in x.chunks_mut(length).enumerate() {
            let masked = [0, 1, length - 1, length / 2, length][row % 5];
            let mask = [-10_000.0, f32::NEG_INFINITY, -90.0, f32::MIN, -104.0][numbers.below(5)];
            x[..masked].fill(mask);
        }
        let mut expected = vec![f32::NAN; x.len()];
        slow::softmax(&shape, &x, &mut expected);
        on_every_isa_and_threads(|what| {
            let mut out = vec![7.0; x.len()];
            fast::softmax(&shape, &x, &mut out);
            assert_same(&out, &expected, &format!("{shape:?} on {what}"));
        });
    }
}

/// Quotients of rows that nothing masks are made of reciprocals: they must be those of divisions whatever the sum.
#[test]
fn softmaxes_of_many_sums() {
    let mut numbers = Numbers::new(34);
    let shape = ReduceShape {
        outer: 4000,
        length: 40,
        inner: 1,
    };
    let mut number = || numbers.below(1 << 20) as f32 / 65_536.0;
    let x: Vec<f32> = (0..shape.outer * shape.length).map(|_| number()).collect();
    let mut expected = vec![f32::NAN; x.len()];
    slow::softmax(&shape, &x, &mut expected);
    on_every_isa_and_threads(|what| {
        let mut out = vec![7.0; x.len()];
        fast::softmax(&shape, &x, &mut out);
        assert_same(&out, &expected, &format!("sums on {what}"));
    });
}

#[test]
fn normalisations() {
    let mut numbers = Numbers::new(10);
    for case in 0..200 {
        // every tenth is worth several threads
        let most = if case % 10 == 0 { 2000 } else { 4 };
        let (rows, size) = (1 + numbers.below(most), 1 + numbers.below(70));
        let (x, scale, bias) = (
            numbers.slice(rows * size),
            numbers.slice(size),
            numbers.slice(size),
        );
        let some_bias = (numbers.below(2) == 0).then_some(&bias[..]);
        let mut expected = vec![f32::NAN; x.len()];
        let mut expected_moments = Vec::new();
        slow::layer_norm(&x, &scale, some_bias, 1e-5, &mut expected, |m| {
            expected_moments.push([m.mean, m.inverse_deviation]);
        });
        let channels = scale.len();
        let images = numbers.slice(2 * channels * rows);
        let (mean, variance) = (numbers.slice(channels), numbers.slice(channels));
        let (mut instance, mut batch) = (vec![f32::NAN; images.len()], vec![f32::NAN; images.len()]);
        slow::instance_norm(&images, rows, &scale, &bias, 1e-5, &mut instance);
        slow::batch_norm(&images, rows, &scale, &bias, &mean, &variance, 1e-5, &mut batch);
        on_every_isa_and_threads(|what| {
            let mut out = vec![7.0; x.len()];
            let [mut means, mut deviations] = [vec![7.0; rows], vec![7.0; rows]];
            let moments = [&mut means[..], &mut deviations[..]];
            fast::layer_norm(&x, &scale, some_bias, 1e-5, &mut out, moments);
            assert_same(&out, &expected, &format!("layer norm on {what}"));
            let moments: Vec<f32> = means
                .into_iter()
                .zip(deviations)
                .flat_map(<[f32; 2]>::from)
                .collect();
            assert_same(&moments, expected_moments.as_flattened(), "moments");
            let mut out = vec![7.0; images.len()];
            fast::instance_norm(&images, rows, &scale, &bias, 1e-5, &mut out);
            assert_same(&out, &instance, &format!("instance norm on {what}"));
            fast::batch_norm(&images, rows, &scale, &bias, &mean, &variance, 1e-5, &mut out);
            assert_same(&out, &batch, &format!("batch norm on {what}"));
        });
    }
}

#[test]
fn global_pools() {
    let mut numbers = Numbers::new(11);
    for case in 0..102 {
        // the last are for several threads
        let (channels, size) = match case {
            100 => (190, 509),
            101 => (513, 192),
            _ => (numbers.below(5), 1 + numbers.below(80)),
        };
        let x = numbers.slice(channels * size);
        let (mut average, mut max) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
        slow::global_average_pool(&x, size, &mut average);
        slow::global_max_pool(&x, size, &mut max);
        on_every_isa_and_threads(|what| {
            let mut out = vec![7.0; channels];
            fast::global_average_pool(&x, size, &mut out);
            assert_same(&out, &average, &format!("global average on {what}"));
            fast::global_max_pool(&x, size, &mut out);
            assert_same(&out, &max, &format!("global max on {what}"));
        });
    }
}

#[test]
fn nans_leave_in_one_form_only() {
    let nan = f32::from_bits(0xffc1_2345);
    let mut out = [0.0; 4];
    on_every_isa(|isa: Isa| {
        let b = Matrix::row_major(&[1.0, 2.0], 2);
        fm::gemm(
            2,
            2,
            1,
            Matrix::row_major(&[nan, 1.0], 1),
            b,
            &mut out,
            &mut vec![0.0; fm::gemm_scratch(2, 2, 1)],
        );
        assert_eq!(
            out.map(f32::to_bits),
            [0x7fc0_0000, 0x7fc0_0000, 0x3f80_0000, 0x4000_0000],
            "{isa:?}"
        );
        let infinite = [f32::INFINITY, f32::NEG_INFINITY, 0.0, 0.0];
        fast::reduce_sum(
            &ReduceShape {
                outer: 1,
                length: 4,
                inner: 1,
            },
            &infinite,
            &mut out[..1],
        );
        assert_eq!(out[0].to_bits(), 0x7fc0_0000, "{isa:?}");
        // the compiler drops a selection between a root's NaN and another one, if it is written with floats
        let (negative, mut roots) = ([-2.0_f32; 37], [0.0; 37]);
        map(&negative, &mut roots, |x| Float::sqrt(x).canonical());
        assert!(
            roots.iter().all(|root| root.to_bits() == 0x7fc0_0000),
            "{isa:?}: {:08x}",
            roots[0].to_bits()
        );
        let (negative, mut roots) = ([-2.0_f64; 37], [0.0; 37]);
        map(&negative, &mut roots, |x| Float::sqrt(x).canonical());
        assert!(
            roots.iter().all(|root| root.to_bits() == 0x7ff8 << 48),
            "{isa:?}: {:016x}",
            roots[0].to_bits()
        );
    });
}
