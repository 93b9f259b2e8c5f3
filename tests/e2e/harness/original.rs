//! A real ancestor: the Python original beside the workspace, in a network namespace.

use super::program::tool;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The script that starts an original; an error says why there is none.
pub fn starter() -> Result<PathBuf, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/legacy/run-original.sh");
    if !script.is_file() {
        return Err("../shared/legacy is not there".to_owned());
    }
    tool("python3 --version")?;
    tool(&format!("{} --prepare", script.display()))?;
    Ok(script)
}

/// An original, running or not. Killed when dropped.
#[derive(Debug)]
pub struct Original {
    /// Its folder.
    pub dir: PathBuf,
    namespace: String,
    partners: String,
    script: PathBuf,
    pid: Option<u32>,
}

impl Original {
    /// One that is not started yet.
    pub fn new(script: &Path, dir: PathBuf, namespace: String, partners: [IpAddr; 2]) -> Self {
        std::fs::create_dir_all(dir.join("share")).expect("make the original's share");
        Self {
            dir,
            namespace,
            partners: format!("{},{}", partners[0], partners[1]),
            script: script.to_owned(),
            pid: None,
        }
    }

    /// A path in its `share/`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join("share").join(name)
    }

    /// Starts it.
    pub fn start(&mut self) {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.namespace])
            .arg(&self.script)
            .arg(&self.dir)
            .arg(&self.partners)
            .stdin(Stdio::null())
            .output()
            .expect("start an original");
        let pid = String::from_utf8_lossy(&output.stdout);
        self.pid = Some(pid.trim().parse().expect("the original's pid"));
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        if let Some(pid) = self.pid.take() {
            // It may have ended by itself.
            let _ = tool(&format!("kill -9 {pid}"));
        }
    }

    /// The end of its log, for messages.
    pub fn report(&self) -> String {
        let log = std::fs::read(self.dir.join("legacy.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.len().saturating_sub(15);
        format!("{}:\n{}\n", self.dir.display(), lines[tail..].join("\n"))
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.kill();
    }
}
