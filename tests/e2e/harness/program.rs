//! The program under test, and runs of it that end by themselves.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The tinypeer to test: `TINYPEER_BIN`, else what cargo builds now beside this test.
pub fn tinypeer() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = std::env::var_os("TINYPEER_BIN").map_or_else(build, PathBuf::from);
        // Peers run with other working directories and in namespaces.
        program
            .canonicalize()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
    })
}

/// Builds tinypeer with the profile's folder that holds this very test.
fn build() -> PathBuf {
    let exe = std::env::current_exe().expect("path of this test");
    // target/<profile>/deps/e2e-<hash> or target/<profile>/examples/demo
    let profile = exe
        .parent()
        .and_then(Path::parent)
        .expect("the profile's folder");
    let target = profile.parent().expect("the target folder");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "build",
        "--quiet",
        "--package",
        "peer-mio",
        "--bin",
        "tinypeer",
        "--manifest-path",
    ]);
    cargo.arg(manifest).arg("--target-dir").arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("run cargo");
    assert!(status.success(), "cargo could not build tinypeer");
    profile.join("tinypeer")
}

/// Runs tinypeer with `arguments` in `folder` until it ends.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(tinypeer())
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("run tinypeer")
}

/// Makes a fresh group key as `folder/name`.
pub fn make_key(folder: &Path, name: &str) -> PathBuf {
    let output = run(folder, &["keygen", name]);
    assert!(
        output.status.success(),
        "keygen: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    folder.join(name)
}

/// Runs a tool of the system; its output if it ended well, else a sentence.
pub fn tool(command: &str) -> Result<String, String> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("no command")?;
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}
