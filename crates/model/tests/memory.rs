//! What runs allocate: a warm one nothing, a cold one at most what the plan states, a loop the same however often it runs.

mod build;

use build::{random::Random, *};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use synod_model::*;

/// Counts what the thread allocates.
struct Counting;

thread_local! {
    /// Allocations so far, bytes held, and the most that were.
    static COUNTS: Cell<(u64, i64, i64)> = const { Cell::new((0, 0, 0)) };
}

fn count(allocations: u64, bytes: i64) {
    let (so_far, held, most) = COUNTS.get();
    let held = held + bytes;
    COUNTS.set((so_far + allocations, held, most.max(held)));
}

// SAFETY: everything is passed on to the system's allocator; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `f` allocated: how often, and how many bytes more than before were held at once.
fn allocated<R>(f: impl FnOnce() -> R) -> (u64, u64, R) {
    let (before, held, _) = COUNTS.get();
    COUNTS.set((before, held, held));
    let result = f();
    let (after, _, most) = COUNTS.get();
    (after - before, (most - held) as u64, result)
}

fn load(file: OnnxFile) -> Model {
    let canonical =
        import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default()).expect("the model is valid");
    Model::load(canonical.graph, canonical.weights).expect("what imports loads")
}

/// A small image network: convolutions with what follows them, a residual, pooling, a product.
fn network(random: &mut Random) -> OnnxFile {
    OnnxFile::new(14)
        .input("x", FLOAT, &["1", "3", "32", "32"])
        .floats("w1", &[24, 3, 3, 3], &random.floats(24 * 27))
        .floats("b1", &[24], &random.floats(24))
        .floats("w2", &[24, 1, 3, 3], &random.floats(24 * 9))
        .floats("w3", &[24, 24, 1, 1], &random.floats(24 * 24))
        .floats("scale", &[24, 1, 1], &random.floats(24))
        .floats("w4", &[24, 10], &random.floats(240))
        .floats("b4", &[10], &random.floats(10))
        .node_with("Conv", &["x", "w1", "b1"], &["a"], &[attr_ints("pads", &[1; 4])])
        .node("Relu", &["a"], &["b"])
        .node_with(
            "Conv",
            &["b", "w2"],
            &["c"],
            &[attr_ints("pads", &[1; 4]), attr_int("group", 24)],
        )
        .node("HardSwish", &["c"], &["d"])
        .node("Conv", &["d", "w3"], &["e"])
        .node("Mul", &["e", "scale"], &["f"])
        .node("Add", &["f", "b"], &["g"])
        .node("Relu", &["g"], &["h"])
        .node("GlobalAveragePool", &["h"], &["i"])
        .node("Flatten", &["i"], &["j"])
        .node("Gemm", &["j", "w4", "b4"], &["k"])
        .node("Softmax", &["k"], &["y"])
        .output("y", FLOAT)
}

#[test]
fn a_warm_run_allocates_nothing() {
    let mut random = Random(1);
    let model = load(network(&mut random));
    let shape = vec![1, 3, 32, 32];
    let plan = model.plan(std::slice::from_ref(&shape)).unwrap();
    let input = [Tensor::from_slice(DType::F32, &shape, &random.floats(3 * 32 * 32)).unwrap()];
    let mut outputs = Vec::new();
    plan.run_into(&input, &mut outputs, &mut Unmetered).unwrap();
    let first = outputs.clone();
    let (allocations, _, result) = allocated(|| plan.run_into(&input, &mut outputs, &mut Unmetered));
    assert_eq!(result, Ok(()));
    assert_eq!(allocations, 0);
    assert_eq!(outputs, first);
}

/// Bytes for lists that a run makes beside its tensors, on the stack's scale.
const LISTS: u64 = 4096;

#[test]
fn a_run_holds_at_most_what_its_plan_states() {
    let mut random = Random(2);
    let model = load(network(&mut random));
    let shape = vec![1, 3, 32, 32];
    let input = [Tensor::from_slice(DType::F32, &shape, &random.floats(3 * 32 * 32)).unwrap()];
    // what every thread keeps for kernels is there before
    let warm = model.plan(std::slice::from_ref(&shape)).unwrap();
    warm.run(&input, &mut Unmetered).unwrap();
    let plan = model.plan(std::slice::from_ref(&shape)).unwrap();
    let stated = plan.cost().peak_memory;
    let inputs = input[0].bytes().len() as u64;
    let (_, most, _) = allocated(|| plan.run(&input, &mut Unmetered).unwrap());
    assert!(
        inputs + most <= stated + LISTS,
        "{inputs} + {most} of {stated} bytes"
    );
    // the steps one by one need what is stated: the slots are full at the widest place
    let (_, most, _) = allocated(|| plan.run_reference(&input, &mut Unmetered).unwrap());
    assert!(inputs + most >= stated, "{inputs} + {most} of {stated} bytes");
    assert!(
        inputs + most <= stated + LISTS,
        "{inputs} + {most} of {stated} bytes"
    );
}

#[test]
fn a_loop_allocates_for_its_first_iterations_only() {
    let mut random = Random(3);
    let body = Graph::new()
        .inputs(&["i", "go", "s"])
        .outputs(&["go_on", "t", "r"])
        .node("Identity", &["go"], &["go_on"])
        .node("MatMul", &["s", "w"], &["p"])
        .node("Tanh", &["p"], &["q"])
        .node("Add", &["q", "s"], &["t"])
        .node("Softmax", &["t"], &["r"]);
    let looping = |times: i64, random: &mut Random| {
        let file = OnnxFile::new(13)
            .input("x", FLOAT, &["8", "64"])
            .floats("w", &[64, 64], &random.floats(64 * 64))
            .i64s("times", &[], &[times])
            .node_with(
                "Loop",
                &["times", "", "x"],
                &["y", "all"],
                &[body.clone().attribute("body")],
            )
            .output("y", FLOAT);
        load(file.output("all", FLOAT))
    };
    let input = [Tensor::from_slice(DType::F32, &[8, 64], &random.floats(512)).unwrap()];
    let count = |times: i64| {
        let plan = looping(times, &mut Random(4)).plan(&[vec![8, 64]]).unwrap();
        let mut outputs = Vec::new();
        plan.run_into(&input, &mut outputs, &mut Unmetered).unwrap();
        let (allocations, most, result) = allocated(|| plan.run_into(&input, &mut outputs, &mut Unmetered));
        assert_eq!(result, Ok(()));
        assert_eq!(plan.run_reference(&input, &mut Unmetered), Ok(outputs));
        let stated = plan.cost().peak_memory;
        assert!(most <= stated + LISTS, "{most} of {stated} bytes");
        allocations
    };
    let few = count(3);
    assert_eq!(few, count(300), "iterations use the memory of the first");
}

/// ONNX's code of u8.
const UINT8: i32 = 2;

/// Layers whose weights kernels pack: a product, one of a transposed matrix, one of bytes; and a table of rows that is read as it is.
fn layers(random: &mut Random) -> OnnxFile {
    let bytes: Vec<u8> = (0..256 * 256).map(|_| random.below(256) as u8).collect();
    let one = |value: f32| value.to_le_bytes();
    OnnxFile::new(17)
        .input("rows", INT64, &["batch"])
        .floats("table", &[300, 256], &random.floats(300 * 256))
        .floats("w1", &[256, 512], &random.floats(256 * 512))
        .floats("w2", &[256, 512], &random.floats(256 * 512))
        .initializer("w3", UINT8, &[256, 256], &bytes)
        .initializer("one", FLOAT, &[], &one(1.0))
        .initializer("small", FLOAT, &[], &one(0.25))
        .initializer("middle", UINT8, &[], &[128])
        .node("Gather", &["table", "rows"], &["a"])
        .node("MatMul", &["a", "w1"], &["b"])
        .node_with("Gemm", &["b", "w2"], &["c"], &[attr_int("transB", 1)])
        .node("QuantizeLinear", &["c", "one", "middle"], &["d"])
        .node(
            "QLinearMatMul",
            &["d", "one", "middle", "w3", "small", "middle", "one", "middle"],
            &["y"],
        )
        .output("y", UINT8)
}

#[test]
fn weights_are_held_once() {
    let mut random = Random(3);
    let options = ImportOptions {
        dims: [("batch".to_owned(), DimSetting::AtMost(16))].into(),
        ..ImportOptions::default()
    };
    let file = layers(&mut random).encode();
    let held = || COUNTS.get().1;
    let before = held();
    let canonical = import_onnx(&file, &NoExternalData, &options).expect("the model is valid");
    let weights = canonical.weights.len() as i64;
    let model = Model::load(canonical.graph, canonical.weights).expect("what imports loads");
    let plan = model.plan(&[vec![16]]).unwrap();
    let more = held() - before - weights;
    // a plan is some structures; its first run takes the memory that it states
    assert!(more < 100_000, "{more} bytes beside {weights} of weights");
    let rows: Vec<i64> = (0..16).map(|_| random.below(300) as i64).collect();
    let input = |rows: &[i64]| [Tensor::from_slice(DType::I64, &[rows.len()], rows).unwrap()];
    let run = |plan: &Plan, rows: &[i64]| plan.run(&input(rows), &mut Unmetered).unwrap();
    let whole = run(&plan, &rows);
    // other shapes read weights as they are, and so does the reference
    let one = model.plan(&[vec![1]]).unwrap();
    for (row, expected) in rows.iter().zip(whole[0].bytes().chunks(256)) {
        assert_eq!(run(&one, &[*row])[0].bytes(), expected);
    }
    let reference = plan.run_reference(&input(&rows), &mut Unmetered).unwrap();
    assert_eq!(reference, whole);
    let again = model.plan(&[vec![16]]).unwrap();
    assert_eq!(run(&again, &rows), whole);
}
