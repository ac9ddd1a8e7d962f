//! Random lives of a few machines, against a reference that is written from the rules in prose
//! and shares no code with them: what is told to a machine, and what is never told to it.

use crate::conformance::{Fine, by, claims, delivery, event, mac, machine, profile};
use crate::{Redeemed, Start, StepError, Store, StoreError};
use moxxie_core::assignment::{AssignmentSpec, BootPolicy};
use moxxie_core::boot::decide::{Ask, Outcome, decide};
use moxxie_core::boot::event::EventKind;
use moxxie_core::boot::session::{Session, may_fetch, may_report};
use moxxie_core::boot::state::{ArmGuards, ArmRefused, BootRecord};
use moxxie_core::site::Site;
use moxxie_core::time::Timestamp;
use moxxie_core::token::SessionId;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
const MACHINES: u16 = 3;

/// A window as the documentation describes it.
#[derive(Clone, Debug)]
struct Window {
    /// Which arm of all arms opened it.
    arm: u32,
    armed_at: i64,
    dangerous: bool,
    first_menu: Option<i64>,
    scripts: u32,
    deliveries: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Waiting,
    Booting,
    Delivered(i64),
}

#[derive(Clone, Debug)]
struct Token {
    session: u32,
    machine: u16,
    arm: u32,
    ends: i64,
    first_use: Option<i64>,
    uses: i64,
    dead: bool,
}

#[derive(Default)]
struct Reference {
    windows: HashMap<u16, Window>,
    protected: HashMap<u16, bool>,
    wipes: HashMap<u16, bool>,
    tokens: Vec<Token>,
    arms: u32,
}

const DAY: i64 = 86_400_000;
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

impl Reference {
    fn close(&mut self, n: u16) {
        self.windows.remove(&n);
        for token in self.tokens.iter_mut().filter(|token| token.machine == n) {
            token.dead = true;
        }
    }

    /// Whether the machine is given its profile's script now.
    fn boots(&self, n: u16, now: i64) -> bool {
        let Some(window) = self.windows.get(&n) else { return false };
        let wipes = self.wipes[&n];
        if self.protected[&n] || (wipes && !window.dangerous) {
            return false;
        }
        let running = window.first_menu.is_none_or(|at| now < at + 4 * HOUR);
        match window.stage {
            Stage::Waiting => now < window.armed_at + 7 * DAY,
            // A script that can end in a wipe is handed out three times at most.
            Stage::Booting => running && (!wipes || window.scripts < 3),
            Stage::Delivered(at) => {
                !wipes && !window.dangerous && running && window.deliveries < 3 && now < at + 30 * MINUTE
            }
        }
    }

    fn menu(&mut self, n: u16, session: u32, now: i64) {
        let window = self.windows.get_mut(&n).unwrap();
        let first = *window.first_menu.get_or_insert(now);
        window.stage = Stage::Booting;
        window.scripts += 1;
        let (arm, ends) = (window.arm, first + 4 * HOUR);
        // A machine that has come back so often has given up what it was given at first.
        if window.scripts > 8 {
            let given_up = |t: &&mut Token| t.machine == n && (t.first_use.is_none() || t.dead);
            for token in self.tokens.iter_mut().rev().filter(given_up).skip(7) {
                token.dead = true;
            }
        }
        self.tokens.push(Token { session, machine: n, arm, ends, first_use: None, uses: 0, dead: false });
    }

    fn redeems(&self, token: &Token, now: i64) -> Redeemed {
        let Some(window) = self.windows.get(&token.machine) else { return Redeemed::Refused };
        let turned = self.wipes[&token.machine] && !window.dangerous;
        if token.dead || token.arm != window.arm || now >= token.ends || turned {
            return Redeemed::Refused;
        }
        match (token.first_use, window.stage) {
            (None, Stage::Booting) => Redeemed::First,
            (Some(at), Stage::Delivered(_)) if now < at + 10 * MINUTE && token.uses < 21 => Redeemed::Repeat,
            _ => Redeemed::Refused,
        }
    }

    fn redeem(&mut self, session: u32, now: i64) -> Redeemed {
        let index = self.tokens.iter().position(|token| token.session == session).unwrap();
        let outcome = self.redeems(&self.tokens[index], now);
        let machine = self.tokens[index].machine;
        if outcome == Redeemed::First {
            let window = self.windows.get_mut(&machine).unwrap();
            window.stage = Stage::Delivered(now);
            window.deliveries += 1;
            for other in self.tokens.iter_mut().filter(|t| t.machine == machine && t.session != session) {
                other.dead = true;
            }
            self.tokens[index].first_use = Some(now);
        }
        if outcome != Redeemed::Refused {
            self.tokens[index].uses += 1;
        }
        outcome
    }
}

/// A small generator: the same seed tells the same life.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn session_id(session: u32) -> SessionId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&session.to_be_bytes());
    SessionId(id)
}

/// The server's part: decide under the lock, start what was decided.
async fn menu(store: &Store, n: u16, session: u32, site: &Site, now: Timestamp) -> bool {
    store
        .boot_alone::<bool, Fine>(&claims(n), None, |view| {
            let decision = decide(&claims(n), view, Ask::Menu, PEER, site, now);
            let Outcome::Boot { known, after } = decision.outcome else { return Ok((None, false)) };
            let session = Session {
                id: session_id(session),
                assignment_id: known.assignment.id.clone(),
                generation: after.generation,
                network: site.token_network(PEER),
                ip: std::net::IpAddr::from([10, 0, 0, 9]),
                base_url: "http://10.0.0.1:8080".into(),
                arch: Some("amd64".into()),
                platform: None,
                minted_at: now,
                expires_at: after.window_ends.unwrap(),
                first_used_at: None,
                revoked: false,
            };
            Ok((Some(Start { after, session, durable: None }.into()), true))
        })
        .await
        .unwrap()
}

async fn redeem(store: &Store, n: u16, session: u32, site: &Site, now: Timestamp) -> Redeemed {
    let outcome = store
        .redeem(session_id(session), site, now, |session, known| {
            may_fetch(session, known, PEER, site, now)?;
            Ok::<_, moxxie_core::boot::session::Refusal>((delivery(n, 1, "", now), ()))
        })
        .await;
    match outcome {
        Ok(Some((redeemed, ()))) => redeemed,
        Ok(None) | Err(StepError::Step(_)) => Redeemed::Refused,
        Err(StepError::Store(error)) => panic!("{error}"),
    }
}

async fn arm(store: &Store, n: u16, site: &Site, now: Timestamp) -> bool {
    let by = by(now.0);
    let armed = store.change_assignment(mac(n), None, "assignment.arm", &by, |known| {
        let spec = known.assignment.spec.clone();
        let guards = ArmGuards {
            protected: spec.protected,
            quarantined: spec.quarantined,
            policy: spec.boot_policy,
            destructive: known.shelf.profile.spec.destructive,
        };
        Ok::<_, ArmRefused>((spec, known.assignment.boot.arm(guards, site, now)?))
    });
    match armed.await {
        Ok(_) => true,
        Err(StepError::Step(_)) => false,
        Err(StepError::Store(error)) => panic!("{error}"),
    }
}

/// Changes what a person writes; the window is closed when asked for.
async fn edit(
    store: &Store,
    n: u16,
    close: bool,
    now: Timestamp,
    edit: impl FnOnce(&mut AssignmentSpec) + Send,
) {
    store
        .change_assignment::<Fine>(mac(n), None, "assignment.update", &by(now.0), |known| {
            let mut spec = known.assignment.spec.clone();
            edit(&mut spec);
            let boot = &known.assignment.boot;
            Ok((spec, if close { boot.disarm(now) } else { boot.clone() }))
        })
        .await
        .unwrap();
}

async fn life(store: Arc<Store>, seed: u64, steps: usize) -> usize {
    let site = Arc::new(Site::default());
    let mut dice = Dice(seed * 2_654_435_761 + 1);
    let mut reference = Reference::default();
    let mut now = 1_000 * DAY;
    let mut sessions = 0_u32;
    let mut ids = 0_u32;
    // Every first delivery: arm, whether it was armed as dangerous, when armed, when delivered.
    let mut firsts: Vec<Window> = Vec::new();
    let mut trace = Vec::new();
    store.create_profile("pw", &profile("wipe", true), &by(1)).await.unwrap();
    store.create_profile("ps", &profile("safe", false), &by(1)).await.unwrap();
    for n in 0..MACHINES {
        // Each machine has a profile of its own, so that profiles can turn dangerous one by one.
        store.create_profile(&format!("p{n}"), &profile(&format!("own-{n}"), n == 0), &by(1)).await.unwrap();
        let spec = machine(n, &format!("p{n}"));
        assert_eq!(spec.boot_policy, BootPolicy::Once);
        store.create_assignment(&format!("a{n}"), &spec, &BootRecord::default(), &by(1)).await.unwrap();
        reference.wipes.insert(n, n == 0);
        reference.protected.insert(n, false);
    }
    for step in 0..steps {
        let n = u16::try_from(dice.roll(u64::from(MACHINES))).unwrap();
        let t = Timestamp(now);
        let what = dice.roll(100);
        trace.push(format!("{step}: machine {n}, roll {what}, at {now}"));
        let context = || format!("seed {seed}\n{}", trace[trace.len().saturating_sub(40)..].join("\n"));
        match what {
            0..18 => {
                if reference.protected[&n] && dice.roll(2) == 0 {
                    edit(&store, n, false, t, |spec| spec.protected = false).await;
                    reference.protected.insert(n, false);
                }
                let armed = arm(&store, n, &site, t).await;
                assert_eq!(armed, !reference.protected[&n], "{}", context());
                if armed {
                    reference.close(n);
                    reference.arms += 1;
                    let (arm, dangerous) = (reference.arms, reference.wipes[&n]);
                    let window = Window {
                        arm,
                        armed_at: now,
                        dangerous,
                        first_menu: None,
                        scripts: 0,
                        deliveries: 0,
                        stage: Stage::Waiting,
                    };
                    reference.windows.insert(n, window);
                }
            }
            18..37 => {
                sessions += 1;
                let booted = menu(&store, n, sessions, &site, t).await;
                assert_eq!(booted, reference.boots(n, now), "menu: {}", context());
                if booted {
                    reference.menu(n, sessions, now);
                }
            }
            37..67 => {
                // One to four fetches at once, mostly of the newest tokens; two may be the same.
                if reference.tokens.is_empty() {
                    continue;
                }
                let count = 1 + dice.roll(4);
                let recent = reference.tokens.len().min(5) as u64;
                let picks: Vec<(u16, u32)> = (0..count)
                    .map(|_| {
                        let back = if dice.roll(8) == 0 { reference.tokens.len() as u64 } else { recent };
                        let token = &reference.tokens[reference.tokens.len() - 1 - dice.roll(back) as usize];
                        (token.machine, token.session)
                    })
                    .collect();
                let tasks: Vec<_> = picks
                    .iter()
                    .map(|&(machine, session)| {
                        let (store, site) = (store.clone(), site.clone());
                        tokio::spawn(async move { redeem(&store, machine, session, &site, t).await })
                    })
                    .collect();
                let mut outcomes = Vec::new();
                for task in tasks {
                    outcomes.push(task.await.unwrap());
                }
                // Their order is open. Some order has to give exactly these outcomes: firsts
                // come before what depends on them, so putting them first is that order.
                let mut order: Vec<usize> = (0..picks.len()).collect();
                order.sort_by_key(|i| match outcomes[*i] {
                    Redeemed::Repeat if reference.redeems_now(picks[*i].1, now) == Redeemed::Repeat => 0,
                    Redeemed::First => 1,
                    _ => 2,
                });
                for i in order {
                    let (machine, session) = picks[i];
                    let window = reference.windows.get(&machine).cloned();
                    let expected = reference.redeem(session, now);
                    assert_eq!(outcomes[i], expected, "redeem {session}: {}", context());
                    if expected == Redeemed::First {
                        let window = window.unwrap();
                        assert!(now < window.armed_at + 7 * DAY + 4 * HOUR, "{}", context());
                        assert!(now < window.first_menu.unwrap() + 4 * HOUR, "{}", context());
                        firsts.push(window);
                    }
                }
            }
            67..72 => {
                let Some(token) = reference.tokens.last().cloned() else { continue };
                let success = dice.roll(2) == 0;
                let reported = store
                    .report(session_id(token.session), t, |session, known| {
                        may_report(session, known, PEER)?;
                        let event = event(token.machine, EventKind::Installed, t);
                        Ok::<_, moxxie_core::boot::session::Refusal>((
                            event,
                            Some(known.assignment.boot.reported(success, t)),
                        ))
                    })
                    .await;
                if matches!(reported, Ok(Some(()))) {
                    reference.close(token.machine);
                }
            }
            72..84 => {
                now += match dice.roll(24) {
                    0 => 7 * DAY,
                    1..3 => 4 * HOUR - 1,
                    3..6 => 31 * MINUTE,
                    6..10 => 11 * MINUTE,
                    _ => MINUTE,
                };
            }
            84..87 => {
                let protect = !reference.protected[&n];
                edit(&store, n, protect, t, |spec| spec.protected = protect).await;
                reference.protected.insert(n, protect);
                if protect {
                    reference.close(n);
                }
            }
            87..91 => {
                // The profile itself turns dangerous or harmless; nothing is armed by that.
                let wipes = !reference.wipes[&n];
                let spec = profile(&format!("own-{n}"), wipes);
                store.update_profile(&format!("p{n}"), None, &spec, &by(now)).await.unwrap();
                if store.assignment(mac(n)).await.unwrap().unwrap().assignment.spec.boot_profile_id
                    == format!("p{n}")
                {
                    reference.wipes.insert(n, wipes);
                } else {
                    store
                        .update_profile(
                            &format!("p{n}"),
                            None,
                            &profile(&format!("own-{n}"), !wipes),
                            &by(now),
                        )
                        .await
                        .unwrap();
                }
            }
            91..94 => {
                edit(&store, n, true, t, |_| ()).await;
                reference.close(n);
            }
            94..96 => {
                let deleted = store.delete_assignment(mac(n), None, &by(now)).await;
                assert_eq!(deleted.is_err(), reference.protected[&n], "{}", context());
                if deleted.is_ok() {
                    ids += 1;
                    let spec = machine(n, &format!("p{n}"));
                    let id = format!("b{ids}");
                    store.create_assignment(&id, &spec, &BootRecord::default(), &by(now)).await.unwrap();
                    let own = store.profile(&format!("p{n}")).await.unwrap().unwrap().spec.destructive;
                    reference.wipes.insert(n, own);
                    reference.close(n);
                } else {
                    assert!(matches!(deleted, Err(StoreError::Conflict(_))));
                }
            }
            96..98 => {
                // Another profile, window left as it is.
                let to_wipe = dice.roll(2) == 0;
                edit(&store, n, false, t, |spec| {
                    spec.boot_profile_id = if to_wipe { "pw" } else { "ps" }.into();
                })
                .await;
                reference.wipes.insert(n, to_wipe);
            }
            _ => {
                store.settle(&site, t).await.unwrap();
                for n in 0..MACHINES {
                    let over = reference.windows.get(&n).is_some_and(|window| match window.stage {
                        Stage::Waiting => now >= window.armed_at + 7 * DAY,
                        Stage::Booting => window.first_menu.is_some_and(|at| now >= at + 4 * HOUR),
                        Stage::Delivered(at) => now >= at + 30 * MINUTE,
                    });
                    if over {
                        reference.windows.remove(&n);
                    }
                }
            }
        }
    }
    // The promises themselves, without the reference's idea of how they come about.
    let mut per_arm: HashMap<u32, u32> = HashMap::new();
    for window in &firsts {
        *per_arm.entry(window.arm).or_default() += 1;
    }
    for window in &firsts {
        let most = if window.dangerous { 1 } else { 3 };
        assert!(
            per_arm[&window.arm] <= most,
            "seed {seed}: arm {} delivered {} times",
            window.arm,
            per_arm[&window.arm]
        );
    }
    firsts.len()
}

impl Reference {
    fn redeems_now(&self, session: u32, now: i64) -> Redeemed {
        let token = self.tokens.iter().find(|token| token.session == session);
        token.map_or(Redeemed::Refused, |token| self.redeems(token, now))
    }
}

#[tokio::test]
async fn random_lives_keep_the_promises() {
    let mut deliveries = 0;
    for seed in 1..=8 {
        let store = Arc::new(crate::testing::open("sqlite::memory:").await.unwrap());
        store.migrate().await.unwrap();
        deliveries += life(store, seed, 300).await;
    }
    assert!(deliveries > 80, "{deliveries} deliveries tell too little");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lives_keep_the_promises_with_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(
        crate::testing::open(&format!("sqlite://{}/moxxie.db", dir.path().display())).await.unwrap(),
    );
    store.migrate().await.unwrap();
    assert!(life(store, 99, 400).await > 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lives_keep_the_promises_on_postgres() {
    let Some(server) = crate::testing::TestPostgres::start().await else { return };
    for seed in 201..=202 {
        let store = Arc::new(crate::testing::open(&server.database().await).await.unwrap());
        store.migrate().await.unwrap();
        assert!(life(store, seed, 400).await > 5);
    }
}
