-- depends: 0006.repetitions

-- As before, but it gives up soon (lock_not_available), to be called again later: a new partition
-- locks the audit for everybody, and every decision would wait behind it for who reads the audit,
-- as for a backup. Whoever comes while another is at it leaves it to that one.
CREATE OR REPLACE FUNCTION make_audit_partitions(days_ahead int) RETURNS void
LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
DECLARE
    day date;
    from_ms bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('make_audit_partitions')) THEN
        RETURN;
    END IF;
    FOR day IN SELECT (now() AT TIME ZONE 'UTC')::date + n FROM generate_series(0, days_ahead) n
    LOOP
        from_ms := extract(epoch FROM day::timestamp) * 1000;
        IF to_regclass('audit_' || to_char(day, 'YYYYMMDD')) IS NULL
           AND NOT EXISTS (SELECT FROM audit_default
                            WHERE appended_ms >= from_ms AND appended_ms < from_ms + 86400000)
        THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF audit FOR VALUES FROM (%s) TO (%s)',
                           'audit_' || to_char(day, 'YYYYMMDD'), from_ms, from_ms + 86400000);
        END IF;
    END LOOP;
END
$$;
