//! That a state holds a list of validators.

use crate::council::{COMMITTEE_SLOT, COUNCIL, Validator};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable as _;
use alloy_sol_types::SolValue as _;
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use serde::{Deserialize, Serialize};

/// The council's list of validators, with the proof that a state root commits to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListProof {
    /// `abi.encode(validators)`; its hash is in slot [`COMMITTEE_SLOT`].
    pub validators: Bytes,
    /// RLP of the council's account: nonce, balance, storage root, code hash.
    pub account: Bytes,
    /// Nodes of the state trie down to the account, the root first.
    pub account_proof: Vec<Bytes>,
    /// Nodes of the account's storage trie down to the slot, the root first.
    pub storage_proof: Vec<Bytes>,
}

/// A list that the state does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListProofError {
    /// The account.
    #[error("the council's account is not proven under state root {0}")]
    Account(B256),
    /// The slot.
    #[error("the hash of the council's list is not proven under storage root {0}")]
    Slot(B256),
    /// The list.
    #[error("the list does not decode")]
    List,
}

impl ListProof {
    /// The validators, if a state with this root holds them.
    ///
    /// # Errors
    /// When it does not, or the proof does not show it.
    pub fn verify(&self, state_root: B256) -> Result<Vec<Validator>, ListProofError> {
        let holds = |root, key: B256, value: Vec<u8>, nodes: &[Bytes]| {
            verify_proof(root, Nibbles::unpack(key), Some(value), nodes).is_ok()
        };
        let (account, nodes) = (self.account.to_vec(), &self.account_proof);
        let account = TrieAccount::decode(&mut &self.account[..])
            .ok()
            .filter(|_| holds(state_root, keccak256(COUNCIL), account, nodes))
            .ok_or(ListProofError::Account(state_root))?;
        let slot = keccak256(B256::from(U256::from(COMMITTEE_SLOT)));
        let value = alloy_rlp::encode(U256::from_be_bytes(keccak256(&self.validators).0));
        if !holds(account.storage_root, slot, value, &self.storage_proof) {
            return Err(ListProofError::Slot(account.storage_root));
        }
        <Vec<Validator>>::abi_decode(&self.validators).map_err(|_| ListProofError::List)
    }
}
