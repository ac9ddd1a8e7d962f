-- The audit log becomes a chain: each record's hash covers the hash before it. Positions come from
-- audit_head and have no gaps, so records are numbered anew. The hashes of records that are there
-- already are computed by the program, right after this migration.
CREATE TABLE audit_chain (
    seq          INTEGER NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    action       TEXT NOT NULL,
    target       TEXT NOT NULL,
    peer         TEXT,
    before_value TEXT CHECK (json_valid(before_value)),
    after_value  TEXT CHECK (json_valid(after_value)),
    hash         TEXT
) STRICT;
INSERT INTO audit_chain (seq, at, actor, action, target, peer, before_value, after_value)
    SELECT row_number() OVER (ORDER BY seq), at, actor, action, target, peer, before_value, after_value
    FROM audit_log;
DROP TABLE audit_log;
ALTER TABLE audit_chain RENAME TO audit_log;

-- One row: the newest record, the first one that is kept, and the hash which that one follows. Its
-- row lock puts records in one order. Records up to `pruning` may be deleted; those up to `older` are
-- older than the chain.
CREATE TABLE audit_head (
    one       INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    seq       INTEGER NOT NULL,
    hash      TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    base_hash TEXT NOT NULL,
    pruning   INTEGER NOT NULL,
    older     INTEGER NOT NULL
) STRICT;
INSERT INTO audit_head (one, seq, hash, first_seq, base_hash, pruning, older)
    SELECT 1, 0, printf('%064d', 0), 1, printf('%064d', 0), 0, COUNT(*) FROM audit_log;

-- How far the log was sent elsewhere, and which replica does it until when.
CREATE TABLE audit_sinks (
    name   TEXT NOT NULL PRIMARY KEY,
    seq    INTEGER NOT NULL,
    holder TEXT,
    until  INTEGER NOT NULL
) STRICT;

-- No statement changes history by mistake. Who owns the database can drop these: the chain shows it.
CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE ON audit_log WHEN OLD.hash IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_log_is_not_replaced BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_log_is_not_deleted BEFORE DELETE ON audit_log
WHEN OLD.seq > COALESCE((SELECT pruning FROM audit_head), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
