//! The real servers' programs, whose own checks the generated files have to pass.

use std::path::{Path, PathBuf};

/// A copy of a server's program in `folder`. AppArmor keeps some of them to their own folders below
/// /etc, by the path of the program. `None` when the environment says MOXXIE_TEST_SKIP_PROGRAMS=1.
pub fn program(name: &str, folder: &Path) -> Option<PathBuf> {
    if std::env::var_os("MOXXIE_TEST_SKIP_PROGRAMS").is_some_and(|v| v == "1") {
        return None;
    }
    let installed = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/sbin"]
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.exists());
    let Some(installed) = installed else {
        panic!(
            "tests need {name}: install it (scripts/packages.txt), or set MOXXIE_TEST_SKIP_PROGRAMS=1 to do without"
        );
    };
    let copy = folder.join(name);
    std::fs::copy(installed, &copy).unwrap();
    Some(copy)
}
