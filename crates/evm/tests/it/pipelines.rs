//! Pipelines and files on the chain: published, asked, refused; equal on nodes that have them in memory and that have not.

#[path = "../../../pipeline/tests/fixture/mod.rs"]
mod fixture;

use crate::{
    onnx::{Dim, F32, Graph},
    world::{ALICE, Tx, World, import, refusal, success},
};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolConstructor, SolError, SolEvent};
use fixture::Fixture;
use std::path::Path;
use synod_evm::{
    addresses::{MODEL_REGISTRY, PREDICT},
    file::FileManifest,
    interface::{
        IPredict::{self, IPredictErrors},
        ModelRegistry,
    },
    pipeline::PipelineManifest,
};
use synod_model::CanonicalModel;
use synod_pipeline::{
    Description, Directory, Finish, Hash, ImportOptions, Imported, Limits, Local, Role, Task, Unmetered,
};

alloy_sol_types::sol!(Tenders, "../../examples/translate/artifacts/Tenders.json");
alloy_sol_types::sol!(Gate, "../../examples/gate/artifacts/Gate.json");

const CHUNK: usize = 20_480;

/// A translator with drawn weights, in the layout of opus-mt's exports. Drawn weights may end a text at once: here none ends early.
fn marian() -> Imported {
    let fixture = Fixture::new("marian").edit("generation_config.json", |rule| {
        rule["min_new_tokens"] = 6.into();
    });
    fixture.import().unwrap()
}

/// A network that tells red pictures of 2 × 2 pixels from green and blue ones by the sums of their channels.
fn colours() -> Imported {
    let sides = [1, 3, 2, 2].map(Dim::Size);
    let mut weights = [0.0; 36];
    for pixel in 0..12 {
        weights[pixel * 3 + pixel / 4] = 1.0;
    }
    let graph = Graph::default()
        .input("pixel_values", F32, &sides)
        .weights("W", &[12, 3], &weights)
        .node("Flatten", &["pixel_values"], &["flat"])
        .node("MatMul", &["flat", "W"], &["logits"])
        .output("logits", F32, &[Dim::Size(1), Dim::Size(3)]);
    let model = import(&graph.file(), &[]);
    let rule = br#"{"image_processor_type":"ViTImageProcessor","do_resize":true,"size":{"height":2,"width":2},"resample":2,
        "do_rescale":true,"rescale_factor":0.00392156862745098,"do_normalize":false}"#;
    let description = Description {
        version: synod_pipeline::DESCRIPTION_VERSION,
        task: Task::ImageClassification,
        models: [(Role::Model, Hash::from(model.id()))].into(),
        files: Default::default(),
        text: None,
        generation: None,
        image: Some(synod_image::Rule::from_hugging_face(rule).unwrap()),
        labels: ["red", "green", "blue"].map(str::to_owned).into(),
    };
    Imported {
        description,
        models: [(Role::Model, model)].into(),
        files: Default::default(),
        notes: Vec::new(),
    }
}

impl World {
    fn store(&mut self, file: &[u8]) -> Address {
        let (manifest, chunks) = FileManifest::cut(file, CHUNK);
        for code in chunks.iter().chain([&manifest.encode()]) {
            self.place(code);
        }
        manifest.address()
    }

    fn register(&mut self, model: &CanonicalModel) {
        let manifest = self.upload(model).address();
        let call = ModelRegistry::registerCall { manifest }.abi_encode();
        let id = ModelRegistry::registerCall::abi_decode_returns(&success(
            &self.send(&Tx::call(MODEL_REGISTRY, call)),
        ));
        assert_eq!(id.unwrap(), B256::from(model.id().0));
    }

    /// Stores description and files; gives the manifest.
    fn store_pipeline(&mut self, imported: &Imported) -> Address {
        let description = self.store(&imported.description.encode());
        let files = imported.files.values().map(|file| self.store(file)).collect();
        let manifest = PipelineManifest { description, files };
        self.place(&manifest.encode())
    }

    fn publish_pipeline(&mut self, name: &str, imported: &Imported) -> B256 {
        imported.models.values().for_each(|model| self.register(model));
        let manifest = self.store_pipeline(imported);
        let call = crate::world::publish_call(name, manifest);
        let outcome = self.send(&Tx::call(MODEL_REGISTRY, call));
        let published = ModelRegistry::publishCall::abi_decode_returns(&success(&outcome)).unwrap();
        assert_eq!(published.id, B256::from(imported.description.id().0));
        published.id
    }
}

fn text(model: &str, input: &str) -> IPredict::textCall {
    IPredict::textCall {
        model: model.into(),
        input: input.into(),
    }
}

fn generate(model: &str, input: &str, max_tokens: u32, max_gas: u64) -> IPredict::generateCall {
    IPredict::generateCall {
        model: model.into(),
        input: input.into(),
        maxTokens: max_tokens,
        maxGas: max_gas,
    }
}

fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    let pixels = colour.repeat((width * height) as usize);
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    file
}

/// Gas that a call of the precompile uses in a transaction of its own.
fn gas_of(world: &World, call: impl SolCall) -> u64 {
    let outcome = world.look(&Tx::call(PREDICT, call.abi_encode())).result;
    success(&outcome);
    outcome.tx_gas_used()
}

#[test]
fn a_contract_gets_the_text_that_the_pipeline_writes_anywhere() {
    let imported = marian();
    let mut world = World::genesis();
    let id = world.publish_pipeline("words/en-de", &imported);
    let pipeline = imported.pipeline().unwrap();
    for input in ["The apples are good.", "yes", "Where is the station?"] {
        let limits = Limits { max_tokens: Some(6) };
        let here = pipeline
            .generate(input.as_bytes(), &limits, &mut Local::default(), &mut Unmetered)
            .unwrap();
        let there = world.predict(&generate("words/en-de", input, 6, 0));
        assert_eq!(there.text, here.text);
        assert_eq!(there.inputTokens, here.prompt_tokens);
        assert_eq!(there.outputTokens as usize, here.tokens.len());
        assert_eq!(there.finish, u8::from(here.finish != Finish::Eos));
        let by_id = IPredict::generateIdCall {
            id,
            input: input.into(),
            maxTokens: 6,
            maxGas: 0,
        };
        assert_eq!(world.predict(&by_id), there);
        let call = IPredict::tokenizeCall {
            model: "words/en-de".into(),
            input: input.into(),
        };
        assert_eq!(world.predict(&call).len(), here.prompt_tokens as usize);
    }
}

#[test]
fn memory_changes_neither_gas_nor_bits_nor_what_a_transaction_touches() {
    let mut warm = World::genesis();
    warm.publish_pipeline("words/en-de", &marian());
    warm.publish_pipeline("gate/colours", &colours());
    let file = warm.store(&png(5, 3, [10, 200, 30]));
    let cold = warm.cold();
    let calls = [
        generate("words/en-de", "The apples are good.", 3, 0).abi_encode(),
        text("words/en-de", "yes").abi_encode(),
        IPredict::classifyFileCall {
            model: "gate/colours".into(),
            file,
        }
        .abi_encode(),
    ];
    for call in calls {
        let tx = Tx::call(PREDICT, call);
        let [first, second, again] = [warm.look(&tx), cold.look(&tx), cold.look(&tx)];
        assert!(first.result.is_success(), "{:?}", first.result);
        assert_eq!(first.result, second.result);
        assert_eq!(first.state, second.state);
        assert_eq!(first.result, again.result);
        assert_eq!(first.state, again.state);
    }
}

#[test]
fn limits_end_a_text_early_and_cost_what_was_used() {
    let mut world = World::genesis();
    world.publish_pipeline("words/en-de", &marian());
    let input = "The apples are good.";
    let all = world.predict(&generate("words/en-de", input, 8, 0));
    let one = world.predict(&generate("words/en-de", input, 1, 0));
    assert_eq!((one.outputTokens, one.finish), (1, 1));
    let gas = |tokens| gas_of(&world, generate("words/en-de", input, tokens, 0));
    assert!(gas(1) < gas(4));
    // a limit of gas between what one token and what all of them take
    let fixed = 21_000 + 16 * 300;
    let limited = generate("words/en-de", input, 8, gas(4).saturating_sub(fixed));
    let some = world.predict(&limited);
    assert_eq!(some.finish, 2);
    assert!(
        some.outputTokens >= 1 && some.outputTokens < all.outputTokens,
        "{some:?}"
    );
    let used = gas_of(&world, limited);
    assert!(used <= gas(4), "{used}");
    // before the first token there is nothing, and no revert
    let nothing = world.predict(&generate("words/en-de", input, 8, 20_000_000.min(gas(1) / 2)));
    assert_eq!(
        (nothing.text.as_str(), nothing.outputTokens, nothing.finish),
        ("", 0, 2)
    );
    // the outer limit is a revert
    let inner = generate("words/en-de", input, 8, 0).abi_encode().into();
    let outer = IPredict::withMaxGasCall {
        maxGas: gas(1) / 2,
        call: inner,
    };
    assert!(matches!(world.refusal(&outer), IPredictErrors::MaxGasExceeded(_)));
}

#[test]
fn a_quote_bounds_the_charge() {
    let mut world = World::genesis();
    world.publish_pipeline("words/en-de", &marian());
    for (input, tokens) in [("yes", 1), ("The apples are good.", 7)] {
        let call = IPredict::quoteTextCall {
            model: "words/en-de".into(),
            input: input.into(),
            maxTokens: tokens,
        };
        let quote = world.predict(&call);
        assert_eq!(
            quote.total,
            quote.transfer + quote.load + quote.planning + quote.execution
        );
        let call = generate("words/en-de", input, tokens, 0);
        let data = call.abi_encode();
        let used = gas_of(&world, call);
        // a transaction's own part: its base, and its call data
        let zeros = data.iter().filter(|&&byte| byte == 0).count() as u64;
        let own = 21_000 + 4 * zeros + 16 * (data.len() as u64 - zeros);
        assert!(quote.total >= used - own, "{} < {}", quote.total, used - own);
    }
}

#[test]
fn a_contract_looks_at_a_picture() {
    let mut world = World::genesis();
    world.publish_pipeline("gate/colours", &colours());
    for (colour, name) in [([255, 0, 0], "red"), ([0, 90, 10], "green"), ([1, 2, 3], "blue")] {
        let file = png(40, 30, colour);
        let seen = world.predict(&IPredict::classifyImageCall {
            model: "gate/colours".into(),
            picture: file.clone().into(),
        });
        assert_eq!(seen.name, name);
        assert!(seen.score > alloy_primitives::I256::ZERO);
        let address = world.store(&file);
        let stored = world.predict(&IPredict::classifyFileCall {
            model: "gate/colours".into(),
            file: address,
        });
        assert_eq!(
            (stored.label, stored.name, stored.score),
            (seen.label, seen.name, seen.score)
        );
        let size = world.predict(&IPredict::fileSizeCall { file: address });
        assert_eq!(size, file.len() as u64);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_its_name() {
    let mut world = World::with_models();
    let id = world.publish_pipeline("words/en-de", &marian());
    world.publish_pipeline("gate/colours", &colours());
    let task = |error: IPredictErrors| match error {
        IPredictErrors::WrongTask(error) => error.task,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        task(world.refusal(&text("gate/colours", "a"))),
        "image-classification"
    );
    assert_eq!(
        task(world.refusal(&crate::world::run("words/en-de", &[1.0]))),
        "pipeline"
    );
    let picture = IPredict::classifyImageCall {
        model: "words/en-de".into(),
        picture: png(1, 1, [0; 3]).into(),
    };
    assert_eq!(task(world.refusal(&picture)), "text-to-text");
    let looks = |picture: Vec<u8>| IPredict::classifyImageCall {
        model: "gate/colours".into(),
        picture: picture.into(),
    };
    for bad in [vec![], b"GIF89a".to_vec(), png(9, 9, [1; 3])[..60].to_vec()] {
        assert!(matches!(
            world.refusal(&looks(bad)),
            IPredictErrors::InvalidPicture(_)
        ));
    }
    let nowhere = IPredict::classifyFileCall {
        model: "gate/colours".into(),
        file: Address::repeat_byte(7),
    };
    assert!(matches!(world.refusal(&nowhere), IPredictErrors::InvalidFile(_)));
    // not UTF-8: the string's bytes are written by hand
    let mut call = text("words/en-de", "aaaa").abi_encode();
    let at = call.len() - 32 + 2;
    call[at] = 0xff;
    let outcome = world.look(&Tx::call(PREDICT, call)).result;
    assert_eq!(
        refusal(&outcome),
        IPredictErrors::InvalidUtf8(IPredict::InvalidUtf8 {
            position: U256::from(2)
        })
    );
    let long = "a ".repeat(40_000);
    let outcome = world
        .look(&Tx::call(PREDICT, text("words/en-de", &long).abi_encode()))
        .result;
    assert!(matches!(refusal(&outcome), IPredictErrors::TextTooLong(_)));
    // a pipeline is no base of a patch, and no part of a pipeline
    let mut nested = marian();
    nested.description.models.insert(Role::Encoder, Hash(id.0));
    let manifest = world.store_pipeline(&nested);
    let refused = world.refusal(&IPredict::validateCall { manifest });
    assert_eq!(task(refused), "pipeline");
}

#[test]
fn a_pipeline_is_validated_in_full() {
    let mut world = World::genesis();
    let imported = marian();
    let manifest = world.store_pipeline(&imported);
    let validate = IPredict::validateCall { manifest };
    assert!(
        matches!(world.refusal(&validate), IPredictErrors::UnknownModelId(_)),
        "its networks are not there yet"
    );
    imported.models.values().for_each(|model| world.register(model));
    let found = world.predict(&validate);
    assert_eq!(found.kind, 1);
    assert_eq!(found.id, B256::from(imported.description.id().0));

    // another tokenizer than the description names
    let mut other = imported.clone();
    let file = other.files.values_mut().next().unwrap();
    let last = file.len() - 1;
    file[last] = b' ';
    let manifest = world.store_pipeline(&other);
    let refused = world.refusal(&IPredict::validateCall { manifest });
    assert!(
        matches!(refused, IPredictErrors::InvalidPipeline(_)),
        "{refused:?}"
    );
    // a description that is written otherwise
    let mut encoded = imported.description.encode();
    encoded.push(b' ');
    let description = world.store(&encoded);
    let files: Vec<Address> = imported.files.values().map(|file| world.store(file)).collect();
    let manifest = world.place(
        &PipelineManifest {
            description,
            files: files.clone(),
        }
        .encode(),
    );
    let refused = world.refusal(&IPredict::validateCall { manifest });
    assert!(
        matches!(refused, IPredictErrors::InvalidPipeline(_)),
        "{refused:?}"
    );
    // a file too many
    let description = world.store(&imported.description.encode());
    let manifest = world.place(
        &PipelineManifest {
            description,
            files: [files.clone(), files].concat(),
        }
        .encode(),
    );
    let refused = world.refusal(&IPredict::validateCall { manifest });
    assert!(
        matches!(refused, IPredictErrors::InvalidPipeline(_)),
        "{refused:?}"
    );
    // chunks that are missing
    let (listed, _) = FileManifest::cut(&[3; 50_000], CHUNK);
    let file = world.place(&listed.encode());
    assert_eq!(world.predict(&IPredict::fileSizeCall { file }), 50_000);
    let manifest = PipelineManifest {
        description: file,
        files: Vec::new(),
    };
    let manifest = world.place(&manifest.encode());
    let refused = world.refusal(&IPredict::validateCall { manifest });
    assert!(matches!(refused, IPredictErrors::InvalidChunk(_)), "{refused:?}");
}

/// The founding example, with the network of the worked example.
#[test]
fn a_tender_is_stored_with_its_german_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/translate/en-de");
    let imported = synod_pipeline::import(&Directory::new(folder), &ImportOptions::default()).unwrap();
    let pipeline = imported.pipeline().unwrap();
    let mut world = World::genesis();
    world.publish_pipeline("words/en-de", &imported);
    let arguments = Tenders::constructorCall {
        translator_: "words/en-de@1".into(),
    };
    let contract = world.deploy([&Tenders::BYTECODE[..], &arguments.abi_encode()].concat());
    let tenders = [
        ("The apples are good.", "Die Äpfel sind gut."),
        (
            "The children are playing in the street.",
            "Die Kinder spielen in der Straße.",
        ),
    ];
    for (number, (english, german)) in tenders.into_iter().enumerate() {
        let here = pipeline
            .generate(
                english.as_bytes(),
                &Limits::default(),
                &mut Local::default(),
                &mut Unmetered,
            )
            .unwrap();
        assert_eq!(here.finish, Finish::Eos, "{english}");
        assert_eq!(here.text, german);
        let call = Tenders::postCall {
            english: english.into(),
        };
        let outcome = world.send(&Tx::call(contract, call.abi_encode()));
        success(&outcome);
        let posted = Tenders::Posted::decode_log(&outcome.logs()[0]).unwrap();
        assert_eq!((posted.english.as_str(), &posted.german), (english, &here.text));
        let tender = U256::from(number);
        let stored = world.ask(contract, &Tenders::tenderAtCall { tender });
        assert_eq!((stored.english.as_str(), &stored.german), (english, &here.text));
    }
    // half of a text is none
    let limited = world.predict(&generate("words/en-de", tenders[1].0, 3, 0));
    assert_eq!((limited.outputTokens, limited.finish), (3, 1));
}

/// The worked example: a network that was trained on digits, pictures as people upload them, and what another runtime sees on them.
#[test]
fn the_gate_sees_what_another_runtime_sees_and_lets_digits_in() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gate");
    let guard =
        synod_pipeline::import(&Directory::new(folder.join("model")), &ImportOptions::default()).unwrap();
    let mut world = World::genesis();
    world.publish_pipeline("gate/guard", &guard);
    let arguments = Gate::constructorCall {
        guard_: "gate/guard@1".into(),
        threshold_: alloy_primitives::I256::try_from(500_000_000_000_000_000i64).unwrap(),
    };
    let gate = world.deploy([&Gate::BYTECODE[..], &arguments.abi_encode()].concat());
    let pictures = folder.join("pictures");
    let answers = std::fs::read_to_string(pictures.join("answers.json")).unwrap();
    let answers: Vec<serde_json::Value> = serde_json::from_str(&answers).unwrap();
    assert!(answers.len() >= 13);
    for answer in &answers {
        let (name, label) = (
            answer["file"].as_str().unwrap(),
            answer["label"].as_str().unwrap(),
        );
        let file = world.store(&std::fs::read(pictures.join(name)).unwrap());
        let seen = world.predict(&IPredict::classifyFileCall {
            model: "gate/guard".into(),
            file,
        });
        assert_eq!(seen.name, label, "{name}");
        let show = Tx::call(gate, Gate::showCall { file }.abi_encode());
        let outcome = world.send(&show);
        success(&outcome);
        let entry = world.ask(gate, &Gate::entryOfCall { file });
        if label == "none" {
            assert_eq!(entry.bearer, Address::ZERO, "{name}");
            Gate::Refused::decode_log(&outcome.logs()[0]).unwrap();
        } else {
            assert_eq!((entry.bearer, entry.digit.as_str()), (ALICE, label), "{name}");
            let again = world.look(&show).result;
            assert!(Gate::AlreadyAccepted::abi_decode(again.output().unwrap()).is_ok());
        }
    }
}

/// 25.6 million floats: publishing takes many transactions, looking at a picture one, within the limits of the shipped chain.
#[test]
fn a_network_of_102_mb_sees_a_picture_within_a_transaction() {
    const TRANSACTION_GAS: u64 = 1 << 27;
    let imported = Fixture::resnet_50().import().unwrap();
    let mut world = World::genesis();
    world.env.cfg_env.tx_gas_limit_cap = Some(TRANSACTION_GAS);
    let dear = |to: Address, call: Vec<u8>| Tx {
        gas: TRANSACTION_GAS,
        ..Tx::call(to, call)
    };
    let model = &imported.models[&Role::Model];
    assert!(model.weights.len() > 102_000_000, "{}", model.weights.len());
    let manifest = world.upload(model).address();
    let register = ModelRegistry::registerCall { manifest }.abi_encode();
    let registered = world.send(&dear(MODEL_REGISTRY, register));
    success(&registered);
    let manifest = world.store_pipeline(&imported);
    let publish = crate::world::publish_call("gate/resnet", manifest);
    let published = world.send(&dear(MODEL_REGISTRY, publish));
    success(&published);

    let picture = png(320, 240, [200, 120, 40]);
    let here = imported
        .pipeline()
        .unwrap()
        .classify_picture(&picture, &mut Local::default(), &mut Unmetered)
        .unwrap();
    let call = IPredict::classifyImageCall {
        model: "gate/resnet".into(),
        picture: picture.into(),
    };
    let outcome = world.look(&dear(PREDICT, call.abi_encode())).result;
    let seen = IPredict::classifyImageCall::abi_decode_returns(&success(&outcome)).unwrap();
    assert_eq!((seen.label, seen.name), (U256::from(here.class), here.label));
    // what docs/words-and-pictures.md tells operators
    let told = [48_000_000, 23_000_000, 57_000_000];
    for (outcome, told) in [&registered, &published, &outcome].into_iter().zip(told) {
        let gas = outcome.tx_gas_used();
        assert!(gas.abs_diff(told) < told / 10, "{gas}, not {told}");
    }
}
