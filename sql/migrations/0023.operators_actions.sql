-- depends: 0022.events

-- What operators did is found among all that others did: a row for each thing, and none for a login.
-- All commits wait while an index of the audit is made. So days that are over have theirs before, as
-- nobody writes there, and the audit takes it over; commits wait for today's alone.
DO $$
DECLARE
    day regclass;
BEGIN
    FOR day IN SELECT inhrelid FROM pg_inherits
                WHERE inhparent = 'audit'::regclass
                  AND inhrelid::regclass::text
                      < 'audit_' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')
    LOOP
        EXECUTE format('CREATE INDEX ON %s (appended_ms) WHERE operator IS NOT NULL', day);
    END LOOP;
END
$$;
CREATE INDEX audit_operator ON audit (appended_ms) WHERE operator IS NOT NULL;
