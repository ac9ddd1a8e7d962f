//! The certificate that TLS listeners show. It is replaced while they run; what cannot be used is
//! refused, and the one before stays.

use super::expiry::not_after;
use crate::config::CertFiles;
use arc_swap::ArcSwapOption;
use moxxie_core::time::Timestamp;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error as RustlsError, InconsistentKeys};

/// Why a certificate cannot be used. What the files hold is never repeated: one of them is a key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: no {what} in it; it must be PEM", path.display())]
    Lacks {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// rustls cannot use them.
    #[error("{}: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Certificate and key do not belong together.
    #[error("{} is not the key of {}", key.display(), cert.display())]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// It is no longer valid.
    #[error("{}: it expired at {at}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When.
        at: Timestamp,
    },
}

/// A certificate with its key, ready for use.
#[derive(Debug, Clone)]
pub struct Loaded {
    certified: Arc<CertifiedKey>,
    /// The end of its time.
    pub not_after: Timestamp,
    path: PathBuf,
    stamp: Stamp,
}

impl Loaded {
    /// Reads both files. An expired certificate is read as any other.
    pub fn read(files: &CertFiles) -> Result<Loaded, CertificateError> {
        // Before the bytes: a change in between is seen by the next look.
        let stamp = Stamp::of(files);
        let CertFiles { cert, key } = files;
        let lacks = |path: &Path, what| CertificateError::Lacks { path: path.to_owned(), what };
        let chain = CertificateDer::pem_slice_iter(&bytes(cert)?)
            .collect::<Result<Vec<_>, PemError>>()
            .map_err(|_| lacks(cert, "certificate"))?;
        let private = PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(|_| lacks(key, "private key"))?;
        let leaf = chain.first().ok_or_else(|| lacks(cert, "certificate"))?;
        let not_after = not_after(leaf).ok_or_else(|| lacks(cert, "certificate"))?;
        let certified =
            CertifiedKey::from_der(chain, private, &default_provider()).map_err(|error| match error {
                RustlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    CertificateError::Mismatch { cert: cert.clone(), key: key.clone() }
                }
                RustlsError::InvalidCertificate(why) => {
                    CertificateError::Unusable { path: cert.clone(), why: why.to_string() }
                }
                _ => CertificateError::Unusable {
                    path: key.clone(),
                    why: "the key is of no usable kind: RSA of 2048 bits or more, ECDSA or Ed25519".into(),
                },
            })?;
        Ok(Loaded { certified: Arc::new(certified), not_after, path: cert.clone(), stamp })
    }

    /// An error when its time is over.
    pub fn valid(&self, now: Timestamp) -> Result<(), CertificateError> {
        match now >= self.not_after {
            true => Err(CertificateError::Expired { path: self.path.clone(), at: self.not_after }),
            false => Ok(()),
        }
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|error| CertificateError::Read { path: path.to_owned(), error })
}

/// By what a change of the files is seen: `(inode, seconds, nanoseconds, size)` of each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp([Option<(u64, i64, i64, u64)>; 2]);

impl Stamp {
    fn of(files: &CertFiles) -> Stamp {
        let of = |path: &Path| {
            let file = std::fs::metadata(path).ok()?;
            Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
        };
        Stamp([of(&files.cert), of(&files.key)])
    }
}

/// What is shown now. Nothing at first: then no handshake succeeds.
#[derive(Debug, Default)]
pub struct Certificate {
    shown: ArcSwapOption<CertifiedKey>,
    /// The files as they were looked at last, whether they could be used or not.
    seen: Mutex<Option<Stamp>>,
}

impl Certificate {
    /// Shows this one from now on.
    pub fn show(&self, loaded: Loaded) {
        metrics::gauge!("moxxie_tls_cert_expires_seconds").set(loaded.not_after.0 as f64 / 1000.0);
        metrics::gauge!("moxxie_tls_reload_failed").set(0.0);
        self.saw(loaded.stamp);
        self.shown.store(Some(loaded.certified));
    }

    /// Reads the files again and shows what they hold. After an error, which is in the log and in
    /// the metrics by then, the one before is shown on.
    pub fn replace(&self, files: &CertFiles, now: Timestamp) -> Result<(), CertificateError> {
        let stamp = Stamp::of(files);
        let loaded = Loaded::read(files).and_then(|loaded| loaded.valid(now).map(|()| loaded));
        match loaded {
            Ok(loaded) => {
                let same = self.shown.load().as_ref().is_some_and(|old| old.cert == loaded.certified.cert);
                if !same {
                    tracing::info!(expires = %loaded.not_after, "TLS shows another certificate");
                }
                self.show(loaded);
                Ok(())
            }
            Err(error) => {
                metrics::gauge!("moxxie_tls_reload_failed").set(1.0);
                tracing::error!(%error, "the certificate was not replaced: the one before is shown on");
                self.saw(stamp);
                Err(error)
            }
        }
    }

    /// The same, but only when the files have changed since they were looked at.
    pub fn look(&self, files: &CertFiles, now: Timestamp) -> Result<(), CertificateError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match seen == Some(Stamp::of(files)) {
            true => Ok(()),
            false => self.replace(files, now),
        }
    }

    /// Whether there is anything to show.
    pub fn is_shown(&self) -> bool {
        self.shown.load().is_some()
    }

    fn saw(&self, stamp: Stamp) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.shown.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    /// Certificate and key, both PEM.
    fn pair(until: i32) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec!["moxxie.test".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.shown.load_full().unwrap().cert[0].to_vec()
    }

    #[test]
    fn what_cannot_be_used_leaves_the_one_before() {
        let now = Timestamp::parse(NOW).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = CertFiles { cert: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        let write = |cert: &str, key: &str| {
            std::fs::write(&files.cert, cert).unwrap();
            std::fs::write(&files.key, key).unwrap();
        };
        let certificate = Certificate::default();
        assert!(matches!(certificate.replace(&files, now), Err(CertificateError::Read { .. })));
        assert!(!certificate.is_shown());

        let (first, second, old) = (pair(2030), pair(2031), pair(2026));
        write(&first.0, &first.1);
        certificate.replace(&files, now).unwrap();
        let before = shown(&certificate);
        let cut = &second.0[..second.0.len() / 2];
        for (what, cert, key, named) in [
            ("no certificate", "garbage canary", &*second.1, "c.pem: no certificate"),
            ("an empty file", "", &second.1, "c.pem: no certificate"),
            ("half a certificate", cut, &second.1, "c.pem: no certificate"),
            ("no key", &second.0, "-----BEGIN canary", "k.pem: no private key"),
            ("the key as certificate", &second.1, &second.1, "c.pem: no certificate"),
            ("another's key", &second.0, &first.1, "k.pem is not the key of"),
            ("expired", &old.0, &old.1, "it expired at 2026-01-01"),
        ] {
            write(cert, key);
            let error = certificate.look(&files, now).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("canary"), "{what}: {error}");
            assert_eq!(shown(&certificate), before, "{what}");
            assert!(certificate.look(&files, now).is_ok(), "{what}: said once");
        }
        write(&second.0, &second.1);
        certificate.look(&files, now).unwrap();
        assert_ne!(shown(&certificate), before);
    }
}
