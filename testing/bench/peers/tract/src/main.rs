//! A worker of `cargo xtask bench engine`: `tract-peer FILE THREADS`.
//!
//! Prints `ready`, then answers each line of its standard input, a number of seconds, with the least of the runs in so many seconds,
//! in milliseconds, and the number of runs.

use std::{error::Error, hint::black_box, io::BufRead, time::Instant};
use tract_onnx::prelude::*;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let file = words.next().ok_or("a file is needed")?;
    let threads: usize = words.next().ok_or("a number of threads is needed")?.parse()?;
    if threads > 1 {
        tract_linalg::multithread::set_default_executor(tract_linalg::multithread::Executor::multithread(threads));
    }
    let model = tract_onnx::onnx().model_for_path(file)?.into_optimized()?;
    let mut inputs = tvec![];
    let mut state = 1u64;
    for index in 0..model.input_outlets()?.len() {
        let fact = model.input_fact(index)?;
        let shape = fact.shape.as_concrete().ok_or("a shape is not concrete")?;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let count = shape.iter().product();
        let floats: Vec<f32> = if fact.datum_type == DatumType::F32 {
            // about a standard normal
            (0..count).map(|_| (0..12).map(|_| next()).sum::<f32>() - 6.0).collect()
        } else {
            (0..count).map(|_| (next() * 100.0).floor()).collect()
        };
        let tensor = Tensor::from_shape(shape, &floats)?.cast_to_dt(fact.datum_type)?.into_owned();
        inputs.push(tensor.into_tvalue());
    }
    let mut plan = model.into_runnable()?.spawn()?;
    let mut run = || -> TractResult<()> {
        drop(black_box(plan.run(inputs.clone())?));
        Ok(())
    };
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let seconds: f64 = line?.trim().parse()?;
        run()?;
        let start = Instant::now();
        run()?;
        let together = (5e-5 / start.elapsed().as_secs_f64()).clamp(1.0, 1000.0) as usize;
        let (mut times, begin) = (Vec::new(), Instant::now());
        while times.is_empty() || begin.elapsed().as_secs_f64() < seconds {
            let start = Instant::now();
            for _ in 0..together {
                run()?;
            }
            times.push(start.elapsed().as_secs_f64() * 1e3 / together as f64);
        }
        times.sort_by(f64::total_cmp);
        println!("{:.6} {}", times[0], 2 + together * times.len());
    }
    Ok(())
}
