//! Packets as firmware sends them, and transfers over a bad network, without a network.

use super::packet::{self, Asked, Code, Heard, Refused, Request};
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;

const LIMITS: Limits = Limits { block: 1428, window: 16 };

fn rrq(words: &[&str]) -> Vec<u8> {
    let mut packet = vec![0, 1];
    for word in words {
        packet.extend_from_slice(word.as_bytes());
        packet.push(0);
    }
    packet
}

fn request(words: &[&str]) -> Request {
    Request::parse(&rrq(words)).unwrap()
}

fn ack(number: u16) -> Vec<u8> {
    [[0, 4], number.to_be_bytes()].concat()
}

/// The numbers of the blocks in a step.
fn numbers(step: Step) -> Vec<u16> {
    let Step::Send(out) = step else { panic!("{step:?}") };
    out.iter()
        .map(|out| if let Out::Data { number, .. } = out { *number } else { panic!("{out:?}") })
        .collect()
}

fn started(words: &[&str], size: u64) -> Transfer {
    let mut transfer = Transfer::new(&request(words), size, LIMITS);
    transfer.start();
    transfer
}

#[test]
fn names_are_read_as_firmware_writes_them() {
    for (sent, read) in [
        ("ipxe.efi", Some("ipxe.efi")),
        ("/ipxe.efi", Some("ipxe.efi")),
        ("\\moxxie\\ipxe.efi", Some("ipxe.efi")),
        ("//moxxie//autoexec.ipxe", Some("autoexec.ipxe")),
        ("moxxie/a/b", Some("a/b")),
        ("", None),
        ("/", None),
        ("moxxie/", None),
        ("..", None),
        ("../etc/passwd", None),
        ("a\\..\\b", None),
        ("a\nb", None),
        ("a\u{1b}[2J", None),
        ("\u{e4}", None),
    ] {
        let name = Request::parse(&rrq(&[sent, "octet"])).map(|request| request.name);
        let wanted = read.map(str::to_owned).ok_or(Refused::With(Code::Access, "bad file name"));
        assert_eq!(name, wanted, "{sent:?}");
    }
    assert!(Request::parse(&rrq(&[&"a".repeat(128), "octet"])).is_ok());
    assert!(Request::parse(&rrq(&[&"a".repeat(129), "octet"])).is_err());
    // DHCP option 67 read one byte too far.
    let marked = b"\0\x01undionly.kpxe\xff\0octet\0";
    assert_eq!(Request::parse(marked).unwrap().name, "undionly.kpxe");
    assert!(Request::parse(b"\0\x01a\xffb\0octet\0").is_err());
    assert!(Request::parse(b"\0\x01\xff\0octet\0").is_err());
}

#[test]
fn what_is_no_request_to_read() {
    let refused = |datagram: &[u8]| Request::parse(datagram).unwrap_err();
    let mut write = rrq(&["x", "octet"]);
    write[1] = 2;
    assert_eq!(refused(&write), Refused::With(Code::Access, "files cannot be written here"));
    for mode in ["netascii", "mail", ""] {
        let why = refused(&rrq(&["x", mode]));
        assert_eq!(why, Refused::With(Code::Illegal, "only mode octet (binary)"), "{mode}");
    }
    assert!(Request::parse(&rrq(&["x", "OcTeT"])).is_ok());
    for silent in [&[][..], &[0], &[0, 3, 0, 1], &ack(1), &[0, 5, 0, 0, 0], &[0, 6], &[0, 7], &[255; 600]] {
        assert_eq!(refused(silent), Refused::NoRequest, "{silent:?}");
    }
    let broken = Refused::With(Code::Illegal, "the request is cut off");
    for cut in [&b"\0\x01"[..], b"\0\x01x", b"\0\x01x\0", b"\0\x01x\0octet"] {
        assert_eq!(refused(cut), broken, "{cut:?}");
    }
}

#[test]
fn options_are_taken_in_their_order_or_left_out() {
    let of = |words: &[&str]| request(&[&["x", "octet"], words].concat()).options;
    // As EDK2 and iPXE ask.
    assert_eq!(
        of(&["tsize", "0", "BlkSize", "1468", "windowsize", "4", "timeout", "3", "multicast", ""]),
        [Asked::Size, Asked::BlockSize(1468), Asked::Window(4), Asked::Timeout(3)]
    );
    for (option, value) in [
        ("blksize", "7"),
        ("blksize", "65465"),
        ("blksize", "99999999999999999999"),
        ("blksize", "+512"),
        ("blksize", ""),
        ("timeout", "0"),
        ("timeout", "256"),
        ("windowsize", "0"),
        ("windowsize", "65536"),
        ("utimeout", "5"),
    ] {
        assert_eq!(of(&[option, value]), [], "{option} {value}");
    }
    assert_eq!(of(&["tsize", "0", "blksize"]), [Asked::Size], "an option without its value");
    let twice = Request::parse(&rrq(&["x", "octet", "tsize", "0", "TSIZE", "0"]));
    assert_eq!(twice, Err(Refused::With(Code::Options, "an option stands twice")));
}

#[test]
fn packets_are_written_as_the_standards_draw_them() {
    assert_eq!(packet::data(258, b"ab"), [0, 3, 1, 2, b'a', b'b']);
    assert_eq!(packet::error(Code::NotFound, "no"), [0, 5, 0, 1, b'n', b'o', 0]);
    assert_eq!(packet::options(&[("tsize", 10), ("blksize", 8)]), b"\0\x06tsize\x0010\0blksize\x008\0");
    assert_eq!(Heard::parse(&[0, 5, 0, 8, b'a', 7, b'b', 0, b'c']), Heard::Error(8, "a?b".into()));
    assert_eq!(Heard::parse(&[0, 5, 0, 8]), Heard::Error(8, String::new()));
    assert_eq!(Heard::parse(&[0, 4, 1]), Heard::Noise);
}

#[test]
fn without_options_the_first_block_is_the_answer() {
    let mut transfer = Transfer::new(&request(&["x", "octet", "blksize", "no"]), 1024, LIMITS);
    assert_eq!(transfer.start(), [Out::Data { number: 1, from: 0, to: 512 }]);
    assert_eq!(
        transfer.step(Event::Datagram(&ack(1))),
        Step::Send(vec![Out::Data { number: 2, from: 512, to: 1024 }])
    );
    // A file of whole blocks ends with an empty one.
    let last = Out::Data { number: 3, from: 1024, to: 1024 };
    assert_eq!(transfer.step(Event::Datagram(&ack(2))), Step::Send(vec![last]));
    assert_eq!(transfer.step(Event::Datagram(&ack(3))), Step::End(End::Complete));
    assert_eq!(transfer.bytes(), 1024);
    // So does an empty file.
    let mut empty = Transfer::new(&request(&["x", "octet"]), 0, LIMITS);
    assert_eq!(empty.start(), [Out::Data { number: 1, from: 0, to: 0 }]);
    assert_eq!(empty.step(Event::Datagram(&ack(1))), Step::End(End::Complete));
}

#[test]
fn options_are_granted_within_the_limits() {
    let words = ["x", "octet", "tsize", "0", "blksize", "65464", "windowsize", "64", "timeout", "9"];
    let mut transfer = Transfer::new(&request(&words), 5000, LIMITS);
    let agreed: &[u8] = b"\0\x06tsize\x005000\0blksize\x001428\0windowsize\x0016\0timeout\x009\0";
    assert_eq!(transfer.start(), [Out::Packet(agreed.to_vec())]);
    // Until it is heard, a client cannot have a place kept by a long wait.
    assert_eq!(transfer.wait(), Duration::from_secs(8));
    assert_eq!(transfer.step(Event::Datagram(&ack(1))), Step::Wait, "nothing was sent that this could be");
    assert_eq!(numbers(transfer.step(Event::Datagram(&ack(0)))), [1, 2, 3, 4]);
    assert_eq!(transfer.wait(), Duration::from_secs(9));
    assert_eq!(transfer.step(Event::Datagram(&ack(4))), Step::End(End::Complete));
}

#[test]
fn duplicates_do_not_multiply() {
    let mut transfer = started(&["x", "octet"], 5000);
    assert_eq!(numbers(transfer.step(Event::Datagram(&ack(1)))), [2]);
    for old in [1, 0, 65535, 3, 40000] {
        assert_eq!(transfer.step(Event::Datagram(&ack(old))), Step::Wait, "{old}");
    }
    // In windows one is a missing block, and the others are its echo.
    let mut transfer = started(&["x", "octet", "windowsize", "4"], 50_000);
    transfer.step(Event::Datagram(&ack(0)));
    assert_eq!(numbers(transfer.step(Event::Datagram(&ack(2)))), [3, 4, 5, 6]);
    assert_eq!(numbers(transfer.step(Event::Datagram(&ack(2)))), [3, 4, 5, 6]);
    assert_eq!(transfer.step(Event::Datagram(&ack(2))), Step::Wait);
    assert_eq!(numbers(transfer.step(Event::Datagram(&ack(6)))), [7, 8, 9, 10]);
    assert_eq!(transfer.step(Event::Datagram(&ack(6))), Step::Wait);
}

#[test]
fn silence_is_answered_a_few_times() {
    let mut unheard = started(&["x", "octet"], 5000);
    for wait in [1, 2, 4] {
        assert_eq!(unheard.wait(), Duration::from_secs(wait));
        assert_eq!(numbers(unheard.step(Event::Silence)), [1]);
    }
    assert_eq!(unheard.step(Event::Silence), Step::End(End::Silent));
    let mut heard = started(&["x", "octet"], 1000);
    heard.step(Event::Datagram(&ack(1)));
    for _ in 0..5 {
        assert_eq!(numbers(heard.step(Event::Silence)), [2]);
        assert_eq!(heard.step(Event::Datagram(b"noise")), Step::Wait);
    }
    assert_eq!(heard.wait(), Duration::from_secs(8));
    // Everything was sent: some ROMs start the loader at once.
    assert_eq!(heard.step(Event::Silence), Step::End(End::Unconfirmed));
}

#[test]
fn a_client_may_only_ask_for_the_size() {
    let abort = b"\0\x05\0\x08User aborted the transfer\0";
    let mut transfer = started(&["x", "octet", "tsize", "0"], 5000);
    assert_eq!(transfer.step(Event::Datagram(abort)), Step::End(End::SizeOnly));
    let mut transfer = started(&["x", "octet", "tsize", "0"], 5000);
    transfer.step(Event::Datagram(&ack(0)));
    let end = End::Aborted(8, "User aborted the transfer".into());
    assert_eq!(transfer.step(Event::Datagram(abort)), Step::End(end));
}

#[test]
fn block_numbers_go_round() {
    for window in ["1", "16"] {
        let size = 70_000 * 512 + 7;
        let mut transfer = started(&["x", "octet", "windowsize", window], size);
        let mut step = transfer.step(Event::Datagram(&ack(0)));
        let (mut blocks, mut expected) = (0u64, 0u64);
        while let Step::Send(out) = &step {
            let mut last = 0;
            for out in out {
                let Out::Data { number, from, to } = out else { panic!() };
                assert_eq!((*from, u64::from(*number)), (expected, (blocks + 1) % 65536));
                (blocks, expected, last) = (blocks + 1, *to, *number);
            }
            step = transfer.step(Event::Datagram(&ack(last)));
        }
        assert_eq!((step, expected, blocks), (Step::End(End::Complete), size, 70_001));
    }
}

/// What firmware does, as EDK2 does it: whatever block it did not expect, it repeats what it said.
struct Client {
    block: usize,
    window: u64,
    got: Vec<u8>,
    blocks: u64,
    said: u16,
    done: bool,
}

impl Client {
    /// What it answers to a packet.
    fn hear(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        match packet[1] {
            6 => return (self.blocks == 0).then(|| ack(0)),
            3 => {}
            other => panic!("opcode {other}"),
        }
        if number != (self.blocks + 1) as u16 || self.done {
            return Some(ack(self.said));
        }
        self.blocks += 1;
        self.got.extend_from_slice(&packet[4..]);
        self.done = packet.len() < 4 + self.block;
        if !self.done && !self.blocks.is_multiple_of(self.window) {
            return None;
        }
        self.said = number;
        Some(ack(number))
    }
}

/// Plays a transfer over a network that treats packets by these fates, and well after them: the end,
/// what the client got, how many blocks were sent.
fn play(size: usize, block: u16, window: u16, fates: &[u8]) -> (End, bool, usize) {
    let file: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    let (b, w) = (block.to_string(), window.to_string());
    let mut transfer =
        Transfer::new(&request(&["x", "octet", "blksize", &b, "windowsize", &w]), size as u64, LIMITS);
    let (block, window) = (usize::from(block), u64::from(window));
    let mut client = Client { block, window, got: vec![], blocks: 0, said: 0, done: false };
    let (mut down, mut up): (VecDeque<Vec<u8>>, VecDeque<Vec<u8>>) = Default::default();
    let mut fates = fates.iter().copied();
    let mut travel = move |queue: &mut VecDeque<Vec<u8>>, packet: Vec<u8>| match fates.next() {
        Some(0) => {}
        Some(1) => queue.extend([packet.clone(), packet]),
        Some(2) => queue.push_front(packet),
        _ => queue.push_back(packet),
    };
    let mut sent = 0;
    let mut step = Step::Send(transfer.start());
    loop {
        match step {
            Step::End(end) => return (end, client.got == file, sent),
            Step::Wait => {}
            Step::Send(out) => {
                for out in out {
                    sent += 1;
                    let packet = match out {
                        Out::Packet(packet) => packet,
                        Out::Data { number, from, to } => {
                            packet::data(number, &file[from as usize..to as usize])
                        }
                    };
                    travel(&mut down, packet);
                }
            }
        }
        if let Some(packet) = down.pop_front() {
            if let Some(answer) = client.hear(&packet) {
                travel(&mut up, answer);
            }
            step = Step::Wait;
        } else if let Some(packet) = up.pop_front() {
            step = transfer.step(Event::Datagram(&packet));
        } else {
            step = transfer.step(Event::Silence);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_bad_network_delays_and_does_not_damage(
        size in 0usize..4000, block in 8u16..200, window in 1u16..16,
        fates in prop::collection::vec(0u8..8, 0..200),
    ) {
        let (end, whole, sent) = play(size, block, window, &fates);
        // Complete says that the client has the file, byte for byte.
        prop_assert!(end != End::Complete || whole);
        prop_assert!(matches!(end, End::Complete | End::Silent | End::Unconfirmed), "{end:?}");
        // Duplicates die out: what is sent is the file, and some windows for each mishap.
        let blocks = size / usize::from(block) + 2;
        let mishaps = fates.iter().filter(|fate| **fate < 3).count();
        let most = blocks + (mishaps + 1) * 4 * (usize::from(window) + 1);
        prop_assert!(sent <= most, "{sent} packets for {blocks} blocks and {mishaps} mishaps");
    }

    #[test]
    fn few_losses_are_always_made_good(
        size in 0usize..4000, block in 8u16..200, window in 1u16..16,
        lost in prop::collection::vec(0usize..60, 0..3),
    ) {
        let fates: Vec<u8> = (0..60).map(|n| if lost.contains(&n) { 0 } else { 9 }).collect();
        let (end, whole, _) = play(size, block, window, &fates);
        prop_assert_eq!((end, whole), (End::Complete, true));
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Heard::parse(&bytes);
        for code in [1, 2] {
            let datagram = [&[0, code], bytes.as_slice()].concat();
            if let Ok(request) = Request::parse(&datagram) {
                prop_assert!(code == 1 && request.name.bytes().all(|b| matches!(b, b' '..=b'~')));
                prop_assert!(!request.name.contains("..") && request.options.len() <= 4);
                let mut transfer = Transfer::new(&request, 5000, LIMITS);
                // What anybody can cause in anybody's name.
                let first = transfer.start();
                prop_assert!(first.len() == 1);
            }
        }
        let mut transfer = started(&["x", "octet", "windowsize", "3"], 5000);
        transfer.step(Event::Datagram(&bytes));
    }

    #[test]
    fn every_truncation_is_read_without_harm(cut in 0usize..80) {
        let whole = rrq(&["moxxie/ipxe.efi", "octet", "tsize", "0", "blksize", "1468", "windowsize", "4"]);
        let _ = Request::parse(&whole[..cut.min(whole.len())]);
    }
}
