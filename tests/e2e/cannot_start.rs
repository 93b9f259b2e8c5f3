//! Folders in which a peer cannot work: as another user, on read-only and on two file systems. One
//! line that names the path and what to do, exit code 2, nothing made or changed.

use crate::harness::folder::set_mode;
use crate::harness::group::{loopback_net, on_net};
use crate::harness::program::{make_key, tinypeer, tool};
use crate::harness::{Scratch, Snapshot, skip};
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The user that tests who may not: nobody, on every Linux.
const NOBODY: u32 = 65_534;

/// One folder that is wrong, and what the line must say.
struct Case {
    name: &'static str,
    /// Makes the folder wrong.
    prepare: fn(&Path),
    /// What is mounted before the start, with DIR for the folder; in a mount namespace of its own.
    mount: &'static str,
    as_nobody: bool,
    words: &'static [&'static str],
}

const fn case(name: &'static str, prepare: fn(&Path), words: &'static [&'static str]) -> Case {
    Case {
        name,
        prepare,
        mount: "",
        as_nobody: false,
        words,
    }
}

const fn nobody(name: &'static str, prepare: fn(&Path), words: &'static [&'static str]) -> Case {
    Case {
        as_nobody: true,
        ..case(name, prepare, words)
    }
}

fn folder(dir: &Path, name: &str, mode: u32, owner: u32) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(&path).unwrap();
    set_mode(&path, mode);
    chown(&path, Some(owner), None).unwrap();
    path
}

fn start(dir: &Path, key: &Path, program: &Path, case: &Case) -> Output {
    let net = loopback_net();
    let mut words: Vec<String> = Vec::new();
    if !case.mount.is_empty() {
        let mount = case.mount.replace("DIR", dir.to_str().unwrap());
        let script = format!("{mount} && exec \"$@\"");
        words.extend(["unshare", "-m", "sh", "-c"].map(str::to_owned));
        words.extend([script, "sh".to_owned()]);
    }
    if case.as_nobody {
        words.push("setpriv".to_owned());
        words.push(format!("--reuid={NOBODY}"));
        words.push(format!("--regid={NOBODY}"));
        words.push("--clear-groups".to_owned());
    }
    words.extend(
        [
            program,
            Path::new("--dir"),
            dir,
            Path::new("--key-file"),
            key,
        ]
        .map(|word| word.to_str().unwrap().to_owned()),
    );
    for word in [
        "--listen",
        &on_net(net, 1).to_string(),
        "--ip",
        &on_net(net, 2).to_string(),
    ] {
        words.push(word.to_owned());
    }
    Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .expect("run tinypeer")
}

fn refuse(test: &str, cases: &[Case]) {
    let scratch = Scratch::new(test);
    let key = make_key(scratch.path(), "group.key");
    chown(&key, Some(NOBODY), None).unwrap();
    // Where everybody may run it.
    let program = scratch.path().join("tinypeer");
    fs::copy(tinypeer(), &program).unwrap();
    for (number, case) in cases.iter().enumerate() {
        let dir = scratch.folder(&format!("{number}"));
        (case.prepare)(&dir);
        let before = Snapshot::full(&dir).unwrap();
        let output = start(&dir, &key, &program, case);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{}: {error}", case.name);
        assert_eq!(error.lines().count(), 1, "{}: {error}", case.name);
        assert!(output.stdout.is_empty(), "{}", case.name);
        for word in case.words {
            let word = word.replace("DIR", dir.to_str().unwrap());
            assert!(
                error.contains(&word),
                "{}: no {word:?} in {error}",
                case.name
            );
        }
        let after = Snapshot::full(&dir).unwrap();
        assert_eq!(
            before,
            after,
            "{}: {}",
            case.name,
            before.difference(&after)
        );
    }
}

/// Whether this machine lets us be root and somebody else.
fn can_be_nobody() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("being two users needs root".to_owned());
    }
    tool("setpriv --reuid=65534 --regid=65534 --clear-groups true").map(drop)
}

#[test]
fn a_folder_of_another_user_is_refused() {
    if let Err(why) = can_be_nobody() {
        return skip("a_folder_of_another_user_is_refused", &why);
    }
    refuse(
        "other-user",
        &[
            nobody(
                "share/ of another user",
                |dir| {
                    folder(dir, "", 0o755, NOBODY);
                    folder(dir, "share", 0o755, 0);
                },
                &[
                    "DIR/share cannot be written by user 65534",
                    "belongs to user 0",
                    "chown",
                ],
            ),
            nobody(
                "share/ that cannot be read",
                |dir| {
                    folder(dir, "", 0o755, NOBODY);
                    folder(dir, "share", 0o700, 0);
                },
                &[
                    "DIR/share cannot be read by user 65534",
                    "belongs to user 0",
                ],
            ),
            nobody(
                "share/ that is ours but read-only",
                |dir| {
                    folder(dir, "", 0o755, NOBODY);
                    folder(dir, "share", 0o555, NOBODY);
                },
                &["DIR/share cannot be written", "chmod u+rwX"],
            ),
            nobody(
                ".tinypeer/ of another user",
                |dir| {
                    folder(dir, "", 0o755, NOBODY);
                    folder(dir, ".tinypeer", 0o700, 0);
                },
                &["DIR/.tinypeer cannot be read", "belongs to user 0"],
            ),
            nobody(
                "an index of another user",
                |dir| {
                    folder(dir, "", 0o755, NOBODY);
                    let index = folder(dir, ".tinypeer", 0o755, NOBODY).join("index.redb");
                    fs::write(&index, b"").unwrap();
                    set_mode(&index, 0o600);
                },
                &[
                    "DIR/.tinypeer/index.redb cannot be read",
                    "belongs to user 0",
                ],
            ),
            nobody(
                "--dir of another user, with nothing in it",
                |dir| {
                    folder(dir, "", 0o755, 0);
                },
                &["DIR cannot be written by user 65534", "belongs to user 0"],
            ),
            nobody(
                "--dir that cannot be entered",
                |dir| {
                    folder(dir, "", 0o700, 0);
                },
                &["DIR"],
            ),
        ],
    );
}

#[test]
fn a_folder_on_a_wrong_file_system_is_refused() {
    if let Err(why) = tool("unshare -m true") {
        return skip("a_folder_on_a_wrong_file_system_is_refused", &why);
    }
    refuse(
        "file-systems",
        &[
            Case {
                mount: "mount --bind DIR DIR && mount -o remount,ro,bind DIR",
                ..case(
                    "a read-only file system",
                    |dir| {
                        folder(dir, "share", 0o755, 0);
                    },
                    &["DIR/share is on a read-only file system", "--dir"],
                )
            },
            Case {
                mount: "mount -t tmpfs none DIR/share",
                ..case(
                    "share/ on a file system of its own",
                    |dir| {
                        folder(dir, "share", 0o755, 0);
                    },
                    &["DIR/download", "share/", "same"],
                )
            },
            Case {
                mount: "mount --bind DIR/share DIR/share",
                ..case(
                    "share/ on a mount of its own",
                    |dir| {
                        folder(dir, "share", 0o755, 0);
                    },
                    &["DIR/download", "mount", "same"],
                )
            },
        ],
    );
}

#[test]
fn a_file_or_a_link_in_place_of_a_folder_is_refused() {
    if let Err(why) = can_be_nobody() {
        return skip("a_file_or_a_link_in_place_of_a_folder_is_refused", &why);
    }
    refuse(
        "no-folder",
        &[
            case(
                "share is a file",
                |dir| fs::write(dir.join("share"), b"x").unwrap(),
                &["DIR/share is not a folder"],
            ),
            case(
                "download is a link",
                |dir| {
                    fs::create_dir(dir.join("elsewhere")).unwrap();
                    symlink("elsewhere", dir.join("download")).unwrap();
                },
                &["DIR/download is not a folder"],
            ),
            case(
                "the index is a folder",
                |dir| fs::create_dir_all(dir.join(".tinypeer/index.redb")).unwrap(),
                &["DIR/.tinypeer/index.redb is not a file"],
            ),
        ],
    );
}
