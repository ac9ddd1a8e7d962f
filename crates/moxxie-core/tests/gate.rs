//! Ten thousand random boots of one machine, with rivals, approvals and changes of its profile,
//! through the decision and the state machine: nothing is delivered that an operator did not approve,
//! nothing after a freeze, nothing outside the networks, and nothing destructive twice.
#![allow(clippy::unwrap_used, missing_docs)]

use moxxie_core::assignment::{Assignment, AssignmentSpec, BootPolicy};
use moxxie_core::boot::approval::{Approval, Asker};
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::boot::decide::{Ask, BootView, Known, Outcome, Shelf, Wait, decide};
use moxxie_core::boot::event::EventKind;
use moxxie_core::boot::place;
use moxxie_core::boot::rival::Contention;
use moxxie_core::boot::session::{self, Session, may_fetch};
use moxxie_core::boot::state::{ArmGuards, BootRecord, BootState};
use moxxie_core::machine::Serial;
use moxxie_core::platform;
use moxxie_core::profile::Profile;
use moxxie_core::site::Site;
use moxxie_core::time::{Span, Timestamp};
use moxxie_core::token::SessionId;
use std::net::IpAddr;
use std::sync::Arc;

const MAC: &str = "52:54:00:00:00:11";
/// Two addresses of one network, one of another, one outside the provisioning networks.
const PEERS: [[u8; 4]; 4] = [[10, 0, 0, 9], [10, 0, 0, 77], [10, 0, 1, 9], [10, 9, 0, 9]];

fn shelf(destructive: bool, approval: Approval, contention: Contention) -> Arc<Shelf> {
    let mut spec = platform::PLATFORMS[0].sample();
    (spec.boot_params, spec.config_template) = (String::new(), Some("x".into()));
    spec.destructive = destructive;
    (spec.approval, spec.contention) = (approval, contention);
    spec.provisioning = Some(moxxie_core::net::Networks::read(["10.0.0.0/23"]).unwrap());
    let (id, at) = ("p".to_owned(), Timestamp(0));
    Arc::new(Shelf {
        profile: Profile { id, spec, revision: 1, created_at: at, updated_at: at },
        assets: vec![],
    })
}

fn machine() -> Assignment {
    let at = Timestamp(0);
    Assignment {
        id: "a".into(),
        spec: AssignmentSpec {
            mac_address: MAC.parse().unwrap(),
            node_name: "n1".parse().unwrap(),
            boot_profile_id: "p".into(),
            boot_params_override: Default::default(),
            uuid: None,
            serial: None,
            extra_macs: vec![],
            boot_policy: BootPolicy::Once,
            protected: false,
            quarantined: false,
            local_boot: None,
            provisioning: None,
            approval: None,
            source: "manual".into(),
        },
        boot: BootRecord::default(),
        revision: 1,
        last_boot_at: None,
        created_at: at,
        updated_at: at,
    }
}

fn claims(who: u8) -> BootClaims {
    let uuid = format!("4c4c4544-004b-3510-8051-b4c04f4c4d3{who}").parse().ok();
    // The third says nothing of itself but its MAC address.
    let (uuid, serial) = if who == 2 { (None, None) } else { (uuid, Serial::known(&format!("SN-{who}7"))) };
    BootClaims { mac: MAC.parse().ok(), uuid, serial, ..BootClaims::default() }
}

struct World {
    site: Site,
    known: Known,
    now: Timestamp,
    sessions: Vec<Session>,
    /// Deliveries in this window.
    delivered: u32,
    frozen: bool,
    alarms: u32,
}

impl World {
    fn arm(&mut self) -> bool {
        let spec = &self.known.assignment.spec;
        let guards = ArmGuards {
            protected: spec.protected,
            quarantined: spec.quarantined,
            policy: spec.boot_policy,
            destructive: self.known.shelf.profile.spec.destructive,
        };
        let Ok(boot) = self.known.assignment.boot.arm(guards, &self.site, self.now) else { return false };
        self.known.assignment.boot = boot;
        self.sessions.iter_mut().for_each(|s| s.revoked = true);
        self.delivered = 0;
        true
    }

    fn menu(&mut self, who: u8, peer: IpAddr) -> Outcome {
        let view = BootView { by_mac: vec![Arc::new(self.known.clone())], ..BootView::default() };
        let claims = claims(who);
        let decision = decide(&claims, &view, Ask::Menu, peer, &self.site, self.now);
        self.alarms += u32::from(decision.alarm.is_some() || decision.event == EventKind::BootContention);
        match &decision.outcome {
            Outcome::Boot { after, .. } => {
                assert!(!self.frozen && place::refusing(&self.known, peer, &self.site).is_none());
                self.known.assignment.boot = after.clone();
                self.sessions.push(Session {
                    id: SessionId([0; 16]),
                    assignment_id: "a".into(),
                    generation: after.generation,
                    network: self.site.token_network(peer),
                    ip: peer,
                    base_url: String::new(),
                    arch: None,
                    platform: None,
                    minted_at: self.now,
                    expires_at: after.window_ends.unwrap(),
                    first_used_at: None,
                    revoked: false,
                });
            }
            Outcome::Wait { after: Some(after), .. } => self.known.assignment.boot = after.clone(),
            Outcome::Freeze { after, .. } => {
                assert_eq!(self.known.shelf.profile.spec.contention, Contention::Freeze);
                self.known.assignment.boot = after.clone();
                self.known.assignment.spec.quarantined = true;
                self.sessions.iter_mut().for_each(|s| s.revoked = true);
                self.frozen = true;
            }
            _ => {}
        }
        decision.outcome
    }

    /// As the store consumes a token.
    fn fetch(&mut self, n: usize, peer: IpAddr) -> bool {
        if may_fetch(&self.sessions[n], &self.known, peer, &self.site, self.now).is_err() {
            return false;
        }
        if self.sessions[n].first_used_at.is_none() {
            let ip = self.sessions[n].ip;
            self.known.assignment.boot = self.known.assignment.boot.delivered(ip, self.now);
            self.delivered += 1;
            for (other, session) in self.sessions.iter_mut().enumerate() {
                session.revoked |= other != n;
            }
            self.sessions[n].first_used_at = Some(self.now);
        }
        true
    }
}

/// The same seed tells the same life.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn nothing_is_delivered_that_was_not_approved_nor_after_a_freeze() {
    let (mut delivered, mut freezes, mut alarms, mut refused) = (0, 0, 0, 0);
    let kinds: Vec<Arc<Shelf>> = (0..8)
        .map(|n| {
            let approval = if n & 1 == 0 { Approval::Manual } else { Approval::Auto };
            let contention = if n & 2 == 0 { Contention::Freeze } else { Contention::Alarm };
            shelf(n & 4 == 0, approval, contention)
        })
        .collect();
    for seed in 1..=10_000_u64 {
        let mut dice = Dice(seed * 2_654_435_761 + 1);
        let pick = |dice: &mut Dice| kinds[dice.roll(8) as usize].clone();
        let known = Known { assignment: machine(), shelf: pick(&mut dice) };
        let mut world = World {
            site: Site::default(),
            known,
            now: Timestamp(1_000_000),
            sessions: vec![],
            delivered: 0,
            frozen: false,
            alarms: 0,
        };
        world.arm();
        // Whom an operator has approved in this window.
        let mut approved: Option<Asker> = None;
        for _ in 0..16 {
            let peer = IpAddr::from(PEERS[dice.roll(4) as usize]);
            match dice.roll(16) {
                0..6 => {
                    let who = dice.roll(3) as u8;
                    let asker = Asker::new(&claims(who), peer, &world.site);
                    let outcome = world.menu(who, peer);
                    if matches!(outcome, Outcome::Boot { .. })
                        && Approval::of(&world.known) == Approval::Manual
                    {
                        assert_eq!(approved, Some(asker), "seed {seed}: only who was approved");
                    } else if let Outcome::Wait { wait: Wait::Approval(waiting), .. } = outcome {
                        assert_eq!(waiting, asker);
                        if dice.roll(2) == 0 {
                            let boot = &mut world.known.assignment.boot;
                            boot.asking = boot.asking.given(&asker, world.now, world.now + Span::hours(4));
                            approved = Some(asker);
                        }
                    }
                }
                6..11 if !world.sessions.is_empty() => {
                    let back = dice.roll(world.sessions.len().min(3) as u64) as usize;
                    let n = world.sessions.len() - 1 - back;
                    let from = if dice.roll(4) == 0 { peer } else { world.sessions[n].ip };
                    if world.fetch(n, from) {
                        delivered += 1;
                        assert!(!world.frozen, "seed {seed}: after a freeze");
                        assert!(place::refusing(&world.known, from, &world.site).is_none());
                        assert_eq!(world.site.token_network(from), world.sessions[n].network);
                        if Approval::of(&world.known) == Approval::Manual {
                            let network = approved.as_ref().unwrap().network;
                            assert_eq!(network, world.sessions[n].network, "seed {seed}");
                        }
                        let most = if world.known.assignment.boot.armed_destructive { 1 } else { 3 };
                        assert!(world.delivered <= most, "seed {seed}");
                    } else {
                        refused += 1;
                        let who = &world.sessions[n];
                        alarms += u32::from(
                            session::rival(who, &world.known, from, &world.site, world.now).is_some(),
                        );
                    }
                }
                11 => world.now = world.now + Span::minutes(1 + dice.roll(90) as i64),
                12 => {
                    world.known.assignment.boot = world.known.assignment.boot.settled(&world.site, world.now)
                }
                13 => {
                    world.known.shelf = pick(&mut dice);
                }
                14 if world.frozen && dice.roll(2) == 0 => {
                    // An operator has looked. Nothing is open by that alone.
                    world.known.assignment.spec.quarantined = false;
                    assert_eq!(world.known.assignment.boot.state, BootState::Local);
                    world.frozen = false;
                    freezes += 1;
                }
                15 if dice.roll(3) == 0 && world.arm() => {
                    assert!(!world.frozen);
                    approved = None;
                }
                _ => {}
            }
            // What time or a freeze took, the approval went with it.
            if world.known.assignment.boot.settled(&world.site, world.now).asking.approved.is_none() {
                approved = None;
            }
        }
        alarms += world.alarms;
    }
    assert!(
        delivered > 2000 && freezes > 200 && alarms > 2000 && refused > 2000,
        "{delivered} {freezes} {alarms} {refused}"
    );
}

/// What an ordinary machine does raises no alarm; what another one does, does.
#[test]
fn a_machine_that_moves_is_no_rival() {
    let start = |who| {
        let mut world = World {
            site: Site::default(),
            known: Known { assignment: machine(), shelf: shelf(true, Approval::Auto, Contention::Alarm) },
            now: Timestamp(1_000_000),
            sessions: vec![],
            delivered: 0,
            frozen: false,
            alarms: 0,
        };
        world.arm();
        assert!(matches!(world.menu(who, PEERS[0].into()), Outcome::Boot { .. }));
        world
    };
    // Another lease of the same network, before and after its config; a reset; without a UUID too.
    for who in [0, 2] {
        let mut world = start(who);
        world.menu(who, PEERS[1].into());
        assert!(world.fetch(0, PEERS[1].into()));
        world.menu(who, PEERS[0].into());
        assert_eq!(world.alarms, 0);
    }
    // Its other NIC, in another network: the same UUID and serial number, and no config yet.
    let mut world = start(0);
    assert!(matches!(world.menu(0, PEERS[2].into()), Outcome::Boot { .. }));
    assert!(matches!(world.menu(0, PEERS[0].into()), Outcome::Boot { .. }));
    assert_eq!(world.alarms, 0);
    // Its config went out: whoever asks from elsewhere now is somebody else, until it is repeated
    // no more.
    assert!(world.fetch(2, PEERS[0].into()));
    world.menu(0, PEERS[2].into());
    assert_eq!(world.alarms, 1);
    world.now = world.now + Span::minutes(10);
    world.menu(0, PEERS[2].into());
    assert_eq!(world.alarms, 1);
    // Nothing shows that it is the same machine: an alarm, and it goes on.
    let mut world = start(2);
    assert!(matches!(world.menu(2, PEERS[2].into()), Outcome::Boot { .. }));
    assert_eq!(world.alarms, 1);
    // Another board: an alarm, and the disk.
    let mut world = start(0);
    assert!(matches!(world.menu(1, PEERS[0].into()), Outcome::Local(_)));
    assert_eq!(world.alarms, 1);
    // From outside the networks nobody is given anything, and nobody freezes a machine.
    assert!(matches!(world.menu(2, PEERS[3].into()), Outcome::Local(_)));
    assert_eq!(world.alarms, 1);
    // The loser of a race comes with a genuine token that the winner's has ended.
    let mut world = start(2);
    world.menu(2, PEERS[2].into());
    assert!(world.fetch(0, PEERS[0].into()));
    let rival = |n: usize, from: [u8; 4]| {
        session::rival(&world.sessions[n], &world.known, from.into(), &world.site, world.now).is_some()
    };
    assert!(rival(1, PEERS[2]) && !rival(0, PEERS[1]));
    assert!(rival(0, PEERS[2]), "the winner's token, stolen");
    // Also within one network.
    let mut world = start(2);
    world.menu(2, PEERS[1].into());
    assert!(world.fetch(0, PEERS[0].into()));
    let rival = |n: usize, from: [u8; 4]| {
        session::rival(&world.sessions[n], &world.known, from.into(), &world.site, world.now).is_some()
    };
    assert!(rival(1, PEERS[1]) && !rival(1, PEERS[0]) && !rival(0, PEERS[1]));
}

/// Whoever leaves out what the machine has said of itself is no better than one that says another.
#[test]
fn silence_at_another_address_is_a_rival() {
    for contention in [Contention::Alarm, Contention::Freeze] {
        for pinned in [true, false] {
            let mut world = World {
                site: Site::default(),
                known: Known { assignment: machine(), shelf: shelf(true, Approval::Auto, contention) },
                now: Timestamp(1_000_000),
                sessions: vec![],
                delivered: 0,
                frozen: false,
                alarms: 0,
            };
            if pinned {
                world.known.assignment.spec.uuid = claims(0).uuid;
            }
            world.arm();
            assert!(matches!(world.menu(0, PEERS[0].into()), Outcome::Boot { .. }));
            // A later stage at the same address says less.
            assert!(matches!(world.menu(2, PEERS[0].into()), Outcome::Boot { .. }));
            assert_eq!(world.alarms, 0);
            // From outside nobody is alarmed.
            assert!(matches!(world.menu(2, PEERS[3].into()), Outcome::Local(_)));
            assert!(matches!(world.menu(1, PEERS[3].into()), Outcome::Local(_)));
            assert_eq!(world.alarms, 0);
            let outcome = world.menu(2, PEERS[1].into());
            assert_eq!(world.alarms, 1);
            match contention {
                Contention::Alarm => assert!(matches!(outcome, Outcome::Local(_))),
                Contention::Freeze => assert!(matches!(outcome, Outcome::Freeze { .. })),
            }
        }
    }
}
