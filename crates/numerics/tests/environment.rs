//! Threads of the pool whose rounding a library has changed. A process of its own: the threads stay so.
#![cfg(target_arch = "x86_64")]

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use synod_numerics::fast::matrix::{PackedColumns, gemm_packed};
use synod_numerics::pool::{run, set_threads};
use synod_numerics::reference;
use synod_numerics::shape::Matrix;

#[test]
fn a_thread_that_flushes_subnormals_takes_no_work() {
    assert_eq!(set_threads(3), 3);
    let caller = std::thread::current().id();
    let changed = AtomicUsize::new(0);
    // every other thread changes its register; pieces wait so that each gets some
    run(64, &|_| {
        std::thread::sleep(std::time::Duration::from_millis(1));
        if std::thread::current().id() != caller {
            let mxcsr = 0x1f80_u32 | 0x8040;
            // SAFETY: ldmxcsr reads the 32 bits of a live u32; flush-to-zero and denormals-are-zero trap nothing.
            unsafe {
                std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack, preserves_flags));
            }
            changed.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(changed.load(Ordering::Relaxed) > 0, "another thread has worked");

    // each piece halves a number, which gives a subnormal; the threads that would give zero leave it to the caller
    let halves = Mutex::new(Vec::new());
    run(64, &|_| {
        let half = black_box(f32::MIN_POSITIVE) * 0.5;
        halves.lock().expect("no piece panics").push(half);
    });
    let halves = halves.into_inner().expect("no piece panics");
    assert_eq!(halves, vec![f32::from_bits(0x0040_0000); 64]);

    // and a product of subnormal terms, large enough to be shared out
    let (m, n, k) = (64, 256, 64);
    let a: Vec<f32> = (0..m * k).map(|i| 1e-20 * (1 + i % 7) as f32).collect();
    let b: Vec<f32> = (0..k * n).map(|i| 1e-22 * (1 + i % 5) as f32).collect();
    let (a, b) = (Matrix::row_major(&a, k), Matrix::row_major(&b, n));
    let (mut expected, mut out) = (vec![0.0; m * n], vec![0.0; m * n]);
    reference::gemm(m, n, k, a, b, &mut expected);
    gemm_packed(m, a, &PackedColumns::new(k, n, b), &mut out);
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert!(expected.iter().all(|x| x.is_subnormal()));
    assert_eq!(bits(&out), bits(&expected));
}
