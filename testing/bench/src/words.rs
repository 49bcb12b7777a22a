//! Pipelines on a node: what publishing them takes, what a token costs, and what a transaction with a text or a picture takes.

use crate::{
    Options,
    fixture::Fixture,
    predict::{self, PREDICT},
    report::{Report, thousands},
};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_provider::{DynProvider, Provider};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_sol_types::{SolCall, sol};
use eyre::{OptionExt as _, Result, WrapErr as _, ensure};
use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};
use serde_json::Value;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use synod_pipeline::{Directory, ImportOptions, Local, Role, Source as _, Unmetered, import};
use synod_testing::Node;

sol! {
    struct Generated {
        string text;
        uint32 inputTokens;
        uint32 outputTokens;
        uint8 finish;
    }
    function generate(string model, string input, uint32 maxTokens, uint64 maxGas) external view returns (Generated);
    function classifyFile(string model, address file) external view returns (uint256 label, string name, int256 score);
}

/// Gas of one transaction, at most, on the shipped chain.
const TRANSACTION_GAS: u64 = 1 << 27;

/// How often a transaction is sent; the fastest counts.
const RUNS: usize = 7;

/// The picture's sides: a megapixel.
const SIDES: (usize, usize) = (1_152, 868);

/// Measures, and gives the sections without a head.
pub(crate) async fn measure(options: &Options, folder: &Path, report: &mut Report) -> Result<()> {
    let data = folder.join("words");
    let node = Node::synod(&options.synod, &data).await?;
    let python = options.python.as_deref().ok_or_eyre("--words needs --python")?;
    let peer = Peer {
        python,
        script: options.root.join("testing/bench/engine/picture.py"),
    };
    let [resnet, integers] = ["resnet-50", "resnet-50-int8"].map(|name| folder.join(name));
    write_resnet(&resnet)?;
    peer.run(&[OsStr::new("quantize"), resnet.as_ref(), integers.as_ref()])?;
    let examples = options.root.join("examples");
    let published = [
        (
            "translator, 8 bits",
            "words/en-de",
            examples.join("translate/en-de"),
        ),
        (
            "guard of `examples/gate`",
            "gate/guard",
            examples.join("gate/model"),
        ),
        ("ResNet-50, floats", "gate/resnet", resnet.clone()),
        ("ResNet-50, 8 bits", "gate/resnet-int8", integers.clone()),
    ];
    let mut rows = Vec::new();
    for (what, name, folder) in &published {
        let more: &[&str] = if *folder == integers { &["--integers"] } else { &[] };
        rows.push(publish(options, &node, (what, name), folder, more).await?);
    }
    report.table(
        "Publishing a pipeline",
        "`synod model publish FOLDER` from start to registered, on a node that mines each transaction at once and makes every block durable. ResNet-50 \
         is PyTorch's graph with drawn weights; that of 8 bits is made of it by ONNX Runtime's `quantize_static` (QDQ, u8 activations, i8 weights for each \
         channel) and published with `--integers`.",
        &["pipeline", "MB on the chain", "Mgas", "blocks", "seconds"],
        &rows,
    );

    tokens(options, &node, report).await?;

    let picture = folder.join("megapixel.jpg");
    let file = jpeg()?;
    std::fs::write(&picture, &file)?;
    let address = put(options, &node, &picture)?;
    drop(node);
    transactions(options, &data, address, file.len(), report).await?;

    let mut rows = Vec::new();
    for (what, folder) in [("ResNet-50, floats", &resnet), ("ResNet-50, 8 bits", &integers)] {
        let runs = RUNS.to_string();
        let answer = peer.run(&["look".as_ref(), folder.as_ref(), picture.as_ref(), runs.as_ref()])?;
        let seen: Value = serde_json::from_str(&answer)?;
        let class = class_here(folder, &file)?;
        let milliseconds = seen["milliseconds"]
            .as_f64()
            .ok_or_eyre("the peer tells its time")?;
        rows.push(vec![
            what.to_owned(),
            format!("{milliseconds:.0}"),
            seen["class"].to_string(),
            class.to_string(),
        ]);
    }
    report.table(
        "The same picture by Pillow and ONNX Runtime",
        &format!(
            "Decoded and resized by Pillow 13, normalised by numpy, and the network run by ONNX Runtime 1.32.0 with its default threads, in one process that has \
             it at hand: the fastest of {RUNS}. The transactions above do that and are in a block besides. The classes are those that the peer and this engine give."
        ),
        &["network", "ms", "class there", "class here"],
        &rows,
    );
    Ok(())
}

/// Pillow and ONNX Runtime.
struct Peer<'o> {
    python: &'o Path,
    script: PathBuf,
}

impl Peer<'_> {
    /// Runs the script; gives what it prints.
    fn run(&self, arguments: &[&OsStr]) -> Result<String> {
        let output = Command::new(self.python)
            .arg(&self.script)
            .args(arguments)
            .output()?;
        ensure!(
            output.status.success(),
            "{} {arguments:?}: {}",
            self.script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A folder with the network and its rule.
fn write_resnet(folder: &Path) -> Result<()> {
    let fixture = Fixture::resnet_50();
    let imported = fixture.import()?;
    let model = &imported.models[&Role::Model];
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("model.onnx"), &model.graph)?;
    std::fs::write(folder.join(synod_model::WEIGHTS_FILE), &model.weights)?;
    for name in ["config.json", "preprocessor_config.json"] {
        let file = fixture.file(name)?.ok_or_eyre("the fixture is a folder")?;
        std::fs::write(folder.join(name), file)?;
    }
    Ok(())
}

/// The class that this engine gives a picture by the network of a folder.
fn class_here(folder: &Path, picture: &[u8]) -> Result<usize> {
    let options = ImportOptions {
        integers: true,
        ..ImportOptions::default()
    };
    let pipeline = import(&Directory::new(folder), &options)?.pipeline()?;
    let seen = pipeline.classify_picture(picture, &mut Local::default(), &mut Unmetered)?;
    Ok(seen.class)
}

/// A picture with soft areas, edges and some grain, as photographs have, in JPEG's usual quality.
fn jpeg() -> Result<Vec<u8>> {
    let (width, height) = SIDES;
    let mut pixels = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let edge = if (x / 97 + y / 71) % 3 == 0 { 60 } else { 0 };
            let grain = (x * 7919 + y * 104_729 + x * y) % 13;
            for factor in [3, 2, 1] {
                pixels.push(((x * factor / 7 + y / (factor + 1)) % 160 + edge + grain) as u8);
            }
        }
    }
    Encoder::new(&pixels, width, height, PixelFormat::Rgb)
        .quality(85)
        .subsampling(Subsampling::S420)
        .encode()
        .wrap_err("the picture is not encoded")
}

/// Runs a command of `synod` that prints JSON.
fn synod(options: &Options, node: &Node, arguments: &[&str]) -> Result<Value> {
    let output = Command::new(&options.synod)
        .args(arguments)
        .args(["--rpc-url", node.url(), "--json", "--private-key"])
        .arg(format!("{}", synod_testing::account(0).to_bytes()))
        .output()?;
    ensure!(
        output.status.success(),
        "synod {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn publish(
    options: &Options,
    node: &Node,
    (what, name): (&str, &str),
    folder: &Path,
    more: &[&str],
) -> Result<Vec<String>> {
    let rpc = node.provider();
    let first = rpc.get_block_number().await?;
    let begin = Instant::now();
    let path = folder.to_str().ok_or_eyre("the folder's path is not text")?;
    let report = synod(
        options,
        node,
        &[&["model", "publish", path, "--name", name], more].concat(),
    )?;
    let seconds = begin.elapsed().as_secs_f64();
    let blocks = rpc.get_block_number().await? - first;
    let number = |field: &str| report[field].as_u64().ok_or_eyre("the report has numbers");
    Ok(vec![
        what.to_owned(),
        format!("{:.1}", number("bytes")? as f64 / 1e6),
        thousands(number("gas_used")? / 1_000_000),
        thousands(blocks),
        format!("{seconds:.1}"),
    ])
}

/// Stores a file; gives its address.
fn put(options: &Options, node: &Node, path: &Path) -> Result<Address> {
    let path = path.to_str().ok_or_eyre("the file's path is not text")?;
    let stored = synod(options, node, &["file", "put", path])?;
    Ok(stored["file"].as_str().unwrap_or_default().parse()?)
}

/// What the sentences of the translator's example cost: the first token with all before it, and each further one.
async fn tokens(options: &Options, node: &Node, report: &mut Report) -> Result<()> {
    let rpc = node.signing(1);
    let meter = predict::deploy(&rpc, &options.root, "GasMeter", &[]).await?;
    let everyday = std::fs::read_to_string(options.root.join("examples/translate/everyday.txt"))?;
    let english = everyday.lines().filter_map(|line| line.split('\t').next());
    let (mut sentences, mut written, mut first, mut further) = (0u64, 0u64, 0u64, 0u64);
    for sentence in english {
        let ask = |limit: u32| {
            let call = generateCall {
                model: "words/en-de".into(),
                input: sentence.into(),
                maxTokens: limit,
                maxGas: 0,
            };
            predict::used(&rpc, meter, PREDICT, call.abi_encode())
        };
        let (one, (all, answer)) = (ask(1).await?.0, ask(0).await?);
        let tokens = generateCall::abi_decode_returns(&answer)?.outputTokens;
        sentences += 1;
        written += u64::from(tokens);
        first += one;
        further += all - one;
    }
    report.table(
        "Gas of a token",
        "The sentences of `examples/translate/everyday.txt`, each in a transaction of its own. The first token's gas has that of loading tokenizer and \
         networks, reading the text and running the encoder in it.",
        &["sentences", "tokens", "gas of the first token", "gas of each further one"],
        &[vec![
            sentences.to_string(),
            written.to_string(),
            thousands(first / sentences.max(1)),
            thousands(further / (written - sentences).max(1)),
        ]],
    );
    Ok(())
}

/// A transaction each, on a node that has just started and on one that has everything at hand.
async fn transactions(
    options: &Options,
    data: &Path,
    picture: Address,
    bytes: usize,
    report: &mut Report,
) -> Result<()> {
    let look = |model: &str| {
        let (model, file) = (model.into(), picture);
        classifyFileCall { model, file }.abi_encode()
    };
    let translate = generateCall {
        model: "words/en-de".into(),
        input: "The apples are good.".into(),
        maxTokens: 0,
        maxGas: 0,
    };
    let cases = [
        (
            "\"The apples are good.\", translated".to_owned(),
            translate.abi_encode(),
        ),
        ("the picture, by the guard".to_owned(), look("gate/guard")),
        ("the picture, by ResNet-50".to_owned(), look("gate/resnet")),
        (
            "the picture, by ResNet-50 of 8 bits".to_owned(),
            look("gate/resnet-int8"),
        ),
    ];
    let mut rows = Vec::new();
    for (what, data_of_call) in cases {
        let node = Node::synod(&options.synod, data).await?;
        let rpc = node.signing(2);
        let (mut nothing, mut gas) = (f64::INFINITY, 0);
        for _ in 0..RUNS {
            let (taken, _) = send(&rpc, Address::repeat_byte(0x11), Vec::new()).await?;
            nothing = if taken < nothing { taken } else { nothing };
        }
        let (mut first, mut least) = (0.0, f64::INFINITY);
        for run in 0..=RUNS {
            let (taken, used) = send(&rpc, PREDICT, data_of_call.clone()).await?;
            gas = used;
            if run == 0 {
                first = taken;
            } else if taken < least {
                least = taken;
            }
        }
        rows.push(vec![
            what,
            thousands(gas),
            format!("{:.0}", (first - nothing) * 1e3),
            format!("{:.0}", (least - nothing) * 1e3),
            format!("{:.0}", gas as f64 / (least - nothing) / 1e6),
        ]);
    }
    let (width, height) = SIDES;
    report.table(
        "A transaction with a text or a picture",
        &format!(
            "From sending a transaction to its receipt, less what a transfer takes: the first on a node that has just started, which reads and compiles \
             everything, and the fastest of {RUNS} further ones. The picture is a JPEG of {width} × {height} pixels and {:.0} kB that was stored before; its \
             transaction decodes it, resizes it, brings it into the network's form and runs the network.",
            bytes as f64 / 1e3
        ),
        &["transaction", "gas", "first, ms", "further, ms", "Mgas/s, further"],
        &rows,
    );
    Ok(())
}

/// Sends a call, waits for its receipt, and gives seconds and gas.
async fn send(rpc: &DynProvider, to: Address, input: Vec<u8>) -> Result<(f64, u64)> {
    let request = TransactionRequest {
        to: Some(TxKind::Call(to)),
        value: Some(U256::ZERO),
        input: Bytes::from(input).into(),
        gas: Some(TRANSACTION_GAS),
        ..Default::default()
    };
    let begin = Instant::now();
    let hash = *rpc.send_transaction(request).await?.tx_hash();
    loop {
        if let Some(receipt) = rpc.get_transaction_receipt(hash).await? {
            ensure!(receipt.status(), "transaction {hash} failed");
            return Ok((begin.elapsed().as_secs_f64(), receipt.gas_used));
        }
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}
