//! Names that people give: of profiles, of nodes, of files. Each is a type that only a valid
//! name can enter, so that no later room has to ask again.

use std::fmt;
use std::str::FromStr;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(&'static str);

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok($name(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type!(
    /// The name of a profile: `^[a-z0-9]([a-z0-9-]{0,62})$`.
    ProfileName,
    check_profile
);
name_type!(
    /// What the cluster calls a machine: a DNS name in lower case, at most 253 characters,
    /// labels of at most 63.
    NodeName,
    check_node
);
name_type!(
    /// The label of a file on a profile's shelf, never a path: 1 to 128 characters out of
    /// letters, digits and `. _ + -`, beginning with a letter or digit and not ending in a dot.
    FileName,
    check_file
);
name_type!(
    /// The name of a loader, as firmware asks for it by TFTP or HTTP: `^[a-z0-9][a-z0-9._-]{0,63}$`.
    LoaderName,
    check_loader
);

fn check_profile(text: &str) -> Result<(), NameError> {
    if is_label(text) {
        Ok(())
    } else {
        Err(NameError("a profile's name has 1 to 63 of a-z, 0-9 and '-', and begins with a letter or digit"))
    }
}

fn check_node(text: &str) -> Result<(), NameError> {
    let labels = || text.split('.').all(|label| is_label(label) && !label.ends_with('-'));
    if text.len() <= 253 && labels() {
        Ok(())
    } else {
        Err(NameError("a node's name is a DNS name in lower case, such as cp-1 or cp-1.rack2.example"))
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn check_file(text: &str) -> Result<(), NameError> {
    let ok = (1..=128).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && !text.ends_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'))
        && !is_windows_device(text);
    if ok {
        Ok(())
    } else {
        Err(NameError(
            "a file's name has 1 to 128 letters, digits, '.', '_', '+' or '-', begins with a letter or digit and does not end in a dot",
        ))
    }
}

fn check_loader(text: &str) -> Result<(), NameError> {
    let ok = (1..=64).contains(&text.len())
        && !text.starts_with(['.', '_', '-'])
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
    if ok {
        Ok(())
    } else {
        Err(NameError(
            "a loader's name has 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit",
        ))
    }
}

/// Names that Windows reads as devices, whatever follows the first dot; a shelf may be copied there.
fn is_windows_device(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or(text).to_ascii_lowercase();
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul")
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.as_bytes()[3].is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profile_names() {
        for good in ["talos-cp", "a", "0", "a-", &"x".repeat(63)] {
            assert!(good.parse::<ProfileName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "A",
            "a b",
            "a/b",
            "../x",
            "x||shell",
            "a ; reboot",
            "\u{1b}[2J",
            "a\u{202e}",
            "\u{1f680}",
            "e\u{301}",
            &"x".repeat(64),
            "a\n",
            "a\0",
        ] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn node_names() {
        for good in ["cp-1", "cp-1.rack2.example", "10"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "a.", "a..b", "CP-1", "a_b", "a-", "x||shell", "&& chain http://evil"] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn loader_names() {
        for good in ["undionly.kpxe", "ipxe-sb-shimx64.efi", "0", &"x".repeat(64)] {
            assert!(good.parse::<LoaderName>().is_ok(), "{good}");
        }
        for bad in
            ["", ".", "..", ".a", "-a", "IPXE.EFI", "a/b", "a\\b", "a b", "a\n", "a\0", "ä", &"x".repeat(65)]
        {
            assert!(bad.parse::<LoaderName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn file_names_are_labels_not_paths() {
        for good in ["vmlinuz", "initramfs-amd64.xz", "debian-12.iso", "memtest86+x64.efi", "CONFIG"] {
            assert!(good.parse::<FileName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a\\b",
            ".hidden",
            "x.",
            "x ",
            "a b",
            "CON",
            "con.img",
            "LPT1",
            "a\0b",
            "%2e",
            &"x".repeat(300),
            "-x",
            "a${b}",
        ] {
            assert!(bad.parse::<FileName>().is_err(), "{bad:?}");
        }
    }
}
