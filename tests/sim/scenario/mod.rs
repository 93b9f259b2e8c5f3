//! One seed, one story: users change files, machines crash and come back, the network is bad; then
//! all is healed, and every folder must be the same and nothing of a user's gone.

mod users;

use crate::cluster::Cluster;
use crate::disk::SimDisk;
use crate::model::{Model, difference};
use crate::network::Weather;
use crate::rng::Rng;
use peer_mio::disk::Place;
use peer_mio::peer::Flushing;
use peer_mio::watch::scan::Symlinks;
use proto_core::time::Duration;
use std::collections::BTreeMap;

/// Simulated time within which all must be the same at the end.
const SETTLE: Duration = Duration::from_secs(600);

/// One story under way.
struct Story {
    rng: Rng,
    cluster: Cluster,
    model: Model,
    written: u64,
    /// Of some machines.
    snapshots: BTreeMap<usize, SimDisk>,
}

/// Plays a seed.
///
/// # Errors
/// What is wrong at the end, in words.
pub fn play(seed: u64) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let peers = u8::try_from(2 + rng.below(4)).unwrap_or(2);
    let mut cluster = Cluster::new(peers, &mut rng);
    cluster.flushing = match seed % 8 {
        0 | 4 => Flushing::Each,
        1 | 6 => Flushing::Never,
        _ => Flushing::Group,
    };
    if seed.is_multiple_of(3) {
        cluster.symlinks = Symlinks::Keep;
    }
    let mut story = Story {
        rng,
        cluster,
        model: Model::default(),
        written: 0,
        snapshots: BTreeMap::new(),
    };
    story.begin();
    let steps = 10 + story.rng.below(40);
    for _ in 0..steps {
        story.happen();
    }
    story.end()
}

impl Story {
    fn begin(&mut self) {
        if self.rng.chance(500) {
            self.cluster.network.weather = Weather {
                loss: self.rng.below(200),
                duplication: self.rng.below(100),
                delay: Duration::from_micros(100 + self.rng.below(30_000)),
                jitter: Duration::from_micros(self.rng.below(20_000)),
            };
        }
        let meddling = if self.rng.chance(400) {
            1 + self.rng.below(100)
        } else {
            0
        };
        for place in 0..self.cluster.machines.len() {
            let rng = self.rng.fork();
            if let Some(machine) = self.cluster.machines.get(place) {
                machine.disk.user_meddles(meddling, rng);
                machine.disk.enforce_modes(place.is_multiple_of(2));
            }
            if self.rng.chance(850) {
                self.start(place);
            }
        }
    }

    fn place(&mut self) -> usize {
        usize::try_from(self.rng.below(self.cluster.machines.len() as u64)).unwrap_or(0)
    }

    /// One thing happens, and some time passes.
    fn happen(&mut self) {
        let place = self.place();
        match self.rng.below(100) {
            0..=33 => self.user_writes(place),
            34..=43 => self.user_removes(place),
            44..=51 => self.user_renames(place),
            52..=55 => self.user_makes_directory(place),
            56..=57 => self.user_copies_folder(place),
            58 => self.user_makes_symlink(place),
            59..=61 => self.user_changes_attributes(place),
            62..=66 => self.same_content_everywhere(),
            67..=73 => self.crash(place, false),
            74..=79 => self.crash(place, true),
            80..=89 => {
                self.start(place);
            }
            90..=91 => self.partition(),
            92 => self.change_disk(place),
            93..=94 => self.cluster.network.heal(),
            95 => self.jump_clock(place),
            96 => self.stop_soon(place),
            97 => self.fail_for_a_while(place),
            98 => self.fill_disk(place),
            _ => {
                let missed = self.rng.below(1000);
                if let Some(machine) = self.cluster.machines.get_mut(place) {
                    machine.missed_events = missed;
                }
            }
        }
        self.collect_stopped();
        let pause = match self.rng.below(10) {
            0..=3 => self.rng.below(3_000),
            4..=7 => self.rng.below(300_000),
            _ => self.rng.below(8_000_000),
        };
        self.drive(Duration::from_micros(pause));
        self.collect_stopped();
    }

    fn drive(&mut self, time: Duration) {
        self.cluster.drive(time);
        self.note_meddled();
    }

    fn start(&mut self, place: usize) -> bool {
        let started = self.cluster.start(place);
        self.note_meddled();
        started
    }

    /// What users wrote while peers ran came before all that is done next.
    fn note_meddled(&mut self) {
        for machine in &self.cluster.machines {
            self.model.meddle(&machine.disk);
        }
    }

    fn crash(&mut self, place: usize, power: bool) {
        self.cluster.trace(|| {
            format!(
                "machine {place}: {}",
                if power { "power cut" } else { "peer killed" }
            )
        });
        self.cluster.crash(place, power);
        if power {
            self.model.forget_lost(&self.cluster);
        }
        if self.rng.chance(700) {
            self.start(place);
        }
    }

    /// The machine goes back to a snapshot, is copied to another disk, or loses its index; or a snapshot is made.
    fn change_disk(&mut self, place: usize) {
        let Some(machine) = self.cluster.machines.get(place) else {
            return;
        };
        let (what, disk) = match (self.rng.below(4), self.snapshots.remove(&place)) {
            (0, _) => ("is copied to another disk", Some(machine.disk.copy())),
            (1, _) => {
                machine.disk.lose_index();
                ("loses its index", None)
            }
            (_, Some(snapshot)) => ("goes back to a snapshot", Some(snapshot)),
            (_, None) => {
                self.snapshots.insert(place, machine.disk.snapshot());
                return;
            }
        };
        self.cluster.trace(|| format!("machine {place} {what}"));
        self.cluster.crash(place, false);
        if let (Some(machine), Some(disk)) = (self.cluster.machines.get_mut(place), disk) {
            machine.disk = disk;
        }
        self.model.forget_lost(&self.cluster);
        if self.rng.chance(700) {
            self.start(place);
        }
    }

    fn partition(&mut self) {
        let (one, two) = (self.place(), self.place());
        let addresses: Vec<_> = self
            .cluster
            .machines
            .iter()
            .map(|machine| machine.address)
            .collect();
        if let (Some(from), Some(to)) = (addresses.get(one), addresses.get(two)) {
            self.cluster.network.cut(*from, *to);
            if self.rng.chance(700) {
                self.cluster.network.cut(*to, *from);
            }
        }
    }

    fn jump_clock(&mut self, place: usize) {
        let offsets = [0, -1_700_000_000, 3600, -3600, 500_000_000];
        let offset = self.rng.pick(&offsets).copied().unwrap_or(0);
        if let Some(machine) = self.cluster.machines.get_mut(place) {
            machine.clock_offset = offset;
        }
    }

    /// Its disk stops in the middle of something; the machine is cut off or killed there.
    fn stop_soon(&mut self, place: usize) {
        let after = self.rng.below(60);
        if let Some(machine) = self
            .cluster
            .machines
            .get(place)
            .filter(|machine| machine.peer.is_some())
        {
            machine.disk.stop_after(after);
        }
    }

    fn collect_stopped(&mut self) {
        for place in 0..self.cluster.machines.len() {
            if self
                .cluster
                .machines
                .get(place)
                .is_some_and(|machine| machine.disk.is_stopped())
            {
                let power = self.rng.chance(600);
                self.crash(place, power);
            }
        }
    }

    fn fail_for_a_while(&mut self, place: usize) {
        let (permille, rng) = (self.rng.below(60), self.rng.fork());
        if let Some(machine) = self.cluster.machines.get(place) {
            machine.disk.fail(permille, rng);
        }
        self.drive(Duration::from_secs(2));
        let rng = self.rng.fork();
        if let Some(machine) = self.cluster.machines.get(place) {
            machine.disk.fail(0, rng);
        }
    }

    fn fill_disk(&mut self, place: usize) {
        let capacity = 200_000 + self.rng.below(1_000_000);
        if let Some(machine) = self.cluster.machines.get(place) {
            machine.disk.set_capacity(capacity);
        }
        self.drive(Duration::from_secs(3));
        self.model.forget_made_room(&self.cluster);
        if let Some(machine) = self.cluster.machines.get(place) {
            machine.disk.set_capacity(u64::MAX);
        }
    }

    /// An empty folder on another disk is not the one that the index knows: a user removes the index, as the peer says.
    fn start_anew(&mut self, place: usize) -> bool {
        let Some(machine) = self.cluster.machines.get(place) else {
            return false;
        };
        if !machine.disk.tree(Place::Share).is_empty() {
            return false;
        }
        machine.disk.lose_index();
        self.start(place)
    }

    /// All is healed; then everything must be the same, and nothing lost.
    fn end(mut self) -> Result<(), String> {
        self.collect_stopped();
        self.cluster.network.heal();
        self.cluster.network.weather = Weather::default();
        for place in 0..self.cluster.machines.len() {
            let rng = self.rng.fork();
            if let Some(machine) = self.cluster.machines.get_mut(place) {
                machine.missed_events = 0;
                machine.disk.set_capacity(u64::MAX);
                machine.disk.user_meddles(0, rng.clone());
                machine.disk.fail(0, rng);
                machine.disk.go_on();
            }
            if !self.start(place) && !self.start_anew(place) {
                return Err(format!("peer {place} cannot start"));
            }
        }
        self.cluster.trace(|| "all is healed".to_owned());
        // Longer than a scan interval: what no event told of is found.
        self.drive(Duration::from_secs(70));
        // Users who removed nearly all of a folder say that they meant it.
        for machine in &mut self.cluster.machines {
            machine.peer.as_mut().and_then(peer_mio::peer::Peer::resume);
        }
        let settled = self.cluster.drive_until(SETTLE, Cluster::in_sync);
        let status: Vec<_> = self
            .cluster
            .machines
            .iter()
            .filter_map(|machine| machine.peer.as_ref().map(peer_mio::peer::Peer::status))
            .collect();
        if !settled {
            return Err(format!("not in sync in the end: {status:#?}"));
        }
        let trees: Vec<_> = self
            .cluster
            .machines
            .iter()
            .map(|machine| machine.disk.tree(Place::Share))
            .collect();
        for (place, pair) in trees.windows(2).enumerate() {
            if let [a, b] = pair {
                let words = difference(a, b);
                if !words.is_empty() {
                    return Err(format!(
                        "machines {place} and {} differ:\n{}",
                        place + 1,
                        words.join("\n")
                    ));
                }
            }
        }
        let missing = self.model.missing(&self.cluster);
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("lost: {}", missing.join("; ")))
        }
    }
}
