//! A machine with iPXE in it: runs what the service sends through the independent interpreter,
//! follows chains, and fetches kernel, initrd, config and report like the real thing.

use super::app::HOST;
use super::{Answer, Site};
use moxxie_core::ipxe::interpreter::{Booted, Choice, Client, Outcome, Reply, ShownMenu, Trace, World};
use tokio::runtime::Handle;

/// iPXE obeys `Retry-After` for ever; a test gives up after this many.
const PATIENCE: usize = 3;

pub struct Machine {
    pub client: Client,
    /// Where it asks from.
    pub ip: String,
    /// iPXE before 2021 percent-encodes the colons of a MAC address.
    pub old_escapes: bool,
    /// What the person in front of it picks.
    pub choice: Choice,
    /// Whether its first disk boots.
    pub disk: bool,
    /// Whether its kernels start.
    pub kernel_starts: bool,
}

impl Machine {
    pub fn bios(mac: &str) -> Machine {
        // No UUID, as QEMU shows it: tests that need one say so.
        Machine::of(Client::bios(), mac)
    }

    pub fn efi(mac: &str) -> Machine {
        Machine::of(Client::efi(), mac)
    }

    fn of(client: Client, mac: &str) -> Machine {
        let client = client.mac(mac).set("uuid", "00000000-0000-0000-0000-000000000000");
        Machine {
            client,
            ip: "10.0.0.50".into(),
            old_escapes: false,
            choice: Choice::TimeOut,
            disk: true,
            kernel_starts: true,
        }
    }

    pub fn set(mut self, name: &str, value: &str) -> Machine {
        self.client = self.client.set(name, value);
        self
    }

    pub fn from(mut self, ip: &str) -> Machine {
        self.ip = ip.into();
        self
    }

    pub fn picks(mut self, label: &str) -> Machine {
        self.choice = Choice::Pick(label.into());
        self
    }

    /// Powers it on: DHCP has named the menu's URL.
    pub fn boot(&self, site: &Site) -> Boot {
        self.boot_from(site, "/boot/menu.ipxe")
    }

    /// The same with another URL in DHCP.
    pub fn boot_from(&self, site: &Site, path: &str) -> Boot {
        let dhcp = format!("#!ipxe\nchain --replace --autofree -- http://{HOST}{path} || exit 99\n");
        let mut net = Net { site, machine: self, asked: vec![], waited: 0 };
        let trace = self.client.run(dhcp, &mut net);
        Boot { asked: net.asked, waited: net.waited, trace }
    }

    /// Fetches a URL that it was given, from its own address.
    pub async fn fetch(&self, site: &Site, url: &str) -> Answer {
        self.ask(site, "GET", url).await
    }

    pub async fn ask(&self, site: &Site, method: &str, url: &str) -> Answer {
        let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("not http: {url}"));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if self.old_escapes { path.replace(':', "%3A") } else { path.to_owned() };
        site.anonymous(method, &path)
            .set("host", host)
            .set("user-agent", "iPXE/1.0.0+git-20190125.36a4c85-5.1")
            .set("connection", "keep-alive")
            .from(&self.ip)
            .send()
            .await
    }
}

struct Net<'a> {
    site: &'a Site,
    machine: &'a Machine,
    asked: Vec<(String, u16)>,
    waited: usize,
}

impl World for Net<'_> {
    fn fetch(&mut self, url: &str) -> Reply {
        loop {
            let answer = tokio::task::block_in_place(|| {
                Handle::current().block_on(self.machine.fetch(self.site, url))
            });
            self.asked.push((url.to_owned(), answer.status));
            if !answer.header("retry-after").is_empty() && self.waited < PATIENCE {
                self.waited += 1;
                continue;
            }
            return match answer.status {
                200 => Reply::Body(answer.body),
                204 => Reply::Body(vec![]),
                404 => Reply::not_found(),
                400..=499 => Reply::Failed(0x1d0c_6439),
                _ => Reply::server_error(),
            };
        }
    }

    fn choose(&mut self, _: &ShownMenu) -> Choice {
        self.machine.choice.clone()
    }

    fn starts(&mut self, _: &Booted) -> bool {
        self.machine.kernel_starts
    }

    fn disk_boots(&mut self, _: u32) -> bool {
        self.machine.disk
    }
}

/// What a machine did after it was powered on.
#[derive(Debug)]
pub struct Boot {
    pub trace: Trace,
    /// Every URL and the status of its answer.
    pub asked: Vec<(String, u16)>,
    /// How often it obeyed `Retry-After`.
    pub waited: usize,
}

impl Boot {
    /// The kernel that runs now.
    #[track_caller]
    pub fn kernel(&self) -> &Booted {
        match &self.trace.outcome {
            Outcome::Booted(booted) => booted,
            other => panic!("no kernel but {other:?}\n{}\n{:#?}", self.trace.screen(), self.asked),
        }
    }

    /// It went to its own disk, in the way that suits its firmware; nothing was loaded.
    #[track_caller]
    pub fn went_local(&self) {
        let local = matches!(self.trace.outcome, Outcome::Sanboot(0x80) | Outcome::Exit(1));
        assert!(local, "not local: {:?}\n{}", self.trace.outcome, self.trace.screen());
        let loaded: Vec<_> = self
            .asked
            .iter()
            .filter(|(url, _)| url.contains("/assets/") || url.contains("/configs/"))
            .collect();
        assert!(loaded.is_empty(), "{loaded:?}");
    }

    /// The value of a kernel argument.
    #[track_caller]
    pub fn arg(&self, key: &str) -> String {
        let args = &self.kernel().args;
        let mut found = args.iter().filter_map(|a| a.strip_prefix(key)?.strip_prefix('='));
        let value = found.next().unwrap_or_else(|| panic!("no {key}= in {args:?}")).to_owned();
        assert_eq!(found.next(), None, "{key}= stands twice in {args:?}");
        value
    }
}
