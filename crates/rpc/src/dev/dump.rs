//! The state of a development chain as one string, to be loaded into another.
//!
//! The form is anvil's: JSON with every account, compressed with gzip, in hexadecimal. Blocks and transactions are not in it.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, U256};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use synod_chain::edit::StateEdit;

/// Bytes of a dump when it is unpacked, at most.
const MAX_UNPACKED: u64 = 1 << 30;

/// Why bytes are no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// They do not unpack.
    #[error("the state does not unpack: {0}")]
    Gzip(#[from] std::io::Error),
    /// They unpack to too much.
    #[error("the state unpacks to more than {MAX_UNPACKED} bytes")]
    TooLarge,
    /// They unpack to something else.
    #[error("not a state as anvil_dumpState gives it: {0}")]
    Json(#[from] serde_json::Error),
}

/// All accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dump {
    accounts: BTreeMap<Address, DumpedAccount>,
    #[serde(default)]
    best_block_number: Option<U256>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct DumpedAccount {
    nonce: u64,
    balance: U256,
    #[serde(default)]
    code: Bytes,
    #[serde(default)]
    storage: BTreeMap<B256, B256>,
}

impl Dump {
    /// A dump of these accounts after a block.
    #[must_use]
    pub fn new(accounts: BTreeMap<Address, GenesisAccount>, height: u64) -> Self {
        let accounts = accounts.into_iter().map(|(address, account)| {
            let dumped = DumpedAccount {
                nonce: account.nonce.unwrap_or_default(),
                balance: account.balance,
                code: account.code.unwrap_or_default(),
                storage: account.storage.unwrap_or_default(),
            };
            (address, dumped)
        });
        Self {
            accounts: accounts.collect(),
            best_block_number: Some(U256::from(height)),
        }
    }

    /// Puts each account where it was.
    #[must_use]
    pub fn edits(self) -> Vec<StateEdit> {
        let accounts = self.accounts.into_iter();
        let edits = accounts.map(|(address, account)| StateEdit::Account {
            address,
            account: GenesisAccount {
                nonce: Some(account.nonce),
                balance: account.balance,
                code: Some(account.code).filter(|code| !code.is_empty()),
                storage: Some(account.storage),
                ..Default::default()
            },
        });
        edits.collect()
    }

    /// The compressed form.
    ///
    /// # Errors
    /// When memory cannot be written, which it always can.
    pub fn pack(&self) -> Result<Bytes, DumpError> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&serde_json::to_vec(self)?)?;
        Ok(packed.finish()?.into())
    }

    /// Reads the compressed form, or the JSON itself.
    ///
    /// # Errors
    /// When it is neither.
    pub fn unpack(bytes: &[u8]) -> Result<Self, DumpError> {
        if bytes.trim_ascii_start().starts_with(b"{") {
            return Ok(serde_json::from_slice(bytes)?);
        }
        let mut json = Vec::new();
        GzDecoder::new(bytes)
            .take(MAX_UNPACKED + 1)
            .read_to_end(&mut json)?;
        if json.len() as u64 > MAX_UNPACKED {
            return Err(DumpError::TooLarge);
        }
        Ok(serde_json::from_slice(&json)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_is_read_as_it_was_written_and_nothing_else_is_one() {
        let account = GenesisAccount {
            nonce: Some(3),
            balance: U256::from(7),
            code: Some(Bytes::from_static(&[0x5f])),
            storage: Some([(B256::with_last_byte(1), B256::with_last_byte(2))].into()),
            ..Default::default()
        };
        let address = Address::repeat_byte(1);
        let dump = Dump::new([(address, account.clone())].into(), 5);
        let packed = dump.pack().unwrap();
        assert_eq!(Dump::unpack(&packed).unwrap(), dump);
        let json = serde_json::to_vec(&dump).unwrap();
        assert_eq!(Dump::unpack(&json).unwrap(), dump);
        assert_eq!(dump.edits(), [StateEdit::Account { address, account }]);
        assert!(matches!(Dump::unpack(b"nonsense"), Err(DumpError::Gzip(_))));
        assert!(matches!(
            Dump::unpack(&packed[..packed.len() / 2]),
            Err(DumpError::Gzip(_))
        ));
        assert!(matches!(Dump::unpack(b"{\"a\":1}"), Err(DumpError::Json(_))));
    }
}
