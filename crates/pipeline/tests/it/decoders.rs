//! Both decoders in one file: what is generated has the bits that it has from a pair.

use crate::fixture::{Expected, Fixture};
use prost::Message as _;
use synod_model::proto::{
    AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    ValueInfoProto, decode_model,
};
use synod_pipeline::*;

const DECODER: &str = "decoder_model.onnx";
const WITH_PAST: &str = "decoder_with_past_model.onnx";
const MERGED: &str = "decoder_model_merged.onnx";

/// The exports that have a pair and the same merged by Optimum.
const NAMES: [&str; 2] = ["marian", "gpt2"];

fn merged(name: &str) -> Fixture {
    Fixture::new(name).without(DECODER).without(WITH_PAST)
}

fn proto(fixture: &Fixture, file: &str) -> ModelProto {
    decode_model(fixture.file(file).unwrap().unwrap().into()).unwrap()
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

/// A merged decoder, changed.
fn changed(name: &str, change: impl FnOnce(&mut GraphProto)) -> Fixture {
    let mut model = proto(&merged(name), MERGED);
    change(graph(&mut model));
    merged(name).with(MERGED, model.encode_to_vec())
}

/// A dimension of an input.
fn dim<'g>(graph: &'g mut GraphProto, input: &str, axis: usize) -> &'g mut DimensionProto {
    let input = graph
        .input
        .iter_mut()
        .find(|value| value.name() == input)
        .unwrap();
    let tensor = input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
    &mut tensor.shape.as_mut().unwrap().dim[axis]
}

/// GPT-2 as newer exports have decoders alone: one graph, which takes any number of tokens and a past of any length, none too.
fn one_graph() -> ModelProto {
    let mut model = proto(&Fixture::new("gpt2"), WITH_PAST);
    dim(graph(&mut model), "input_ids", 1).value = Some(DimensionValue::Param("sequence_length".into()));
    model
}

fn without_decoders() -> Fixture {
    merged("gpt2").without(MERGED)
}

/// What is generated of each text under each rule.
fn answers(fixture: &Fixture, variant: Option<&str>) -> Vec<Result<Generated, PipelineError>> {
    let expected: Expected = fixture.expected();
    let options = ImportOptions {
        variant: variant.map(Into::into),
        ..ImportOptions::default()
    };
    let mut answers = Vec::new();
    for rule in expected.rules.values() {
        let fixture = fixture.clone().edit("generation_config.json", |config| {
            let config = config.as_object_mut().unwrap();
            if rule.get("max_length").is_some() {
                config.remove("max_new_tokens");
            }
            config.extend(rule.as_object().unwrap().clone());
        });
        let imported = import(&fixture, &options).unwrap_or_else(|error| panic!("{error}"));
        let pipeline = imported.pipeline().unwrap_or_else(|error| panic!("{error}"));
        let mut engine = Local::default();
        for text in &expected.texts {
            answers.push(pipeline.generate(text.as_bytes(), &Limits::default(), &mut engine, &mut Unmetered));
        }
    }
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() >= 35);
    answers
}

#[test]
fn a_merged_decoder_generates_what_the_pair_does() {
    for name in NAMES {
        assert_eq!(
            answers(&merged(name), None),
            answers(&Fixture::new(name), None),
            "{name}"
        );
    }
}

#[test]
fn a_graph_that_takes_any_past_generates_what_the_pair_does() {
    let pair = answers(&Fixture::new("gpt2"), None);
    let model = one_graph().encode_to_vec();
    for file in ["model.onnx", "onnx/model.onnx", MERGED] {
        assert_eq!(
            answers(&without_decoders().with(file, model.clone()), None),
            pair,
            "{file}"
        );
    }
    // newer exports ask how many places get logits
    let mut model = one_graph();
    let graph = graph(&mut model);
    let mut kept = graph.input[0].clone();
    kept.name = Some("num_logits_to_keep".into());
    kept.r#type
        .as_mut()
        .unwrap()
        .tensor_type
        .as_mut()
        .unwrap()
        .shape
        .as_mut()
        .unwrap()
        .dim
        .clear();
    graph.input.push(kept);
    let constant = |name: &str, value: i64| TensorProto {
        dims: vec![1],
        data_type: Some(7),
        int64_data: vec![value],
        name: Some(name.into()),
        ..TensorProto::default()
    };
    graph
        .initializer
        .extend([constant("one", 1), constant("last", i64::MAX)]);
    let node = |operator: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: Some(operator.into()),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    };
    for name in graph.node.iter_mut().flat_map(|node| &mut node.output) {
        if name == "logits" {
            *name = "all".into();
        }
    }
    graph.node.extend([
        node("Reshape", &["num_logits_to_keep", "one"], "kept"),
        node("Neg", &["kept"], "first"),
        node("Slice", &["all", "first", "last", "one"], "logits"),
    ]);
    let fixture = without_decoders().with("model.onnx", model.encode_to_vec());
    assert_eq!(answers(&fixture, None), pair);
}

#[test]
fn of_several_variants_one_is_taken() {
    let file = |name: &str| Fixture::new("gpt2").file(name).unwrap().unwrap();
    // what must not be taken is no graph
    let variants = |here: &str| {
        let mut fixture = without_decoders();
        for ending in ["_quantized", "_int8", "_uint8", "_fp16"] {
            let bytes = if ending == here {
                file(MERGED)
            } else {
                b"other".to_vec()
            };
            fixture = fixture.with(&format!("onnx/decoder_model_merged{ending}.onnx"), bytes);
        }
        fixture
    };
    let plain = merged("gpt2").import().unwrap();
    assert_eq!(plain.notes, Vec::<String>::new());
    let taken = variants("_quantized").import().unwrap();
    assert_eq!(taken.description, plain.description);
    assert!(taken.notes[0].contains("_quantized"), "{:?}", taken.notes);
    let without = variants("_int8").without("onnx/decoder_model_merged_quantized.onnx");
    assert!(without.import().unwrap().notes[0].contains("_int8"));
    let options = ImportOptions {
        variant: Some("_fp16".into()),
        ..ImportOptions::default()
    };
    let chosen = import(&variants("_fp16"), &options).unwrap();
    assert_eq!(chosen.notes, Vec::<String>::new());
    // the author's floats before anything else
    let both = variants("").with("onnx/decoder_model_merged.onnx", file(MERGED));
    assert_eq!(both.import().unwrap().notes, Vec::<String>::new());
    let missing = import(&Fixture::new("marian"), &options).unwrap_err().to_string();
    assert!(missing.contains("no graphs"), "{missing}");
}

#[test]
fn files_of_another_form_are_refused_with_file_and_field() {
    let the_if = |graph: &mut GraphProto, change: &dyn Fn(&mut NodeProto)| {
        let node = graph.node.iter_mut().find(|node| node.op_type() == "If").unwrap();
        change(node);
    };
    let branch = |node: &mut NodeProto, change: &dyn Fn(&mut AttributeProto)| {
        let branch = node
            .attribute
            .iter_mut()
            .find(|attribute| attribute.name() == "then_branch");
        change(branch.unwrap());
    };
    let one_with = |change: &dyn Fn(&mut GraphProto)| {
        let mut model = one_graph();
        change(graph(&mut model));
        without_decoders().with("model.onnx", model.encode_to_vec())
    };
    let nothing = ModelProto {
        graph: None,
        ..one_graph()
    };
    for (fixture, text) in [
        (
            merged("marian")
                .without(MERGED)
                .with("decoder_model.onnx", b"".to_vec()),
            "decoder_with_past_model.onnx: there is no such file",
        ),
        (
            merged("marian")
                .without("encoder_model.onnx")
                .edit("config.json", |config| {
                    config["architectures"] = serde_json::json!(["MarianMTModel"]);
                }),
            "encoder_model.onnx: there is no such file",
        ),
        (
            merged("marian")
                .without("encoder_model.onnx")
                .edit("config.json", |config| {
                    config["is_encoder_decoder"] = serde_json::json!(false);
                }),
            "decoder.encoder_attention_mask: an input of this name is not known",
        ),
        (
            without_decoders(),
            "decoder_model_merged.onnx: there is no such file",
        ),
        (
            merged("gpt2").with(MERGED, b"x".to_vec()),
            "decoder_model_merged.onnx: not an ONNX file",
        ),
        (
            merged("gpt2").with(MERGED, nothing.encode_to_vec()),
            "decoder_model_merged.onnx: graph: there is none",
        ),
        (
            changed("gpt2", |graph| {
                the_if(graph, &|node| node.input[0] = "input_ids".into())
            }),
            "decoder_model_merged.onnx: use_cache_branch: no `If` of the graph reads it",
        ),
        (
            changed("gpt2", |graph| the_if(graph, &|node| drop(node.attribute.pop()))),
            "decoder_model_merged.onnx: then_branch: the `If` on use_cache_branch has no such graph",
        ),
        (
            changed("gpt2", |graph| {
                the_if(graph, &|node| {
                    branch(node, &|branch| {
                        branch.g.as_mut().unwrap().output.pop();
                    })
                });
            }),
            "decoder_model_merged.onnx: then_branch: it has 0 inputs and 4 outputs; a branch of this `If` has none and 5",
        ),
        (
            changed("gpt2", |graph| {
                the_if(graph, &|node| {
                    branch(node, &|branch| {
                        branch.g.as_mut().unwrap().node[0]
                            .input
                            .push("use_cache_branch".into());
                    })
                });
            }),
            "decoder_model_merged.onnx: use_cache_branch: something else than an `If`",
        ),
        (
            changed("gpt2", |graph| {
                the_if(graph, &|node| {
                    branch(node, &|branch| {
                        branch.g.as_mut().unwrap().node.pop();
                    })
                });
            }),
            "decoder_model_merged.onnx: output `logits`",
        ),
        (
            changed("marian", |graph| {
                graph.input.retain(|input| input.name() != "use_cache_branch")
            }),
            "decoder_model_merged.onnx: use_cache_branch: there is no such input",
        ),
        (
            changed("gpt2", |graph| {
                graph
                    .input
                    .retain(|input| !input.name().starts_with("past_key_values."))
            }),
            "decoder_model_merged.onnx: past_key_values: there is no such input",
        ),
        (
            changed("gpt2", |graph| {
                graph.input.retain(|input| input.name() != "attention_mask")
            }),
            "decoder_model_merged.onnx: node",
        ),
        (
            one_with(&|graph| dim(graph, "past_key_values.0.key", 3).value = None),
            "model.onnx: past_key_values.0.key: it is a tensor of [rows, heads, places, width]",
        ),
        (
            one_with(&|graph| {
                let output = graph
                    .output
                    .iter()
                    .position(|output| output.name() == "present.1.value");
                graph.output.remove(output.unwrap());
            }),
            "decoder_with_past.past_key_values.1.value: the decoder has no output `present.1.value`",
        ),
    ] {
        let error = match fixture.import() {
            Err(error) => error.to_string(),
            Ok(imported) => imported.pipeline().expect_err(text).to_string(),
        };
        assert!(error.contains(text), "{text}\n{error}");
    }
}

/// Whatever stands in the file, there is an answer.
#[test]
fn damaged_files_get_an_answer() {
    let whole = merged("gpt2").file(MERGED).unwrap().unwrap();
    let mut refused = 0;
    for step in 0..60 {
        let mut bytes = whole.clone();
        let at = step * whole.len() / 60;
        match step % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << (step % 8),
            _ => drop(bytes.drain(at..(at + step).min(whole.len()))),
        }
        refused += usize::from(merged("gpt2").with(MERGED, bytes).import().is_err());
    }
    assert!(refused > 20, "{refused}");
}

/// A branch may give what it computes under another name than the `If` does.
#[test]
fn outputs_of_a_branch_may_have_names_of_their_own() {
    let renamed = changed("gpt2", |graph| {
        let node = graph.node.iter_mut().find(|node| node.op_type() == "If").unwrap();
        for attribute in &mut node.attribute {
            let branch = attribute.g.as_mut().unwrap();
            let outputs = branch
                .output
                .iter_mut()
                .filter_map(|output: &mut ValueInfoProto| output.name.as_mut());
            let values = branch
                .node
                .iter_mut()
                .flat_map(|node| node.output.iter_mut().chain(&mut node.input));
            for name in outputs.chain(values).filter(|name| *name == "logits") {
                *name = "logits_of_branch".into();
            }
        }
    });
    assert_eq!(answers(&renamed, None), answers(&Fixture::new("gpt2"), None));
}
