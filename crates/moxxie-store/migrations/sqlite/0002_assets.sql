-- Every digest whose bytes may be in the byte store. A row is there before its bytes are, and is
-- deleted after them. While `collecting_until` lies ahead, somebody is deleting the bytes.
CREATE TABLE asset_bytes (
    sha256           TEXT NOT NULL PRIMARY KEY,
    size             INTEGER NOT NULL,
    stored_at        INTEGER NOT NULL,
    collecting_until INTEGER
) STRICT;
INSERT INTO asset_bytes (sha256, size, stored_at)
    SELECT sha256, MAX(size), MIN(created_at) FROM profile_assets GROUP BY sha256;

-- Somebody is about to label these bytes.
CREATE TABLE asset_arrivals (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    sha256  TEXT NOT NULL REFERENCES asset_bytes (sha256) ON DELETE CASCADE,
    ends_at INTEGER NOT NULL
) STRICT;
CREATE INDEX asset_arrivals_by_digest ON asset_arrivals (sha256);
