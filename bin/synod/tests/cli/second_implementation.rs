//! `testing/second-implementation`: the arithmetic written once more, in Python and from its specification alone, must give
//! the bits of the binary.

use std::{path::Path, process::Command};

#[test]
fn another_implementation_gives_the_same_bits() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/second-implementation/check.py");
    let python = std::env::var_os("SYNOD_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python)
        .arg("-B")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_synod"))
        .output()
        .expect("Python 3.10 or later starts; it needs no packages");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
