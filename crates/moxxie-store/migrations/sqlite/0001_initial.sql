-- Times are milliseconds since 1970, ids and MAC addresses text, JSON is text.
-- The same tables and columns stand in migrations/postgres; a test compares the two.

-- One row. `version` goes up with every change by a person; its row lock puts these changes in
-- one order. `full_version` is the last change that a reload of single assignments does not cover.
CREATE TABLE config_version (
    one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    version      INTEGER NOT NULL,
    full_version INTEGER NOT NULL
) STRICT;
INSERT INTO config_version (one, version, full_version) VALUES (1, 1, 1);

CREATE TABLE boot_profiles (
    id                  TEXT NOT NULL PRIMARY KEY,
    name                TEXT NOT NULL UNIQUE,
    profile_type        TEXT NOT NULL,
    description         TEXT NOT NULL,
    kernel_path         TEXT,
    initrd_path         TEXT,
    extra_initrds       TEXT NOT NULL CHECK (json_valid(extra_initrds)),
    boot_params         TEXT NOT NULL,
    config_template     TEXT,
    params              TEXT NOT NULL CHECK (json_valid(params)),
    destructive         INTEGER NOT NULL CHECK (destructive IN (0, 1)),
    destructive_lowered INTEGER NOT NULL CHECK (destructive_lowered IN (0, 1)),
    menu                INTEGER NOT NULL CHECK (menu IN (0, 1)),
    local_boot          TEXT NOT NULL,
    revision            INTEGER NOT NULL,
    seq                 INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL
) STRICT;

CREATE TABLE profile_assets (
    profile_id TEXT NOT NULL REFERENCES boot_profiles (id) ON DELETE CASCADE,
    file       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (profile_id, file)
) STRICT;
CREATE INDEX profile_assets_by_digest ON profile_assets (sha256);

CREATE TABLE node_boot_assignments (
    id                   TEXT NOT NULL PRIMARY KEY,
    mac_address          TEXT NOT NULL,
    node_name            TEXT NOT NULL UNIQUE,
    boot_profile_id      TEXT NOT NULL REFERENCES boot_profiles (id) ON DELETE RESTRICT,
    boot_params_override TEXT NOT NULL CHECK (json_valid(boot_params_override)),
    uuid                 TEXT,
    -- Equal for both byte orders that firmware shows one UUID in.
    uuid_key             TEXT UNIQUE,
    serial               TEXT,
    extra_macs           TEXT NOT NULL CHECK (json_valid(extra_macs)),
    boot_policy          TEXT NOT NULL,
    protected            INTEGER NOT NULL CHECK (protected IN (0, 1)),
    quarantined          INTEGER NOT NULL CHECK (quarantined IN (0, 1)),
    local_boot           TEXT,
    source               TEXT NOT NULL,
    state                TEXT NOT NULL,
    generation           INTEGER NOT NULL,
    armed_until          INTEGER,
    window_ends          INTEGER,
    attempts_left        INTEGER NOT NULL,
    starts               INTEGER NOT NULL,
    armed_destructive    INTEGER NOT NULL CHECK (armed_destructive IN (0, 1)),
    bound_uuid           TEXT,
    bound_serial         TEXT,
    since                INTEGER NOT NULL,
    revision             INTEGER NOT NULL,
    seq                  INTEGER NOT NULL,
    last_boot_at         INTEGER,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL
) STRICT;
CREATE INDEX node_boot_assignments_by_mac ON node_boot_assignments (mac_address);
CREATE INDEX node_boot_assignments_by_profile ON node_boot_assignments (boot_profile_id);
CREATE INDEX node_boot_assignments_by_seq ON node_boot_assignments (seq);
CREATE INDEX node_boot_assignments_open ON node_boot_assignments (state)
    WHERE state IN ('armed', 'booting', 'delivered');

-- The main and the further MAC addresses of every assignment: the key lets no address belong
-- to two machines.
CREATE TABLE assignment_macs (
    mac           TEXT NOT NULL PRIMARY KEY,
    assignment_id TEXT NOT NULL REFERENCES node_boot_assignments (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX assignment_macs_by_assignment ON assignment_macs (assignment_id);

CREATE TABLE boot_sessions (
    id            TEXT NOT NULL PRIMARY KEY,
    assignment_id TEXT NOT NULL REFERENCES node_boot_assignments (id) ON DELETE CASCADE,
    generation    INTEGER NOT NULL,
    network       TEXT NOT NULL,
    ip            TEXT NOT NULL,
    base_url      TEXT NOT NULL,
    arch          TEXT,
    platform      TEXT,
    minted_at     INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    first_used_at INTEGER,
    uses          INTEGER NOT NULL,
    revoked_at    INTEGER
) STRICT;
CREATE INDEX boot_sessions_by_assignment ON boot_sessions (assignment_id);
CREATE INDEX boot_sessions_by_age ON boot_sessions (expires_at);

CREATE TABLE session_uses (
    session_id TEXT NOT NULL REFERENCES boot_sessions (id) ON DELETE CASCADE,
    resource   TEXT NOT NULL,
    digest     TEXT NOT NULL,
    uses       INTEGER NOT NULL,
    PRIMARY KEY (session_id, resource)
) STRICT;

CREATE TABLE machines (
    mac           TEXT NOT NULL PRIMARY KEY,
    uuid          TEXT,
    serial        TEXT,
    arch          TEXT,
    platform      TEXT,
    manufacturer  TEXT,
    product       TEXT,
    ip            TEXT,
    last_answer   TEXT,
    first_seen_at INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX machines_by_age ON machines (last_seen_at, mac);

CREATE TABLE boot_events (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    mac          TEXT,
    node_name    TEXT,
    boot_profile TEXT,
    peer         TEXT,
    message      TEXT NOT NULL,
    count        INTEGER NOT NULL
) STRICT;
CREATE INDEX boot_events_by_mac ON boot_events (mac, id);
CREATE INDEX boot_events_by_age ON boot_events (at);

CREATE TABLE audit_log (
    seq          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    action       TEXT NOT NULL,
    target       TEXT NOT NULL,
    peer         TEXT,
    before_value TEXT CHECK (json_valid(before_value)),
    after_value  TEXT CHECK (json_valid(after_value))
) STRICT;

CREATE TABLE api_tokens (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    role         TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
) STRICT;
