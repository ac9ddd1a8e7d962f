//! T13: somebody else's DHCP server, which sends machines to somebody else's scripts. Nothing that
//! Moxxie does keeps a machine from it, so the documents have to say what does.

use std::path::Path;

fn texts(path: &Path, into: &mut String) {
    if path.is_dir() {
        std::fs::read_dir(path).unwrap().for_each(|entry| texts(&entry.unwrap().path(), into));
    } else if path.extension().is_some_and(|e| e == "md") {
        into.push_str(&std::fs::read_to_string(path).unwrap().to_lowercase());
    }
}

#[test]
fn t13_the_documents_tell_what_keeps_a_rogue_dhcp_server_away() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut security = String::new();
    texts(&root.join("SECURITY.md"), &mut security);
    for words in ["dhcp snooping", "vlan", "provisioning network", "plain http"] {
        assert!(security.contains(words), "SECURITY.md says nothing of {words}");
    }
    let mut book = String::new();
    texts(&root.join("docs"), &mut book);
    for words in ["dhcp snooping", "rogue", "vlan", "access.provisioning"] {
        assert!(book.contains(words), "docs/ says nothing of {words}");
    }
}
