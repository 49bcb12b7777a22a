//! What flows while the node is killed: transfers from several accounts, and uploads of networks.

use crate::ledger::{Ledger, Seen};
use alloy_network::{EthereumWallet, TransactionBuilder};
use alloy_primitives::{Address, U256, keccak256};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_signer_local::PrivateKeySigner;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use synod_testing::{Node, account, onnx};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};

/// Accounts that send transfers; the one after them uploads.
const SENDERS: u32 = 3;

/// Starts the senders; each sends one transfer after another and notes every receipt until the node is gone.
pub(crate) fn send(node: &Node, ledger: &Arc<Ledger>) -> Vec<JoinHandle<()>> {
    (0..SENDERS)
        .map(|index| {
            let (url, ledger) = (node.url().to_owned(), Arc::clone(ledger));
            tokio::spawn(async move {
                // The first error is the kill: whatever has no receipt yet may or may not exist afterwards.
                let _ = transfers(&url, account(index), &ledger).await;
            })
        })
        .collect()
}

async fn transfers(
    url: &str,
    signer: PrivateKeySigner,
    ledger: &Ledger,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let sender = signer.address();
    let rpc = ProviderBuilder::new()
        .disable_recommended_fillers()
        .wallet(EthereumWallet::from(signer))
        .connect_http(url.parse()?);
    let chain_id = rpc.get_chain_id().await?;
    let mut nonce = rpc.get_transaction_count(sender).await?;
    loop {
        let to = Address::from_word(keccak256([sender.as_slice(), &nonce.to_be_bytes()].concat()));
        let value = U256::from(nonce + 1);
        let transfer = TransactionRequest::default()
            .with_chain_id(chain_id)
            .with_from(sender)
            .with_to(to)
            .with_value(value)
            .with_nonce(nonce)
            .with_gas_limit(21_000)
            .with_max_fee_per_gas(100_000_000_000)
            .with_max_priority_fee_per_gas(1_000_000_000);
        let hash = *rpc.send_transaction(transfer).await?.tx_hash();
        let receipt = loop {
            if let Some(receipt) = rpc.get_transaction_receipt(hash).await? {
                break receipt;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let (Some(block), Some(block_hash)) = (receipt.block_number, receipt.block_hash) else {
            return Err("a receipt without a block".into());
        };
        ledger.saw(
            hash,
            Seen {
                sender,
                nonce,
                to,
                value,
                block,
                block_hash,
            },
        );
        nonce += 1;
    }
}

/// The uploads: one network after another, each continued by the same command until it is on the chain.
pub(crate) struct Uploads {
    folder: PathBuf,
    /// Networks that are on the chain.
    done: usize,
    running: Option<Child>,
}

impl Uploads {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            done: 0,
            running: None,
        }
    }

    pub(crate) fn done(&self) -> usize {
        self.done
    }

    fn command(&self, url: &str) -> Command {
        let file = self.folder.join(format!("network-{}.onnx", self.done));
        if !file.exists() {
            std::fs::write(&file, onnx::network(2, 362, self.done as u64))
                .expect("the temporary folder takes a file");
        }
        let mut publish = Command::new(env!("CARGO_BIN_EXE_synod"));
        publish
            .args(["model", "publish"])
            .arg(file)
            .args([
                "--name",
                &format!("kill/network-{}", self.done),
                "--rpc-url",
                url,
                "--json",
            ])
            .args(["--private-key", &format!("{:#x}", account(SENDERS).to_bytes())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        publish
    }

    /// Starts, or resumes, the upload of the next network.
    pub(crate) async fn go_on(&mut self, node: &Node) {
        self.running = Some(self.command(node.url()).spawn().expect("the command starts"));
    }

    /// After the node was killed: whether the upload was interrupted.
    pub(crate) async fn stop(&mut self) -> bool {
        let Some(mut publish) = self.running.take() else {
            return false;
        };
        match tokio::time::timeout(Duration::from_secs(60), publish.wait()).await {
            Ok(Ok(status)) if status.success() => {
                self.done += 1;
                false
            }
            Ok(_) => true,
            Err(_) => panic!("`model publish` hangs when its node is gone"),
        }
    }

    /// On a node that lives: the interrupted upload ends well, and every network on the chain answers under its name.
    pub(crate) async fn finish(&mut self, node: &Node) {
        let output = self
            .command(node.url())
            .stderr(Stdio::piped())
            .output()
            .await
            .expect("the command runs");
        assert!(
            output.status.success(),
            "the upload does not resume: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.done += 1;
        let list = Command::new(env!("CARGO_BIN_EXE_synod"))
            .args(["model", "list", "--json", "--rpc-url", node.url()])
            .output()
            .await
            .expect("the command runs");
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        for number in 0..self.done {
            assert!(
                list.contains(&format!("kill/network-{number}\"")),
                "network {number} is not on the chain: {list}"
            );
        }
    }
}
