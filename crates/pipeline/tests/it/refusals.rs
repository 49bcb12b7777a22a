//! What is refused, with file and field: folders, descriptions, parts that do not fit.

use crate::fixture::Fixture;
use prost::Message;
use serde_json::{Value, json};
use synod_model::{
    Model,
    proto::{AttributeProto, NodeProto, attribute_type, decode_model},
};
use synod_pipeline::*;

fn refused(fixture: &Fixture) -> String {
    match fixture.import() {
        Err(error) => error.to_string(),
        Ok(imported) => imported.pipeline().expect_err("it does not fit").to_string(),
    }
}

#[test]
fn folders_are_refused_with_file_and_field() {
    let marian = || Fixture::new("marian");
    let config = |name: &'static str, value: Value| {
        marian().edit("generation_config.json", move |config| config[name] = value)
    };
    for (fixture, text) in [
        (
            marian().without("tokenizer.json"),
            "tokenizer.json: there is no such file",
        ),
        (
            marian().without("encoder_model.onnx"),
            "encoder_model.onnx: there is no such file",
        ),
        (
            marian()
                .without("decoder_with_past_model.onnx")
                .without("decoder_model_merged.onnx"),
            "decoder_with_past_model.onnx: there is no such file",
        ),
        (marian().with("tokenizer.json", "{}"), "tokenizer.json: line 1"),
        (
            marian().edit("tokenizer.json", |file| {
                file["pre_tokenizer"] = json!({"type": "Other"})
            }),
            "tokenizer.json: pre_tokenizer.type: Other is not supported",
        ),
        (
            config("do_sample", json!(true)),
            "generation_config.json: do_sample: the chain leaves nothing to chance",
        ),
        (
            config("repetition_penalty", json!(1.2)),
            "generation_config.json: repetition_penalty: 1.2 is not done here",
        ),
        (
            config("watermarking_config", json!({})),
            "generation_config.json: watermarking_config",
        ),
        (
            config("early_stopping", json!("soon")),
            "generation_config.json: early_stopping",
        ),
        (
            config("length_penalty", json!(0.123_456_789)),
            "generation_config.json: length_penalty",
        ),
        (
            config("num_beams", json!(17)),
            "generation.num_beams: 17 is above the limit of 16",
        ),
        (
            config("num_beams", json!(0)),
            "generation_config.json: num_beams: there is at least one beam",
        ),
        (
            config("eos_token_id", json!(1501)),
            "generation.eos_token_ids: the token 1501 is not among the 1501",
        ),
        (
            config("bad_words_ids", json!([[]])),
            "generation.bad_words_ids: a sequence is empty",
        ),
        (
            config("max_length", json!(1)),
            "generation.max_length: at least one token",
        ),
        // more tokens than logits: what the tokenizer gives the decoder cannot
        (
            marian().edit("tokenizer.json", |file| {
                let vocabulary = file["model"]["vocab"].as_array_mut().unwrap();
                vocabulary.extend((0..2).map(|index| json!([format!("more {index}"), -9.0])));
            }),
            "files.tokenizer: the tokenizer has ids up to 1501; the decoder's logits are 1501",
        ),
        // a graph in another's place
        (
            marian().with(
                "encoder_model.onnx",
                marian().file("decoder_model.onnx").unwrap().unwrap(),
            ),
            "encoder.encoder_attention_mask: an input of this name is not known here",
        ),
        (
            marian().with(
                "decoder_with_past_model.onnx",
                marian().file("decoder_model.onnx").unwrap().unwrap(),
            ),
            "decoder_with_past.past_key_values: there is no such input",
        ),
        (
            marian().with("decoder_model.onnx", "not a graph"),
            "decoder_model.onnx: ",
        ),
    ] {
        let error = refused(&fixture);
        assert!(error.contains(text), "{text}\n{error}");
    }
}

#[test]
fn sampling_is_left_out_only_if_asked() {
    let fixture = Fixture::new("gpt2").edit("generation_config.json", |config| {
        config["do_sample"] = json!(true);
        config["top_k"] = json!(50);
    });
    assert!(refused(&fixture).contains("do_sample"));
    let options = ImportOptions {
        without_sampling: true,
        ..ImportOptions::default()
    };
    let imported = import(&fixture, &options).unwrap();
    assert_eq!(imported.notes.len(), 2, "{:?}", imported.notes);
    let plain = Fixture::new("gpt2").import().unwrap();
    assert_eq!(imported.description, plain.description);
}

#[test]
fn a_description_has_one_encoding() {
    let imported = Fixture::new("marian").import().unwrap();
    let bytes = imported.description.encode();
    assert_eq!(Description::decode(&bytes).unwrap(), imported.description);
    assert_eq!(imported.description.id(), PipelineId::of(&bytes));
    let text = String::from_utf8(bytes).unwrap();
    let begins = r#"{"version":1,"task":"text-to-text","models":{"decoder":"0x"#;
    assert!(text.starts_with(begins), "{text}");
    let other = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Description::decode(text.replacen(from, to, 1).as_bytes()).unwrap_err()
    };
    assert!(matches!(
        other("{", "{ "),
        DescriptionError::NotCanonical { offset: 1 }
    ));
    assert!(matches!(
        other("\"version\":1", "\"version\":2"),
        DescriptionError::Version { version: 2 }
    ));
    assert!(matches!(
        other("\"num_beams\"", "\"beams\""),
        DescriptionError::Json { .. }
    ));
    assert!(matches!(
        other("\"version\":1,", "\"version\":1,\"labels\":[],"),
        DescriptionError::NotCanonical { .. }
    ));
    assert!(matches!(other("0x", "0X"), DescriptionError::Json { .. }));
    assert!(matches!(
        other("text-to-text", "text-to-text2"),
        DescriptionError::Json { .. }
    ));
    for end in (0..text.len()).step_by(7) {
        assert!(Description::decode(&text.as_bytes()[..end]).is_err());
    }
}

/// Each part is the one that the description names.
#[test]
fn parts_that_are_others_are_refused() {
    let imported = Fixture::new("gpt2").import().unwrap();
    let parts = || Parts {
        models: imported
            .models
            .iter()
            .map(|(&role, model)| {
                (
                    role,
                    Model::load(model.graph.clone(), model.weights.clone()).unwrap(),
                )
            })
            .collect(),
        files: imported.files.clone(),
    };
    let assemble = |description: &Description, parts| Pipeline::assemble(description.clone(), parts);
    let description = &imported.description;
    assert!(assemble(description, parts()).is_ok());
    let field = |description: &Description, parts| assemble(description, parts).unwrap_err().field;

    let mut other = parts();
    other.files.get_mut(&FileRole::Tokenizer).unwrap().push(b' ');
    assert_eq!(field(description, other), "files.tokenizer");
    let mut other = parts();
    other.files.clear();
    assert_eq!(field(description, other), "files.tokenizer");
    let mut other = parts();
    let swapped = other.models[&Role::DecoderWithPast].clone();
    other.models.insert(Role::Decoder, swapped);
    assert_eq!(field(description, other), "models.decoder");
    let mut other = parts();
    other.models.remove(&Role::DecoderWithPast);
    assert_eq!(field(description, other), "models.decoder_with_past");
    let mut other = parts();
    let more = other.models[&Role::Decoder].clone();
    other.models.insert(Role::Encoder, more);
    assert_eq!(field(description, other), "models.encoder");

    let edit = |edit: &dyn Fn(&mut Description)| {
        let mut description = description.clone();
        edit(&mut description);
        field(&description, parts())
    };
    assert_eq!(edit(&|d| d.generation = None), "generation");
    assert_eq!(edit(&|d| d.text = None), "text");
    assert_eq!(
        edit(&|d| d.text.as_mut().unwrap().max_tokens = 0),
        "text.max_tokens"
    );
    assert_eq!(edit(&|d| d.labels = vec!["a".into()]), "labels");
    assert_eq!(edit(&|d| d.task = Task::TextToText), "models.encoder");
    assert_eq!(edit(&|d| d.task = Task::ImageClassification), "models.model");
    assert_eq!(
        edit(&|d| d.generation.as_mut().unwrap().eos_token_ids = vec![2, 1]),
        "generation.eos_token_ids"
    );
    assert_eq!(
        edit(&|d| d.generation.as_mut().unwrap().forced_bos_token_id = Some(9999)),
        "generation.forced_bos_token_id"
    );
}

/// A graph that gives logits for twice as many places, or rows, than it has tokens: refused before it runs.
#[test]
fn outputs_of_another_shape_are_refused() {
    for axis in [0, 1] {
        let fixture = Fixture::new("gpt2");
        let file = fixture.file("decoder_model.onnx").unwrap().unwrap();
        let mut model = decode_model(file.into()).unwrap();
        let graph = model.graph.as_mut().unwrap();
        for name in graph.node.iter_mut().flat_map(|node| &mut node.output) {
            if name == "logits" {
                *name = "once".into();
            }
        }
        graph.node.push(NodeProto {
            op_type: Some("Concat".into()),
            input: vec!["once".into(), "once".into()],
            output: vec!["logits".into()],
            attribute: vec![AttributeProto {
                name: Some("axis".into()),
                i: Some(axis),
                r#type: Some(attribute_type::INT),
                ..AttributeProto::default()
            }],
            ..NodeProto::default()
        });
        let fixture = fixture.with("decoder_model.onnx", model.encode_to_vec());
        let pipeline = fixture.import().unwrap().pipeline().unwrap();
        let refused = pipeline.generate(
            b"apples",
            &Limits::default(),
            &mut Local::default(),
            &mut Unmetered,
        );
        match refused {
            Err(PipelineError::OutputShape { role, port, .. }) => {
                assert_eq!((role, port.as_str()), (Role::Decoder, "logits"));
            }
            other => panic!("{axis}: {other:?}"),
        }
    }
}
