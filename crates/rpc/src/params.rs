//! Parameters that must be read more strictly than the types of the shapes crate do.

use alloy_primitives::{B256, U256};
use alloy_serde::JsonStorageKey;
use serde::{Deserialize, Deserializer, de};

/// A hash with its `0x`: without it, a client has most likely mixed something up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) B256);

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.starts_with("0x") {
            return Err(de::Error::custom("hex string without 0x prefix"));
        }
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A storage slot: up to 32 bytes in hexadecimal. How it was written is kept, since proofs repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) JsonStorageKey);

impl Slot {
    pub(crate) fn number(&self) -> U256 {
        self.0.as_b256().into()
    }
}

impl<'de> Deserialize<'de> for Slot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text
            .strip_prefix("0x")
            .ok_or_else(|| de::Error::custom("hex string without 0x prefix"))?;
        if digits.len() > 64 {
            return Err(de::Error::custom(format!(
                "storage key too long (want at most 32 bytes): {text:?}"
            )));
        }
        serde_json::from_value(serde_json::Value::String(text))
            .map(Self)
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_need_their_prefix_and_their_length() {
        let hash = format!("\"0x{}\"", "11".repeat(32));
        assert_eq!(
            serde_json::from_str::<Hash>(&hash).unwrap(),
            Hash(B256::repeat_byte(0x11))
        );
        for bad in [hash.replace("0x", ""), "\"0x11\"".to_owned(), "17".to_owned()] {
            assert!(serde_json::from_str::<Hash>(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn slots_have_at_most_32_bytes() {
        for good in ["0x0", "0x5", &format!("0x{}", "f".repeat(64))] {
            assert!(
                serde_json::from_str::<Slot>(&format!("\"{good}\"")).is_ok(),
                "{good}"
            );
        }
        for bad in ["5", "0xz", &format!("0x{}", "0".repeat(65))] {
            assert!(
                serde_json::from_str::<Slot>(&format!("\"{bad}\"")).is_err(),
                "{bad}"
            );
        }
    }
}
