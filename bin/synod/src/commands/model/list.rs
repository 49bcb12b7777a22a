//! `synod model list`

use crate::{
    client::RpcArgs,
    show::{Form, table},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, U256};
use clap::Args;
use eyre::Result;
use serde::Serialize;
use std::fmt;
use synod_evm::{addresses::MODEL_REGISTRY, interface::ModelRegistry};

/// Names asked for in one call.
const PAGE: u64 = 256;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only names that begin with this
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,

    #[command(flatten)]
    rpc: RpcArgs,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    /// The version that the name stands for; 0 if there is none.
    version: u64,
    /// Versions published.
    count: u64,
    status: &'static str,
    id: B256,
    owner: Address,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Report(Vec<Entry>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<String>> = self
            .0
            .iter()
            .map(|entry| {
                let id = entry.id.to_string();
                vec![
                    entry.name.clone(),
                    entry.version.to_string(),
                    entry.count.to_string(),
                    entry.status.to_owned(),
                    id[..18].to_owned(),
                    entry.owner.to_string(),
                ]
            })
            .collect();
        f.write_str(&table(
            &["name", "latest", "versions", "status", "id", "owner"],
            &rows,
        ))
    }
}

pub(crate) async fn run(args: ListArgs, form: Form) -> Result<()> {
    let client = args.rpc.connect().await?;
    let mut entries = Vec::new();
    // One block for all pages, so that nothing is missed or listed twice while others publish.
    let block = BlockId::number(client.block_number().await?);
    for page in 0.. {
        let call = ModelRegistry::modelsCall {
            offset: U256::from(page * PAGE),
            limit: U256::from(PAGE),
        };
        let found = client.call(MODEL_REGISTRY, &call, block).await?;
        let last = (found.len() as u64) < PAGE;
        entries.extend(
            found
                .into_iter()
                .filter(|model| model.name.starts_with(&args.prefix))
                .map(|model| Entry {
                    name: model.name,
                    version: model.latest,
                    count: model.count,
                    status: match model.status {
                        0 => "active",
                        1 => "deprecated",
                        _ => "revoked",
                    },
                    id: model.id,
                    owner: model.owner,
                }),
        );
        if last {
            break;
        }
    }
    form.print(&Report(entries))
}
