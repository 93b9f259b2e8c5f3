//! Archives as an ancestor writes them, with stored members.

/// One with stored members: name, time and bytes of each.
#[must_use]
pub fn stored_zip<'a>(files: impl Iterator<Item = (&'a str, f64, &'a [u8])>) -> Vec<u8> {
    let (mut zip, mut directory, mut count) = (Vec::new(), Vec::new(), 0u16);
    for (name, mtime, bytes) in files {
        let offset = len(&zip);
        let mut head = vec![20, 0, 0, 8, 0, 0];
        head.extend(dos_time(mtime));
        head.extend(crc(bytes).to_le_bytes());
        head.extend([len(bytes), len(bytes)].map(u32::to_le_bytes).concat());
        head.extend(u16::try_from(name.len()).unwrap_or(0).to_le_bytes());
        head.extend([0, 0]);
        zip.extend(b"PK\x03\x04");
        zip.extend(&head);
        zip.extend(name.as_bytes());
        zip.extend(bytes);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&head);
        directory.extend([0; 6]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
        count += 1;
    }
    let offset = len(&zip);
    let size = len(&directory);
    zip.extend(directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([count, count].map(u16::to_le_bytes).concat());
    zip.extend([size, offset].map(u32::to_le_bytes).concat());
    zip.extend([0, 0]);
    zip
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Time and date of a day in November 2023, in steps of two seconds.
fn dos_time(mtime: f64) -> [u8; 4] {
    // 1.7e9 is 22:13:20 on the 14th.
    let seconds = (mtime - 1.7e9) as u32 + 22 * 3600 + 13 * 60 + 20;
    let (day, second) = (14 + seconds / 86_400, seconds % 86_400);
    let time = ((second / 3600) << 11) | ((second / 60 % 60) << 5) | (second % 60 / 2);
    let date = ((2023 - 1980) << 9) | (11 << 5) | day;
    ((date << 16) | time).to_le_bytes()
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}
