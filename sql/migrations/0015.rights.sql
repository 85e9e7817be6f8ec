-- depends: 0016.devices_and_delays

-- What the parts of Cerrojo may do without a right to the tables behind it. Each of these functions
-- has its owner's rights; sql/rights.sql says which part may call which.

CREATE FUNCTION make_account(name text, new_hash text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO accounts (username, password_hash) VALUES (name, new_hash) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION make_account IS 'Make an account; false where there is one of this name.';

CREATE FUNCTION next_version(version bigint) RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT greatest(version + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
$$;

CREATE FUNCTION change_password(name text, new_hash text, its_version bigint) RETURNS bigint
LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE accounts SET password_hash = new_hash, version = next_version(version)
     WHERE username = name AND version = coalesce(its_version, version)
    RETURNING version
$$;
COMMENT ON FUNCTION change_password IS 'Store the hash of a new password; the new version. Null where there is no account of this version; null stands for any.';

CREATE FUNCTION renew_hash(name text, former text, new_hash text) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
    UPDATE accounts SET password_hash = new_hash WHERE username = name AND password_hash = former
$$;
COMMENT ON FUNCTION renew_hash IS 'Store another hash of the same password, unless the stored one has changed.';

CREATE FUNCTION change_version(name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE accounts SET version = next_version(version) WHERE username = name;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION change_version IS 'Give an account another version and leave it as it is; false where there is none.';

CREATE FUNCTION change_disabled(name text, wanted boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE accounts
       SET disabled = wanted,
           version = CASE WHEN disabled = wanted THEN version ELSE next_version(version) END
     WHERE username = name;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION change_disabled IS 'Disable or enable an account; false where there is none.';

CREATE FUNCTION first_decision(name text, its_id bytea, from_ms bigint)
RETURNS TABLE (right_password boolean, source text, user_agent text, decision smallint,
               until_ms bigint)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT right_password, source, user_agent, decision, until_ms
      FROM audit
     WHERE username = name AND id = its_id AND appended_ms >= from_ms
       AND kind = 'attempt' AND decision IN (0, 1, 2)
     ORDER BY appended_ms DESC, generation DESC, log_offset DESC
     LIMIT 1
$$;
COMMENT ON FUNCTION first_decision IS 'The decision about an attempt for its gateway, which reads nothing else of the audit.';

-- Partitions of the audit are its owner's to make and to drop, and no worker reads a hash.
ALTER FUNCTION make_audit_day SECURITY DEFINER;
ALTER FUNCTION make_audit_partitions SECURITY DEFINER;
ALTER FUNCTION drop_old_audit SECURITY DEFINER;
ALTER FUNCTION count_password_forms SECURITY DEFINER;

-- They find the tables here and never among somebody's temporary ones, and nobody calls them who was
-- not allowed to.
DO $$
DECLARE
    one regprocedure;
BEGIN
    FOR one IN SELECT oid FROM pg_proc
                WHERE prosecdef AND pronamespace = current_schema::regnamespace
                  AND proname IN ('make_account', 'change_password', 'renew_hash', 'change_version',
                                  'change_disabled', 'first_decision', 'make_audit_day',
                                  'make_audit_partitions', 'drop_old_audit', 'count_password_forms')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', one, current_schema);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', one);
    END LOOP;
END
$$;
