//! What a machine makes the database keep does not grow with how often it asks.

use super::*;
use crate::boot::KEPT_SESSIONS;
use crate::db::args;
use crate::events::MOST_PROGRESS;
use std::net::IpAddr;

/// A menu of machine 1 from this address; its session is the number.
async fn menu(store: &Store, id: u8, ip: [u8; 4], site: &Site, now: Timestamp) {
    let claims = claims(1);
    let given = store.boot_alone::<(), Fine>(&claims, None, |view| {
        let known = view.by_mac.first().unwrap();
        let session = Session { ip: IpAddr::from(ip), ..session(id, known, site, now) };
        let after = known.assignment.boot.started(None, None, IpAddr::from(ip), site, now);
        Ok((Some(Begun::Start(Start { after, session, durable: None })), ()))
    });
    given.await.unwrap();
}

async fn sessions(store: &Store) -> i64 {
    let sql = "SELECT COUNT(*) AS n FROM boot_sessions";
    store.read().await.unwrap().row(sql, args![]).await.unwrap().unwrap().int("n").unwrap()
}

/// Expects an empty, migrated database.
pub(crate) async fn bounded(store: &Arc<Store>) {
    let site = Site::default();
    let at = |n: i64| Timestamp(1_000_000 + n);
    store.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    store.create_assignment("a1", &machine(1, "p1"), &armed(false, &site, at(0)), &by(1)).await.unwrap();
    // A machine was given a script, and somebody else asks in its name for a long time.
    menu(store, 1, [10, 0, 0, 5], &site, at(1)).await;
    for n in 2..=100 {
        menu(store, n, [10, 0, 0, 9], &site, at(n.into())).await;
    }
    assert_eq!(sessions(store).await, 1 + KEPT_SESSIONS);
    // Of those from there the newest are good, and the machine's own is.
    assert_eq!(fetch(store, 1, 92, 1, &site, at(200)).await, None);
    let guards = |n: u8| async move {
        let seen = store.report::<String>(SessionId([n; 16]), at(201), |session, _| {
            Err(format!("minted at {}", session.minted_at.0 - 1_000_000))
        });
        match seen.await {
            Err(StepError::Step(text)) => text,
            Ok(None) => "none".to_owned(),
            _ => "?".to_owned(),
        }
    };
    assert_eq!(
        [guards(1).await, guards(92).await, guards(93).await],
        ["minted at 1", "none", "minted at 93"]
    );
    assert_eq!(fetch(store, 1, 1, 1, &site, at(300)).await, Some(Redeemed::First));
    // A session whose config was fetched stays, however often somebody asks from its address.
    for n in 101..=130 {
        menu(store, n, [10, 0, 0, 5], &site, at(i64::from(n) + 300)).await;
    }
    assert_eq!(guards(1).await, "minted at 1");
    assert_eq!(sessions(store).await, 1 + 2 * KEPT_SESSIONS);

    // Reports of progress stand for themselves up to a number; the last one counts the others.
    let report = async |n: i64| {
        let step = |_: &Session, _: &Known| {
            let message = format!("{n} files");
            Ok::<_, Fine>((BootEvent { message, ..event(1, EventKind::Progress, at(1000 + n)) }, None))
        };
        assert!(matches!(store.report(SessionId([1; 16]), at(1000 + n), step).await, Ok(Some(()))));
    };
    for n in 1..=MOST_PROGRESS + 5 {
        report(n).await;
    }
    let kind = EventFilter { kind: Some(EventKind::Progress), ..EventFilter::default() };
    let told = store.events(&kind, None, 500).await.unwrap();
    assert_eq!(told.len() as i64, MOST_PROGRESS);
    assert_eq!((told[0].count, told[0].message.as_str(), told[0].at), (6, "65 files", at(1065)));
    assert_eq!((told[1].count, told[1].message.as_str()), (1, "59 files"));
}
