//! The datagrams of the bridge: what comes from ancestors, and what goes to them.

use super::{Legacy, TICK, Via};
use crate::clock::Now;
use crate::disk::Disk;
use crate::peer::Peer;
use proto_core::legacy::{
    BLOCK_PORT, INFORMATION_PORT, InformationQuery, InformationReply, Reply, Request, is_answer,
};
use proto_core::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// By how much an answer to an information request is held back. An ancestor asks the next question as soon
/// as it has the answer, and what that leaves of its processor goes to its downloads; it waits for a second.
const ANSWER_DELAY: Duration = Duration::from_millis(20);
/// An answer that a limit holds back goes this long after it was due at the latest: an ancestor takes a later one for the answer to
/// another question.
const ANSWER_PATIENCE: Duration = Duration::from_millis(600);
impl<D: Disk> Legacy<D> {
    /// Whose datagram it is; one of a stranger's is dropped.
    fn place_of(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<usize> {
        let mut ancestors = self.ancestors.iter_mut().enumerate();
        let found = ancestors.find(|(_, ancestor)| IpAddr::V4(ancestor.ip) == from.ip());
        let Some((place, ancestor)) = found else {
            self.dropped += 1;
            return None;
        };
        ancestor.bytes_received += datagram.len() as u64;
        Some(place)
    }

    /// Takes a datagram from port 22002.
    pub fn handle_information(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) {
        let Some(ancestor) = self
            .place_of(from, datagram)
            .and_then(|place| self.ancestors.get_mut(place))
        else {
            return;
        };
        if !is_answer(from.port()) {
            match InformationQuery::parse(datagram) {
                Ok(InformationQuery::Information) => {
                    ancestor.note_question(now.mono + ANSWER_DELAY, from.port());
                }
                // Its dict tells it too.
                Ok(InformationQuery::Modified { path }) => {
                    log::debug!("{}: modified: {}", ancestor.ip, path.escape_debug());
                }
                Err(_) => ancestor.rejected += 1,
            }
            return;
        }
        let Ok(reply) = InformationReply::parse(datagram) else {
            ancestor.rejected += 1;
            return;
        };
        if !ancestor.asking.handle_answer(now.mono) {
            return;
        }
        if let Err(error) = ancestor.told(now.mono, &reply) {
            ancestor.rejected += 1;
            // What it told before holds no more.
            ancestor.add_times = None;
            log::debug!(
                "{}: its list of files cannot be read: {error:?}",
                ancestor.ip
            );
        }
        self.reply_stale = true;
        self.looked_at = Instant::ZERO;
    }

    /// Takes a datagram of an ancestor's from port 22001: it begins with a 0, ours never do.
    pub fn handle_blocks(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) {
        let Some(place) = self.place_of(from, datagram) else {
            return;
        };
        let Some(ancestor) = self.ancestors.get_mut(place) else {
            return;
        };
        if from.port() == BLOCK_PORT {
            match Reply::parse(datagram) {
                Ok(reply) => {
                    if !self.job.handle_reply(now.mono, place, &reply) {
                        ancestor.late.0 = ancestor.late.0.saturating_sub(1);
                    }
                }
                Err(error) => {
                    ancestor.rejected += 1;
                    log::debug!(
                        "{}: no answer of an original, perhaps a tinypeer's: {error:?}",
                        ancestor.ip
                    );
                }
            }
            return;
        }
        match Request::parse(datagram) {
            Ok(request) => {
                ancestor
                    .serve
                    .handle_request(now.mono, from.port(), &request, &mut self.served);
            }
            Err(_) => ancestor.rejected += 1,
        }
    }

    /// Writes the next datagram: from which socket, where to, its length.
    pub fn poll_transmit(
        &mut self,
        now: Now,
        peer: &mut Peer<D>,
        out: &mut [u8],
    ) -> Option<(Via, SocketAddr, usize)> {
        self.ready = peer.limits_ready_at();
        let (via, place, port, len, asked) = self.next_datagram(now.mono, out)?;
        peer.spend(now.mono, len, asked);
        let ancestor = self.ancestors.get_mut(place)?;
        ancestor.bytes_sent += len as u64;
        Some((via, SocketAddr::new(IpAddr::V4(ancestor.ip), port), len))
    }

    /// The same with the place of the ancestor, its port, and the bytes that are asked for.
    fn next_datagram(
        &mut self,
        now: Instant,
        out: &mut [u8],
    ) -> Option<(Via, usize, u16, usize, usize)> {
        // Before we know what we have, we are away.
        let knows = self.is_ready();
        if self.reply_stale && knows {
            self.build_reply(now);
        }
        let (up, down) = self.ready;
        for (place, ancestor) in self.ancestors.iter_mut().enumerate() {
            if ancestor.asking.poll_transmit(now) {
                let len = self.reply.len();
                return Some((Via::Information, place, INFORMATION_PORT, 0, len));
            }
            if let Some((_, port)) = ancestor
                .questions
                .pop_front_if(|(due, _)| answer_at(*due, up) <= now)
                && knows
                && let Some(room) = out.get_mut(..self.reply.len())
            {
                room.copy_from_slice(&self.reply);
                return Some((Via::Information, place, port, self.reply.len(), 0));
            }
            if up <= now
                && let Some((port, len)) = ancestor.serve.poll_transmit(now, &mut self.served, out)
            {
                if let Some(complete) = ancestor.serve.take_complete() {
                    self.sent(now, place, complete);
                }
                return Some((Via::Blocks, place, port, len, 0));
            }
        }
        if now < down {
            return None;
        }
        let (place, len, asked) = self.job.poll_transmit(now, out)?;
        Some((Via::Blocks, place, BLOCK_PORT, len, asked))
    }

    /// When to call [`Self::work`] and [`Self::poll_transmit`] again if nothing else happens.
    #[must_use]
    pub fn next_wake(&self) -> Instant {
        let (up, down) = self.ready;
        let ancestors = self.ancestors.iter().map(|ancestor| {
            let question = ancestor.questions.front();
            ancestor
                .asking
                .poll_timeout()
                .min(question.map_or(Instant::FAR_FUTURE, |(due, _)| answer_at(*due, up)))
                .min(ancestor.serve.poll_timeout().max(up))
        });
        ancestors
            .min()
            .unwrap_or(Instant::FAR_FUTURE)
            .min(self.job.next_wake(down))
            .min(self.looked_at + TICK)
    }
}

/// When a question that was to be answered then is, if a limit lets us send from `ready` on.
fn answer_at(due: Instant, ready: Instant) -> Instant {
    due.max(ready.min(due + ANSWER_PATIENCE))
}
