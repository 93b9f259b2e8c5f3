//! Recipe blocks and content ids.
#![cfg(test)]

use proptest::prelude::*;
use proto_core::content::recipe::{
    CHUNK_REF_LEN, ChunkHasher, ContentIdHasher, EMPTY, MAX_RECIPE_BLOCK, RecipeError, hash_chunk,
    parse_block, single_chunk, write,
};
use proto_core::content::{ChunkHash, ChunkRef, ContentId};
use proto_core::limits::{MAX_PIECE, RECIPE_BLOCK_CHUNKS};

fn chunks() -> impl Strategy<Value = Vec<ChunkRef>> {
    let chunk = (1..=MAX_PIECE as u32, any::<[u8; 32]>()).prop_map(|(len, hash)| ChunkRef {
        len,
        hash: ChunkHash(hash),
    });
    prop::collection::vec(chunk, 1..=RECIPE_BLOCK_CHUNKS)
}

fn bytes(chunks: &[ChunkRef]) -> Vec<u8> {
    chunks.iter().flat_map(write).collect()
}

fn id(chunks: &[ChunkRef]) -> ContentId {
    let mut hasher = ContentIdHasher::new();
    chunks.iter().for_each(|chunk| hasher.push(chunk));
    hasher.finish()
}

fn error(bytes: &[u8]) -> Option<RecipeError> {
    parse_block(bytes).map(drop).err()
}

#[test]
fn the_layout_is_length_and_hash() {
    let chunk = ChunkRef {
        len: 0x0001_0203,
        hash: ChunkHash([0xab; 32]),
    };
    let mut expected = vec![0, 1, 2, 3];
    expected.extend([0xab; 32]);
    assert_eq!(write(&chunk).to_vec(), expected);
}

#[test]
fn the_empty_content_has_a_constant_id() {
    assert_eq!(ContentIdHasher::new().finish(), EMPTY);
    assert_eq!(EMPTY.0, *blake3::hash(b"tinypeer content 1").as_bytes());
}

#[test]
fn the_id_is_the_hash_over_domain_and_recipe() {
    let chunk = ChunkRef {
        len: 5,
        hash: hash_chunk(b"hello"),
    };
    assert_eq!(chunk.hash.0, *blake3::hash(b"hello").as_bytes());
    let whole = [b"tinypeer content 1".as_slice(), &write(&chunk)].concat();
    assert_eq!(
        single_chunk(chunk.len, chunk.hash).0,
        *blake3::hash(&whole).as_bytes()
    );
    assert_eq!(
        single_chunk(chunk.len, chunk.hash).to_string(),
        "3ceb3b870f0dff806e1f5eb58c80b94aa72902273e2239a21d876257c9ac6c75"
    );
}

#[test]
fn only_whole_chunk_references_of_possible_lengths_are_a_block() {
    let chunk = |len| {
        write(&ChunkRef {
            len,
            hash: ChunkHash([0; 32]),
        })
    };
    assert_eq!(error(&[]), Some(RecipeError::BlockLength));
    assert_eq!(
        error(&chunk(1)[..CHUNK_REF_LEN - 1]),
        Some(RecipeError::BlockLength)
    );
    assert_eq!(
        error(&[&chunk(1)[..], &[0]].concat()),
        Some(RecipeError::BlockLength)
    );
    assert_eq!(
        error(&chunk(1).repeat(RECIPE_BLOCK_CHUNKS + 1)),
        Some(RecipeError::BlockLength)
    );
    assert_eq!(error(&chunk(0)), Some(RecipeError::ChunkLength));
    assert_eq!(
        error(&chunk(MAX_PIECE as u32 + 1)),
        Some(RecipeError::ChunkLength)
    );
    assert_eq!(
        error(&[chunk(1), chunk(u32::MAX)].concat()),
        Some(RecipeError::ChunkLength)
    );
    assert_eq!(error(&chunk(1)), None);
    assert_eq!(
        error(&chunk(MAX_PIECE as u32).repeat(RECIPE_BLOCK_CHUNKS)),
        None
    );
    assert_eq!(chunk(1).repeat(RECIPE_BLOCK_CHUNKS).len(), MAX_RECIPE_BLOCK);
}

proptest! {
    #[test]
    fn blocks_come_back_as_they_were_written(chunks in chunks()) {
        prop_assert_eq!(parse_block(&bytes(&chunks)).unwrap().collect::<Vec<_>>(), chunks);
    }

    #[test]
    fn any_bytes_are_refused_or_written_again_alike(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(chunks) = parse_block(&bytes) {
            prop_assert!(chunks.flat_map(|chunk| write(&chunk)).eq(bytes.iter().copied()));
        }
    }

    #[test]
    fn the_id_tells_recipes_apart(chunks in chunks(), at in any::<prop::sample::Index>()) {
        let mut others = chunks.clone();
        others.remove(at.index(chunks.len()));
        prop_assert_ne!(id(&chunks), id(&others));
        let mut other = chunks.clone();
        other[at.index(chunks.len())].len ^= 1;
        prop_assert_ne!(id(&chunks), id(&other));
    }

    #[test]
    fn a_chunk_hashes_alike_in_parts(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..6)) {
        let mut hasher = ChunkHasher::new();
        for _ in 0..2 {
            parts.iter().for_each(|part| hasher.push(part));
            let whole = parts.concat();
            prop_assert_eq!(hasher.is_empty(), whole.is_empty());
            prop_assert_eq!(hasher.finish(), ChunkRef { len: whole.len() as u32, hash: hash_chunk(&whole) });
        }
    }
}
