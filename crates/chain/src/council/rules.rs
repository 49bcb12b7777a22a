//! Which rules hold in which epoch: the council's upgrades, taken up when an epoch begins.

use crate::{
    Chain, ChainError, ChainSpec, Factory, ReplayError,
    council::{CouncilView, Upgrade},
};
use alloy_consensus::Header;
use revm::DatabaseRef;
use std::fmt::Debug;
use synod_state::StateView;

impl Chain {
    /// Looks up how long epochs are, and takes up the rules of the one that runs: what a chain does when it is opened.
    pub(crate) fn take_up_epoch(&self) -> Result<(), ChainError> {
        let genesis = self.spec.genesis().number.unwrap_or_default();
        let header = self.final_header(genesis)?;
        let view = StateView::at(self.snapshot()?, header.state_root);
        let Some(council) = self.council_in(view, &header)? else {
            return Ok(());
        };
        let epochs = *self.epochs.get_or_init({
            let epochs = council.epochs()?;
            move || epochs
        });
        let next = self.head().number().saturating_add(1);
        if let Some(before) = epochs.first(epochs.of(next)).checked_sub(1) {
            let header = self.final_header(before)?;
            let view = StateView::at(self.snapshot()?, header.state_root);
            if let Some(rules) = self.rules_after(view, &header)? {
                self.take_up_rules(&rules);
            }
        }
        self.spec.known_at(next)?;
        Ok(())
    }

    /// What begins after a block whose state is `view`, if it is the last of its epoch: the epoch, and the upgrades that had been
    /// decided by then.
    pub(crate) fn rules_after(
        &self,
        view: StateView,
        header: &Header,
    ) -> Result<Option<(u64, Vec<Upgrade>)>, ChainError> {
        let begins = self
            .epochs()
            .and_then(|epochs| epochs.begins_after(header.number));
        let (Some(epoch), Some(council)) = (begins, self.council_in(view, header)?) else {
            return Ok(None);
        };
        Ok(Some((epoch, council.upgrades()?)))
    }

    /// The rules with the council's upgrades as they stand in the state after the final block with this header. Those of epochs to
    /// come may still change, or be taken back.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn scheduled(&self, header: &Header) -> Result<ChainSpec, ChainError> {
        let (Some(epochs), Some(council)) = (self.epochs(), self.council(header)?) else {
            return Ok(self.spec.as_ref().clone());
        };
        Ok(self.spec.scheduled(&council.upgrades()?, epochs))
    }

    /// Lets an epoch begin.
    pub(crate) fn take_up_rules(&self, (epoch, upgrades): &(u64, Vec<Upgrade>)) {
        if let Some(epochs) = self.epochs() {
            self.spec.take_up(upgrades, *epoch, epochs);
            let rules = self.spec.inference_rules(epochs.first(*epoch));
            self.factory.set_rules(rules);
        }
    }
}

impl ChainSpec {
    /// Takes up the rules that hold in the block after `parent`, as the council in the state after `parent` has them: what a
    /// chain does when it is opened, for one who has no chain but a state.
    ///
    /// # Errors
    /// When the contract does not answer, or the rules are unknown to this build.
    pub fn take_up_from<S: DatabaseRef + Debug>(
        &self,
        factory: &Factory,
        parent: &Header,
        state: S,
    ) -> Result<(), ReplayError> {
        let council = CouncilView::open(factory, state, self.evm_env(parent))
            .map_err(|error| ChainError::Evm(error.to_string()))?;
        let Some(council) = council else {
            return Ok(());
        };
        let (epochs, number) = (council.epochs()?, parent.number.saturating_add(1));
        // Upgrades of epochs that have begun cannot change any more, so any block of the epoch tells them.
        self.take_up(&council.upgrades()?, epochs.of(number), epochs);
        Ok(self.known_at(number)?)
    }
}
