-- The audit log becomes a chain: each record's hash covers the hash before it. Positions come from
-- audit_head and have no gaps, so records are numbered anew. The hashes of records that are there
-- already are computed by the program, right after this migration.
CREATE TABLE audit_chain (
    seq          BIGINT NOT NULL PRIMARY KEY,
    at           BIGINT NOT NULL,
    actor        TEXT COLLATE "C" NOT NULL,
    action       TEXT COLLATE "C" NOT NULL,
    target       TEXT COLLATE "C" NOT NULL,
    peer         TEXT COLLATE "C",
    before_value TEXT COLLATE "C",
    after_value  TEXT COLLATE "C",
    hash         TEXT COLLATE "C"
);
INSERT INTO audit_chain (seq, at, actor, action, target, peer, before_value, after_value)
    SELECT row_number() OVER (ORDER BY seq), at, actor, action, target, peer, before_value, after_value
    FROM audit_log;
DROP TABLE audit_log;
ALTER TABLE audit_chain RENAME TO audit_log;

-- One row: the newest record, the first one that is kept, and the hash which that one follows. Its
-- row lock puts records in one order. Records up to `pruning` may be deleted; those up to `older` are
-- older than the chain.
CREATE TABLE audit_head (
    one       BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    seq       BIGINT NOT NULL,
    hash      TEXT COLLATE "C" NOT NULL,
    first_seq BIGINT NOT NULL,
    base_hash TEXT COLLATE "C" NOT NULL,
    pruning   BIGINT NOT NULL,
    older     BIGINT NOT NULL
);
INSERT INTO audit_head (one, seq, hash, first_seq, base_hash, pruning, older)
    SELECT 1, 0, repeat('0', 64), 1, repeat('0', 64), 0, COUNT(*) FROM audit_log;

-- How far the log was sent elsewhere, and which replica does it until when.
CREATE TABLE audit_sinks (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq    BIGINT NOT NULL,
    holder TEXT COLLATE "C",
    until  BIGINT NOT NULL
);

-- No statement changes history by mistake. Who owns the database can drop these: the chain shows it.
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE FUNCTION audit_log_may_be_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.seq > COALESCE((SELECT pruning FROM audit_head), 0) THEN
        RAISE EXCEPTION 'the audit log is append-only';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_log_is_not_changed BEFORE UPDATE ON audit_log
    FOR EACH ROW WHEN (OLD.hash IS NOT NULL) EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_log_is_not_deleted BEFORE DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_log_may_be_pruned();
CREATE TRIGGER audit_log_is_not_emptied BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
