//! `[access]`: who may ask, and which proxies are believed about who asks.

use super::file::Access;
use moxxie_core::net::Networks;
use std::net::IpAddr;

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessConfig {
    /// Networks that may use the boot routes.
    pub allow: Networks,
    /// Networks that may use everything else, but for the health checks, which are open.
    pub api: Networks,
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Networks,
    /// Those proxies begin each connection with a PROXY protocol header.
    pub proxy_protocol: bool,
}

impl Default for AccessConfig {
    fn default() -> AccessConfig {
        AccessConfig {
            allow: Networks::private(),
            api: Networks::private(),
            trusted_proxies: Networks::default(),
            proxy_protocol: false,
        }
    }
}

/// How a connection from some address begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// With HTTP.
    Directly,
    /// With a PROXY protocol header, always.
    WithHeader,
    /// Not at all: only the proxies may connect.
    Never,
}

impl AccessConfig {
    /// Reads the section; an error names the key. `provisioning` belongs to the site.
    pub fn from_file(file: Access) -> Result<AccessConfig, (&'static str, String)> {
        let read = |key, texts: Option<Vec<String>>, default: Networks| match texts {
            Some(texts) => Networks::read(&texts).map_err(|why| (key, why.to_string())),
            None => Ok(default),
        };
        let access = AccessConfig {
            allow: read("access.allow", file.allow, Networks::private())?,
            api: read("access.api", file.api, Networks::private())?,
            trusted_proxies: read("access.trusted_proxies", file.trusted_proxies, Networks::default())?,
            proxy_protocol: file.proxy_protocol.unwrap_or(false),
        };
        if access.trusted_proxies.is_any() {
            let why = "with every address in it anybody could pass for anybody; list your proxies";
            return Err(("access.trusted_proxies", why.into()));
        }
        if access.proxy_protocol && access.trusted_proxies.is_empty() {
            let why = "nobody could connect; list the proxies in access.trusted_proxies";
            return Err(("access.proxy_protocol", why.into()));
        }
        Ok(access)
    }

    /// How a connection from this address begins. The address alone decides: a listener that
    /// guessed by the first bytes would believe everybody (section 5 of the protocol's text). This
    /// machine itself needs no header, so that its operator cannot be locked out.
    pub fn begins(&self, ip: IpAddr) -> Begins {
        match self.proxy_protocol {
            false => Begins::Directly,
            true if self.trusted_proxies.contains(ip) => Begins::WithHeader,
            true if ip.to_canonical().is_loopback() => Begins::Directly,
            true => Begins::Never,
        }
    }

    /// Whether this address may use the API. The machine itself always may.
    pub fn may_use_api(&self, ip: IpAddr) -> bool {
        ip.to_canonical().is_loopback() || self.api.contains(ip)
    }
}

/// How the author of a change came here.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    /// The other end of the connection.
    pub socket: IpAddr,
    /// Whom the request would be from after the change; none: it could not be read.
    pub client: Option<IpAddr>,
    /// By the listener for people, where no PROXY header is read.
    pub by_own_door: bool,
}

/// Why a change must not be made by its author: afterwards nobody who comes the same way could undo
/// it.
pub fn locks_out(old: &AccessConfig, new: &AccessConfig, author: Came) -> Option<String> {
    let help = "or make the change on the server itself, over its loopback address or by SIGHUP";
    // Behind a PROXY header the other end is whom the header names, and the proxy stays as it is.
    let begins =
        if author.by_own_door || old.proxy_protocol { Begins::Directly } else { new.begins(author.socket) };
    let socket = author.socket.to_canonical();
    let why = match (begins, author.client.map(|ip| ip.to_canonical())) {
        (Begins::Never, _) => format!(
            "with access.proxy_protocol only listed proxies can connect, and your connection comes from {socket}: come through the proxy"
        ),
        (Begins::WithHeader, _) => format!(
            "{socket} is among access.trusted_proxies and would have to send a PROXY header: come through the proxy"
        ),
        (_, None) => {
            "your request's forwarding headers could not be read any more: mend access.trusted_proxies"
                .to_owned()
        }
        (_, Some(client)) if !new.may_use_api(client) => {
            format!("{client} is not in access.api: add its network")
        }
        _ => return None,
    };
    Some(format!("this would lock you out: {why}, {help}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn load(toml: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("moxxie.toml"), toml).unwrap();
        let given = Overrides { data_dir: Some(dir.path().to_owned()), ..Overrides::default() };
        Config::load(given).map_err(|error| error.to_string())
    }

    #[test]
    fn every_list_is_read_strictly() {
        let config = load("").unwrap();
        assert_eq!(*config.access, AccessConfig::default());
        assert_eq!(config.site.provisioning, Networks::private());
        let config = load("[access]\nallow = [\"10.0.0.0/8\"]\napi = [\"any\"]\n").unwrap();
        assert_eq!(config.site.provisioning, config.access.allow);
        assert!(config.access.api.is_any() && !config.access.allow.contains(ip("192.168.0.1")));
        for key in ["allow", "provisioning", "api", "trusted_proxies"] {
            for (bad, says) in [
                ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
                ("010.0.0.1", "did you mean 10.0.0.1?"),
                ("10.0.0.0/33", "longer than 32 bits"),
                ("0.0.0.0/0", "write \"any\""),
                ("::/0", "write \"any\""),
                ("fe80::1%eth0", "names an interface"),
                ("", "is empty"),
            ] {
                let error = load(&format!("[access]\n{key} = [\"{bad}\"]\n")).err().unwrap();
                assert!(error.contains(&format!("access.{key}:")) && error.contains(says), "{error}");
            }
        }
        assert!(load("[import]\nallow = [\"0.0.0.0/0\"]\n").err().unwrap().contains("import.allow"));
        assert!(load("[import]\nallow = [\"any\"]\n").unwrap().import_allow.is_any());
    }

    #[test]
    fn proxies_have_to_be_listed() {
        for all in ["\"any\"", "\"0.0.0.0/1\", \"128.0.0.0/1\", \"::/1\", \"8000::/1\""] {
            let error = load(&format!("[access]\ntrusted_proxies = [{all}]\n")).err().unwrap();
            assert!(error.contains("access.trusted_proxies: with every address"), "{error}");
        }
        let error = load("[access]\nproxy_protocol = true\n").err().unwrap();
        assert!(error.contains("access.proxy_protocol: nobody could connect"), "{error}");
        let config = load("[access]\nproxy_protocol = true\ntrusted_proxies = [\"10.9.0.1\"]\n").unwrap();
        for (from, begins) in [
            ("10.9.0.1", Begins::WithHeader),
            ("::ffff:10.9.0.1", Begins::WithHeader),
            ("10.9.0.2", Begins::Never),
            ("127.0.0.1", Begins::Directly),
            ("::1", Begins::Directly),
            ("0.0.0.0", Begins::Never),
        ] {
            assert_eq!(config.access.begins(ip(from)), begins, "{from}");
            assert_eq!(AccessConfig::default().begins(ip(from)), Begins::Directly, "{from}");
        }
    }

    #[test]
    fn nobody_locks_themselves_out() {
        let old = AccessConfig::default();
        let access =
            |api: &[&str]| AccessConfig { api: Networks::read(api).unwrap(), ..AccessConfig::default() };
        let from = |new: &AccessConfig, socket: &str| {
            let socket = ip(socket);
            locks_out(&old, new, Came { socket, client: Some(socket), by_own_door: false })
        };
        let new = access(&["10.1.0.0/16"]);
        for fine in ["10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(from(&new, fine), None, "{fine}");
        }
        let why = from(&new, "::ffff:10.2.0.1").unwrap();
        assert!(why.contains("10.2.0.1 is not in access.api") && why.contains("add its network"), "{why}");
        assert!(from(&access(&[]), "10.1.2.3").is_some());
        assert!(from(&access(&[]), "127.0.0.1").is_none());
        assert!(from(&access(&["any"]), "203.0.113.9").is_none());
        // The boot routes are not what an author needs.
        let closed = AccessConfig { allow: Networks::default(), ..access(&["10.1.0.0/16"]) };
        assert!(from(&closed, "10.1.2.3").is_none());
    }

    #[test]
    fn nobody_locks_themselves_out_by_proxies() {
        let old = AccessConfig::default();
        let new = AccessConfig {
            trusted_proxies: Networks::read(["10.0.5.99", "10.0.5.7"]).unwrap(),
            proxy_protocol: true,
            ..AccessConfig::default()
        };
        let came = |socket, client, by_own_door| Came { socket: ip(socket), client, by_own_door };
        let direct = |socket| came(socket, Some(ip(socket)), false);
        let why = locks_out(&old, &new, direct("10.0.5.9")).unwrap();
        assert!(why.contains("your connection comes from 10.0.5.9: come through the proxy"), "{why}");
        let why = locks_out(&old, &new, direct("10.0.5.7")).unwrap();
        assert!(why.contains("10.0.5.7 is among access.trusted_proxies"), "{why}");
        assert_eq!(locks_out(&old, &new, direct("127.0.0.1")), None);
        assert_eq!(locks_out(&old, &new, came("10.0.5.9", Some(ip("10.0.5.9")), true)), None, "another door");
        assert_eq!(locks_out(&new, &new, direct("10.0.5.9")), None, "it comes through the proxy already");
        let why = locks_out(&old, &old, came("10.0.5.9", None, false)).unwrap();
        assert!(why.contains("forwarding headers"), "{why}");
    }
}
