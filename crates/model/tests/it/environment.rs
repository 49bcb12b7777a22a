//! A process in which a library has changed how a thread rounds.
#![cfg(target_arch = "x86_64")]

use crate::build::*;
use synod_model::*;

/// MXCSR: exceptions masked, round to nearest, subnormals kept.
const DEFAULT: u32 = 0x1f80;
const DENORMALS_ARE_ZERO: u32 = 0x0040;
const FLUSH_TO_ZERO: u32 = 0x8000;
const ROUND_TO_ZERO: u32 = 0x6000;
const INEXACT_TRAPS: u32 = !0x1000;

/// Sets the register of this thread, and the default at its end.
struct Changed;

impl Changed {
    fn to(mxcsr: u32) -> Self {
        set(mxcsr);
        Changed
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        set(DEFAULT);
    }
}

fn set(mxcsr: u32) {
    // SAFETY: ldmxcsr reads the 32 bits of a live u32; no bit is set that the processor does not have.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack, preserves_flags)) }
}

/// x · 2^−20 and √x: the first is subnormal for the second input below, the second is inexact.
fn plan() -> Plan {
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["2"])
        .initializer("s", FLOAT, &[1], &9.536_743e-7_f32.to_le_bytes())
        .node("Mul", &["x", "s"], &["small"])
        .node("Sqrt", &["x"], &["root"])
        .output("small", FLOAT)
        .output("root", FLOAT);
    let canonical =
        import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default()).expect("the model is valid");
    let model = Model::load(canonical.graph, canonical.weights).expect("what imports loads");
    model.plan(&[vec![2]]).expect("the shapes fit")
}

#[test]
fn a_thread_that_rounds_otherwise_is_refused() {
    let plan = plan();
    let input = Tensor::from_slice(DType::F32, &[2], &[2.0_f32, 1e-35]).expect("two elements");
    let run = || plan.run(std::slice::from_ref(&input), &mut Unmetered);
    let before = run().expect("the default environment");
    assert_eq!(before[0].as_slice::<f32>()[1], 9.537e-42, "a subnormal result");
    for changed in [
        DEFAULT | FLUSH_TO_ZERO,
        DEFAULT | DENORMALS_ARE_ZERO,
        DEFAULT | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO,
        DEFAULT | ROUND_TO_ZERO,
        DEFAULT & INEXACT_TRAPS,
    ] {
        let (fast, reference) = {
            let _changed = Changed::to(changed);
            (
                run(),
                plan.run_reference(std::slice::from_ref(&input), &mut Unmetered),
            )
        };
        assert_eq!(fast, Err(RunError::FloatEnvironment), "MXCSR {changed:#x}");
        assert_eq!(reference, Err(RunError::FloatEnvironment), "MXCSR {changed:#x}");
    }
    assert_eq!(run().expect("the default again"), before);
}
