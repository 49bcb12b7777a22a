//! Times a model: the wall-clock time of a run, and with `--profile` where it goes.
//!
//!     cargo run --release -p synod-model --example time -- FILE.onnx [--threads N] [--profile] [--seconds S] [--dim NAME=SIZE]... [--ints N] [--integers]
//!
//! Inputs are pseudo-random: floats of a standard normal distribution, integers below `--ints` (100 unless said). Free dimensions are 1
//! unless `--dim` says otherwise; `--integers` imports a quantised network as one of integers. The median and the least of the runs are printed in milliseconds.
//!
//! `--serve` makes a worker of a benchmark of it: it prints `ready`, then answers each line on its standard input, a number of
//! seconds, with the least of the runs in so many seconds, in milliseconds, and the number of runs. `--peak` prints the multiply-adds that one thread of
//! this machine does with vectors of floats, in GFLOP/s, and exits.
//!
//! `--compile` compiles the canonical model again and again for `--seconds` and prints the least milliseconds of loading and of planning, the
//! bytes of its weights, and the bytes that the process holds more for the compiled model and plan than for these weights.

use bytes::Bytes;
use std::{
    collections::BTreeMap,
    error::Error,
    hint::black_box,
    io::{BufRead, Write},
    path::Path,
    time::Instant,
};
use synod_model::{
    CanonicalModel, DType, DimArgument, DimSetting, ExternalData, ExternalDataError, ImportError,
    ImportOptions, Model, Observer, Plan, Tensor, TensorView, Unmetered, import_onnx,
};

#[derive(Default)]
struct Arguments {
    file: String,
    profile: bool,
    serve: bool,
    compile: bool,
    integers: bool,
    seconds: f64,
    ints: u64,
    dims: BTreeMap<String, DimSetting>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments {
        seconds: 1.0,
        ints: 100,
        ..Arguments::default()
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match &word[..] {
            "--peak" => {
                println!("{:.1}", peak::gigaflops());
                return Ok(());
            }
            "--threads" => {
                synod_numerics::pool::set_threads(value()?.parse()?);
            }
            "--profile" => arguments.profile = true,
            "--serve" => arguments.serve = true,
            "--compile" => arguments.compile = true,
            "--integers" => arguments.integers = true,
            "--seconds" => arguments.seconds = value()?.parse()?,
            "--ints" => arguments.ints = value()?.parse()?,
            "--dim" => {
                let dim: DimArgument = value()?.parse()?;
                arguments.dims.insert(dim.name, dim.setting);
            }
            file => arguments.file = file.to_owned(),
        }
    }
    let start = Instant::now();
    let canonical = import(&arguments)?;
    let imported = start.elapsed();
    if arguments.compile {
        return compile(&canonical, arguments.seconds);
    }
    let start = Instant::now();
    let model = Model::load(canonical.graph, canonical.weights)?;
    let loaded = start.elapsed();
    let shapes = model.signature().max_shapes();
    let start = Instant::now();
    let plan = model.plan(&shapes)?;
    let planned = start.elapsed();
    let mut random = Random(1);
    let inputs = model.signature().inputs.iter().zip(&shapes);
    let inputs = inputs
        .map(|(input, shape)| random.tensor(input.dtype, shape, arguments.ints))
        .collect::<Result<Vec<_>, _>>()?;
    if arguments.serve {
        return serve(&plan, &inputs);
    }
    println!(
        "imported in {imported:.1?}, loaded in {loaded:.1?}, planned in {planned:.1?}; {} multiply-adds, {} bytes at the peak",
        plan.cost().multiply_adds,
        plan.cost().peak_memory
    );
    let (times, _) = time(&plan, &inputs, arguments.seconds)?;
    let (median, least) = (times[times.len() / 2], times[0]);
    println!(
        "median {median:.5} ms, least {least:.5} ms of {} runs; {:.1} GFLOP/s",
        times.len(),
        2.0 * plan.cost().multiply_adds as f64 / median / 1e6
    );
    if arguments.profile {
        profile(&model, &plan, &inputs, times.len().clamp(1, 200))?;
    }
    Ok(())
}

/// Compiles a model for its largest shapes, again and again.
fn compile(canonical: &CanonicalModel, seconds: f64) -> Result<(), Box<dyn Error>> {
    let milliseconds = |start: Instant| start.elapsed().as_secs_f64() * 1e3;
    let (mut load, mut plan) = (f64::INFINITY, f64::INFINITY);
    let (begin, before) = (Instant::now(), resident()?);
    let mut held = 0;
    while held == 0 || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        let model = Model::load(canonical.graph.clone(), canonical.weights.clone())?;
        let loaded = milliseconds(start);
        let shapes = model.signature().max_shapes();
        let start = Instant::now();
        let compiled = model.plan(&shapes)?;
        let planned = milliseconds(start);
        if loaded + planned < load + plan {
            (load, plan) = (loaded, planned);
        }
        if held == 0 {
            held = resident()?.saturating_sub(before).max(1);
        }
        drop(black_box((model, compiled)));
    }
    println!("{load:.3} {plan:.3} {} {held}", canonical.weights.len());
    Ok(())
}

/// Bytes of memory that the process holds.
fn resident() -> Result<usize, Box<dyn Error>> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = pages
        .split_whitespace()
        .nth(1)
        .ok_or("statm has a second number")?
        .parse()?;
    Ok(pages * 4096)
}

/// Reads external data from the folder of the file.
struct Beside<'a>(&'a Path);

impl ExternalData for Beside<'_> {
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, ExternalDataError> {
        let file = std::fs::read(self.0.join(location)).map_err(|error| ExternalDataError::Io {
            location: location.to_owned(),
            why: error.to_string(),
        })?;
        BTreeMap::from([(location.to_owned(), Bytes::from(file))]).read(location, offset, length)
    }
}

/// Imports the file; a free dimension that nobody set is 1.
fn import(arguments: &Arguments) -> Result<CanonicalModel, Box<dyn Error>> {
    let file = std::fs::read(&arguments.file)?;
    let folder = Path::new(&arguments.file).parent().unwrap_or(Path::new("."));
    let mut options = ImportOptions {
        dims: arguments.dims.clone(),
        integers: arguments.integers,
    };
    loop {
        match import_onnx(&file, &Beside(folder), &options) {
            Err(ImportError::FreeDimension { name, .. }) if !options.dims.contains_key(&name) => {
                options.dims.insert(name, DimSetting::Pin(1));
            }
            result => return Ok(result?),
        }
    }
}

/// Milliseconds of runs within so many seconds, ascending, and how many runs there were. Short runs are timed many at a time.
fn time(plan: &Plan, inputs: &[Tensor], seconds: f64) -> Result<(Vec<f64>, usize), Box<dyn Error>> {
    let run = || {
        plan.run(black_box(inputs), &mut Unmetered)
            .map(|outputs| drop(black_box(outputs)))
    };
    run()?;
    let start = Instant::now();
    run()?;
    let together = (5e-5 / start.elapsed().as_secs_f64()).clamp(1.0, 1000.0) as usize;
    let mut times = Vec::new();
    let start = Instant::now();
    while times.is_empty() || start.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        for _ in 0..together {
            run()?;
        }
        times.push(start.elapsed().as_secs_f64() * 1e3 / together as f64);
    }
    let runs = 2 + together * times.len();
    times.sort_by(f64::total_cmp);
    Ok((times, runs))
}

/// Answers lines of seconds with the least milliseconds of a run, and the number of runs.
fn serve(plan: &Plan, inputs: &[Tensor]) -> Result<(), Box<dyn Error>> {
    println!("ready {}", plan.cost().multiply_adds);
    for line in std::io::stdin().lock().lines() {
        let (times, runs) = time(plan, inputs, line?.trim().parse()?)?;
        println!("{:.6} {runs}", times[0]);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The least time of each step.
struct Profiler {
    begun: Instant,
    /// By the nodes of the step: seconds.
    spent: BTreeMap<Vec<usize>, f64>,
}

impl Observer for Profiler {
    fn begin(&mut self, _nodes: &[usize]) {
        self.begun = Instant::now();
    }

    fn end(&mut self, nodes: &[usize], _outputs: &[Option<TensorView<'_>>]) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let least = self.spent.entry(nodes.to_vec()).or_insert(f64::INFINITY);
        if seconds < *least {
            *least = seconds;
        }
    }
}

/// Prints the steps, slowest first, and the operators.
fn profile(model: &Model, plan: &Plan, inputs: &[Tensor], runs: usize) -> Result<(), Box<dyn Error>> {
    let mut profiler = Profiler {
        begun: Instant::now(),
        spent: BTreeMap::new(),
    };
    for _ in 0..runs {
        plan.run_watched(inputs, &mut Unmetered, &mut profiler)?;
    }
    let total: f64 = profiler.spent.values().sum();
    let operator = |node: usize| model.node(node).map_or("?", |label| label.op_type.as_str());
    let mut operators: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    let mut steps: Vec<_> = profiler.spent.into_iter().collect();
    steps.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (rank, (nodes, seconds)) in steps.iter().enumerate() {
        let name = nodes
            .iter()
            .map(|&node| operator(node))
            .collect::<Vec<_>>()
            .join("+");
        if rank < 25 {
            let label = nodes.first().and_then(|&node| model.node(node));
            let label = label.map_or(String::new(), |label| label.to_string());
            println!(
                "{:9.1} µs {:5.1} %  {name}  {label}",
                seconds * 1e6,
                seconds / total * 100.0
            );
        }
        let sum = operators.entry(name).or_default();
        sum.0 += seconds;
        sum.1 += 1;
    }
    let mut operators: Vec<_> = operators.into_iter().collect();
    operators.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    println!("by operator:");
    for (name, (seconds, steps)) in operators {
        println!(
            "{:9.1} µs {:5.1} %  {steps:4} × {name}",
            seconds * 1e6,
            seconds / total * 100.0
        );
    }
    Ok(())
}

/// A generator of inputs: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// About a standard normal: twelve uniform numbers less their mean.
    fn normal(&mut self) -> f32 {
        (0..12)
            .map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32)
            .sum::<f32>()
            - 6.0
    }

    fn tensor(&mut self, dtype: DType, shape: &[usize], ints: u64) -> Result<Tensor, Box<dyn Error>> {
        let count: usize = shape.iter().product();
        let mut bytes = Vec::with_capacity(count * dtype.size());
        for _ in 0..count {
            match dtype {
                DType::F32 => bytes.extend(self.normal().to_le_bytes()),
                DType::F64 => bytes.extend(f64::from(self.normal()).to_le_bytes()),
                DType::F16 | DType::BF16 => bytes.extend([0, 0x3c]),
                DType::Bool => bytes.push((self.next() >> 63) as u8),
                _ => bytes.extend(&(self.next() % ints).to_le_bytes()[..dtype.size()]),
            }
        }
        Ok(Tensor::from_le_bytes(dtype, shape, &bytes)?)
    }
}

/// What the machine could do.
mod peak {
    use std::{hint::black_box, time::Instant};

    /// The best of a few measurements of independent chains of fused multiply-adds in the widest vectors.
    pub(super) fn gigaflops() -> f64 {
        const TERMS: usize = 2_000_000;
        let measure = || {
            let start = Instant::now();
            let lanes = chains(black_box(TERMS));
            2.0 * (lanes * TERMS) as f64 / start.elapsed().as_secs_f64() / 1e9
        };
        (0..40).map(|_| measure()).max_by(f64::total_cmp).unwrap_or(0.0)
    }

    /// Runs so many multiply-adds in each lane of several chains; returns the lanes.
    fn chains(terms: usize) -> usize {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has the instructions, as was just asked.
                return unsafe { avx512(terms) };
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                // SAFETY: the processor has the instructions, as was just asked.
                return unsafe { avx2(terms) };
            }
        }
        plain::<4, 12>(terms)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(terms: usize) -> usize {
        use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
        let (a, b) = (
            _mm512_set1_ps(black_box(0.999_999)),
            _mm512_set1_ps(black_box(1e-7)),
        );
        let mut chains = [_mm512_set1_ps(1.0); 12];
        for _ in 0..terms {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, a, b);
            }
        }
        chains
            .iter()
            .for_each(|&chain| _ = black_box(_mm512_reduce_add_ps(chain)));
        12 * 16
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(terms: usize) -> usize {
        plain::<8, 12>(terms)
    }

    #[inline(always)]
    fn plain<const LANES: usize, const CHAINS: usize>(terms: usize) -> usize {
        let (a, b) = (black_box(0.999_999_f32), black_box(1e-7_f32));
        let mut chains = [[1.0_f32; LANES]; CHAINS];
        for _ in 0..terms {
            for lane in chains.as_flattened_mut() {
                *lane = lane.mul_add(a, b);
            }
        }
        black_box(chains);
        LANES * CHAINS
    }
}
