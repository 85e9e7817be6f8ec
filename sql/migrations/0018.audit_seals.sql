-- depends: 0017.device_in_the_audit

-- What an attempt says beside the rest, so that the audit can be decided again.
ALTER TABLE audit ADD COLUMN guess bytea, ADD COLUMN salt bytea;
COMMENT ON COLUMN audit.guess IS 'Which wrong password it was, by the gateways'' key, as in lock_states.guesses; null where its sender did not say it.';
COMMENT ON COLUMN audit.salt IS '16 random bytes, with which the seal has what the row says of a person; after a deletion the 32 bytes of what it has. Null: the row is from before there were seals.';

CREATE TABLE audit_seals (
    partition int NOT NULL,
    generation int NOT NULL,
    to_offset bigint NOT NULL,
    first_ms bigint NOT NULL,
    last_ms bigint NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (partition, generation, to_offset)
);
CREATE INDEX audit_seals_last ON audit_seals USING brin (last_ms) WITH (pages_per_range = 32);
COMMENT ON TABLE audit_seals IS 'A row for each batch: what vouches for its audit rows, chained to the batch before. `cerrojo verify` checks it.';
COMMENT ON COLUMN audit_seals.to_offset IS 'The offset behind the batch.';
COMMENT ON COLUMN audit_seals.first_ms IS 'The earliest append time in the batch.';
COMMENT ON COLUMN audit_seals.last_ms IS 'The latest one.';
COMMENT ON COLUMN audit_seals.seal IS 'A message as in the topics, signed where records are.';

ALTER TABLE partition_progress ADD COLUMN last_seal bytea;
COMMENT ON COLUMN partition_progress.last_seal IS 'The BLAKE2b of the newest seal, which the next one has; null before the first.';

-- As before; the salt becomes what the seal has of the person, which then says nothing of them.
CREATE OR REPLACE FUNCTION erase_name(
    name text, p int, its_generation int, its_offset bigint, at_most int
) RETURNS int
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    found audit;
    erased int := 0;
BEGIN
    FOR found IN
        SELECT * FROM audit
         WHERE username = name
           AND (generation < its_generation
                OR partition = p AND generation = its_generation AND log_offset < its_offset)
         LIMIT at_most
    LOOP
        UPDATE audit
           SET username = '', source = NULL, user_agent = NULL, device = NULL, guess = NULL,
               salt = sha256(salt || int4send(length(username))
                             || int4send(coalesce(length(source), -1))
                             || int4send(coalesce(length(user_agent), -1))
                             || int4send(coalesce(length(device), -1))
                             || int4send(coalesce(length(guess), -1))
                             || convert_to(concat(username, source, user_agent), 'UTF8')
                             || coalesce(device, '') || coalesce(guess, ''))
         WHERE appended_ms = found.appended_ms AND partition = found.partition
           AND generation = found.generation AND log_offset = found.log_offset;
        erased := erased + 1;
    END LOOP;
    RETURN erased;
END
$$;

-- As before, and seals.
CREATE OR REPLACE FUNCTION delete_old_rows(days int, at_most int) RETURNS bigint
LANGUAGE sql AS $$
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

DROP FUNCTION apply_batch;

-- As before, with the columns above and the batch's seal.
CREATE FUNCTION apply_batch(
    p int, my_epoch bigint, my_generation int, from_offset bigint, to_offset bigint,
    fingerprint bytea, fingerprint_ms bigint, new_policy jsonb,

    state_username text[], state_failures_ms text[], state_in_a_row int[], state_blocks int[],
    state_since_ms bigint[], state_until_ms bigint[], state_why text[], state_last_ms bigint[],
    state_forget_ms bigint[], state_guesses bytea[], state_devices text[],
    state_offset bigint[],

    audit_ms bigint[], audit_offset bigint[], audit_id bytea[], audit_kind text[],
    audit_user text[], audit_right boolean[], audit_decision smallint[], audit_until_ms bigint[],
    audit_change smallint[], audit_policy int[], audit_reply int[],
    audit_source text[], audit_user_agent text[], audit_delayed_ms int[],
    audit_device bytea[], audit_guess bytea[], audit_salt bytea[],

    bad_offset bigint[], bad_ms bigint[], bad_key bytea[], bad_value bytea[], bad_reason text[],

    seal bytea, seal_first_ms bigint, seal_last_ms bigint, seal_digest bytea,

    deleted_user text DEFAULT NULL, deleted_version bigint DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql AS $$
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
                                 devices, partition, generation, log_offset)
        SELECT username, failures_ms::bigint[], in_a_row, blocks, since_ms, until_ms, why, last_ms,
               forget_ms, guesses, devices::jsonb, p, my_generation, log_offset
          FROM unnest(state_username, state_failures_ms, state_in_a_row, state_blocks,
                      state_since_ms, state_until_ms, state_why, state_last_ms, state_forget_ms,
                      state_guesses, state_devices, state_offset)
            AS s (username, failures_ms, in_a_row, blocks, since_ms, until_ms, why, last_ms,
                  forget_ms, guesses, devices, log_offset)
         WHERE failures_ms IS NOT NULL
        ON CONFLICT (username) DO UPDATE
           SET failures_ms = excluded.failures_ms, in_a_row = excluded.in_a_row,
               blocks = excluded.blocks, blocked_since_ms = excluded.blocked_since_ms,
               blocked_until_ms = excluded.blocked_until_ms, blocked_why = excluded.blocked_why,
               last_ms = excluded.last_ms, forget_ms = excluded.forget_ms,
               guesses = excluded.guesses, devices = excluded.devices,
               partition = excluded.partition, generation = excluded.generation,
               log_offset = excluded.log_offset;
    END IF;

    INSERT INTO audit
    SELECT ms, p, my_generation, log_offset, id, kind, username, right_password, decision,
           until_ms, change, policy_version, reply_partition, source, user_agent, delayed_ms,
           device, guess, salt
      FROM unnest(audit_ms, audit_offset, audit_id, audit_kind, audit_user, audit_right,
                  audit_decision, audit_until_ms, audit_change, audit_policy, audit_reply,
                  audit_source, audit_user_agent, audit_delayed_ms, audit_device, audit_guess,
                  audit_salt)
        AS a (ms, log_offset, id, kind, username, right_password, decision, until_ms, change,
              policy_version, reply_partition, source, user_agent, delayed_ms, device, guess,
              salt);

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
