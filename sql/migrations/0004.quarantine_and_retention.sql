-- depends: 0003.views

-- Records that kill the process that decides them (the rule is in workers/partition/poison_records.py).
ALTER TABLE partition_progress
    ADD COLUMN left_well boolean NOT NULL DEFAULT true,   -- the owner has finished orderly
    ADD COLUMN suspect   boolean NOT NULL DEFAULT false,  -- the one before the owner had not
    ADD COLUMN alone_generation int,      -- the record that is, or was last, decided alone,
    ADD COLUMN alone_offset     bigint,
    ADD COLUMN alone_deaths     int NOT NULL DEFAULT 0;   -- and the deaths that count against it

ALTER TABLE quarantine
    ADD COLUMN quarantined_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN replayed_at    timestamptz;

DROP FUNCTION claim_partition(int, text);

-- The caller owns the partition from now on; whoever had it before is fenced. An epoch is never
-- below the clock, so that a database that was set back gives none out again. `excused`: the last
-- owner's death has nothing to do with the record that it was at.
CREATE FUNCTION claim_partition(p int, new_owner text, excused boolean DEFAULT false)
RETURNS partition_progress
LANGUAGE sql AS $$
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

-- The next record is decided alone from now on. False: another owner has the partition.
CREATE FUNCTION mark_alone(p int, my_epoch bigint, log_offset bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE partition_progress
       SET alone_deaths = CASE WHEN (alone_generation, alone_offset) = (generation, log_offset)
                               THEN alone_deaths ELSE 0 END,
           alone_generation = generation, alone_offset = log_offset
     WHERE partition = p AND epoch = my_epoch AND next_offset = log_offset;
    RETURN FOUND;
END
$$;

-- The owner has finished orderly: nobody needs to ask what became of him.
CREATE FUNCTION leave_partition(p int, my_epoch bigint) RETURNS void
LANGUAGE sql AS $$
    UPDATE partition_progress SET left_well = true WHERE partition = p AND epoch = my_epoch
$$;

-- Drop one daily partition of the audit that is older than so many whole days; whether there was
-- one. One at a call, because it locks the table for everybody; it gives up soon for the same
-- reason (lock_not_available), to be called again later.
CREATE FUNCTION drop_old_audit(days int) RETURNS boolean
LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
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
$$;

-- Delete at most so many rows of audit_default and of the quarantine that are older than so many
-- days; how many there were.
CREATE FUNCTION delete_old_rows(days int, at_most int) RETURNS bigint
LANGUAGE sql AS $$
    WITH bound AS (
        SELECT (extract(epoch FROM (now() AT TIME ZONE 'UTC')::date - days) * 1000)::bigint AS ms
    ), decided AS (
        DELETE FROM audit_default WHERE ctid = ANY (ARRAY(
            SELECT a.ctid FROM audit_default a, bound WHERE appended_ms < ms LIMIT at_most))
        RETURNING 1
    ), unread AS (
        DELETE FROM quarantine WHERE ctid = ANY (ARRAY(
            SELECT q.ctid FROM quarantine q, bound WHERE appended_ms < ms LIMIT at_most))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM decided) + (SELECT count(*) FROM unread)
$$;

-- Delete at most so many lock states that the policy does not look at any more; how many there
-- were. Anybody may call it at any time, although only apply_batch() writes lock states: the time
-- that it goes by is the log's own (last_ms of the partition's last decided record, less a day for
-- brokers whose clocks differ), and for every record from there on the policy takes such a state
-- for a clean one. So no decision, and no replay of one, depends on whether it was deleted. A row
-- that was just written anew is looked at again, and stays.
CREATE FUNCTION forget_lock_states(at_most int) RETURNS bigint
LANGUAGE sql AS $$
    WITH forgotten AS (
        DELETE FROM lock_states s
         USING (SELECT c.username,
                       p.last_ms - 86400000 AS now_ms, (p.policy->>'forget_ms')::bigint AS forget_ms
                  FROM lock_states c JOIN partition_progress p USING (partition)
                 WHERE (p.policy->>'forget_ms')::bigint > 0
                   AND c.last_ms <= p.last_ms - 86400000 - (p.policy->>'forget_ms')::bigint
                   AND coalesce(c.blocked_until_ms, 0) <= p.last_ms - 86400000
                 LIMIT at_most) AS old
         WHERE s.username = old.username
           AND s.last_ms <= old.now_ms - old.forget_ms
           AND coalesce(s.blocked_until_ms, 0) <= old.now_ms
        RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;
