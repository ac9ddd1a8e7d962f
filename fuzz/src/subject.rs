//! The parsers of the server that need none of it, file by file: a build of the whole server for a
//! fuzzer would take minutes.

#[path = "iso.rs"]
pub mod iso;
#[path = "../../crates/moxxie/src/http/extract/query.rs"]
mod query;
#[path = "../../crates/moxxie/src/http/range.rs"]
pub mod range;
#[path = "../../crates/moxxie/src/cli/yaml.rs"]
pub mod yaml;

pub use query::Query;
