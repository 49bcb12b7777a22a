//! Reading a model back: from the registry to the manifest, from there to the pieces, and to the id that proves them.

use super::{Client, file};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, U256};
use bytes::BytesMut;
use eyre::{Context as _, Result, ensure, eyre};
use std::{collections::BTreeMap, fmt};
use synod_evm::{
    addresses::MODEL_REGISTRY,
    gas::MAX_PATCHES,
    interface::ModelRegistry,
    manifest::{Content, address_of, chunk_data},
    name::{ModelName, Version},
    pipeline::PipelineManifest,
};
use synod_model::{CanonicalModel, Model, limits::PROFILE_VERSION, patch::Edits};
use synod_pipeline::{Description, FileRole, Parts, Pipeline, Role, StoredFile};

/// Pieces read at the same time.
const READS: usize = 8;

/// A published model.
#[derive(Debug, Clone)]
pub(crate) struct Located {
    pub(crate) version: u64,
    pub(crate) status: Status,
    pub(crate) id: B256,
    /// The profile that it was validated against, which its id names.
    pub(crate) profile: u32,
    pub(crate) manifest: Address,
    pub(crate) graph_bytes: u64,
    pub(crate) weight_bytes: u64,
    /// Whether a patch of it can be proved.
    pub(crate) steady: bool,
}

/// What a publisher says of a version.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "status", content = "reason", rename_all = "lowercase")]
pub(crate) enum Status {
    Active,
    /// Advised against, for a reason; it runs.
    Deprecated(String),
    /// Ended, for a reason; it runs by id alone.
    Revoked(String),
}

impl Status {
    pub(crate) fn new(status: u32, reason: String) -> Self {
        match status {
            1 => Self::Deprecated(reason),
            2 => Self::Revoked(reason),
            _ => Self::Active,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A reason is anybody's text: nothing in it may reach a terminal as it is.
        match self {
            Self::Active => f.write_str("active"),
            Self::Deprecated(reason) => write!(f, "deprecated: {}", reason.escape_debug()),
            Self::Revoked(reason) => write!(f, "revoked: {}", reason.escape_debug()),
        }
    }
}

/// The number of the version that a name in any of its forms leads to, and the version, revoked or not.
pub(crate) async fn version(
    client: &Client,
    name: &ModelName,
    block: BlockId,
) -> Result<(u64, ModelRegistry::Version)> {
    let path = || name.path().to_owned();
    let number = match name.version() {
        Version::Number(number) => U256::from(*number),
        Version::Latest => {
            let call = ModelRegistry::versionOfCall { name: path() };
            client.call(MODEL_REGISTRY, &call, block).await?
        }
        Version::Alias(alias) => {
            let call = ModelRegistry::aliasOfCall {
                name: path(),
                aliasName: alias.clone(),
            };
            client.call(MODEL_REGISTRY, &call, block).await?
        }
        Version::Id(id) => {
            let call = ModelRegistry::versionOfIdCall {
                name: path(),
                id: *id,
            };
            client.call(MODEL_REGISTRY, &call, block).await?
        }
    };
    let call = ModelRegistry::versionAtCall {
        name: path(),
        version: number,
    };
    let version = client.call(MODEL_REGISTRY, &call, block).await?;
    ensure!(
        version.id != B256::ZERO,
        "no model is called {:?} on this chain: `synod model list` shows the names, `synod model log` a name's versions",
        name.to_string()
    );
    Ok((number.saturating_to(), version))
}

/// Looks a name up. A revoked version is found as well: its bytes stay.
pub(crate) async fn locate(client: &Client, name: &ModelName, block: BlockId) -> Result<Located> {
    let (number, version) = version(client, name, block).await?;
    let id = version.id;
    let record = client
        .call(MODEL_REGISTRY, &ModelRegistry::modelOfCall { id }, block)
        .await?;
    Ok(Located {
        version: number,
        status: Status::new(version.status, version.reason),
        id,
        profile: record.profile,
        manifest: record.manifest,
        graph_bytes: record.graphBytes,
        weight_bytes: record.weightBytes,
        steady: record.steady,
    })
}

/// The profile that a model was validated against.
pub(crate) async fn profile_of(client: &Client, id: B256) -> Result<u32> {
    let call = ModelRegistry::modelOfCall { id };
    Ok(client
        .call(MODEL_REGISTRY, &call, BlockId::latest())
        .await?
        .profile)
}

/// Reads all pieces of a model and checks that they are the model that the id stands for.
///
/// Nothing the node says is trusted: the id is computed afresh from the bytes.
pub(crate) async fn pull(client: &Client, located: &Located) -> Result<CanonicalModel> {
    ensure!(
        located.profile <= PROFILE_VERSION,
        "the model is of profile {}, and this program knows profiles up to {PROFILE_VERSION}: install a newer one",
        located.profile
    );
    let mut address = located.manifest;
    let mut patches = Vec::new();
    let manifest = loop {
        let code = client.code(address).await?;
        match Content::decode(&code).wrap_err_with(|| format!("manifest {address}"))? {
            Content::Whole(manifest) => break manifest,
            Content::Patched(patch) => {
                ensure!(
                    patches.len() < usize::from(MAX_PATCHES),
                    "the model lies under more patches than a chain takes: do not trust this node"
                );
                address = patch.base;
                patches.push(patch);
            }
        }
    };
    ensure!(
        (manifest.graph_bytes, manifest.weight_bytes) == (located.graph_bytes, located.weight_bytes),
        "the manifest and the registry differ about the model's size: do not trust this node"
    );
    let graph = assemble(client, &manifest.graph, manifest.graph_bytes)
        .await?
        .freeze();
    let mut weights = assemble(client, &manifest.weights, manifest.weight_bytes).await?;
    for patch in patches.into_iter().rev() {
        let edits = match patch.chunks.len() {
            0 => patch.edits.0,
            _ => read(client, &patch.chunks, u64::MAX).await?.freeze(),
        };
        Edits::decode(edits, manifest.weight_bytes)
            .wrap_err("a patch of the model")?
            .apply(&mut weights);
    }
    let weights = weights.freeze();
    let model = CanonicalModel { graph, weights };
    let id = model.id_under(located.profile);
    ensure!(
        id.0 == located.id.0,
        "the bytes that the node gave are another model ({id}) than the registry names ({}): do not trust this node",
        located.id
    );
    Ok(model)
}

async fn assemble(client: &Client, chunks: &[Address], expected: u64) -> Result<BytesMut> {
    let all = read(client, chunks, expected).await?;
    ensure!(
        all.len() as u64 == expected,
        "the pieces hold {} bytes, the manifest says {expected}",
        all.len()
    );
    Ok(all)
}

/// The bytes of pieces, at most so many.
pub(super) async fn read(client: &Client, chunks: &[Address], most: u64) -> Result<BytesMut> {
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
            let data = chunk_data(&code).ok_or_else(|| eyre!("piece {address} is missing"))?;
            ensure!(
                address_of(&code) == address,
                "what the node gave is not what piece {address} stands for: do not trust this node"
            );
            all.extend_from_slice(data);
            ensure!(
                all.len() as u64 <= most,
                "piece {address} is longer than the manifest says"
            );
        }
    }
    Ok(all)
}

/// The description of a published pipeline.
pub(crate) async fn description(client: &Client, located: &Located) -> Result<Description> {
    Ok(listed(client, located).await?.1)
}

/// What a pipeline's account lists, and its description.
async fn listed(client: &Client, located: &Located) -> Result<(PipelineManifest, Description)> {
    let code = client.code(located.manifest).await?;
    let manifest = PipelineManifest::decode(&code)
        .map_err(|_| eyre!("the model is a network, not a pipeline: ask it with --input"))?;
    let encoded = file::fetch(client, manifest.description).await?;
    let description = Description::decode(&encoded).wrap_err("the description of the pipeline")?;
    ensure!(
        description.id().0 == located.id.0,
        "the description that the node gave is another pipeline's ({}) than the registry names ({}): do not trust this node",
        description.id(),
        located.id
    );
    Ok((manifest, description))
}

/// A pipeline's networks and files, each checked against its id.
pub(crate) struct Fetched {
    pub(crate) description: Description,
    /// Each with the profile that its id names.
    pub(crate) networks: BTreeMap<Role, (u32, CanonicalModel)>,
    pub(crate) files: BTreeMap<FileRole, Vec<u8>>,
}

/// Whether a model is a pipeline.
pub(crate) async fn is_pipeline(client: &Client, located: &Located) -> Result<bool> {
    let code = client.code(located.manifest).await?;
    Ok(PipelineManifest::decode(&code).is_ok())
}

/// Fetches a pipeline.
pub(crate) async fn pull_parts(client: &Client, located: &Located) -> Result<Fetched> {
    let (manifest, description) = listed(client, located).await?;
    let mut files = BTreeMap::new();
    for ((&role, stored), &address) in description.files.iter().zip(&manifest.files) {
        let bytes = file::fetch(client, address).await?;
        ensure!(
            StoredFile::of(&bytes) == *stored,
            "the {} that the node gave is not the pipeline's: do not trust this node",
            role.name()
        );
        files.insert(role, bytes);
    }
    let mut networks = BTreeMap::new();
    for (&role, id) in &description.models {
        let id = B256::from(id.0);
        let call = ModelRegistry::modelOfCall { id };
        let record = client.call(MODEL_REGISTRY, &call, BlockId::latest()).await?;
        let network = Located {
            id,
            profile: record.profile,
            manifest: record.manifest,
            graph_bytes: record.graphBytes,
            weight_bytes: record.weightBytes,
            steady: record.steady,
            ..located.clone()
        };
        networks.insert(role, (network.profile, pull(client, &network).await?));
    }
    Ok(Fetched {
        description,
        networks,
        files,
    })
}

/// Fetches a pipeline and puts it together.
pub(crate) async fn pull_pipeline(client: &Client, located: &Located) -> Result<Pipeline> {
    let fetched = pull_parts(client, located).await?;
    let mut parts = Parts {
        files: fetched.files,
        ..Parts::default()
    };
    for (role, (profile, model)) in fetched.networks {
        let model = Model::load_under(profile, model.graph, model.weights)?;
        parts.models.insert(role, model);
    }
    Pipeline::assemble(fetched.description, parts)
        .wrap_err("the pipeline that the node gave does not fit together")
}
