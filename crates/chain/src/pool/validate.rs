//! The checks of the doorman. Each is a rule of Ethereum's execution, made early; the numbers are the EIPs'.

use alloy_consensus::{
    Transaction, TxEnvelope,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::{
    Typed2718,
    eip2718::{Decodable2718, EIP4844_TX_TYPE_ID},
};
use alloy_evm::{EvmEnv, FromRecoveredTx};
use revm::{
    context::{Cfg, TxEnv, result::InvalidTransaction},
    handler::validation::validate_initial_tx_gas_with_gas_params,
    primitives::hardfork::SpecId,
};

use super::{Account, Limits, PoolError, PoolTransaction};

/// Decodes a transaction and recovers its sender. Total: any bytes give a transaction or an error.
pub(super) fn decode(raw: &[u8], limits: &Limits) -> Result<Recovered<TxEnvelope>, PoolError> {
    if raw.len() > limits.transaction_bytes {
        // Decoding and hashing cost time in proportion to the length, so the length is judged first. (A blob
        // transaction with its blobs is longer than the limit too, and deserves the better reason.)
        if raw.first() == Some(&EIP4844_TX_TYPE_ID) {
            return Err(PoolError::BlobsNotSupported);
        }
        return Err(PoolError::Oversized {
            size: raw.len(),
            limit: limits.transaction_bytes,
        });
    }
    let mut rest = raw;
    let transaction = TxEnvelope::decode_2718(&mut rest).map_err(|e| PoolError::Decode(e.to_string()))?;
    if !rest.is_empty() {
        return Err(PoolError::NotCanonical { excess: rest.len() });
    }
    if transaction.is_eip4844() {
        return Err(PoolError::BlobsNotSupported);
    }
    // Refuses high s values too (EIP-2).
    transaction
        .try_into_recovered()
        .map_err(|_| PoolError::InvalidSignature)
}

/// What can be said without looking at the sender's account.
pub(super) fn without_state(tx: &PoolTransaction, env: &EvmEnv, limits: &Limits) -> Result<(), PoolError> {
    let (cfg, block) = (&env.cfg_env, &env.block_env);
    let inner = tx.transaction();
    if tx.size() > limits.transaction_bytes {
        return Err(PoolError::Oversized {
            size: tx.size(),
            limit: limits.transaction_bytes,
        });
    }
    type_enabled(inner, cfg.spec)?;
    if let Some(have) = inner.chain_id()
        && have != cfg.chain_id
    {
        return Err(PoolError::ChainId {
            have,
            want: cfg.chain_id,
        });
    }
    if inner.nonce() == u64::MAX {
        return Err(PoolError::NonceMax(inner.nonce()));
    }
    fees(tx, block.basefee, limits)?;

    let gas = inner.gas_limit();
    if gas > block.gas_limit {
        return Err(PoolError::BlockGasLimit {
            gas,
            limit: block.gas_limit,
        });
    }
    if gas > cfg.tx_gas_limit_cap() {
        return Err(PoolError::GasCap {
            gas,
            cap: cfg.tx_gas_limit_cap(),
        });
    }
    if inner.is_create() && cfg.spec.is_enabled_in(SpecId::SHANGHAI) {
        let (size, limit) = (inner.input().len(), cfg.max_initcode_size());
        if size > limit {
            return Err(PoolError::InitcodeSize { size, limit });
        }
    }
    intrinsic_gas(tx, env)
}

fn type_enabled(tx: &Recovered<TxEnvelope>, spec: SpecId) -> Result<(), PoolError> {
    let enabled = match tx.inner() {
        TxEnvelope::Legacy(_) => true,
        TxEnvelope::Eip2930(_) => spec.is_enabled_in(SpecId::BERLIN),
        TxEnvelope::Eip1559(_) => spec.is_enabled_in(SpecId::LONDON),
        TxEnvelope::Eip4844(_) => return Err(PoolError::BlobsNotSupported),
        TxEnvelope::Eip7702(_) => {
            if tx.authorization_list().is_none_or(<[_]>::is_empty) {
                return Err(PoolError::EmptyAuthorizationList);
            }
            spec.is_enabled_in(SpecId::PRAGUE)
        }
    };
    if enabled {
        Ok(())
    } else {
        Err(PoolError::TypeNotSupported(tx.ty()))
    }
}

fn fees(tx: &PoolTransaction, base_fee: u64, limits: &Limits) -> Result<(), PoolError> {
    let inner = tx.transaction();
    let fee = inner.max_fee_per_gas();
    if let Some(tip) = inner.max_priority_fee_per_gas()
        && tip > fee
    {
        return Err(PoolError::TipAboveFee { tip, fee });
    }
    if limits.refuse_below_base_fee && fee < u128::from(base_fee) {
        return Err(PoolError::BelowBaseFee { fee, base_fee });
    }
    if !tx.gas_is_free() && tx.tip_cap() < limits.minimum_tip {
        return Err(PoolError::Underpriced {
            tip: tx.tip_cap(),
            minimum: limits.minimum_tip,
        });
    }
    Ok(())
}

/// Intrinsic gas and the floor of EIP-7623, by the EVM's own function and the chain's own schedule.
fn intrinsic_gas(tx: &PoolTransaction, env: &EvmEnv) -> Result<(), PoolError> {
    let cfg = &env.cfg_env;
    let inner = tx.transaction();
    let tx_env = TxEnv::from_recovered_tx(inner.inner(), inner.signer());
    let verdict = validate_initial_tx_gas_with_gas_params(
        &tx_env,
        cfg.spec,
        &cfg.gas_params,
        cfg.is_eip7623_disabled(),
        cfg.enable_amsterdam_eip8037,
        cfg.tx_gas_limit_cap(),
        None,
    );
    match verdict {
        Ok(_) => Ok(()),
        Err(InvalidTransaction::CallGasCostMoreThanGasLimit {
            gas_limit,
            initial_gas,
        }) => Err(PoolError::IntrinsicGas {
            gas: gas_limit,
            needed: initial_gas,
        }),
        Err(InvalidTransaction::GasFloorMoreThanGasLimit { gas_limit, gas_floor }) => {
            Err(PoolError::FloorGas {
                gas: gas_limit,
                needed: gas_floor,
            })
        }
        Err(other) => Err(PoolError::Other {
            hash: *tx.hash(),
            reason: other.to_string(),
        }),
    }
}

/// What the sender's account says.
pub(super) fn against_account(tx: &PoolTransaction, account: &Account) -> Result<(), PoolError> {
    let creates = tx.transaction().is_create();
    account.rights.for_transaction(tx.sender(), creates)?;
    if account.is_contract && !crate::edit::impersonated(tx.transaction()) {
        return Err(PoolError::SenderNotEoa(tx.sender()));
    }
    if tx.nonce() < account.nonce {
        return Err(PoolError::NonceTooLow {
            nonce: tx.nonce(),
            next: account.nonce,
        });
    }
    if tx.cost() > account.balance {
        return Err(PoolError::InsufficientFunds {
            balance: account.balance,
            cost: tx.cost(),
        });
    }
    Ok(())
}

/// Whether `new` pays enough more than `old` to take its place.
pub(super) fn replacement(
    new: &PoolTransaction,
    old: &PoolTransaction,
    bump_percent: u8,
) -> Result<(), PoolError> {
    let needed = |old: u128| {
        let bump = old.saturating_mul(u128::from(bump_percent)).div_ceil(100).max(1);
        old.saturating_add(bump)
    };
    let (new, old) = (new.transaction(), old.transaction());
    let fee_needed = needed(old.max_fee_per_gas());
    let tip_needed = needed(old.priority_fee_or_price());
    if new.max_fee_per_gas() < fee_needed || new.priority_fee_or_price() < tip_needed {
        return Err(PoolError::ReplacementUnderpriced {
            fee_needed,
            tip_needed,
        });
    }
    Ok(())
}
