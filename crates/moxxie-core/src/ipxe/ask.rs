//! Scripts that ask the server again: with the machine's identity, or later.

use super::script::{PAUSE, TRIES};
use super::{Piece, Script, Text, Word};

/// What a machine says of itself. The booting NIC is `netX`; `net0` is the first by probe order
/// and may be another. Free text goes as `hex:` and `:hexraw`, because iPXE before November 2021
/// decodes and re-encodes a URL without protecting `&`, `=` and `#` in it.
const LABELS: &str = "mac=${netX/mac}&uuid=${uuid}&arch=${arch}&platform=${platform}&mac1=${net0/mac}\
    &mac2=${net1/mac}&mac3=${net2/mac}&ip=${ip}&serial=hex:${serial:hexraw}\
    &manufacturer=hex:${manufacturer:hexraw}&product=hex:${product:hexraw}&asset=hex:${asset:hexraw}";

/// Seconds that a last message stays on the screen.
pub(super) const READ: u32 = 20;

/// Brings the network up where it is not. An address alone is not enough: iPXE 2 may keep the one
/// that the firmware got and leave the NIC closed. `netX` is the NIC that was opened last
/// (`net/netdev_settings.c`), so it has an address only while one is open, and nothing here may open
/// another one: identity follows it.
const NETWORK: &str = "isset ${netX/mac} && isset ${ip} || dhcp ||";

/// For a machine that did not say who it is: fills in its identity and comes back to
/// `return_url`. Gives up after three tries, says what to check, and leaves the network boot with
/// an error, so that the firmware goes on to its next boot entry.
pub fn identify(return_url: &Word) -> String {
    identified("# Moxxie asks this machine who it is.", None, return_url)
}

/// The first script of an iPXE that came from elsewhere, as `autoexec.ipxe` beside it or embedded in
/// it: brings the network up, says who the machine is and goes on with the menu at this URL, three
/// tries.
pub fn autoexec(menu: &Word) -> String {
    identified(
        "# Moxxie: the first script of iPXE. It asks the server what this machine boots.",
        Some(NETWORK),
        menu,
    )
}

fn identified(first: &'static str, before: Option<&'static str>, url: &Word) -> String {
    let mut script = Script::new();
    script
        .fixed(first)
        // BIOS builds say i386 on 64-bit processors too, so the processor is asked; where
        // `cpuid` is missing (Arm, small builds) the build's own architecture decides.
        .fixed("cpuid --ext 29 && set arch amd64 || set arch i386")
        .fixed("iseq ${buildarch} x86_64 && set arch amd64 ||")
        .fixed("iseq ${buildarch} arm64 && set arch arm64 ||");
    let separator = if url.as_str().contains('?') { "&" } else { "?" };
    let full = [Piece::Word(url), Piece::Fixed(separator), Piece::Fixed(LABELS)];
    ask(&mut script, before, &full, &[Piece::Word(url)], PAUSE);
    script.finish()
}

/// "Come back later": says why, waits, asks again.
pub fn hold(message: &Text, seconds: u32, again: &Word) -> String {
    let mut script = Script::new();
    script
        .say(&[Piece::Fixed("Moxxie: "), Piece::Text(message)])
        .say(&[
            Piece::Fixed("Asking again in "),
            Piece::Number(seconds.into()),
            Piece::Fixed(" seconds; Ctrl-C asks now."),
        ])
        .wait(seconds);
    // No faster than the server wished, even while it does not answer.
    ask(&mut script, None, &[Piece::Word(again)], &[Piece::Word(again)], seconds.max(PAUSE));
    script.finish()
}

/// Chains to `url` in a bounded loop, after `before` each time; `shown` is the short form for
/// people. Ends the script.
fn ask(
    script: &mut Script,
    before: Option<&'static str>,
    url: &[Piece<'_>],
    shown: &[Piece<'_>],
    pause: u32,
) {
    let mut chain = url.to_vec();
    chain.push(Piece::Fixed(" ||"));
    script.fixed("set try 1").fixed(":ask");
    if let Some(before) = before {
        script.fixed(before);
    }
    script
        // --replace is a tail call: nothing below runs once the new script was accepted.
        .line("chain --replace --autofree -- ", &chain)
        .fixed("set why ${errno}")
        .say(&[
            Piece::Fixed("Moxxie: no usable answer (error ${why}), try ${try} of "),
            Piece::Number(TRIES.into()),
        ])
        .count_try(&[Piece::Fixed("failed")], &[Piece::Fixed("ask")], pause)
        .fixed(":failed")
        .say(&[Piece::Fixed(
            "Moxxie: this machine, MAC ${netX/mac}, address ${ip}, got no boot script from",
        )]);
    let mut line = vec![Piece::Fixed("  ")];
    line.extend_from_slice(shown);
    script
        .say(&line)
        .say(&[Piece::Fixed("Check that the Moxxie server runs, that this address is in its allowlist,")])
        .say(&[Piece::Fixed("and that the URL above is reachable from this network. Error: ${why}")])
        .say(&[Piece::Fixed("Going on to the next boot device.")])
        .wait(READ)
        .fixed("exit 1");
}
