//! What is refused, and that the message says where, what and what to do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod sample;

use sample::Sample;
use serde_json::{Value as Json, json};
use synod_import::{KerasOptions, import_keras};

/// The message for a fixture whose layer (by its place) has another option or class.
fn refused(case: &str, layer: usize, change: impl FnOnce(&mut Json)) -> String {
    let sample = Sample::read(&sample::folder().join(format!("{case}.zip")));
    let mut members = sample::members(&sample.file);
    let mut config: Json = serde_json::from_slice(&members["config.json"]).unwrap();
    change(&mut config["config"]["layers"][layer]);
    members.insert("config.json".to_owned(), serde_json::to_vec(&config).unwrap());
    import_keras(sample::pack(&members), KerasOptions::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn an_unknown_layer_is_named() {
    let message = refused("dense", 1, |layer| layer["class_name"] = json!("MyLayer"));
    assert_eq!(
        message,
        "layer `dense`: MyLayer is not supported: build it from supported layers (docs/keras.md lists them), or export the model to \
         ONNX with model.export(path, format=\"onnx\")"
    );
    let message = refused("dense", 1, |layer| layer["class_name"] = json!("Lambda"));
    assert!(
        message.contains("layer `dense`: Lambda") && message.contains("bytecode"),
        "{message}"
    );
}

#[test]
fn a_class_of_ones_own_is_refused_even_if_it_is_called_like_one_of_keras() {
    // how Keras 3 writes a registered class, and one that is not
    for (module, registered) in [
        (json!(null), json!("my>Dense")),
        (json!("__main__"), json!("Dense")),
    ] {
        let message = refused("dense", 1, |layer| {
            layer["module"] = module;
            layer["registered_name"] = registered.clone();
        });
        let class = registered.as_str().unwrap();
        assert!(
            message.contains(&format!(
                "layer `dense`: {class} is not supported: it is a class of one's own"
            )),
            "{message}"
        );
    }
    let message = refused("stacked-recurrent", 6, |layer| {
        assert_eq!(layer["class_name"], "TimeDistributed");
        layer["config"]["layer"]["module"] = json!("my.layers");
    });
    assert!(message.contains("a class of one's own"), "{message}");
    let message = refused("dense", 1, |layer| {
        layer["config"]["activation"] = json!({"module": "builtins", "class_name": "function", "config": "my>act", "registered_name": "function"});
    });
    assert!(
        message.contains("activation") && message.contains("my>act"),
        "{message}"
    );
}

#[test]
fn layers_that_look_up_words_say_what_to_do() {
    for class in ["StringLookup", "TextVectorization", "IntegerLookup"] {
        let message = refused("dense", 1, |layer| layer["class_name"] = json!(class));
        assert!(
            message.contains(class) && message.contains("do that before the network"),
            "{message}"
        );
    }
    let message = refused("dense", 1, |layer| {
        layer["class_name"] = json!("SpectralNormalization")
    });
    assert!(message.contains("put the layer within it"), "{message}");
}

#[test]
fn an_unknown_option_is_named_with_its_value() {
    let message = refused("dense", 1, |layer| {
        layer["config"]["activation"] = json!("sparsemax")
    });
    assert!(
        message.contains("layer `dense` (Dense): activation = \"sparsemax\""),
        "{message}"
    );
    let message = refused("conv2d-of-any-size", 1, |layer| {
        layer["config"]["padding"] = json!("reflect")
    });
    assert!(
        message.contains("(Conv2D): padding = \"reflect\" is not supported: valid and same are"),
        "{message}"
    );
    let message = refused("stacked-recurrent", 1, |layer| {
        layer["config"]["stateful"] = json!(true)
    });
    assert!(
        message.contains("(LSTM): stateful = true") && message.contains("initial_state"),
        "{message}"
    );
    let message = refused("dense", 1, |layer| {
        layer["config"]["dtype"] = json!("mixed_float16")
    });
    assert!(
        message.contains("dtype = mixed_float16") && message.contains("set_dtype_policy"),
        "{message}"
    );
}

#[test]
fn weights_of_another_shape_are_refused_with_both() {
    let message = refused("dense", 1, |layer| layer["config"]["units"] = json!(7));
    assert_eq!(
        message,
        "layer `dense` (Dense): weight `kernel`: it has the shape [6, 5], the layer's options say [6, 7]"
    );
}

#[test]
fn weights_that_nothing_takes_are_refused() {
    let message = refused("dense", 1, |layer| layer["config"]["use_bias"] = json!(false));
    assert!(
        message.contains("layer `dense` (Dense): weight `the last 1`"),
        "{message}"
    );
}

#[test]
fn other_files_are_refused() {
    for (bytes, part) in [
        (b"\x08\x07\x12\x00".to_vec(), "neither a .keras file"),
        (Vec::new(), "neither a .keras file"),
        (b"PK\x03\x04".to_vec(), "archive cannot be read"),
        (b"\x89HDF\r\n\x1a\n".to_vec(), "HDF5"),
    ] {
        let message = import_keras(bytes, KerasOptions::default())
            .unwrap_err()
            .to_string();
        assert!(message.contains(part), "{message}");
    }
}
