//! The chapter on the loaders' shelf.

use super::*;
use moxxie_core::loader::{Loader, Purpose};

const DAY: Span = Span::days(1);

pub(crate) fn loader(name: &str, sha256: Digest, size: i64, at: Timestamp) -> Loader {
    Loader {
        name: name.parse().unwrap(),
        sha256,
        size,
        purpose: Purpose::X64,
        source: "from 'somewhere'".into(),
        version: Some("2.0.0".into()),
        created_at: at,
    }
}

/// Expects a migrated database whose labels name none of the bytes from 80 on.
pub(crate) async fn loaders(store: &Store) {
    let t = Timestamp(3_000_000);
    for digest in store.unused(t, 10).await.unwrap() {
        let lease = store.collect_begin(&digest, t).await.unwrap().unwrap();
        store.collect_end(&digest, lease).await.unwrap();
    }
    let (one, two) = (Digest([80; 32]), Digest([81; 32]));
    let put = async |name: &str, digest: Digest| {
        let arrival = store.arrive(&digest, 5, t, t + DAY).await?;
        store.put_loader(&loader(name, digest, 5, t), &arrival, &by(t.0)).await
    };

    // Labels like any other: their bytes stay until the last one is gone.
    let version = store.version().await.unwrap();
    assert_eq!(put("ipxe.efi", one).await.unwrap(), None);
    assert_eq!(put("ipxe-2.efi", one).await.unwrap(), None);
    assert_eq!(store.version().await.unwrap(), version, "no menu depends on them");
    assert_eq!(store.unused(t + DAY, 10).await.unwrap(), []);
    assert_eq!(store.collect_begin(&one, t + DAY).await.unwrap(), None);
    let kept = store.loader(&"ipxe.efi".parse().unwrap()).await.unwrap();
    assert_eq!(kept, Some(loader("ipxe.efi", one, 5, t)));
    assert_eq!(store.loader(&"other".parse().unwrap()).await.unwrap(), None);

    // Replaced: the log has both digests.
    let old = put("ipxe.efi", two).await.unwrap().unwrap();
    assert_eq!(old.sha256, one);
    let record = &store.audit(None, 1).await.unwrap()[0];
    assert_eq!((record.action.as_str(), record.target.as_str()), ("firmware.put", "firmware ipxe.efi"));
    let (before, after) = (record.before.as_ref().unwrap(), record.after.as_ref().unwrap());
    assert_eq!((&before["sha256"], &after["sha256"]), (&json!(one), &json!(two)));
    assert_eq!((&after["for"], &after["version"]), (&json!("x64"), &json!("2.0.0")));

    let names = |loaders: Vec<Loader>| loaders.iter().map(|l| l.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(store.loaders(None, 10).await.unwrap()), ["ipxe-2.efi", "ipxe.efi"]);
    assert_eq!(names(store.loaders(None, 1).await.unwrap()), ["ipxe-2.efi"]);
    assert_eq!(names(store.loaders(Some("ipxe-2.efi"), 10).await.unwrap()), ["ipxe.efi"]);

    // A backup neither holds them nor takes them away.
    let backup = store.backup().await.unwrap();
    store.restore(&backup, &by(t.0)).await.unwrap();
    assert_eq!(store.loaders(None, 10).await.unwrap().len(), 2);

    // Bytes that are just being deleted, an arrival that is used up or another file's.
    let arrival = store.arrive(&one, 5, t, t + DAY).await.unwrap();
    let wrong = store.put_loader(&loader("x", two, 5, t), &arrival, &by(t.0)).await;
    assert!(matches!(wrong, Err(StoreError::Busy)));
    store.put_loader(&loader("x", one, 5, t), &arrival, &by(t.0)).await.unwrap();
    let again = store.put_loader(&loader("y", one, 5, t), &arrival, &by(t.0)).await;
    assert!(matches!(again, Err(StoreError::Busy)));

    for name in ["ipxe.efi", "ipxe-2.efi", "x"] {
        let gone = store.delete_loader(&name.parse().unwrap(), &by(t.0)).await.unwrap();
        assert_eq!(gone.name.as_str(), name);
    }
    let record = &store.audit(None, 1).await.unwrap()[0];
    assert_eq!((record.action.as_str(), record.after.is_none()), ("firmware.delete", true));
    assert_eq!(record.before.as_ref().unwrap()["sha256"], json!(one));
    let twice = store.delete_loader(&"x".parse().unwrap(), &by(t.0)).await;
    assert!(matches!(twice, Err(StoreError::NotFound("loader"))));
    assert_eq!(store.unused(t, 10).await.unwrap(), [one, two]);
    let lease = store.collect_begin(&one, t).await.unwrap().unwrap();
    assert!(matches!(put("z", one).await, Err(StoreError::Busy)));
    store.collect_end(&one, lease).await.unwrap();
}
