//! What happens at the same time.

use super::*;

/// Expects an empty, migrated database.
pub(crate) async fn races(store: &Arc<Store>) {
    let site = Arc::new(Site::default());
    let t = Timestamp(1_000_000);
    store.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    store.create_profile("p2", &profile("wipe", true), &by(1)).await.unwrap();

    // One token, 64 at once: one first, as many repeats as are allowed.
    store.create_assignment("a1", &machine(1, "p2"), &armed(true, &site, t), &by(1)).await.unwrap();
    start(store, 1, 1, &site, t).await;
    let outcomes = together((0..64).map(|_| (1, 1)), store, &site, t).await;
    let count = |outcomes: &[Redeemed], what| outcomes.iter().filter(|o| **o == what).count();
    assert_eq!(count(&outcomes, Redeemed::First), 1);
    assert_eq!(count(&outcomes, Redeemed::Repeat), usize::try_from(site.repeat_uses).unwrap());
    assert_eq!(outcomes.len(), 64);

    // Several tokens of one arm of a machine that would be erased: one is delivered.
    for round in 0..20_u8 {
        arm(store, 1, true, &site, t).await;
        let sessions: Vec<u8> = (0..3).map(|i| 2 + round * 3 + i).collect();
        for session in &sessions {
            start(store, 1, *session, &site, t).await;
        }
        let outcomes = together(sessions.iter().map(|s| (1, *s)), store, &site, t).await;
        assert_eq!(count(&outcomes, Redeemed::First), 1, "{outcomes:?}");
        assert_eq!(count(&outcomes, Redeemed::Refused), 2, "{outcomes:?}");
    }

    // Fifty writers of different things, and nobody hears of locks. One MAC goes to one of them.
    let tasks: Vec<_> = (100..150)
        .map(|n: u16| {
            let store = store.clone();
            tokio::spawn(async move {
                let spec = AssignmentSpec { extra_macs: vec![mac(9)], ..machine(n, "p1") };
                let made =
                    store.create_assignment(&format!("x{n}"), &spec, &BootRecord::default(), &by(2)).await;
                if let Err(StoreError::Conflict(_)) = made {
                    let spec = machine(n, "p1");
                    store.create_assignment(&format!("x{n}"), &spec, &BootRecord::default(), &by(2)).await?;
                    return Ok(false);
                }
                store.record_events(&[event(n, EventKind::Local, Timestamp(1))]).await?;
                made.map(|_| true)
            })
        })
        .collect();
    let mut got_it = 0;
    for task in tasks {
        got_it += usize::from(task.await.unwrap().unwrap());
    }
    assert_eq!(got_it, 1);
    assert_eq!(store.assignments(&AssignmentFilter::default(), None, 500).await.unwrap().len(), 51);

    // Whoever follows the version sees every change, whoever made it and in whatever order.
    let since = store.version().await.unwrap();
    let writers: Vec<_> = (100..110)
        .map(|n: u16| {
            let (store, site) = (store.clone(), site.clone());
            tokio::spawn(async move {
                for _ in 0..5 {
                    arm(&store, n, false, &site, t).await;
                }
            })
        })
        .collect();
    let mut seen = std::collections::HashMap::new();
    let mut version = since;
    while seen.len() < 10 || seen.values().any(|generation| *generation < 5) {
        let loaded = store.load(Some(version)).await.unwrap();
        version = loaded.version;
        seen.extend(loaded.assignments.into_iter().map(|a| (a.id, a.boot.generation)));
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        if writers.iter().all(|w| w.is_finished()) {
            let loaded = store.load(Some(version)).await.unwrap();
            seen.extend(loaded.assignments.into_iter().map(|a| (a.id, a.boot.generation)));
            assert!(seen.len() == 10 && seen.values().all(|generation| *generation == 5), "{seen:?}");
        }
    }
    // A request that is given up midway leaves neither a lock nor a half change behind.
    for i in 0..40_u64 {
        let change = arm(store, 100, false, &site, t);
        tokio::time::timeout(std::time::Duration::from_micros(50 * i), change).await.ok();
    }
    arm(store, 100, false, &site, t).await;
    let known = store.assignment(mac(100)).await.unwrap().unwrap().assignment;
    assert_eq!(known.boot.generation + 1, known.revision);
}

async fn together(
    what: impl Iterator<Item = (u16, u8)>,
    store: &Arc<Store>,
    site: &Arc<Site>,
    now: Timestamp,
) -> Vec<Redeemed> {
    let tasks: Vec<_> = what
        .map(|(n, session)| {
            let (store, site) = (store.clone(), site.clone());
            tokio::spawn(async move { fetch(&store, n, session, 1, &site, now).await.unwrap() })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}
