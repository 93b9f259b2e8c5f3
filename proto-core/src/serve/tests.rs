use super::*;
use crate::content::ContentId;
use crate::index::entry::IndexId;
use crate::wire::Message;
use crate::wire::request::RequestWriter;

/// A journal whose page has so many bytes.
struct PageOf(usize);

impl Objects for PageOf {
    fn piece(&mut self, _: ObjectId, _: u64, _: usize) -> Read {
        Read::Ready(self.0)
    }

    fn read(&mut self, _: ObjectId, _: u64, _: usize, at: usize, buffer: &mut [u8]) -> Read {
        Read::Ready(buffer.len().min(self.0 - at))
    }
}

/// One that was asked for what `write` puts into a REQUEST.
fn asked(object: ObjectId, segment: u16, write: impl FnOnce(&mut RequestWriter<'_>)) -> Serve {
    let mut bytes = [0; 200];
    let mut writer = RequestWriter::new(&mut bytes, object, segment).unwrap();
    write(&mut writer);
    let len = writer.finish();
    let Ok(Message::Request(request)) = Message::decode(&bytes[..len]) else {
        unreachable!()
    };
    let mut serve = Serve::default();
    serve.request(&request);
    serve
}

/// The answer to a REQUEST for segment 1 of a page that had 1,200 bytes.
fn answer(page: usize, check: impl FnOnce(Message<'_>)) {
    let mut wanted = SegmentBitmap::new();
    wanted.set(1);
    let mut serve = asked(ObjectId::Journal(IndexId(7)), 1156, |writer| {
        writer.push(5, 0, 1200, 2, &wanted).unwrap();
    });
    let mut out = [0; 1200];
    let Built::Message(len) = serve.build(&mut PageOf(page), None, &mut out, None) else {
        unreachable!("no answer")
    };
    check(Message::decode(&out[..len]).unwrap());
}

/// Pieces of which those that begin here are not in memory.
struct NotYetAt(u64);

impl Objects for NotYetAt {
    fn piece(&mut self, _: ObjectId, start: u64, length: usize) -> Read {
        if start == self.0 {
            Read::NotYet
        } else {
            Read::Ready(length)
        }
    }

    fn read(&mut self, _: ObjectId, _: u64, _: usize, _: usize, buffer: &mut [u8]) -> Read {
        Read::Ready(buffer.len())
    }
}

#[test]
fn what_is_not_in_memory_holds_up_nothing_behind_it() {
    let mut wanted = SegmentBitmap::new();
    wanted.set(0);
    let object = ObjectId::Content(ContentId([7; 32]));
    let mut serve = asked(object, 1000, |writer| {
        for tag in 0..3 {
            let start = u64::from(tag) * 1000;
            writer.push(tag, start, 1000, 1, &wanted).unwrap();
        }
    });
    let mut out = [0; 1200];
    let mut next = |objects: &mut NotYetAt| match serve.build(objects, None, &mut out, None) {
        Built::Message(len) => match Message::decode(&out[..len]) {
            Ok(Message::Block(block, _)) => Some(block.tag),
            _ => unreachable!(),
        },
        Built::Nothing => None,
    };
    let tags = [(); 3].map(|()| next(&mut NotYetAt(0)));
    assert_eq!(tags, [Some(1), Some(2), None]);
    assert_eq!(next(&mut NotYetAt(u64::MAX)), Some(0));
    assert_eq!(next(&mut NotYetAt(u64::MAX)), None);
    assert!(serve.is_empty());
}

#[test]
fn a_page_that_got_shorter_than_what_is_wanted_of_it_tells_its_length() {
    answer(1200, |message| {
        assert!(matches!(message, Message::Block(block, _) if block.segment == 1));
    });
    answer(1100, |message| {
        let Message::Block(block, payload) = message else {
            unreachable!()
        };
        assert_eq!(
            (block.segment, block.length, payload.len()),
            (0, 1100, 1100)
        );
    });
    answer(0, |message| {
        assert!(matches!(message, Message::Refuse(refuse) if refuse.tag == 5));
    });
}
