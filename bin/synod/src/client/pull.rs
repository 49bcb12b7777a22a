//! Reading a model back: from the registry to the manifest, from there to the pieces, and to the id that proves them.

use super::Client;
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256};
use bytes::{Bytes, BytesMut};
use eyre::{Context as _, Result, ensure, eyre};
use synod_evm::{
    addresses::{MODEL_REGISTRY, PREDICT},
    interface::{IPredict, ModelRegistry},
    manifest::{Manifest, chunk_data},
    name::ModelName,
};
use synod_model::CanonicalModel;

/// Pieces read at the same time.
const READS: usize = 8;

/// A published model.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) id: B256,
    pub(crate) manifest: Address,
    pub(crate) graph_bytes: u64,
    pub(crate) weight_bytes: u64,
}

/// Looks a name up.
pub(crate) async fn locate(client: &Client, name: &ModelName, block: BlockId) -> Result<Located> {
    let id = client
        .call(
            PREDICT,
            &IPredict::resolveCall {
                model: name.to_string(),
            },
            block,
        )
        .await?;
    let record = client
        .call(MODEL_REGISTRY, &ModelRegistry::modelOfCall { id }, block)
        .await?;
    Ok(Located {
        id,
        manifest: record.manifest,
        graph_bytes: record.graphBytes,
        weight_bytes: record.weightBytes,
    })
}

/// Reads all pieces of a model and checks that they are the model that the id stands for.
///
/// Nothing the node says is trusted: the id is computed afresh from the bytes.
pub(crate) async fn pull(client: &Client, located: &Located) -> Result<CanonicalModel> {
    let code = client.code(located.manifest).await?;
    let manifest = Manifest::decode(&code).wrap_err_with(|| format!("manifest {}", located.manifest))?;
    ensure!(
        (manifest.graph_bytes, manifest.weight_bytes) == (located.graph_bytes, located.weight_bytes),
        "the manifest and the registry differ about the model's size: do not trust this node"
    );
    let graph = assemble(client, &manifest.graph, manifest.graph_bytes).await?;
    let weights = assemble(client, &manifest.weights, manifest.weight_bytes).await?;
    let model = CanonicalModel { graph, weights };
    ensure!(
        model.id().0 == located.id.0,
        "the bytes that the node gave are another model ({}) than the registry names ({}): do not trust this node",
        model.id(),
        located.id
    );
    Ok(model)
}

async fn assemble(client: &Client, chunks: &[Address], expected: u64) -> Result<Bytes> {
    let mut all = BytesMut::new();
    for group in chunks.chunks(READS) {
        let mut reads = tokio::task::JoinSet::new();
        for (index, &address) in group.iter().enumerate() {
            let client = client.clone();
            reads.spawn(async move { client.code(address).await.map(|code| (index, address, code)) });
        }
        let mut pieces = reads.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
        pieces.sort_by_key(|&(index, ..)| index);
        for (_, address, code) in pieces {
            let data = chunk_data(&code).ok_or_else(|| eyre!("piece {address} of the model is missing"))?;
            all.extend_from_slice(data);
            ensure!(
                all.len() as u64 <= expected,
                "piece {address} of the model is longer than the manifest says"
            );
        }
    }
    ensure!(
        all.len() as u64 == expected,
        "the pieces hold {} bytes, the manifest says {expected}",
        all.len()
    );
    Ok(all.freeze())
}
