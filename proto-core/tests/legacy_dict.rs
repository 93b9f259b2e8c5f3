//! The dict of an information reply: what Python writes is read, everything else is refused.
#![cfg(test)]

use proptest::prelude::*;
use proto_core::index::entry::Timestamp;
use proto_core::legacy::{
    DictError, InformationReply, MAX_DICT_ENTRIES, MAX_INFORMATION_REPLY, ReplyWriter, parse_dict,
};

fn read(text: &str) -> Result<Vec<(Vec<u8>, f64)>, DictError> {
    let mut entries = Vec::new();
    let count = parse_dict(text, &mut |path, time| {
        entries.push((path.to_vec(), f64::from_bits(time)));
    })?;
    assert_eq!(count, entries.len());
    Ok(entries)
}

#[test]
fn what_python_writes_is_read() {
    for (text, path, time) in [
        ("{'./share/a.txt': 5.0}", &b"a.txt"[..], 5.0),
        ("{\"./share/quo'te\": -1.5}", b"quo'te", -1.5),
        ("{'./share/both\\'\"': 1e-07}", b"both'\"", 1e-07),
        (
            "{'./share/tab\\tnl\\n\\r': 10000000000.0}",
            b"tab\tnl\n\r",
            1e10,
        ),
        ("{'./share/back\\\\slash': 0}", b"back\\slash", 0.0),
        (
            "{'./share/\\x7f\\u200b': 1}",
            "\u{7f}\u{200b}".as_bytes(),
            1.0,
        ),
        ("{'./share/\\U000e0001': 1}", "\u{e0001}".as_bytes(), 1.0),
        (
            "{'./share/d/\u{444}\u{1f600}': 1}",
            "d/\u{444}\u{1f600}".as_bytes(),
            1.0,
        ),
        ("{'./share/raw\\udcff\\udc80': 1}", b"raw\xff\x80", 1.0),
    ] {
        assert_eq!(read(text), Ok(vec![(path.to_vec(), time)]), "{text}");
    }
    assert_eq!(read("{}"), Ok(vec![]));
    let two = read("{'./share/a': 1.0, './share/b': 2.0}").map(|two| two.len());
    assert_eq!(two, Ok(2));
}

#[test]
fn everything_else_is_refused() {
    use DictError::{Escape, Number, Path, Short, Unexpected};
    for (text, why) in [
        ("", Short),
        ("{", Short),
        ("[]", Unexpected),
        ("{}{}", Unexpected),
        ("{} ", Unexpected),
        (" {}", Unexpected),
        ("{'./share/a': 1", Short),
        ("{'./share/a': 1,", Short),
        ("{'./share/a': 1, }", Unexpected),
        ("{'./share/a' : 1}", Unexpected),
        ("{'./share/a':1}", Unexpected),
        ("{'./share/a'", Short),
        ("{'./share/a", Short),
        ("{'./share/a\\", Short),
        ("{'./share/a\\q': 1}", Escape),
        ("{'./share/a\\x0': 1}", Escape),
        ("{'./share/a\\x00': 1}", Escape),
        ("{'./share/\\ud800': 1}", Escape),
        ("{'./share/\\Uffffffff': 1}", Escape),
        ("{'./share/a\nb': 1}", Escape),
        ("{'a': 1}", Path),
        ("{'./share/': 1}", Path),
        ("{'./share/../a': 1}", Path),
        ("{'./share//etc/passwd': 1}", Path),
        ("{'./share/a': nan}", Number),
        ("{'./share/a': 1e999}", Number),
        ("{'./share/a': +1}", Number),
        ("{'./share/a': 1.2.3}", Number),
        ("{'./share/a': '1'}", Number),
        ("{'./share/a': {}}", Number),
        ("{'./share/a': __import__('os').system('x')}", Number),
        ("{__import__('os').system('x'): 1}", Unexpected),
        ("__import__('os').system('x')", Unexpected),
        ("{**{'./share/a': 1}}", Unexpected),
        ("{'./share/a': 1 if 1 else 2}", Unexpected),
        ("{f'./share/a': 1}", Unexpected),
        ("{'./share/a' './share/b': 1}", Unexpected),
    ] {
        assert_eq!(read(text), Err(why), "{text}");
    }
    // Deep nesting is no recursion of ours.
    assert_eq!(read(&"{".repeat(60_000)), Err(Unexpected));
    assert_eq!(
        read(&format!("{{'./share/{}': 1}}", "a".repeat(5000))),
        Err(Path)
    );
}

#[test]
fn a_million_entries_are_refused_after_the_bound() {
    let mut text = String::from("{");
    for number in 0..1_000_000 {
        text.push_str(&format!("'./share/{number}': 1, "));
    }
    text.push_str("'./share/a': 1}");
    let mut seen = 0;
    let refused = parse_dict(&text, &mut |_, _| seen += 1);
    assert_eq!((refused, seen), (Err(DictError::TooMany), MAX_DICT_ENTRIES));
}

#[test]
fn a_reply_stays_below_what_an_ancestor_can_read() {
    let mut out = vec![0; 65_507];
    let mut writer = ReplyWriter::new(&mut out, 9, 3).unwrap();
    let mut pushed = 0;
    while writer.push(&format!("file-{pushed:08}"), Timestamp::default()) {
        pushed += 1;
    }
    let len = writer.finish();
    assert!(
        len <= MAX_INFORMATION_REPLY && len > MAX_INFORMATION_REPLY - 100,
        "{len}"
    );
    let reply = InformationReply::parse(&out[..len]).unwrap();
    assert_eq!((reply.count, reply.add_times), (9, 3));
    assert_eq!(read(reply.dict).map(|entries| entries.len()), Ok(pushed));
}

/// The writer's text, read by Python itself where there is one: a dict, and the very paths.
#[test]
fn python_reads_what_we_write() {
    let mut out = vec![0; 20_480];
    let mut writer = ReplyWriter::new(&mut out, 1, 1).unwrap();
    let paths = [
        "a",
        "quo'te\"",
        "nl\n\t\\x",
        "\u{85}\u{2028}\u{444}\u{1f600}",
        "}: __import__('os')#",
    ];
    for path in paths {
        let mtime = Timestamp {
            sec: -2,
            nsec: 500_000_000,
        };
        assert!(writer.push(path, mtime));
    }
    let len = writer.finish();
    let text = std::str::from_utf8(&out[8..len]).unwrap();
    let program = "import ast,sys\nd=ast.literal_eval(sys.stdin.buffer.read().decode('utf-8'))\n\
        sys.stdout.buffer.write('\\0'.join(d).encode()); assert set(d.values())=={-1.5}, d";
    let child = std::process::Command::new("python3")
        .args(["-c", program])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no python3");
        return;
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected = paths.map(|path| format!("./share/{path}")).join("\0");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

proptest! {
    #[test]
    fn what_is_written_is_read_alike(
        entries in prop::collection::btree_map("[^/\0]{1,20}", (-5_000_000_000i64..5_000_000_000, 0u32..1_000_000_000), 0..20),
    ) {
        let entries: Vec<_> = entries.into_iter().filter(|(path, _)| path != "." && path != "..").collect();
        let mut out = vec![0; 20_480];
        let mut writer = ReplyWriter::new(&mut out, 1, 1).unwrap();
        for (path, (sec, nsec)) in &entries {
            let mtime = Timestamp { sec: *sec, nsec: *nsec };
            prop_assert!(writer.push(path, mtime));
        }
        let len = writer.finish();
        let dict = InformationReply::parse(&out[..len]).unwrap().dict;
        let found = read(dict).unwrap();
        prop_assert_eq!(found.len(), entries.len());
        for ((path, time), (written, (sec, nsec))) in found.iter().zip(&entries) {
            prop_assert_eq!(path, written.as_bytes());
            prop_assert!((time - (*sec as f64 + f64::from(*nsec) / 1e9)).abs() < 1e-5);
        }
    }

    #[test]
    fn no_text_panics(text in "[{}'\"a./share\\\\x0-9eu:, \\-]{0,80}") {
        let _ = read(&text);
    }
}
