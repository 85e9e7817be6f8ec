-- depends: 0008.exact_forgetting

-- The audit has no default partition any more. To make a day beside one, Postgres reads all of it
-- under an exclusive lock, and all decisions stand for as long as that takes. Without one a day is
-- attached under a lock that neither who writes nor who reads the audit waits for, or makes wait.
-- So a worker makes the day of its rows before it writes the first of them, whatever day it is.

-- The audit's partition for the day (UTC) of this append time, unless there is one.
CREATE OR REPLACE FUNCTION make_audit_day(ms bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    from_ms bigint := ms - ms % 86400000;
    name text := 'audit_' || to_char(to_timestamp(from_ms / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('make_audit_partitions'));
    IF to_regclass(name) IS NULL THEN
        -- Made apart and attached: CREATE TABLE ... PARTITION OF locks the audit for everybody.
        EXECUTE format('CREATE TABLE %I (LIKE audit INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE audit ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                       name, from_ms, from_ms + 86400000);
    END IF;
END
$$;

-- The audit's partitions from today on. It gives up soon (lock_not_available), to be called again
-- later, where somebody changes the audit itself. Whoever comes while another is at it leaves it
-- to that one.
CREATE OR REPLACE FUNCTION make_audit_partitions(days_ahead int) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
BEGIN
    IF pg_try_advisory_xact_lock(hashtext('make_audit_partitions')) THEN
        PERFORM make_audit_day((extract(epoch FROM (now() AT TIME ZONE 'UTC')::date + n)
                                * 1000)::bigint)
           FROM generate_series(0, days_ahead) AS n;
    END IF;
END
$$;

-- Delete at most so many rows of the quarantine that are older than so many days; how many there
-- were. The audit's go with their days.
CREATE OR REPLACE FUNCTION delete_old_rows(days int, at_most int) RETURNS bigint
LANGUAGE sql AS $$
    WITH unread AS (
        DELETE FROM quarantine WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM quarantine
             WHERE appended_ms
                   < extract(epoch FROM (now() AT TIME ZONE 'UTC')::date - days) * 1000
             LIMIT at_most))
        RETURNING 1
    )
    SELECT count(*) FROM unread
$$;

-- What the default partition has goes to the days that it belongs to, once and for all.
DO $$
DECLARE
    day bigint;
BEGIN
    ALTER TABLE audit DETACH PARTITION audit_default;
    FOR day IN SELECT DISTINCT appended_ms / 86400000 FROM audit_default LOOP
        PERFORM make_audit_day(day * 86400000);
    END LOOP;
    INSERT INTO audit SELECT * FROM audit_default;
    DROP TABLE audit_default;
END
$$;
