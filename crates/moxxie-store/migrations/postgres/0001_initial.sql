-- Times are milliseconds since 1970, ids and MAC addresses text, JSON is text.
-- The same tables and columns stand in migrations/sqlite; a test compares the two.
-- Collation "C" sorts as SQLite does, whatever the locale of the database.

-- One row. `version` goes up with every change by a person; its row lock puts these changes in
-- one order. `full_version` is the last change that a reload of single assignments does not cover.
CREATE TABLE config_version (
    one          BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    version      BIGINT NOT NULL,
    full_version BIGINT NOT NULL
);
INSERT INTO config_version (one, version, full_version) VALUES (1, 1, 1);

CREATE TABLE boot_profiles (
    id                  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name                TEXT COLLATE "C" NOT NULL UNIQUE,
    profile_type        TEXT COLLATE "C" NOT NULL,
    description         TEXT COLLATE "C" NOT NULL,
    kernel_path         TEXT COLLATE "C",
    initrd_path         TEXT COLLATE "C",
    extra_initrds       TEXT COLLATE "C" NOT NULL,
    boot_params         TEXT COLLATE "C" NOT NULL,
    config_template     TEXT COLLATE "C",
    params              TEXT COLLATE "C" NOT NULL,
    destructive         BOOLEAN NOT NULL,
    destructive_lowered BOOLEAN NOT NULL,
    menu                BOOLEAN NOT NULL,
    local_boot          TEXT COLLATE "C" NOT NULL,
    revision            BIGINT NOT NULL,
    seq                 BIGINT NOT NULL,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL
);

CREATE TABLE profile_assets (
    profile_id TEXT COLLATE "C" NOT NULL REFERENCES boot_profiles (id) ON DELETE CASCADE,
    file       TEXT COLLATE "C" NOT NULL,
    sha256     TEXT COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (profile_id, file)
);
CREATE INDEX profile_assets_by_digest ON profile_assets (sha256);

CREATE TABLE node_boot_assignments (
    id                   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    mac_address          TEXT COLLATE "C" NOT NULL,
    node_name            TEXT COLLATE "C" NOT NULL UNIQUE,
    boot_profile_id      TEXT COLLATE "C" NOT NULL REFERENCES boot_profiles (id) ON DELETE RESTRICT,
    boot_params_override TEXT COLLATE "C" NOT NULL,
    uuid                 TEXT COLLATE "C",
    -- Equal for both byte orders that firmware shows one UUID in.
    uuid_key             TEXT COLLATE "C" UNIQUE,
    serial               TEXT COLLATE "C",
    extra_macs           TEXT COLLATE "C" NOT NULL,
    boot_policy          TEXT COLLATE "C" NOT NULL,
    protected            BOOLEAN NOT NULL,
    quarantined          BOOLEAN NOT NULL,
    local_boot           TEXT COLLATE "C",
    source               TEXT COLLATE "C" NOT NULL,
    state                TEXT COLLATE "C" NOT NULL,
    generation           BIGINT NOT NULL,
    armed_until          BIGINT,
    window_ends          BIGINT,
    attempts_left        BIGINT NOT NULL,
    starts               BIGINT NOT NULL,
    armed_destructive    BOOLEAN NOT NULL,
    bound_uuid           TEXT COLLATE "C",
    bound_serial         TEXT COLLATE "C",
    since                BIGINT NOT NULL,
    revision             BIGINT NOT NULL,
    seq                  BIGINT NOT NULL,
    last_boot_at         BIGINT,
    created_at           BIGINT NOT NULL,
    updated_at           BIGINT NOT NULL
);
CREATE INDEX node_boot_assignments_by_mac ON node_boot_assignments (mac_address);
CREATE INDEX node_boot_assignments_by_profile ON node_boot_assignments (boot_profile_id);
CREATE INDEX node_boot_assignments_by_seq ON node_boot_assignments (seq);
CREATE INDEX node_boot_assignments_open ON node_boot_assignments (state)
    WHERE state IN ('armed', 'booting', 'delivered');

-- The main and the further MAC addresses of every assignment: the key lets no address belong
-- to two machines.
CREATE TABLE assignment_macs (
    mac           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    assignment_id TEXT COLLATE "C" NOT NULL REFERENCES node_boot_assignments (id) ON DELETE CASCADE
);
CREATE INDEX assignment_macs_by_assignment ON assignment_macs (assignment_id);

CREATE TABLE boot_sessions (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    assignment_id TEXT COLLATE "C" NOT NULL REFERENCES node_boot_assignments (id) ON DELETE CASCADE,
    generation    BIGINT NOT NULL,
    network       TEXT COLLATE "C" NOT NULL,
    ip            TEXT COLLATE "C" NOT NULL,
    base_url      TEXT NOT NULL,
    arch          TEXT,
    platform      TEXT,
    minted_at     BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    first_used_at BIGINT,
    uses          BIGINT NOT NULL,
    revoked_at    BIGINT
);
CREATE INDEX boot_sessions_by_assignment ON boot_sessions (assignment_id);
CREATE INDEX boot_sessions_by_age ON boot_sessions (expires_at);

CREATE TABLE session_uses (
    session_id TEXT COLLATE "C" NOT NULL REFERENCES boot_sessions (id) ON DELETE CASCADE,
    resource   TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    uses       BIGINT NOT NULL,
    PRIMARY KEY (session_id, resource)
);

CREATE TABLE machines (
    mac           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    uuid          TEXT COLLATE "C",
    serial        TEXT COLLATE "C",
    arch          TEXT COLLATE "C",
    platform      TEXT COLLATE "C",
    manufacturer  TEXT COLLATE "C",
    product       TEXT COLLATE "C",
    ip            TEXT COLLATE "C",
    last_answer   TEXT COLLATE "C",
    first_seen_at BIGINT NOT NULL,
    last_seen_at  BIGINT NOT NULL
);
CREATE INDEX machines_by_age ON machines (last_seen_at, mac);

CREATE TABLE boot_events (
    id           BIGINT NOT NULL GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at           BIGINT NOT NULL,
    kind         TEXT COLLATE "C" NOT NULL,
    mac          TEXT COLLATE "C",
    node_name    TEXT COLLATE "C",
    boot_profile TEXT COLLATE "C",
    peer         TEXT COLLATE "C",
    message      TEXT COLLATE "C" NOT NULL,
    count        BIGINT NOT NULL
);
CREATE INDEX boot_events_by_mac ON boot_events (mac, id);
CREATE INDEX boot_events_by_age ON boot_events (at);

CREATE TABLE audit_log (
    seq          BIGINT NOT NULL GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    at           BIGINT NOT NULL,
    actor        TEXT COLLATE "C" NOT NULL,
    action       TEXT COLLATE "C" NOT NULL,
    target       TEXT COLLATE "C" NOT NULL,
    peer         TEXT COLLATE "C",
    before_value TEXT COLLATE "C",
    after_value  TEXT COLLATE "C"
);

CREATE TABLE api_tokens (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name         TEXT COLLATE "C" NOT NULL UNIQUE,
    role         TEXT COLLATE "C" NOT NULL,
    hash         TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);
