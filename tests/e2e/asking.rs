//! `tinypeer status` when the peer is not there yet, does not answer, or was left by others who asked.

use crate::harness::group::{loopback_net, on_net};
use crate::harness::program::{run, tinypeer};
use crate::harness::{Group, Peer, seconds};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `tinypeer status` on the side.
fn asking(peer: &Peer, options: &[&str]) -> Child {
    Command::new(tinypeer())
        .args(["status", "--dir"])
        .arg(&peer.dir)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run tinypeer status")
}

#[test]
fn status_waits_for_a_peer_that_is_about_to_start() {
    let mut group = Group::on_loopback("early", 2);
    let early = asking(&group[0], &["--wait", "30"]);
    // It is there before the peer: what this is about.
    std::thread::sleep(Duration::from_millis(200));
    for peer in &mut group.peers {
        peer.start();
    }
    let output = early.wait_with_output().expect("the end of status");
    assert!(output.status.success(), "{output:?}\n{}", group.report());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("in sync"));
}

#[test]
fn status_of_nobody_ends_with_its_time() {
    let group = Group::on_loopback("nobody", 1);
    for (options, least) in [(&["--wait", "0.5"][..], 500), (&[][..], 0)] {
        let begin = Instant::now();
        let output = group[0].ask(options);
        assert_eq!(output.status.code(), Some(1));
        assert!(begin.elapsed() >= Duration::from_millis(least));
        let line = String::from_utf8_lossy(&output.stderr);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(
            line.contains("no tinypeer runs in") && line.contains("peer1"),
            "{line}"
        );
    }
    let output = run(group.scratch.path(), &["status", "--dir", "nowhere"]);
    let line = String::from_utf8_lossy(&output.stderr);
    assert!(line.contains("there is no folder nowhere"), "{line}");
}

#[test]
fn those_who_hung_up_keep_nobody_waiting() {
    let mut group = Group::on_loopback("hung-up", 2);
    // The other one stays away, so everybody waits.
    group[0].start_and_wait(seconds(10));
    let mut waiting: Vec<Child> = (0..40)
        .map(|_| asking(&group[0], &["--wait", "99999"]))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    for child in &mut waiting {
        child.kill().expect("end a status of ours");
        child.wait().expect("the end of a status of ours");
    }
    let status = group[0].status_now();
    assert!(!status.peers[0].connected);
}

#[test]
fn a_peer_that_does_not_answer_is_given_up() {
    let mut group = Group::on_loopback("stopped", 2);
    group[0].start_and_wait(seconds(10));
    let pid = Pid::from_raw(i32::try_from(group[0].pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).expect("stop the peer");
    let begin = Instant::now();
    let output = group[0].ask(&["--wait", "1"]);
    let time = begin.elapsed();
    kill_process(pid, Signal::CONT).expect("let the peer go on");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not answer"));
    assert!(time < seconds(9), "{time:?}");
    group[0].status_now();
}

#[test]
fn a_folder_with_a_long_path_can_be_asked() {
    let mut group = Group::on_loopback("long", 1);
    // A name of a Unix socket has 108 bytes at most.
    let dir = group.scratch.folder(&"l".repeat(200));
    group[0].dir = dir.clone();
    group[0].others = vec![on_net(loopback_net(), 2).to_string()];
    group[0].start_and_wait(seconds(10));
    assert_eq!(group[0].status_now().files, 0);
    assert!(!group[0].log().contains("will not work"));
    group[0].terminate(seconds(5));
    assert!(!dir.join(".tinypeer/socket").exists());
}

#[test]
fn deleting_lock_and_socket_lets_no_second_instance_in() {
    let mut group = Group::on_loopback("no-lock", 1);
    group[0].others = vec![on_net(loopback_net(), 2).to_string()];
    group[0].start_and_wait(seconds(10));
    for name in ["lock", "socket"] {
        match fs::remove_file(group[0].dir.join(".tinypeer").join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{name}: {error}"),
            _ => {}
        }
    }
    let listen = on_net(loopback_net(), 1).to_string();
    let arguments = [
        "--dir",
        group[0].dir.to_str().unwrap(),
        "--key-file",
        group.key.to_str().unwrap(),
        "--ip",
        &group[0].others[0],
        "--listen",
        &listen,
    ];
    let output = run(group.scratch.path(), &arguments);
    let line = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{line}");
    assert!(line.contains("another tinypeer is running"), "{line}");
    assert!(group[0].is_running());
}
