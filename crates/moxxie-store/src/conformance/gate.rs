//! Machines that wait for an operator: what is written when one asks, is approved, or is frozen.

use super::*;
use moxxie_core::boot::approval::{Asker, Waiting};
use moxxie_core::boot::event::BootEvent;

fn asker(site: &Site) -> Asker {
    Asker::new(&claims(70), std::net::IpAddr::from([10, 0, 0, 9]), site)
}

async fn hold(
    store: &Store,
    after: impl FnOnce(&BootRecord) -> BootRecord + Send,
    quarantine: Option<(By, BootEvent)>,
) {
    store
        .boot_alone::<(), Fine>(&claims(70), None, |view| {
            let assignment = &view.by_mac[0].assignment;
            let (assignment_id, after) = (assignment.id.clone(), after(&assignment.boot));
            Ok((Some(Begun::Held(Held { assignment_id, after, quarantine })), ()))
        })
        .await
        .unwrap();
}

/// Expects a profile `p1`; leaves nothing.
pub(crate) async fn gate(store: &Store, site: &Site) {
    let (t, who) = (Timestamp(5_000_000), asker(site));
    let ip = std::net::IpAddr::from([10, 0, 0, 9]);
    store.create_assignment("a70", &machine(70, "p1"), &armed(false, site, t), &by(1)).await.unwrap();
    let read = async || store.assignment(mac(70)).await.unwrap().unwrap().assignment;
    let new = Waiting { asker: who.clone(), uuid: None, ip, asked_at: t, seen_at: t };
    assert!(store.waiting(None, 10).await.unwrap().is_empty());

    hold(
        store,
        |boot| BootRecord { asking: boot.asking.asked(new.clone(), |_| false).unwrap(), ..boot.clone() },
        None,
    )
    .await;
    let waiting = store.waiting(None, 10).await.unwrap();
    assert!(store.waiting(Some(mac(70)), 10).await.unwrap().is_empty());
    assert_eq!((waiting.len(), waiting[0].boot.asking.waiting[0].ip), (1, ip));
    assert_eq!((read().await.boot.state, read().await.revision), (BootState::Armed, 1));

    // A word that is refused writes nothing; one that is taken writes record, audit and event.
    let refused = store.answer_approval::<(), _>(mac(70), &by(2), |_| Err("no")).await;
    assert!(matches!(refused, Err(StepError::Step("no"))));
    let (answered, told) = store
        .answer_approval::<_, Fine>(mac(70), &by(2), |known| {
            let asking = known.assignment.boot.asking.given(&who, t, t + site.boot_window);
            let after = BootRecord { asking, ..known.assignment.boot.clone() };
            let event = event(70, EventKind::ApprovalGiven, t);
            Ok((Answered { after, action: "assignment.approve", event }, 7))
        })
        .await
        .unwrap();
    assert!(answered.boot.asking.approves(&who, t) && told == 7);
    assert_eq!((read().await, answered.revision), (answered.clone(), 2));

    // A freeze closes the window and ends its sessions, and the flag is a change that `If-Match` sees.
    start(store, 70, 170, site, t).await;
    let quarantine = (by(3), event(70, EventKind::Quarantined, t));
    hold(store, |boot| boot.frozen("two ask".into(), t), Some(quarantine)).await;
    let frozen = read().await;
    assert_eq!((frozen.boot.state, frozen.spec.quarantined, frozen.revision), (BootState::Local, true, 3));
    assert_eq!(frozen.boot.asking.frozen.as_deref(), Some("two ask"));
    assert_eq!(fetch(store, 70, 170, 1, site, t).await, Some(Redeemed::Refused));
    let audit = store.audit(None, 2).await.unwrap();
    let actions: Vec<&str> = audit.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["assignment.quarantine", "assignment.approve"]);
    let filter = EventFilter { mac: Some(mac(70)), ..EventFilter::default() };
    let kinds: Vec<EventKind> =
        store.events(&filter, None, 9).await.unwrap().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Quarantined, EventKind::ApprovalGiven]);
    store.delete_assignment(mac(70), None, &by(4)).await.unwrap();
}
