//! Lists of SHA-256 digests as `sha256sum` writes them: `HEX  NAME`, `HEX *NAME`, or with
//! `--tag` (and on the BSDs) `SHA256 (NAME) = HEX`. Other lines, such as a signature around the
//! list or digests of other kinds, are passed over.

use crate::http::extract::decode;
use moxxie_core::asset::Digest;
use url::Url;

/// Why a list does not say which digest a file has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// It has no line that can be read.
    #[error("no list of SHA-256 digests is there")]
    NoList,
    /// It has lines, but none of this file.
    #[error("the list has no entry for {0}")]
    NoEntry(String),
    /// It names the file twice, with different digests.
    #[error("the list has different digests for {0}")]
    Ambiguous(String),
}

/// What the list from `list_url` says of the file at `url`: by the file's path below the list's
/// folder, else by its name where only one digest goes with that.
pub fn find(text: &str, list_url: &Url, url: &Url) -> Result<Digest, SumsError> {
    let entries: Vec<(Digest, &str)> = text.lines().filter_map(entry).collect();
    if entries.is_empty() {
        return Err(SumsError::NoList);
    }
    let path = below(list_url, url);
    let name = decoded(url.path().rsplit('/').next().unwrap_or(""));
    if let Some(path) = &path
        && let Some(found) = one(entries.iter().filter(|(_, entry)| entry == path), path)?
    {
        return Ok(found);
    }
    let same_name = entries.iter().filter(|(_, entry)| entry.rsplit('/').next() == Some(name.as_str()));
    one(same_name, &name)?.ok_or_else(|| SumsError::NoEntry(shown(path.as_deref().unwrap_or(&name))))
}

fn one<'a>(
    found: impl Iterator<Item = &'a (Digest, &'a str)>,
    what: &str,
) -> Result<Option<Digest>, SumsError> {
    let mut digests = found.map(|(digest, _)| *digest);
    let first = digests.next();
    match digests.all(|digest| Some(digest) == first) {
        true => Ok(first),
        false => Err(SumsError::Ambiguous(shown(what))),
    }
}

fn entry(line: &str) -> Option<(Digest, &str)> {
    let line = line.trim_end_matches('\r');
    let (digest, name) = match line.strip_prefix("SHA256 (") {
        Some(rest) => {
            let (name, digest) = rest.rsplit_once(") = ")?;
            (digest, name)
        }
        // Two blanks, or a blank and the mark of a binary file.
        None => {
            let (digest, name) = line.split_once(' ')?;
            (digest, name.strip_prefix([' ', '*']).unwrap_or(name))
        }
    };
    let name = name.trim_start_matches("./");
    Some((digest.parse().ok()?, name)).filter(|(_, name)| !name.is_empty())
}

/// The path of a URL below the folder of another on the same server.
fn below(list_url: &Url, url: &Url) -> Option<String> {
    let folder = &list_url.path()[..=list_url.path().rfind('/')?];
    let rest = url.path().strip_prefix(folder)?;
    (list_url.origin() == url.origin()).then(|| decoded(rest))
}

fn decoded(text: &str) -> String {
    decode(text).unwrap_or_else(|_| text.to_owned())
}

fn shown(text: &str) -> String {
    moxxie_core::boot::event::one_line(text, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn found(text: &str, url: &str) -> Result<String, SumsError> {
        let list = Url::parse("http://h/d/images/SHA256SUMS").unwrap();
        find(text, &list, &Url::parse(url).unwrap()).map(|digest| digest.to_string())
    }

    #[test]
    fn by_path_below_the_list_and_else_by_a_name_that_is_unique() {
        let debian = format!(
            "{A}  ./netboot/debian-installer/amd64/linux\n{B}  ./netboot/gtk/debian-installer/amd64/linux\n"
        );
        let url = "http://h/d/images/netboot/debian-installer/amd64/linux";
        assert_eq!(found(&debian, url).as_deref(), Ok(A));
        assert_eq!(found(&debian, &url.replace("netboot/", "netboot/gtk/")).as_deref(), Ok(B));
        assert_eq!(found(&debian, "http://other/linux"), Err(SumsError::Ambiguous("linux".into())));
        let absent = "http://h/d/images/netboot/initrd.gz";
        assert_eq!(found(&debian, absent), Err(SumsError::NoEntry("netboot/initrd.gz".into())));
        // The same bytes under two names of one kind are one answer.
        let twice = format!("{A}  x/linux\n{A}  y/linux\n");
        assert_eq!(found(&twice, "http://other/linux").as_deref(), Ok(A));
        let twice = format!("{A}  linux\n{B}  linux\n");
        assert_eq!(found(&twice, "http://h/d/images/linux"), Err(SumsError::Ambiguous("linux".into())));
    }

    #[test]
    fn every_common_way_to_write_a_line() {
        for line in [
            format!("{A}  k"),
            format!("{A} *k"),
            format!("{A} k"),
            format!("{A}  ./k\r"),
            format!("{}  k", A.to_uppercase()),
            format!("SHA256 (k) = {A}"),
            format!("SHA256 (./k) = {A}"),
            format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{A}  k\n-----BEGIN PGP SIGNATURE-----"
            ),
            format!("SHA512 (k) = {A}{A}\n{A}{A}  k\nSHA256 (k) = {A}"),
        ] {
            assert_eq!(found(&line, "http://h/d/images/k").as_deref(), Ok(A), "{line}");
        }
        assert_eq!(found(&format!("{A}  a b"), "http://h/d/images/a%20b").as_deref(), Ok(A));
        for no_list in ["", "<html>not found</html>", &A[..63], &format!("{A}  "), &format!("{A}{A}  k")] {
            assert_eq!(found(no_list, "http://h/d/images/k"), Err(SumsError::NoList), "{no_list}");
        }
        assert_eq!(found(&format!("{A}  kk"), "http://h/d/images/k"), Err(SumsError::NoEntry("k".into())));
    }
}
