//! The saved inputs of the fuzz targets, without a fuzzer: who has no cargo-fuzz keeps what it found.

/// What the targets call, out of the server as it is built here.
mod subject {
    pub use moxxie::cli::yaml;
    pub use moxxie::http::extract::Query;
    pub use moxxie::http::range;
    pub use moxxie::iso;
}
#[path = "../../../../fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_saved_input_is_judged_as_by_the_fuzzer() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(fuzz.join(folder)).unwrap();
        entries.map(|e| e.unwrap().file_name().to_str().unwrap().trim_end_matches(".rs").to_owned()).collect()
    };
    let targets: BTreeSet<String> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets, "each target has its file");
    assert_eq!(names("corpus"), targets, "and its folder of inputs");
    for (name, judge) in targets::ALL {
        let folder = fuzz.join("corpus").join(name);
        let mut inputs = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let data = std::fs::read(&path).unwrap();
            assert!(data.len() <= 8192, "{}: inputs are small", path.display());
            let judged = std::panic::catch_unwind(|| judge(&data));
            assert!(judged.is_ok(), "{}: the panic is above", path.display());
            inputs += 1;
        }
        assert!(inputs >= 20, "{name}: a few dozen inputs");
    }
}
