//! `synod-vectors make [DIR]` and `synod-vectors check [DIR]`.

use clap::{Parser, Subcommand};
use eyre::Result;
use std::path::PathBuf;
use synod_vectors::{
    check::{self, Engine},
    folder, generate,
    manifest::Manifest,
    pictures,
};

/// Golden vectors of the arithmetic.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the vectors that are missing; what is there is kept, and must still hold
    Make {
        /// The folder
        #[arg(default_value_os_t = folder())]
        folder: PathBuf,
    },
    /// Run every vector on every arithmetic of this machine, with several numbers of threads
    Check {
        /// The folder
        #[arg(default_value_os_t = folder())]
        folder: PathBuf,

        /// Numbers of threads
        #[arg(long, value_delimiter = ',', default_values_t = check::THREADS)]
        threads: Vec<usize>,
    },
}

fn main() {
    if let Err(error) = run(Cli::parse().command) {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Make { folder } => generate::make(&folder),
        Command::Check { folder, threads } => {
            let manifest = Manifest::read(&folder)?;
            println!(
                "{} vectors, {} seeded networks, {} functions, {} pictures and what becomes of them",
                manifest.vectors.len(),
                manifest.seeded.len(),
                manifest.functions.len(),
                pictures::check(&folder)?
            );
            println!(
                "{} reference",
                check::all(&folder, &manifest, Engine::Reference, 1)?
            );
            for &engine in &Engine::available()[1..] {
                for &threads in &threads {
                    let hash = check::all(&folder, &manifest, engine, threads)?;
                    println!("{hash} {engine}, threads: {threads}");
                }
            }
            Ok(())
        }
    }
}
