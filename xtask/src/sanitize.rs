//! The kernels, and the decoder of JPEG files, under an address sanitizer: a read or write beside a buffer, which no comparison of bits would
//! notice.

use crate::command::{command, run, target};
use eyre::{Result, ensure};

/// Runs the kernels' tests and the pictures', built by a nightly compiler with `-Zsanitizer=address`. Compiled with it is the code of this
/// workspace and of its dependencies, not the standard library.
///
/// # Errors
/// If there is no nightly toolchain, or memory is misused.
pub(crate) fn sanitize() -> Result<()> {
    let nightly = command("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .output();
    ensure!(
        nightly.is_ok_and(|output| output.status.success()),
        "a nightly toolchain is needed: rustup toolchain install nightly"
    );
    // Naming the target keeps the sanitizer out of build scripts and procedural macros.
    let host = "x86_64-unknown-linux-gnu";
    let instrumented = |arguments: &[&str]| {
        let mut tests = command("rustup");
        tests
            .args([
                "run",
                "nightly",
                "cargo",
                "test",
                "--target",
                host,
                "--target-dir",
            ])
            .arg(target().join("sanitize"))
            .args(arguments)
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("RUSTFLAGS", "-Zsanitizer=address")
            .env("ASAN_OPTIONS", "detect_leaks=0");
        tests
    };
    let mut kernels = instrumented(&["--package", "synod-numerics", "--lib", "--tests"]);
    run("kernels under the address sanitizer", &mut kernels)?;
    // it writes its blocks through pointers
    let mut pictures = instrumented(&["--package", "synod-image", "--test", "it"]);
    pictures.env("SYNOD_IMAGE_MUTATIONS", "60000");
    run("pictures under the address sanitizer", &mut pictures)
}
