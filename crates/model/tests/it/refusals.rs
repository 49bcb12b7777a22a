//! What is wrong with a file is said in one line that names it, and nothing panics.

use crate::build::*;
use std::collections::BTreeMap;
use synod_model::*;

fn import(file: &[u8]) -> Result<CanonicalModel, ImportError> {
    import_onnx(file, &NoExternalData, &ImportOptions::default())
}

fn refusal(file: OnnxFile) -> String {
    import(&file.encode())
        .expect_err("the file is refused")
        .to_string()
}

fn small() -> OnnxFile {
    OnnxFile::new(13)
        .input("x", FLOAT, &["1", "2"])
        .floats("W", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
        .i64s("to", &[1], &[-1])
        .node("MatMul", &["x", "W"], &["h"])
        .node("Reshape", &["h", "to"], &["y"])
        .output("y", FLOAT)
}

fn dims(settings: &[(&str, DimSetting)]) -> ImportOptions {
    ImportOptions {
        dims: settings
            .iter()
            .map(|(name, setting)| ((*name).to_owned(), *setting))
            .collect(),
        ..ImportOptions::default()
    }
}

#[test]
fn what_is_not_onnx_is_refused() {
    for bytes in [
        &b""[..],
        b"\x89PNG\r\n",
        b"PK\x03\x04",
        b"{\"model\": 1}",
        &[0xff; 64],
        &[0; 64],
    ] {
        let error = import(bytes).unwrap_err().to_string();
        assert!(
            error.contains("not an ONNX file") || error.contains("imports no opset"),
            "{bytes:?}: {error}"
        );
    }
}

#[test]
fn a_file_truncated_anywhere_is_refused() {
    let file = small().encode();
    import(&file).unwrap();
    for length in 0..file.len() {
        assert!(
            import(&file[..length]).is_err(),
            "accepted with {length} of {} bytes",
            file.len()
        );
    }
    let canonical = import(&file).unwrap();
    for length in 0..canonical.graph.len() {
        assert!(Model::load(canonical.graph.slice(..length), canonical.weights.clone()).is_err());
    }
    for length in 0..canonical.weights.len() {
        assert!(Model::load(canonical.graph.clone(), canonical.weights.slice(..length)).is_err());
    }
}

#[test]
fn every_flipped_bit_of_a_canonical_graph_is_another_model_or_refused() {
    let canonical = import(&small().encode()).unwrap();
    let id = canonical.id();
    for bit in 0..canonical.graph.len() * 8 {
        let mut graph = canonical.graph.to_vec();
        graph[bit / 8] ^= 1 << (bit % 8);
        if let Ok(model) = Model::load(graph.into(), canonical.weights.clone()) {
            assert_ne!(model.id(), id);
        }
    }
}

#[test]
fn unknown_operators_domains_and_opsets_are_named() {
    let unknown = small().node("ImageDecoder", &["h"], &["z"]).output("z", FLOAT);
    assert_eq!(
        refusal(unknown),
        "node 2 (ImageDecoder `z`): the operator is not supported (opset 13)"
    );
    let foreign = node("com.microsoft", "Inverse", &["h"], &["z"], &[]);
    assert_eq!(
        refusal(small().raw(&field(1, &foreign))),
        "node 2 (Inverse `z`) is of domain `com.microsoft`: only the operators of ai.onnx and ai.onnx.ml are supported, and \
         some of com.microsoft"
    );
    let fused = |attribute: &[u8]| {
        let names = [
            field(1, b"h"),
            field(1, b"h"),
            field(2, b"z"),
            field(4, b"FusedMatMul"),
        ]
        .concat();
        let node = [names, attribute.to_vec(), field(7, b"com.microsoft")].concat();
        refusal(small().raw(&field(1, &node)))
    };
    assert_eq!(
        fused(&field(5, &attr_int("transBatchA", 1))),
        "node 2 (FusedMatMul `z`) of com.microsoft cannot be written in ONNX's operators: transBatchA and transBatchB are not \
         supported"
    );
    assert_eq!(
        fused(&field(5, &attr_int("transC", 1))),
        "node 2 (FusedMatMul `z`) of com.microsoft cannot be written in ONNX's operators: attribute `transC` is not known"
    );
    let relu = |opset| {
        OnnxFile::new(opset)
            .input("x", FLOAT, &["1"])
            .node("Relu", &["x"], &["y"])
            .output("y", FLOAT)
    };
    assert_eq!(
        refusal(relu(99)),
        "opset 99 of ai.onnx is not supported: 1 to 28 are"
    );
    assert_eq!(
        refusal(relu(-1)),
        "opset -1 of ai.onnx is not supported: 1 to 28 are"
    );
    assert_eq!(
        refusal(relu(5)),
        "node 0 (Relu `y`): not supported at opset 5: supported from opset 6"
    );
}

/// What the chain loads has ONNX's operators alone: nothing is inlined there, where only the bytes that are read are paid.
#[test]
fn calls_are_not_inlined_where_a_model_is_loaded() {
    let call = node("com.microsoft", "Gelu", &["h"], &["z"], &[]);
    let file = small().raw(&field(1, &call)).encode();
    import(&file).expect("the importer inlines the call");
    let refused = Model::load(file.into(), Vec::new().into()).expect_err("the loader does not");
    assert!(
        refused.to_string().contains("is of domain `com.microsoft`"),
        "{refused}"
    );
}

#[test]
fn attributes_are_never_ignored() {
    let with = |attribute| {
        OnnxFile::new(13)
            .input("x", FLOAT, &["1", "2"])
            .node_with("Flatten", &["x"], &["y"], &[attribute])
            .output("y", FLOAT)
    };
    assert_eq!(
        refusal(with(attr_int("axes", 1))),
        "node 0 (Flatten `y`): attribute `axes` is not part of this operator's version 13"
    );
    assert_eq!(
        refusal(with(attr_ints("axis", &[1]))),
        "node 0 (Flatten `y`): attribute `axis` should be an int, found ints"
    );
    assert_eq!(
        refusal(with(attr_graph("then_branch", &[]))),
        "node 0 (Flatten `y`): attribute `then_branch` is not part of this operator's version 13"
    );
    let twice = OnnxFile::new(13)
        .input("x", FLOAT, &["1", "2"])
        .node_with(
            "Flatten",
            &["x"],
            &["y"],
            &[attr_int("axis", 1), attr_int("axis", 0)],
        )
        .output("y", FLOAT);
    assert_eq!(
        refusal(twice),
        "node 0 (Flatten `y`): attribute `axis` is given twice"
    );
}

#[test]
fn a_free_dimension_is_named_with_the_option_that_settles_it() {
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["batch", "", "3"])
        .node("Relu", &["x"], &["y"])
        .output("y", FLOAT)
        .encode();
    let error = |options: ImportOptions| {
        import_onnx(&file, &NoExternalData, &options)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(ImportOptions::default()),
        "dimension 0 of input `x` is free: pin it with --dim 'batch=SIZE' or bound it with --dim 'batch<=BOUND'"
    );
    assert_eq!(
        error(dims(&[("batch", DimSetting::Pin(1))])),
        "dimension 1 of input `x` is free: pin it with --dim 'x.1=SIZE' or bound it with --dim 'x.1<=BOUND'"
    );
    let settled = [("batch", DimSetting::Pin(1)), ("x.1", DimSetting::AtMost(8))];
    import_onnx(&file, &NoExternalData, &dims(&settled)).unwrap();
    let more = [settled[0], settled[1], ("height", DimSetting::Pin(1))];
    assert_eq!(
        error(dims(&more)),
        "no input has a free dimension `height`; free are: x.1"
    );
}

#[test]
fn a_bound_can_be_tightened_but_not_loosened() {
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["n"])
        .node("Relu", &["x"], &["y"])
        .output("y", FLOAT)
        .encode();
    let first = import_onnx(&file, &NoExternalData, &dims(&[("n", DimSetting::AtMost(8))])).unwrap();
    let again = |setting| import_onnx(&first.graph, &NoExternalData, &dims(&[("n", setting)]));
    again(DimSetting::AtMost(4)).unwrap();
    again(DimSetting::Pin(8)).unwrap();
    assert_eq!(
        again(DimSetting::AtMost(9)).unwrap_err().to_string(),
        "--dim 'n<=9' is above the bound 8 that the model states"
    );
}

#[test]
fn cycles_and_names_are_checked() {
    let cycle = OnnxFile::new(13)
        .input("x", FLOAT, &["1"])
        .node("Add", &["x", "b"], &["a"])
        .node("Relu", &["a"], &["b"])
        .output("b", FLOAT);
    assert_eq!(refusal(cycle), "the graph has a cycle through node 0 (Add `a`)");
    assert_eq!(
        refusal(small().node("Relu", &["x"], &["h"])),
        "`h` is defined twice"
    );
    assert_eq!(
        refusal(small().node("Relu", &["x"], &["W"])),
        "`W` is defined twice"
    );
    assert_eq!(refusal(small().floats("W", &[1], &[1.0])), "`W` is defined twice");
    assert_eq!(
        refusal(small().node("Relu", &["nowhere"], &["z"])),
        "node 2 (Relu `z`) reads `nowhere`, which nothing defines"
    );
    assert_eq!(
        refusal(small().output("q", FLOAT)),
        "output `q` is not computed by any node"
    );
    let none = OnnxFile::new(13)
        .input("x", FLOAT, &["1"])
        .node("Relu", &["x"], &["y"]);
    assert_eq!(refusal(none), "the graph has no outputs");
}

#[test]
fn huge_and_negative_dimensions_are_refused() {
    let relu = |dims: &[&str]| {
        OnnxFile::new(13)
            .input("x", FLOAT, dims)
            .node("Relu", &["x"], &["y"])
            .output("y", FLOAT)
    };
    assert_eq!(refusal(relu(&["-2", "2"])), "`x` has the negative dimension -2");
    assert_eq!(
        refusal(relu(&["9223372036854775807", "9223372036854775807"])),
        "input `x`: a f32 tensor of shape [9223372036854775807, 9223372036854775807] is above the limit of \
         2147483648 bytes"
    );
    assert!(refusal(relu(&["0", "9223372036854775807"])).contains("is above the limit"));
    assert_eq!(refusal(relu(&["1"; 9])), "`x` has 9 dimensions; the limit is 8");
    // What some exporters mean by -1 and "?": free, each by itself.
    for unknown in ["-1", "?"] {
        let error = refusal(relu(&[unknown, unknown]));
        assert!(
            error.starts_with("dimension 0 of input `x` is free: pin it with --dim 'x.0=SIZE'"),
            "{error}"
        );
    }
    let weights = |dims: &[i64]| {
        OnnxFile::new(13)
            .input("x", FLOAT, &["1"])
            .floats("W", dims, &[1.0])
            .node("Add", &["x", "W"], &["y"])
            .output("y", FLOAT)
    };
    assert!(refusal(weights(&[-1])).contains("dimension -1 of [-1] is negative"));
    assert!(refusal(weights(&[i64::MAX, i64::MAX])).contains("is above the limit"));
    assert_eq!(
        refusal(weights(&[2])),
        "tensor `W`: f32 tensor of shape [2] needs 8 bytes, got 4"
    );
    // A small file that computes a large tensor.
    let expand = OnnxFile::new(13)
        .input("x", FLOAT, &["1"])
        .i64s("to", &[2], &[1 << 20, 1 << 20])
        .node("Expand", &["x", "to"], &["y"])
        .output("y", FLOAT);
    assert!(refusal(expand).contains("is above the limit"));
}

#[test]
fn shapes_that_depend_on_data_need_a_declared_rank() {
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["4"])
        .input("to", INT64, &["2"])
        .node("Reshape", &["x", "to"], &["y"]);
    assert_eq!(
        refusal(file.clone().output("y", FLOAT)),
        "the shape of output `y` depends on the inputs' values, and the file does not declare even its number of dimensions"
    );
    import(&file.output_of("y", FLOAT, &["rows", "columns"]).encode()).unwrap();
}

#[test]
fn external_data_must_be_there_and_fit() {
    let external = |length: &str| {
        let entry = |key: &str, value: &str| {
            field(
                13,
                &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
            )
        };
        let tensor = [
            int(1, 2),
            int(2, FLOAT.into()),
            field(8, b"W"),
            entry("location", "w.data"),
            entry("offset", "4"),
            entry("length", length),
            int(14, 1),
        ]
        .concat();
        OnnxFile::new(13)
            .input("x", FLOAT, &["2"])
            .raw(&field(5, &tensor))
            .node("Add", &["x", "W"], &["y"])
            .output("y", FLOAT)
            .encode()
    };
    let files = |length: usize| -> BTreeMap<String, bytes::Bytes> {
        [("w.data".to_owned(), vec![0; length].into())].into()
    };
    let with = |file: &[u8], length| import_onnx(file, &files(length), &ImportOptions::default());
    with(&external("8"), 12).unwrap();
    let message = |result: Result<CanonicalModel, ImportError>| result.unwrap_err().to_string();
    assert_eq!(
        message(with(&external("8"), 11)),
        "external data of tensor `W`: `w.data` has 11 bytes, 12 are needed"
    );
    assert_eq!(
        message(with(&external("9"), 20)),
        "external data of tensor `W`: length is 9, type and shape need 8 bytes"
    );
    assert_eq!(
        message(import(&external("8"))),
        "external data of tensor `W`: `w.data` was not given"
    );
}

#[test]
fn the_loader_takes_the_canonical_bytes_only() {
    let canonical = import(&small().encode()).unwrap();
    let load = |graph: &[u8], weights: &[u8]| {
        Model::load(graph.to_vec().into(), weights.to_vec().into()).map(|_| ())
    };
    load(&canonical.graph, &canonical.weights).unwrap();
    // Not imported, an unknown field, the same field twice: all mean the same, none is the canonical form.
    assert!(matches!(
        load(&small().encode(), b""),
        Err(ModelError::NotCanonical { .. })
    ));
    let unknown = [&canonical.graph[..], &field(3, b"producer")].concat();
    assert!(matches!(
        load(&unknown, &canonical.weights),
        Err(ModelError::NotCanonical { .. })
    ));
    let twice = [&int(1, 9)[..], &canonical.graph].concat();
    assert!(matches!(
        load(&twice, &canonical.weights),
        Err(ModelError::NotCanonical { .. })
    ));
    // Weights: longer, or with a NaN that is not the canonical one.
    let longer = [&canonical.weights[..], &[0]].concat();
    assert!(matches!(
        load(&canonical.graph, &longer),
        Err(ModelError::Weights { .. })
    ));
    let mut nan = canonical.weights.to_vec();
    nan[..4].copy_from_slice(&0xffc0_0001u32.to_le_bytes());
    assert_eq!(
        load(&canonical.graph, &nan),
        Err(ModelError::Weights {
            offset: 0,
            length: nan.len()
        })
    );
}

#[test]
fn padding_between_weights_is_zero() {
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["1"])
        .floats("a", &[1], &[1.0])
        .floats("b", &[1], &[2.0])
        .node("Add", &["x", "a"], &["h"])
        .node("Add", &["h", "b"], &["y"])
        .output("y", FLOAT);
    let canonical = import(&file.encode()).unwrap();
    assert_eq!(canonical.weights.len(), 68);
    let mut weights = canonical.weights.to_vec();
    weights[10] = 1;
    assert_eq!(
        Model::load(canonical.graph, weights.into()).unwrap_err(),
        ModelError::Weights {
            offset: 10,
            length: 68
        }
    );
}

#[test]
fn calls_with_wrong_shapes_are_refused_by_name() {
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["n", "2"])
        .input("z", FLOAT, &["n", "2"])
        .node("Add", &["x", "z"], &["y"])
        .output("y", FLOAT)
        .encode();
    let canonical = import_onnx(&file, &NoExternalData, &dims(&[("n", DimSetting::AtMost(3))])).unwrap();
    let model = Model::load(canonical.graph, canonical.weights).unwrap();
    let message = |shapes: &[Shape]| model.plan(shapes).unwrap_err().to_string();
    assert_eq!(message(&[vec![1, 2]]), "the model has 2 inputs, got 1");
    assert_eq!(
        message(&[vec![4, 2], vec![4, 2]]),
        "input `x` has shape [4, 2]; it takes [n<=3, 2]"
    );
    assert_eq!(
        message(&[vec![1, 2], vec![2, 2]]),
        "dimension `n` is 1 in one place and 2 in another"
    );
    let plan = model.plan(&[vec![1, 2], vec![1, 2]]).unwrap();
    let wrong = Tensor::zeros(DType::F64, &[1, 2]).unwrap();
    let right = Tensor::zeros(DType::F32, &[1, 2]).unwrap();
    assert_eq!(
        plan.run(&[right.clone(), wrong], &mut Unmetered)
            .unwrap_err()
            .to_string(),
        "input `z` is f64[1, 2]; the plan takes f32[1, 2]"
    );

    struct Broke;
    impl Meter for Broke {
        fn charge(&mut self, _node: usize, _work: &Work) -> Result<(), Stop> {
            Err(Stop)
        }
        fn plan(&mut self, _work: &Work) -> Result<(), Stop> {
            Err(Stop)
        }
        fn reserve(&mut self, _bytes: u64, _total: u64) -> Result<(), Stop> {
            Err(Stop)
        }
    }
    assert_eq!(
        plan.run(&[right.clone(), right], &mut Broke)
            .unwrap_err()
            .to_string(),
        "stopped by the meter before node 0 (Add `y`)"
    );
}

#[test]
fn an_index_out_of_range_stops_the_run() {
    let file = OnnxFile::new(13)
        .input("i", INT64, &["2"])
        .floats("table", &[3], &[1.0, 2.0, 3.0])
        .node("Gather", &["table", "i"], &["y"])
        .output("y", FLOAT)
        .encode();
    let canonical = import(&file).unwrap();
    let plan = Model::load(canonical.graph, canonical.weights)
        .unwrap()
        .plan(&[vec![2]])
        .unwrap();
    let run = |indices: [i64; 2]| {
        plan.run(
            &[Tensor::from_slice(DType::I64, &[2], &indices).unwrap()],
            &mut Unmetered,
        )
    };
    assert_eq!(run([0, -1]).unwrap()[0].as_slice::<f32>(), [1.0, 3.0]);
    for index in [3, -4, i64::MIN, i64::MAX] {
        assert_eq!(
            run([0, index]).unwrap_err().to_string(),
            format!("node 0 (Gather `y`): index {index} is out of range for an axis of 3")
        );
    }
}

#[test]
fn what_is_computed_ahead_is_bounded_in_sum() {
    // Each node adds 8 KiB to what is known before the run; beyond the limit they are left to the run.
    let nodes = limits::MAX_FOLDED_BYTES / 8192 + 10;
    let mut file = OnnxFile::new(13)
        .input("x", INT64, &["1024"])
        .i64s("c", &[1024], &[1; 1024]);
    for node in 0..nodes {
        let before = if node == 0 {
            "c".to_owned()
        } else {
            format!("n{}", node - 1)
        };
        file = file.node("Add", &[&before, "c"], &[&format!("n{node}")]);
    }
    let file = file
        .node("Add", &["x", &format!("n{}", nodes - 1)], &["y"])
        .output("y", INT64);
    let canonical = import(&file.encode()).unwrap();
    let plan = Model::load(canonical.graph, canonical.weights)
        .unwrap()
        .plan(&[vec![1024]])
        .unwrap();
    assert_eq!(plan.cost().nodes.len(), 11);
    let x = Tensor::zeros(DType::I64, &[1024]).unwrap();
    let y = plan.run(&[x], &mut Unmetered).unwrap();
    assert!(y[0].as_slice::<i64>().iter().all(|&sum| sum == nodes as i64 + 1));
}
