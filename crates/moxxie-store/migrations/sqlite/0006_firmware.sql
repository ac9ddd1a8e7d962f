-- The files that firmware fetches first. A row is a label on bytes, as those of profiles are:
-- see asset_bytes.
CREATE TABLE loaders (
    name       TEXT NOT NULL PRIMARY KEY,
    sha256     TEXT NOT NULL,
    size       INTEGER NOT NULL,
    purpose    TEXT NOT NULL,
    source     TEXT NOT NULL,
    version    TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX loaders_by_digest ON loaders (sha256);
