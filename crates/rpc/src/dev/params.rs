//! Parameters in the forms in which the frameworks send them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A number: JSON's own, decimal text, or hexadecimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self(number)),
            Form::Text(text) => {
                let number = match text.strip_prefix("0x") {
                    Some(hex) => u64::from_str_radix(hex, 16),
                    None => text.parse(),
                };
                number
                    .map(Self)
                    .map_err(|_| de::Error::custom(format!("{text:?} is not a number")))
            }
        }
    }
}

/// The parameter of `evm_mine`: nothing, the block's timestamp, or an object with it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum MineOptions {
    /// The timestamp.
    Timestamp(Number),
    /// ganache's form.
    Options {
        /// The timestamp of the first block.
        timestamp: Option<Number>,
        /// How many blocks.
        blocks: Option<Number>,
    },
}

impl MineOptions {
    /// The first block's timestamp, and how many blocks.
    pub(crate) fn of(options: Option<Self>) -> (Option<u64>, u64) {
        match options {
            None => (None, 1),
            Some(Self::Timestamp(Number(timestamp))) => (Some(timestamp), 1),
            Some(Self::Options { timestamp, blocks }) => {
                (timestamp.map(|Number(t)| t), blocks.map_or(1, |Number(n)| n))
            }
        }
    }
}

/// The parameter of `evm_setIntervalMining`: milliseconds, or hardhat's range of them, of which the middle is taken.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Interval {
    /// So many.
    Fixed(Number),
    /// Between these.
    Range(Number, Number),
}

impl Interval {
    pub(crate) fn time(self) -> Duration {
        Duration::from_millis(match self {
            Self::Fixed(Number(millis)) => millis,
            Self::Range(Number(least), Number(most)) => least / 2 + most / 2 + (least % 2 + most % 2) / 2,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_the_forms_that_frameworks_send() {
        for text in ["16", "\"16\"", "\"0x10\""] {
            assert_eq!(
                serde_json::from_str::<Number>(text).unwrap(),
                Number(16),
                "{text}"
            );
        }
        for text in ["-1", "\"\"", "\"0x\"", "\"ten\"", "1.5", "null"] {
            assert!(serde_json::from_str::<Number>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interval_is_a_number_or_a_range() {
        let millis = |text: &str| serde_json::from_str::<Interval>(text).unwrap().time().as_millis();
        assert_eq!(millis("5000"), 5000);
        assert_eq!(millis("[3000, 6001]"), 4500);
        assert_eq!(millis("[3001, 6001]"), 4501);
    }
}
