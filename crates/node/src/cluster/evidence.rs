//! Proofs that a validator broke the protocol, kept for whoever has to act on them.
//!
//! A line of JSON for each, in `data/evidence.jsonl`, written durably when the proof comes in. Nothing reads the file but
//! this node at its start; acting on a proof is people's business.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
};

use parking_lot::Mutex;
use synod_rpc::Evidence;

/// Proofs kept at most. One is as good as a thousand.
const KEPT: usize = 1000;

/// The proofs that this node has seen, in this life and earlier ones.
pub(super) struct EvidenceStore {
    kept: Mutex<(File, Vec<Evidence>)>,
}

impl EvidenceStore {
    /// Opens the file, or makes it. A line that was cut off by a crash is left out.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path)?;
        let lines = BufReader::new(&file).lines();
        let known = lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str(&line).ok());
        let known = known.take(KEPT).collect();
        Ok(Self {
            kept: Mutex::new((file, known)),
        })
    }

    /// Keeps a proof; `false` if this offence is known already.
    pub(super) fn add(&self, evidence: Evidence) -> bool {
        let mut kept = self.kept.lock();
        let (file, known) = &mut *kept;
        let same = |other: &Evidence| {
            (&other.identity, &other.kind, other.epoch, other.view)
                == (&evidence.identity, &evidence.kind, evidence.epoch, evidence.view)
        };
        if known.len() >= KEPT || known.iter().any(same) {
            return false;
        }
        let written = serde_json::to_string(&evidence)
            .map_err(io::Error::other)
            .and_then(|line| writeln!(file, "{line}"))
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            // It stays in memory and in the log.
            tracing::error!(%error, "a proof of misbehaviour could not be written");
        }
        known.push(evidence);
        true
    }

    /// All proofs, oldest first.
    pub(super) fn all(&self) -> Vec<Evidence> {
        self.kept.lock().1.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use alloy_primitives::{B256, U64};

    #[test]
    fn a_proof_is_kept_once_and_survives_a_restart() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("evidence.jsonl");
        let evidence = |view: u64| Evidence {
            validator: "validator-1".into(),
            identity: B256::repeat_byte(1),
            kind: "two proposals".into(),
            epoch: U64::from(1),
            view: U64::from(view),
            proof: vec![1, 2, 3].into(),
        };
        let store = EvidenceStore::open(&path).unwrap();
        assert!(store.add(evidence(1)));
        assert!(!store.add(evidence(1)));
        assert!(store.add(evidence(2)));
        drop(store);
        // A crash in the middle of a line.
        write!(
            OpenOptions::new().append(true).open(&path).unwrap(),
            "{{\"validator\""
        )
        .unwrap();
        let store = EvidenceStore::open(&path).unwrap();
        assert_eq!(store.all(), [evidence(1), evidence(2)]);
    }
}
