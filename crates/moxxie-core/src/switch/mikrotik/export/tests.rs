use super::*;
use crate::switch::mikrotik::RouterString;
use proptest::prelude::*;

fn one(text: &str) -> Command {
    let mut all = commands(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[test]
fn exports_of_both_versions() {
    let normal = "# 2026-11-02 10:00:00 by RouterOS 7.20.1\n# software id = ABCD-EFGH\n#\n# model = RB5009\n\
        /ip dhcp-server option\r\nadd code=67 force=yes name=moxxie-bf-x64 value=\"s'ipx\\\r\n    e.efi'\"\n\
        /ip dhcp-server network\nadd address=10.0.0.0/24 comment=\"a \\\"b\\\" \\24c\" \\\n    gateway=10.0.0.1\n";
    let all = commands(normal);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].menu.as_str(), all[0].verb.as_str()), ("/ip dhcp-server option", "add"));
    assert_eq!(all[0].text("value"), "s'ipxe.efi'");
    assert_eq!(all[1].menu, "/ip dhcp-server network");
    assert_eq!((all[1].text("comment"), all[1].text("gateway")), ("a \"b\" $c", "10.0.0.1"));
    let terse = one("/ip dhcp-server option sets add name=a options=b,c\n");
    assert_eq!((terse.menu.as_str(), terse.text("options")), ("/ip dhcp-server option sets", "b,c"));
    let slashes = one("/ip/dhcp-server/option/add name=a");
    assert_eq!((slashes.menu.as_str(), slashes.verb.as_str()), ("/ip dhcp-server option", "add"));
    let set = one("/ip dhcp-server network set [ find where address=10.0.0.0/24 ] next-server=10.0.0.1");
    assert_eq!(set.target_value("address").as_deref(), Some("10.0.0.0/24"));
    let set = commands("/interface ethernet\nset [ find default-name=ether1 ] name=wan\n");
    assert_eq!((set[0].menu.as_str(), set[0].text("name")), ("/interface ethernet", "wan"));
}

#[test]
fn scripts() {
    let all = commands(
        "{\n:local a [/ip pool find where name=\"x\"]\n:if ([:len $a] != 1) do={ :error \"a } b; /ip tftp add\" } else={ :do { /ip tftp add req-filename=\"a\\\\.b\" real-filename=($dir . \"moxxie-a.b\") server=$srv } on-error={ :put \"x\" } }\n}",
    );
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].menu, "/ip tftp");
    assert_eq!(all[0].text("req-filename"), "a\\.b");
    assert_eq!(all[0].args["real-filename"], Value::Open("moxxie-a.b".into()));
    assert_eq!(all[0].args["server"], Value::Open(String::new()));
    assert_eq!(one("/ip tftp add comment=\"a $b c\"").args["comment"], Value::Open(" c".into()));
}

#[test]
fn what_has_no_end_ends_with_the_text() {
    for text in
        ["/ip tftp add a=\"x", "/ip tftp add a=[x", "/ip tftp add a=($x . \"y", "/ip tftp add a=\\", "\\"]
    {
        assert!(commands(text).len() <= 1, "{text:?}");
    }
    let long = format!("/ip tftp add comment=\"{}\"", "x\\\n    ".repeat(100_000));
    assert_eq!(one(&long).text("comment").len(), 100_000);
    let deep = format!("/ip tftp add a={}", "[(".repeat(100_000));
    assert_eq!(commands(&deep).len(), 1);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "[ -~\n\r\0\u{e9}]{0,200}") {
        commands(&text);
    }

    #[test]
    fn pieces_of_the_language_make_it_panic_even_less(pieces in prop::collection::vec(
        prop::sample::select(vec!["/ip tftp ", "add ", "a=", "\"", "\\", "\n", "    ", "[", "]", "(", ")", "{", "}", "$", "$x", ";", "#", "=", "\\2", "\0"]), 0..60)
    ) {
        commands(&pieces.concat());
    }

    #[test]
    fn it_reads_what_the_quoting_writes(text in "[ -~\n\r\t]{0,80}") {
        let line = format!("/ip tftp add comment={} read-only=yes", RouterString::new(&text).unwrap());
        let command = one(&line);
        prop_assert_eq!(command.text("comment"), text.as_str());
        prop_assert_eq!(command.text("read-only"), "yes");
    }
}
