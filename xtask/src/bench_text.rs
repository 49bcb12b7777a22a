//! Words and pictures: a translator beside ONNX Runtime, and what transactions with pipelines take, into `docs/benchmarks-text.md`.
//!
//! The translator runs in processes of its own, pinned to one processor, that take turns; the processor's time counts, and of the
//! turns the least ([`bench_engine`](crate::bench_engine)).

use crate::{
    bench_engine::{Worker, processor},
    clients,
    command::{cargo, command, root, run, target},
};
use eyre::{OptionExt as _, Result, WrapErr as _, ensure};
use std::fmt::Write as _;

/// Options of `cargo xtask bench text`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Turns of each engine.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Measure the translator alone, without building and running a node.
    #[arg(long)]
    translator_only: bool,
}

/// What is written anew stands behind this line.
const MARK: &str = "<!-- What follows is written by `cargo xtask bench text`. -->\n";

/// Measures, and writes the part of the report that is made by a program.
///
/// # Errors
/// When a step fails.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let path = root().join("docs/benchmarks-text.md");
    let report =
        std::fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    let by_hand = report
        .split_once(MARK)
        .map(|(by_hand, _)| by_hand)
        .ok_or_eyre("docs/benchmarks-text.md has no mark behind which the measured part stands")?;
    let mut text = format!("{by_hand}{MARK}");
    translator(options, &mut text)?;
    if !options.translator_only {
        text.push_str(&transactions()?);
    }
    std::fs::write(&path, text)?;
    Ok(())
}

/// The sentences of `examples/translate/everyday.txt`, here and on ONNX Runtime.
fn translator(options: &Options, text: &mut String) -> Result<()> {
    let folder = root().join("examples/translate");
    let everyday = std::fs::read_to_string(folder.join("everyday.txt"))?;
    let english: Vec<&str> = everyday
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    let file = target().join("everyday-english.txt");
    std::fs::write(&file, english.join("\n"))?;
    let python = clients::exact_environment("venv-translate", &["testing/bench/engine/translate.txt"])?;
    run(
        "build the pipelines with the release profile",
        cargo().args([
            "build",
            "--release",
            "--package",
            "synod-pipeline",
            "--example",
            "generate",
        ]),
    )?;
    let ours = target().join("release/examples/generate");
    let peer = root().join("testing/bench/engine/translate.py");
    let exported = folder.join("en-de");
    let [file, peer, exported] = [&file, &peer, &exported].map(|path| path.display().to_string());
    let of_ours = |plans: &str| {
        let arguments = ["serve", plans, &exported, &file];
        Worker::start(&ours, &arguments, 1)?.ok_or_eyre("the example `generate` does not start")
    };
    let there = Worker::start(&python, &[&peer, &exported, &file], 1)?;
    let mut workers = [
        of_ours("made")?,
        of_ours("kept")?,
        there.ok_or_eyre("the loop in Python does not start")?,
    ];
    let mut least = [f64::INFINITY; 3];
    for _ in 0..options.rounds {
        for (worker, least) in workers.iter_mut().zip(&mut least) {
            let taken = worker.turn(options.seconds, true)?;
            *least = if taken < *least { taken } else { *least };
        }
    }
    let tokens = workers.each_ref().map(Worker::said);
    ensure!(
        tokens.iter().all(|&count| count > 0.0),
        "no worker wrote anything"
    );
    let rates = [0, 1, 2].map(|index| tokens[index] / least[index] * 1e3);
    write!(
        text,
        "\n## The translator beside ONNX Runtime\n\n\
         At commit {commit}, on {processor}: the {count} sentences of `examples/translate/everyday.txt`, one after the other, on one thread, text in\n\
         and text out. ONNX Runtime 1.32.0 runs the same three files in the greedy loop of `examples/translate/translate.py`. Processor time of processes that\n\
         take turns on one processor, the least of {rounds} turns: other work shared the machine. *Ratio* is our rate by ONNX Runtime's.\n\n\
         | | tokens | tokens a second | ratio |\n| --- | ---: | ---: | ---: |\n",
        commit = commit()?,
        processor = processor(),
        count = english.len(),
        rounds = options.rounds,
    )?;
    let names = [
        "synod, no plan is kept from a sentence to the next",
        "synod, plans are kept",
        "ONNX Runtime",
    ];
    for ((name, tokens), rate) in names.iter().zip(tokens).zip(rates) {
        let ratio = rate / rates[2];
        writeln!(text, "| {name} | {tokens:.0} | {rate:.0} | {ratio:.2} |")?;
    }
    Ok(())
}

/// What `synod-bench --words` finds on a node.
fn transactions() -> Result<String> {
    run(
        "build with the release profile",
        cargo().args(["build", "--release", "-p", "synod", "-p", "synod-bench"]),
    )?;
    let python = clients::exact_environment("venv-picture", &["testing/bench/engine/picture.txt"])?;
    let (release, part) = (target().join("release"), target().join("benchmarks-words.md"));
    run(
        "transactions with pipelines",
        command(release.join("synod-bench"))
            .arg("--synod")
            .arg(release.join("synod"))
            .arg("--root")
            .arg(root())
            .arg("--words")
            .arg("--python")
            .arg(python)
            .arg("--output")
            .arg(&part),
    )?;
    Ok(std::fs::read_to_string(part)?)
}

fn commit() -> Result<String> {
    let output = command("git").args(["rev-parse", "--short", "HEAD"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
