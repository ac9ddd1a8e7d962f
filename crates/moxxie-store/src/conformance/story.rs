//! Every method, once.

use super::*;

/// Everything once, on an empty database.
pub(crate) async fn story(store: &Store) {
    let site = Site::default();
    let t = Timestamp(1_000_000);
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.ping().await.unwrap().is_none(), store.is_sqlite());

    profiles(store).await;
    assignments(store, &site, t).await;
    boots(store, &site, t).await;
    settling(store, &site, t).await;
    logs(store).await;
    tokens(store).await;
    applying(store).await;
    gate::gate(store, &site).await;
    newer_schema(store).await;
}

async fn profiles(store: &Store) {
    let v0 = store.version().await.unwrap();
    let made = store.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    assert_eq!(made.revision, 1);
    assert_eq!(store.profile("safe").await.unwrap(), Some(made.clone()));
    assert_eq!(store.profile("p1").await.unwrap(), Some(made));
    assert_eq!(store.profile("nothing").await.unwrap(), None);
    let v1 = store.version().await.unwrap();
    assert!(v1.version > v0.version && v1.full == v1.version);

    let again = store.create_profile("p2", &profile("safe", true), &by(1)).await;
    assert_eq!(again.unwrap_err().to_string(), "a profile named safe exists already");
    store.create_profile("p2", &profile("wipe", true), &by(1)).await.unwrap();
    store.create_profile("p3", &profile("unused", false), &by(1)).await.unwrap();
    let again = store.update_profile("p2", None, &profile("safe", true), &by(2)).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))));
    let stale = store.update_profile("p2", Some(7), &profile("wipe", true), &by(2)).await;
    assert!(matches!(stale, Err(StoreError::Stale)));
    let gone = store.update_profile("p9", None, &profile("x", true), &by(2)).await;
    assert!(matches!(gone, Err(StoreError::NotFound("profile"))));
    let mut spec = profile("wipe", true);
    spec.config_template = None;
    spec.menu = true;
    let updated = store.update_profile("p2", Some(1), &spec, &by(2)).await.unwrap();
    assert_eq!((updated.revision, updated.created_at, updated.updated_at), (2, Timestamp(1), Timestamp(2)));
    assert_eq!(store.profile("p2").await.unwrap().unwrap().spec, spec);
    store.update_profile("p2", Some(2), &profile("wipe", true), &by(2)).await.unwrap();

    let names = |page: Vec<Profile>| page.iter().map(|p| p.spec.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(store.profiles(None, 2).await.unwrap()), ["safe", "unused"]);
    assert_eq!(names(store.profiles(Some("unused"), 2).await.unwrap()), ["wipe"]);
    assert_eq!(names(store.profiles(Some("p3"), 2).await.unwrap()), ["wipe"], "an id is a cursor too");

    let kernel = |bytes| Asset {
        file: "vmlinuz".parse().unwrap(),
        sha256: Digest([bytes; 32]),
        size: i64::from(u32::MAX) + 1,
        created_at: Timestamp(3),
    };
    assert_eq!(put(store, "p1", &kernel(1), Timestamp(3)).await.unwrap(), None);
    assert_eq!(put(store, "p1", &kernel(2), Timestamp(3)).await.unwrap(), Some(kernel(1)));
    let gone = put(store, "p9", &kernel(2), Timestamp(3)).await;
    assert!(matches!(gone, Err(StoreError::NotFound("profile"))));
    assert_eq!(store.assets("p1").await.unwrap(), [kernel(2)]);
    let (safe, vmlinuz) = ("safe".parse().unwrap(), "vmlinuz".parse().unwrap());
    assert_eq!(store.asset(&safe, &vmlinuz).await.unwrap(), Some(kernel(2)));
    put(store, "p3", &kernel(3), Timestamp(3)).await.unwrap();
    assert_eq!(store.delete_asset("p3", &vmlinuz, &by(3)).await.unwrap(), kernel(3));
    let gone = store.delete_asset("p3", &vmlinuz, &by(3)).await;
    assert!(matches!(gone, Err(StoreError::NotFound("asset"))));
    put(store, "p3", &kernel(3), Timestamp(3)).await.unwrap();
    assert!(matches!(store.delete_profile("p3", Some(9), &by(4)).await, Err(StoreError::Stale)));
    store.delete_profile("p3", Some(1), &by(4)).await.unwrap();
    let unused = store.unused(Timestamp(1000), 10).await.unwrap();
    assert_eq!(
        unused,
        [Digest([1; 32]), Digest([3; 32])],
        "what was replaced, and what went with its profile"
    );
}

async fn assignments(store: &Store, site: &Site, t: Timestamp) {
    let before = store.load(None).await.unwrap();
    assert_eq!(before.shelves.len(), 2);
    let uuid = "4c4c4544-004b-3510-8051-b4c04f4c4d32";
    let swapped = "44454c4c-4b00-1035-8051-b4c04f4c4d32";
    let mut spec = machine(1, "p1");
    spec.extra_macs = vec![mac(11), mac(1)];
    spec.uuid = Some(uuid.parse().unwrap());
    spec.serial = moxxie_core::machine::Serial::known("7QK_1%4");
    spec.local_boot = Some(LocalBoot::Sanboot);
    let made = store.create_assignment("a1", &spec, &armed(false, site, t), &by(5)).await.unwrap();
    let known = store.assignment(mac(11)).await.unwrap().unwrap();
    assert_eq!(known.assignment, made);
    assert_eq!(known.shelf.assets.len(), 1);
    assert!(store.assignment(mac(99)).await.unwrap().is_none());
    store.create_assignment("a2", &machine(2, "p2"), &BootRecord::default(), &by(5)).await.unwrap();

    let refused = async |spec: AssignmentSpec| {
        store.create_assignment("a9", &spec, &BootRecord::default(), &by(5)).await.unwrap_err().to_string()
    };
    let text = refused(AssignmentSpec { mac_address: mac(11), ..machine(9, "p1") }).await;
    assert_eq!(text, "mac_address 52:54:00:00:00:0b belongs to node-1 already");
    let text = refused(AssignmentSpec { extra_macs: vec![mac(2)], ..machine(9, "p1") }).await;
    assert_eq!(text, "mac_address 52:54:00:00:00:02 belongs to node-2 already");
    let text = refused(AssignmentSpec { node_name: "node-2".parse().unwrap(), ..machine(9, "p1") }).await;
    assert_eq!(text, "node_name node-2 is the name of 52:54:00:00:00:02 already");
    let text = refused(AssignmentSpec { uuid: Some(swapped.parse().unwrap()), ..machine(9, "p1") }).await;
    assert_eq!(text, format!("uuid {swapped} belongs to node-1 already"));
    let text = refused(machine(9, "p9")).await;
    assert_eq!(text, "boot_profile_id p9: there is no such profile");
    let text = store.delete_profile("p2", None, &by(5)).await.unwrap_err().to_string();
    assert!(text.starts_with("profile wipe is assigned to node-2"), "{text}");

    // Only what changed is loaded again, unless a profile changed.
    let part = store.load(Some(before.version)).await.unwrap();
    assert_eq!((part.shelves.len(), part.assignments.len()), (0, 2));
    let none = store.load(Some(part.version)).await.unwrap();
    assert_eq!((none.version, none.assignments.len()), (part.version, 0));
    let stranger = Version { version: part.version.version + 5, full: part.version.full };
    assert_eq!(store.load(Some(stranger)).await.unwrap().shelves.len(), 2);

    let stale = store.change_assignment::<Fine>(mac(2), Some(7), "x", &by(6), |_| unreachable!()).await;
    assert!(matches!(stale, Err(StepError::Store(StoreError::Stale))));
    let refused = store.change_assignment(mac(2), None, "x", &by(6), |_| Err("no")).await;
    assert!(matches!(refused, Err(StepError::Step("no"))));
    let gone = store.change_assignment::<Fine>(mac(99), None, "x", &by(6), |_| unreachable!()).await;
    assert!(matches!(gone, Err(StepError::Store(StoreError::NotFound("assignment")))));
    let taken = store
        .change_assignment::<Fine>(mac(2), None, "x", &by(6), |known| {
            let spec = AssignmentSpec { mac_address: mac(1), ..known.assignment.spec.clone() };
            Ok((spec, known.assignment.boot.clone()))
        })
        .await;
    assert!(matches!(taken, Err(StepError::Store(StoreError::Conflict(_)))));
    assert_eq!(store.version().await.unwrap(), part.version, "what failed changed nothing");
    // A machine gets another MAC address, and the old one is free.
    let moved = store
        .change_assignment::<Fine>(mac(2), Some(1), "assignment.update", &by(6), |known| {
            let spec =
                AssignmentSpec { mac_address: mac(22), protected: true, ..known.assignment.spec.clone() };
            Ok((spec, known.assignment.boot.clone()))
        })
        .await
        .unwrap();
    assert_eq!((moved.revision, moved.updated_at), (2, Timestamp(6)));
    assert!(store.assignment(mac(2)).await.unwrap().is_none());
    assert_eq!(store.assignment(mac(22)).await.unwrap().unwrap().assignment, moved);
    let part = store.load(Some(part.version)).await.unwrap();
    assert_eq!(part.assignments, [moved]);

    let text = store.delete_assignment(mac(22), None, &by(6)).await.unwrap_err().to_string();
    assert!(text.contains("is protected"), "{text}");
    store.create_assignment("a3", &machine(3, "p1"), &BootRecord::default(), &by(6)).await.unwrap();
    assert!(matches!(store.delete_assignment(mac(3), Some(4), &by(6)).await, Err(StoreError::Stale)));
    store.delete_assignment(mac(3), Some(1), &by(6)).await.unwrap();
    assert!(matches!(store.delete_assignment(mac(3), None, &by(6)).await, Err(StoreError::NotFound(_))));
    let all = store.load(Some(part.version)).await.unwrap();
    assert_eq!((all.shelves.len(), all.assignments.len()), (2, 2), "a delete loads everything");

    let listed = async |filter: AssignmentFilter| -> Vec<String> {
        let page = store.assignments(&filter, None, 10).await.unwrap();
        page.into_iter().map(|a| a.id).collect()
    };
    let q = |q: &str| AssignmentFilter { q: Some(q.into()), ..AssignmentFilter::default() };
    assert_eq!(listed(AssignmentFilter::default()).await, ["a1", "a2"]);
    assert_eq!(listed(q("NODE-1")).await, ["a1"]);
    assert_eq!(listed(q("00:0B")).await, ["a1"], "a further MAC");
    assert_eq!(listed(q("5254.0000.0016")).await, ["a2"], "another spelling");
    assert_eq!(listed(q("4C4C45")).await, ["a1"]);
    assert_eq!(listed(q("K_1%4")).await, ["a1"], "the serial");
    for literal in ["%", "_", "!", "node_1", "n%1", "' OR 1=1 --", "\\"] {
        let expect: &[&str] = if matches!(literal, "%" | "_") { &["a1"] } else { &[] };
        assert_eq!(listed(q(literal)).await, expect, "{literal}");
    }
    assert_eq!(
        listed(AssignmentFilter { state: Some(BootState::Armed), ..Default::default() }).await,
        ["a1"]
    );
    assert_eq!(listed(AssignmentFilter { profile_id: Some("p2".into()), ..q("node") }).await, ["a2"]);
    let page = store.assignments(&AssignmentFilter::default(), Some(&mac(1).to_string()), 1).await.unwrap();
    assert_eq!(page[0].id, "a2");
    assert_eq!(store.assignments_of("p1").await.unwrap().len(), 1);
}

async fn boots(store: &Store, site: &Site, t: Timestamp) {
    // Two NICs and the UUID of one machine are one machine.
    let everything = BootClaims {
        other_macs: vec![mac(11), mac(22), mac(77)],
        uuid: Some("44454c4c-4b00-1035-8051-b4c04f4c4d32".parse().unwrap()),
        ..claims(1)
    };
    let wipe = "wipe".parse().unwrap();
    let view = store.boot_view(&everything, Some(&wipe)).await.unwrap();
    let ids = |view: &moxxie_core::boot::decide::BootView| -> Vec<String> {
        view.by_mac.iter().map(|known| known.assignment.id.clone()).collect()
    };
    assert_eq!(ids(&view), ["a1", "a2"]);
    assert_eq!(view.by_uuid.as_ref().unwrap().assignment.id, "a1");
    assert_eq!(view.offered.len(), 1);
    assert_eq!(view.offered[0].profile.spec.name.as_str(), "safe");
    assert_eq!(view.asked.as_ref().unwrap().profile.id, "p2");
    let nobody = store.boot_view(&claims(99), None).await.unwrap();
    assert!(nobody.by_mac.is_empty() && nobody.by_uuid.is_none() && nobody.asked.is_none());
    let locked =
        store.boot_alone::<_, Fine>(&everything, Some(&wipe), |view| Ok((None, view.clone()))).await.unwrap();
    assert_eq!(locked, view);

    // A step that errs, and one that starts nothing, write nothing.
    let refused = store.boot_alone::<(), _>(&claims(1), None, |_| Err("no")).await;
    assert!(matches!(refused, Err(StepError::Step("no"))));
    assert_eq!(store.assignment(mac(1)).await.unwrap().unwrap().assignment.boot.state, BootState::Armed);
    // A start for a machine that the claims do not point at is a mistake of the caller.
    let foreign = store
        .boot_alone::<(), Fine>(&claims(22), None, |_| {
            let session = session(99, &view.by_mac[0], site, t);
            Ok((Some(Start { after: BootRecord::default(), session, durable: None }.into()), ()))
        })
        .await;
    assert!(matches!(foreign, Err(StepError::Store(StoreError::NotFound(_)))));

    // A safe machine: two sessions; the second one's first use ends the first.
    start(store, 1, 1, site, t).await;
    start(store, 1, 2, site, t + Span::minutes(1)).await;
    let known = store.assignment(mac(1)).await.unwrap().unwrap().assignment;
    assert_eq!((known.boot.state, known.last_boot_at), (BootState::Booting, Some(t + Span::minutes(1))));
    assert_eq!(fetch(store, 1, 66, 1, site, t).await, None, "no such session");
    let t2 = t + Span::minutes(2);
    let refused = store.redeem::<(), _>(SessionId([2; 16]), site, t2, |session, known| {
        assert_eq!((session.revoked, session.first_used_at), (false, None));
        assert_eq!(known.shelf.profile.spec.name.as_str(), "safe");
        Err("no")
    });
    assert!(matches!(refused.await, Err(StepError::Step("no"))));
    assert_eq!(fetch(store, 1, 2, 1, site, t2).await, Some(Redeemed::First));
    assert_eq!(fetch(store, 1, 1, 1, site, t2).await, Some(Redeemed::Refused), "ended by the newer one");
    assert_eq!(fetch(store, 1, 2, 1, site, t2).await, Some(Redeemed::Repeat));
    assert_eq!(fetch(store, 1, 2, 9, site, t2).await, Some(Redeemed::Refused), "other bytes");
    let other = store.redeem::<(), Fine>(SessionId([2; 16]), site, t2, |session, _| {
        assert_eq!(session.first_used_at, Some(t2));
        Ok((delivery(1, 9, "user-data", t2), ()))
    });
    assert_eq!(other.await.unwrap(), Some((Redeemed::Repeat, ())), "another resource has its own bytes");
    let late = t2 + site.repeat_window;
    assert_eq!(fetch(store, 1, 2, 1, site, late).await, Some(Redeemed::Refused), "ten minutes are over");
    let known = store.assignment(mac(1)).await.unwrap().unwrap().assignment;
    assert_eq!((known.boot.state, known.boot.attempts_left), (BootState::Delivered, 2));
    let delivered = EventFilter { kind: Some(EventKind::ConfigDelivered), ..Default::default() };
    assert_eq!(store.events(&delivered, None, 10).await.unwrap().len(), 3, "one event per delivery");
    let audit = store.audit(None, 100).await.unwrap();
    assert_eq!(audit.iter().filter(|record| record.action == "config.deliver").count(), 3);

    // Reports: progress changes nothing, the final one ends the window and its sessions.
    let nothing = store.report::<Fine>(SessionId([66; 16]), t2, |_, _| unreachable!()).await.unwrap();
    assert_eq!(nothing, None);
    let version = store.version().await.unwrap();
    let progress = |_: &Session, _: &Known| Ok::<_, Fine>((event(1, EventKind::Progress, t2), None));
    assert_eq!(store.report(SessionId([2; 16]), t2, progress).await.unwrap(), Some(()));
    assert_eq!(store.version().await.unwrap(), version);
    let done = |_: &Session, known: &Known| {
        Ok::<_, Fine>((event(1, EventKind::Installed, t2), Some(known.assignment.boot.reported(true, t2))))
    };
    assert_eq!(store.report(SessionId([2; 16]), t2, done).await.unwrap(), Some(()));
    let part = store.load(Some(version)).await.unwrap();
    assert_eq!((part.shelves.len(), part.assignments.len()), (0, 1));
    assert_eq!(part.assignments[0].boot.state, BootState::Installed);
    assert_eq!(fetch(store, 1, 2, 1, site, t2).await, Some(Redeemed::Refused), "revoked");

    // An arm ends the sessions of the window before.
    arm(store, 1, false, site, t2).await;
    start(store, 1, 3, site, t2).await;
    arm(store, 1, false, site, t2).await;
    start(store, 1, 4, site, t2).await;
    assert_eq!(fetch(store, 1, 3, 1, site, t2).await, Some(Redeemed::Refused));
    let expired = t2 + site.boot_window;
    assert_eq!(fetch(store, 1, 4, 1, site, expired).await, Some(Redeemed::Refused));
    let last = Timestamp(expired.0 - 1);
    assert_eq!(fetch(store, 1, 4, 1, site, last).await, Some(Redeemed::First));

    // `always`: every session delivers, and attempts do not count.
    let spec = AssignmentSpec { boot_policy: BootPolicy::Always, ..machine(4, "p1") };
    store.create_assignment("a4", &spec, &BootRecord::default(), &by(7)).await.unwrap();
    for n in 40..44 {
        start(store, 4, n, site, t2).await;
        assert_eq!(fetch(store, 4, n, 1, site, t2).await, Some(Redeemed::First));
    }
}

async fn settling(store: &Store, site: &Site, t: Timestamp) {
    // Everything left over from before is settled first.
    store.settle(site, Timestamp(t.0 * 1_000_000)).await.unwrap();
    let t = Timestamp(t.0 * 1_000_000);
    for n in [51, 52, 53] {
        let id = format!("s{n}");
        store.create_assignment(&id, &machine(n, "p1"), &armed(false, site, t), &by(t.0)).await.unwrap();
    }
    start(store, 52, 52, site, t).await;
    // Asked again an hour later: a token that outlives the machine's window.
    start(store, 52, 54, site, t + Span::hours(1)).await;
    start(store, 53, 53, site, t).await;
    assert_eq!(fetch(store, 53, 53, 1, site, t).await, Some(Redeemed::First));
    let version = store.version().await.unwrap();
    assert_eq!(store.settle(site, t).await.unwrap(), []);
    assert_eq!(store.version().await.unwrap(), version, "nothing was due");

    let soon = t + site.settle;
    let [installed] = &store.settle(site, soon).await.unwrap()[..] else { panic!("one machine") };
    assert_eq!((installed.kind, installed.mac_address), (EventKind::Installed, Some(mac(53))));
    assert!(installed.message.contains("counted as installed"));
    let later = t + site.boot_window;
    let [expired] = &store.settle(site, later).await.unwrap()[..] else { panic!("one machine") };
    assert_eq!((expired.kind, expired.mac_address), (EventKind::WindowExpired, Some(mac(52))));
    assert!(
        expired.message.contains("node-52")
            && expired.message.contains("moxxie assignment arm 52:54:00:00:00:34")
    );
    assert_eq!(fetch(store, 52, 54, 1, site, later).await, Some(Redeemed::Refused), "its state says no");
    let end = t + site.arm_window;
    assert_eq!(store.settle(site, end).await.unwrap().len(), 1);
    assert_eq!(store.settle(site, end).await.unwrap(), []);
    let changed = store.load(Some(version)).await.unwrap().assignments;
    let states: Vec<BootState> = changed.iter().map(|a| a.boot.state).collect();
    assert_eq!(states, [BootState::Local, BootState::Local, BootState::Installed]);
    // Stored already: recording them again adds nothing.
    let before = store.events_after(0, 1000).await.unwrap().len();
    store.record_events(std::slice::from_ref(expired)).await.unwrap();
    assert_eq!(store.events_after(0, 1000).await.unwrap().len(), before);
}

async fn logs(store: &Store) {
    let last = store.events_after(0, 1000).await.unwrap().last().unwrap().id;
    let batch: Vec<BootEvent> = (0..123)
        .map(|i| {
            event(
                60 + i % 3,
                if i % 2 == 0 { EventKind::Local } else { EventKind::Progress },
                Timestamp(9_000 + i64::from(i)),
            )
        })
        .collect();
    store.record_events(&batch).await.unwrap();
    store.record_events(&[]).await.unwrap();
    let after = store.events_after(last, 1000).await.unwrap();
    assert_eq!(after.len(), 123);
    assert!(after.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert!(after.iter().zip(&batch).all(|(a, b)| BootEvent { id: 0, ..a.clone() } == *b));
    let filter =
        EventFilter { mac: Some(mac(60)), kind: Some(EventKind::Local), since: Some(Timestamp(9_060)) };
    let page = store.events(&filter, None, 5).await.unwrap();
    assert_eq!(page.len(), 5);
    let next = store.events(&filter, Some(page[4].id), 100).await.unwrap();
    assert_eq!(page.len() + next.len(), 11);
    // When a machine booted last is in its assignment; an older batch does not turn it back.
    let far = Timestamp(i64::MAX / 2);
    store
        .record_events(&[event(11, EventKind::Boot, far), event(11, EventKind::Boot, Timestamp(1))])
        .await
        .unwrap();
    store.record_events(&[event(1, EventKind::Boot, Timestamp(2))]).await.unwrap();
    assert_eq!(store.assignment(mac(1)).await.unwrap().unwrap().assignment.last_boot_at, Some(far));

    let seen = |n: u16, at: i64, product: Option<&str>| MachineSeen {
        mac_address: mac(n),
        uuid: None,
        serial: None,
        arch: None,
        platform: None,
        manufacturer: None,
        product: product.map(str::to_owned),
        ip: Some("10.0.0.9".into()),
        node_name: None,
        boot_profile: None,
        last_answer: Some("local".into()),
        first_seen_at: Timestamp(at),
        last_seen_at: Timestamp(at),
    };
    let batch: Vec<MachineSeen> = (0..20).map(|n| seen(100 + n, 100 + i64::from(n), Some("Box"))).collect();
    store.record_machines(&batch, 1000).await.unwrap();
    store.record_machines(&[seen(1, 1, None), seen(100, 500, None)], 10).await.unwrap();
    let all = store.machines(None, 100).await.unwrap();
    assert_eq!(all.len(), 11, "ten strangers and one that is assigned");
    assert_eq!((all[0].mac_address, all[0].first_seen_at), (mac(100), Timestamp(100)));
    assert_eq!(all[0].product.as_deref(), Some("Box"), "what is left out stays known");
    assert_eq!(all[1].mac_address, mac(119));
    assert_eq!(all[10].node_name.as_deref(), Some("node-1"));
    assert_eq!(all[10].boot_profile.as_deref(), Some("safe"));
    let next = store.machines(Some((all[1].last_seen_at, all[1].mac_address)), 100).await.unwrap();
    assert_eq!(next, all[2..]);
    // Assigned and seen, by whichever card; neither strangers nor who was never seen.
    store.record_machines(&[seen(11, 600, Some("Second card"))], 1000).await.unwrap();
    let assigned = store.assigned_machines().await.unwrap();
    let found: Vec<_> =
        assigned.iter().map(|m| (m.mac_address, m.node_name.as_deref(), m.product.as_deref())).collect();
    assert_eq!(found, [(mac(1), Some("node-1"), None), (mac(11), Some("node-1"), Some("Second card"))]);
    assert!(assigned.iter().all(|m| m.boot_profile.as_deref() == Some("safe")));
    // Where boot scripts went to, not where somebody said a name.
    let at = |ip: &str, since| store.machines_at(ip.parse().unwrap(), Timestamp(since));
    assert!(!at("10.0.0.9", 0).await.unwrap().contains(&mac(119)));
    assert!(at("10.0.0.9", 0).await.unwrap().contains(&mac(1)));
    assert!(at("10.0.0.9", i64::MAX).await.unwrap().is_empty());
    assert!(at("10.0.0.8", 0).await.unwrap().is_empty());

    let count = store.events_after(0, 1000).await.unwrap().len();
    let old = store.events_after(0, 1000).await.unwrap().iter().filter(|e| e.at < Timestamp(9_050)).count();
    store.prune(Timestamp(9_050), 1000, Timestamp(0)).await.unwrap();
    let left = store.events_after(0, 1000).await.unwrap();
    assert_eq!(left.len(), count - old);
    store.prune(Timestamp(0), 3, Timestamp(0)).await.unwrap();
    assert_eq!(store.events_after(0, 1000).await.unwrap(), left[left.len() - 3..], "the newest stay");
    store.prune(Timestamp(0), 3, Timestamp(0)).await.unwrap();
    assert_eq!(store.events_after(0, 1000).await.unwrap().len(), 3);

    // The audit log shows changes and no secrets.
    let record = AuditRecord {
        seq: 0,
        at: Timestamp(1),
        actor: "x".into(),
        action: "y".into(),
        target: "z".into(),
        peer: None,
        before: Some(json!(null)),
        after: Some(json!({"a": [1]})),
    };
    store.append_audit(&record).await.unwrap();
    let log = store.audit(None, 1000).await.unwrap();
    assert_eq!(log[0].after, record.after);
    assert!(log.windows(2).all(|pair| pair[0].seq > pair[1].seq));
    assert_eq!(store.audit(Some(log[3].seq), 2).await.unwrap(), log[4..6]);
    let text = serde_json::to_string(&log).unwrap();
    assert!(text.contains("profile.update") && text.contains("assignment.arm") && text.contains("asset.put"));
    assert!(text.contains("console=ttyS0") && text.contains("hmac:"));
    assert!(!text.contains("hunter2") && !text.contains("s3cret"));
}

async fn tokens(store: &Store) {
    let token = |n: u8| ApiToken {
        id: format!("t{n}"),
        name: format!("token {n}"),
        role: Role::Operator,
        hash: format!("{n:064}"),
        created_at: Timestamp(1),
        expires_at: (n == 1).then_some(Timestamp(9)),
        last_used_at: None,
    };
    for n in 1..=3 {
        store.create_token(&token(n), &by(8)).await.unwrap();
    }
    let again = store.create_token(&ApiToken { id: "t9".into(), hash: "h".into(), ..token(1) }, &by(8)).await;
    assert_eq!(again.unwrap_err().to_string(), "a token named token 1 exists already");
    let same =
        store.create_token(&ApiToken { name: "other".into(), id: "t9".into(), ..token(1) }, &by(8)).await;
    assert!(matches!(same, Err(StoreError::Conflict(_))));
    assert_eq!(store.token_by_hash(&token(1).hash).await.unwrap(), Some(token(1)));
    assert_eq!(store.token_by_hash("nothing").await.unwrap(), None);
    let minute = Span::minutes(1).0;
    for at in [minute, minute + 5, 2 * minute + 1] {
        store.touch_token("t1", Timestamp(at)).await.unwrap();
    }
    let used = store.token_by_hash(&token(1).hash).await.unwrap().unwrap().last_used_at;
    assert_eq!(used, Some(Timestamp(2 * minute + 1)));
    assert_eq!(store.tokens(None, 2).await.unwrap().len(), 2);
    assert_eq!(store.tokens(Some("token 2"), 2).await.unwrap(), [token(3)]);
    assert_eq!(store.tokens(Some("t2"), 2).await.unwrap(), [token(3)]);
    store.revoke_token("t3", &by(9)).await.unwrap();
    assert!(matches!(store.revoke_token("t3", &by(9)).await, Err(StoreError::NotFound("token"))));
    assert_eq!(store.token_by_hash(&token(3).hash).await.unwrap(), None);
}

async fn applying(store: &Store) {
    let revision = async |n| store.assignment(mac(n)).await.unwrap().unwrap().assignment.revision;
    let before = store.version().await.unwrap();
    // The last change fails, so nothing of it happens.
    let bad = [
        Change::CreateProfile { id: "p5".into(), spec: profile("fresh", false) },
        Change::CreateAssignment { id: "a5".into(), spec: machine(5, "p5"), boot: BootRecord::default() },
        Change::UpdateProfile { id: "p1".into(), expect: 99, spec: profile("safe", false) },
    ];
    assert!(matches!(store.apply(&bad, &by(10)).await, Err(StoreError::Stale)));
    assert_eq!(store.version().await.unwrap(), before);
    assert!(store.profile("fresh").await.unwrap().is_none());
    store.apply(&bad[..2], &by(10)).await.unwrap();
    // Two machines exchange their addresses and names.
    let swap = [
        Change::UpdateAssignment { id: "a5".into(), expect: 1, spec: machine(4, "p5"), disarm: false },
        Change::UpdateAssignment {
            id: "a4".into(),
            expect: revision(4).await,
            spec: machine(5, "p1"),
            disarm: true,
        },
    ];
    store.apply(&swap, &by(10)).await.unwrap();
    assert_eq!(store.assignment(mac(4)).await.unwrap().unwrap().assignment.id, "a5");
    let disarmed = store.assignment(mac(5)).await.unwrap().unwrap().assignment;
    // A finished install keeps saying so.
    let (state, generation) = (disarmed.boot.state, disarmed.boot.generation);
    assert_eq!((disarmed.id.as_str(), state, generation), ("a4", BootState::Installed, 1));
    assert!(matches!(store.apply(&swap, &by(10)).await, Err(StoreError::Stale)));
    let gone =
        [Change::UpdateAssignment { id: "a99".into(), expect: 1, spec: machine(98, "p1"), disarm: false }];
    assert!(matches!(store.apply(&gone, &by(10)).await, Err(StoreError::NotFound("assignment"))));
    store.apply(&[], &by(10)).await.unwrap();
}

async fn newer_schema(store: &Store) {
    let add = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
               SELECT 9999, 'from the future', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    let before = schema(store).await;
    let mut tx = store.write().await.unwrap();
    let newest = tx.row("SELECT MAX(version) AS v FROM _sqlx_migrations", args![]).await.unwrap();
    let newest = newest.unwrap().int("v").unwrap();
    tx.execute(add, args![]).await.unwrap();
    tx.commit().await.unwrap();
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 9999, known } if known == newest), "{error}");
    assert_eq!(schema(store).await, before);
    let mut tx = store.write().await.unwrap();
    tx.execute("DELETE FROM _sqlx_migrations WHERE version = 9999", args![]).await.unwrap();
    tx.commit().await.unwrap();
    store.migrate().await.unwrap();
}
