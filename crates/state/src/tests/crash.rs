//! Disks that fail: at any operation the power may go, or the space. What was committed is there afterwards, whole, and
//! nothing else.

use super::{Model, extend, latest, set};
use crate::{StateChanges, StateError, StateView, Store};
use alloy_primitives::{Address, U256};
use parking_lot::Mutex;
use redb::StorageBackend;
use std::{io, sync::Arc};

/// A change that the disk has taken but not yet been told to keep.
#[derive(Clone, Debug)]
enum Unsynced {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Debug, Default)]
struct Inner {
    /// What a reader sees.
    seen: Vec<u8>,
    /// What survives a loss of power for certain.
    kept: Vec<u8>,
    unsynced: Vec<Unsynced>,
    /// Operations until the failure; `None` for a healthy disk.
    left: Option<u64>,
    failure: Option<io::ErrorKind>,
    operations: u64,
}

/// A disk in memory that forgets what was not synced.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Inner>>);

fn apply(bytes: &mut Vec<u8>, change: &Unsynced) {
    match change {
        Unsynced::SetLen(len) => bytes.resize(*len as usize, 0),
        Unsynced::Write(offset, data) => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(data);
        }
    }
}

impl Inner {
    /// Counts an operation that changes the disk; fails when its time has come, and from then on for ever.
    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        if let Some(left) = &mut self.left {
            if *left == 0 {
                return Err(self.failure.unwrap_or(io::ErrorKind::Other).into());
            }
            *left -= 1;
        }
        Ok(())
    }
}

impl Disk {
    /// How many operations changed it so far.
    pub(super) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// A disk that fails after so many more operations.
    pub(super) fn fail_after(&self, operations: u64, failure: io::ErrorKind) {
        let mut inner = self.0.lock();
        inner.left = Some(operations);
        inner.failure = Some(failure);
    }

    /// The disk after a loss of power.
    pub(super) fn after_power_loss(&self, luck: Luck) -> Self {
        let inner = self.0.lock();
        let mut bytes = inner.kept.clone();
        let Luck(mut state) = luck;
        for change in &inner.unsynced {
            let kept = match luck {
                Luck::ALL => true,
                Luck::NONE => false,
                _ => {
                    // Knuth's multiplier: any spread of bits will do.
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state >> 63 == 1
                }
            };
            if kept {
                apply(&mut bytes, change);
            }
        }
        Self(Arc::new(Mutex::new(Inner {
            seen: bytes.clone(),
            kept: bytes,
            ..Default::default()
        })))
    }
}

/// Which changes that were not synced a loss of power keeps: all, none, or each as the seed says, a lost one perhaps
/// before a kept one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Luck(pub(super) u64);

impl Luck {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u64::MAX);
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.0.lock();
        let start = offset as usize;
        let bytes = inner
            .seen
            .get(start..start + out.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.step()?;
        let change = Unsynced::SetLen(len);
        apply(&mut inner.seen, &change);
        inner.unsynced.push(change);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.step()?;
        inner.unsynced.clear();
        inner.kept = inner.seen.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.step()?;
        let change = Unsynced::Write(offset, data.to_vec());
        apply(&mut inner.seen, &change);
        inner.unsynced.push(change);
        Ok(())
    }
}

/// What block `number` of the test's chain changes.
pub(super) fn block(number: u64) -> StateChanges {
    let mut changes = StateChanges::default();
    set(
        &mut changes,
        1,
        1_000 + number,
        &[(number, 7), (number.saturating_sub(1), 0)],
    );
    set(&mut changes, 2 + (number % 5) as u8, number, &[(1, number)]);
    if number % 3 == 2 {
        let gone = Address::repeat_byte(2 + ((number - 1) % 5) as u8);
        changes.accounts.insert(
            gone,
            crate::AccountChange {
                wiped: true,
                ..Default::default()
            },
        );
    }
    changes
}

/// Stores blocks until there are `count`, or the disk fails; returns how many commits returned.
fn run(store: &Arc<Store>, count: u64) -> Result<u64, (u64, StateError)> {
    let mut number = store
        .snapshot()
        .map_err(|e| (0, e))?
        .marker()
        .map_or(0, |m| m.height + 1);
    while number < count {
        extend(store, block(number)).map_err(|e| (number, e))?;
        number += 1;
    }
    Ok(number)
}

/// The store is whole: the state is the model's of its last block, by both roads, and all blocks are there.
fn whole(store: &Arc<Store>) -> u64 {
    let snapshot = store.snapshot().unwrap();
    let Some(marker) = snapshot.marker().copied() else {
        return 0;
    };
    let mut model = Model::default();
    for number in 0..=marker.height {
        model.apply(&block(number));
        let header = snapshot.header(number).unwrap().unwrap();
        assert_eq!(header.state_root, model.root());
        assert_eq!(snapshot.height(&header.hash_slow()).unwrap(), Some(number));
        assert!(snapshot.seal(number).unwrap().is_some() && snapshot.receipts(number).unwrap().is_some());
        let view = StateView::at(snapshot.clone(), header.state_root);
        for (address, (account, storage)) in &model.accounts {
            assert_eq!(view.account(*address).unwrap(), Some(*account));
            for slot in 0..number + 2 {
                let slot = U256::from(slot);
                let expected = storage.get(&slot).copied().unwrap_or_default();
                assert_eq!(view.storage(*address, slot).unwrap(), expected);
            }
        }
    }
    assert_eq!(latest(store).root(), marker.state_root);
    marker.height + 1
}

const BLOCKS: u64 = 8;

/// How many operations the whole test takes on a healthy disk.
fn operations() -> u64 {
    let disk = Disk::default();
    run(&Store::on(disk.clone()).unwrap(), BLOCKS).unwrap();
    disk.0.lock().operations
}

#[test]
fn after_a_loss_of_power_at_any_operation_the_store_is_whole() {
    let mut survived_in_flight = 0;
    for at in 0..operations() {
        for luck in [Luck::NONE, Luck::ALL, Luck(at * 2 + 1), Luck(at * 2 + 2)] {
            let disk = Disk::default();
            disk.fail_after(at, io::ErrorKind::Other);
            let promised = match Store::on(disk.clone()) {
                Ok(store) => match run(&store, BLOCKS) {
                    Ok(all) => all,
                    Err((promised, _)) => promised,
                },
                Err(_) => 0,
            };
            let disk = disk.after_power_loss(luck);
            if disk.0.lock().kept.is_empty() {
                assert_eq!(promised, 0);
                continue;
            }
            // A file whose very creation was interrupted is no database yet; nothing was promised about it.
            let store = match Store::on(disk) {
                Ok(store) => store,
                Err(_) if promised == 0 => continue,
                Err(error) => panic!("operation {at}: {error}"),
            };
            let found = whole(&store);
            assert!(
                found == promised || found == promised + 1,
                "operation {at}: {promised} blocks were promised, {found} are there"
            );
            survived_in_flight += u64::from(found > promised);
            // And it goes on.
            assert_eq!(run(&store, BLOCKS + 2).unwrap(), BLOCKS + 2);
            assert_eq!(whole(&store), BLOCKS + 2);
        }
    }
    // The test does reach into commits: some blocks made it although nobody was told.
    assert!(survived_in_flight > 0);
}

#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let healthy = operations();
    let mut refused = 0;
    for at in (healthy / 3)..healthy {
        let disk = Disk::default();
        disk.fail_after(at, io::ErrorKind::StorageFull);
        let Ok(store) = Store::on(disk.clone()) else {
            continue;
        };
        let Err((promised, error)) = run(&store, BLOCKS) else {
            continue;
        };
        assert!(matches!(error, StateError::DiskFull { .. }), "{error:?}");
        refused += 1;
        // The open database says so again, rather than half work.
        let again = extend(&store, block(promised)).err();
        assert!(
            matches!(
                again,
                Some(StateError::DiskFull { .. } | StateError::Poisoned { .. })
            ),
            "{again:?}"
        );
        drop(store);
        // Somebody made room.
        let disk = disk.after_power_loss(Luck::ALL);
        let found = whole(&Store::on(disk).unwrap());
        assert!(found == promised || found == promised + 1);
    }
    assert!(refused > 10);
}
