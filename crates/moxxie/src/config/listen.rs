//! The listeners beside the main one: TLS, and one for people alone.

use super::Overrides;
use super::file;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The files that a TLS listener's identity comes from, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertFiles {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The further listeners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listen {
    /// Where machines are served over TLS.
    pub tls: Option<SocketAddr>,
    /// The certificate of every TLS listener.
    pub files: Option<CertFiles>,
    /// Where people are served, and nowhere else. Unset: on every listener.
    pub admin: Option<SocketAddr>,
    /// That one speaks TLS.
    pub admin_tls: bool,
}

impl Listen {
    /// What the file and the flags say together; an error names the key.
    pub fn of(
        tls: &file::Tls,
        admin: &file::Admin,
        given: &Overrides,
    ) -> Result<Listen, (&'static str, String)> {
        let cert = given.tls_cert.clone().or_else(|| tls.cert.as_ref().map(PathBuf::from));
        let key = given.tls_key.clone().or_else(|| tls.key.as_ref().map(PathBuf::from));
        let listen = Listen {
            tls: address("tls.listen", given.tls_listen, tls.listen.as_deref())?,
            files: match (cert, key) {
                (Some(cert), Some(key)) => Some(CertFiles { cert, key }),
                (Some(_), None) => return Err(("tls.key", "it is missing: tls.cert needs its key".into())),
                (None, Some(_)) => {
                    return Err(("tls.cert", "it is missing: tls.key alone says nothing".into()));
                }
                (None, None) => None,
            },
            admin: address("admin.listen", given.admin_listen, admin.listen.as_deref())?,
            admin_tls: admin.tls.unwrap_or(false),
        };
        if listen.admin_tls && listen.admin.is_none() {
            return Err(("admin.tls", "it needs admin.listen".into()));
        }
        if listen.needs_certificate() && listen.files.is_none() {
            let key = if listen.tls.is_some() { "tls.listen" } else { "admin.tls" };
            return Err((key, "it needs tls.cert and tls.key".into()));
        }
        Ok(listen)
    }

    /// Whether any listener speaks TLS.
    pub fn needs_certificate(&self) -> bool {
        self.tls.is_some() || self.admin_tls
    }
}

fn address(
    key: &'static str,
    given: Option<SocketAddr>,
    written: Option<&str>,
) -> Result<Option<SocketAddr>, (&'static str, String)> {
    match (given, written) {
        (Some(address), _) => Ok(Some(address)),
        (None, None) => Ok(None),
        // The text is not repeated: it may be something else put into the wrong place.
        (None, Some(text)) => match text.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err((key, "it is not an address such as 0.0.0.0:8443".into())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_is_asked_for_together() {
        let of = |toml: &str| {
            let file: file::FileConfig = toml::from_str(toml).unwrap();
            Listen::of(&file.tls, &file.admin, &Overrides::default())
        };
        assert_eq!(of(""), Ok(Listen::default()));
        let files = "cert = \"/c.pem\"\nkey = \"/k.pem\"\n";
        let both = of(&format!(
            "[tls]\nlisten = \"0.0.0.0:8443\"\n{files}[admin]\nlisten = \"127.0.0.1:0\"\ntls = true"
        ))
        .unwrap();
        assert!(both.needs_certificate() && both.admin_tls && both.admin.is_some_and(|a| a.port() == 0));
        assert!(!of("[admin]\nlisten = \"[::1]:8081\"").unwrap().needs_certificate());
        for (toml, key) in [
            ("[tls]\nlisten = \"0.0.0.0:8443\"".to_owned(), "tls.listen"),
            (format!("[tls]\nlisten = \"canary\"\n{files}"), "tls.listen"),
            ("[tls]\ncert = \"/c.pem\"".into(), "tls.key"),
            ("[tls]\nkey = \"/k.pem\"".into(), "tls.cert"),
            ("[admin]\nlisten = \"canary\"".into(), "admin.listen"),
            ("[admin]\ntls = true".into(), "admin.tls"),
            ("[admin]\nlisten = \"127.0.0.1:8081\"\ntls = true".into(), "admin.tls"),
        ] {
            let (named, why) = of(&toml).unwrap_err();
            assert_eq!(named, key, "{toml}");
            assert!(!why.contains("canary"));
        }
    }
}
