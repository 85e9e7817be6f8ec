-- depends: 0027.policy_changes

-- As before; but a block from before a resize is over only when the log of every partition has
-- passed its end, as in forget_lock_states(): its account may be in another one since.
CREATE OR REPLACE FUNCTION clear_ended_blocks(at_most int) RETURNS bigint
LANGUAGE sql AS $$
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

-- As before; but also out of the other partitions of the generation. Nothing was decided there, as
-- the account is in this one: what is there came late, by fewer partitions.
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
