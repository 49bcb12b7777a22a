//! Import, load, plan and run, through the crate's public face.

use crate::build::*;
use synod_model::*;

#[test]
fn a_small_network_runs_from_file_to_outputs() {
    // y = relu(x W + b)
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["batch", "2"])
        .floats("W", &[2, 2], &[1.0, -1.0, 2.0, -2.0])
        .floats("b", &[2], &[0.5, 0.5])
        .node("Gemm", &["x", "W", "b"], &["h"])
        .node("Relu", &["h"], &["y"])
        .output("y", FLOAT)
        .encode();
    let options = ImportOptions {
        dims: [("batch".to_owned(), DimSetting::AtMost(4))].into(),
        ..ImportOptions::default()
    };
    let canonical = import_onnx(&file, &NoExternalData, &options).unwrap();
    let model = Model::load(canonical.graph.clone(), canonical.weights.clone()).unwrap();
    assert_eq!(model.id(), canonical.id());
    let batch = Dim::Symbol {
        name: "batch".into(),
        max: 4,
    };
    assert_eq!(model.signature().inputs[0].dims, [batch, Dim::Fixed(2)]);

    let plan = model.plan(&[vec![2, 2]]).unwrap();
    assert_eq!(plan.cost().output_shapes, Some(vec![vec![2, 2]]));
    assert_eq!(plan.cost().multiply_adds, 8);
    let x = Tensor::from_slice(DType::F32, &[2, 2], &[1.0f32, 1.0, 0.0, -1.0]).unwrap();
    let y = plan.run(&[x], &mut Unmetered).unwrap();
    assert_eq!(y[0].as_slice::<f32>(), [3.5, 0.0, 0.0, 2.5]);
}

#[test]
fn importing_the_canonical_form_gives_itself() {
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["batch", "2"])
        .floats("W", &[2, 2], &[1.0, -1.0, f32::NAN, -2.0])
        .node("MatMul", &["x", "W"], &["h"])
        .node("Relu", &["h"], &["y"])
        .output("y", FLOAT)
        .encode();
    let options = ImportOptions {
        dims: [("batch".to_owned(), DimSetting::AtMost(4))].into(),
        ..ImportOptions::default()
    };
    let first = import_onnx(&file, &NoExternalData, &options).unwrap();
    let beside: std::collections::BTreeMap<_, _> = [(WEIGHTS_FILE.to_owned(), first.weights.clone())].into();
    let second = import_onnx(&first.graph, &beside, &ImportOptions::default()).unwrap();
    assert_eq!(first, second);
}

#[test]
fn the_plain_form_keeps_what_the_author_wrote() {
    use prost::Message as _;
    // nodes out of order, and one that nothing needs
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["batch", "2"])
        .floats("W", &[2, 2], &[1.0, -1.0, 2.0, -2.0])
        .node("Relu", &["h"], &["y"])
        .node("MatMul", &["x", "W"], &["h"])
        .node("Abs", &["h"], &["unused"])
        .output("y", FLOAT)
        .encode();
    let plain = plain_onnx(&file, &NoExternalData).unwrap();
    let graph = plain.graph.clone().unwrap();
    let outputs: Vec<&str> = graph.node.iter().map(|node| node.output[0].as_str()).collect();
    assert_eq!(outputs, ["h", "y"]);
    assert_eq!(
        graph.initializer[0].raw_data.as_ref().map(|raw| raw.len()),
        Some(16)
    );

    // it is the same model, free dimension and all
    let options = ImportOptions {
        dims: [("batch".to_owned(), DimSetting::AtMost(4))].into(),
        ..ImportOptions::default()
    };
    let import = |file: &[u8]| import_onnx(file, &NoExternalData, &options).unwrap();
    let canonical = import(&file);
    assert_eq!(import(&plain.encode_to_vec()), canonical);
    let beside: std::collections::BTreeMap<_, _> =
        [(WEIGHTS_FILE.to_owned(), canonical.weights.clone())].into();
    let again = plain_onnx(&canonical.graph, &beside).unwrap();
    assert_eq!(
        import_onnx(&again.encode_to_vec(), &NoExternalData, &ImportOptions::default()).unwrap(),
        canonical
    );

    let cycle = OnnxFile::new(13)
        .node("Relu", &["b"], &["a"])
        .node("Relu", &["a"], &["b"])
        .output("a", FLOAT)
        .encode();
    assert!(matches!(
        plain_onnx(&cycle, &NoExternalData),
        Err(ImportError::Cycle { .. })
    ));
}

#[test]
fn models_and_plans_cross_threads() {
    fn shareable<T: Send + Sync>() {}
    shareable::<Model>();
    shareable::<Plan>();
}
