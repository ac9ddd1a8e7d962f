//! Backup here, restore there.

use super::*;
use crate::AuditFilter;

/// What `from` holds moves to `to`, whatever `to` held before.
pub(crate) async fn moves(from: &Store, to: &Store) {
    let site = Site::default();
    let t = Timestamp(1_000_000);
    for store in [from, to] {
        store.migrate().await.unwrap();
    }
    from.create_profile("p1", &profile("safe", false), &by(1)).await.unwrap();
    let asset = Asset { file: "vmlinuz".parse().unwrap(), sha256: Digest([1; 32]), size: 5, created_at: t };
    put(from, "p1", &asset, t).await.unwrap();
    for n in 1..=3 {
        let spec = AssignmentSpec { extra_macs: vec![mac(n + 10)], ..machine(n, "p1") };
        from.create_assignment(&format!("a{n}"), &spec, &armed(false, &site, t), &by(1)).await.unwrap();
    }
    start(from, 2, 2, &site, t).await;
    start(from, 3, 3, &site, t).await;
    let done = |_: &Session, known: &Known| {
        Ok::<_, Fine>((event(3, EventKind::Installed, t), Some(known.assignment.boot.reported(true, t))))
    };
    from.report(SessionId([3; 16]), t, done).await.unwrap();
    let token = ApiToken {
        id: "t1".into(),
        name: "ci".into(),
        role: Role::Viewer,
        hash: "00".into(),
        created_at: t,
        expires_at: None,
        last_used_at: None,
    };
    from.create_token(&token, &by(1)).await.unwrap();
    // The target has the same machine, further on, with a token out.
    to.create_profile("other", &profile("other", false), &by(1)).await.unwrap();
    to.create_assignment("a1", &machine(7, "other"), &armed(false, &site, t), &by(1)).await.unwrap();
    for _ in 0..5 {
        arm(to, 7, false, &site, t).await;
    }
    start(to, 7, 7, &site, t).await;

    let backup = from.backup().await.unwrap();
    assert_eq!((backup.shelves.len(), backup.assignments.len(), backup.audit_head.unwrap().seq), (1, 3, 6));
    let version = to.version().await.unwrap();
    let own = to.audit(None, 1).await.unwrap()[0].seq;
    to.restore(&backup, &by(9)).await.unwrap();
    let loaded = to.load(Some(version)).await.unwrap();
    assert_eq!(loaded.shelves.len(), 1, "everything is loaded again");
    let again = to.backup().await.unwrap();
    assert_eq!(again.shelves, backup.shelves);
    assert_eq!(again.tokens, backup.tokens);
    // The log stays the site's own, and knows the one of the backup.
    let restored = &to.audit(None, 1).await.unwrap()[0];
    assert_eq!((restored.seq, restored.action.as_str()), (own + 1, "restore"));
    let head = from.audit_log(&AuditFilter::default(), None, 1).await.unwrap()[0].hash;
    let after = restored.after.as_ref().unwrap();
    assert_eq!(after["audit_head"], format!("6:{head}"));
    assert_eq!(after["unsigned"], false);
    assert_eq!(to.verify_audit(None).await.unwrap().problem, None);
    for (new, old) in again.assignments.iter().zip(&backup.assignments) {
        assert_eq!(new.spec, old.spec);
        assert!(new.boot.generation > old.boot.generation);
        let state = if new.id == "a3" { BootState::Installed } else { BootState::Local };
        assert_eq!((new.boot.state, new.boot.attempts_left), (state, 0));
    }
    let first = &again.assignments[0];
    assert_eq!((first.boot.generation, first.revision), (7, 7), "past what the target had");
    for session in [2, 7] {
        assert_eq!(fetch(to, 2, session, 1, &site, t).await, None, "sessions are gone");
    }
}
