//! What must hold for any bytes whatever, as a function of the bytes: shared by the seeded test and the fuzz target.

#![allow(dead_code, unreachable_pub, reason = "each binary uses its part")]

use synod_model::*;

/// Runs are tried up to this much, so that an input is done in milliseconds.
const MAX_MEMORY: u64 = 16 << 20;
const MAX_ARITHMETIC: u64 = 1 << 24;

/// Imports the bytes as an ONNX file without others beside it.
pub fn import_any(bytes: &[u8]) {
    import_beside(bytes, &NoExternalData);
}

/// Imports the bytes as an ONNX file. Whatever imports must load, import again to itself, and run alike on both arithmetics. Tells whether
/// it imports.
pub fn import_beside(bytes: &[u8], external: &dyn ExternalData) -> bool {
    let Ok(canonical) = import_onnx(bytes, external, &ImportOptions::default()) else {
        return false;
    };
    let model = Model::load(canonical.graph.clone(), canonical.weights.clone())
        .unwrap_or_else(|error| panic!("imports but does not load: {error}"));
    assert_eq!(model.id(), canonical.id());
    let beside = [(WEIGHTS_FILE.to_owned(), canonical.weights.clone())].into();
    let beside: std::collections::BTreeMap<_, _> = beside;
    let again = import_onnx(&canonical.graph, &beside, &ImportOptions::default());
    assert_eq!(
        again.as_ref(),
        Ok(&canonical),
        "importing the canonical form changes it"
    );
    run_any(&model);
    true
}

/// Loads the bytes as graph and weights.
pub fn load_any(graph: &[u8], weights: &[u8]) {
    if let Ok(model) = Model::load(graph.to_vec().into(), weights.to_vec().into()) {
        run_any(&model);
    }
}

/// Bounds runs whose work is not known before.
#[derive(Default)]
struct Budget {
    arithmetic: u64,
    nodes: u64,
}

impl Meter for Budget {
    fn charge(&mut self, _node: usize, work: &Work) -> Result<(), Stop> {
        self.nodes += 1;
        self.plan(work)
    }

    fn plan(&mut self, work: &Work) -> Result<(), Stop> {
        self.arithmetic = self
            .arithmetic
            .saturating_add(work.arithmetic)
            .saturating_add(work.bytes);
        if self.nodes > 1_000 || self.arithmetic > 4 * MAX_ARITHMETIC {
            Err(Stop)
        } else {
            Ok(())
        }
    }

    fn reserve(&mut self, _bytes: u64, total: u64) -> Result<(), Stop> {
        if total > 4 * MAX_MEMORY { Err(Stop) } else { Ok(()) }
    }
}

fn run_any(model: &Model) {
    run_on(model, |input, shape| {
        Tensor::zeros(input.dtype, shape).expect("the plan has accepted the shape")
    });
}

/// Runs a model at its largest shapes on both arithmetics, unless that is much work; gives the outputs, if all went well.
pub fn run_on(
    model: &Model,
    mut make: impl FnMut(&TensorSignature, &[usize]) -> Tensor,
) -> Option<Vec<Tensor>> {
    let shapes: Vec<_> = model
        .signature()
        .inputs
        .iter()
        .map(TensorSignature::max_shape)
        .collect();
    let bytes = |(input, shape): (&TensorSignature, &Shape)| {
        shape.iter().fold(input.dtype.size() as u64, |bytes, &size| {
            bytes.saturating_mul(size as u64)
        })
    };
    if model
        .signature()
        .inputs
        .iter()
        .zip(&shapes)
        .map(bytes)
        .any(|bytes| bytes > MAX_MEMORY)
    {
        return None;
    }
    let plan = match model.plan(&shapes) {
        Ok(plan) => plan,
        // Loading infers at these shapes; only a known value out of its range may show later.
        Err(PlanError::Node { .. }) => return None,
        Err(error) => panic!("loads but does not plan at its largest shapes: {error}"),
    };
    let total = plan.cost().total();
    if plan.cost().peak_memory > MAX_MEMORY || total.arithmetic > MAX_ARITHMETIC {
        return None;
    }
    let inputs: Vec<_> = model
        .signature()
        .inputs
        .iter()
        .zip(&shapes)
        .map(|(input, shape)| make(input, shape))
        .collect();
    let fast = plan.run(&inputs, &mut Budget::default());
    assert_eq!(
        fast,
        plan.run_reference(&inputs, &mut Budget::default()),
        "the two arithmetics differ on {inputs:?}"
    );
    let outputs = fast.ok()?;
    for (output, shape) in outputs.iter().zip(plan.cost().output_shapes.iter().flatten()) {
        assert_eq!(output.shape(), shape);
    }
    Some(outputs)
}

/// The most memory this process has ever held, where the system says so.
pub fn assert_memory_stayed_small() {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return;
    };
    let peak = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    let peak: u64 = peak.expect("Linux states the peak in kB");
    assert!(peak < 512 << 10, "the peak was {} MiB", peak >> 10);
}
