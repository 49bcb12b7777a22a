//! The tender story: posted in English, stored with the German text that every validator computed.
//!
//! The translator's weights have a licence of their own (`examples/translate/README.md`), so they are read from the folder and are no part of
//! the binary.

use super::{DemoError, Story, account};
use crate::{
    client::{self, Account, Becomes, Client, Upload},
    show::{Bar, Uploading, bytes, thousands},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::{SolCall as _, SolConstructor as _, SolEvent as _};
use eyre::{Context as _, ContextCompat as _, Result, ensure};
use serde::Serialize;
use std::path::Path;
use synod_pipeline::{Directory, ImportOptions, Limits, Local, Unmetered};

mod contract {
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from examples/translate/Tenders.sol, documented there"
    )]
    alloy_sol_types::sol!(Tenders, "../../examples/translate/artifacts/Tenders.json");
}
use contract::Tenders;

const NAME: &str = "translate";

/// The name under which the contract asks for the network.
const MODEL: &str = "words/en-de";

/// What is posted.
const TENDERS: [&str; 2] = ["The apples are good.", "Our house needs a new roof."];

/// What came out of it. All of it was checked.
#[derive(Debug, Serialize)]
pub(crate) struct TendersReport {
    pub(crate) model: String,
    pub(crate) model_id: B256,
    pub(crate) contract: Address,
    /// Of publishing the translator.
    pub(crate) publishing_gas: u64,
    pub(crate) tenders: Vec<Tender>,
}

/// A text and its translation, as the contract's event has them.
#[derive(Debug, Serialize)]
pub(crate) struct Tender {
    pub(crate) english: String,
    pub(crate) german: String,
    pub(crate) gas: u64,
}

pub(super) async fn play(client: &Client, translator: &Path, story: &Story) -> Result<TendersReport> {
    story.chapter("translate: a tender is posted in English and stored with its German text");
    let imported = synod_pipeline::import(&Directory::new(translator), &ImportOptions::default())
        .wrap_err_with(|| format!("{} is no translator", translator.display()))?;
    let mut publisher = Account::open(client, account(5)?).await?;
    let limit = client::code_size_limit(client).await?;
    let upload = Upload::pipeline(&imported, limit);
    story.line("the translator is three networks and a tokenizer: publishing it fills some blocks");
    let published = client::publish(
        &mut publisher,
        &upload,
        MODEL,
        Becomes::Latest,
        &mut Uploading::default(),
    )
    .await?;
    ensure!(
        published.version == 1,
        "{MODEL}@1 is another model on this chain: play on a fresh one"
    );
    let model = format!("{MODEL}@{}", published.version);
    story.line(format_args!(
        "{model}  {}  gas {}  id {}…",
        bytes(published.bytes),
        thousands(published.gas_used),
        &published.id.to_string()[..18],
    ));

    let arguments = Tenders::constructorCall {
        translator_: model.clone(),
    };
    let code = [Tenders::BYTECODE.as_ref(), &arguments.abi_encode()].concat();
    let deployed = publisher.execute(TxKind::Create, U256::ZERO, code.into()).await?;
    let contract = deployed
        .contract_address
        .wrap_err("the receipt of the deployment names no contract")?;
    story.line(format_args!(
        "contract {contract}, deployed for {} gas",
        thousands(deployed.gas_used)
    ));

    let mut author = Account::open(client, account(6)?).await?;
    let (pipeline, mut engine) = (imported.pipeline()?, Local::default());
    let mut bar = Bar::count("tenders", TENDERS.len() as u64);
    let mut tenders = Vec::new();
    for (index, english) in TENDERS.into_iter().enumerate() {
        let post = Tenders::postCall {
            english: english.to_owned(),
        };
        let receipt = author
            .execute(TxKind::Call(contract), U256::ZERO, post.abi_encode().into())
            .await?;
        let event = receipt
            .logs()
            .iter()
            .find_map(|log| Tenders::Posted::decode_log(&log.inner).ok());
        let event = event.ok_or(DemoError::NoEvent {
            example: NAME,
            sample: index + 1,
            event: "Posted",
        })?;
        let here = pipeline.generate(
            english.as_bytes(),
            &Limits::default(),
            &mut engine,
            &mut Unmetered,
        )?;
        let at = Tenders::tenderAtCall { tender: event.tender };
        let stored = client.call(contract, &at, BlockId::latest()).await?;
        for (place, german) in [
            ("contract's event", &event.german),
            ("contract's storage", &stored.german),
        ] {
            if *german != here.text {
                return Err(DemoError::Translation {
                    place,
                    chain: german.clone(),
                    local: here.text,
                }
                .into());
            }
        }
        tenders.push(Tender {
            english: event.english.clone(),
            german: event.german.clone(),
            gas: receipt.gas_used,
        });
        bar.advance(1);
    }
    bar.finish();
    for tender in &tenders {
        story.line(format_args!("posted   {}", tender.english));
        story.line(format_args!("stored   {}", tender.german));
        story.line(format_args!("         gas {}", thousands(tender.gas)));
    }
    story.line("the same German without the chain, by the same networks in this program");
    Ok(TendersReport {
        model,
        model_id: published.id,
        contract,
        publishing_gas: published.gas_used,
        tenders,
    })
}
