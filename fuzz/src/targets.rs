//! One function for each fuzz target: any bytes in, no answer out. Beside "no panic" each holds
//! what it reads against a rule of its own, so that a wrong answer is found as well as a crash.

use super::subject::range::{self, Part};
use super::subject::{Query, iso, yaml};
use axum::http::{HeaderMap, HeaderValue, header};
use ipnet::IpNet;
use moxxie_core::boot::claims::BootClaims;
use moxxie_core::forwarded::{Lines, client};
use moxxie_core::ipxe::interpreter::{Client, Reply};
use moxxie_core::mac::MacAddr;
use moxxie_core::machine::{MachineUuid, Serial, free_text};
use moxxie_core::net::{self, Networks};
use moxxie_core::params::Params;
use moxxie_core::proxy::{self, Progress};
use moxxie_core::render::{self, RenderContext};
use moxxie_core::site::Site;
use moxxie_core::token::{PresentedToken, Purpose, SessionId, SiteKey, mask_tokens, mint};
use std::fmt::Write as _;
use std::net::IpAddr;

/// What one input is judged by.
pub type Target = fn(&[u8]);

/// All of them, by the name of their folder in `corpus/`.
pub const ALL: &[(&str, Target)] = &[
    ("cidr", cidr),
    ("claims", claims),
    ("forwarded", forwarded),
    ("iso", iso),
    ("kernel_args", kernel_args),
    ("mac", mac),
    ("proxy", proxy),
    ("query", query),
    ("range", range),
    ("template", template),
    ("token", token),
    ("uuid", uuid),
    ("yaml", yaml),
];

/// One printable line: what may go into a log or onto a console.
fn is_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// A MAC address: read in one way, printed in one way.
pub fn mac(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<MacAddr>() {
        Ok(mac) => {
            let shown = mac.to_string();
            assert_eq!(shown.len(), 17);
            assert_eq!(shown.parse(), Ok(mac));
            assert_eq!(mac.hyphenated().parse(), Ok(mac));
            // Nothing was made up and nothing was cut off: the digits are those of the text.
            let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
            let digits = if digits.len() == 14 { &digits[2..] } else { &digits };
            assert_eq!(digits.to_ascii_lowercase(), shown.replace(':', ""));
        }
        Err(error) => assert!(is_line(&error.to_string())),
    }
}

/// A UUID in any spelling, and a serial number.
pub fn uuid(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(uuid) = text.parse::<MachineUuid>() {
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
        assert_eq!(uuid.swapped().swapped(), uuid);
        assert!(uuid.same_machine(&uuid.swapped()));
        assert_eq!(uuid.key(), uuid.swapped().key());
    }
    let free = free_text(&text);
    assert!(is_line(&free) && free.chars().count() <= 128);
    if let Some(serial) = Serial::known(&free) {
        assert_eq!(Serial::known(serial.as_str()), Some(serial));
    }
}

/// A query string, decoded exactly once.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(query) = Query::parse(text) else {
        assert!(text.contains('%'), "only a percent sign can be wrong");
        return;
    };
    let mut again = String::new();
    for (name, value) in query.pairs() {
        for (part, end) in [(name, '='), (value, '&')] {
            part.bytes().for_each(|byte| write!(again, "%{byte:02X}").unwrap_or(()));
            again.push(end);
        }
    }
    assert_eq!(Query::parse(&again).as_ref(), Ok(&query));
    for (name, value) in query.pairs() {
        match query.one(name) {
            Ok(found) => assert_eq!(found, Some(value)),
            Err(_) => assert!(query.repeats(), "no first and no last one wins"),
        }
    }
}

/// What a machine says of itself.
pub fn claims(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(query) = Query::parse(text) else { return };
    match BootClaims::parse(query.pairs()) {
        Ok(claims) => {
            assert!(!query.repeats());
            assert!(is_line(&claims.label()));
            let texts =
                [&claims.asset, &claims.arch, &claims.platform, &claims.manufacturer, &claims.product];
            for text in texts.into_iter().flatten() {
                assert!(is_line(text) && !text.is_empty() && text.chars().count() <= 128, "{text:?}");
            }
            assert!(claims.other_macs.len() <= 7);
            assert!(!claims.other_macs.iter().any(|mac| Some(*mac) == claims.mac));
        }
        Err(error) => assert!(is_line(&error.short()) && error.short().len() <= 100, "{error}"),
    }
}

/// Networks, one a line, and an address on the last: read strictly, and held against a plain walk
/// over what was read.
pub fn cidr(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (lines, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let read: Vec<IpNet> = lines.lines().filter_map(|line| net::read(line).ok()).collect();
    for network in &read {
        assert_eq!(network.trunc(), *network, "no host bits");
        assert_eq!(net::read(&network.to_string()).as_ref(), Ok(network), "it reads what it writes");
    }
    let Ok(ip) = last.parse::<IpAddr>() else { return };
    let networks: Networks = read.iter().copied().collect();
    let plain = ip.to_canonical();
    let walked = !plain.is_unspecified() && read.iter().any(|network| network.contains(&plain));
    assert_eq!(networks.contains(ip), walked, "{ip}");
    let network = Site::default().token_network(ip);
    assert!(network.contains(&plain));
}

/// Forwarding headers as a listed proxy passes them on: kind of header and value on each line.
pub fn forwarded(data: &[u8]) {
    let proxies: Networks = ["10.0.0.0/24", "fd00::/64"].iter().filter_map(|n| net::read(n).ok()).collect();
    let mut lines = Lines::default();
    for line in data.split(|byte| *byte == b'\n') {
        match line.split_first() {
            Some((b'x', value)) => lines.x_forwarded_for.push(value),
            Some((b'f', value)) => lines.forwarded.push(value),
            Some((b'r', value)) => lines.x_real_ip.push(value),
            _ => {}
        }
    }
    let stranger = IpAddr::from([192, 0, 2, 1]);
    assert_eq!(client(stranger, &lines, &proxies), Ok(stranger), "nobody believes a stranger");
    if let Ok(found) = client(IpAddr::from([10, 0, 0, 9]), &lines, &proxies) {
        assert_eq!(found, found.to_canonical());
        // What the client adds at the left of the list changes nothing.
        if !lines.x_forwarded_for.is_empty() && lines.forwarded.is_empty() && !proxies.contains(found) {
            lines.x_forwarded_for.insert(0, b"203.0.113.66");
            let again = client(IpAddr::from([10, 0, 0, 9]), &lines, &proxies);
            assert!(again.is_err() || again == Ok(found));
        }
    }
}

/// A PROXY header at the beginning of a connection, read as the server reads it: never past its
/// end, never beyond its bound, and always a step further.
pub fn proxy(data: &[u8]) {
    let mut taken = 0;
    while let Ok(Progress::More(more)) = proxy::read(&data[..taken]) {
        assert!(more > 0 && taken + more <= proxy::MAX_V2 + 16, "{taken} and {more}");
        if taken + more > data.len() {
            return;
        }
        taken += more;
    }
}

/// `Range`, `If-Range` and `If-None-Match`, one a line after the size of the file.
pub fn range(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let size = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok()).unwrap_or(0);
    let mut headers = HeaderMap::new();
    let names = [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::RANGE];
    for (name, line) in names.into_iter().zip(lines) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            headers.append(name, value);
        }
    }
    match range::part(&headers, "\"abc\"", size) {
        Part::Bytes { first, last } => assert!(first <= last && last < size, "{first}-{last} of {size}"),
        Part::Outside => assert_eq!(headers.get_all(header::RANGE).iter().count(), 1),
        Part::NotModified => assert!(headers.contains_key(header::IF_NONE_MATCH)),
        Part::Whole => {}
    }
}

/// Kernel arguments: what was accepted, iPXE reads word for word, and nothing else.
pub fn kernel_args(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match render::split_args(text) {
        Ok(words) => {
            let mut script = "#!ipxe\nset x before".to_owned();
            words.iter().for_each(|word| write!(script, " {word}").unwrap_or(()));
            script.push_str("\nset y after\n");
            let run = Client::bios().run(&script, &mut |_: &str| Reply::not_found());
            let mut first = vec!["set", "x", "before"];
            first.extend(words.iter().map(|word| word.as_str()));
            assert_eq!(run.commands, [first, vec!["set", "y", "after"]]);
        }
        Err(error) => assert!(is_line(&error.to_string())),
    }
}

/// A value of the context that nobody may read out of an error.
const CANARY: &str = "dE4r-c4n4ry";

/// A template, as kernel arguments and as a config.
pub fn template(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let params = [("name", "n1"), ("password", CANARY)].map(|(key, value)| (key.to_owned(), value.into()));
    let context = RenderContext { params: Params::from_iter(params), ..RenderContext::default() };
    for what in [render::BOOT_PARAMS, render::CONFIG_TEMPLATE] {
        let errors = [
            render::render(source, &context, what).map(|text| assert!(text.len() <= render::MAX_OUTPUT)),
            render::check(source, what, std::slice::from_ref(&context), &RenderContext::default()),
        ];
        for error in errors.into_iter().filter_map(Result::err) {
            assert!(source.contains(CANARY) || !error.to_string().contains(CANARY), "{error}");
        }
    }
    let _ = render::used_params(source);
}

/// What was read as YAML is written so that it is read alike. Nothing that is refused runs long.
pub fn yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let documents = match yaml::read(text) {
        Ok(documents) => documents,
        Err(error) => {
            assert!(error.line >= 1 && error.column >= 1, "{error}");
            return;
        }
    };
    // Written with escapes and indents a text of the largest size would be too large.
    if text.len() <= 4096 {
        let values: Vec<_> = documents.iter().map(|document| &document.value).collect();
        let written = yaml::write_all(values.iter().copied());
        let again = yaml::read(&written);
        let again: Vec<_> = again.iter().flatten().map(|document| &document.value).collect();
        assert_eq!(again, values, "{written}");
    }
}

/// A boot token that nobody minted opens nothing, and one that stands in a text is masked.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let key = SiteKey::new([7; 32]);
    if let Some(token) = PresentedToken::parse(text) {
        assert!(!token.is_genuine(&key, "a1", 1, Purpose::Config), "forged");
        assert_eq!(mask_tokens(text), moxxie_core::secret::MASK);
    }
    let minted = mint(&key, SessionId([9; 16]), text, 1, Purpose::Report);
    assert!(PresentedToken::parse(&minted).is_some_and(|token| {
        token.is_genuine(&key, text, 1, Purpose::Report) && !token.is_genuine(&key, text, 1, Purpose::Config)
    }));
    let masked = mask_tokens(&format!("{text} {minted} {text}"));
    assert!(!masked.contains(&minted));
    assert_eq!(mask_tokens(&masked), masked);
    let _ = SiteKey::from_hex(text);
}

/// Bytes of a sector of an image, and how many there are.
const SECTOR: usize = 2048;
const SECTORS: usize = 64;

/// An image of zeros with these pieces in it: `sector, offset (two bytes, the lower first), length`
/// and so many bytes. A kilobyte says what an image of 128 KiB is.
fn disc(mut pieces: &[u8]) -> Vec<u8> {
    let mut image = vec![0; SECTORS * SECTOR];
    while let [sector, low, high, length, rest @ ..] = pieces {
        let at =
            usize::from(*sector) % SECTORS * SECTOR + usize::from(u16::from_le_bytes([*low, *high])) % SECTOR;
        let (bytes, next) = rest.split_at(usize::from(*length).min(rest.len()));
        let length = bytes.len().min(image.len() - at);
        image[at..at + length].copy_from_slice(&bytes[..length]);
        pieces = next;
    }
    image
}

/// An image: whatever it says, its files lie inside of it and have names without a way out.
pub fn iso(data: &[u8]) {
    let image = disc(data);
    match iso::read(image.as_slice(), image.len() as u64) {
        Ok(index) => {
            for (path, member) in index.files() {
                assert!(index.find(path).is_ok(), "{path}");
                assert!(!path.split('/').any(|part| matches!(part, "" | "." | "..")), "{path}");
                let ends = member.extents.iter().map(|extent| extent.first + extent.length);
                assert!(ends.max().unwrap_or(0) <= image.len() as u64, "{path}");
            }
            let _ = index.find("../x");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(is_line(&text) && text.chars().count() < 300, "{text:?}");
        }
    }
}
