-- The site's keys that values in this database were sealed with: never the keys themselves.
-- `check_value` opens with the key; `sealed_at` is when nothing was left unsealed; what was sealed
-- with a key that has `retired_at` is gone, and nothing may be sealed with it again.
CREATE TABLE site_keys (
    id          TEXT NOT NULL PRIMARY KEY,
    check_value TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    sealed_at   INTEGER,
    retired_at  INTEGER
) STRICT;
