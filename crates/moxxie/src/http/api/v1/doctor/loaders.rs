//! Whether the loaders are there that DHCP configurations send machines to.

use super::{Check, FAIL, OK, UNKNOWN, check};
use crate::app::App;
use crate::shelf::look_at;
use moxxie_core::loader::{Loader, WANTED};
use moxxie_store::assets::Condition;

/// A loader that machines are sent to.
pub(super) struct Sent {
    file: &'static str,
    machines: &'static str,
    /// Its bytes, if the shelf has the name; `None` within: the byte store does not tell.
    found: Option<Option<Condition>>,
}

/// A look at the bytes of each.
pub(super) async fn wanted(app: &App, loaders: &[Loader]) -> Vec<Sent> {
    let mut all = Vec::with_capacity(WANTED.len());
    for (_, file, machines) in WANTED {
        let found = match loaders.iter().find(|loader| loader.name.as_str() == file) {
            Some(loader) => Some(look_at(app, &loader.sha256, loader.size).await),
            None => None,
        };
        all.push(Sent { file, machines, found });
    }
    all
}

/// Loaders that firmware may ask this server for. A site whose switch has its own needs none here.
pub(super) fn shelf(wanted: &[Sent], by_tftp: bool) -> Check {
    const NEXT: &str = "moxxie firmware import, or moxxie firmware fetch";
    let those = |which: fn(&Sent) -> bool| {
        let files = wanted.iter().filter(|sent| which(sent));
        files.map(|sent| format!("{} ({})", sent.file, sent.machines)).collect::<Vec<_>>().join(", ")
    };
    let lost = those(|sent| matches!(sent.found, Some(Some(Condition::Missing | Condition::Damaged))));
    let silent = those(|sent| sent.found == Some(None));
    let missing = those(|sent| sent.found.is_none());
    let none = wanted.iter().all(|sent| sent.found.is_none());
    match () {
        () if !lost.is_empty() => check(
            "loaders",
            FAIL,
            format!("bytes are missing or damaged: {lost}; put them there again: {NEXT}"),
        ),
        () if !silent.is_empty() => {
            let text =
                format!("the asset store does not answer for {silent}: see /readyz and the server's log");
            check("loaders", FAIL, text)
        }
        () if none && by_tftp => check("loaders", FAIL, format!("none: {NEXT}")),
        () if none => check("loaders", UNKNOWN, "none here: fine while the switch has its own"),
        () if !missing.is_empty() => check("loaders", UNKNOWN, format!("missing: {missing}: {NEXT}")),
        () => check("loaders", OK, "one for each kind of machine"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_is_as_good_as_its_bytes() {
        let stored = Some(Some(Condition::Stored));
        let all = |found: [Option<Option<Condition>>; 4]| {
            let sent = |((_, file, machines), found)| Sent { file, machines, found };
            WANTED.into_iter().zip(found).map(sent).collect::<Vec<_>>()
        };
        let said = |found, by_tftp| shelf(&all(found), by_tftp);
        assert_eq!(said([stored; 4], true).outcome, OK);
        assert_eq!((said([None; 4], true).outcome, said([None; 4], false).outcome), (FAIL, UNKNOWN));
        let some = said([stored, None, stored, None], true);
        assert_eq!(some.outcome, UNKNOWN);
        assert!(
            some.text.contains("ipxe.efi") && some.text.contains("moxxie firmware import"),
            "{}",
            some.text
        );
        let silent = said([stored, Some(None), stored, stored], false);
        assert!(silent.outcome == FAIL && silent.text.contains("ipxe.efi"), "{}", silent.text);
        let lost = said([Some(Some(Condition::Damaged)), stored, stored, None], false);
        assert!(lost.outcome == FAIL && lost.text.contains("undionly.kpxe"), "{}", lost.text);
    }
}
