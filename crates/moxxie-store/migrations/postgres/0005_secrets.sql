-- The site's keys that values in this database were sealed with: never the keys themselves.
-- `check_value` opens with the key; `sealed_at` is when nothing was left unsealed; what was sealed
-- with a key that has `retired_at` is gone, and nothing may be sealed with it again.
CREATE TABLE site_keys (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    check_value TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    sealed_at   BIGINT,
    retired_at  BIGINT
);
