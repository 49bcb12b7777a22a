//! Images whose channels lie in blocks: the reference's bits, in other places.

use synod_numerics::fast::blocks;
use synod_numerics::fast::convolution::{ConvWeights, Geometry, conv_packed};
use synod_numerics::fast::epilogue::{Function, Step, Steps};
use synod_numerics::float::Float;
use synod_numerics::reference as slow;
use synod_numerics::shape::{Axis, ConvShape, PoolShape};

use crate::{Numbers, assert_same, on_every_isa_and_threads};

/// Channels of a block.
const BLOCK: usize = 16;

/// The image with its channels in blocks, if they are to be: planes of `size` elements.
fn laid_out(x: &[f32], in_blocks: bool, channels: usize, size: usize) -> Vec<f32> {
    if !in_blocks || x.is_empty() {
        return x.to_vec();
    }
    let mut out = vec![0.0; x.len()];
    for (at, &element) in x.iter().enumerate() {
        let (image, channel, pixel) = (at / (channels * size), at / size % channels, at % size);
        let block = image * (channels / BLOCK) + channel / BLOCK;
        out[(block * size + pixel) * BLOCK + channel % BLOCK] = element;
    }
    out
}

fn axis(numbers: &mut Numbers, most: usize) -> Axis {
    let input = 1 + numbers.below(most);
    let stride = 1 + numbers.below(7) % 4;
    let (pad_begin, pad_end) = (numbers.below(3), numbers.below(3));
    let dilation = 1 + numbers.below(2);
    let kernel = 1 + numbers.below(4).min((input + pad_begin + pad_end - 1) / dilation);
    Axis {
        input,
        output: (input + pad_begin + pad_end - (kernel - 1) * dilation - 1) / stride + 1,
        kernel,
        stride,
        dilation,
        pad_begin,
        pad_end,
    }
}

/// One of a depthwise convolution: windows of the usual sizes and of others, some of which may lie over nothing but padding.
fn axis_of_windows(numbers: &mut Numbers) -> Axis {
    let (kernel, stride) = ([1, 3, 5, 7, 11][numbers.below(5)], 1 + numbers.below(3));
    let dilation = [1, 1, 1, 2][numbers.below(4)];
    let reach = (kernel - 1) * dilation + 1;
    let (pad_begin, pad_end) = (numbers.below(reach + 2), numbers.below(reach + 2));
    let input = 1 + numbers.below(40) + reach.saturating_sub(pad_begin + pad_end + 1);
    Axis {
        input,
        output: (input + pad_begin + pad_end - reach) / stride + 1,
        kernel,
        stride,
        dilation,
        pad_begin,
        pad_end,
    }
}

/// One with 32 outputs and more.
fn wide_axis(numbers: &mut Numbers) -> Axis {
    let (stride, dilation) = (1 + numbers.below(3), 1 + numbers.below(2));
    let (kernel, output) = (1 + numbers.below(7), 32 + numbers.below(40));
    let (pad_begin, pad_end) = (numbers.below(5), numbers.below(5));
    let covered = (output - 1) * stride + (kernel - 1) * dilation + 1;
    Axis {
        // the last few may be left over
        input: covered.saturating_sub(pad_begin + pad_end).max(1) + numbers.below(stride),
        output,
        kernel,
        stride,
        dilation,
        pad_begin,
        pad_end,
    }
}

fn shapes(numbers: &mut Numbers) -> Vec<ConvShape> {
    let mut shapes: Vec<ConvShape> = (0..120)
        .map(|case| {
            let depthwise = case % 4 == 0;
            let channels = [16, 32, 48, 80][numbers.below(4)];
            let pointwise = Axis {
                input: 1 + numbers.below(70),
                ..Axis::UNIT
            };
            let pointwise = Axis {
                output: pointwise.input,
                ..pointwise
            };
            let (height, width) = match case % 3 {
                0 => (Axis::UNIT, pointwise),
                _ => (axis(numbers, 9), axis(numbers, 40)),
            };
            ConvShape {
                batch: 1 + numbers.below(2),
                groups: if depthwise { channels } else { 1 },
                in_channels: if depthwise {
                    1
                } else {
                    [1, 3, 16, 24, 32, 64][numbers.below(6)]
                },
                out_channels: if depthwise {
                    1
                } else {
                    [4, 13, 16, 24, 48, 112][numbers.below(6)]
                },
                axes: [Axis::UNIT, height, width],
            }
        })
        .collect();
    // more terms than one block of them, and more rows than one window or one output that is turned at once
    let square = |channels: [usize; 2], input: usize, kernel: usize, stride: usize| {
        let axis = Axis {
            input,
            output: (input + kernel / 2 * 2 - kernel) / stride + 1,
            kernel,
            stride,
            dilation: 1,
            pad_begin: kernel / 2,
            pad_end: kernel / 2,
        };
        ConvShape {
            batch: 1,
            groups: 1,
            in_channels: channels[0],
            out_channels: channels[1],
            axes: [Axis::UNIT, axis, axis],
        }
    };
    shapes.extend((0..80).map(|_| ConvShape {
        batch: 1,
        groups: [16, 32][numbers.below(2)],
        in_channels: 1,
        out_channels: 1,
        axes: [Axis::UNIT, axis_of_windows(numbers), axis_of_windows(numbers)],
    }));
    shapes.extend((0..16).map(|_| ConvShape {
        batch: 1 + numbers.below(2),
        groups: [16, 48][numbers.below(2)],
        in_channels: 1,
        out_channels: 1,
        axes: [Axis::UNIT, axis(numbers, 12), wide_axis(numbers)],
    }));
    // enough work for several threads, which share out the rows
    shapes.extend([(48, 56, 3, 1), (32, 91, 5, 2), (384, 14, 3, 1)].map(
        |(groups, input, kernel, stride)| ConvShape {
            groups,
            ..square([1, 1], input, kernel, stride)
        },
    ));
    shapes.extend([
        square([320, 32], 7, 3, 1),
        square([64, 16], 60, 3, 1),
        square([3, 48], 90, 7, 2),
        square([16, 20], 50, 1, 1),
        square([16, 32], 31, 1, 2),
    ]);
    shapes
}

#[test]
fn convolutions_of_blocks() {
    let mut numbers = Numbers::new(50);
    let mut computed = [0; 4];
    for (case, shape) in shapes(&mut numbers).into_iter().enumerate() {
        let [from, to] = [shape.in_channels, shape.out_channels].map(|channels| shape.groups * channels);
        let (input, output) = (shape.input_size(), shape.output_size());
        let x = numbers.slice(shape.batch * from * input);
        let w = numbers.slice(to * shape.terms());
        let bias = (case % 5 != 0).then(|| numbers.slice(to));
        let mut expected = vec![f32::NAN; shape.batch * to * output];
        slow::conv(&shape, &x, &w, bias.as_deref(), &mut expected);
        let other = numbers.slice(expected.len());
        let functions = [
            None,
            Some(Function::Relu),
            Some(Function::Clip { low: 0.0, high: 6.0 }),
            Some(Function::HardSwish),
        ];
        let (added, function) = (case % 2 == 0, functions[case % 7 % 4]);
        for (y, &other) in expected.iter_mut().zip(&other) {
            if added {
                *y = (*y + other).canonical();
            }
            if let Some(function) = function {
                function.apply(std::slice::from_mut(y));
            }
        }
        let packed = ConvWeights::new(shape.groups, shape.out_channels, shape.terms(), &w);
        for (way, [in_blocks, out_blocks]) in [[false, false], [false, true], [true, false], [true, true]]
            .into_iter()
            .enumerate()
        {
            let Some(geometry) = Geometry::in_blocks(&shape, in_blocks, out_blocks) else {
                continue;
            };
            computed[way] += 1;
            let x = laid_out(&x, in_blocks, from, input);
            let other = laid_out(&other, out_blocks, to, output);
            let expected = laid_out(&expected, out_blocks, to, output);
            let mut steps = Vec::new();
            steps.extend(added.then_some(Step::Add(&other)));
            steps.extend(function.map(Step::Function));
            on_every_isa_and_threads(|how| {
                let mut out = vec![7.0; expected.len()];
                conv_packed(
                    &geometry,
                    &packed,
                    &x,
                    bias.as_deref(),
                    Some(&Steps(&steps)),
                    &mut out,
                );
                let what = format!("{shape:?}, blocks {in_blocks} {out_blocks}, {steps:?}, on {how}");
                assert_same(&out, &expected, &what);
            });
        }
    }
    assert!(
        computed.iter().all(|&count| count > 20),
        "every layout was tried: {computed:?}"
    );
}

#[test]
fn pools_of_blocks() {
    let mut numbers = Numbers::new(51);
    for _ in 0..60 {
        let (images, channels) = (1 + numbers.below(2), 16 * (1 + numbers.below(3)));
        let shape = PoolShape {
            channels: images * channels,
            axes: [Axis::UNIT, axis(&mut numbers, 9), axis(&mut numbers, 30)],
        };
        let (input, output) = (shape.input_size(), shape.output_size());
        // what tensors hold: one NaN
        let mut x = numbers.slice(shape.channels * input);
        x.iter_mut().for_each(|x| *x = x.canonical());
        let mut expected = vec![f32::NAN; shape.channels * output];
        slow::max_pool(&shape, &x, &mut expected, |_, _| {});
        let mut means = vec![f32::NAN; shape.channels];
        slow::global_average_pool(&x, input, &mut means);
        let x = laid_out(&x, true, channels, input);
        for out_blocks in [false, true] {
            let expected = laid_out(&expected, out_blocks, channels, output);
            on_every_isa_and_threads(|how| {
                let mut out = vec![7.0; expected.len()];
                blocks::max_pool(&shape, &x, out_blocks, &mut out);
                assert_same(
                    &out,
                    &expected,
                    &format!("{shape:?}, blocks {out_blocks}, on {how}"),
                );
            });
        }
        on_every_isa_and_threads(|how| {
            let mut out = vec![7.0; means.len()];
            blocks::global_average_pool(&x, input, &mut out);
            assert_same(&out, &means, &format!("means of {input} pixels on {how}"));
        });
    }
}
