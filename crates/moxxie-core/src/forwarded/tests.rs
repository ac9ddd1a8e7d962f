//! Whom headers tell of, and what is not read.

use super::*;
use proptest::prelude::*;

const PROXY: &str = "10.9.0.1";

fn proxies() -> Networks {
    Networks::read(["10.9.0.0/24", "fd09::/64"]).unwrap()
}

fn ask(peer: &str, lines: &[(&str, &str)]) -> Result<String, BadForwarded> {
    let all = |name: &str| lines.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_bytes()).collect();
    let lines = Lines { x_forwarded_for: all("xff"), forwarded: all("fwd"), x_real_ip: all("real") };
    client(peer.parse().unwrap(), &lines, &proxies()).map(|ip| ip.to_string())
}

#[test]
fn lists_are_read_from_the_right() {
    for (lines, client) in [
        (&[][..], PROXY),
        (&[("xff", "1.2.3.4")], "1.2.3.4"),
        (&[("xff", "9.9.9.9, 1.2.3.4")], "1.2.3.4"),
        (&[("xff", "9.9.9.9,1.2.3.4 ,\t10.9.0.2")], "1.2.3.4"),
        (&[("xff", "9.9.9.9"), ("xff", "1.2.3.4"), ("xff", "10.9.0.2, 10.9.0.3")], "1.2.3.4"),
        (&[("xff", "10.9.0.3, 10.9.0.2")], "10.9.0.3"),
        (&[("xff", "1.2.3.4:5555")], "1.2.3.4"),
        (&[("xff", "2001:db8::1")], "2001:db8::1"),
        (&[("xff", "[2001:db8::1]")], "2001:db8::1"),
        (&[("xff", "[2001:db8::1]:443")], "2001:db8::1"),
        (&[("xff", "::ffff:1.2.3.4")], "1.2.3.4"),
        (&[("xff", "1.2.3.4, ::ffff:10.9.0.2")], "1.2.3.4"),
        (&[("xff", "::10.9.0.2")], "::a09:2"),
        (&[("fwd", "for=1.2.3.4")], "1.2.3.4"),
        (&[("fwd", "For=1.2.3.4;proto=http;by=10.9.0.1")], "1.2.3.4"),
        (&[("fwd", "proto=http; FOR=\"[::1]\"")], "::1"),
        (&[("fwd", "for=\"[2001:db8::1]:80\", for=10.9.0.2")], "2001:db8::1"),
        (&[("fwd", "for=9.9.9.9;host=\"a,for=8.8.8.8;\\\"\", for=1.2.3.4")], "1.2.3.4"),
        (&[("fwd", "for=1.2.3.4:80")], "1.2.3.4"),
        (&[("fwd", "for=9.9.9.9"), ("fwd", "for=1.2.3.4")], "1.2.3.4"),
        (&[("fwd", "for=\"1.2.3\\.4\"")], "1.2.3.4"),
        (&[("fwd", "for=1.2.3.4"), ("xff", "1.2.3.4")], "1.2.3.4"),
        (&[("real", "1.2.3.4")], "1.2.3.4"),
        (&[("real", "1.2.3.4"), ("xff", "9.9.9.9, 1.2.3.4")], "1.2.3.4"),
        (&[("real", "10.9.0.2"), ("xff", "1.2.3.4")], "1.2.3.4"),
    ] {
        assert_eq!(ask(PROXY, lines), Ok(client.to_owned()), "{lines:?}");
        // Nobody else is listened to, and a proxy is known in both spellings.
        assert_eq!(ask("10.8.0.1", lines), Ok("10.8.0.1".to_owned()), "{lines:?}");
        let mapped = ask(&format!("::ffff:{PROXY}"), lines);
        assert_eq!(mapped, Ok(client.to_owned()), "{lines:?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused() {
    let long = format!("1.2.3.4{}", " ".repeat(MAX_BYTES));
    let hops = |n| vec!["1.2.3.4"; n].join(",");
    assert_eq!(ask(PROXY, &[("xff", &hops(MAX_HOPS))]), Ok("1.2.3.4".into()));
    for (lines, error) in [
        (&[("xff", long.as_str())][..], BadForwarded::TooLong),
        (&[("real", long.as_str())], BadForwarded::TooLong),
        (&[("xff", &hops(MAX_HOPS + 1))], BadForwarded::TooManyHops),
        (&[("xff", &hops(20)), ("xff", &hops(20))], BadForwarded::TooManyHops),
        (&[("fwd", "for=1.2.3.4"), ("xff", "4.3.2.1")], BadForwarded::Disagree),
        // The client's own list, which the proxy passed through.
        (&[("real", "9.9.9.9"), ("xff", "1.2.3.4")], BadForwarded::Disagree),
        (&[("real", "unknown"), ("xff", "1.2.3.4")], BadForwarded::Unreadable),
    ] {
        assert_eq!(ask(PROXY, lines), Err(error), "{lines:?}");
        assert_eq!(ask("10.8.0.1", lines), Ok("10.8.0.1".into()), "not looked at");
    }
    for xff in [
        "",
        " ",
        ",",
        "1.2.3.4,",
        ",1.2.3.4",
        "unknown",
        "unknown, 1.2.3.4",
        "_hidden",
        "_hidden, 1.2.3.4",
        "fe80::1%eth0",
        "[fe80::1%1]",
        "fe80::1%25eth0",
        "010.0.0.1",
        "1.2.3",
        "0x1.2.3.4",
        "16909060",
        "1.2.3.4:",
        "1.2.3.4:x",
        "1.2.3.4:65536",
        "1.2.3.4:+1",
        "1.2.3.4:80:80",
        "[1.2.3.4]",
        "[::1",
        "::1]",
        "[::1]80",
        "[::1]:",
        "[::1]:_x",
        "\"1.2.3.4\"",
        "\"1.2.3.4",
        "1.2.3.4 5.6.7.8",
        "1.2.3.4;5.6.7.8",
        "for=1.2.3.4",
        "localhost",
        "１.2.3.4",
        "1.2.3.4/32",
        "1.2.3.4\u{a0}",
    ] {
        assert_eq!(ask(PROXY, &[("xff", xff)]), Err(BadForwarded::Unreadable), "{xff:?}");
        // With one address that could be read beside it.
        if xff != "1.2.3.4 5.6.7.8" {
            let beside = [("xff", "1.2.3.4"), ("xff", xff)];
            assert_eq!(ask(PROXY, &beside), Err(BadForwarded::Unreadable), "{xff:?}");
        }
    }
    for fwd in [
        "",
        "for=",
        "for",
        "for=\"\"",
        "for=unknown",
        "for=_x",
        "for=\"_x:80\"",
        "for=\"1.2.3.4",
        "proto=http",
        "for=1.2.3.4;for=1.2.3.4",
        "for=1.2.3.4,",
        "for=1.2.3.4, proto=http",
        "for=\"::1\"",
        "for=::1",
        "for=\"[::1%lo]\"",
        "for =1.2.3.4",
        "for= 1.2.3.4",
        "for=\"1.2.3.4\\\"",
        "for=\"a\"b",
        "1.2.3.4",
    ] {
        assert_eq!(ask(PROXY, &[("fwd", fwd)]), Err(BadForwarded::Unreadable), "{fwd:?}");
    }
    for real in ["", "unknown", "1.2.3.4, 5.6.7.8", "fe80::1%eth0"] {
        assert_eq!(ask(PROXY, &[("real", real)]), Err(BadForwarded::Unreadable), "{real:?}");
    }
    let twice = [("real", "1.2.3.4"), ("real", "1.2.3.4")];
    assert_eq!(ask(PROXY, &twice), Err(BadForwarded::Unreadable));
    let lines = Lines { x_forwarded_for: vec![b"\xff"], ..Lines::default() };
    assert!(client(PROXY.parse().unwrap(), &lines, &proxies()).is_err());
}

proptest! {
    /// Whatever a client writes, it is never taken for anybody but itself behind a proxy that
    /// adds the address it was reached from.
    #[test]
    fn nobody_passes_for_another(
        lies in prop::collection::vec((any::<bool>(), "[ -~]{0,40}|(for=)?[0-9.:,=\";\\\\]{0,20}|(for=)?6\\.6\\.6\\.6"), 0..4),
        address in any::<u32>(),
        standard in any::<bool>(),
        same_line in any::<bool>(),
    ) {
        let real = IpAddr::V4(Ipv4Addr::from_bits(address));
        prop_assume!(!proxies().contains(real));
        let own = match standard {
            true => format!("for=\"{real}\""),
            false => real.to_string(),
        };
        let (mut plain, mut forwarded): (Vec<String>, Vec<String>) = (vec![], vec![]);
        for (which, lie) in lies {
            if which { &mut forwarded } else { &mut plain }.push(lie);
        }
        let to = if standard { &mut forwarded } else { &mut plain };
        match to.last_mut() {
            Some(line) if same_line => line.push_str(&format!(", {own}")),
            _ => to.push(own),
        }
        let lines = Lines {
            x_forwarded_for: plain.iter().map(|line| line.as_bytes()).collect(),
            forwarded: forwarded.iter().map(|line| line.as_bytes()).collect(),
            x_real_ip: vec![b"10.9.0.2"],
        };
        if let Ok(found) = client(PROXY.parse().unwrap(), &lines, &proxies()) {
            prop_assert_eq!(found, real);
        }
    }
}
