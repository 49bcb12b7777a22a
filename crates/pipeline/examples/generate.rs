//! Tokens per second, and where the time goes.
//!
//!     cargo run --release -p synod-pipeline --example generate FOLDER [TEXT [TOKENS]]
//!     cargo run --release -p synod-pipeline --example generate serve made|kept FOLDER FILE
//!
//! FOLDER is an export; `testing/pipelines/generate.py bench FOLDER` writes one with random weights. The call runs twice: first every
//! plan is made, then plans are at hand, as they are on a node that has seen these lengths.
//!
//! With `serve` it is a worker of `cargo xtask bench text`: it answers each line of its standard input, a number of seconds, with the least
//! time in milliseconds that all lines of FILE take, one after the other, and how often it went through them. With `made` no plan is kept
//! from one text to the next.

use std::{io::BufRead, sync::Arc, time::Instant};
use synod_model::{Model, Plan, PlanError, RunError, Shape, Tensor};
use synod_pipeline::*;

/// What is charged, in the units of each piece.
#[derive(Debug, Default)]
struct Sums {
    text: u64,
    planning: u64,
    arithmetic: u64,
    nodes: u64,
    step: u64,
}

impl Meter for Sums {
    fn charge(&mut self, charge: Charge<'_>) -> Result<(), Stop> {
        match charge {
            Charge::Text(units) => self.text += units,
            Charge::Planning(work) => self.planning += work.arithmetic,
            Charge::Run { cost, .. } => {
                self.arithmetic += cost.total().arithmetic;
                self.nodes += cost.nodes.len() as u64;
            }
            Charge::Step(work) => self.step += work.arithmetic,
            _ => {}
        }
        Ok(())
    }
}

/// Times planning and running.
#[derive(Debug, Default)]
struct Timed {
    local: Local,
    planning: f64,
    running: f64,
}

impl Engine for Timed {
    fn plan(&mut self, model: &Model, shapes: &[Shape]) -> Result<Arc<Plan>, PlanError> {
        let start = Instant::now();
        let plan = self.local.plan(model, shapes);
        self.planning += start.elapsed().as_secs_f64();
        plan
    }

    fn run(&mut self, plan: &Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        let start = Instant::now();
        let outputs = self.local.run(plan, inputs);
        self.running += start.elapsed().as_secs_f64();
        outputs
    }
}

/// Answers lines of standard input.
fn serve(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn std::error::Error>> {
    let mut argument = || arguments.next().ok_or("serve made|kept FOLDER FILE");
    let (kept, folder, file) = (argument()? == "kept", argument()?, argument()?);
    synod_numerics::pool::set_threads(1);
    let pipeline = import(&Directory::new(&folder), &ImportOptions::default())?.pipeline()?;
    let text = std::fs::read_to_string(file)?;
    let mut engine = Local::default();
    let mut round = || -> Result<usize, PipelineError> {
        let mut tokens = 0;
        for line in text.lines() {
            if !kept {
                engine = Local::default();
            }
            let limits = Limits::default();
            let answer = pipeline.generate(line.as_bytes(), &limits, &mut engine, &mut Unmetered)?;
            tokens += answer.tokens.len();
        }
        Ok(tokens)
    };
    println!("ready {}", round()?);
    for line in std::io::stdin().lock().lines() {
        let (seconds, begin) = (line?.trim().parse::<f64>()?, Instant::now());
        let (mut least, mut rounds) = (f64::INFINITY, 0);
        while rounds == 0 || begin.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            round()?;
            let taken = start.elapsed().as_secs_f64() * 1e3;
            least = if taken < least { taken } else { least };
            rounds += 1;
        }
        println!("{least:.6} {rounds}");
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("serve").is_some() {
        return serve(arguments);
    }
    let folder = arguments.next().ok_or("which folder?")?;
    let text = arguments
        .next()
        .unwrap_or_else(|| "The apples are good, and so are the pears.".into());
    let max_tokens = arguments.next().map(|count| count.parse()).transpose()?;
    for num_beams in [1, 4] {
        let options = ImportOptions {
            num_beams: Some(num_beams),
            ..ImportOptions::default()
        };
        let imported = import(&Directory::new(&folder), &options)?;
        let pipeline = imported.pipeline()?;
        let mut engine = Timed::default();
        for plans in ["made", "kept"] {
            (engine.planning, engine.running) = (0.0, 0.0);
            let mut sums = Sums::default();
            let start = Instant::now();
            let answer =
                pipeline.generate(text.as_bytes(), &Limits { max_tokens }, &mut engine, &mut sums)?;
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{num_beams} beams, plans {plans}: {} tokens ({:?}) in {:.1} ms, {:.0} a second; planning {:.1} ms, running {:.1} ms",
                answer.tokens.len(),
                answer.finish,
                seconds * 1e3,
                answer.tokens.len() as f64 / seconds,
                engine.planning * 1e3,
                engine.running * 1e3
            );
            println!(
                "    charged: text {:.2} ms, planning {:.2} ms, {} nodes, arithmetic {:.2} ms, choosing {:.2} ms (at 15 G a second)",
                sums.text as f64 / 1e6,
                sums.planning as f64 / 15e6,
                sums.nodes,
                sums.arithmetic as f64 / 15e6,
                sums.step as f64 / 15e6
            );
            if plans == "kept" {
                println!("    {}", answer.text);
            }
        }
    }
    Ok(())
}
