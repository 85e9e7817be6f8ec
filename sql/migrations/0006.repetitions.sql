-- depends: 0005.more_partitions

CREATE OR REPLACE VIEW decisions AS
SELECT readable(appended_ms) AS at, partition, generation, log_offset, kind, username,
       CASE right_password WHEN true THEN 'right' WHEN false THEN 'wrong' END AS outcome,
       (ARRAY['accepted', 'rejected', 'blocked', 'moved', 'repeated'])[decision + 1] AS verdict,
       policy_version
  FROM audit;
