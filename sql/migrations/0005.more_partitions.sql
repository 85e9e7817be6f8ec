-- depends: 0004.quarantine_and_retention

-- How the partitions become more (the rule is in workers/partition/repartitioning.py). A layout is a number of
-- partitions: the one that a record's sender divided by.
ALTER TABLE topology
    ADD COLUMN wanted int NOT NULL DEFAULT 0;   -- more than `partitions`: they are to become so many

ALTER TABLE partition_progress
    ADD COLUMN layout int NOT NULL DEFAULT 0;   -- the partition decides no record of a smaller one

-- The partition decides no record of a smaller layout any more. When the last one of the new layout
-- comes here, it is in force, in the same commit. The positions that all partitions have from then
-- on are later than any before, because an account may have had its last one in another partition.
-- False: the partition has another owner, or is elsewhere.
CREATE FUNCTION enter_layout(p int, my_epoch bigint, from_offset bigint, new_layout int)
RETURNS boolean
LANGUAGE plpgsql AS $$
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

-- The layout that this partition's owner is to put into its log now; 0: none. New partitions come
-- first, so that the others need not wait for them.
CREATE FUNCTION layout_to_propose(p int, its_layout int) RETURNS int
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN wanted > partitions AND wanted > its_layout
                     AND (p >= partitions
                          OR wanted - partitions = (SELECT count(*) FROM partition_progress
                                                     WHERE partition >= partitions
                                                       AND partition < wanted
                                                       AND layout >= wanted))
                THEN wanted ELSE 0 END
      FROM topology
$$;

-- As before, but never back to a generation that an entered layout has left behind.
CREATE OR REPLACE FUNCTION move_partition(
    p int, my_epoch bigint, new_generation int, new_topic_id text, new_offset bigint,
    now_missing bigint
) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE partition_progress
       SET generation = greatest(generation, new_generation), topic_id = new_topic_id,
           next_offset = new_offset, batch_offset = new_offset,
           last_fingerprint = NULL, last_ms = NULL, missing = missing + now_missing
     WHERE partition = p AND epoch = my_epoch;
    RETURN FOUND;
END
$$;

-- As before; but an account whose state is of an older generation may be in another partition now,
-- so its time is the one that every partition has passed.
CREATE OR REPLACE FUNCTION forget_lock_states(at_most int) RETURNS bigint
LANGUAGE sql AS $$
    WITH passed AS (
        SELECT partition, generation, policy, last_ms - 86400000 AS now_ms,
               (SELECT min(coalesce(q.last_ms, 0)) - 86400000
                  FROM partition_progress q, topology t
                 WHERE q.partition < t.partitions) AS least_ms
          FROM partition_progress
    ), forgotten AS (
        DELETE FROM lock_states s
         USING (SELECT c.username, now.ms AS now_ms,
                       (p.policy->>'forget_ms')::bigint AS forget_ms
                  FROM lock_states c JOIN passed p USING (partition),
                       LATERAL (SELECT CASE WHEN c.generation = p.generation
                                            THEN p.now_ms ELSE p.least_ms END AS ms) AS now
                 WHERE (p.policy->>'forget_ms')::bigint > 0
                   AND c.last_ms <= now.ms - (p.policy->>'forget_ms')::bigint
                   AND coalesce(c.blocked_until_ms, 0) <= now.ms
                 LIMIT at_most) AS old
         WHERE s.username = old.username
           AND s.last_ms <= old.now_ms - old.forget_ms
           AND coalesce(s.blocked_until_ms, 0) <= old.now_ms
        RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;

CREATE OR REPLACE VIEW decisions AS
SELECT readable(appended_ms) AS at, partition, generation, log_offset, kind, username,
       CASE right_password WHEN true THEN 'right' WHEN false THEN 'wrong' END AS outcome,
       (ARRAY['accepted', 'rejected', 'blocked', 'moved'])[decision + 1] AS verdict,
       policy_version
  FROM audit;
