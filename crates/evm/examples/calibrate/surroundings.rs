//! What a prediction pays for beside its nodes: loading, planning, hashing, numbers in and out, and the call itself.

use crate::{
    Measured,
    build::{FLOAT, OnnxFile, attr_int, attr_ints},
    clock,
    world::{Tx, World, run},
};
use alloy_primitives::{Address, I256, keccak256};
use alloy_sol_types::SolCall;
use synod_evm::{
    addresses::PREDICT,
    fixed::Scale,
    gas,
    interface::IPredict,
    manifest::{INIT_CODE_PREFIX, chunk_size},
};
use synod_model::{CanonicalModel, DType, ImportOptions, Model, NoExternalData, Tensor, import_onnx};

/// Chunks of the shipped chain.
const CHUNK: usize = chunk_size(128 << 10);

fn measured(subject: &str, case: impl Into<String>, gas: u64, work: impl FnMut()) -> Measured {
    let case = case.into();
    let nanoseconds = clock::nanoseconds(work);
    eprintln!("{subject} {case}: {nanoseconds:.0} ns, {gas} gas");
    Measured {
        subject: subject.into(),
        case,
        gas,
        nanoseconds,
        work: None,
    }
}

fn canonical(file: OnnxFile) -> CanonicalModel {
    import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default())
        .expect("a model of this file's making")
}

/// Layers `h = h · Wᵀ` of `width` units with `rows` rows, as PyTorch exports them.
fn layers(count: usize, width: usize, rows: usize) -> CanonicalModel {
    let rows = rows.to_string();
    let mut file = OnnxFile::new(18).input("h0", FLOAT, &[&rows, &width.to_string()]);
    let weights: Vec<f32> = (0..width * width).map(|i| (i % 251) as f32 * 1e-3).collect();
    for layer in 0..count {
        let name = format!("w{layer}");
        file = file.floats(&name, &[width as i64; 2], &weights);
        let (from, to) = (format!("h{layer}"), format!("h{}", layer + 1));
        file = file.node_with("Gemm", &[&from, &name], &[&to], &[attr_int("transB", 1)]);
    }
    canonical(file.output(&format!("h{count}"), FLOAT))
}

/// A chain of `count` nodes on one element with the shortest names: the most nodes for the fewest bytes.
fn chain(count: usize) -> CanonicalModel {
    let name = |index: usize| format!("{index:x}");
    let mut file = OnnxFile::new(18).input(&name(0), FLOAT, &["1"]);
    for index in 0..count {
        file = file.node("Relu", &[&name(index)], &[&name(index + 1)]);
    }
    canonical(file.output(&name(count), FLOAT))
}

/// Many convolutions of one image and one set of weights side by side.
fn convolutions(count: usize, input: &[usize], weights: &[usize], pads: &[i64]) -> CanonicalModel {
    let sizes: Vec<String> = input.iter().map(usize::to_string).collect();
    let sizes: Vec<&str> = sizes.iter().map(String::as_str).collect();
    let dims: Vec<i64> = weights.iter().map(|&dim| dim as i64).collect();
    let mut file =
        OnnxFile::new(18)
            .input("x", FLOAT, &sizes)
            .floats("w", &dims, &vec![0.5; weights.iter().product()]);
    let name = |index: usize| format!("y{index}");
    for index in 0..count {
        file = file.node_with("Conv", &["x", "w"], &[&name(index)], &[attr_ints("pads", pads)]);
    }
    let names: Vec<String> = (0..count).map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    canonical(file.node("Sum", &names, &["sum"]).output("sum", FLOAT))
}

/// Loading and planning of one model.
fn model(cases: &mut Vec<Measured>, name: &str, canonical: &CanonicalModel) {
    let (graph, weights) = (canonical.graph.len(), canonical.weights.len());
    let chunks = graph.div_ceil(CHUNK) + weights.div_ceil(CHUNK);
    let load = gas::load(graph as u64, weights as u64, chunks as u64);
    cases.push(measured("load", name, load, || {
        // The chunks' bytes are joined, then checked and compiled.
        let join = |bytes: &[u8]| {
            bytes
                .chunks(CHUNK)
                .fold(Vec::new(), |mut joined: Vec<u8>, chunk| {
                    joined.extend_from_slice(chunk);
                    joined
                })
        };
        let loaded = Model::load(join(&canonical.graph).into(), join(&canonical.weights).into());
        assert!(loaded.is_ok());
    }));
    // a model keeps what it found for the next plan: of the first plan every one is another model's
    let fresh = || Model::load(canonical.graph.clone(), canonical.weights.clone()).expect("it was imported");
    let model = fresh();
    let shapes = model.signature().max_shapes();
    let charged = gas::planning(&model.planning_work());
    let mut models: Vec<Model> = (0..clock::ROUNDS).map(|_| fresh()).collect();
    let nanoseconds = clock::each(&mut models, |model| assert!(model.plan(&shapes).is_ok()));
    // loading pays for bringing weights into the kernels' order, which the first plan does
    let loading = cases.last().map_or(0.0, |load| load.nanoseconds);
    cases.push(Measured {
        subject: "load, and plan for the first time".into(),
        case: name.into(),
        gas: load.saturating_add(charged),
        nanoseconds: loading + nanoseconds,
        work: None,
    });
    if weights < 8 << 20 {
        cases.push(Measured {
            subject: "plan for the first time".into(),
            case: name.into(),
            gas: charged,
            nanoseconds,
            work: None,
        });
    }
    cases.push(measured("plan", name, charged, || {
        assert!(model.plan(&shapes).is_ok());
    }));
}

/// Memory that nobody used before: mapped, zeroed, touched, given back. Sizes that an allocator does not keep.
fn memory(cases: &mut Vec<Measured>) {
    const PAGE: usize = 4096;
    for mebibytes in [64usize, 512] {
        let size = mebibytes << 20;
        let charged = gas::memory(size as u64);
        cases.push(measured("memory", format!("{mebibytes} MiB"), charged, || {
            let mut bytes = vec![0u8; size];
            bytes.chunks_mut(PAGE).for_each(|page| page[0] = 1);
            std::hint::black_box(&bytes);
        }));
    }
}

fn numbers(cases: &mut Vec<Measured>) {
    for (dtype, count) in [
        (DType::F32, 16),
        (DType::F32, 1 << 20),
        (DType::I8, 1 << 20),
        (DType::F64, 1 << 18),
    ] {
        let bytes = vec![0x3f; count * dtype.size()];
        let charged = 2 * gas::elements(bytes.len() as u64);
        cases.push(measured(
            "packed elements in and out",
            format!("{count} of {dtype}"),
            charged,
            || {
                let finite = bytes
                    .chunks_exact(2)
                    .all(|pair| u16::from_be_bytes([pair[0], pair[1]]) & 0x7f80 != 0x7f80);
                let tensor = Tensor::from_be_bytes(dtype, &[count], &bytes);
                let length = tensor.map(|tensor| tensor.to_be_bytes().len());
                assert!(finite && length == Ok(bytes.len()));
            },
        ));
    }
    for (dtype, decimals) in [
        (DType::F32, 18),
        (DType::F64, 76),
        (DType::I64, 6),
        (DType::F16, 0),
    ] {
        let scale = Scale::new(dtype, decimals).expect("at most 76 decimals");
        let values: Vec<I256> = (1..=1000i64)
            .map(|i| I256::try_from(i * 15).expect("it fits"))
            .collect();
        let charged = 2 * gas::fixed_values(values.len() as u64);
        cases.push(measured(
            "fixed-point values in and out",
            format!("1000 as {dtype}, {decimals} decimals"),
            charged,
            || {
                let mut packed = Vec::new();
                for value in &values {
                    assert!(scale.encode(*value, &mut packed).is_ok());
                }
                for element in packed.chunks_exact(dtype.size()) {
                    assert!(scale.decode(element).is_ok());
                }
            },
        ));
    }
}

/// Whole calls through the EVM, less what the transaction around them costs.
fn calls(cases: &mut Vec<Measured>) {
    let world = World::with_models();
    let data = run("test/dense", &[1.0, 2.0, 3.0]).abi_encode();
    let around = clock::nanoseconds(|| {
        assert!(
            world
                .look(&Tx::call(Address::repeat_byte(0x77), data.clone()))
                .result
                .is_success()
        );
    });
    let quote = world.predict(&IPredict::quoteCall {
        model: "test/dense".into(),
    });
    let resolve = IPredict::resolveCall {
        model: "test/dense".into(),
    }
    .abi_encode();
    let resolution = quote.transfer - 2 * gas::elements(12);
    for (name, call, charged) in [
        ("resolve", &resolve, resolution),
        ("run, a network of three nodes", &data, quote.total),
    ] {
        let mut case = measured("a whole call, database in memory", name, charged, || {
            assert!(world.look(&Tx::call(PREDICT, call.clone())).result.is_success());
        });
        case.nanoseconds -= around;
        cases.push(case);
    }
}

/// Measures all of it.
pub(crate) fn measure() -> Vec<Measured> {
    let mut cases = Vec::new();
    model(&mut cases, "1 layer of 64", &layers(1, 64, 1));
    model(
        &mut cases,
        "4 layers of 1024, one row (16 MiB)",
        &layers(4, 1024, 1),
    );
    model(
        &mut cases,
        "4 layers of 1024, eight rows (16 MiB)",
        &layers(4, 1024, 8),
    );
    model(&mut cases, "1 node", &chain(1));
    model(&mut cases, "10,000 nodes", &chain(10_000));
    // shapes of which the kernels want to know much in advance
    for (name, input, weights, pads) in [
        (
            "1,000 convolutions of 65,536 terms",
            &[1, 64, 32, 32][..],
            &[1, 64, 32, 32][..],
            &[0; 4][..],
        ),
        (
            "1,000 convolutions of 65,536 channels",
            &[1, 65_536, 1, 1],
            &[16, 65_536, 1, 1],
            &[0; 4],
        ),
        (
            "1,000 convolutions of 16 × 16 × 16 positions, 5 × 5 × 5 taps",
            &[1, 1, 16, 16, 16],
            &[1, 1, 5, 5, 5],
            &[2; 6],
        ),
        (
            "1,000 convolutions of 3 × 3 taps, 64 × 112 × 112",
            &[1, 4, 112, 112],
            &[64, 4, 3, 3],
            &[1; 4],
        ),
        (
            "1,000 depthwise rows of 200,000",
            &[1, 1, 1, 200_000],
            &[1, 1, 1, 3],
            &[0, 1, 0, 1],
        ),
    ] {
        model(&mut cases, name, &convolutions(1_000, input, weights, pads));
    }
    let chunk = vec![7; CHUNK];
    cases.push(measured(
        "validate a chunk",
        "address hash",
        gas::validate(CHUNK as u64),
        || {
            let code = [&INIT_CODE_PREFIX, chunk.as_slice()].concat();
            assert_ne!(keccak256(&code), keccak256([]));
        },
    ));
    memory(&mut cases);
    numbers(&mut cases);
    calls(&mut cases);
    cases
}
