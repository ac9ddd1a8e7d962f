//! What handlers take out of a request, parsed once.

mod actor;
mod door;
mod json;
mod peer;
mod query;

pub use actor::{Admin, Caller, FIRST, Operator, Viewer, authenticate, bearer};
pub use door::{Door, Serves};
pub use json::{BodyError, JsonBody, collect, is_too_slow, parse_json, read as read_body, typed};
pub use peer::Peer;
pub(crate) use query::decode;
pub use query::{Query, QueryError};
