-- depends: 0024.shadow_figures

ALTER TABLE topology ADD COLUMN asked jsonb;
COMMENT ON COLUMN topology.asked IS 'Who asked for which number of partitions last, and why, for the record of it in each log: partitions, operator, reason.';
