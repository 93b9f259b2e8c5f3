//! What many small files cost the system calls alone: `bare_files DIR`. A source reads and hashes 10,000 files of
//! 4 KB, and two receivers write as many under another name, rename them and flush, each in a thread; no network, no
//! cipher, no index (docs/performance.md, "Transfers").

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

type Failure = Box<dyn Error + Send + Sync>;
type Done = Result<(), Failure>;

const FOLDERS: usize = 100;
const FILES: usize = 100;
const BYTES: usize = 4096;

fn main() -> Done {
    let Some(folder) = std::env::args_os().nth(1) else {
        return Err("bare_files DIR".into());
    };
    let root = Path::new(&folder).join("bare_files");
    if root.exists() {
        return Err(format!("{} is there already", root.display()).into());
    }
    let [source, first, second] = ["source", "first", "second"].map(|name| root.join(name));
    write(&source)?;
    let before = processor()?;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let both = [&first, &second].map(|place| scope.spawn(|| write(place)));
        read(&source)?;
        for receiver in both {
            receiver.join().map_err(|_| "a receiver panicked")??;
        }
        Ok::<_, Failure>(())
    })?;
    let wall = begin.elapsed().as_secs_f64();
    println!("wall {wall:.2} s, processor {:.2} s", processor()? - before);
    fs::remove_dir_all(root)?;
    Ok(())
}

/// Every file is written under another name, then renamed; one flush.
fn write(place: &Path) -> Done {
    let parts = place.join("parts");
    fs::create_dir_all(&parts)?;
    let bytes = [b'x'; BYTES];
    for folder in 0..FOLDERS {
        let folder = place.join(folder.to_string());
        fs::create_dir(&folder)?;
        for file in 0..FILES {
            let part = parts.join(file.to_string());
            File::create_new(&part)?.write_all(&bytes)?;
            fs::rename(part, folder.join(file.to_string()))?;
        }
    }
    rustix::fs::syncfs(File::open(place)?)?;
    Ok(())
}

fn read(place: &Path) -> Done {
    let mut bytes = [0; BYTES];
    for folder in 0..FOLDERS {
        for file in 0..FILES {
            let path = place.join(folder.to_string()).join(file.to_string());
            File::open(path)?.read_exact(&mut bytes)?;
            std::hint::black_box(blake3::hash(&bytes));
        }
    }
    Ok(())
}

/// Seconds of this process.
fn processor() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no stat")?;
    let ticks = |at| fields.split_whitespace().nth(at)?.parse::<f64>().ok();
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("no stat")?;
    // USER_HZ is 100 on every machine (proc(5)).
    Ok((user + system) / 100.0)
}
