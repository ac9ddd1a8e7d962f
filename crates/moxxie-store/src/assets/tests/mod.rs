//! The store as its users see it, and everything that can happen to the bytes.
#![allow(clippy::disallowed_methods)]

mod faults;
mod folder;
mod kills;
mod remote;

use super::*;
use futures_util::FutureExt;
use sha2::{Digest as _, Sha256};
use std::os::unix::fs::FileExt;
use tokio::sync::broadcast::error::TryRecvError;

/// Bytes that look like nothing, different for each seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

pub async fn sealed(assets: &Assets, bytes: &[u8]) -> Sealed {
    let mut writer = assets.writer().await.unwrap();
    for chunk in bytes.chunks(100_000) {
        writer.write(chunk).await.unwrap();
    }
    let sealed = writer.seal(None).await.unwrap();
    assert_eq!((sealed.size, sealed.digest), (bytes.len() as u64, digest_of(bytes)));
    sealed
}

pub async fn put(assets: &Assets, bytes: &[u8]) -> Digest {
    let sealed = sealed(assets, bytes).await;
    let digest = sealed.digest;
    assets.publish(sealed).await.unwrap();
    digest
}

/// Reads as a machine does: behind what arrives.
pub async fn bytes_of(mut readable: Readable) -> Result<Vec<u8>, AssetError> {
    let mut bytes = vec![0; usize::try_from(readable.size).unwrap()];
    let mut offset = 0;
    while offset < readable.size {
        let there = match &mut readable.arriving {
            Some(arriving) => arriving.until(offset).await?,
            None => readable.size,
        };
        let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(there).unwrap());
        readable.file.read_exact_at(&mut bytes[from..to], offset).unwrap();
        offset = there;
    }
    Ok(bytes)
}

pub async fn fetch(assets: &Assets, digest: &Digest, size: usize) -> Result<Vec<u8>, AssetError> {
    bytes_of(assets.read(digest, size as u64).await?).await
}

/// Changes one bit on the disk. The time of the change is set apart from all others: within one
/// tick of the kernel's clock two changes may look like one.
pub fn flip(path: &Path, offset: u64, years: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
    let year = Duration::from_secs(365 * 24 * 3600);
    file.set_modified(std::time::UNIX_EPOCH + year * (40 + u32::try_from(years).unwrap())).unwrap();
}

/// The same bit, as a disk loses it: nobody wrote, so no time changed.
pub fn rot(path: &Path, offset: u64) {
    let before = std::fs::metadata(path).unwrap().modified().unwrap();
    flip(path, offset, 0);
    File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
}

/// The alarms that were raised until now.
pub fn heard(alarms: &mut broadcast::Receiver<Alarm>) -> Vec<Digest> {
    let mut heard = Vec::new();
    loop {
        match alarms.try_recv() {
            Ok(alarm) => heard.push(alarm.digest),
            Err(TryRecvError::Empty) => return heard,
            Err(error) => panic!("{error}"),
        }
    }
}

/// No waiting at all.
pub fn at_once() -> Box<Pace> {
    Box::new(|_| async {}.boxed())
}

/// Every file below a folder.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return files };
    for entry in entries {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(self::files(&path)),
            false => files.push(path),
        }
    }
    files
}
