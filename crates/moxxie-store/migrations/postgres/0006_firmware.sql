-- The files that firmware fetches first. A row is a label on bytes, as those of profiles are:
-- see asset_bytes.
CREATE TABLE loaders (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sha256     TEXT COLLATE "C" NOT NULL,
    size       BIGINT NOT NULL,
    purpose    TEXT COLLATE "C" NOT NULL,
    source     TEXT COLLATE "C" NOT NULL,
    version    TEXT COLLATE "C",
    created_at BIGINT NOT NULL
);
CREATE INDEX loaders_by_digest ON loaders (sha256);
