//! Measures the kernels: how close the matrix product comes to the machine, what a function costs for each element.
//!
//!     cargo run --release -p synod-numerics --example throughput
//!
//! One thread; the best of several runs, so that a busy machine shows what an idle one would.

use std::hint::black_box;
use std::time::Instant;

use synod_numerics::fast::{self, Transcendental, convolution, matrix};
use synod_numerics::isa::{Isa, force, map, zip};
use synod_numerics::shape::{Axis, ConvShape, Matrix, PoolShape, ReduceShape};
use synod_numerics::{float::Float, math};

/// Seconds of the fastest of many runs.
fn best(mut run: impl FnMut()) -> f64 {
    run();
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed().as_secs_f64() < 0.3 {
        let start = Instant::now();
        run();
        let seconds = start.elapsed().as_secs_f64();
        if seconds < best {
            best = seconds;
        }
    }
    best
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919 % 2003) as f32 - 1001.0) / 500.0)
        .collect()
}

fn products() {
    println!("\nmatrix products          GFLOP/s       µs");
    for (m, n, k) in [
        (1024, 1024, 1024),
        (128, 384, 384),
        (128, 384, 1536),
        (196, 256, 2304),
        (64, 256, 784),
        (6, 256, 784),
        (2, 256, 784),
        (1, 256, 784),
        (1, 64, 13),
        (1, 3, 32),
    ] {
        let (a, b) = (numbers(m * k), numbers(k * n));
        let (a, b) = (Matrix::row_major(&a, k), Matrix::row_major(&b, n));
        let mut out = vec![0.0; m * n];
        let packed = matrix::PackedColumns::new(k, n, b);
        let mut scratch = vec![0.0; matrix::gemm_scratch(m, n, k)];
        let seconds = best(|| matrix::gemm_packed(m, a, &packed, black_box(&mut out)));
        let plain = best(|| matrix::gemm(m, n, k, a, b, black_box(&mut out), &mut scratch));
        let flops = 2.0 * (m * n * k) as f64;
        println!(
            "{:22} {:9.1} {:9.2}   unpacked {:9.1} {:9.2}",
            format!("{m} x {n} x {k}"),
            flops / seconds / 1e9,
            seconds * 1e6,
            flops / plain / 1e9,
            plain * 1e6
        );
    }
}

fn convolutions() {
    println!("\nconvolutions             GFLOP/s       µs");
    let axis = |input: usize, kernel: usize, stride: usize| Axis {
        input,
        output: (input + 2 * (kernel / 2) - kernel) / stride + 1,
        kernel,
        stride,
        pad_begin: kernel / 2,
        pad_end: kernel / 2,
        ..Axis::UNIT
    };
    for (name, groups, in_channels, out_channels, size, kernel, stride) in [
        ("3x3 64 > 64 @56", 1, 64, 64, 56, 3, 1),
        ("3x3 256 > 256 @14", 1, 256, 256, 14, 3, 1),
        ("1x1 64 > 256 @56", 1, 64, 256, 56, 1, 1),
        ("7x7/2 3 > 64 @224", 1, 3, 64, 224, 7, 2),
        ("3x3/2 3 > 32 @224", 1, 3, 32, 224, 3, 2),
        ("3x3 1 > 8 @28", 1, 1, 8, 28, 3, 1),
        ("31x31 1 > 1 @128", 1, 1, 1, 128, 31, 1),
        ("depthwise 3x3 960 @7", 960, 1, 1, 7, 3, 1),
        ("depthwise 5x5 240 @28", 240, 1, 1, 28, 5, 1),
        ("depthwise 3x3 32 @56", 32, 1, 1, 56, 3, 1),
        ("depthwise 3x3/2 32 @56", 32, 1, 1, 56, 3, 2),
        ("depthwise 3x3 144 @56", 144, 1, 1, 56, 3, 1),
        ("depthwise 3x3/2 144 @56", 144, 1, 1, 56, 3, 2),
        ("3x3 8 > 16 @14", 1, 8, 16, 14, 3, 1),
    ] {
        let axes = [Axis::UNIT, axis(size, kernel, stride), axis(size, kernel, stride)];
        let shape = ConvShape {
            batch: 1,
            groups,
            in_channels,
            out_channels,
            axes,
        };
        let x = numbers(groups * in_channels * shape.input_size());
        let w = convolution::ConvWeights::new(
            groups,
            out_channels,
            shape.terms(),
            &numbers(groups * out_channels * shape.terms()),
        );
        let mut out = vec![0.0; groups * out_channels * shape.output_size()];
        let geometry = convolution::Geometry::new(&shape);
        let seconds = best(|| convolution::conv_packed(&geometry, &w, &x, None, None, black_box(&mut out)));
        let flops = 2.0 * (out.len() * shape.terms()) as f64;
        println!("{name:22} {:9.1} {:9.2}", flops / seconds / 1e9, seconds * 1e6);
    }
}

fn elements() {
    println!("\nelementwise, 65,536 elements      ns each");
    let x = numbers(1 << 16);
    let positive: Vec<f32> = x.iter().map(|x| x.abs() + 0.1).collect();
    let mut y = vec![0.0; x.len()];
    let mut show = |name: &str, run: &mut dyn FnMut(&mut [f32])| {
        let seconds = best(|| run(black_box(&mut y)));
        println!("{name:30} {:9.2}", seconds * 1e9 / x.len() as f64);
    };
    show("relu", &mut |y| map(&x, y, |x| if x <= 0.0 { 0.0 } else { x }));
    show("add", &mut |y| zip(&x, &positive, y, |a, b| (a + b).canonical()));
    show("div", &mut |y| zip(&x, &positive, y, |a, b| (a / b).canonical()));
    show("max", &mut |y| zip(&x, &positive, y, Float::maximum));
    show("sqrt", &mut |y| map(&positive, y, |x| Float::sqrt(x).canonical()));
    show("floor", &mut |y| map(&x, y, |x| Float::floor(x).canonical()));
    for function in Transcendental::ALL {
        let x = if function == Transcendental::Log {
            &positive
        } else {
            &x
        };
        let name = format!("{function:?}").to_lowercase();
        show(&name, &mut |y| function.map(x, y));
        show(&format!("{name}, by its definition"), &mut |y| {
            function.define(x, y)
        });
    }
    show("elu", &mut |y| map(&x, y, |x| math::elu(x, 1.0)));
    show("hard swish", &mut |y| map(&x, y, math::hard_swish));
    show("square", &mut |y| map(&x, y, |x| math::pow(x, 2.0)));
    show("pow 2.5", &mut |y| map(&positive, y, |x| math::pow(x, 2.5)));
    let rows = ReduceShape {
        outer: 256,
        length: 256,
        inner: 1,
    };
    show("softmax, rows of 256", &mut |y| fast::softmax(&rows, &x, y));
    show("sum, rows of 256", &mut |y| {
        fast::reduce_sum(&rows, &x, &mut y[..256])
    });
    let columns = ReduceShape {
        outer: 1,
        length: 256,
        inner: 256,
    };
    show("sum, columns of 256", &mut |y| {
        fast::reduce_sum(&columns, &x, &mut y[..256])
    });
    show("softmax, columns of 256", &mut |y| fast::softmax(&columns, &x, y));
    let scale = numbers(256);
    show("layer norm, rows of 256", &mut |y| {
        fast::layer_norm(&x, &scale, Some(&scale), 1e-5, y, [&mut [], &mut []])
    });
    let axis = Axis {
        input: 64,
        output: 32,
        kernel: 2,
        stride: 2,
        ..Axis::UNIT
    };
    let pool = PoolShape {
        channels: 16,
        axes: [Axis::UNIT, axis, axis],
    };
    show("max pool 2x2/2 (per input)", &mut |y| {
        fast::max_pool(&pool, &x, &mut y[..16 * 32 * 32])
    });
    show("average pool 2x2/2", &mut |y| {
        fast::average_pool(&pool, false, &x, &mut y[..16 * 32 * 32])
    });
    show("global average, 256 of 256", &mut |y| {
        fast::global_average_pool(&x, 256, &mut y[..256])
    });
}

fn main() {
    // an instruction set may be named: sse2, avx2, avx512
    let wanted = std::env::args().nth(1);
    let named = |isa: &&Isa| wanted.as_deref() == Some(format!("{isa:?}").to_lowercase().as_str());
    force(Isa::available().iter().find(named).copied());
    println!("{:?}", Isa::current());
    products();
    convolutions();
    elements();
}
