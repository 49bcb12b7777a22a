//! The main job from nothing: a chain, trained networks on it, two contracts that pay or refuse because a network said so, one that
//! stores a text in two languages, and the proof that the chain computes what anybody can compute.
//!
//! Everything is real: the node is the one `synod dev` runs and is asked over HTTP, the networks and the held-out data are
//! those of `examples/`, embedded here so that the binary needs no files, but for the translator. Every claim that is printed is checked first; the
//! first that does not hold ends the demo with a [`DemoError`] and a non-zero exit code.

mod cellar;
mod examples;
mod fleet;
mod story;
mod tenders;

pub(crate) use story::Story;

use crate::{
    client::{self, Account, Becomes, Client, Progress, Published, Upload},
    commands::{Engine, execute, predict},
    show::{bytes, table, thousands},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, I256, U256, keccak256};
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use examples::Example;
use eyre::{Result, ensure};
use serde::Serialize;
use std::{fmt, path::Path, time::Instant};
use synod_chain::spec::DEV_MNEMONIC;
use tenders::TendersReport;

/// A claim of the demo that does not hold.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The transaction's verdict is not what the same file says off the chain.
    #[error("{example}, sample {sample}: the chain says {chain}, the same network off the chain {local}")]
    Verdict {
        /// The example.
        example: &'static str,
        /// The held-out sample, counted from 1.
        sample: usize,
        /// What the contract's event says.
        chain: usize,
        /// What the engine says without a chain.
        local: usize,
    },
    /// The engine's predictions are not those recorded when the network was trained.
    #[error(
        "{example}, sample {sample}: the chain says {chain}, ONNX Runtime said {recorded} when the network was trained"
    )]
    Recorded {
        /// The example.
        example: &'static str,
        /// The held-out sample, counted from 1.
        sample: usize,
        /// What the contract's event says.
        chain: usize,
        /// What `score.json` says.
        recorded: usize,
    },
    /// Money is not where it should be.
    #[error("{example}: {account} should hold {expected} wei and holds {got}")]
    Money {
        /// The example.
        example: &'static str,
        /// Whose.
        account: &'static str,
        /// What follows from the verdicts.
        expected: U256,
        /// What the chain says.
        got: U256,
    },
    /// The chain and the engine give different bits.
    #[error("{example}: the outputs' hash on the chain is {chain}, here {local}")]
    Bits {
        /// The example.
        example: &'static str,
        /// Of the chain's answer.
        chain: B256,
        /// Of the answer computed here.
        local: B256,
    },
    /// What the contract says a text is in German is not what the same networks say off the chain.
    #[error("translate: the {place} has {chain:?}, the same networks off the chain {local:?}")]
    Translation {
        /// Where the contract says so.
        place: &'static str,
        /// What it says.
        chain: String,
        /// What the engine says without a chain.
        local: String,
    },
    /// An event that every such transaction emits is missing.
    #[error("{example}, sample {sample}: the contract's receipt has no {event} event")]
    NoEvent {
        /// The example.
        example: &'static str,
        /// The held-out sample, counted from 1.
        sample: usize,
        /// The event.
        event: &'static str,
    },
}

/// What the demo found, for `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) rpc_url: String,
    pub(crate) chain_id: u64,
    pub(crate) seconds: f64,
    pub(crate) examples: Vec<ExampleReport>,
    /// Absent if that act was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) translate: Option<TendersReport>,
}

/// A part of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Act {
    /// Wine by its chemical analysis, and who gets the money.
    Cellar,
    /// Rides, and what each of them earns.
    Fleet,
    /// Tenders in two languages.
    Translate,
}

/// The last line of the story.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Everything above was checked and holds ({:.1} s).",
            self.seconds
        )
    }
}

/// What came out of one example. All of it was checked.
#[derive(Debug, Serialize)]
pub(crate) struct ExampleReport {
    pub(crate) name: &'static str,
    pub(crate) model: String,
    pub(crate) model_id: B256,
    pub(crate) contract: Address,
    pub(crate) samples: usize,
    /// Right predictions of the chain; the engine and ONNX Runtime got as many.
    pub(crate) correct: usize,
    pub(crate) paid_in_full: usize,
    pub(crate) mean_gas: u64,
    pub(crate) outputs_keccak256: B256,
}

/// What the transactions of an example showed.
struct Played {
    contract: Address,
    /// What the network said on the chain about each sample.
    verdicts: Vec<usize>,
    paid_in_full: usize,
    gas: u64,
}

/// Plays these acts on the chain of a client; `translator` is the folder that the one with tenders needs.
pub(crate) async fn play(
    client: &Client,
    rpc_url: &str,
    acts: &[Act],
    translator: &Path,
    story: &Story,
) -> Result<Report> {
    let started = Instant::now();
    let mut examples = Vec::new();
    for (act, example) in [
        (Act::Cellar, examples::cellar as fn() -> Result<Example>),
        (Act::Fleet, examples::fleet),
    ] {
        if acts.contains(&act) {
            examples.push((act, example()?));
        }
    }

    let mut reports = Vec::new();
    if !examples.is_empty() {
        story.chapter("Trained networks on the chain");
        let mut publisher = Account::open(client, account(0)?).await?;
        let mut published = Vec::new();
        for (_, example) in &examples {
            published.push(publish(&mut publisher, example, story).await?);
        }
        let mut played = Vec::new();
        for (act, example) in &examples {
            played.push(match act {
                Act::Cellar => cellar::play(client, example, story).await?,
                _ => fleet::play(client, example, story).await?,
            });
        }
        story.chapter("The same score without a chain, and the same bits");
        for (((_, example), published), played) in examples.iter().zip(published).zip(played) {
            reports.push(check(client, example, &published, played, story).await?);
        }
    }
    let translate = match acts.contains(&Act::Translate) {
        true => Some(tenders::play(client, translator, story).await?),
        false => None,
    };
    Ok(Report {
        rpc_url: rpc_url.to_owned(),
        chain_id: client.chain_id(),
        seconds: started.elapsed().as_secs_f64(),
        examples: reports,
        translate,
    })
}

/// One of the funded accounts.
fn account(index: u32) -> Result<PrivateKeySigner> {
    Ok(MnemonicBuilder::<English>::default()
        .phrase(DEV_MNEMONIC)
        .index(index)?
        .build()?)
}

async fn publish(publisher: &mut Account, example: &Example, story: &Story) -> Result<Published> {
    /// The networks are small: nothing to show.
    struct Quiet;
    impl Progress for Quiet {
        fn begin(&mut self, _missing: u64, _total: u64) {}
        fn advance(&mut self, _bytes: u64) {}
        fn validating(&mut self) {}
    }
    let limit = client::code_size_limit(publisher.client()).await?;
    let upload = Upload::new(&example.loaded.canonical, limit);
    let published = client::publish(publisher, &upload, example.model, Becomes::Latest, &mut Quiet).await?;
    ensure!(
        published.version == 1,
        "{}@1 is another model on this chain: play on a fresh one",
        example.model
    );
    story.line(format_args!(
        "{:<13} {:>6} parameters  {:>7}  gas {:>9}  id {}…",
        format!("{}@{}", example.model, published.version),
        thousands(example.loaded.model.parameters()),
        bytes(published.bytes),
        thousands(published.gas_used),
        &published.id.to_string()[..18],
    ));
    Ok(published)
}

/// Compares what the chain said with the engine without a chain, with the score recorded at training, and bit by bit.
async fn check(
    client: &Client,
    example: &Example,
    published: &Published,
    played: Played,
    story: &Story,
) -> Result<ExampleReport> {
    let name = example.name;
    let local = execute(
        &example.loaded,
        std::slice::from_ref(&example.samples),
        Engine::Fast,
    )?;
    let predictions = examples::labels_of(&local[0]);
    ensure!(
        predictions.len() == played.verdicts.len(),
        "{name}: the engine gave {} answers",
        predictions.len()
    );
    for (index, &chain) in played.verdicts.iter().enumerate() {
        let sample = index + 1;
        if chain != predictions[index] {
            return Err(DemoError::Verdict {
                example: name,
                sample,
                chain,
                local: predictions[index],
            }
            .into());
        }
        let recorded = example.recorded[index];
        if chain != recorded {
            return Err(DemoError::Recorded {
                example: name,
                sample,
                chain,
                recorded,
            }
            .into());
        }
    }
    let correct = played
        .verdicts
        .iter()
        .zip(&example.labels)
        .filter(|(said, truth)| said == truth)
        .count();
    let samples = example.labels.len();
    story.line(format_args!(
        "{name:<7} {correct} of {samples} right ({:.1} %): on the chain, by `synod model run`, by {}",
        100.0 * correct as f64 / samples as f64,
        example.runtime,
    ));

    // The whole held-out set in one call, every bit of every output.
    let chain = predict(
        client,
        example.model,
        std::slice::from_ref(&example.samples),
        BlockId::latest(),
    )
    .await?;
    let hash = |tensors: &[synod_model::Tensor]| {
        keccak256(
            tensors
                .iter()
                .flat_map(synod_model::Tensor::to_be_bytes)
                .collect::<Vec<u8>>(),
        )
    };
    let (chain, local) = (hash(&chain), hash(&local));
    if chain != local {
        return Err(DemoError::Bits {
            example: name,
            chain,
            local,
        }
        .into());
    }
    story.line(format_args!(
        "        the bits of all {samples} outputs, hashed, on the chain and here:"
    ));
    story.line(format_args!("        {chain}"));
    Ok(ExampleReport {
        name,
        model: format!("{}@{}", example.model, published.version),
        model_id: published.id,
        contract: played.contract,
        samples,
        correct,
        paid_in_full: played.paid_in_full,
        mean_gas: played.gas / samples.max(1) as u64,
        outputs_keccak256: chain,
    })
}

/// Compares an account's money with what follows from the verdicts.
async fn expect_balance(
    client: &Client,
    example: &'static str,
    account: &'static str,
    address: Address,
    expected: U256,
) -> Result<()> {
    let got = client.balance(address).await?;
    if got == expected {
        Ok(())
    } else {
        Err(DemoError::Money {
            example,
            account,
            expected,
            got,
        }
        .into())
    }
}

/// A table of what was shown of the beginning and of what the network got wrong later, in the same columns.
fn tell(story: &Story, header: &[&str], rows: Vec<Vec<String>>, mistakes: Vec<Vec<String>>) {
    let shown = rows.len();
    let all: Vec<Vec<String>> = rows.into_iter().chain(mistakes).collect();
    let text = table(header, &all);
    let mut lines = text.lines();
    lines.by_ref().take(1 + shown).for_each(|line| story.line(line));
    let rest: Vec<&str> = lines.collect();
    if !rest.is_empty() {
        story.line("and those of the rest in which the network errs:");
        rest.into_iter().for_each(|line| story.line(line));
    }
}

/// A score of the contracts, where 1e18 is one, for showing.
fn fraction(score: I256) -> f64 {
    let whole: i128 = score.try_into().unwrap_or(i128::MAX);
    whole as f64 / 1e18
}
