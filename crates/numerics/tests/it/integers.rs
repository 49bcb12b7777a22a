//! Products and convolutions of 8-bit integers: exact, on every instruction set.

use std::sync::{Mutex, MutexGuard, PoisonError};

use synod_numerics::fast::integer::{self as fast, Layout, Unit, force};
use synod_numerics::quantize::{Byte, Grid};
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

/// Waits until no other test forces units.
fn unit_turn() -> MutexGuard<'static, ()> {
    static TURNS: Mutex<()> = Mutex::new(());
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test on every unit that this machine has. The choice is the whole process's, and gives the same bits whatever others
/// choose at the same time.
fn on_every_unit(mut test: impl FnMut(Unit)) {
    let _turn = unit_turn();
    for unit in Unit::ALL.into_iter().filter(|unit| unit.is_available()) {
        force(Some(unit));
        test(unit);
    }
    force(None);
    on_every_isa(|_| test(Unit::current()));
}

/// Asserts that two results are equal; says where they begin to differ, and in how many places.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(ours: &[T], reference: &[T], what: &str) {
    assert_eq!(ours.len(), reference.len(), "{what}: lengths");
    let mut differ = ours
        .iter()
        .zip(reference)
        .enumerate()
        .filter(|(_, (a, b))| a != b);
    if let Some((index, (a, b))) = differ.next() {
        let others = differ.count();
        panic!("{what}: element {index} is {a:?}, the reference has {b:?}, and {others} others differ");
    }
}

/// A product with everything: zero points of rows and columns, a bias, requantisation.
#[derive(Clone)]
struct Case<A, B> {
    dims: [usize; 3],
    a: Vec<A>,
    b: Vec<B>,
    /// One for all rows, or one each.
    a_zero: Vec<i32>,
    b_zero: Vec<i32>,
    bias: Option<Vec<i32>>,
}

fn of<T: Copy>(numbers: &[T], index: usize) -> T {
    numbers[if numbers.len() == 1 { 0 } else { index }]
}

impl<A: Byte, B: Byte> Case<A, B> {
    fn expected(&self) -> Vec<i32> {
        let [m, n, k] = self.dims;
        let (a, b) = (Matrix::row_major(&self.a, k), Matrix::row_major(&self.b, n));
        let mut out = vec![7; m * n];
        let (of_row, of_column) = (|i| of(&self.a_zero, i), |j| of(&self.b_zero, j));
        slow::integer_gemm(m, n, k, a, of_row, b, of_column, &mut out);
        if let Some(bias) = &self.bias {
            for (index, out) in out.iter_mut().enumerate() {
                *out = out.wrapping_add(bias[index % n]);
            }
        }
        out
    }

    /// The right operand, packed for the unit in use.
    fn packed(&self) -> fast::PackedBytes {
        let [_, n, k] = self.dims;
        let packed = fast::PackedBytes::new(k, n, Matrix::row_major(&self.b, n));
        assert_eq!(packed.shape(), [k, n]);
        packed
    }

    /// The fast product's sums, and what it requantises them to.
    fn fast(&self, factors: &[f32], zero: i32) -> (Vec<i32>, Vec<u8>) {
        self.multiplied(&self.packed(), factors, zero)
    }

    /// [`Self::fast`] with an operand that was packed before.
    fn multiplied(&self, packed: &fast::PackedBytes, factors: &[f32], zero: i32) -> (Vec<i32>, Vec<u8>) {
        let [m, n, k] = self.dims;
        let columns = fast::gemm_columns(n);
        let (mut starts, mut zeros, mut all) = (vec![9; columns], vec![9; columns], vec![0.0; columns]);
        for (column, factor) in all[..n].iter_mut().enumerate() {
            *factor = of(factors, column);
        }
        let rows = (self.a_zero.len() > 1).then_some(&self.a_zero[..]);
        let operand = fast::Operand::of::<A>(self.a_zero[0]);
        let common = if rows.is_some() {
            operand.unshifted()
        } else {
            operand
        };
        let bias = self.bias.as_deref();
        let prepared = packed.prepare(common, &self.b_zero, bias, &mut starts, &mut zeros);
        let mut scratch = vec![9; fast::integer_gemm_scratch(k)];
        let (mut sums, mut bytes) = (vec![3; m * n], vec![3; m * n]);
        let results = fast::GemmOutput::Bytes {
            out: &mut bytes,
            factors: &all,
            of: fast::Operand::of::<A>(zero),
        };
        for output in [fast::GemmOutput::Sums(&mut sums), results] {
            let a = A::bytes(&self.a);
            fast::integer_gemm(m, a, operand, rows, packed, prepared, output, &mut scratch);
        }
        (sums, bytes)
    }
}

fn products_of<A: Byte, B: Byte>(seed: u64) {
    let mut numbers = Numbers::new(seed);
    for _ in 0..60 {
        let (m, n, k) = (numbers.below(40), numbers.below(150), numbers.below(90));
        let rows = if numbers.below(2) == 0 { 1 } else { m.max(1) };
        let columns = if numbers.below(2) == 0 { 1 } else { n.max(1) };
        let case = Case {
            dims: [m, n, k],
            a: bytes::<A>(&mut numbers, m * k),
            b: bytes::<B>(&mut numbers, k * n),
            a_zero: zeros::<A>(&mut numbers, rows),
            b_zero: zeros::<B>(&mut numbers, columns),
            bias: (numbers.below(2) == 0).then(|| {
                let wild = |numbers: &mut Numbers| (numbers.below(1 << 32) as u32) as i32;
                (0..n).map(|_| wild(&mut numbers)).collect()
            }),
        };
        let factors = factors(&mut numbers, columns);
        let grid = Grid {
            zero: zeros::<A>(&mut numbers, 1)[0],
            low: A::RANGE.0,
            high: A::RANGE.1,
        };
        let expected = case.expected();
        let place =
            |(index, &sum): (usize, &i32)| grid.place(sum as f32 * of(&factors, index % n.max(1))) as u8;
        let placed: Vec<u8> = expected.iter().enumerate().map(place).collect();
        on_every_unit(|unit| {
            let (sums, bytes) = case.fast(&factors, grid.zero);
            same(&sums, &expected, &format!("{m}x{n}x{k} on {unit:?}"));
            same(&bytes, &placed, &format!("{m}x{n}x{k} on {unit:?}, requantised"));
        });
    }
}

/// Factors as they are, and sometimes as nobody wants them.
fn factors(numbers: &mut Numbers, count: usize) -> Vec<f32> {
    // usual ones, such as lead beyond all integers, such as lead beyond all numbers
    let kinds = [4, 4, 6, 8][numbers.below(4)];
    (0..count)
        .map(|_| match numbers.below(kinds) {
            0 => 0.001,
            1 => 0.5,
            2 => 1.0 / 3.0,
            3 => 1e-4,
            4 => 3e4,
            5 => -1e30,
            6 => f32::INFINITY,
            _ => f32::NAN,
        })
        .collect()
}

/// Operands packed for one unit and multiplied by another: whoever hunts for a difference may force another one in between.
#[test]
fn units_take_what_others_packed() {
    let _turn = unit_turn();
    let mut numbers = Numbers::new(46);
    let case = Case {
        dims: [19, 70, 33],
        a: bytes::<u8>(&mut numbers, 19 * 33),
        b: bytes::<i8>(&mut numbers, 33 * 70),
        a_zero: vec![7],
        b_zero: vec![0],
        bias: None,
    };
    let expected = case.expected();
    let units = || Unit::ALL.into_iter().filter(|unit| unit.is_available());
    for packer in units() {
        force(Some(packer));
        let packed = case.packed();
        for unit in units() {
            force(Some(unit));
            let (sums, _) = case.multiplied(&packed, &[0.002], 0);
            same(
                &sums,
                &expected,
                &format!("packed for {packer:?}, multiplied on {unit:?}"),
            );
        }
    }
    force(None);
}

#[test]
fn products() {
    products_of::<u8, u8>(41);
    products_of::<u8, i8>(42);
    products_of::<i8, u8>(43);
    products_of::<i8, i8>(44);
}

/// Tables in registers and in memory, with and without what is left of a vector.
#[test]
fn tables_of_bytes() {
    let mut numbers = Numbers::new(45);
    for length in [0, 1, 63, 64, 65, 200, 1024] {
        let table: [u8; 256] = std::array::from_fn(|_| numbers.below(256) as u8);
        let x: Vec<u8> = (0..length).map(|_| numbers.below(256) as u8).collect();
        let expected: Vec<u8> = x.iter().map(|&x| table[usize::from(x)]).collect();
        on_every_isa(|isa| {
            let mut out = vec![7; length];
            synod_numerics::fast::look_up(&table, &x, &mut out);
            same(&out, &expected, &format!("{length} on {isa:?}"));
        });
    }
}

/// One row and one column of equal numbers.
fn of_equals<A: Byte, B: Byte>(a: A, b: B, k: usize) -> i32 {
    let case = Case {
        dims: [1, 1, k],
        a: vec![a; k],
        b: vec![b; k],
        a_zero: vec![0],
        b_zero: vec![0],
        bias: None,
    };
    let expected = case.expected();
    on_every_unit(|unit| {
        assert_eq!(case.fast(&[1.0], 0).0, expected, "on {unit:?}");
    });
    expected[0]
}

/// Where a kernel with saturating 16-bit sums, ONNX Runtime's for AVX2, gives 1,048,544.
#[test]
fn sums_never_saturate() {
    assert_eq!(of_equals(255u8, 127i8, 64), 2_072_640);
    assert_eq!(of_equals(255u8, -128i8, 64), -2_088_960);
    assert_eq!(of_equals(-128i8, -128i8, 64), 1_048_576);
    assert_eq!(of_equals(255u8, 255u8, 64), 4_161_600);
}

/// Beyond what 32 bits hold they wrap.
#[test]
fn long_sums_wrap() {
    let k = 40_000;
    assert_eq!(of_equals(255u8, 255u8, k), (255i64 * 255 * k as i64) as i32);
    // rows that no thread's buffer holds
    assert_eq!(of_equals(255u8, 127i8, 270_001), (255i64 * 127 * 270_001) as i32);
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

/// The shapes of networks' layers, small: the pixels of tiles and blocks, and their rests.
fn layer(numbers: &mut Numbers) -> ConvShape {
    let wide = numbers.below(2) == 0;
    let depthwise = numbers.below(3) == 0;
    let channels = |numbers: &mut Numbers| match numbers.below(6) {
        0 => 3,
        1 => 4,
        2 => 16,
        3 => 64,
        4 => 1 + numbers.below(9),
        _ => 1 + numbers.below(90),
    };
    let small = numbers.below(3);
    let (groups, in_channels, out_channels) = match () {
        () if depthwise => (2 + numbers.below(140), 1, 1),
        () if small == 0 => (1 + numbers.below(3), 1 + numbers.below(5), 1 + numbers.below(9)),
        () => (1, channels(numbers), channels(numbers) * (1 + numbers.below(3))),
    };
    ConvShape {
        batch: 1 + numbers.below(2),
        groups,
        in_channels,
        out_channels,
        axes: [
            if !wide && numbers.below(4) == 0 {
                axis(numbers)
            } else {
                Axis::UNIT
            },
            axis(numbers),
            axis(numbers),
        ],
    }
}

fn convolutions_of<X: Byte, W: Byte>(seed: u64) {
    let mut numbers = Numbers::new(seed);
    for _ in 0..120 {
        let shape = layer(&mut numbers);
        let channels = shape.groups * shape.out_channels;
        let in_channels = shape.groups * shape.in_channels;
        let x = bytes::<X>(&mut numbers, shape.batch * in_channels * shape.input_size());
        let w = bytes::<W>(&mut numbers, channels * shape.terms());
        let x_zero = zeros::<X>(&mut numbers, 1)[0];
        let count = if numbers.below(2) == 0 { 1 } else { channels };
        let w_zero = zeros::<W>(&mut numbers, count);
        let bias: Vec<i32> = (0..channels)
            .map(|_| numbers.below(1 << 20) as i32 - (1 << 19))
            .collect();
        let factors = factors(&mut numbers, channels);
        let y_zero = zeros::<X>(&mut numbers, 1)[0];
        check_convolution(&shape, &x, &w, x_zero, &w_zero, &bias, &factors, y_zero);
    }
}

/// First layers: three channels, whose pixels are copied as three or as four bytes.
fn stems_of<X: Byte, W: Byte>(seed: u64) {
    let mut numbers = Numbers::new(seed);
    for kernel in [1, 2, 3, 4, 5, 7, 9] {
        for (input, stride) in [(9, 1), (20, 2), (41, 2), (70, 3)] {
            let axis = Axis {
                input,
                output: (input + kernel / 2 * 2 - kernel) / stride + 1,
                kernel,
                stride,
                pad_begin: kernel / 2,
                pad_end: kernel / 2,
                ..Axis::UNIT
            };
            let channels = 1 + numbers.below(70);
            let shape = ConvShape {
                batch: 1,
                groups: 1,
                in_channels: 3,
                out_channels: channels,
                axes: [Axis::UNIT, axis, axis],
            };
            let x = bytes::<X>(&mut numbers, 3 * shape.input_size());
            let w = bytes::<W>(&mut numbers, channels * shape.terms());
            let (x_zero, w_zero) = (zeros::<X>(&mut numbers, 1)[0], zeros::<W>(&mut numbers, channels));
            let (bias, factors) = (vec![77; channels], factors(&mut numbers, channels));
            check_convolution(&shape, &x, &w, x_zero, &w_zero, &bias, &factors, x_zero);
        }
    }
}

#[test]
fn first_layers() {
    stems_of::<u8, i8>(75);
    stems_of::<u8, u8>(76);
    stems_of::<i8, i8>(77);
}

#[expect(clippy::too_many_arguments, reason = "a convolution has as many operands")]
fn check_convolution<X: Byte, W: Byte>(
    shape: &ConvShape,
    x: &[X],
    w: &[W],
    x_zero: i32,
    w_zero: &[i32],
    bias: &[i32],
    factors: &[f32],
    y_zero: i32,
) {
    let (channels, positions) = (shape.groups * shape.out_channels, shape.output_size());
    let (in_channels, pixels) = (shape.groups * shape.in_channels, shape.input_size());
    let mut expected = vec![7; shape.batch * channels * positions];
    slow::integer_conv(shape, x, x_zero, w, |m| of(w_zero, m), &mut expected);
    let channel = |index: usize| index / positions % channels;
    let add = |(index, sum): (usize, &mut i32)| *sum = sum.wrapping_add(bias[channel(index)]);
    expected.iter_mut().enumerate().for_each(add);
    let grid = Grid {
        zero: y_zero,
        low: X::RANGE.0,
        high: X::RANGE.1,
    };
    let place = |(index, &sum): (usize, &i32)| grid.place(sum as f32 * factors[channel(index)]) as u8;
    let placed: Vec<u8> = expected.iter().enumerate().map(place).collect();
    let (x, mut turned) = (X::bytes(x), vec![0; x.len()]);
    fast::change_layout(x, in_channels, pixels, Layout::ChannelsLast, &mut turned);
    let columns = fast::conv_columns(shape);
    let (mut of_columns, column) = (vec![0.0; columns], fast::conv_places(shape));
    for (channel, &factor) in factors.iter().enumerate() {
        of_columns[column(channel)] = factor;
    }
    let (operand, result) = (fast::Operand::of::<X>(x_zero), fast::Operand::of::<X>(y_zero));
    on_every_unit(|unit| {
        let (once, kept) = (
            fast::PackedFilters::new(shape, w),
            fast::PackedFilters::kept(shape, w),
        );
        let (mut starts, mut zeros) = (vec![9; columns], vec![9; columns]);
        let prepared = once.prepare(shape, operand, w_zero, Some(bias), &mut starts, &mut zeros);
        let mut scratch = vec![9; fast::integer_conv_scratch(shape)];
        for (filters, layout, x) in [
            (&once, Layout::ChannelsFirst, x),
            (&once, Layout::ChannelsLast, &turned[..]),
            (&kept, Layout::ChannelsLast, &turned[..]),
        ] {
            let mut run = |output: fast::ConvOutput<'_>| {
                fast::integer_conv(shape, x, operand, layout, filters, prepared, output, &mut scratch);
            };
            let mut sums = vec![3; expected.len()];
            run(fast::ConvOutput::Sums(&mut sums));
            same(&sums, &expected, &format!("{shape:?} on {unit:?}, {layout:?}"));
            for to in [Layout::ChannelsFirst, Layout::ChannelsLast] {
                let mut out = vec![3; placed.len()];
                run(fast::ConvOutput::Bytes {
                    out: &mut out,
                    layout: to,
                    factors: &of_columns,
                    of: result,
                });
                if to == Layout::ChannelsLast {
                    let copy = out.clone();
                    fast::change_layout(&copy, channels, positions, Layout::ChannelsFirst, &mut out);
                }
                same(
                    &out,
                    &placed,
                    &format!("{shape:?} on {unit:?}, {layout:?} to {to:?}"),
                );
            }
        }
    });
}

#[test]
fn convolutions() {
    convolutions_of::<u8, i8>(51);
    convolutions_of::<u8, u8>(52);
    convolutions_of::<i8, i8>(53);
    convolutions_of::<i8, u8>(54);
}

/// Several chunks of lines, parts of a line, and windows that no buffer holds.
#[test]
fn large_convolutions() {
    let along = |input: usize, kernel: usize, dilation: usize| Axis {
        input,
        output: input,
        kernel,
        stride: 1,
        dilation,
        pad_begin: kernel / 2 * dilation,
        pad_end: kernel / 2 * dilation,
    };
    let shape = |groups, in_channels, out_channels, height, width| ConvShape {
        batch: 1,
        groups,
        in_channels,
        out_channels,
        axes: [Axis::UNIT, height, width],
    };
    let mut numbers = Numbers::new(61);
    for shape in [
        shape(1, 24, 8, along(90, 3, 1), along(90, 3, 1)),
        shape(1, 64, 1, along(3, 3, 1), along(4000, 3, 1)),
        shape(64, 1, 1, along(3, 3, 1), along(4000, 3, 1)),
        shape(1, 2, 3, along(1, 3, 1 << 19), along(2, 1, 1)),
        shape(2, 1, 1, along(1, 3, 1 << 19), along(2, 1, 1)),
        shape(1, 9000, 2, along(2, 5, 1), along(3, 5, 1)),
    ] {
        let channels = shape.groups * shape.out_channels;
        let x = bytes::<u8>(
            &mut numbers,
            shape.groups * shape.in_channels * shape.input_size(),
        );
        let w = bytes::<i8>(&mut numbers, channels * shape.terms());
        let (bias, factors) = (vec![5; channels], vec![0.01; channels]);
        check_convolution(&shape, &x, &w, 77, &[0], &bias, &factors, 3);
    }
}

/// Windows of 3×3 that are transformed: sides that are no multiple of a tile's, padding beyond and on one side, channels that vectors
/// overlap, blocks of several widths, and numbers as large as they can be.
fn transformed_of<X: Byte, W: Byte>(seed: u64) {
    let mut numbers = Numbers::new(seed);
    let axis = |numbers: &mut Numbers, least: usize| {
        let [pad_begin, pad_end] = [numbers.below(4), numbers.below(4)];
        let output = least + numbers.below(9);
        Axis {
            input: output + 2 - pad_begin - pad_end,
            output,
            kernel: 3,
            pad_begin,
            pad_end,
            ..Axis::UNIT
        }
    };
    let none = if W::RANGE.0 < 0 { 0 } else { 128 };
    for (round, in_channels) in [32, 34, 62, 64, 96, 110, 114, 130].into_iter().enumerate() {
        let shape = ConvShape {
            batch: 1 + round % 2,
            groups: 1,
            in_channels,
            out_channels: [32, 33, 64, 70, 150][round % 5],
            axes: [Axis::UNIT, axis(&mut numbers, 13), axis(&mut numbers, 13)],
        };
        let channels = shape.out_channels;
        let mut x = bytes::<X>(&mut numbers, shape.batch * in_channels * shape.input_size());
        let mut w = bytes::<W>(&mut numbers, channels * shape.terms());
        // filters and images of nothing but ends of the range
        w[..shape.terms()].fill(W::narrow(W::RANGE.1));
        w[shape.terms()..2 * shape.terms()].fill(W::narrow(W::RANGE.0));
        let half = x.len() / 2;
        x[..half].fill(X::narrow(X::RANGE.1));
        let x_zero = zeros::<X>(&mut numbers, 1)[0];
        // zero points of weights are not for transforms
        let w_zero = if round == 5 { none + 1 } else { none };
        let bias: Vec<i32> = (0..channels).map(|_| numbers.below(1 << 20) as i32).collect();
        let factors = factors(&mut numbers, channels);
        check_convolution(&shape, &x, &w, x_zero, &[w_zero], &bias, &factors, 3);
    }
}

#[test]
fn transformed_convolutions() {
    transformed_of::<u8, i8>(91);
    transformed_of::<u8, u8>(92);
    transformed_of::<i8, i8>(93);
    transformed_of::<i8, u8>(94);
}

/// Products and convolutions with rows enough for tiles of sixteen and weights whose zero point kernels want: along a line and over the
/// ends of lines, with a last tile that goes back over rows of the one before, of one and of several panels and steps.
fn tiles_of<X: Byte, W: Byte>(seed: u64) {
    let mut numbers = Numbers::new(seed);
    let none = [if W::RANGE.0 < 0 { 0 } else { 128 }];
    for [m, n, k] in [
        [16, 1, 64],
        [17, 16, 24],
        [33, 48, 144],
        [50, 70, 256],
        [100, 130, 26],
    ] {
        let case = Case {
            dims: [m, n, k],
            a: bytes::<X>(&mut numbers, m * k),
            b: bytes::<W>(&mut numbers, k * n),
            a_zero: zeros::<X>(&mut numbers, 1),
            b_zero: none.to_vec(),
            bias: None,
        };
        let grid = Grid {
            zero: 3,
            low: X::RANGE.0,
            high: X::RANGE.1,
        };
        let expected = case.expected();
        let placed: Vec<u8> = expected
            .iter()
            .map(|&sum| grid.place(sum as f32 * 0.002) as u8)
            .collect();
        on_every_unit(|unit| {
            let (sums, bytes) = case.fast(&[0.002], grid.zero);
            same(&sums, &expected, &format!("{m}x{n}x{k} on {unit:?}"));
            same(&bytes, &placed, &format!("{m}x{n}x{k} on {unit:?}, requantised"));
        });
    }
    for (in_channels, out_channels, size, kernel, stride) in [
        (3, 64, 21, 7, 2),
        (16, 20, 19, 1, 1),
        (24, 33, 16, 1, 2),
        (32, 70, 7, 3, 1),
        (64, 16, 15, 3, 2),
        (68, 130, 9, 3, 1),
        (96, 5, 40, 1, 1),
    ] {
        let along = Axis {
            input: size,
            output: (size + kernel / 2 * 2 - kernel) / stride + 1,
            kernel,
            stride,
            pad_begin: kernel / 2,
            pad_end: kernel / 2,
            ..Axis::UNIT
        };
        let shape = ConvShape {
            batch: 1,
            groups: 1,
            in_channels,
            out_channels,
            axes: [Axis::UNIT, along, along],
        };
        let x = bytes::<X>(&mut numbers, in_channels * shape.input_size());
        let w = bytes::<W>(&mut numbers, out_channels * shape.terms());
        let bias: Vec<i32> = (0..out_channels).map(|_| numbers.below(1 << 20) as i32).collect();
        let factors = vec![0.0007; out_channels];
        let x_zero = zeros::<X>(&mut numbers, 1)[0];
        check_convolution(&shape, &x, &w, x_zero, &none, &bias, &factors, 5);
    }
}

#[test]
fn tiles_of_rows() {
    tiles_of::<u8, i8>(71);
    tiles_of::<u8, u8>(72);
    tiles_of::<i8, i8>(73);
    tiles_of::<i8, u8>(74);
}

/// Depthwise layers whose weights have the zero point that kernels want, with the numbers of taps that these know.
fn depthwise_of<X: Byte>(seed: u64) {
    let mut numbers = Numbers::new(seed);
    for (taps, size) in [(1, 5), (2, 9), (3, 7), (3, 17), (3, 33), (5, 7), (5, 20), (7, 9)] {
        for channels in [3, 16, 24, 32, 40, 64, 96, 130] {
            let axis = |stride: usize| Axis {
                input: size,
                output: (size - 1) / stride + 1,
                kernel: taps,
                stride,
                pad_begin: taps / 2,
                pad_end: taps / 2,
                ..Axis::UNIT
            };
            let shape = ConvShape {
                batch: 1,
                groups: channels,
                in_channels: 1,
                out_channels: 1,
                axes: [Axis::UNIT, axis(1 + channels % 2), axis(1 + channels % 2)],
            };
            // of an even number of taps the last position would lie beyond
            let shape = if taps % 2 == 0 { even(shape) } else { shape };
            let x = bytes::<X>(&mut numbers, channels * shape.input_size());
            let w = bytes::<i8>(&mut numbers, channels * shape.terms());
            let (bias, factors) = (vec![-9; channels], factors(&mut numbers, channels));
            let zero = zeros::<X>(&mut numbers, 1)[0];
            check_convolution(&shape, &x, &w, zero, &[0], &bias, &factors, zero);
        }
    }
}

/// With one more element of padding before than after.
fn even(mut shape: ConvShape) -> ConvShape {
    for axis in &mut shape.axes[1..] {
        axis.pad_end -= 1;
        axis.output = (axis.input + axis.pad_begin + axis.pad_end - axis.kernel) / axis.stride + 1;
    }
    shape
}

#[test]
fn depthwise_convolutions() {
    depthwise_of::<u8>(81);
    depthwise_of::<i8>(82);
}

/// Any number of threads gives the same bits.
#[test]
fn threads_do_not_show() {
    let mut numbers = Numbers::new(71);
    let axis = Axis {
        input: 20,
        output: 20,
        kernel: 3,
        pad_begin: 1,
        pad_end: 1,
        ..Axis::UNIT
    };
    let shape = ConvShape {
        batch: 1,
        groups: 1,
        in_channels: 64,
        out_channels: 200,
        axes: [Axis::UNIT, axis, axis],
    };
    let x = bytes::<u8>(&mut numbers, 64 * 400);
    let w = bytes::<i8>(&mut numbers, 200 * shape.terms());
    for threads in [1, 2, 3] {
        synod_numerics::pool::set_threads(threads);
        check_convolution(&shape, &x, &w, 128, &[0], &[7; 200], &[1e-3; 200], 128);
    }
    synod_numerics::pool::set_threads(1);
}
