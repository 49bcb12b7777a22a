//! Rules that change with an epoch.
//!
//! The council schedules an [`Upgrade`] for an epoch: the number of the rules (the *protocol*), and what changes in
//! `config.synod`, as a JSON merge patch (RFC 7386). It counts as it stands in the contract after the last block before the
//! epoch; from then on the contract does not let anybody touch it. So which rules a block follows is a function of its final
//! ancestors, like everything else about it.
//!
//! | protocol | fork | arithmetic | since |
//! |---|---|---|---|
//! | 1 | Osaka, BPO2 | `docs/spec/arithmetic.md` as of profile 1 | genesis |
//!
//! A node that does not know a protocol cannot judge blocks of its epoch, and says so instead ([`UnknownProtocol`]). A model
//! published under one protocol keeps its bits under all later ones: its record names the profile that it was validated
//! against.

use crate::{
    council::{Epochs, Upgrade},
    spec::{ChainSpec, SpecError, SynodParams},
};
use parking_lot::RwLock;
use std::sync::Arc;

/// The newest protocol that this build knows.
pub const PROTOCOL: u64 = 1;

/// The chain goes on under rules that this build does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "with epoch {epoch} (block {first_block}) the chain goes on under protocol {protocol}, and this build knows protocols up to \
     {PROTOCOL}: install a newer one and start it on the same folder; nothing is lost"
)]
pub struct UnknownProtocol {
    /// The epoch.
    pub epoch: u64,
    /// Its first block.
    pub first_block: u64,
    /// Its protocol.
    pub protocol: u64,
}

/// Rules from a block on.
#[derive(Clone, Debug)]
struct Era {
    epoch: u64,
    first_block: u64,
    protocol: u64,
    params: Arc<SynodParams>,
}

/// The eras of a chain that have begun, by their first block. Empty means: the genesis file's rules, for ever so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Eras(Arc<RwLock<Vec<Era>>>);

impl Eras {
    fn of(&self, number: u64) -> Option<Era> {
        let eras = self.0.read();
        eras.iter().rev().find(|era| era.first_block <= number).cloned()
    }
}

impl ChainSpec {
    /// The same rules for another chain of this process, which will have upgrades of its own.
    pub(crate) fn afresh(mut self) -> Self {
        self.eras = Eras::default();
        self
    }

    /// Our parameters for the block at a height; `None` on a chain that follows Ethereum's.
    #[must_use]
    pub fn synod_at(&self, number: u64) -> Option<Arc<SynodParams>> {
        let genesis = self.synod.as_ref()?;
        Some(
            self.eras
                .of(number)
                .map_or_else(|| genesis.clone(), |era| era.params),
        )
    }

    /// The protocol of the block at a height.
    #[must_use]
    pub fn protocol_at(&self, number: u64) -> u64 {
        self.eras.of(number).map_or(1, |era| era.protocol)
    }

    /// Whether this build can judge the block at a height.
    pub(crate) fn known_at(&self, number: u64) -> Result<(), UnknownProtocol> {
        match self.eras.of(number) {
            Some(Era {
                epoch,
                first_block,
                protocol,
                ..
            }) if protocol > PROTOCOL => Err(UnknownProtocol {
                epoch,
                first_block,
                protocol,
            }),
            _ => Ok(()),
        }
    }

    /// Takes up the council's upgrades, as they stand at the end of the epoch before `epoch`.
    pub(crate) fn take_up(&self, upgrades: &[Upgrade], epoch: u64, epochs: Epochs) {
        let Some(genesis) = &self.synod else { return };
        let mut eras: Vec<Era> = Vec::new();
        for upgrade in upgrades.iter().filter(|upgrade| upgrade.epoch <= epoch) {
            let before = eras.last().map_or(genesis, |era| &era.params);
            // Peers take no longer messages than the genesis file's blocks need, and whether gas is free stays.
            let fits = |params: &SynodParams| {
                params.check(self.genesis.gas_limit).is_ok()
                    && params.limits.block_size <= genesis.limits.block_size
                    && params.fees.free == genesis.fees.free
            };
            let params = match before.changed(&upgrade.parameters) {
                Ok(params) if fits(&params) => Arc::new(params),
                // What cannot be parameters changes none, on every node.
                _ => {
                    tracing::error!(
                        epoch = upgrade.epoch,
                        "an upgrade's parameters cannot be: they stay as they are"
                    );
                    before.clone()
                }
            };
            eras.push(Era {
                epoch: upgrade.epoch,
                first_block: epochs.first(upgrade.epoch),
                protocol: upgrade.protocol,
                params,
            });
        }
        *self.eras.0.write() = eras;
    }
}

impl SynodParams {
    /// The parameters after a change, given as a JSON merge patch (RFC 7386); an empty text changes nothing.
    ///
    /// # Errors
    /// When it is not JSON, or names what is no parameter.
    pub fn changed(&self, patch: &str) -> Result<Self, SpecError> {
        if patch.is_empty() {
            return Ok(self.clone());
        }
        let mut value = serde_json::to_value(self)?;
        merge(&mut value, serde_json::from_str(patch)?);
        Ok(serde_json::from_value(value)?)
    }
}

/// RFC 7386, section 2.
fn merge(target: &mut serde_json::Value, patch: serde_json::Value) {
    use serde_json::Value;
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            members.remove(&key);
        } else {
            merge(members.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn upgrade(epoch: u64, protocol: u64, parameters: &str) -> Upgrade {
        Upgrade {
            epoch,
            protocol,
            parameters: parameters.into(),
        }
    }

    #[test]
    fn upgrades_change_what_they_name_from_their_epoch_on() {
        let spec = ChainSpec::dev();
        let byte = |number| spec.synod_at(number).unwrap().gas.calldata_byte;
        let drift = |number| spec.synod_at(number).unwrap().max_clock_drift_ms;
        let epochs = Epochs::new(10).unwrap();
        let all = [
            upgrade(2, 1, r#"{"gas": {"calldataByte": 9}}"#),
            upgrade(5, 1, r#"{"maxClockDriftMs": 77}"#),
            upgrade(6, 1, r#"{"gass": {"calldataByte": 1}}"#),
            upgrade(7, 1, r#"{"gas": {"calldataByte": 0}}"#),
            upgrade(8, 1, r#"{"gas": {"calldataByte": null}}"#),
        ];
        spec.take_up(&all, 4, epochs);
        assert_eq!((byte(0), byte(19), byte(20), byte(999)), (4, 4, 9, 9));
        assert_eq!(drift(999), 500, "epoch 5 has not begun");
        spec.take_up(&all, 8, epochs);
        assert_eq!((byte(49), drift(49)), (9, 500));
        assert_eq!((byte(50), drift(50)), (9, 77));
        assert_eq!(byte(60), 9, "a misspelt parameter changes nothing");
        assert_eq!(byte(70), 9, "nor does one that cannot be");
        assert_eq!(byte(80), 4, "back to the default");
        // Another chain of the same file is not touched.
        assert_eq!(spec.clone().afresh().synod_at(999).unwrap().gas.calldata_byte, 4);
    }

    #[test]
    fn unknown_rules_are_named() {
        let spec = ChainSpec::dev();
        spec.take_up(&[upgrade(3, PROTOCOL + 1, "")], 3, Epochs::new(10).unwrap());
        assert!(spec.known_at(29).is_ok());
        let error = spec.known_at(30).unwrap_err();
        assert_eq!(
            (error.epoch, error.first_block, error.protocol),
            (3, 30, PROTOCOL + 1)
        );
        assert!(error.to_string().contains("install a newer one"));
    }
}
