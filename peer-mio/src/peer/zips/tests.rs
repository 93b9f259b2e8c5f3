use super::*;
use crate::jobs::memory_file::MemoryFile;
use proto_core::index::entry::IndexId;

#[test]
fn what_is_asked_for_at_once_is_bounded_whatever_is_kept() {
    let mut zips = Zips::<MemoryFile>::default();
    let ask = |zips: &mut Zips<MemoryFile>, first| {
        let id = BundleId::new(IndexId(1), first).unwrap();
        assert_eq!(
            zips.read(id, 0, 1000, &mut ReadAhead::default(), &mut Vec::new()),
            Read::NotYet
        );
    };
    ask(&mut zips, 1);
    for zip in &mut zips.kept {
        zip.state = State::Nothing;
    }
    for first in 2..1000 {
        ask(&mut zips, first);
    }
    assert!(zips.kept.len() <= 2 * MAX_ZIPS, "{}", zips.kept.len());
    assert_eq!(zips.wanted(), MAX_ZIPS);
}
