-- depends: 0023.operators_actions

ALTER TABLE shadow_policy ADD COLUMN figures jsonb;
COMMENT ON COLUMN shadow_policy.figures IS 'What it would have decided so far, as the relay counts it (workers/relay/shadow.py); NULL: nothing is counted yet.';
