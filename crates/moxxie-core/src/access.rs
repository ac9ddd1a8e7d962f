//! Who may do what in the API.

use std::str::FromStr;

/// The role of an API token. Each role may do all that the roles before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads, with secrets masked.
    Viewer,
    /// Also assignments, arm and disarm, assets.
    Operator,
    /// Also profiles, templates, tokens, and previews with secrets.
    Admin,
}

impl Role {
    /// The spelling in JSON and in the database.
    pub fn as_str(&self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Role::Viewer, Role::Operator, Role::Admin].into_iter().find(|r| r.as_str() == text).ok_or(())
    }
}

/// The caller of the API, after its token was found good. Handlers that need a caller take this
/// type, and only authentication can make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The token's id.
    pub id: String,
    /// The token's name, for the audit record.
    pub name: String,
    /// What it may do.
    pub role: Role,
}
