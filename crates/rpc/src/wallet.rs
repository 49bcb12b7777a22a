//! Accounts that a development node signs for.
//!
//! Their keys follow from a mnemonic that the whole world knows, so that tools find funded accounts without asking. A
//! node with a value at stake has no wallet: its `eth_accounts` is empty.

use std::collections::BTreeMap;

use alloy_consensus::{SignableTransaction, TxEnvelope, TypedTransaction};
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, Signature, eip191_hash_message};
use alloy_signer::SignerSync;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};

use crate::error::{RpcError, RpcResult};

/// Keys by address.
#[derive(Debug, Default)]
pub struct Wallet {
    /// In the order of derivation, which is the order in which tools number them.
    order: Vec<Address>,
    signers: BTreeMap<Address, PrivateKeySigner>,
}

impl Wallet {
    /// A wallet without accounts.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The first `count` accounts of a mnemonic, on the path `m/44'/60'/0'/0/index`.
    ///
    /// # Errors
    /// When the words are no mnemonic.
    pub fn from_mnemonic(phrase: &str, count: u32) -> Result<Self, alloy_signer_local::LocalSignerError> {
        let mut wallet = Self::empty();
        for index in 0..count {
            let signer = MnemonicBuilder::<English>::default()
                .phrase(phrase)
                .index(index)?
                .build()?;
            wallet.order.push(signer.address());
            wallet.signers.insert(signer.address(), signer);
        }
        Ok(wallet)
    }

    /// The addresses, in order.
    pub fn addresses(&self) -> &[Address] {
        &self.order
    }

    fn signer(&self, address: Address) -> RpcResult<&PrivateKeySigner> {
        self.signers
            .get(&address)
            .ok_or(RpcError::UnknownAccount(address))
    }

    /// Signs a transaction of one of the accounts.
    pub(crate) fn sign_transaction(&self, from: Address, mut tx: TypedTransaction) -> RpcResult<TxEnvelope> {
        let signer = self.signer(from)?;
        let signature = match &mut tx {
            TypedTransaction::Legacy(tx) => signer.sign_transaction_sync(tx),
            TypedTransaction::Eip2930(tx) => signer.sign_transaction_sync(tx),
            TypedTransaction::Eip1559(tx) => signer.sign_transaction_sync(tx),
            TypedTransaction::Eip4844(tx) => signer.sign_transaction_sync(tx),
            TypedTransaction::Eip7702(tx) => signer.sign_transaction_sync(tx),
        }
        .map_err(RpcError::internal)?;
        Ok(tx.into_signed(signature).into())
    }

    /// Signs a message with the prefix of EIP-191.
    pub(crate) fn sign_message(&self, from: Address, message: &Bytes) -> RpcResult<Signature> {
        self.sign_hash(from, eip191_hash_message(message))
    }

    /// Signs a hash as it is (EIP-712 data has been hashed by then).
    pub(crate) fn sign_hash(&self, from: Address, hash: B256) -> RpcResult<Signature> {
        self.signer(from)?
            .sign_hash_sync(&hash)
            .map_err(RpcError::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;
    use synod_chain::spec::DEV_MNEMONIC;

    #[test]
    fn the_well_known_accounts_come_in_the_well_known_order() {
        let wallet = Wallet::from_mnemonic(DEV_MNEMONIC, 3).unwrap();
        assert_eq!(
            wallet.addresses(),
            [
                address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
                address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
                address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
            ]
        );
        let stranger = Address::repeat_byte(1);
        assert!(
            matches!(wallet.sign_hash(stranger, B256::ZERO), Err(RpcError::UnknownAccount(a)) if a == stranger)
        );
    }
}
