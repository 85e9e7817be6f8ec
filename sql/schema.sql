-- The whole of today's schema, to read. `python -m local.schema` makes it from the migrations.
-- The audit's partition of each day is left out.

CREATE FUNCTION public.apply_batch(p integer, my_epoch bigint, my_generation integer, from_offset bigint, to_offset bigint, fingerprint bytea, fingerprint_ms bigint, new_policy jsonb, state_username text[], state_failures_ms text[], state_in_a_row integer[], state_blocks integer[], state_since_ms bigint[], state_until_ms bigint[], state_why text[], state_last_ms bigint[], state_forget_ms bigint[], state_guesses bytea[], state_devices text[], state_offset bigint[], audit_ms bigint[], audit_offset bigint[], audit_id bytea[], audit_kind text[], audit_user text[], audit_right boolean[], audit_decision smallint[], audit_until_ms bigint[], audit_change smallint[], audit_policy integer[], audit_reply integer[], audit_source text[], audit_user_agent text[], audit_delayed_ms integer[], audit_device bytea[], audit_guess bytea[], audit_salt bytea[], bad_offset bigint[], bad_ms bigint[], bad_key bytea[], bad_value bytea[], bad_reason text[], seal bytea, seal_first_ms bigint, seal_last_ms bigint, seal_digest bytea, deleted_user text DEFAULT NULL::text, deleted_version bigint DEFAULT NULL::bigint, audit_operator text[] DEFAULT NULL::text[], audit_reason text[] DEFAULT NULL::text[], state_by_hand boolean[] DEFAULT NULL::boolean[]) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
DECLARE
    at_once CONSTANT int := 1000;
BEGIN
    UPDATE partition_progress
       SET next_offset = to_offset, batch_offset = from_offset, last_fingerprint = fingerprint,
           last_ms = fingerprint_ms, policy = coalesce(new_policy, policy),
           latest_ms = greatest(latest_ms, (SELECT max(ms) FROM unnest(audit_ms) AS ms)),
           last_seal = seal_digest
     WHERE partition = p AND epoch = my_epoch AND generation = my_generation
       AND next_offset = from_offset;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    IF deleted_user IS NOT NULL THEN
        DELETE FROM accounts WHERE username IN (
            SELECT username FROM accounts
             WHERE username = deleted_user AND version <= deleted_version
               FOR UPDATE SKIP LOCKED);
        IF erase_name(deleted_user, p, my_generation, from_offset, at_once) = at_once THEN
            INSERT INTO erasures VALUES (deleted_user, p, my_generation, from_offset)
            ON CONFLICT (username) DO UPDATE
               SET partition = excluded.partition, generation = excluded.generation,
                   log_offset = excluded.log_offset;
        END IF;
    END IF;

    IF cardinality(state_username) > 0 THEN
        DELETE FROM lock_states
         USING unnest(state_username, state_failures_ms) AS s (username, failures_ms)
         WHERE lock_states.username = s.username AND s.failures_ms IS NULL;

        INSERT INTO lock_states (username, failures_ms, in_a_row, blocks, blocked_since_ms,
                                 blocked_until_ms, blocked_why, last_ms, forget_ms, guesses,
                                 devices, blocked_by_hand, partition, generation, log_offset)
        SELECT username, failures_ms::bigint[], in_a_row, blocks, since_ms, until_ms, why, last_ms,
               forget_ms, guesses, devices::jsonb, coalesce(by_hand, false), p, my_generation,
               log_offset
          FROM unnest(state_username, state_failures_ms, state_in_a_row, state_blocks,
                      state_since_ms, state_until_ms, state_why, state_last_ms, state_forget_ms,
                      state_guesses, state_devices, state_offset, state_by_hand)
            AS s (username, failures_ms, in_a_row, blocks, since_ms, until_ms, why, last_ms,
                  forget_ms, guesses, devices, log_offset, by_hand)
         WHERE failures_ms IS NOT NULL
        ON CONFLICT (username) DO UPDATE
           SET failures_ms = excluded.failures_ms, in_a_row = excluded.in_a_row,
               blocks = excluded.blocks, blocked_since_ms = excluded.blocked_since_ms,
               blocked_until_ms = excluded.blocked_until_ms, blocked_why = excluded.blocked_why,
               last_ms = excluded.last_ms, forget_ms = excluded.forget_ms,
               guesses = excluded.guesses, devices = excluded.devices,
               blocked_by_hand = excluded.blocked_by_hand,
               partition = excluded.partition, generation = excluded.generation,
               log_offset = excluded.log_offset;
    END IF;

    INSERT INTO audit
    SELECT ms, p, my_generation, log_offset, id, kind, username, right_password, decision,
           until_ms, change, policy_version, reply_partition, source, user_agent, delayed_ms,
           device, guess, salt, operator, reason
      FROM unnest(audit_ms, audit_offset, audit_id, audit_kind, audit_user, audit_right,
                  audit_decision, audit_until_ms, audit_change, audit_policy, audit_reply,
                  audit_source, audit_user_agent, audit_delayed_ms, audit_device, audit_guess,
                  audit_salt, audit_operator, audit_reason)
        AS a (ms, log_offset, id, kind, username, right_password, decision, until_ms, change,
              policy_version, reply_partition, source, user_agent, delayed_ms, device, guess,
              salt, operator, reason);

    -- One that is left of a database that went back keeps no partition waiting.
    INSERT INTO audit_seals
    VALUES (p, my_generation, apply_batch.to_offset, seal_first_ms, seal_last_ms, apply_batch.seal)
    ON CONFLICT ON CONSTRAINT audit_seals_pkey DO UPDATE
       SET first_ms = excluded.first_ms, last_ms = excluded.last_ms, seal = excluded.seal;

    IF cardinality(bad_offset) > 0 THEN
        INSERT INTO quarantine
        SELECT p, my_generation, log_offset, ms, key, value, reason
          FROM unnest(bad_offset, bad_ms, bad_key, bad_value, bad_reason)
            AS b (log_offset, ms, key, value, reason);
    END IF;
    RETURN true;
END
$$;

CREATE FUNCTION public.change_disabled(name text, wanted boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    UPDATE accounts
       SET disabled = wanted,
           version = CASE WHEN disabled = wanted THEN version ELSE next_version(version) END
     WHERE username = name;
    RETURN FOUND;
END
$$;

COMMENT ON FUNCTION public.change_disabled(name text, wanted boolean) IS 'Disable or enable an account; false where there is none.';

CREATE FUNCTION public.change_password(name text, new_hash text, its_version bigint) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    UPDATE accounts SET password_hash = new_hash, version = next_version(version)
     WHERE username = name AND version = coalesce(its_version, version)
    RETURNING version
$$;

COMMENT ON FUNCTION public.change_password(name text, new_hash text, its_version bigint) IS 'Store the hash of a new password; the new version. Null where there is no account of this version; null stands for any.';

CREATE FUNCTION public.change_version(name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    UPDATE accounts SET version = next_version(version) WHERE username = name;
    RETURN FOUND;
END
$$;

COMMENT ON FUNCTION public.change_version(name text) IS 'Give an account another version and leave it as it is; false where there is none.';

CREATE TABLE public.partition_progress (
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    owner text NOT NULL,
    generation integer DEFAULT 1 NOT NULL,
    topic_id text,
    next_offset bigint DEFAULT 0 NOT NULL,
    batch_offset bigint DEFAULT 0 NOT NULL,
    last_fingerprint bytea,
    last_ms bigint,
    missing bigint DEFAULT 0 NOT NULL,
    policy jsonb,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL,
    left_well boolean DEFAULT true NOT NULL,
    suspect boolean DEFAULT false NOT NULL,
    alone_generation integer,
    alone_offset bigint,
    alone_deaths integer DEFAULT 0 NOT NULL,
    layout integer DEFAULT 0 NOT NULL,
    latest_ms bigint DEFAULT 0 NOT NULL,
    last_seal bytea
);

COMMENT ON TABLE public.partition_progress IS 'How far each partition of `attempts` is decided, by whom, and under which policy.';

COMMENT ON COLUMN public.partition_progress.epoch IS 'The number of the claim, in milliseconds since 1970 at least; an owner of a lower one writes nothing.';

COMMENT ON COLUMN public.partition_progress.owner IS 'Host, pid and start of the process that has the partition.';

COMMENT ON COLUMN public.partition_progress.generation IS 'Rises when the log was made anew or lost its tail, and for all partitions when a layout comes into force.';

COMMENT ON COLUMN public.partition_progress.topic_id IS 'By which a topic that was made anew is known from the former one.';

COMMENT ON COLUMN public.partition_progress.next_offset IS 'Everything before this offset is decided.';

COMMENT ON COLUMN public.partition_progress.batch_offset IS 'Where the last committed batch began; the next owner publishes from here again.';

COMMENT ON COLUMN public.partition_progress.last_fingerprint IS 'Of the record before next_offset, by which it is known again.';

COMMENT ON COLUMN public.partition_progress.last_ms IS 'The append time of the record before next_offset.';

COMMENT ON COLUMN public.partition_progress.missing IS 'Records that were gone before anybody had decided them.';

COMMENT ON COLUMN public.partition_progress.policy IS 'The policy in force at next_offset; null before the first one.';

COMMENT ON COLUMN public.partition_progress.claimed_at IS 'When the owner claimed it, by the clock of the database.';

COMMENT ON COLUMN public.partition_progress.left_well IS 'Whether the owner has shut down cleanly.';

COMMENT ON COLUMN public.partition_progress.suspect IS 'Whether the owner before this one had not: records are decided one by one at first.';

COMMENT ON COLUMN public.partition_progress.alone_generation IS 'With alone_offset: the record that is, or was last, decided in isolation.';

COMMENT ON COLUMN public.partition_progress.alone_deaths IS 'The deaths of owners that count against that record; too many put it into quarantine.';

COMMENT ON COLUMN public.partition_progress.layout IS 'The partition decides no request whose sender chose by fewer partitions than this.';

COMMENT ON COLUMN public.partition_progress.latest_ms IS 'The latest append time of any decided record; ids are known again for some time before it.';

COMMENT ON COLUMN public.partition_progress.last_seal IS 'The BLAKE2b of the newest seal, which the next one has; null before the first.';

CREATE FUNCTION public.claim_partition(p integer, new_owner text, excused boolean DEFAULT false) RETURNS public.partition_progress
    LANGUAGE sql
    AS $$
    INSERT INTO partition_progress AS mine (partition, epoch, owner, left_well)
    VALUES (p, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, new_owner, false)
    ON CONFLICT (partition) DO UPDATE
       SET epoch = greatest(mine.epoch + 1, excluded.epoch), owner = excluded.owner,
           claimed_at = now(), left_well = false,
           suspect = CASE WHEN mine.owner = excluded.owner THEN mine.suspect
                          ELSE NOT mine.left_well END,
           alone_deaths =
               CASE WHEN (mine.alone_generation, mine.alone_offset)
                         IS DISTINCT FROM (mine.generation, mine.next_offset) THEN 0
                    WHEN mine.left_well OR excused OR mine.owner = excluded.owner
                         THEN mine.alone_deaths
                    ELSE mine.alone_deaths + 1 END
    RETURNING mine.*
$$;

CREATE FUNCTION public.clear_ended_blocks(at_most integer) RETURNS bigint
    LANGUAGE sql
    AS $$
    WITH passed AS (
        SELECT partition, generation,
               CASE WHEN last_ms > 0 THEN least(last_ms, clock.ms) - 86400000 END AS now_ms,
               (SELECT least(min(coalesce(q.last_ms, 0)), clock.ms) - 86400000
                  FROM partition_progress q, topology t
                 WHERE q.partition < t.partitions) AS least_ms
          FROM partition_progress,
               (SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms) AS clock
    ), ended AS (
        SELECT s.username
          FROM lock_states s JOIN passed p USING (partition)
         WHERE s.blocked_until_ms
               <= CASE WHEN s.generation = p.generation THEN p.now_ms ELSE p.least_ms END
         LIMIT at_most
           FOR UPDATE OF s SKIP LOCKED
    ), cleared AS (
        UPDATE lock_states s
           SET blocked_since_ms = NULL, blocked_until_ms = NULL, blocked_why = NULL
          FROM ended WHERE s.username = ended.username
        RETURNING 1
    )
    SELECT count(*) FROM cleared
$$;

CREATE FUNCTION public.count_password_forms() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    LOCK TABLE password_forms IN EXCLUSIVE MODE;
    CREATE TEMP TABLE counted ON COMMIT DROP AS
        SELECT password_form(password_hash) AS form, count(*) AS accounts
          FROM accounts GROUP BY 1;
    INSERT INTO password_forms AS p (form, accounts) SELECT form, accounts FROM counted
        ON CONFLICT (form) DO UPDATE SET accounts = excluded.accounts
        WHERE p.accounts <> excluded.accounts;
    DELETE FROM password_forms AS p WHERE NOT EXISTS (SELECT FROM counted AS c WHERE c.form = p.form);
    DROP TABLE counted;
END
$$;

CREATE FUNCTION public.delete_old_rows(days integer, at_most integer) RETURNS bigint
    LANGUAGE sql
    AS $$
    WITH kept AS (
        SELECT (extract(epoch FROM (now() AT TIME ZONE 'UTC')::date - days) * 1000)::bigint
               AS from_ms
    ), unread AS (
        DELETE FROM quarantine WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM quarantine
             WHERE appended_ms < (SELECT from_ms FROM kept) LIMIT at_most))
        RETURNING 1
    ), seals AS (
        DELETE FROM audit_seals WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM audit_seals
             WHERE last_ms < (SELECT from_ms FROM kept) LIMIT at_most))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM unread) + (SELECT count(*) FROM seals)
$$;

CREATE FUNCTION public.drop_old_audit(days integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET lock_timeout TO '200ms'
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    old text;
BEGIN
    SELECT relname INTO old
      FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
     WHERE inhparent = 'audit'::regclass AND relname ~ '^audit_\d{8}$'
       AND relname < 'audit_' || to_char((now() AT TIME ZONE 'UTC')::date - days, 'YYYYMMDD')
     ORDER BY relname LIMIT 1;
    IF old IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', old);
    END IF;
    RETURN old IS NOT NULL;
END
$_$;

CREATE FUNCTION public.enter_layout(p integer, my_epoch bigint, from_offset bigint, new_layout integer) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM FROM topology FOR UPDATE;  -- one after the other, so that the last one sees all others
    UPDATE partition_progress SET layout = new_layout
     WHERE partition = p AND epoch = my_epoch AND next_offset = from_offset
       AND layout < new_layout;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- What the log says holds, also for a database that has forgotten it.
    UPDATE topology SET wanted = new_layout WHERE greatest(partitions, wanted) < new_layout;
    UPDATE topology SET partitions = new_layout
     WHERE partitions < new_layout
       AND new_layout = (SELECT count(*) FROM partition_progress
                          WHERE partition < new_layout AND layout >= new_layout);
    IF FOUND THEN
        UPDATE partition_progress
           SET generation = (SELECT max(generation) + 1 FROM partition_progress),
               batch_offset = next_offset;  -- its verdicts were out before the partition came here
    END IF;
    RETURN true;
END
$$;

CREATE FUNCTION public.erase_deleted(at_most integer) RETURNS integer
    LANGUAGE plpgsql
    AS $$
DECLARE
    one erasures;
    erased int := 0;
BEGIN
    FOR one IN SELECT * FROM erasures FOR UPDATE SKIP LOCKED LOOP
        erased := erased + erase_name(one.username, one.partition, one.generation,
                                      one.log_offset, at_most - erased);
        EXIT WHEN erased >= at_most;
        DELETE FROM erasures WHERE username = one.username;
    END LOOP;
    RETURN erased;
END
$$;

CREATE FUNCTION public.erase_name(name text, p integer, its_generation integer, its_offset bigint, at_most integer) RETURNS integer
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    AS $$
DECLARE
    found audit;
    erased int := 0;
BEGIN
    FOR found IN
        SELECT * FROM audit
         WHERE username = name
           AND (generation < its_generation
                OR generation = its_generation AND (partition <> p OR log_offset < its_offset))
         ORDER BY appended_ms DESC
         LIMIT at_most
    LOOP
        UPDATE audit
           SET username = '', source = NULL, user_agent = NULL, device = NULL, guess = NULL,
               reason = NULL,
               salt = sha256(salt || int4send(length(username))
                             || int4send(coalesce(length(source), -1))
                             || int4send(coalesce(length(user_agent), -1))
                             || int4send(coalesce(length(device), -1))
                             || int4send(coalesce(length(guess), -1))
                             || CASE WHEN reason IS NULL THEN '' ELSE int4send(length(reason)) END
                             || convert_to(concat(username, source, user_agent), 'UTF8')
                             || coalesce(device, '') || coalesce(guess, '')
                             || convert_to(coalesce(reason, ''), 'UTF8'))
         WHERE appended_ms = found.appended_ms AND partition = found.partition
           AND generation = found.generation AND log_offset = found.log_offset
           AND username = name;
        erased := erased + 1;
    END LOOP;
    RETURN erased;
END
$$;

CREATE FUNCTION public.first_decision(name text, its_id bytea, from_ms bigint) RETURNS TABLE(right_password boolean, source text, user_agent text, decision smallint, until_ms bigint)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    SELECT right_password, source, user_agent, decision, until_ms
      FROM audit
     WHERE username = name AND id = its_id AND appended_ms >= from_ms
       AND kind = 'attempt' AND decision IN (0, 1, 2)
     ORDER BY appended_ms DESC, generation DESC, log_offset DESC
     LIMIT 1
$$;

COMMENT ON FUNCTION public.first_decision(name text, its_id bytea, from_ms bigint) IS 'The decision about an attempt for its gateway, which reads nothing else of the audit.';

CREATE FUNCTION public.forget_lock_states(at_most integer) RETURNS bigint
    LANGUAGE sql
    AS $$
    WITH passed AS (
        SELECT partition, generation,
               CASE WHEN last_ms > 0 THEN least(last_ms, clock.ms) - 86400000 END AS now_ms,
               (SELECT least(min(coalesce(q.last_ms, 0)), clock.ms) - 86400000
                  FROM partition_progress q, topology t
                 WHERE q.partition < t.partitions) AS least_ms
          FROM partition_progress,
               (SELECT (extract(epoch FROM now()) * 1000)::bigint AS ms) AS clock
    ), forgotten AS (
        DELETE FROM lock_states s
         USING (SELECT c.username, now.ms AS now_ms
                  FROM lock_states c JOIN passed p USING (partition),
                       LATERAL (SELECT CASE WHEN c.generation = p.generation
                                            THEN p.now_ms ELSE p.least_ms END AS ms) AS now
                 WHERE c.forget_ms > 0
                   AND c.last_ms <= now.ms - c.forget_ms
                   AND coalesce(c.blocked_until_ms, 0) <= now.ms
                 LIMIT at_most) AS old
         WHERE s.username = old.username
           AND s.forget_ms > 0
           AND s.last_ms <= old.now_ms - s.forget_ms
           AND coalesce(s.blocked_until_ms, 0) <= old.now_ms
        RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;

CREATE FUNCTION public.layout_to_propose(p integer, its_layout integer) RETURNS integer
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE WHEN wanted > partitions AND wanted > its_layout
                     AND (p >= partitions
                          OR wanted - partitions = (SELECT count(*) FROM partition_progress
                                                     WHERE partition >= partitions
                                                       AND partition < wanted
                                                       AND layout >= wanted))
                THEN wanted ELSE 0 END
      FROM topology
$$;

CREATE FUNCTION public.leave_partition(p integer, my_epoch bigint) RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE partition_progress SET left_well = true WHERE partition = p AND epoch = my_epoch
$$;

CREATE FUNCTION public.make_account(name text, new_hash text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO accounts (username, password_hash) VALUES (name, new_hash) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;

COMMENT ON FUNCTION public.make_account(name text, new_hash text) IS 'Make an account; false where there is one of this name.';

CREATE FUNCTION public.make_audit_day(ms bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
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

CREATE FUNCTION public.make_audit_partitions(days_ahead integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET lock_timeout TO '200ms'
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF pg_try_advisory_xact_lock(hashtext('make_audit_partitions')) THEN
        PERFORM make_audit_day((extract(epoch FROM (now() AT TIME ZONE 'UTC')::date + n)
                                * 1000)::bigint)
           FROM generate_series(0, days_ahead) AS n;
    END IF;
END
$$;

CREATE FUNCTION public.mark_alone(p integer, my_epoch bigint, log_offset bigint) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE partition_progress
       SET alone_deaths = CASE WHEN (alone_generation, alone_offset) = (generation, log_offset)
                               THEN alone_deaths ELSE 0 END,
           alone_generation = generation, alone_offset = log_offset
     WHERE partition = p AND epoch = my_epoch AND next_offset = log_offset;
    RETURN FOUND;
END
$$;

CREATE FUNCTION public.move_partition(p integer, my_epoch bigint, new_generation integer, new_topic_id text, new_offset bigint, now_missing bigint) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE partition_progress
       SET generation = greatest(generation, new_generation), topic_id = new_topic_id,
           next_offset = new_offset, batch_offset = new_offset,
           last_fingerprint = NULL, last_ms = NULL, missing = missing + now_missing
     WHERE partition = p AND epoch = my_epoch;
    RETURN FOUND;
END
$$;

CREATE FUNCTION public.next_version(version bigint) RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT greatest(version + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
$$;

CREATE FUNCTION public.note_attack(lasts boolean, what jsonb) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    began timestamptz;
BEGIN
    SELECT since INTO began FROM attack_now FOR UPDATE;
    IF (began IS NOT NULL) = lasts THEN
        RETURN false;
    END IF;
    UPDATE attack_now SET since = CASE WHEN lasts THEN clock_timestamp() END;
    INSERT INTO event_notes (kind, data)
    VALUES (CASE WHEN lasts THEN 'attack.began' ELSE 'attack.ended' END,
            CASE WHEN lasts THEN what ELSE what || jsonb_build_object('since', began) END);
    RETURN true;
END
$$;

COMMENT ON FUNCTION public.note_attack(lasts boolean, what jsonb) IS 'Note that an attack lasts or does not; false where that was known. All gateways see the same, and the first one to say it is heard.';

CREATE FUNCTION public.note_operator_login(operator text, role text, source text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    INSERT INTO event_notes (kind, data)
    VALUES ('operator.login', jsonb_build_object('operator', operator, 'role', role,
                                                 'source', source))
$$;

COMMENT ON FUNCTION public.note_operator_login(operator text, role text, source text) IS 'Note that an operator has logged in at the console.';

CREATE FUNCTION public.password_form(password_hash text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $_$
    SELECT CASE
        WHEN password_hash LIKE '$2%' OR password_hash LIKE 'bcrypt\_sha256$$2%'
        THEN left(password_hash, -53)
        ELSE coalesce(substring(password_hash FROM '^(.*\$)[^$]*\$[^$]*$'), '')
    END
$_$;

CREATE FUNCTION public.readable(ms bigint) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT CASE WHEN ms = 9223372036854775807 THEN 'infinity'::timestamptz
                ELSE to_timestamp(ms / 1000.0) END
$$;

CREATE FUNCTION public.renew_hash(name text, former text, new_hash text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
    UPDATE accounts SET password_hash = new_hash WHERE username = name AND password_hash = former
$$;

COMMENT ON FUNCTION public.renew_hash(name text, former text, new_hash text) IS 'Store another hash of the same password, unless the stored one has changed.';

CREATE TABLE public.accounts (
    username text NOT NULL,
    password_hash text NOT NULL,
    registered_at timestamp with time zone DEFAULT now() NOT NULL,
    version bigint DEFAULT ((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric))::bigint NOT NULL,
    disabled boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE public.accounts IS 'The accounts. The gateway writes them; apply_batch() deletes them, at the place that a deletion has in the log.';

COMMENT ON COLUMN public.accounts.username IS 'The normalized name.';

COMMENT ON COLUMN public.accounts.password_hash IS 'Argon2id, with its settings in it.';

COMMENT ON COLUMN public.accounts.version IS 'Rises when the password is changed or the account is disabled or enabled, not when its hash is renewed; the time of the change in milliseconds since 1970 at least, so that an account that was deleted and made anew has another one.';

COMMENT ON COLUMN public.accounts.disabled IS 'Whether nobody can log in to it.';

CREATE TABLE public.attack_now (
    one boolean DEFAULT true NOT NULL,
    since timestamp with time zone,
    CONSTRAINT attack_now_one_check CHECK (one)
);

COMMENT ON TABLE public.attack_now IS 'One row: since when an attack lasts, as far as events have told; null: none does.';

CREATE TABLE public.audit (
    appended_ms bigint NOT NULL,
    partition integer NOT NULL,
    generation integer NOT NULL,
    log_offset bigint NOT NULL,
    id bytea NOT NULL,
    kind text NOT NULL,
    username text NOT NULL,
    right_password boolean,
    decision smallint NOT NULL,
    until_ms bigint NOT NULL,
    change smallint NOT NULL,
    policy_version integer NOT NULL,
    reply_partition integer NOT NULL,
    source text,
    user_agent text,
    delayed_ms integer DEFAULT 0 NOT NULL,
    device bytea,
    guess bytea,
    salt bytea,
    operator text,
    reason text
)
PARTITION BY RANGE (appended_ms);

COMMENT ON TABLE public.audit IS 'Every decision, for people and for publishing the last batch again; a partition of the table for each day.';

COMMENT ON COLUMN public.audit.appended_ms IS 'The time of the record in its log, in milliseconds since 1970: the only time that decides anything.';

COMMENT ON COLUMN public.audit.partition IS 'With generation and log_offset: the position of the record.';

COMMENT ON COLUMN public.audit.id IS 'By which a request and its verdict are recognised.';

COMMENT ON COLUMN public.audit.kind IS 'attempt, registered, unblock, block, password, deleted, disabled, enabled, devices, policy or layout.';

COMMENT ON COLUMN public.audit.username IS 'Empty for policy and layout, which concern no account, for a deletion, and for everything that was decided before it.';

COMMENT ON COLUMN public.audit.right_password IS 'The outcome of an attempt; null where it is none.';

COMMENT ON COLUMN public.audit.decision IS '0 accepted, 1 rejected, 2 blocked; not decided: 3 moved, 4 repeated, 5 late.';

COMMENT ON COLUMN public.audit.until_ms IS 'The end of the block after this decision, of the account or of the device that asked; 0: not blocked, 9223372036854775807: until an operator lifts it.';

COMMENT ON COLUMN public.audit.change IS '1: this blocked the account; -1: this unblocked it; 0: neither.';

COMMENT ON COLUMN public.audit.policy_version IS 'The version of the policy that decided.';

COMMENT ON COLUMN public.audit.reply_partition IS 'The partition of `verdicts` for the verdict.';

COMMENT ON COLUMN public.audit.source IS 'The IP address of the person that logged in; null where its sender did not say it.';

COMMENT ON COLUMN public.audit.user_agent IS 'The program of the person that logged in, as it calls itself; null where its sender did not say it.';

COMMENT ON COLUMN public.audit.delayed_ms IS 'Milliseconds for which the gateway delayed the login for what its source did before; it decides nothing.';

COMMENT ON COLUMN public.audit.device IS 'The first four bytes of the id of the device that the attempt came from, as in lock_states.devices; null: from none that is known. They open nothing.';

COMMENT ON COLUMN public.audit.guess IS 'Which wrong password it was, by the gateways'' key, as in lock_states.guesses; null where its sender did not say it.';

COMMENT ON COLUMN public.audit.salt IS '16 random bytes, with which the seal has what the row says of a person; after a deletion the 32 bytes of what it has. Null: the row is from before there were seals.';

COMMENT ON COLUMN public.audit.operator IS 'Which operator asked for it, by the name of their token, or which user of a host by a command; null: no operator did.';

COMMENT ON COLUMN public.audit.reason IS 'Why, in the operator''s words; null where they gave no reason, and where a deletion took it with the name.';

CREATE TABLE public.audit_seals (
    partition integer NOT NULL,
    generation integer NOT NULL,
    to_offset bigint NOT NULL,
    first_ms bigint NOT NULL,
    last_ms bigint NOT NULL,
    seal bytea NOT NULL
);

COMMENT ON TABLE public.audit_seals IS 'A row for each batch: what vouches for its audit rows, chained to the batch before. `cerrojo verify` checks it.';

COMMENT ON COLUMN public.audit_seals.to_offset IS 'The offset behind the batch.';

COMMENT ON COLUMN public.audit_seals.first_ms IS 'The earliest append time in the batch.';

COMMENT ON COLUMN public.audit_seals.last_ms IS 'The latest one.';

COMMENT ON COLUMN public.audit_seals.seal IS 'A message as in the topics, signed where records are.';

CREATE TABLE public.lock_states (
    username text NOT NULL,
    failures_ms bigint[] NOT NULL,
    in_a_row integer NOT NULL,
    blocks integer NOT NULL,
    blocked_since_ms bigint,
    blocked_until_ms bigint,
    blocked_why text,
    last_ms bigint NOT NULL,
    partition integer NOT NULL,
    generation integer NOT NULL,
    log_offset bigint NOT NULL,
    forget_ms bigint DEFAULT 0 NOT NULL,
    guesses bytea,
    devices jsonb,
    blocked_by_hand boolean DEFAULT false NOT NULL
);

COMMENT ON TABLE public.lock_states IS 'A row for each account that has something against it, or a device that has; an account without one is clean. apply_batch() writes it; clear_ended_blocks() and forget_lock_states() remove what counts no more.';

COMMENT ON COLUMN public.lock_states.username IS 'The normalized name, of an account that is known or not.';

COMMENT ON COLUMN public.lock_states.failures_ms IS 'Append times of the wrong passwords that still count towards the next block, oldest first.';

COMMENT ON COLUMN public.lock_states.in_a_row IS 'Wrong passwords since the last success, over all blocks.';

COMMENT ON COLUMN public.lock_states.blocks IS 'Blocks since the last success.';

COMMENT ON COLUMN public.lock_states.blocked_since_ms IS 'The beginning of the last block, which may be over; null: none, or it was cleared.';

COMMENT ON COLUMN public.lock_states.blocked_until_ms IS 'The end of the last block; 9223372036854775807: until an operator lifts it.';

COMMENT ON COLUMN public.lock_states.blocked_why IS 'The reason for the last block, in a sentence for people.';

COMMENT ON COLUMN public.lock_states.last_ms IS 'The latest append time that was decided for this account.';

COMMENT ON COLUMN public.lock_states.partition IS 'With generation and log_offset: the record that set this state.';

COMMENT ON COLUMN public.lock_states.forget_ms IS 'How long after last_ms this state counts, by the policy that made it; 0: for ever.';

COMMENT ON COLUMN public.lock_states.guesses IS 'Eight bytes for each of failures_ms, by which the same wrong password is known again for as long as the gateways have the key; null: no gateway said any.';

COMMENT ON COLUMN public.lock_states.devices IS 'Devices of the account with wrong passwords, the one that guessed last at the end: all that it counted, the end of its block (null: it is trusted still), and what it guessed. Null: none.';

COMMENT ON COLUMN public.lock_states.blocked_by_hand IS 'Whether an operator asked for the last block, which then refuses devices, too.';

CREATE VIEW public.blocked_accounts AS
 SELECT username,
    public.readable(blocked_since_ms) AS since,
    public.readable(blocked_until_ms) AS until,
    blocked_why AS why,
    in_a_row AS failures
   FROM public.lock_states
  WHERE ((blocked_until_ms)::numeric > (EXTRACT(epoch FROM now()) * (1000)::numeric));

COMMENT ON VIEW public.blocked_accounts IS 'The accounts that are blocked now by the clock of the database, as a person reads them.';

CREATE VIEW public.decisions AS
 SELECT public.readable(appended_ms) AS at,
    partition,
    generation,
    log_offset,
    kind,
    username,
        CASE right_password
            WHEN true THEN 'right'::text
            WHEN false THEN 'wrong'::text
            ELSE NULL::text
        END AS outcome,
    (ARRAY['accepted'::text, 'rejected'::text, 'blocked'::text, 'moved'::text, 'repeated'::text, 'late'::text])[(decision + 1)] AS verdict,
    policy_version,
    source,
    user_agent,
    delayed_ms,
    encode(id, 'hex'::text) AS id,
    encode(device, 'hex'::text) AS device,
    operator,
    reason
   FROM public.audit;

COMMENT ON VIEW public.decisions IS 'The audit, as a person reads it. Without ids, reply partitions and block ends.';

CREATE TABLE public.decoy_key (
    singleton boolean DEFAULT true NOT NULL,
    key bytea NOT NULL,
    CONSTRAINT decoy_key_singleton_check CHECK (singleton)
);

COMMENT ON TABLE public.decoy_key IS 'One row: the secret with which a gateway chooses the form for an unknown name, always the same for the same name.';

COMMENT ON COLUMN public.decoy_key.singleton IS 'Keeps it one row.';

COMMENT ON COLUMN public.decoy_key.key IS 'Random; who knows it can tell by the time of a login whether a name is an account.';

CREATE TABLE public.erasures (
    username text NOT NULL,
    partition integer NOT NULL,
    generation integer NOT NULL,
    log_offset bigint NOT NULL
);

COMMENT ON TABLE public.erasures IS 'Names of deleted accounts that the audit still has, as they were in too many rows for one commit; retention takes them out.';

COMMENT ON COLUMN public.erasures.partition IS 'With generation and log_offset: the deletion. Decisions before it lose the name.';

CREATE TABLE public.event_cursors (
    partition integer NOT NULL,
    generation integer NOT NULL,
    next_offset bigint NOT NULL
);

COMMENT ON TABLE public.event_cursors IS 'Up to where the decisions of each partition have been published as events. The relay writes it.';

COMMENT ON COLUMN public.event_cursors.generation IS 'With next_offset: everything before this position is published.';

CREATE TABLE public.event_ends (
    username text NOT NULL,
    until_ms bigint NOT NULL,
    since_ms bigint NOT NULL,
    partition integer NOT NULL,
    generation integer NOT NULL,
    log_offset bigint NOT NULL
);

COMMENT ON TABLE public.event_ends IS 'Ends of blocks that are to be events at their time. The relay writes it: a lock state may be gone or changed by then.';

COMMENT ON COLUMN public.event_ends.until_ms IS 'The end of the block.';

COMMENT ON COLUMN public.event_ends.since_ms IS 'The append time of the decision that blocked the account.';

COMMENT ON COLUMN public.event_ends.partition IS 'With generation and log_offset: the position of that decision.';

CREATE TABLE public.event_notes (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    kind text NOT NULL,
    data jsonb NOT NULL
);

COMMENT ON TABLE public.event_notes IS 'What the operator ports have noted and the relay has not published yet: it removes what it has.';

COMMENT ON COLUMN public.event_notes.kind IS 'The type of the event.';

COMMENT ON COLUMN public.event_notes.data IS 'What the event says.';

CREATE TABLE public.operator_tokens (
    name text NOT NULL,
    role text NOT NULL,
    digest bytea NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    CONSTRAINT operator_tokens_role_check CHECK ((role = ANY (ARRAY['read'::text, 'operate'::text, 'administer'::text])))
);

COMMENT ON TABLE public.operator_tokens IS 'Who may ask the operator port for what. `cerrojo operators` writes it.';

COMMENT ON COLUMN public.operator_tokens.digest IS 'The SHA-256 of the token, which is 256 random bits.';

COMMENT ON COLUMN public.operator_tokens.revoked_at IS 'Null: it is not revoked.';

CREATE TABLE public.password_forms (
    form text NOT NULL,
    accounts bigint NOT NULL,
    settled double precision DEFAULT 0 NOT NULL
);

COMMENT ON TABLE public.password_forms IS 'The forms of the password hashes in accounts. An unknown name is checked against a hash of one of them, in proportion, so that the time of a login does not tell it from an account.';

COMMENT ON COLUMN public.password_forms.form IS 'As password_form() gives it: the algorithm and what it costs.';

COMMENT ON COLUMN public.password_forms.accounts IS 'The accounts with such a hash, when they were last counted, and those imported since.';

COMMENT ON COLUMN public.password_forms.settled IS 'The share of the accounts by which it was last settled which names may have this form.';

CREATE TABLE public.quarantine (
    partition integer NOT NULL,
    generation integer NOT NULL,
    log_offset bigint NOT NULL,
    appended_ms bigint NOT NULL,
    key bytea,
    value bytea,
    reason text NOT NULL,
    quarantined_at timestamp with time zone DEFAULT now() NOT NULL,
    replayed_at timestamp with time zone
);

COMMENT ON TABLE public.quarantine IS 'Records that could not be decided: not to be decoded, misrouted, or deadly to the worker. The partition went on without them.';

COMMENT ON COLUMN public.quarantine.partition IS 'With generation and log_offset: the position of the record.';

COMMENT ON COLUMN public.quarantine.key IS 'The bytes as they stood in the log.';

COMMENT ON COLUMN public.quarantine.value IS 'The bytes as they stood in the log.';

COMMENT ON COLUMN public.quarantine.reason IS 'Why it was not decided, in a sentence for people.';

COMMENT ON COLUMN public.quarantine.replayed_at IS 'When an operator appended it to the log again; null: it still waits for somebody.';

CREATE TABLE public.shadow_policy (
    one boolean DEFAULT true NOT NULL,
    policy jsonb NOT NULL,
    since_ms bigint NOT NULL,
    figures jsonb,
    CONSTRAINT shadow_policy_one_check CHECK (one)
);

COMMENT ON TABLE public.shadow_policy IS 'The policy that is tried beside the one in force and decides nothing; no row: none is. `cerrojo shadow` compares both.';

COMMENT ON COLUMN public.shadow_policy.since_ms IS 'When the trial began, by this server''s clock.';

COMMENT ON COLUMN public.shadow_policy.figures IS 'What it would have decided so far, as the relay counts it (workers/relay/shadow.py); NULL: nothing is counted yet.';

CREATE TABLE public.topology (
    singleton boolean DEFAULT true NOT NULL,
    partitions integer NOT NULL,
    wanted integer DEFAULT 0 NOT NULL,
    asked jsonb,
    CONSTRAINT topology_partitions_check CHECK ((partitions > 0)),
    CONSTRAINT topology_singleton_check CHECK (singleton)
);

COMMENT ON TABLE public.topology IS 'One row: the partitions of `attempts` that accounts are divided over, for all gateways and workers.';

COMMENT ON COLUMN public.topology.singleton IS 'Keeps it one row.';

COMMENT ON COLUMN public.topology.partitions IS 'The number in use: the partition of an account is the CRC32 of its username modulo this, whatever the topic has.';

COMMENT ON COLUMN public.topology.wanted IS 'More than `partitions` while a resize is under way; otherwise of no meaning.';

COMMENT ON COLUMN public.topology.asked IS 'Who asked for which number of partitions last, and why, for the record of it in each log: partitions, operator, reason.';

CREATE TABLE public.webhook_deliveries (
    number bigint NOT NULL,
    webhook text NOT NULL,
    event_id text NOT NULL,
    body bytea NOT NULL,
    noted_at timestamp with time zone DEFAULT now() NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    refusals integer DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    next_at timestamp with time zone DEFAULT now() NOT NULL,
    failure text,
    dead_at timestamp with time zone
);

COMMENT ON TABLE public.webhook_deliveries IS 'A row for each event that a receiver does not have yet, in the order in which it is to get them. The relay writes it, with its cursors.';

COMMENT ON COLUMN public.webhook_deliveries.body IS 'What is posted.';

COMMENT ON COLUMN public.webhook_deliveries.tries IS 'How often it was posted in vain.';

COMMENT ON COLUMN public.webhook_deliveries.refusals IS 'How many of them were refusals by a receiver that is there.';

COMMENT ON COLUMN public.webhook_deliveries.failing_since IS 'When it was first posted in vain; null: it was not.';

COMMENT ON COLUMN public.webhook_deliveries.next_at IS 'It is not posted before this.';

COMMENT ON COLUMN public.webhook_deliveries.failure IS 'Why it was in vain the last time, in a sentence for people.';

COMMENT ON COLUMN public.webhook_deliveries.dead_at IS 'When it was given up; a dead letter waits for `cerrojo webhooks resend`. Null: it was not.';

ALTER TABLE public.webhook_deliveries ALTER COLUMN number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.webhook_deliveries_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.webhooks (
    name text NOT NULL,
    url text NOT NULL,
    format text NOT NULL,
    secret bytea NOT NULL,
    made_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT webhooks_format_check CHECK ((format = ANY (ARRAY['cerrojo'::text, 'ocsf'::text])))
);

COMMENT ON TABLE public.webhooks IS 'Where events are posted to. `cerrojo webhooks` writes it.';

COMMENT ON COLUMN public.webhooks.format IS 'cerrojo: as on the topic `events`; ocsf: as OCSF''s class Authentication.';

COMMENT ON COLUMN public.webhooks.secret IS 'By which the relay signs what it posts, and the receiver checks that; both have it.';

ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (username);

ALTER TABLE ONLY public.attack_now
    ADD CONSTRAINT attack_now_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (partition, generation, log_offset, appended_ms);

ALTER TABLE ONLY public.audit_seals
    ADD CONSTRAINT audit_seals_pkey PRIMARY KEY (partition, generation, to_offset);

ALTER TABLE ONLY public.decoy_key
    ADD CONSTRAINT decoy_key_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY (username);

ALTER TABLE ONLY public.event_cursors
    ADD CONSTRAINT event_cursors_pkey PRIMARY KEY (partition);

ALTER TABLE ONLY public.event_ends
    ADD CONSTRAINT event_ends_pkey PRIMARY KEY (username);

ALTER TABLE ONLY public.event_notes
    ADD CONSTRAINT event_notes_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lock_states
    ADD CONSTRAINT lock_states_pkey PRIMARY KEY (username);

ALTER TABLE ONLY public.operator_tokens
    ADD CONSTRAINT operator_tokens_digest_key UNIQUE (digest);

ALTER TABLE ONLY public.operator_tokens
    ADD CONSTRAINT operator_tokens_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.partition_progress
    ADD CONSTRAINT partition_progress_pkey PRIMARY KEY (partition);

ALTER TABLE ONLY public.password_forms
    ADD CONSTRAINT password_forms_pkey PRIMARY KEY (form);

ALTER TABLE ONLY public.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (partition, generation, log_offset);

ALTER TABLE ONLY public.shadow_policy
    ADD CONSTRAINT shadow_policy_pkey PRIMARY KEY (one);

ALTER TABLE ONLY public.topology
    ADD CONSTRAINT topology_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (name);

CREATE INDEX audit_appended ON ONLY public.audit USING brin (appended_ms) WITH (pages_per_range='32');

CREATE INDEX audit_operator ON ONLY public.audit USING btree (appended_ms) WHERE (operator IS NOT NULL);

CREATE INDEX audit_policy ON ONLY public.audit USING btree (policy_version, appended_ms) WHERE (kind = 'policy'::text);

CREATE INDEX audit_seals_last ON public.audit_seals USING brin (last_ms) WITH (pages_per_range='32');

CREATE INDEX audit_username ON ONLY public.audit USING btree (username, appended_ms);

CREATE INDEX event_ends_until ON public.event_ends USING btree (until_ms);

CREATE INDEX lock_states_blocked ON public.lock_states USING btree (username) WHERE (blocked_until_ms IS NOT NULL);

CREATE INDEX lock_states_blocked_since ON public.lock_states USING btree (blocked_since_ms, username) WHERE (blocked_until_ms IS NOT NULL);

CREATE INDEX webhook_deliveries_dead ON public.webhook_deliveries USING btree (webhook, number) WHERE (dead_at IS NOT NULL);

CREATE INDEX webhook_deliveries_waiting ON public.webhook_deliveries USING btree (webhook, number) WHERE (dead_at IS NULL);

CREATE INDEX webhook_deliveries_webhook ON public.webhook_deliveries USING btree (webhook);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_webhook_fkey FOREIGN KEY (webhook) REFERENCES public.webhooks(name) ON DELETE CASCADE;
