//! Measures the kernels for bytes on the layers of networks: billions of operations (two for a product) in a second, and the
//! share of what the processor could do.
//!
//!     cargo run --release -p synod-numerics --example throughput_int8 [UNIT] [THREADS]
//!
//! UNIT is portable, avx2, avx-vnni, avx512-vnni or amx. The best of many short runs, so that a busy machine shows what an idle one
//! would; the peak is measured in the same way, by the same instruction on registers alone.

use std::hint::black_box;
use std::time::Instant;

use synod_numerics::fast::integer::{
    ConvOutput, GemmOutput, Layout, Operand, PackedBytes, PackedFilters, Unit, conv_columns, force,
    gemm_columns, integer_conv, integer_conv_scratch, integer_gemm, integer_gemm_scratch,
};
use synod_numerics::pool;
use synod_numerics::shape::{Axis, ConvShape, Matrix};

/// Seconds of the fastest of many runs.
fn best(mut run: impl FnMut()) -> f64 {
    run();
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    while begin.elapsed().as_secs_f64() < 0.25 {
        let start = Instant::now();
        run();
        let seconds = start.elapsed().as_secs_f64();
        if seconds < best {
            best = seconds;
        }
    }
    best
}

/// Operations a second of `vpdpbusd` (or of `vpmaddwd` and an addition) on registers.
#[cfg(target_arch = "x86_64")]
fn peak(unit: Unit) -> f64 {
    use std::arch::x86_64::*;
    const ROUNDS: usize = 20_000;
    macro_rules! chains {
        ($features:literal, $vector:ty, $zero:ident, $ones:expr, $step:expr) => {{
            #[target_feature(enable = $features)]
            fn run() -> [$vector; 12] {
                let (x, w) = (black_box($ones), black_box($ones));
                let mut sums = [$zero(); 12];
                for _ in 0..ROUNDS {
                    for sum in &mut sums {
                        *sum = $step(*sum, x, w);
                    }
                }
                sums
            }
            best(|| {
                // SAFETY: the unit is available.
                black_box(unsafe { run() });
            })
        }};
    }
    if unit == Unit::Amx {
        let rounds = ROUNDS / 10;
        let seconds = best(|| {
            // SAFETY: the unit is available.
            unsafe { tiles(rounds) };
        });
        return 2.0 * (4 * rounds * 16 * 16 * 64) as f64 / seconds;
    }
    let (seconds, products) = match unit {
        Unit::Avx512Vnni => (
            chains!(
                "avx512f,avx512vnni",
                __m512i,
                _mm512_setzero_si512,
                _mm512_set1_epi8(1),
                _mm512_dpbusd_epi32
            ),
            64,
        ),
        Unit::AvxVnni => (
            chains!(
                "avx2,avxvnni",
                __m256i,
                _mm256_setzero_si256,
                _mm256_set1_epi8(1),
                _mm256_dpbusd_avx_epi32
            ),
            32,
        ),
        _ => (
            chains!(
                "avx2",
                __m256i,
                _mm256_setzero_si256,
                _mm256_set1_epi8(1),
                |sum, x, w| { _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)) }
            ),
            16,
        ),
    };
    2.0 * (12 * ROUNDS * products) as f64 / seconds
}

/// Four products of whole tiles in each round.
///
/// # Safety
/// The processor must have AMX, and the process the right to use it.
#[cfg(target_arch = "x86_64")]
unsafe fn tiles(rounds: usize) {
    #[repr(align(64))]
    struct Configuration([u8; 64]);
    let mut all = Configuration([0; 64]);
    all.0[0] = 1;
    for tile in 0..8 {
        (all.0[16 + 2 * tile], all.0[48 + tile]) = (64, 16);
    }
    // SAFETY: by the contract; the tiles are given back at the end.
    unsafe {
        std::arch::asm!(
            "ldtilecfg [{all}]",
            "2:",
            "tdpbusd tmm0, tmm4, tmm6",
            "tdpbusd tmm1, tmm4, tmm7",
            "tdpbusd tmm2, tmm5, tmm6",
            "tdpbusd tmm3, tmm5, tmm7",
            "dec {rounds}",
            "jnz 2b",
            "tilerelease",
            all = in(reg) &raw const all,
            rounds = inout(reg) rounds => _,
            options(nostack, readonly),
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn peak(_: Unit) -> f64 {
    f64::NAN
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7919 % 251) as u8).collect()
}

fn main() {
    let argument = std::env::args().nth(1).unwrap_or_default();
    match argument.as_str() {
        "portable" => force(Some(Unit::Portable)),
        "avx2" => force(Some(Unit::Avx2)),
        "avx-vnni" => force(Some(Unit::AvxVnni)),
        "avx512-vnni" => force(Some(Unit::Avx512Vnni)),
        _ => {}
    }
    let threads = std::env::args()
        .nth(2)
        .and_then(|threads| threads.parse().ok())
        .unwrap_or(1);
    let threads = pool::set_threads(threads);
    let unit = Unit::current();
    let peak = peak(unit);
    println!(
        "{unit:?}, {threads} thread(s), peak of one {:.0} Gop/s",
        peak / 1e9
    );
    let of = Operand {
        zero: 128,
        signed: false,
    };
    println!("\nconvolutions                 Gop/s   share        µs   from and to channels first");
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
        ("7x7/2 3 > 64 @224", 1, 3, 64, 224, 7, 2),
        ("3x3 64 > 64 @56", 1, 64, 64, 56, 3, 1),
        ("3x3/2 64 > 128 @56", 1, 64, 128, 56, 3, 2),
        ("3x3 128 > 128 @28", 1, 128, 128, 28, 3, 1),
        ("3x3 256 > 256 @14", 1, 256, 256, 14, 3, 1),
        ("3x3 512 > 512 @7", 1, 512, 512, 7, 3, 1),
        ("1x1 64 > 64 @56", 1, 64, 64, 56, 1, 1),
        ("1x1 64 > 256 @56", 1, 64, 256, 56, 1, 1),
        ("1x1 256 > 64 @56", 1, 256, 64, 56, 1, 1),
        ("1x1 1024 > 256 @14", 1, 1024, 256, 14, 1, 1),
        ("1x1 512 > 2048 @7", 1, 512, 2048, 7, 1, 1),
        ("1x1/2 256 > 512 @56", 1, 256, 512, 56, 1, 2),
        ("1x1 16 > 96 @112", 1, 16, 96, 112, 1, 1),
        ("1x1 144 > 24 @56", 1, 144, 24, 56, 1, 1),
        ("1x1 960 > 160 @7", 1, 960, 160, 7, 1, 1),
        ("depthwise 3x3 144 @56", 144, 1, 1, 56, 3, 1),
        ("depthwise 3x3/2 96 @112", 96, 1, 1, 112, 3, 2),
        ("depthwise 3x3 960 @7", 960, 1, 1, 7, 3, 1),
    ] {
        let axes = [Axis::UNIT, axis(size, kernel, stride), axis(size, kernel, stride)];
        let shape = ConvShape {
            batch: 1,
            groups,
            in_channels,
            out_channels,
            axes,
        };
        let x = bytes(groups * in_channels * shape.input_size());
        let w: Vec<i8> = bytes(groups * out_channels * shape.terms())
            .iter()
            .map(|&w| w as i8)
            .collect();
        let filters = PackedFilters::kept(&shape, &w);
        let columns = conv_columns(&shape);
        let (mut starts, mut zeros, factors) = (vec![0; columns], vec![0; columns], vec![1e-4; columns]);
        let prepared = filters.prepare(&shape, of, &[0], None, &mut starts, &mut zeros);
        let mut out = vec![0; groups * out_channels * shape.output_size()];
        let mut scratch = vec![0; integer_conv_scratch(&shape)];
        let mut time = |from: Layout, to: Layout| {
            best(|| {
                let output = ConvOutput::Bytes {
                    out: black_box(&mut out),
                    layout: to,
                    factors: &factors,
                    of,
                };
                integer_conv(&shape, &x, of, from, &filters, prepared, output, &mut scratch);
            })
        };
        let last = time(Layout::ChannelsLast, Layout::ChannelsLast);
        let first = time(Layout::ChannelsFirst, Layout::ChannelsFirst);
        let operations = 2.0 * (groups * out_channels * shape.output_size() * shape.terms()) as f64;
        println!(
            "{name:25} {:9.1} {:5.0} % {:9.1} {:11.1}",
            operations / last / 1e9,
            100.0 * operations / last / peak / threads as f64,
            last * 1e6,
            first * 1e6,
        );
    }
    println!("\nmatrix products              Gop/s   share        µs");
    for (m, n, k) in [
        (1024, 1024, 1024),
        (128, 384, 384),
        (128, 1536, 384),
        (128, 384, 1536),
        (64, 256, 784),
        (1, 1000, 512),
        (1, 256, 784),
    ] {
        let (a, b) = (bytes(m * k), bytes(k * n));
        let b: Vec<i8> = b.iter().map(|&b| b as i8).collect();
        let packed = PackedBytes::new(k, n, Matrix::row_major(&b, n));
        let columns = gemm_columns(n);
        let (mut starts, mut zeros, factors) = (vec![0; columns], vec![0; columns], vec![1e-4; columns]);
        let prepared = packed.prepare(of, &[0], None, &mut starts, &mut zeros);
        let mut out = vec![0; m * n];
        let mut scratch = vec![0; integer_gemm_scratch(k)];
        let seconds = best(|| {
            let output = GemmOutput::Bytes {
                out: black_box(&mut out),
                factors: &factors,
                of,
            };
            integer_gemm(m, &a, of, None, &packed, prepared, output, &mut scratch);
        });
        let operations = 2.0 * (m * n * k) as f64;
        println!(
            "{:25} {:9.1} {:5.0} % {:9.1}",
            format!("{m} x {n} x {k}"),
            operations / seconds / 1e9,
            100.0 * operations / seconds / peak / threads as f64,
            seconds * 1e6,
        );
    }
}
