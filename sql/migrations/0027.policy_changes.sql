-- depends: 0026.erased_once

-- When a policy came into force stood among all rows without a name, of which each deletion of an
-- account makes some. Days that have rows are not read for it, as all decisions would wait: those are
-- found as before until they go. All later days have it.
CREATE INDEX audit_policy ON ONLY audit (policy_version, appended_ms) WHERE kind = 'policy';
DO $$
DECLARE
    day regclass;
    has_rows boolean;
BEGIN
    FOR day IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit'::regclass LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', day) INTO has_rows;
        IF NOT has_rows THEN
            EXECUTE format('CREATE INDEX %I ON %s (policy_version, appended_ms)'
                           ' WHERE kind = ''policy''', day || '_policy', day);
            EXECUTE format('ALTER INDEX audit_policy ATTACH PARTITION %I', day || '_policy');
        END IF;
    END LOOP;
END
$$;
