//! The listener a request came in by.

use crate::app::App;
use crate::http::middleware::is_boot;
use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::sync::Arc;

/// Whom a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Serves {
    /// Machines and people: there is no listener for people alone.
    #[default]
    Everybody,
    /// Machines, and whoever asks whether this server is well.
    Machines,
    /// People and their programs.
    People,
}

/// A listener as its requests need to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Door {
    /// The port that links to the boot routes name: its own, or for a listener that has none of
    /// them that of the main listener.
    pub port: u16,
    /// Its connections are TLS.
    pub tls: bool,
    /// Whom it serves.
    pub serves: Serves,
}

impl Door {
    /// The door of a request. Without a listener in between it is one that serves everybody in the
    /// clear, at the port of the main listener.
    pub fn of(extensions: &Extensions, app: &App) -> Door {
        extensions.get().copied().unwrap_or(Door { port: app.port, ..Door::default() })
    }

    /// Whether this path is served here at all. Of the boot routes people have the config alone: an
    /// admin reads there what a machine would be given.
    pub fn serves(&self, path: &str) -> bool {
        let boot = is_boot(path);
        match self.serves {
            Serves::Everybody => true,
            Serves::Machines => boot || matches!(path, "/livez" | "/readyz"),
            Serves::People => !boot || path.starts_with("/boot/configs/"),
        }
    }
}

impl FromRequestParts<Arc<App>> for Door {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Door::of(&parts.extensions, app))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_has_its_paths() {
        let served = |serves, path: &str| Door { serves, ..Door::default() }.serves(path);
        for (path, machines, people) in [
            ("/boot", true, false),
            ("/boot/menu.ipxe", true, false),
            ("/boot/assets/p/f", true, false),
            ("/boot/report", true, false),
            ("/boot/configs/p/52:54:00:00:00:01", true, true),
            ("/livez", true, true),
            ("/readyz", true, true),
            ("/metrics", false, true),
            ("/api/docs", false, true),
            ("/api/v1/tokens", false, true),
            ("/bootx", false, true),
            ("/", false, true),
        ] {
            assert_eq!(served(Serves::Machines, path), machines, "{path}");
            assert_eq!(served(Serves::People, path), people, "{path}");
            assert!(served(Serves::Everybody, path));
        }
    }
}
