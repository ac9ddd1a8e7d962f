//! The folder of the uploads, without HTTP.

use super::*;
use std::os::unix::fs::PermissionsExt;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn folder() -> (tempfile::TempDir, Uploads) {
    let dir = tempfile::tempdir().unwrap();
    let uploads = Uploads::new(dir.path().join("uploads"));
    (dir, uploads)
}

fn files(dir: &tempfile::TempDir) -> usize {
    std::fs::read_dir(dir.path().join("uploads")).unwrap().count()
}

#[tokio::test]
async fn what_was_written_is_kept_whatever_becomes_of_the_writer() {
    let (dir, uploads) = folder();
    let made = uploads.create(10, None, NOW).await.unwrap();
    assert_eq!((made.offset, made.expires_at), (0, NOW + Span::hours(24)));
    let mut held = uploads.hold(&made.id, NOW).await.unwrap();
    assert!(matches!(uploads.hold(&made.id, NOW).await, Err(UploadError::Busy)));
    held.write(b"0123").await.unwrap();
    // Dropped as when the client goes away, with the write still under way.
    drop(held);
    let mut held = loop {
        match uploads.hold(&made.id, NOW).await {
            Err(UploadError::Busy) => tokio::task::yield_now().await,
            held => break held.unwrap(),
        }
    };
    assert_eq!(held.upload().offset, 4);
    assert!(matches!(held.whole().await, Err(UploadError::Offset(4))));
    assert!(matches!(held.write(b"4567890").await, Err(UploadError::TooLong(10))));
    held.write(b"456789").await.unwrap();
    assert_eq!(held.settle(NOW + Span::hours(1)).await.unwrap().offset, 10);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut held.whole().await.unwrap(), &mut text).unwrap();
    assert_eq!(text, "0123456789");
    drop(held);
    assert_eq!(uploads.get(&made.id, NOW).await.unwrap().expires_at, NOW + Span::hours(25));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("uploads")), 0o700);
    assert_eq!((mode(&uploads.data(&made.id)), mode(&uploads.note(&made.id))), (0o600, 0o600));
    uploads.hold(&made.id, NOW).await.unwrap().delete().await;
    assert!(matches!(uploads.get(&made.id, NOW).await, Err(UploadError::Unknown)));
    assert_eq!(files(&dir), 0);
}

#[tokio::test]
async fn what_is_given_up_is_swept_and_what_lives_is_not() {
    let (dir, uploads) = folder();
    assert_eq!(uploads.sweep(NOW).await.unwrap(), 0, "there need not be a folder");
    let old = uploads.create(10, None, NOW).await.unwrap();
    let busy = uploads.create(10, None, NOW).await.unwrap();
    let later = NOW + Span::hours(24);
    let new = uploads.create(10, None, later).await.unwrap();
    let held = uploads.hold(&busy.id, NOW).await.unwrap();
    assert!(matches!(uploads.get(&old.id, later).await, Err(UploadError::Unknown)));
    assert!(matches!(uploads.hold(&old.id, later).await, Err(UploadError::Unknown)));
    // A crash between two files, and a note that is no note.
    std::fs::write(uploads.dir.join(new_id()), b"bytes without a note").unwrap();
    std::fs::write(uploads.dir.join(format!("{}.new", new_id())), b"{").unwrap();
    std::fs::write(uploads.dir.join(format!("{}.json", new_id())), b"{\"size\":").unwrap();
    std::fs::write(uploads.dir.join("README"), b"not ours").unwrap();
    assert_eq!(uploads.sweep(later).await.unwrap(), 4);
    uploads.get(&new.id, later).await.unwrap();
    assert_eq!(files(&dir), 5, "the new one, the busy one, and what is not ours");
    drop(held);
    assert_eq!(uploads.sweep(later).await.unwrap(), 1);
}

#[tokio::test]
async fn there_may_be_so_many() {
    let (_dir, uploads) = folder();
    let many = futures_util::future::join_all((0..MOST + 9).map(|_| uploads.create(1, None, NOW))).await;
    assert_eq!(many.iter().filter(|made| made.is_ok()).count(), MOST);
    assert!(matches!(uploads.create(1, None, NOW).await, Err(UploadError::TooMany)));
    assert_eq!(uploads.sweep(NOW + Span::hours(24)).await.unwrap(), MOST as u64);
    uploads.create(1, None, NOW).await.unwrap();
}

#[test]
fn only_our_own_spelling_is_a_name() {
    let id = new_id();
    assert_eq!(id.parse::<UploadId>().unwrap().to_string(), id);
    let (upper, simple) = (id.to_uppercase(), id.replace('-', ""));
    for bad in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "lock",
        "\0",
        &upper,
        &simple,
        &format!("{{{id}}}"),
        &format!("{id}.json"),
    ] {
        assert!(bad.parse::<UploadId>().is_err(), "{bad}");
    }
}
