//! Cases that this machine cannot play: said, never passed over in silence.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that `case` is skipped and why, on the terminal and as a line of the file that
/// `TINYPEER_SKIPS` names (`make test` prints it at its end).
pub fn skip(case: &str, why: &str) {
    println!("skipped: {case}: {why}");
    let Some(file) = std::env::var_os("TINYPEER_SKIPS") else {
        return;
    };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .expect("the file TINYPEER_SKIPS");
    writeln!(file, "{case}: {why}").expect("write to the file TINYPEER_SKIPS");
}
