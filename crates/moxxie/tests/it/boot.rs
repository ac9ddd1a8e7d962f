//! The boot path from end to end, as the machine lives it.

use crate::util::recipes::{ASSIGNMENTS, PROFILES, debian, memtest, talos};
use crate::util::{Answer, Machine, Site};
use moxxie_core::ipxe::interpreter::{Choice, Outcome};
use moxxie_core::time::Span;
use serde_json::json;

const MAC: &str = "52:54:00:00:00:11";
const UUID: &str = "4c4c4544-004b-3510-8051-b4c04f4c4d32";
/// The same machine as DHCP option 97 and SMBIOS before 2.6 show it.
const SWAPPED: &str = "44454c4c-4b00-1035-8051-b4c04f4c4d32";

/// The whole life of one install, on both firmwares and with the escapes of both iPXE ages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_arm_is_one_install_and_then_the_disk() {
    for (firmware, old_escapes) in [("bios", true), ("bios", false), ("efi", true), ("efi", false)] {
        let site = Site::start().await;
        site.profile(debian("deb")).await;
        site.assign(MAC, "n1", "deb", json!({})).await;
        let mut machine = if firmware == "bios" { Machine::bios(MAC) } else { Machine::efi(MAC) };
        machine.old_escapes = old_escapes;
        let case = format!("{firmware}, old escapes {old_escapes}");

        let boot = machine.boot(&site);
        let kernel = boot.kernel();
        assert_eq!(kernel.kernel, "http://10.0.0.1:8080/boot/assets/deb/linux", "{case}");
        let initrds = [("initrd.gz".to_owned(), "http://10.0.0.1:8080/boot/assets/deb/initrd.gz".to_owned())];
        assert_eq!(kernel.initrds, initrds, "{case}: and nothing else, not even the script");
        assert!(kernel.args.contains(&"initrd=initrd.gz".to_owned()), "{case}");
        assert_eq!(boot.arg("hostname"), "n1", "{case}");
        let urls: Vec<&str> = boot.asked.iter().map(|(url, _)| url.as_str()).collect();
        assert_eq!(urls.len(), 4, "{case}: who are you, menu, kernel, initrd: {urls:?}");
        assert!(urls[1].contains("identified=1") && urls[1].contains("platform="), "{case}: {urls:?}");
        assert_eq!(site.state(MAC).await, "booting", "{case}");
        // The log has its own queue; a real machine spends longer on its kernel than this takes.
        assert_eq!(site.events("&kind=boot").await.len(), 1, "{case}");

        let config = machine.fetch(&site, &boot.arg("url")).await.is(200);
        assert!(config.text().contains("get_hostname string n1\n"), "{case}: {}", config.text());
        assert_eq!(config.header("cache-control"), "no-store");
        assert_eq!(site.state(MAC).await, "delivered", "{case}");
        let again = machine.fetch(&site, &boot.arg("url")).await.is(200);
        assert_eq!(again.body, config.body, "{case}: a short read is repeated with the same bytes");

        let report = report_url(&config);
        machine.fetch(&site, &format!("{report}&stage=started")).await.is(204);
        machine.fetch(&site, &format!("{report}&stage=installed&message=done")).await.is(204);
        assert_eq!(site.state(MAC).await, "installed", "{case}");
        machine.fetch(&site, &boot.arg("url")).await.is(403);
        machine.boot(&site).went_local();

        let kinds: Vec<_> =
            site.events("").await.iter().rev().map(|e| e["kind"].as_str().unwrap().to_owned()).collect();
        let want = [
            "armed",
            "boot",
            "kernel_fetched",
            "initrd_fetched",
            "config.delivered",
            "config.delivered",
            "report.started",
            "report.installed",
            "config.refused",
            "local",
        ];
        assert_eq!(kinds, want, "{case}");
        let seen = site.get("/api/v1/boot/machines").await.is(200).json();
        assert_eq!(seen["items"][0]["platform"], if firmware == "bios" { "pcbios" } else { "efi" });
        assert_eq!(seen["items"][0]["last_answer"], "local");
    }
}

/// The report URL that a config carries.
fn report_url(config: &Answer) -> String {
    let text = config.text();
    let start = text.find("http://").unwrap_or_else(|| panic!("no URL in {text}"));
    let rest = &text[start..];
    let end = rest.find(|c: char| c.is_whitespace() || c == '\'' || c == '&').unwrap_or(rest.len());
    rest[..end].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destructive_profile_is_never_served_twice() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);

    // It resets before it fetched anything: two sessions. The newer one's config ends the older.
    let first = machine.boot(&site).arg("url");
    let second = machine.boot(&site).arg("url");
    assert_ne!(first, second);
    let config = machine.fetch(&site, &second).await.is(200);
    machine.fetch(&site, &first).await.is(403);

    // From here on every menu is the disk, however often it asks and however it names itself.
    machine.boot(&site).went_local();
    machine.boot_from(&site, "/boot/deb.ipxe").went_local();
    Machine::efi("52-54-00-00-00-11").boot(&site).went_local();
    let suppressed = site.messages("reinstall.suppressed").await;
    assert!(suppressed[0].contains("would erase its disk again"), "{suppressed:?}");
    assert!(suppressed[0].contains("moxxie assignment arm"), "says what to do: {suppressed:?}");

    // The same bytes for ten minutes, then nothing.
    site.push(Span::minutes(9));
    assert_eq!(machine.fetch(&site, &second).await.is(200).body, config.body);
    site.push(Span::minutes(1));
    machine.fetch(&site, &second).await.is(403);
    machine.boot(&site).went_local();

    // Nobody reported: after the settle time it counts as installed.
    site.push(Span::minutes(21));
    assert_eq!(site.state(MAC).await, "installed");
    machine.boot(&site).went_local();
    machine.fetch(&site, &second).await.is(403);

    // Only a new arm opens it again, once more.
    site.arm(MAC).await;
    let third = machine.boot(&site).arg("url");
    machine.fetch(&site, &second).await.is(403);
    machine.fetch(&site, &third).await.is(200);
    machine.boot(&site).went_local();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_serves_its_bytes_twenty_one_times_at_most() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    let url = machine.boot(&site).arg("url");
    let mut delivered = 0;
    for _ in 0..30 {
        delivered += usize::from(machine.fetch(&site, &url).await.status == 200);
    }
    assert!((20..=21).contains(&delivered), "{delivered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_redemptions_at_once_are_one_first_use() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    // Two sessions, each raced: one of them wins, and the other never delivers.
    let urls = [machine.boot(&site).arg("url"), machine.boot(&site).arg("url")];
    let tries = (0..24).map(|n| machine.fetch(&site, &urls[n % 2]));
    let answers = futures_util::future::join_all(tries).await;
    let winners: Vec<usize> =
        answers.iter().enumerate().filter(|(_, a)| a.status == 200).map(|(n, _)| n % 2).collect();
    assert!(!winners.is_empty() && winners.iter().all(|w| *w == winners[0]), "{winners:?}");
    let shown = site.get(&format!("{ASSIGNMENTS}/{MAC}")).await.json();
    assert_eq!((shown["state"].as_str(), shown["attempts_left"].as_i64()), (Some("delivered"), Some(0)));
    let delivered = site.audit().await.into_iter().filter(|r| r["action"] == "config.deliver").count();
    assert_eq!(delivered, winners.len(), "each delivery is on record");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_safe_profile_is_served_three_times_within_its_window() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({})).await;
    let machine = Machine::efi(MAC);
    for time in 1..=3 {
        let boot = machine.boot(&site);
        assert_eq!(boot.arg("talos.platform"), "metal");
        machine.fetch(&site, &boot.arg("talos.config")).await.is(200);
        assert_eq!(site.state(MAC).await, "delivered", "time {time}");
    }
    machine.boot(&site).went_local();
    assert!(site.messages("local").await[0].contains("used up"));

    // The window bounds it as well as the number: with two attempts left, four hours end it.
    site.arm(MAC).await;
    let url = machine.boot(&site).arg("talos.config");
    machine.fetch(&site, &url).await.is(200);
    let again = machine.boot(&site).arg("talos.config");
    site.push(Span::hours(4));
    machine.fetch(&site, &again).await.is(403);
    machine.boot(&site).went_local();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_close_with_time_and_time_never_opens_one() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    // A first boot has seven days.
    site.push(Span::days(7));
    machine.boot(&site).went_local();
    assert_eq!(site.state(MAC).await, "local");
    assert_eq!(site.messages("window.expired").await.len(), 1);
    // A started one has four hours, which asking again does not wind up.
    site.arm(MAC).await;
    let early = machine.boot(&site).arg("url");
    site.push(Span::hours(3));
    let late = machine.boot(&site).arg("url");
    site.push(Span::minutes(61));
    machine.boot(&site).went_local();
    for url in [&early, &late] {
        machine.fetch(&site, url).await.is(403);
    }
    // A clock that jumps back opens nothing.
    site.push(Span(-Span::days(3).0));
    machine.boot(&site).went_local();
    machine.fetch(&site, &late).await.is(403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_the_local_disk() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({"armed": false})).await;
    let (bios, efi) = (Machine::bios(MAC), Machine::efi(MAC));
    let mut no_disk = Machine::bios(MAC);
    no_disk.disk = false;
    let cases = [
        ("auto", Outcome::Sanboot(0x80), Outcome::Exit(1), Outcome::Exit(1)),
        ("exit", Outcome::Exit(0), Outcome::Exit(0), Outcome::Exit(0)),
        ("sanboot", Outcome::Sanboot(0x80), Outcome::Sanboot(0x80), Outcome::Exit(1)),
    ];
    for (how, on_bios, on_efi, without_disk) in cases {
        site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"local_boot": how})).await.is(200);
        assert_eq!(bios.boot(&site).trace.outcome, on_bios, "{how} on BIOS");
        assert_eq!(efi.boot(&site).trace.outcome, on_efi, "{how} on UEFI");
        assert_eq!(no_disk.boot(&site).trace.outcome, without_disk, "{how} without a disk");
    }
    // By status: no script at all, and a line that says why.
    site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"local_boot": "404"})).await.is(200);
    let answer = site.boot(&format!("/boot/menu.ipxe?mac={MAC}")).await.is(404);
    assert_eq!(answer.text(), "moxxie: local disk: it is not armed\n");
    assert!(matches!(efi.boot(&site).trace.outcome, Outcome::Exit(1)), "the identifying script gives up");
    // The profile's word counts where the machine has none, the site's where there is no machine.
    site.patch(&format!("{ASSIGNMENTS}/{MAC}"), json!({"local_boot": null})).await.is(200);
    site.patch(&format!("{PROFILES}/deb"), json!({"local_boot": "exit"})).await.is(200);
    assert_eq!(efi.boot(&site).trace.outcome, Outcome::Exit(0));
    let site = Site::with("[boot]\nlocal_boot = \"404\"").await;
    site.boot("/boot/nothing.ipxe?mac=52:54:00:00:00:99").await.is(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_a_menu_whose_default_is_the_disk() {
    let site = Site::with("[params]\nconsole = \"ttyS1\"").await;
    site.profile(talos("cp")).await;
    let mut body = memtest("memtest");
    // A value of the site reaches strangers as it reaches assigned machines.
    body["boot_params"] = json!("console={{ params.console }}");
    site.profile(body).await;
    for machine in [Machine::bios("52:54:00:00:00:99"), Machine::efi("52:54:00:00:00:99")] {
        let machine = machine.set("product", "A&B #1 ${x} || shell").set("uuid", UUID);
        let boot = machine.boot(&site);
        boot.went_local();
        let menu = &boot.trace.menus[0];
        assert!(menu.timeout_ms > 0);
        let shown: Vec<&str> = menu.items.iter().map(|i| i.text.as_str()).collect();
        assert!(shown.iter().any(|t| t.contains("memtest - A memory test")), "{shown:?}");
        assert!(!shown.iter().any(|t| t.contains("cp")), "only what is offered: {shown:?}");
        assert!(shown.iter().any(|t| t.contains(UUID)), "{shown:?}");
        assert!(boot.trace.ran("shell").is_empty());

        let machine = machine.picks("p0");
        let boot = machine.boot(&site);
        assert_eq!(boot.arg("console"), "ttyS1");
        assert_eq!(boot.kernel().kernel, "http://10.0.0.1:8080/boot/assets/memtest/memtest.bin");
        assert!(boot.kernel().args.iter().all(|a| !a.contains("configs")), "{:?}", boot.kernel().args);
    }
    assert_eq!(site.messages("menu.unknown").await.len(), 1, "repeats are folded");
    let machines = site.get("/api/v1/boot/machines").await.json();
    assert_eq!(machines["items"].as_array().unwrap().len(), 1);
    assert_eq!(machines["items"][0]["product"], "A&B #1 ${x} || shell", "as data");

    // A person who presses Escape, or asks for what is not offered, gets the disk.
    let mut escape = Machine::bios("52:54:00:00:00:99");
    escape.choice = Choice::Cancel;
    escape.boot(&site).went_local();
    for profile in ["cp", "nothing"] {
        Machine::bios("52:54:00:00:00:99").boot_from(&site, &format!("/boot/{profile}.ipxe")).went_local();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assigned_machine_may_choose_a_harmless_profile_and_keeps_its_window() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.profile(memtest("memtest")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let boot = Machine::bios(MAC).boot_from(&site, "/boot/memtest.ipxe");
    assert!(boot.kernel().kernel.ends_with("/memtest.bin"));
    assert_eq!(site.state(MAC).await, "armed");
    assert_eq!(
        Machine::bios(MAC).boot_from(&site, "/boot/deb.ipxe").arg("hostname"),
        "n1",
        "its own by name"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protected_and_quarantined_machines_boot_their_disk() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    let machine = Machine::bios(MAC);
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    for flag in ["protected", "quarantined"] {
        site.assign(MAC, "n1", "deb", json!({})).await;
        let url = machine.boot(&site).arg("url");
        // Set in the middle of a boot: its token is worthless from then on.
        site.patch(&uri, json!({flag: true})).await.is(200);
        machine.fetch(&site, &url).await.is(403);
        machine.boot(&site).went_local();
        site.call("POST", &format!("{uri}/arm")).send().await.problem(409);
        // Lifting it opens nothing by itself.
        site.patch(&uri, json!({flag: false})).await.is(200);
        machine.boot(&site).went_local();
        machine.fetch(&site, &url).await.is(403);
        site.delete(&uri).await.is(204);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicting_identities_get_the_disk_and_an_event() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    site.assign("52:54:00:00:00:12", "n2", "deb", json!({"uuid": UUID})).await;
    // MAC of n1, UUID of n2; and two machines' NICs in one.
    Machine::bios(MAC).set("uuid", UUID).boot(&site).went_local();
    site.push(Span::minutes(2));
    Machine::bios(MAC).set("net1/mac", "52:54:00:00:00:12").boot(&site).went_local();
    let messages = site.messages("identity.conflict").await;
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages.iter().all(|m| m.contains("n1") && m.contains("n2")), "{messages:?}");
    assert_eq!(
        (site.state(MAC).await, site.state("52:54:00:00:00:12").await),
        ("armed".into(), "armed".into())
    );
    // A pinned UUID that another board sends.
    Machine::bios("52:54:00:00:00:12")
        .set("uuid", "4c4c4544-0000-3510-8051-b4c04f4c4d33")
        .boot(&site)
        .went_local();
    // The first machine that boots in a window owns it: a second board with the same MAC does not.
    let own = Machine::bios(MAC).set("uuid", "11111111-2222-3333-4444-555555555555");
    own.boot(&site).kernel();
    Machine::bios(MAC).set("uuid", "99999999-2222-3333-4444-555555555555").boot(&site).went_local();
    own.boot(&site).kernel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_uuid_is_known_in_both_byte_orders_and_by_itself() {
    for (pinned, sent) in [(UUID, UUID), (UUID, SWAPPED), (SWAPPED, UUID)] {
        let site = Site::start().await;
        site.profile(debian("deb")).await;
        site.assign(MAC, "n1", "deb", json!({"uuid": pinned})).await;
        assert_eq!(Machine::bios(MAC).set("uuid", sent).boot(&site).arg("hostname"), "n1", "{pinned} {sent}");
        // A new NIC: the UUID alone names it.
        let other = Machine::efi("52:54:00:00:00:77").set("uuid", sent).boot(&site);
        assert_eq!(other.arg("hostname"), "n1", "{pinned} {sent}");
    }
}

#[tokio::test]
async fn the_debian_installer_gets_a_comment_for_a_preseed() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    for path in ["/boot/menu.ipxe", "/boot/deb.ipxe"] {
        let answer = site
            .anonymous("GET", &format!("{path}?mac={MAC}"))
            .set("user-agent", "debian-installer")
            .send()
            .await
            .is(200);
        assert!(answer.text().starts_with('#') && answer.text().lines().count() == 1, "{}", answer.text());
        assert!(!answer.text().starts_with("#!"));
    }
    assert_eq!(site.state(MAC).await, "armed", "its window is untouched");
}

#[tokio::test]
async fn assets_with_ranges_conditions_head_and_double_slashes() {
    let site = Site::start().await;
    site.profile(memtest("m")).await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let made = site.asset("m", "grubx64.efi", &bytes).await;
    let etag = format!("\"{}\"", made["sha256"].as_str().unwrap());
    let uri = "/boot/assets/m/grubx64.efi";
    let whole = site.boot(uri).await.is(200);
    assert!(whole.body == bytes);
    assert_eq!((whole.header("etag"), whole.header("accept-ranges")), (etag.as_str(), "bytes"));
    assert_eq!(whole.header("content-length"), "1000000");
    // Shim asks with two slashes.
    for path in ["/boot/assets/m//grubx64.efi", "/boot/assets//m/grubx64.efi", "/boot/assets/m///grubx64.efi"]
    {
        assert!(site.boot(path).await.is(200).body == bytes, "{path}");
    }
    let head = site.anonymous("HEAD", uri).send().await.is(200);
    assert_eq!((head.header("content-length"), head.body.len()), ("1000000", 0));
    let ask = |pairs: &[(&str, &str)]| {
        let mut call = site.anonymous("GET", uri);
        for (name, value) in pairs {
            call = call.also(name, value);
        }
        call.send()
    };
    let part = ask(&[("range", "bytes=10-19")]).await.is(206);
    assert!(part.body == bytes[10..20]);
    assert_eq!(part.header("content-range"), "bytes 10-19/1000000");
    assert!(ask(&[("range", "bytes=-5")]).await.is(206).body == bytes[999_995..]);
    assert!(ask(&[("range", "bytes=999999-")]).await.is(206).body == bytes[999_999..]);
    assert_eq!(ask(&[("range", "bytes=1000000-")]).await.is(416).header("content-range"), "bytes */1000000");
    assert_eq!(ask(&[("range", "bytes=0-9"), ("if-range", &etag)]).await.is(206).body.len(), 10);
    assert_eq!(ask(&[("range", "bytes=0-9"), ("if-range", "\"old\"")]).await.is(200).body.len(), 1_000_000);
    for tag in [&etag, "*", &format!("W/{etag}"), &format!("\"x\", {etag}")] {
        let same = ask(&[("if-none-match", tag)]).await.is(304);
        assert_eq!((same.body.len(), same.header("etag")), (0, etag.as_str()), "{tag}");
    }
    ask(&[("if-none-match", "\"old\"")]).await.is(200);
    // Other bytes under the same name: another tag, and a stale range gets the whole.
    site.asset("m", "grubx64.efi", b"new").await;
    let new = ask(&[("range", "bytes=0-1"), ("if-range", &etag)]).await.is(200);
    assert_eq!(new.body, b"new");
    assert_ne!(new.header("etag"), etag);
    site.boot("/boot/assets/m/gone").await.is(404);
    site.boot("/boot/assets/gone/grubx64.efi").await.is(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_follow_the_host_that_was_asked_or_the_public_url() {
    let site = Site::start().await;
    // A safe profile: its script may be asked for as often as there are hosts below.
    site.profile(talos("cp")).await;
    site.assign(MAC, "n1", "cp", json!({})).await;
    let menu = format!("/boot/menu.ipxe?mac={MAC}");
    for (host, base) in [
        ("10.0.0.7:9999", "http://10.0.0.7:9999/boot/"),
        ("10.0.0.7", "http://10.0.0.7:8080/boot/"),
        ("boot.example", "http://boot.example:8080/boot/"),
        ("[fd00::1]:81", "http://[fd00::1]:81/boot/"),
    ] {
        let script = site.anonymous("GET", &menu).set("host", host).send().await.is(200).text();
        let links: Vec<&str> =
            script.split_whitespace().filter_map(|w| w.find("http://").map(|at| &w[at..])).collect();
        assert!(!links.is_empty() && links.iter().all(|l| l.starts_with(base)), "{host}: {links:?}");
    }
    for bad in ["", "evil.com/x", "a b", "user@host", "a${b}", "host:0", "a\\b"] {
        site.anonymous("GET", &menu).set("host", bad).send().await.is(400);
        site.anonymous("GET", "/boot/menu.ipxe").set("host", bad).send().await.is(400);
    }
    let forwarded =
        site.anonymous("GET", &menu).set("x-forwarded-host", "evil.com").set("forwarded", "host=evil.com");
    assert!(!forwarded.send().await.is(200).text().contains("evil"));

    let site = Site::with("public_url = \"http://pxe.example:81/\"").await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let script = site.anonymous("GET", &menu).set("host", "evil.com").send().await.is(200).text();
    assert!(
        script.contains("http://pxe.example:81/boot/assets/deb/linux") && !script.contains("evil.com"),
        "{script}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_file_costs_no_window_and_is_named() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    site.delete(&format!("{PROFILES}/deb/assets/initrd.gz")).await.is(204);
    let machine = Machine::bios(MAC);
    machine.boot(&site).went_local();
    assert_eq!(site.state(MAC).await, "armed", "the window stays open");
    let messages = site.messages("boot.error").await;
    assert!(messages[0].contains("initrd.gz") && messages[0].contains("moxxie asset upload"), "{messages:?}");
    site.asset("deb", "initrd.gz", b"back").await;
    machine.boot(&site).kernel();
}

/// Bytes that are gone from the disk are an outage: iPXE is told to wait, and boots when they are
/// back, without a new arm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_waits_for_bytes_that_are_away() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let asset = site.get(&format!("{PROFILES}/deb/assets")).await.json()["items"][0]["sha256"]
        .as_str()
        .unwrap()
        .to_owned();
    let place = site.app.config().assets_dir.join("sha256").join(&asset[..2]).join(&asset);
    let away = site.dir.path().join("away");
    std::fs::rename(&place, &away).unwrap();
    let mut machine = Machine::bios(MAC);
    machine.client.steps = 60;
    let boot = machine.boot(&site);
    assert!(boot.waited > 0 && boot.trace.outcome == Outcome::StepLimit, "{:?}", boot.asked);
    std::fs::rename(&away, &place).unwrap();
    let boot = machine.boot(&site);
    assert_eq!((boot.waited, boot.arg("hostname")), (0, "n1".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_that_does_not_start_is_reported_and_tried_three_times() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let mut machine = Machine::bios(MAC);
    machine.kernel_starts = false;
    machine.client.steps = 2000;
    let boot = machine.boot(&site);
    // It asks again, but a profile that erases disks is not handed out for the whole window.
    assert!(matches!(boot.trace.outcome, Outcome::Sanboot(_) | Outcome::Exit(_)), "{:?}", boot.trace.outcome);
    assert_eq!(site.messages("boot").await.len(), 3);
    assert_eq!(site.messages("reinstall.suppressed").await.len(), 1);
    let reports = site.messages("report.progress").await;
    assert!(reports.iter().any(|m| m.contains("could not start linux")), "{reports:?}");
    assert_eq!(site.state(MAC).await, "booting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_bounded_cleaned_and_only_for_their_machine() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    let config = machine.fetch(&site, &machine.boot(&site).arg("url")).await.is(200);
    let report = report_url(&config);
    let path = report.strip_prefix("http://10.0.0.1:8080").unwrap();
    let post = |query: &str, body: Vec<u8>| {
        site.anonymous("POST", &format!("{path}{query}")).from("10.0.0.50").body(body).send()
    };
    post("&stage=started", vec![]).await.is(204);
    post("&stage=progress", b"line one\n\x1b[2J{\"level\":\"error\"}\xff\x00".to_vec()).await.is(204);
    post("&stage=progress&message=in%20the%20query", b"not this".to_vec()).await.is(204);
    post("&stage=progress&message=password%3Dhunter2secret", vec![]).await.is(204);
    let messages = site.messages("report.progress").await;
    assert_eq!(messages[1], "in the query");
    assert!(!messages[0].contains("hunter2secret"), "{messages:?}");
    assert!(
        messages[2].starts_with("line one") && !messages[2].contains(|c: char| c.is_control()),
        "{messages:?}"
    );
    post("&stage=progress", vec![b'x'; 65_536]).await.is(204);
    post("&stage=progress", vec![b'x'; 65_537]).await.is(413);
    for bad in
        ["", "&stage=", "&stage=done", "&stage=started&stage=failed", "&stage=started&message=a&message=b"]
    {
        post(bad, vec![]).await.is(400);
    }
    // The config's token does not report, and from elsewhere the right one does not either.
    let url = machine.boot(&site);
    assert!(matches!(url.trace.outcome, Outcome::Sanboot(_)));
    site.anonymous("GET", &format!("{path}&stage=installed")).from("10.0.99.50").send().await.is(403);
    site.anonymous("GET", "/boot/report?stage=installed").send().await.is(403);
    site.anonymous("GET", &format!("/boot/report?t={}&stage=installed", "A".repeat(43))).send().await.is(403);
    assert_eq!(site.state(MAC).await, "delivered");
    // A slow install reports after its window, but not after it was armed anew.
    site.push(Span::hours(30));
    post("&stage=failed", b"disk on fire".to_vec()).await.is(204);
    assert_eq!(site.state(MAC).await, "failed");
    machine.boot(&site).went_local();
    site.arm(MAC).await;
    post("&stage=installed", vec![]).await.is(403);
    assert_eq!(site.state(MAC).await, "armed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_token_gets_the_same_answer_and_consumes_nothing() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.profile(debian("other")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    site.assign("52:54:00:00:00:12", "n2", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    let url = machine.boot(&site).arg("url");
    let path = url.strip_prefix("http://10.0.0.1:8080").unwrap().to_owned();
    let (page, token) = path.split_once("?t=").unwrap();
    let stranger = Machine::bios("52:54:00:00:00:12").boot(&site).arg("url");
    let foreign = stranger.split_once("?t=").unwrap().1.to_owned();

    // Asking for less than the whole does not use it up.
    site.anonymous("HEAD", &path).from("10.0.0.50").send().await.is(405);
    site.anonymous("GET", &path).from("10.0.0.50").set("range", "bytes=0-0").send().await.is(416);
    let mut flipped = token.to_owned();
    let last = if flipped.ends_with('A') { "E" } else { "A" };
    flipped.replace_range(42.., last);
    let swapped: String = token
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let bad = [
        page.to_owned(),
        format!("{page}?t="),
        format!("{page}?t={}", &token[..42]),
        format!("{page}?t={token}A"),
        format!("{page}?t={flipped}"),
        format!("{page}?t={swapped}"),
        format!("{page}?t={foreign}"),
        format!("{page}?t={}", "A".repeat(43)),
        format!("{page}?t={}", "A".repeat(4000)),
        format!("{page}/{token}x/user-data"),
        format!("/boot/configs/other/{MAC}?t={token}"),
        format!("/boot/configs/nothing/{MAC}?t={token}"),
        format!("/boot/configs/deb/52:54:00:00:00:12?t={token}"),
        format!("/boot/configs/deb/52:54:00:00:00:99?t={token}"),
        format!("/boot/configs/deb/nonsense?t={token}"),
    ];
    let mut answers: Vec<(String, Answer)> = vec![];
    for uri in bad {
        let answer = site.anonymous("GET", &uri).from("10.0.0.50").send().await;
        answers.push((uri, answer));
    }
    let elsewhere = site.anonymous("GET", &path).from("10.9.9.9").send().await;
    answers.push(("from another network".into(), elsewhere));
    assert_eq!(site.state(MAC).await, "booting", "nothing was consumed");

    let config = site.anonymous("GET", &path).from("10.0.0.50").send().await.is(200);
    let report = report_url(&config);
    let report_token = report.split_once("t=").unwrap().1;
    let purpose = site.anonymous("GET", &format!("{page}?t={report_token}")).from("10.0.0.50").send().await;
    answers.push(("the report's token".into(), purpose));
    site.push(Span::minutes(10));
    let spent = site.anonymous("GET", &path).from("10.0.0.50").send().await;
    answers.push(("spent".into(), spent));
    site.arm(MAC).await;
    let old = site.anonymous("GET", &path).from("10.0.0.50").send().await;
    answers.push(("an older generation".into(), old));
    let model = answers[0].1.clone();
    assert_eq!(model.text(), "moxxie: not allowed\n");
    for (what, answer) in &answers {
        assert_eq!(answer.status, 403, "{what}");
        assert_eq!((&answer.body, &answer.headers), (&model.body, &model.headers), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_may_stand_in_the_path() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let machine = Machine::bios(MAC);
    let url = machine.boot(&site).arg("url");
    let (page, token) = url.split_once("?t=").unwrap();
    // Debian has one file; another below it is not there, which costs nothing.
    machine.fetch(&site, &format!("{page}/{token}/user-data")).await.is(404);
    machine.fetch(&site, &format!("{page}/user-data?t={token}")).await.is(404);
    machine.ask(&site, "HEAD", &format!("{page}/{token}/user-data")).await.is(405);
    assert_eq!(site.state(MAC).await, "booting");
    machine.fetch(&site, &url).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_previews_a_config_and_uses_nothing_up() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({})).await;
    let page = format!("/boot/configs/cp/{MAC}");
    let seen = site.get(&page).await.is(200);
    assert!(seen.text().contains("hunter2-machine-token"), "{}", seen.text());
    for token in [site.viewer().await, site.operator().await, "not-a-token-at-all"] {
        site.call("GET", &page).token(token).send().await.is(403);
    }
    site.get(&format!("/boot/configs/deb/{MAC}")).await.is(404);
    assert_eq!(site.state(MAC).await, "armed");
    let url = Machine::bios(MAC).boot(&site).arg("talos.config");
    Machine::bios(MAC).fetch(&site, &url).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_networks_and_changes_of_profile() {
    let site = Site::with("[access]\nprovisioning = [\"10.0.0.0/24\"]").await;
    site.profile(debian("deb")).await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    // Inside the allowlist but outside the provisioning network: no script, no token.
    let boot = Machine::bios(MAC).from("10.1.0.50").boot(&site);
    boot.went_local();
    assert!(!boot.asked.iter().any(|(url, _)| url.contains("?t=")));
    assert_eq!(site.state(MAC).await, "armed");
    // Outside the allowlist: nothing at all.
    site.anonymous("GET", &format!("/boot/menu.ipxe?mac={MAC}")).from("203.0.113.9").send().await.is(403);
    site.anonymous("GET", "/boot/assets/deb/linux").from("203.0.113.9").send().await.is(403);
    site.anonymous("GET", "/livez").from("203.0.113.9").send().await.is(200);
    // Mapped addresses count as what they are.
    Machine::bios(MAC).from("::ffff:10.0.0.50").boot(&site).kernel();

    // Another profile closes the window and opens none.
    let uri = format!("{ASSIGNMENTS}/{MAC}");
    site.patch(&uri, json!({"boot_profile": "cp"})).await.is(200);
    Machine::bios(MAC).boot(&site).went_local();
    // `always` boots a safe profile on every request; `local` never does.
    site.patch(&uri, json!({"boot_policy": "always"})).await.is(200);
    for _ in 0..5 {
        let url = Machine::bios(MAC).boot(&site).arg("talos.config");
        Machine::bios(MAC).fetch(&site, &url).await.is(200);
    }
    site.call("POST", &format!("{uri}/arm")).send().await.problem(409);
    site.patch(&uri, json!({"boot_policy": "local"})).await.is(200);
    Machine::bios(MAC).boot(&site).went_local();
    site.call("POST", &format!("{uri}/arm")).send().await.problem(409);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_that_turns_destructive_does_not_ride_on_an_old_arm() {
    let site = Site::start().await;
    site.profile(talos("cp")).await;
    site.assign(MAC, "cp-1", "cp", json!({})).await;
    let machine = Machine::bios(MAC);
    let url = machine.boot(&site).arg("talos.config");
    site.patch(
        &format!("{PROFILES}/cp"),
        json!({"boot_params": "talos.experimental.wipe=system site.rack=r1"}),
    )
    .await
    .is(200);
    machine.fetch(&site, &url).await.is(403);
    machine.boot(&site).went_local();
    let messages = site.messages("reinstall.suppressed").await;
    assert!(messages[0].contains("became destructive"), "{messages:?}");
    site.arm(MAC).await;
    machine.boot(&site).kernel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_erases_by_itself_is_handed_out_once() {
    let site = Site::start().await;
    // Neither fetches a config whose delivery could count.
    for (name, mac, body) in [
        ("nuke", "52:54:00:00:00:51", json!({"boot_params": "nwipe autonuke"})),
        ("erase", "52:54:00:00:00:52", json!({"boot_params": "nwipe", "config_template": "x: 1\n"})),
    ] {
        let mut profile = json!({"name": name, "profile_type": "custom", "kernel_path": "linux"});
        profile.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        site.profile(profile).await;
        site.assign(mac, name, name, json!({})).await;
        let first = site.anonymous("GET", &format!("/boot/menu.ipxe?mac={mac}")).send().await.is(200).text();
        assert!(first.contains("nwipe"), "{first}");
        for ask in [format!("/boot/menu.ipxe?mac={mac}"), format!("/boot/{name}.ipxe?mac={mac}")] {
            let again = site.anonymous("GET", &ask).send().await.is(200).text();
            assert!(!again.contains("nwipe") && again.contains("already"), "{ask}: {again}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protection_covers_every_address_of_a_machine() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    let extra = "52:54:00:00:00:62";
    site.assign(MAC, "n1", "deb", json!({"extra_macs": [extra], "protected": true})).await;
    let uri = format!("/api/v1/boot/assignments/{MAC}");
    for change in [
        json!({"mac_address": "52:54:00:00:00:63"}),
        json!({"extra_macs": []}),
        json!({"uuid": "4c4c4544-004b-3510-8051-b4c04f4c4d32"}),
        json!({"serial": "X1"}),
    ] {
        site.patch(&uri, change).await.problem(409);
    }
    let item = json!({"items": [{"kind": "assignment", "mac_address": extra, "node_name": "n2", "boot_profile": "deb"}]});
    site.post("/api/v1/boot/apply", item).await.problem(409);
    // Not even what the menu offers to everybody.
    site.profile(json!({"name": "tools", "profile_type": "custom", "kernel_path": "linux", "destructive": false, "menu": true})).await;
    let asked = site.anonymous("GET", &format!("/boot/tools.ipxe?mac={MAC}")).send().await.is(200).text();
    assert!(!asked.contains("\nkernel "), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_address_closes_an_open_window() {
    let site = Site::start().await;
    site.profile(debian("deb")).await;
    site.assign(MAC, "n1", "deb", json!({})).await;
    let uri = format!("/api/v1/boot/assignments/{MAC}");
    site.patch(&uri, json!({"extra_macs": ["52:54:00:00:00:64"]})).await.is(200);
    assert_eq!(site.state(MAC).await, "local");
}
