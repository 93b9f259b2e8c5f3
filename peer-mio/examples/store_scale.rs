//! Figures of the store: time, memory and room on the disk for a given number of rows.
//!
//! `store_scale FOLDER fill ROWS BATCH` writes rows into a new index, `store_scale FOLDER read ROWS`
//! opens and reads them. Two runs, because the peak of resident memory is that of a whole process.

use peer_mio::disk::folders::RealDisk;
use peer_mio::disk::{At, Disk, Place};
use peer_mio::store::{Durability, Fingerprint, Pending, Row, Store};
use proto_core::content::ContentId;
use proto_core::index::entry::{Entry, IndexId, Kind, Timestamp};
use proto_core::index::version_vector::VersionVector;
use std::error::Error;
use std::ops::ControlFlow::Continue;
use std::path::Path;
use std::time::Instant;

const US: IndexId = IndexId(5);
const INDEX: At<'_> = At {
    place: Place::State,
    path: b"index",
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    let (Some(folder), Some(task), Some(rows)) = (arguments.get(1), arguments.get(2), number(3))
    else {
        return Err("store_scale FOLDER fill|read ROWS [BATCH]".into());
    };
    let disk = RealDisk::open(Path::new(folder))?;
    memory("at the start")?;
    let now = Instant::now();
    let (mut store, opened) = Store::open(disk.create(INDEX)?, US)?;
    let size = || -> Result<u64, Box<dyn Error>> { Ok(disk.stat(INDEX)?.size) };
    println!(
        "{opened:?} in {:?}, file of {} bytes",
        now.elapsed(),
        size()?
    );
    memory("opened")?;
    if task == "fill" {
        fill(&mut store, rows, number(4).unwrap_or(500))?;
        println!("file of {} bytes", size()?);
        memory("filled")?;
    } else {
        read(&store, rows)?;
        small_commits(&mut store, rows)?;
    }
    let now = Instant::now();
    drop(store);
    println!("closed in {:?}, file of {} bytes", now.elapsed(), size()?);
    Ok(())
}

fn fill(store: &mut Store, rows: u64, batch: u64) -> Result<(), Box<dyn Error>> {
    let now = Instant::now();
    let mut committing = std::time::Duration::ZERO;
    for number in 0..rows {
        store.put(&path(number), row(store, number)?)?;
        if number % batch == batch - 1 || number == rows - 1 {
            let now = Instant::now();
            store.commit(Durability::Durable)?;
            committing += now.elapsed();
        }
    }
    println!(
        "{rows} puts in {:?}, of which commits {committing:?}",
        now.elapsed()
    );
    Ok(())
}

fn read(store: &Store, rows: u64) -> Result<(), Box<dyn Error>> {
    let now = Instant::now();
    let mut found = 0;
    store.walk(None, &mut |_, _| {
        found += 1;
        Continue(())
    })?;
    println!("walk over {found} rows in {:?}", now.elapsed());
    memory("walked")?;
    let now = Instant::now();
    store.journal(0, &mut |_, _, _| Continue(()))?;
    println!("journal in {:?}", now.elapsed());
    memory("journal read")?;
    for (what, step) in [("neighbouring", 1), ("scattered", 7919)] {
        let now = Instant::now();
        for number in 0..10_000 {
            store.get(&path(number * step % rows))?.ok_or("missing")?;
        }
        println!("{what} get: {:?}", now.elapsed() / 10_000);
    }
    Ok(())
}

fn small_commits(store: &mut Store, rows: u64) -> Result<(), Box<dyn Error>> {
    for (what, durability) in [
        ("durable", Durability::Durable),
        ("eventual", Durability::Eventual),
    ] {
        let now = Instant::now();
        for number in 0..100 {
            let number = number * 7919 % rows;
            store.put(&path(number), row(store, number)?)?;
            store.commit(durability)?;
        }
        println!("{what} change and commit: {:?}", now.elapsed() / 100);
    }
    let now = Instant::now();
    for number in 0..10_000 {
        store.get(&path(number * 7919 % rows))?.ok_or("missing")?;
        if number == 0 {
            let Row { entry, target, .. } = row(store, number)?;
            let told_by = US;
            store.put_pending(
                &path(number),
                &Pending {
                    entry,
                    target,
                    told_by,
                },
            )?;
        }
    }
    println!(
        "scattered get while a transaction is open: {:?}",
        now.elapsed() / 10_000
    );
    store.commit(Durability::Durable)?;
    memory("at the end")
}

fn path(number: u64) -> Vec<u8> {
    format!(
        "directory-{:03}/some-file-name-{number:06}.txt",
        number / 100
    )
    .into_bytes()
}

fn row(store: &Store, number: u64) -> Result<Row, Box<dyn Error>> {
    let time = Timestamp {
        sec: 1_700_000_000,
        nsec: 2,
    };
    let entry = Entry {
        kind: Kind::File,
        mode: 0o644,
        size: 5000,
        mtime: time,
        content: ContentId(*blake3::hash(&number.to_be_bytes()).as_bytes()),
        modified_by: US,
        version: VersionVector::from_sorted([(US, store.next_sequence())]).ok_or("no vector")?,
        sequence: 0,
    };
    let local = Some(Fingerprint {
        inode: number,
        size: 5000,
        mtime: time,
        ctime: time,
        mode: 0o644,
        link: false,
    });
    let target = Vec::new();
    Ok(Row {
        entry,
        target,
        local,
        run: 1,
    })
}

/// Resident memory now, and the most there was, in KiB.
fn memory(when: &str) -> Result<(), Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1))
            .unwrap_or("?")
            .to_owned()
    };
    println!(
        "  {when}: VmRSS {} RssAnon {} VmHWM {}",
        value("VmRSS"),
        value("RssAnon"),
        value("VmHWM")
    );
    Ok(())
}
