//! Files on the chain: storing them, and reading them back.

use super::{
    Account, Client,
    pieces::{Progress, send_missing},
    pull::read,
};
use alloy_primitives::{Address, U256};
use eyre::{Context as _, Result, ensure};
use synod_evm::{
    file::FileManifest,
    manifest::{address_of, chunk_size},
};

/// What storing a file did.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) file: Address,
    /// Accounts that hold it, the one that lists the others among them.
    pub(crate) pieces: usize,
    /// Those that were not on the chain yet.
    pub(crate) sent: usize,
    pub(crate) gas_used: u64,
    pub(crate) fee: U256,
}

/// Stores a file on a chain that allows contracts of `code_size_limit` bytes.
pub(crate) async fn store(
    account: &mut Account,
    bytes: &[u8],
    code_size_limit: usize,
    progress: &mut dyn Progress,
) -> Result<Stored> {
    let (manifest, mut pieces) = FileManifest::cut(bytes, chunk_size(code_size_limit));
    // it comes last: where it is, all is
    pieces.push(manifest.encode());
    ensure!(
        manifest.encode().len() <= code_size_limit,
        "a file of {} bytes has more pieces than one account of this chain can list",
        bytes.len()
    );
    let (sent, bill) = send_missing(account, &pieces, progress).await?;
    Ok(Stored {
        file: manifest.address(),
        pieces: pieces.len(),
        sent,
        gas_used: bill.gas,
        fee: bill.fee,
    })
}

/// The bytes of a file, checked against its address.
pub(crate) async fn fetch(client: &Client, file: Address) -> Result<Vec<u8>> {
    let code = client.code(file).await?;
    ensure!(!code.is_empty(), "no file is stored at {file}");
    let manifest = FileManifest::decode(&code).wrap_err_with(|| format!("{file} is no file"))?;
    ensure!(
        address_of(&code) == file,
        "what the node gave is not what {file} stands for: do not trust this node"
    );
    let bytes = read(client, &manifest.chunks, manifest.bytes).await?;
    ensure!(
        bytes.len() as u64 == manifest.bytes,
        "the pieces hold {} bytes, the file has {}",
        bytes.len(),
        manifest.bytes
    );
    Ok(bytes.into())
}
