//! Every script Moxxie hands out, run through the interpreter: on BIOS and UEFI, with a network
//! that fails in every way, with commands missing; and their text, kept under `golden/ipxe/`.
#![allow(clippy::unwrap_used, missing_docs)]

mod waiting;

use moxxie_core::boot::plan::{BootPlan, Image};
use moxxie_core::ipxe::interpreter::{Booted, Choice, Client, Outcome, Reply, ShownMenu, World};
use moxxie_core::ipxe::script::MAX_LINE;
use moxxie_core::ipxe::{
    BootError, Menu, MenuItem, REPORT_IMAGE, Text, Word, autoexec, boot, failed, hold, identify, local_disk,
    menu,
};
use moxxie_core::profile::LocalBoot;
use waiting::{a_wait, held};

fn word(text: &str) -> Word {
    Word::new(text).unwrap()
}

fn image(name: &str, url: &str) -> Image {
    Image { name: word(name), url: Word::url(url).unwrap() }
}

fn plan() -> BootPlan {
    BootPlan {
        kernel: image("vmlinuz-amd64", "http://10.0.2.2:8080/boot/assets/talos-cp/vmlinuz-amd64"),
        initrds: vec![
            image("initramfs-amd64.xz", "http://10.0.2.2:8080/boot/assets/talos-cp/initramfs-amd64.xz"),
            image("extra.img", "http://10.0.2.2:8080/boot/assets/talos-cp/extra.img"),
        ],
        args: ["talos.platform=metal", "slab_nomerge=", "ds=nocloud;s=http://10.0.2.2/a/", "---", "quiet"]
            .map(word)
            .into(),
        report: Some(word("http://10.0.2.2:8080/boot/report?t=TOKEN")),
    }
}

fn again() -> Word {
    Word::url("http://10.0.2.2:8080/boot/menu.ipxe?mac=52:54:00:12:34:56").unwrap()
}

fn title() -> Text {
    Text::new("cp-1 boots talos-cp (Talos)")
}

fn items() -> Vec<MenuItem> {
    ["Talos control plane", "Ubuntu Server 24.04", "#1 || shell"]
        .iter()
        .enumerate()
        .map(|(n, title)| MenuItem {
            title: Text::new(title),
            url: Word::url(format!("http://10.0.2.2:8080/boot/p{n}.ipxe?mac=52:54:00:12:34:56")).unwrap(),
        })
        .collect()
}

fn a_menu(local: LocalBoot, timeout_ms: u32) -> String {
    let lines = [Text::new("Machine 52:54:00:12:34:56, 4c4c4544-004b-3510-8051-b4c04f4c4d32")];
    let (items, again, title) = (items(), again(), Text::new("Moxxie: this machine is not assigned"));
    menu(&Menu { title: &title, machine_lines: &lines, items: &items, again: &again, timeout_ms, local })
}

const ALL_LOCAL: [LocalBoot; 4] = [LocalBoot::Auto, LocalBoot::Exit, LocalBoot::Sanboot, LocalBoot::NotFound];

fn clients() -> [(&'static str, Client); 2] {
    [("bios", Client::bios()), ("efi", Client::efi())]
}

/// Fails the first `n` fetches of every URL; afterwards gives an empty script to a menu URL and
/// bytes to everything else.
#[derive(Default)]
struct Flaky {
    failures: usize,
    garbage: bool,
    refuse_kernel: bool,
    no_disk: bool,
    choices: Vec<Choice>,
    asked: Vec<String>,
}

impl Flaky {
    fn new(failures: usize) -> Flaky {
        Flaky { failures, ..Flaky::default() }
    }
}

impl World for Flaky {
    fn fetch(&mut self, url: &str) -> Reply {
        self.asked.push(url.into());
        let nth = self.asked.iter().filter(|u| *u == url).count();
        if nth <= self.failures {
            return if self.garbage { Reply::Garbage } else { Reply::not_found() };
        }
        if url.contains(".ipxe") { Reply::text("#!ipxe\nexit 7\n") } else { Reply::Body(b"MZ".to_vec()) }
    }
    fn choose(&mut self, _menu: &ShownMenu) -> Choice {
        if self.choices.is_empty() { Choice::TimeOut } else { self.choices.remove(0) }
    }
    fn starts(&mut self, _booted: &Booted) -> bool {
        !self.refuse_kernel
    }
    fn disk_boots(&mut self, _drive: u32) -> bool {
        !self.no_disk
    }
}

fn dead(_url: &str) -> Reply {
    Reply::server_error()
}

// ---- identify

#[test]
fn identify_says_everything_in_one_request() {
    let script = identify(&Word::url("http://10.0.2.2:8080/boot/menu.ipxe").unwrap());
    for (platform, client) in clients() {
        let client = client.stop_at_chain().set("serial", "A&B #1").set("net1/mac", "52:54:00:12:34:57");
        let platform = if platform == "bios" { "pcbios" } else { platform };
        let run = client.run(&script, &mut Flaky::new(0));
        let url = format!(
            "http://10.0.2.2:8080/boot/menu.ipxe?mac=52:54:00:12:34:56\
             &uuid=4c4c4544-004b-3510-8051-b4c04f4c4d32&arch=amd64&platform={platform}\
             &mac1=52:54:00:12:34:56&mac2=52:54:00:12:34:57&mac3=&ip=10.0.2.15&serial=hex:4126422023 31\
             &manufacturer=hex:51454d55&product=hex:{}&asset=hex:",
            hex("Standard PC (i440FX + PIIX, 1996)")
        )
        .replace("23 31", "2331");
        assert_eq!(run.outcome, Outcome::Chain(url.clone()));
        assert_eq!(run.fetched, [url]);
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn identify_finds_the_architecture_with_and_without_cpuid() {
    let script = identify(&word("http://h/m"));
    let arch = |client: Client| {
        client.stop_at_chain().run(&script, &mut Flaky::new(0)).settings.get("arch").cloned().unwrap()
    };
    assert_eq!(arch(Client::bios()), "amd64");
    assert_eq!(arch(Client { long_mode: false, ..Client::bios() }), "i386");
    assert_eq!(arch(Client::bios().without("cpuid")), "i386");
    assert_eq!(arch(Client::efi().without("cpuid")), "amd64");
    assert_eq!(arch(Client::efi().without("cpuid").set("buildarch", "arm64")), "arm64");
}

#[test]
fn identify_keeps_a_query_that_is_there() {
    let run = Client::bios().stop_at_chain().run(identify(&word("http://h/m?a=b")), &mut Flaky::new(0));
    assert!(run.fetched[0].starts_with("http://h/m?a=b&mac=52:"), "{:?}", run.fetched);
}

#[test]
fn asking_is_bounded_and_ends_readably() {
    let (menu_url, why) = (word("http://10.0.2.2:8080/boot/menu.ipxe"), Text::new("Not yet"));
    for (script, sleeps, pause) in [(identify(&menu_url), 0, 5), (hold(&why, 30, &menu_url), 30, 30)] {
        for (_, client) in clients() {
            for failures in 0..3 {
                let run = client.run(&script, &mut Flaky::new(failures));
                assert_eq!(run.outcome, Outcome::Exit(7), "the script that was fetched runs");
                assert_eq!(run.fetched.len(), failures + 1);
                assert_eq!(run.slept, sleeps + failures as u64 * pause);
            }
            let garbage = client.run(&script, &mut Flaky { failures: 9, garbage: true, ..Flaky::default() });
            for run in [client.run(&script, &mut dead), client.run(&script, &mut Flaky::new(9)), garbage] {
                assert_eq!(run.outcome, Outcome::Exit(1));
                assert_eq!(run.fetched.len(), 3);
                assert_eq!(run.slept, sleeps + 2 * pause + 20);
                for part in ["52:54:00:12:34:56", "http://10.0.2.2:8080/boot/menu.ipxe", "try 3 of 3"] {
                    assert!(run.screen().contains(part), "{part}: {}", run.screen());
                }
            }
            let run = client.run(&script, &mut dead);
            assert!(run.screen().contains("Error: 0x1d0c6539"), "the real reason: {}", run.screen());
        }
    }
    let run = Client::bios().run(hold(&why, 30, &menu_url), &mut dead);
    assert_eq!(run.output[0], "Moxxie: Not yet");
}

// ---- autoexec

#[test]
fn autoexec_brings_the_network_up_and_says_who_the_machine_is() {
    let menu_url = word("http://10.0.2.2:8080/boot/menu.ipxe?identified=1");
    let script = autoexec(&menu_url);
    for (_, client) in clients() {
        let run = client.run(&script, &mut Flaky::new(0));
        assert_eq!(run.outcome, Outcome::Exit(7));
        assert!(run.ran("dhcp").is_empty(), "the NIC is open and has its address");
        assert!(
            run.fetched[0]
                .starts_with("http://10.0.2.2:8080/boot/menu.ipxe?identified=1&mac=52:54:00:12:34:56&"),
            "{:?}",
            run.fetched
        );
        // No address yet; and an address that firmware got, on a NIC that is closed.
        for gone in ["ip", "netX/mac"] {
            let mut client = client.clone();
            client.settings.remove(gone);
            let run = client.run(&script, &mut Flaky::new(0));
            assert_eq!((run.ran("dhcp").len(), run.outcome), (1, Outcome::Exit(7)), "{gone}");
            assert!(run.fetched[0].contains("?identified=1&mac=52:54:00:12:34:56&"), "{:?}", run.fetched);
        }
    }
}

/// A network on which no DHCP server answers.
struct Silent;

impl World for Silent {
    fn fetch(&mut self, _: &str) -> Reply {
        Reply::server_error()
    }
    fn dhcp(&mut self) -> bool {
        false
    }
}

#[test]
fn autoexec_asks_for_an_address_with_each_try_and_ends_readably() {
    let script = autoexec(&word("http://10.0.2.2:8080/boot/menu.ipxe?identified=1"));
    for (_, mut client) in clients() {
        client.settings.remove("ip");
        let run = client.run(&script, &mut Silent);
        assert_eq!((run.ran("dhcp").len(), run.fetched.len(), run.outcome.clone()), (3, 3, Outcome::Exit(1)));
        for part in ["52:54:00:12:34:56", "http://10.0.2.2:8080/boot/menu.ipxe", "next boot device"] {
            assert!(run.screen().contains(part), "{part}: {}", run.screen());
        }
    }
}

// ---- local disk

#[test]
fn local_disk_on_each_firmware() {
    let (why, who) = (Text::new("already installed"), Text::new("cp-1, 52:54:00:12:34:56"));
    let run = |how, client: &Client, no_disk| {
        let script = local_disk(how, &why, &who).unwrap();
        let run = client.run(script, &mut Flaky { no_disk, ..Flaky::default() });
        assert_eq!(
            run.output,
            [
                "Moxxie: cp-1, 52:54:00:12:34:56",
                "Reason: already installed",
                "Next: this machine boots from its own disk."
            ]
        );
        assert!(run.fetched.is_empty());
        run.outcome
    };
    let (bios, efi) = (Client::bios(), Client::efi());
    assert_eq!(run(LocalBoot::Auto, &bios, false), Outcome::Sanboot(0x80));
    assert_eq!(run(LocalBoot::Auto, &bios, true), Outcome::Exit(1));
    assert_eq!(run(LocalBoot::Auto, &bios.clone().without("sanboot"), false), Outcome::Exit(1));
    assert_eq!(run(LocalBoot::Auto, &efi, false), Outcome::Exit(1));
    assert_eq!(run(LocalBoot::Exit, &bios, false), Outcome::Exit(0));
    assert_eq!(run(LocalBoot::Exit, &efi, false), Outcome::Exit(0));
    assert_eq!(run(LocalBoot::Sanboot, &efi, false), Outcome::Sanboot(0x80));
    assert_eq!(run(LocalBoot::Sanboot, &efi, true), Outcome::Exit(1));
    assert_eq!(local_disk(LocalBoot::NotFound, &why, &who), None);
}

#[test]
fn a_refusal_is_read_and_goes_to_the_disk() {
    let message = Text::new("profile talos-cp has no kernel");
    for how in ALL_LOCAL {
        let run = Client::bios().run(failed(&message, how), &mut dead);
        assert_eq!(run.output[0], "Moxxie: profile talos-cp has no kernel");
        assert!(run.slept >= 5);
        assert!(matches!(run.outcome, Outcome::Sanboot(0x80) | Outcome::Exit(_)), "{:?}", run.outcome);
    }
}

// ---- boot

fn expected() -> Booted {
    let plan = plan();
    Booted {
        kernel: plan.kernel.url.to_string(),
        name: "vmlinuz-amd64".into(),
        args: "initrd=initramfs-amd64.xz initrd=extra.img talos.platform=metal slab_nomerge= \
               ds=nocloud;s=http://10.0.2.2/a/ --- quiet"
            .split(' ')
            .map(str::to_owned)
            .collect(),
        initrds: plan.initrds.iter().map(|i| (i.name.to_string(), i.url.to_string())).collect(),
    }
}

#[test]
fn boots_what_was_planned() {
    let script = boot(&plan(), &title(), &again()).unwrap();
    for (_, client) in clients() {
        for failures in 0..3 {
            for garbage in [false, true] {
                let mut world = Flaky { failures, ..Flaky::default() };
                // Garbage is only found out for a kernel; an initrd may be anything.
                world.garbage = garbage && failures > 0;
                let run = client.run(&script, &mut world);
                let Outcome::Booted(booted) = &run.outcome else { panic!("{:?}", run.outcome) };
                assert_eq!(*booted, expected(), "failures {failures}, garbage {garbage}");
                if !garbage {
                    assert_eq!(run.fetched.len(), 3 * (failures + 1));
                    assert_eq!(run.slept, 3 * failures as u64 * 5);
                }
            }
        }
    }
}

#[test]
fn boots_without_initrds_arguments_or_report() {
    let plan = BootPlan { initrds: vec![], args: vec![], report: None, ..plan() };
    let run = Client::bios().run(boot(&plan, &title(), &again()).unwrap(), &mut Flaky::new(0));
    let Outcome::Booted(booted) = run.outcome else { panic!("{:?}", run.outcome) };
    assert!(booted.args.is_empty() && booted.initrds.is_empty());
    let run = Client::bios().run(boot(&plan, &title(), &again()).unwrap(), &mut dead);
    assert_eq!(run.outcome, Outcome::Exit(1));
    assert_eq!(run.fetched.len(), 4, "three tries and the menu: {:?}", run.fetched);
}

#[test]
fn a_lost_file_is_reported_and_the_menu_asked_again() {
    let plan = plan();
    let script = boot(&plan, &title(), &again()).unwrap();
    for (_, client) in clients() {
        for lost in [&plan.kernel, &plan.initrds[0], &plan.initrds[1]] {
            let lost_url = lost.url.to_string();
            let run = client.run(&script, &mut |url: &str| match url {
                u if u == lost_url => Reply::not_found(),
                u if u.contains(".ipxe") => Reply::text("#!ipxe\nexit 7\n"),
                _ => Reply::Body(Vec::new()),
            });
            assert_eq!(run.outcome, Outcome::Exit(7), "the menu took over");
            assert_eq!(run.fetched.iter().filter(|u| **u == lost_url).count(), 3);
            let report = format!(
                "http://10.0.2.2:8080/boot/report?t=TOKEN&stage=progress\
                 &message=iPXE%20could%20not%20load%20{},%20error%200x2d0c613b",
                lost.name
            );
            assert_eq!(run.fetched.iter().filter(|u| **u == report).count(), 1, "{:#?}", run.fetched);
            assert_eq!(run.fetched.last().unwrap(), again().as_str());
            assert!(run.images.is_empty(), "nothing stays registered: {:?}", run.images);
            assert!(
                run.screen()
                    .contains(&format!("could not load {} (error 0x2d0c613b), try 3 of 3", lost.name))
            );
            assert!(run.slept >= 10 + 20);
        }
    }
}

#[test]
fn a_report_never_stays_registered() {
    // The first boot fails; the menu hands the same script out again, which then boots.
    let plan = plan();
    let script = boot(&plan, &title(), &again()).unwrap();
    for report_ok in [true, false] {
        let mut kernels = 0;
        let run = Client::bios().run(&script, &mut |url: &str| {
            if url.contains("menu.ipxe") {
                return Reply::text(script.clone());
            }
            if url.contains("/report") {
                return if report_ok { Reply::Body(Vec::new()) } else { Reply::server_error() };
            }
            kernels += usize::from(url == plan.kernel.url.as_str());
            if kernels < 4 { Reply::not_found() } else { Reply::Body(b"MZ".to_vec()) }
        });
        assert_eq!(run.outcome, Outcome::Booted(expected()));
        let tells = run.ran("imgfetch");
        assert!(tells.len() == 1 && tells[0].contains(&REPORT_IMAGE.to_owned()));
    }
}

#[test]
fn a_kernel_that_does_not_start_is_reported() {
    let script = boot(&plan(), &title(), &again()).unwrap();
    let run = Client::efi().run(&script, &mut Flaky { refuse_kernel: true, ..Flaky::default() });
    assert_eq!(run.outcome, Outcome::Exit(7));
    assert!(run.screen().contains("vmlinuz-amd64 does not start: error 0x2e008001"), "{}", run.screen());
    assert!(run.fetched.iter().any(|u| u.contains("could%20not%20start%20vmlinuz-amd64")));
}

#[test]
fn a_dead_server_ends_at_the_next_boot_device() {
    let script = boot(&plan(), &title(), &again()).unwrap();
    for (_, client) in clients() {
        let run = client.run(&script, &mut dead);
        assert_eq!(run.outcome, Outcome::Exit(1));
        assert_eq!(run.fetched.len(), 3 + 1 + 1, "kernel, report, menu: {:?}", run.fetched);
        assert!(run.slept >= 30);
    }
}

#[test]
fn two_scripts_that_name_each_other_do_not_spin() {
    let script = boot(&plan(), &title(), &again()).unwrap();
    let run = Client::bios().run(&script, &mut |url: &str| {
        if url.contains("menu.ipxe") { Reply::text(script.clone()) } else { Reply::not_found() }
    });
    assert_eq!(run.outcome, Outcome::StepLimit);
    let rounds = run.fetched.iter().filter(|u| u.contains("menu.ipxe")).count() as u64;
    assert!(run.slept >= rounds * 30, "{} s for {rounds} rounds", run.slept);
}

#[test]
fn plans_that_cannot_be_written() {
    let mut long = plan();
    long.args = vec![word(&"x".repeat(2000)); 3];
    let error = boot(&long, &title(), &again()).unwrap_err();
    assert!(matches!(error, BootError::CommandLine(n) if n > 6000));
    for name in ["vmlinuz-amd64", "VMLINUZ-AMD64", REPORT_IMAGE] {
        let mut twice = plan();
        twice.initrds[0].name = word(name);
        assert_eq!(boot(&twice, &title(), &again()), Err(BootError::SameName(word(name))));
    }
    let mut cut = plan();
    cut.kernel.url = word("http://h/a#b");
    assert!(matches!(boot(&cut, &title(), &again()), Err(BootError::Fragment(_))));
    cut = plan();
    cut.report = Some(word("http://h/r#?t=x"));
    assert!(matches!(boot(&cut, &title(), &again()), Err(BootError::Fragment(_))));
}

// ---- menu

#[test]
fn nobody_at_the_menu_means_the_local_disk() {
    for (_, client) in clients() {
        for choice in [Choice::TimeOut, Choice::Cancel, Choice::Key('l'), Choice::Pick("nothing".into())] {
            let mut world = Flaky { choices: vec![choice], ..Flaky::default() };
            let run = client.run(a_menu(LocalBoot::Auto, 15_000), &mut world);
            let efi = client.settings["platform"] == "efi";
            assert_eq!(run.outcome, if efi { Outcome::Exit(1) } else { Outcome::Sanboot(0x80) });
            assert!(run.fetched.is_empty());
            assert_eq!(run.menus[0].timeout_ms, 15_000);
        }
        for missing in ["menu", "item", "choose"] {
            let run = client.clone().without(missing).run(a_menu(LocalBoot::Auto, 1), &mut dead);
            assert!(!matches!(run.outcome, Outcome::StepLimit | Outcome::RanOffEnd), "{:?}", run.outcome);
        }
    }
    let run = Client::bios().run(a_menu(LocalBoot::Auto, 0), &mut dead);
    assert_eq!(run.outcome, Outcome::WaitsForever);
    for how in ALL_LOCAL {
        let run = Client::efi().run(a_menu(how, 1), &mut Flaky::new(0));
        let want = match how {
            LocalBoot::Auto | LocalBoot::NotFound => Outcome::Exit(1),
            LocalBoot::Exit => Outcome::Exit(0),
            LocalBoot::Sanboot => Outcome::Sanboot(0x80),
        };
        assert_eq!(run.outcome, want);
    }
}

#[test]
fn the_menu_shows_texts_and_chains_to_urls() {
    let items = items();
    for (n, key) in [(0, '1'), (1, '2'), (2, '3')] {
        let mut world = Flaky { choices: vec![Choice::Key(key)], ..Flaky::default() };
        let run = Client::bios().run(a_menu(LocalBoot::Auto, 1), &mut world);
        assert_eq!(run.fetched, [items[n].url.as_str()]);
        assert_eq!(run.outcome, Outcome::Exit(7));
        let shown: Vec<&str> = run.menus[0].items.iter().map(|i| i.text.as_str()).collect();
        assert_eq!(
            shown,
            [
                "Machine 52:54:00:12:34:56, 4c4c4544-004b-3510-8051-b4c04f4c4d32",
                "",
                "Boot from the local disk",
                "Talos control plane",
                "Ubuntu Server 24.04",
                "'#1 | | shell",
                "",
                "Ask the server again",
                "iPXE shell"
            ]
        );
    }
    let mut world = Flaky { choices: vec![Choice::Key('r')], ..Flaky::default() };
    assert_eq!(Client::efi().run(a_menu(LocalBoot::Auto, 1), &mut world).fetched, [again().as_str()]);
    let mut world = Flaky { choices: vec![Choice::Key('s')], ..Flaky::default() };
    assert_eq!(Client::efi().run(a_menu(LocalBoot::Auto, 1), &mut world).outcome, Outcome::Shell);
}

#[test]
fn a_menu_entry_that_fails_comes_back_to_the_menu() {
    let mut world =
        Flaky { failures: 1, choices: vec![Choice::Key('1'), Choice::Key('1')], ..Flaky::default() };
    let run = Client::bios().run(a_menu(LocalBoot::Auto, 1), &mut world);
    assert_eq!(run.outcome, Outcome::Exit(7));
    assert_eq!(run.menus.len(), 2);
    assert!(run.screen().contains("error 0x2d0c613b") && run.slept == 5);
}

#[test]
fn a_long_menu_has_nine_keys_and_every_entry_works() {
    let items: Vec<MenuItem> = (0..25)
        .map(|n| MenuItem { title: Text::new(format!("P{n}")), url: word(&format!("http://h/p{n}.ipxe")) })
        .collect();
    let (title, again) = (Text::new("t"), again());
    let script = menu(&Menu {
        title: &title,
        machine_lines: &[],
        items: &items,
        again: &again,
        timeout_ms: 1,
        local: LocalBoot::Auto,
    });
    for (n, item) in items.iter().enumerate() {
        let mut world = Flaky { choices: vec![Choice::Pick(format!("p{n}"))], ..Flaky::default() };
        let run = Client::bios().run(&script, &mut world);
        assert_eq!(run.fetched, [item.url.as_str()]);
        let keys: Vec<char> = run.menus[0].items.iter().filter_map(|i| i.key).collect();
        assert_eq!(keys, ['l', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'r', 's']);
    }
}

// ---- all of them

fn every_script() -> Vec<(&'static str, String)> {
    let (menu_url, who) =
        (word("http://10.0.2.2:8080/boot/menu.ipxe"), Text::new("cp-1, MAC 52:54:00:12:34:56"));
    let why = Text::new("installed on 2026-05-01; arm it to install again");
    let local = |how| local_disk(how, &why, &who).unwrap();
    vec![
        ("identify", identify(&menu_url)),
        ("autoexec", autoexec(&word("http://10.0.2.2:8080/boot/menu.ipxe?identified=1"))),
        ("hold", hold(&Text::new("12 machines boot right now; this one waits for its turn"), 30, &again())),
        ("wait", a_wait(LocalBoot::Auto, Some(40))),
        ("approve", held("approve")),
        ("frozen", held("frozen")),
        ("local-auto", local(LocalBoot::Auto)),
        ("local-exit", local(LocalBoot::Exit)),
        ("local-sanboot", local(LocalBoot::Sanboot)),
        ("failed", failed(&Text::new("profile talos-cp has no kernel"), LocalBoot::Auto)),
        ("boot", boot(&plan(), &title(), &again()).unwrap()),
        ("menu", a_menu(LocalBoot::Auto, 15_000)),
    ]
}

#[test]
fn golden() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ipxe");
    for (name, script) in every_script() {
        let file = dir.join(format!("{name}.ipxe"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &script).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(script, kept, "{name}: UPDATE_GOLDEN=1 writes the new text, read the difference");
    }
}

#[test]
fn the_form_of_every_script() {
    for (name, script) in every_script() {
        assert!(script.starts_with("#!ipxe\n") && script.ends_with('\n'), "{name}");
        assert!(script.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)), "{name}");
        for line in script.lines() {
            assert!(line.len() <= MAX_LINE || line.starts_with("kernel"), "{name}: {line}");
            assert!(!line.ends_with(['\\', ' ']), "{name}: {line}");
        }
    }
}

/// Commands that may stand alone: those the oldest stock BIOS build has. Anything else needs an
/// operator behind it, so that "command not found" does not end the script.
#[test]
fn nothing_unguarded_that_a_stock_bios_build_lacks() {
    const ALONE: [&str; 11] =
        ["set", "goto", "echo", "sleep", "menu", "item", "exit", "sanboot", "shell", "boot", "choose"];
    for (name, script) in every_script() {
        for line in script.lines().skip(1) {
            let words: Vec<&str> = line.split(' ').collect();
            let plain = line.starts_with([':', '#']) || ALONE.contains(&words[0]);
            assert!(plain || words.contains(&"||"), "{name}: {line}");
        }
    }
}

#[test]
fn scripts_survive_missing_commands() {
    for (name, script) in every_script() {
        for missing in ["cpuid", "dhcp", "isset", "imgfree", "sleep", "imgfetch", "shell", "sanboot"] {
            for (_, client) in clients() {
                let run = client.without(missing).stop_at_chain().run(&script, &mut dead);
                assert!(
                    !matches!(run.outcome, Outcome::Failed { .. } | Outcome::StepLimit | Outcome::RanOffEnd),
                    "{name} without {missing}: {:?}",
                    run.outcome
                );
            }
        }
    }
}
