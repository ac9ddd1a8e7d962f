//! What lists of networks hold, and what they refuse.

use super::*;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(texts: &[&str]) -> Networks {
    Networks::read(texts).unwrap()
}

#[test]
fn mapped_addresses_count_as_ipv4() {
    let nets = Networks::private();
    assert_eq!(nets.prefixes().len(), 10);
    assert!(nets.contains(ip("::ffff:10.0.0.5")) && nets.contains(ip("fe80::1")));
    for outside in ["8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8", "0.0.0.0", "::"] {
        assert!(!nets.contains(ip(outside)), "{outside}");
    }
    // A mapped network is an IPv4 one; no IPv6 network holds an IPv4 address.
    let mapped = set(&["::ffff:10.0.0.0/104"]);
    assert_eq!(mapped, set(&["10.0.0.0/8"]));
    assert!(mapped.contains(ip("10.1.2.3")) && !mapped.contains(ip("::10.1.2.3")));
    let wide = set(&["::/64", "2000::/3"]);
    for embedded in ["10.0.0.5", "::ffff:10.0.0.5"] {
        assert!(!wide.contains(ip(embedded)), "{embedded}");
    }
    // Other embeddings are not unwrapped: compatible, 6to4, NAT64.
    for embedded in ["::10.0.0.5", "2002:a00:5::", "64:ff9b::a00:5"] {
        assert!(!nets.contains(ip(embedded)), "{embedded}");
    }
}

#[test]
fn a_network_is_covered_as_a_whole_or_not() {
    let nets = set(&["10.0.0.0/24", "10.0.1.0/24", "fd00::/64"]);
    for (net, covered) in [
        ("10.0.0.0/23", true),
        ("10.0.1.7/32", true),
        ("10.0.0.0/22", false),
        ("10.0.2.0/24", false),
        ("fd00::/65", true),
        ("fd00::/63", false),
    ] {
        assert_eq!(nets.covers(&read(net).unwrap()), covered, "{net}");
    }
    assert_eq!(serde_json::to_value(&nets).unwrap(), serde_json::json!(nets.texts()));
    assert!(serde_json::from_value::<Networks>(serde_json::json!(["10.0.0.1/8"])).is_err());
}

#[test]
fn bad_texts_are_named_with_what_was_meant() {
    for (text, says) in [
        ("", "is empty"),
        (" ", "is empty"),
        ("10.0.0.0/33", "longer than 32 bits"),
        ("fd00::/129", "longer than 128 bits"),
        ("10.0.0.0/999", "longer than 32 bits"),
        ("10.0.0.0/", "no prefix length"),
        ("10.0.0.0/-1", "no prefix length"),
        ("10.0.0.0/+8", "no prefix length"),
        ("10.0.0.0/08", "no prefix length"),
        ("10.0.0.0/8/8", "no prefix length"),
        ("10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("fd00::1/8", "did you mean fd00::/8?"),
        ("::ffff:10.0.0.1/104", "did you mean 10.0.0.0/8?"),
        ("::ffff:0:0/90", "host bits"),
        ("010.0.0.1", "octal; did you mean 10.0.0.1?"),
        ("10.00.0.0/16", "octal; did you mean 10.0.0.0/16?"),
        ("::ffff:010.0.0.1", "octal; did you mean ::ffff:10.0.0.1?"),
        ("10.0.0.0/255.0.0.0", "did you mean 10.0.0.0/8?"),
        ("10.0.0.0/255.0.255.0", "no prefix length"),
        ("fe80::1%eth0", "did you mean fe80::1?"),
        ("0.0.0.0/0", "write \"any\""),
        ("::/0", "write \"any\""),
        ("::ffff:0:0/96", "write \"any\""),
        ("10.0.0", "is not an address"),
        ("10.0.0.0 /8", "is not an address"),
        (" 10.0.0.0/8", "is not an address"),
        ("0x0a.0.0.1", "is not an address"),
        ("167772161", "is not an address"),
        ("example.com", "is not an address"),
        ("[fd00::1]", "is not an address"),
        ("10.0.0.1:80", "is not an address"),
        ("١٠.0.0.1", "is not an address"),
    ] {
        let error = Networks::read([text]).expect_err(text).to_string();
        assert!(error.contains(says), "{text:?}: {error}");
    }
    assert!(!set(&["0.0.0.0"]).contains(ip("0.0.0.0")), "it can be written, and is nobody's");
    let long = read(&"x".repeat(5000)).unwrap_err().to_string();
    assert!(long.len() < 200, "{long}");
}

#[test]
fn every_address_has_to_be_said() {
    let any = set(&["any"]);
    assert!(any.is_any() && any.contains(ip("8.8.8.8")) && any.contains(ip("2001:db8::1")));
    assert!(!any.contains(ip("0.0.0.0")));
    assert_eq!((any.texts(), any.clone()), (vec!["any".to_owned()], Networks::any()));
    assert!(read("any").is_err(), "one network is wanted");
    // Two halves are somebody's own decision.
    let halves = set(&["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]);
    assert!(halves.is_any() && !set(&["0.0.0.0/1", "128.0.0.0/1"]).is_any());
    assert_eq!(any.example(), Some(ip("0.0.0.1")));
    assert_eq!(set(&["10.1.0.0/24", "10.0.0.0/24"]).example(), Some(ip("10.1.0.1")));
    let none = set(&[]);
    assert!(none.is_empty() && none.example().is_none() && !none.contains(ip("10.0.0.1")));
}

proptest! {
    #[test]
    fn look_ups_agree_with_a_scan(
        nets in prop::collection::vec((any::<bool>(), any::<u128>(), 1u8..=128), 0..40),
        asked in prop::collection::vec((any::<bool>(), any::<u128>(), 0usize..40), 1..40),
    ) {
        let address = |v4: bool, bits: u128| match v4 {
            true => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
            false => IpAddr::V6(Ipv6Addr::from_bits(bits)),
        };
        let nets: Vec<IpNet> = nets.into_iter()
            .filter_map(|(v4, bits, length)| {
                IpNet::new(address(v4, bits), if v4 { length % 32 + 1 } else { length }).ok()
            })
            .map(|net| net.trunc())
            .collect();
        let set: Networks = nets.iter().copied().collect();
        for (v4, bits, near) in asked {
            // Half of them at the edges of a network.
            let edge = nets.get(near).map(|net| if v4 { net.network() } else { net.broadcast() });
            let ip = edge.unwrap_or(address(v4, bits)).to_canonical();
            let scan = !ip.is_unspecified() && nets.iter().any(|net| canonical(*net).contains(&ip));
            prop_assert_eq!(set.contains(ip), scan, "{} in {:?}", ip, set);
        }
    }

    #[test]
    fn reading_never_panics_and_gives_back_what_it_says(text in "[0-9a-f.:/%x -]{0,24}") {
        if let Ok(net) = read(&text) {
            prop_assert_eq!(read(&net.to_string()), Ok(net));
        }
    }
}

#[test]
fn a_hundred_thousand_networks() {
    // A fixed walk through the numbers (Weyl sequence).
    let number = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let nets: Vec<IpNet> = (1..=100_000)
        .map(|n| {
            let bits = (number(n) >> 32) as u32;
            IpNet::new(Ipv4Addr::from_bits(bits).into(), 18 + (n % 15) as u8).unwrap().trunc()
        })
        .collect();
    let set: Networks = nets.iter().copied().collect();
    for n in 1..=20 {
        let ip = IpAddr::V4(Ipv4Addr::from_bits((number(n + 1_000_000) >> 32) as u32));
        assert_eq!(set.contains(ip), nets.iter().any(|net| net.contains(&ip)), "{ip}");
    }
    // As many look-ups as a scan would not come to an end with here.
    let found =
        (1..=200_000).filter(|n| set.contains(IpAddr::V4(Ipv4Addr::from_bits((number(*n) >> 32) as u32))));
    assert!(found.count() >= 100_000, "each network's own number is in it");
}
