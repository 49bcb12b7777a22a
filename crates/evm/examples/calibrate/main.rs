//! Measures time against gas: every operator over shapes, planning, loading, and what surrounds them.
//!
//! `cargo xtask calibrate` builds this with the release profile and writes what it prints to `docs/gas-calibration.md`.
//!
//! Time is CPU time of the measuring thread, so that other work on the machine shows less. Speed of a case is gas charged by
//! time taken; the *lowest* one is the figure that bounds how long a full block may take.

#[path = "../../tests/it/artifacts.rs"]
#[allow(dead_code, reason = "shared with the tests, which use the rest")]
mod artifacts;
#[path = "../../../model/tests/build/mod.rs"]
mod build;
mod clock;
#[path = "../../tests/it/onnx.rs"]
#[allow(dead_code, reason = "shared with the tests, which use the rest")]
mod onnx;
mod operators;
mod surroundings;
#[path = "../../tests/it/world.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests, which use the rest"
)]
mod world;

use std::collections::BTreeMap;
use synod_model::Work;

/// One measurement.
pub(crate) struct Measured {
    /// What the table groups by: an operator, or a step.
    pub(crate) subject: String,
    /// The case, in words.
    pub(crate) case: String,
    /// Gas charged.
    pub(crate) gas: u64,
    /// Nanoseconds of CPU time.
    pub(crate) nanoseconds: f64,
    /// What the nodes were charged for, of an operator.
    pub(crate) work: Option<Work>,
}

impl Measured {
    /// Gas charged in a second of this work, in millions.
    fn speed(&self) -> f64 {
        self.gas as f64 / self.nanoseconds * 1e3
    }
}

/// What the schedule aims at: one gas is 10 ns.
const TARGET: f64 = 100.0;

fn main() {
    // names of operators: those alone, without what surrounds them, which "surroundings" stands for
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let operators = operators::measure(&wanted);
    let surroundings = if wanted.is_empty() || wanted.iter().any(|name| name == "surroundings") {
        surroundings::measure()
    } else {
        Vec::new()
    };
    println!("# Gas against time\n");
    println!(
        "Written by `cargo xtask calibrate`: CPU time of one thread, {}, on {}, arithmetic {:?}.",
        profile(),
        clock::processor(),
        synod_numerics::isa::Isa::detect(),
    );
    println!(
        "One gas stands for 10 ns, so each figure should be at least {TARGET} million gas a second; more is a price above the time.\n"
    );
    println!("`crates/evm/src/gas.rs` holds the constants that these figures judge.\n");
    summary(&operators, &surroundings);
    table("Operators, slowest case of each", &worst(&operators));
    table(
        "Loading, planning, and what surrounds a prediction",
        &surroundings.iter().collect::<Vec<_>>(),
    );
    table("Operators, all cases", &operators.iter().collect::<Vec<_>>());
}

/// A development build checks every index and overflow: its times are upper bounds.
fn profile() -> &'static str {
    if cfg!(debug_assertions) {
        "development profile (slower than release)"
    } else {
        "release profile"
    }
}

fn summary(operators: &[Measured], surroundings: &[Measured]) {
    let all = operators.iter().chain(surroundings);
    let Some(slowest) = all.min_by(|a, b| a.speed().total_cmp(&b.speed())) else {
        return;
    };
    let below: usize = operators
        .iter()
        .chain(surroundings)
        .filter(|case| case.speed() < TARGET)
        .count();
    println!(
        "**Slowest: {:.0} Mgas/s** ({}, {}). {} of {} cases are below the target.\n",
        slowest.speed(),
        slowest.subject,
        slowest.case,
        below,
        operators.len() + surroundings.len(),
    );
    spread(operators);
}

/// How far apart the prices of operators are from their times.
fn spread(operators: &[Measured]) {
    let mut cases: Vec<&Measured> = operators.iter().collect();
    cases.sort_by(|a, b| a.speed().total_cmp(&b.speed()));
    let [slowest, .., fastest] = &cases[..] else {
        return;
    };
    let above = cases
        .iter()
        .filter(|case| case.speed() > 10.0 * slowest.speed())
        .count();
    println!(
        "Of operators the slowest is {:.0} ({}, {}), the median {:.0} and the fastest {:.0} ({}, {}); {above} of {} cases are more than \
         ten times as fast as the slowest.\n",
        slowest.speed(),
        slowest.subject,
        slowest.case,
        cases[cases.len() / 2].speed(),
        fastest.speed(),
        fastest.subject,
        fastest.case,
        cases.len(),
    );
}

/// The slowest case of each subject, slowest subject first.
fn worst(cases: &[Measured]) -> Vec<&Measured> {
    let mut worst: BTreeMap<&str, &Measured> = BTreeMap::new();
    for case in cases {
        let entry = worst.entry(&case.subject).or_insert(case);
        if case.speed() < entry.speed() {
            *entry = case;
        }
    }
    let mut worst: Vec<&Measured> = worst.into_values().collect();
    worst.sort_by(|a, b| a.speed().total_cmp(&b.speed()));
    worst
}

fn table(title: &str, cases: &[&Measured]) {
    println!("## {title}\n");
    println!("| what | case | time | arithmetic | bytes | gas | Mgas/s |");
    println!("|---|---|---:|---:|---:|---:|---:|");
    for case in cases {
        let time = match case.nanoseconds {
            ns if ns < 1e4 => format!("{ns:.0} ns"),
            ns if ns < 1e7 => format!("{:.1} µs", ns / 1e3),
            ns => format!("{:.1} ms", ns / 1e6),
        };
        let [arithmetic, bytes] = case.work.map_or([String::new(), String::new()], |work| {
            [work.arithmetic.to_string(), work.bytes.to_string()]
        });
        println!(
            "| {} | {} | {time} | {arithmetic} | {bytes} | {} | {:.0} |",
            case.subject,
            case.case,
            case.gas,
            case.speed()
        );
    }
    println!();
}
