//! Rules that change with an epoch.
//!
//! The council schedules an [`Upgrade`] for an epoch: the number of the rules that are in code (the [`Protocol`]), and what
//! changes in `config.synod`, as a JSON merge patch (RFC 7386). It counts as it stands in the contract after the last block
//! before the epoch; from then on the contract does not let anybody touch it. So which rules a block follows is a function of
//! its final ancestors, like everything else about it.
//!
//! Protocols only rise: an upgrade that names an earlier one than is in force, or 0, leaves it as it is. A node that does not
//! know a protocol cannot judge blocks of its epoch, and says so instead ([`UnknownProtocol`]). A model published under one
//! protocol keeps its bits under all later ones: its record names the profile that it was validated against.

use crate::{
    council::{Epochs, Upgrade},
    spec::{ChainSpec, Protocol, SpecError, SynodParams},
};
use parking_lot::RwLock;
use std::sync::Arc;

/// The chain goes on under rules that this build does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "with epoch {epoch} (block {first_block}) the chain goes on under protocol {protocol}, and this build knows protocols up to \
     {newest}: install a newer one and start it on the same folder; nothing is lost"
)]
pub struct UnknownProtocol {
    /// The epoch.
    pub epoch: u64,
    /// Its first block.
    pub first_block: u64,
    /// Its protocol.
    pub protocol: u64,
    /// The newest protocol that this build knows.
    pub newest: u64,
}

/// Rules from a block on.
#[derive(Clone, Debug)]
struct Era {
    epoch: u64,
    first_block: u64,
    /// What the council asks for.
    protocol: u64,
    /// The rules of that number, `None` if this build does not know them.
    rules: Option<Protocol>,
    params: Arc<SynodParams>,
    /// Whether the upgrade's own parameters cannot be, so that `params` are those before it.
    refused: bool,
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

    /// The same rules with all of the council's upgrades, those of epochs to come too.
    pub(crate) fn scheduled(&self, upgrades: &[Upgrade], epochs: Epochs) -> Self {
        let spec = self.clone().afresh();
        *spec.eras.0.write() = self.eras_by(u64::MAX, upgrades, epochs);
        spec
    }

    /// The first blocks of the upgrades that this build knows the rules of, ascending.
    #[must_use]
    pub fn upgrade_blocks(&self) -> Vec<u64> {
        let eras = self.eras.0.read();
        let known = eras.iter().filter(|era| era.rules.is_some());
        known.map(|era| era.first_block).collect()
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

    /// The number of the protocol of the block at a height.
    #[must_use]
    pub fn protocol_at(&self, number: u64) -> u64 {
        self.eras
            .of(number)
            .map_or(self.first_protocol().number, |era| era.protocol)
    }

    /// The rules in code of the block at a height. If they are unknown ([`Self::known_at`]), the newest that are known.
    pub(super) fn rules_at(&self, number: u64) -> Protocol {
        let rules = self
            .eras
            .of(number)
            .map_or(Some(self.first_protocol()), |era| era.rules);
        rules.unwrap_or_else(|| self.newest_protocol())
    }

    /// The protocol that every chain begins with.
    fn first_protocol(&self) -> Protocol {
        *self.protocols.first().expect("the table is not empty")
    }

    /// The newest protocol that this build knows.
    fn newest_protocol(&self) -> Protocol {
        *self.protocols.last().expect("the table is not empty")
    }

    /// Whether this build can judge the block at a height.
    pub(crate) fn known_at(&self, number: u64) -> Result<(), UnknownProtocol> {
        match self.eras.of(number) {
            Some(Era {
                epoch,
                first_block,
                protocol,
                rules: None,
                ..
            }) => Err(UnknownProtocol {
                epoch,
                first_block,
                protocol,
                newest: self.newest_protocol().number,
            }),
            _ => Ok(()),
        }
    }

    /// Takes up the council's upgrades, as they stand at the end of the epoch before `epoch`.
    pub(crate) fn take_up(&self, upgrades: &[Upgrade], epoch: u64, epochs: Epochs) {
        let eras = self.eras_by(epoch, upgrades, epochs);
        for Era { epoch, .. } in eras.iter().filter(|era| era.refused) {
            tracing::error!(epoch, "an upgrade's parameters cannot be: they stay as they are");
        }
        *self.eras.0.write() = eras;
    }

    /// The eras that have begun when an epoch runs.
    fn eras_by(&self, epoch: u64, upgrades: &[Upgrade], epochs: Epochs) -> Vec<Era> {
        let mut eras: Vec<Era> = Vec::new();
        let Some(genesis) = &self.synod else {
            return eras;
        };
        for upgrade in upgrades.iter().filter(|upgrade| upgrade.epoch <= epoch) {
            let (before, in_force) = eras
                .last()
                .map_or((genesis, self.first_protocol().number), |era| {
                    (&era.params, era.protocol)
                });
            let protocol = upgrade.protocol.max(in_force);
            // Peers take no longer messages than the genesis file's blocks need, and whether gas is free stays.
            let fits = |params: &SynodParams| {
                params.check(self.genesis.gas_limit).is_ok()
                    && params.limits.block_size <= genesis.limits.block_size
                    && params.fees.free == genesis.fees.free
            };
            // What cannot be parameters changes none, on every node.
            let changed = before.changed(&upgrade.parameters).ok().filter(fits);
            let refused = changed.is_none();
            let params = changed.map_or_else(|| before.clone(), Arc::new);
            eras.push(Era {
                epoch: upgrade.epoch,
                first_block: epochs.first(upgrade.epoch),
                protocol,
                rules: self
                    .protocols
                    .iter()
                    .copied()
                    .find(|known| known.number == protocol),
                params,
                refused,
            });
        }
        eras
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
    use crate::spec::dev_genesis;
    use alloy_hardforks::EthereumHardfork;

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
        let newest = spec.newest_protocol().number;
        spec.take_up(&[upgrade(3, newest + 1, "")], 3, Epochs::new(10).unwrap());
        assert!(spec.known_at(29).is_ok());
        let error = spec.known_at(30).unwrap_err();
        let expected = UnknownProtocol {
            epoch: 3,
            first_block: 30,
            protocol: newest + 1,
            newest,
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("install a newer one"));
    }

    #[test]
    fn what_is_scheduled_is_known_and_not_in_force() {
        let spec = ChainSpec::dev();
        let newest = spec.newest_protocol().number;
        let all = [
            upgrade(2, newest, r#"{"maxClockDriftMs": 77}"#),
            upgrade(3, newest + 1, ""),
        ];
        let scheduled = spec.scheduled(&all, Epochs::new(10).unwrap());
        assert_eq!(
            scheduled.upgrade_blocks(),
            [20],
            "nobody knows what begins with 30"
        );
        assert_eq!(scheduled.synod_at(20).unwrap().max_clock_drift_ms, 77);
        let hash = |spec: &ChainSpec, number| spec.fork_hash(Default::default(), number, 0);
        assert_eq!(hash(&scheduled, 19), hash(&spec, 20));
        assert_ne!(hash(&scheduled, 20), hash(&spec, 20));
        assert!(spec.upgrade_blocks().is_empty());
        assert_eq!(spec.synod_at(20).unwrap().max_clock_drift_ms, 500);
    }

    #[test]
    fn protocols_only_rise() {
        const TABLE: &[Protocol] = &[
            Protocol {
                number: 1,
                fork: EthereumHardfork::Prague,
                profile: 1,
            },
            Protocol {
                number: 2,
                fork: EthereumHardfork::Osaka,
                profile: 2,
            },
        ];
        let spec = ChainSpec::with_protocols(dev_genesis(), TABLE).unwrap();
        let all = [
            upgrade(1, 0, ""),
            upgrade(2, 2, ""),
            upgrade(3, 1, ""),
            upgrade(4, 9, ""),
        ];
        spec.take_up(&all, 4, Epochs::new(10).unwrap());
        let rules = |number| (spec.protocol_at(number), spec.rules_at(number).profile);
        assert_eq!(
            [0, 10, 19, 20, 30].map(rules),
            [(1, 1), (1, 1), (1, 1), (2, 2), (2, 2)]
        );
        assert!(spec.known_at(39).is_ok() && spec.known_at(40).is_err());
        assert_eq!(spec.inference_rules(19).profile, 1);
        assert_eq!(spec.inference_rules(20).profile, 2);
    }
}
