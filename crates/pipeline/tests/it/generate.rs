//! What pipelines generate: as transformers does, the same bits with and without a cache, for any batch, thread and arithmetic, and
//! never more than was paid for.

use crate::fixture::{Expected, Fixture};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};
use synod_model::{
    DType, Dim, DimSetting, Model, ModelId, Plan, PlanError, RunError, Shape, Tensor, import_onnx,
};
use synod_numerics::pool::set_threads;
use synod_pipeline::*;

/// Every rule of the fixtures, on every text: the tokens that transformers gives. Scores may differ by what another order of summation
/// costs.
#[test]
fn texts_are_those_that_transformers_generates() {
    for name in ["marian", "gpt2"] {
        let fixture = Fixture::new(name);
        let expected: Expected = fixture.expected();
        let mut compared = 0;
        for (rule, answers) in &expected.answers {
            let changes = expected.rules[rule].clone();
            let imported = fixture
                .clone()
                .edit("generation_config.json", |config| {
                    let config = config.as_object_mut().unwrap();
                    if changes.get("max_length").is_some() {
                        config.remove("max_new_tokens");
                    }
                    config.extend(changes.as_object().unwrap().clone());
                })
                .import()
                .unwrap_or_else(|error| panic!("{name} {rule}: {error}"));
            let pipeline = imported
                .pipeline()
                .unwrap_or_else(|error| panic!("{name} {rule}: {error}"));
            let longest = pipeline.description().text.as_ref().unwrap().max_tokens as usize;
            let mut engine = Local::default();
            for (text, answer) in expected.texts.iter().zip(answers) {
                let Some(answer) = answer else { continue };
                let input = pipeline.tokenizer().unwrap().encode(text, true).unwrap();
                if input.len() > longest {
                    let refused =
                        pipeline.generate(text.as_bytes(), &Limits::default(), &mut engine, &mut Unmetered);
                    let error = PipelineError::TooManyTokens {
                        tokens: input.len(),
                        limit: longest,
                    };
                    assert_eq!(refused, Err(error));
                    continue;
                }
                assert_eq!(input, answer.input, "{name}: {text:?}");
                let found = pipeline
                    .generate(text.as_bytes(), &Limits::default(), &mut engine, &mut Unmetered)
                    .unwrap_or_else(|error| panic!("{name} {rule}: {text:?}: {error}"));
                assert_eq!(found.tokens, answer.ids, "{name} {rule}: {text:?}");
                assert_eq!(
                    found.text.trim(),
                    answer.text.trim_start_matches(text.as_str()).trim()
                );
                match (found.score, answer.score) {
                    (Some(found), Some(score)) => {
                        assert!(
                            (found - score).abs() <= 1e-4 * score.abs(),
                            "{name} {rule}: {found} {score}"
                        );
                    }
                    (found, score) => assert_eq!(found, score, "{name} {rule}"),
                }
                compared += 1;
            }
        }
        assert!(compared >= 35, "{name}: {compared}");
    }
}

/// Runs each step again, row by row, and keeps logits with the tokens that led to them.
#[derive(Default)]
struct Witness {
    local: Local,
    models: BTreeMap<*const Plan, Model>,
    /// For each run of a decoder: its inputs and outputs.
    runs: Vec<(ModelId, Vec<Tensor>, Vec<Tensor>)>,
}

impl Engine for Witness {
    fn plan(&mut self, model: &Model, shapes: &[Shape]) -> Result<Arc<Plan>, PlanError> {
        let plan = self.local.plan(model, shapes)?;
        self.models.insert(Arc::as_ptr(&plan), model.clone());
        Ok(plan)
    }

    fn run(&mut self, plan: &Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        let outputs = self.local.run(plan, inputs)?;
        let model = self.models[&std::ptr::from_ref(plan)].clone();
        let batch = inputs[0].shape()[0];
        for row in 0..batch {
            let alone: Vec<Tensor> = inputs.iter().map(|input| one_row(input, row)).collect();
            let shapes: Vec<Shape> = alone.iter().map(|input| input.shape().to_vec()).collect();
            let plan = self.plan(&model, &shapes).unwrap();
            for (of_all, of_one) in outputs.iter().zip(self.local.run(&plan, &alone)?) {
                assert_eq!(
                    one_row(of_all, row).bytes(),
                    of_one.bytes(),
                    "row {row} of {batch}"
                );
            }
        }
        self.runs.push((model.id(), inputs.to_vec(), outputs.clone()));
        Ok(outputs)
    }
}

fn one_row(tensor: &Tensor, row: usize) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let bytes = tensor.bytes().len() / shape[0];
    shape[0] = 1;
    Tensor::from_le_bytes(tensor.dtype(), &shape, &tensor.bytes()[row * bytes..][..bytes]).unwrap()
}

/// The decoder without a past, for any number of tokens.
fn whole_decoder(fixture: &Fixture, dims: &[&str]) -> Model {
    let file = fixture.file("decoder_model.onnx").unwrap().unwrap();
    let dims = dims.iter().map(|&name| (name.to_owned(), DimSetting::AtMost(64)));
    let options = synod_model::ImportOptions {
        dims: dims.collect(),
        integers: false,
    };
    let canonical = import_onnx(&file, fixture, &options).unwrap();
    Model::load(canonical.graph, canonical.weights).unwrap()
}

/// Rows do not depend on their batch ([`Witness`]), and what is computed from a cache is what is computed at once, to the bit.
#[test]
fn caches_and_batches_do_not_show() {
    let cases: [(&str, &[&str]); 2] = [
        (
            "marian",
            &["batch_size", "encoder_sequence_length", "decoder_sequence_length"],
        ),
        ("gpt2", &["batch_size", "sequence_length"]),
    ];
    for (name, dims) in cases {
        let fixture = Fixture::new(name);
        for beams in [1, 3] {
            let imported = fixture
                .clone()
                .edit("generation_config.json", |config| {
                    config["num_beams"] = json!(beams);
                    // no sequence ends early
                    config["min_new_tokens"] = json!(20);
                })
                .import()
                .unwrap();
            let pipeline = imported.pipeline().unwrap();
            let decoder = whole_decoder(&fixture, dims);
            let with_past = pipeline.description().models[&Role::DecoderWithPast];
            let mut engine = Witness::default();
            let text = b"A tender is posted in English.";
            pipeline
                .generate(text, &Limits { max_tokens: Some(9) }, &mut engine, &mut Unmetered)
                .unwrap();
            // each row's tokens: those that its cache was made of cannot be seen, so rows are followed by their caches' bytes
            let place = |model: &Model, name: &str| {
                model.signature().inputs.iter().position(|port| port.name == name)
            };
            let models: BTreeMap<Role, Model> = pipeline
                .models()
                .map(|(role, model)| (role, model.clone()))
                .collect();
            let cached = &models[&Role::DecoderWithPast];
            let key = place(cached, "past_key_values.1.key")
                .or(place(cached, "past_key_values.1.decoder.key"))
                .unwrap();
            let present = |model: &Model| {
                let outputs = &model.signature().outputs;
                outputs
                    .iter()
                    .position(|port| port.name == "present.1.key" || port.name == "present.1.decoder.key")
                    .unwrap()
            };
            let mut sequences: BTreeMap<Vec<u8>, Vec<i64>> = BTreeMap::new();
            let mut states = None;
            let mut compared = 0;
            for (id, inputs, outputs) in &engine.runs {
                if Some(*id) == models.get(&Role::Encoder).map(Model::id) {
                    states = Some(outputs[0].clone());
                    continue;
                }
                let is_cached = Hash::from(*id) == with_past;
                let model = if is_cached {
                    cached
                } else {
                    &models[&Role::Decoder]
                };
                let ids = &inputs[place(model, "input_ids").unwrap()];
                for row in 0..ids.shape()[0] {
                    let mut tokens = if is_cached {
                        sequences[one_row(&inputs[key], row).bytes()].clone()
                    } else {
                        Vec::new()
                    };
                    tokens.extend(one_row(ids, row).as_slice::<i64>());
                    sequences.insert(
                        one_row(&outputs[present(model)], row).bytes().to_vec(),
                        tokens.clone(),
                    );
                    // all at once
                    let ones = |count: usize| {
                        Tensor::from_slice(DType::I64, &[1, count], &vec![1i64; count]).unwrap()
                    };
                    let whole: Vec<Tensor> = decoder
                        .signature()
                        .inputs
                        .iter()
                        .map(|port| match port.name.as_str() {
                            "input_ids" => {
                                Tensor::from_slice(DType::I64, &[1, tokens.len()], &tokens).unwrap()
                            }
                            "attention_mask" => ones(tokens.len()),
                            "encoder_attention_mask" => ones(states.as_ref().unwrap().shape()[1]),
                            "encoder_hidden_states" => states.clone().unwrap(),
                            other => panic!("{other}"),
                        })
                        .collect();
                    let shapes: Vec<Shape> = whole.iter().map(|input| input.shape().to_vec()).collect();
                    let plan = decoder.plan(&shapes).unwrap();
                    let again = plan.run(&whole, &mut synod_model::Unmetered).unwrap();
                    let (logits, all) = (one_row(&outputs[0], row), again[0].as_slice::<f32>());
                    let width = *logits.shape().last().unwrap();
                    let last = &logits.as_slice::<f32>()[logits.elements() - width..];
                    let bits =
                        |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                    assert_eq!(
                        bits(last),
                        bits(&all[all.len() - width..]),
                        "{name}: {} tokens",
                        tokens.len()
                    );
                    compared += 1;
                }
            }
            assert!(compared >= 8 * beams, "{name}: {compared}");
        }
    }
}

/// A plan takes over what it can of the one before: it is the plan of a model that has planned nothing, in cost, memory and bits.
#[test]
fn a_plan_does_not_depend_on_those_before_it() {
    let mut compared = 0;
    for name in ["marian", "gpt2"] {
        let fixture =
            Fixture::new(name).edit("generation_config.json", |config| config["num_beams"] = json!(3));
        let imported = fixture.import().unwrap();
        for model in imported.models.values() {
            let load = || Model::load(model.graph.clone(), model.weights.clone()).unwrap();
            let used = load();
            // steps of a sequence, of beams, of another text, and back
            for (batch, encoder, past) in [
                (1, 4, 1),
                (1, 4, 2),
                (1, 4, 3),
                (3, 4, 4),
                (3, 4, 5),
                (1, 9, 2),
                (1, 4, 3),
            ] {
                let size = |dim: &Dim| match dim {
                    Dim::Fixed(size) => *size,
                    Dim::Symbol { name, max } if name.contains("batch") => batch.min(*max),
                    Dim::Symbol { name, .. } if name.contains("past") => past,
                    Dim::Symbol { name, .. } if name.contains("total") => past + 1,
                    Dim::Symbol { .. } | Dim::Open { .. } => encoder,
                };
                let inputs: Vec<Tensor> = used
                    .signature()
                    .inputs
                    .iter()
                    .map(|port| {
                        let shape: Shape = port.dims.iter().map(size).collect();
                        let count = shape.iter().product();
                        match port.dtype {
                            DType::I64 => Tensor::from_slice(DType::I64, &shape, &vec![1i64; count]),
                            _ => {
                                let wave = |index: usize| (index * 7 % 23) as f32 / 23.0 - 0.5;
                                let values: Vec<f32> = (0..count).map(wave).collect();
                                Tensor::from_slice(DType::F32, &shape, &values)
                            }
                        }
                        .unwrap()
                    })
                    .collect();
                let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape().to_vec()).collect();
                let (plan, alone) = (used.plan(&shapes).unwrap(), load().plan(&shapes).unwrap());
                assert_eq!(plan.cost(), alone.cost(), "{name} {shapes:?}");
                assert_eq!(plan.kept_bytes(), alone.kept_bytes(), "{name} {shapes:?}");
                let unmetered = &mut synod_model::Unmetered;
                let outputs = plan.run(&inputs, unmetered).unwrap();
                assert_eq!(
                    outputs,
                    alone.run(&inputs, unmetered).unwrap(),
                    "{name} {shapes:?}"
                );
                assert_eq!(
                    outputs,
                    plan.run_reference(&inputs, unmetered).unwrap(),
                    "{name} {shapes:?}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 5 * 7);
}

#[test]
fn threads_and_the_reference_give_the_same() {
    for name in ["marian", "gpt2"] {
        let pipeline = Fixture::new(name)
            .edit("generation_config.json", |config| config["num_beams"] = json!(3))
            .import()
            .unwrap()
            .pipeline()
            .unwrap();
        let run = |engine: &mut dyn Engine| {
            let limits = Limits { max_tokens: Some(6) };
            let found = pipeline
                .generate("Die Äpfel sind gut.".as_bytes(), &limits, engine, &mut Unmetered)
                .unwrap();
            (found.score.map(f32::to_bits), found)
        };
        let expected = run(&mut Local::default());
        for threads in [1, 2, 5] {
            set_threads(threads);
            assert_eq!(run(&mut Local::default()), expected, "{threads} threads");
        }
        assert_eq!(run(&mut Local::reference()), expected);
    }
}

/// Charges until so many are taken.
#[derive(Default)]
struct Count {
    taken: usize,
    limit: usize,
    stop: Option<Stop>,
    runs: usize,
}

impl Meter for Count {
    fn charge(&mut self, charge: Charge<'_>) -> Result<(), Stop> {
        if self.taken == self.limit {
            return Err(self.stop.unwrap());
        }
        self.taken += 1;
        self.runs += usize::from(matches!(charge, Charge::Run { .. }));
        Ok(())
    }
}

/// Counts what was run.
#[derive(Default)]
struct Runs {
    local: Local,
    runs: usize,
}

impl Engine for Runs {
    fn plan(&mut self, model: &Model, shapes: &[Shape]) -> Result<Arc<Plan>, PlanError> {
        self.local.plan(model, shapes)
    }

    fn run(&mut self, plan: &Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        self.runs += 1;
        self.local.run(plan, inputs)
    }
}

/// Wherever the meter stops a call, nothing unpaid was run; with a limit the answer is the beginning of the whole one.
#[test]
fn a_meter_stops_a_call_anywhere() {
    let fixture = Fixture::new("marian");
    for beams in [1, 2] {
        let pipeline = fixture
            .clone()
            .edit("generation_config.json", |config| {
                config["num_beams"] = json!(beams);
                // no sequence ends early
                config["min_new_tokens"] = json!(20);
            })
            .import()
            .unwrap()
            .pipeline()
            .unwrap();
        let limits = Limits { max_tokens: Some(7) };
        let mut all = Count {
            limit: usize::MAX,
            ..Count::default()
        };
        let text = b"The apples are good.";
        let mut engine = Runs::default();
        let whole = pipeline.generate(text, &limits, &mut engine, &mut all).unwrap();
        assert_eq!(engine.runs, all.runs);
        assert_eq!(whole.finish, Finish::MaxTokens);
        assert_eq!(whole.tokens.len(), 7);
        for limit in 0..all.taken {
            let meter = |stop| Count {
                limit,
                stop: Some(stop),
                ..Count::default()
            };
            let mut engine = Runs::default();
            let halted = pipeline.generate(text, &limits, &mut engine, &mut meter(Stop::Halt));
            assert_eq!(halted, Err(PipelineError::Stopped));
            let (mut engine, mut limited) = (Runs::default(), meter(Stop::Limit));
            let part = pipeline
                .generate(text, &limits, &mut engine, &mut limited)
                .unwrap();
            assert!(engine.runs <= limited.runs && limited.taken == limit);
            assert_eq!((part.finish, part.score), (Finish::MaxGas, None));
            if beams == 1 {
                assert_eq!(part.tokens, whole.tokens[..part.tokens.len()]);
                assert_eq!(part.tokens.len(), engine.runs.saturating_sub(1));
            }
        }
    }
}

/// A run's cost is exact, and known before it runs; steps cost more as the cache grows.
#[test]
fn what_a_step_costs_is_known_and_grows_with_the_past() {
    struct Costs(Vec<(u64, u64)>);
    impl Meter for Costs {
        fn charge(&mut self, charge: Charge<'_>) -> Result<(), Stop> {
            if let Charge::Run { cost, .. } = charge {
                assert_eq!(cost.bound, synod_model::Bound::Exact);
                self.0.push((cost.total().arithmetic, cost.peak_memory));
            }
            Ok(())
        }
    }
    let pipeline = Fixture::new("gpt2").import().unwrap().pipeline().unwrap();
    let mut costs = Costs(Vec::new());
    let found = pipeline
        .generate(b"apples", &Limits::default(), &mut Local::default(), &mut costs)
        .unwrap();
    assert_eq!(found.tokens.len(), costs.0.len());
    assert!(
        costs.0[1..]
            .windows(2)
            .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 < pair[1].1)
    );
}

#[test]
fn observers_see_each_token() {
    let pipeline = Fixture::new("gpt2").import().unwrap().pipeline().unwrap();
    let mut seen = Vec::new();
    let found = pipeline
        .generate_observed(
            b"apples",
            &Limits::default(),
            &mut Local::default(),
            &mut Unmetered,
            &mut |tokens| {
                seen.push(tokens.to_vec());
            },
        )
        .unwrap();
    assert_eq!(seen.len(), found.tokens.len());
    assert!(
        seen.iter()
            .enumerate()
            .all(|(index, tokens)| *tokens == found.tokens[..=index])
    );
}

#[test]
fn texts_at_the_edges_are_refused_or_answered() {
    let marian = Fixture::new("marian").import().unwrap().pipeline().unwrap();
    let gpt2 = Fixture::new("gpt2").import().unwrap().pipeline().unwrap();
    let run = |pipeline: &Pipeline, text: &[u8], limits| {
        pipeline.generate(text, &limits, &mut Local::default(), &mut Unmetered)
    };
    let any = Limits::default();
    // an encoder gets the token that ends the text
    assert!(run(&marian, b"", any).is_ok());
    assert_eq!(run(&gpt2, b"", any), Err(PipelineError::NoTokens));
    let not_utf8 = synod_text::TextError::NotUtf8 { position: 2 };
    assert_eq!(run(&marian, b"ab\xffcd", any), Err(PipelineError::Text(not_utf8)));
    let none = run(&marian, b"apples", Limits { max_tokens: Some(0) }).unwrap();
    assert_eq!(
        (none.tokens.len(), none.finish, none.text.as_str()),
        (0, Finish::MaxTokens, "")
    );
    let long = "apples and pears ".repeat(200);
    assert!(matches!(
        run(&gpt2, long.as_bytes(), any),
        Err(PipelineError::TooManyTokens { .. })
    ));
    let other = marian
        .classify(b"a", &mut Local::default(), &mut Unmetered)
        .unwrap_err();
    assert!(other.to_string().contains("text-to-text"), "{other}");
}
