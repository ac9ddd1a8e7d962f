//! Two pages of the book are made from the tables of `trouble`: they say what the program says.
//! `UPDATE_GOLDEN=1 cargo test -p moxxie-core` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use moxxie_core::trouble::{all, ipxe, pxe};
use std::fmt::Write as _;
use std::path::Path;

const MADE: &str = "<!-- Made from the tables in crates/moxxie-core/src/trouble; UPDATE_GOLDEN=1 cargo test -p moxxie-core writes it. -->\n";

fn same(name: &str, now: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == now, "docs/{name} is not what the tables say: UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn the_page_of_symptoms() {
    let mut page = format!(
        "{MADE}# Symptoms\n\nWhat a screen shows when a machine does not boot, why, and what to do. Search it with `moxxie doctor symptom WORDS`, or at `/troubleshoot` of a running server. Error codes: [ipxe-errors.md](ipxe-errors.md).\n\n"
    );
    for symptom in all() {
        writeln!(page, "- [{}](#{})", symptom.title, symptom.id).unwrap();
    }
    for symptom in all() {
        let seen: Vec<String> = symptom.seen.iter().map(|seen| format!("`{seen}`")).collect();
        write!(
            page,
            "\n<a id=\"{}\"></a>\n## {}\n\nSeen: {}\n\n- **Why:** {}\n- **Check:** {}\n- **Fix:** {}\n",
            symptom.id,
            symptom.title,
            seen.join(", "),
            symptom.cause,
            symptom.check,
            symptom.fix
        )
        .unwrap();
        if !symptom.vendors.is_empty() {
            writeln!(page, "- Concerns in particular: {}", symptom.vendors.join(", ")).unwrap();
        }
        writeln!(page, "- Known from: {}", symptom.sources.join(", ")).unwrap();
    }
    same("symptoms.md", &page);
}

#[test]
fn the_page_of_error_codes() {
    let mut page = format!(
        "{MADE}# Error codes\n\n`moxxie doctor ipxe-error CODE` explains any code without a network; so does `/troubleshoot` of a running server.\n\n## iPXE\n\niPXE prints eight digits behind `ipxe.org/`. The first six are here; the last two differ between BIOS and UEFI for the same error. A code printed as `0x…` has lost the zeros it begins with: `0x40ee119` is `040ee119`. A code that ends with 0 here stands for its whole group: `4c1260` also for `4c1261`.\n\n| code | means | cause | check | fix |\n|---|---|---|---|---|\n"
    );
    for code in ipxe::advised() {
        let (title, cause) = (&code.title, &code.cause);
        writeln!(page, "| `{}` | {title} | {cause} | {} | {} |", code.code.page(), code.check, code.fix)
            .unwrap();
    }
    page.push_str("\n### Every named cause\n\nThe words are iPXE's own.\n\n| code | kind | file | says |\n|---|---|---|---|\n");
    for code in ipxe::named() {
        let file = code.file.map_or("", |file| file.name);
        writeln!(
            page,
            "| `{}` | {} | {file} | {} |",
            code.code.page(),
            code.kind.0,
            code.named.unwrap_or("")
        )
        .unwrap();
    }
    page.push_str("\n## PXE firmware\n\nBIOS boot ROMs and UEFI use some numbers for different things.\n\n| code | firmware | text | cause | check | fix |\n|---|---|---|---|---|---|\n");
    for code in pxe::CODES {
        let row = [&code.code(), code.firmware, code.text, code.cause, code.check(), code.fix()];
        writeln!(page, "| {} |", row.join(" | ")).unwrap();
    }
    // A bar in a cell would end it.
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        assert!(matches!(line.matches('|').count(), 5..=7), "{line}");
    }
    same("ipxe-errors.md", &page);
}
