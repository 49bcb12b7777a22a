//! What a large state costs: time of a root, memory, disk, moving it to another node. And blocks imported in a second.
//!
//! Each size is measured in a process of its own, so that memory is its alone.

use crate::report::{Report, median, thousands};
use alloy_primitives::{Address, Bytes, U256, keccak256};
use eyre::{ContextCompat as _, Result, WrapErr as _, ensure};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{BufReader, BufWriter},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Instant,
};
use synod_chain::{
    Account, Application, Chain, ChainApplication, ChainSpec, Context, Duty, Finalization, NoTransactions,
    Pace, StateView, Timestamp, edit::StateEdit,
};
use synod_state::{AccountChange, StateChanges};

/// Accounts that a measured block changes.
const CHANGED: u64 = 1000;
/// Blocks of which the median counts.
const BLOCKS: u64 = 15;
/// Accounts that are put into the state at once.
const STEP: u64 = 50_000;

/// What one size came to. Times in seconds, sizes in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    accounts: u64,
    fill: f64,
    cold_root: f64,
    warm_root: f64,
    again_root: f64,
    write: f64,
    memory: u64,
    archive_bytes: u64,
    pruned_bytes: u64,
    prune: f64,
    nodes: u64,
    rewind: f64,
    export: f64,
    file_bytes: u64,
    import: f64,
    check: f64,
}

/// Measures states of these sizes, by processes of this program.
///
/// # Errors
/// When something fails.
pub(crate) fn measure(root: &Path, sizes: &[u64], report: &mut Report) -> Result<()> {
    let mut all = Vec::new();
    for accounts in sizes {
        eprintln!("==> a state of {} accounts", thousands(*accounts));
        let output = Command::new(std::env::current_exe()?)
            .args(["--state-of", &accounts.to_string()])
            .args(["--output", "-", "--synod", "-", "--root"])
            .arg(root)
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        all.push(serde_json::from_slice::<Measured>(&output.stdout)?);
    }
    let ms = |seconds: f64| format!("{:.1}", 1000.0 * seconds);
    let s = |seconds: f64| format!("{seconds:.1}");
    let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    let rows = |row: &dyn Fn(&Measured) -> Vec<String>| all.iter().map(row).collect::<Vec<_>>();
    report.table(
        "State: time of a root",
        &format!(
            "Milliseconds of the state root after a block that changes {} accounts, of a state of so many accounts (balance and nonce, no code): the first block \
             after the node was started (its caches empty, the file in the system's cache), the median of {BLOCKS} blocks that each change others at random, and of as many \
             that change the same ones again. Beside it what it takes to write such a block durably, and to go back one (`evm_revert`). Memory is the process's \
             resident set after all of it.",
            thousands(CHANGED)
        ),
        &["accounts", "root, cold, ms", "root, ms", "root, same accounts, ms", "write, ms", "back, ms", "memory, MiB"],
        &rows(&|m| {
            vec![
                thousands(m.accounts),
                ms(m.cold_root),
                ms(m.warm_root),
                ms(m.again_root),
                ms(m.write),
                ms(m.rewind),
                thousands(m.memory >> 20),
            ]
        }),
    );
    report.table(
        "State: disk, and from node to node",
        "The file after the accounts were put in (50,000 at a time) and those blocks, as an archive has it, and pruned to one state and compacted. Seconds of \
         `synod db prune`, `export --state`, `import` and `check` of it, without the start of the process.",
        &["accounts", "filled in, s", "trie nodes", "archive, MB", "pruned, MB", "prune, s", "export, s", "file, MB", "import, s", "check, s"],
        &rows(&|m| {
            vec![
                thousands(m.accounts),
                s(m.fill),
                thousands(m.nodes),
                mb(m.archive_bytes),
                mb(m.pruned_bytes),
                s(m.prune),
                s(m.export),
                mb(m.file_bytes),
                s(m.import),
                s(m.check),
            ]
        }),
    );
    blocks(root, report)
}

/// Imports Ethereum's recorded chain.
fn blocks(root: &Path, report: &mut Report) -> Result<()> {
    let data = root.join("testing/conformance/data/execution-apis");
    let genesis = fs::read_to_string(data.join("genesis.json"))?;
    let file = fs::read(data.join("chain.rlp"))?;
    let mut rows = Vec::new();
    for (place, on_disk) in [("in memory", false), ("on the disk, each block durable", true)] {
        let mut rates = Vec::new();
        for _ in 0..5 {
            let folder = tempfile::tempdir()?;
            let spec = ChainSpec::from_json(&genesis)?;
            let chain = match on_disk {
                true => Chain::open(folder.path(), spec)?,
                false => Chain::in_memory(spec)?,
            };
            let start = Instant::now();
            let imported = chain.import_rlp(&file)?;
            rates.push(imported as f64 / start.elapsed().as_secs_f64());
        }
        rows.push(vec![place.to_owned(), thousands(median(rates) as u64)]);
    }
    report.table(
        "Importing blocks",
        "Blocks a second of Ethereum's recorded chain (54 blocks with 249 transactions, from Frontier to BPO2), every block run and every root checked; medians of 5.",
        &["chain", "blocks a second"],
        &rows,
    );
    Ok(())
}

/// Measures one size, in this process.
///
/// # Errors
/// When something fails.
pub(crate) fn measure_one(accounts: u64) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("chain");
    let file = dir.join("state.redb");
    let mut maker = Maker::open(&dir)?;
    let start = Instant::now();
    let mut made = 0;
    while made < accounts {
        let next = accounts.min(made + STEP);
        let edits: Vec<_> = (made..next)
            .map(|number| StateEdit::Balance {
                address: address(number),
                balance: U256::from(number + 1),
            })
            .collect();
        maker.chain.edit(&edits)?;
        maker.block()?;
        made = next;
    }
    let fill = start.elapsed().as_secs_f64();

    drop(maker);
    maker = Maker::open(&dir)?;
    let root = |maker: &Maker, seed: u64| -> Result<f64> {
        let state = maker.chain.state()?;
        let changes = changes(&state, accounts, seed)?;
        let start = Instant::now();
        state.commit(&changes)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let cold_root = root(&maker, 0)?;
    let (mut warm, mut writes, mut rewinds) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 1..=BLOCKS {
        warm.push(root(&maker, seed)?);
        let edits = edits(accounts, seed);
        let start = Instant::now();
        maker.chain.edit(&edits)?;
        // What the edit spends on the root it spends once more.
        writes.push(start.elapsed().as_secs_f64());
        maker.block()?;
        let head = maker.chain.head().number();
        let start = Instant::now();
        maker.chain.rewind(head - 1, None)?;
        rewinds.push(start.elapsed().as_secs_f64());
        maker.chain.edit(&edits)?;
        maker.block()?;
    }
    let again = (0..BLOCKS)
        .map(|_| root(&maker, BLOCKS))
        .collect::<Result<Vec<_>>>()?;
    let memory = resident()?;
    drop(maker);
    let archive_bytes = fs::metadata(&file)?.len();

    let chain = Chain::open(&dir, ChainSpec::dev())?;
    let go = &mut |_| ControlFlow::Continue(());
    let start = Instant::now();
    let pruned = chain.prune(1, Pace::ALONE, go)?;
    drop(chain);
    synod_chain::Store::compact(&dir)?;
    let prune = start.elapsed().as_secs_f64();
    let pruned_bytes = fs::metadata(&file)?.len();

    let chain = Chain::open(&dir, ChainSpec::dev())?;
    let export: PathBuf = folder.path().join("file");
    let start = Instant::now();
    let out = BufWriter::with_capacity(1 << 20, File::create(&export)?);
    let (_, moved) = chain.export_file(out, true, Bytes::new(), go)?;
    let exported = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let report = chain.check_store(go)?;
    let check = start.elapsed().as_secs_f64();
    ensure!(report.wrong == 0, "{:?}", report.findings);
    drop(chain);

    let start = Instant::now();
    let input = BufReader::with_capacity(1 << 20, File::open(&export)?);
    let other = folder.path().join("other");
    Chain::import_state(&other, &ChainSpec::dev(), input, &mut |_| Ok(()), go)?;
    let import = start.elapsed().as_secs_f64();
    ensure!(Chain::open(&other, ChainSpec::dev())?.head().hash() == moved.hash);
    Ok(Measured {
        accounts,
        fill,
        cold_root,
        warm_root: median(warm),
        again_root: median(again),
        write: median(writes),
        memory,
        archive_bytes,
        pruned_bytes,
        prune,
        nodes: pruned.nodes_kept,
        rewind: median(rewinds),
        export: exported,
        file_bytes: moved.bytes,
        import,
        check,
    })
}

fn address(number: u64) -> Address {
    Address::from_slice(&keccak256(number.to_be_bytes())[..20])
}

/// The accounts that a block changes.
fn chosen(accounts: u64, seed: u64) -> impl Iterator<Item = Address> {
    (0..CHANGED).map(move |index| {
        let random = keccak256([seed.to_be_bytes(), index.to_be_bytes()].concat());
        let random = u64::from_be_bytes(*random.first_chunk().expect("a hash has 32 bytes"));
        address(random % accounts)
    })
}

fn edits(accounts: u64, seed: u64) -> Vec<StateEdit> {
    let amount = U256::from(seed + 1);
    chosen(accounts, seed)
        .map(|address| StateEdit::AddBalance { address, amount })
        .collect()
}

fn changes(state: &StateView, accounts: u64, seed: u64) -> Result<StateChanges> {
    let mut changes = StateChanges::default();
    for address in chosen(accounts, seed) {
        let account = state.account(address)?.wrap_err("an account is not there")?;
        let account = Account {
            balance: account.balance + U256::from(seed + 1),
            ..account
        };
        let change = AccountChange {
            account: Some(account),
            ..AccountChange::default()
        };
        changes.accounts.insert(address, change);
    }
    Ok(changes)
}

/// A chain that makes empty blocks.
struct Maker {
    chain: Arc<Chain>,
    application: ChainApplication,
}

impl Maker {
    fn open(dir: &Path) -> Result<Self> {
        let chain = Chain::open(dir, ChainSpec::dev())?;
        let application = ChainApplication::new(chain.clone(), Arc::new(NoTransactions));
        Ok(Self { chain, application })
    }

    fn block(&self) -> Result<()> {
        let (parent, Timestamp(last)) = self.chain.head_digest();
        let number = self.chain.head().number() + 1;
        let context = Context {
            epoch: 0,
            view: number,
            parent,
            proposer: Bytes::new(),
            timestamp: Timestamp(last + 1000),
            randomness: keccak256(number.to_be_bytes()),
            cancellation: Default::default(),
        };
        let proposal = self.application.build(&context, &Duty::default())?;
        self.application.finalized(&Finalization {
            height: number,
            digest: proposal.digest(),
            certificate: Bytes::new(),
        })?;
        Ok(())
    }
}

/// Bytes of this process in memory.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").wrap_err("memory is measured on Linux")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .wrap_err("no VmRSS in /proc/self/status")?
        .trim()
        .parse()?;
    Ok(kilobytes << 10)
}
