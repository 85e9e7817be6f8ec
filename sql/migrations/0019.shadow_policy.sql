-- depends: 0018.audit_seals

CREATE TABLE shadow_policy (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    policy jsonb NOT NULL,
    since_ms bigint NOT NULL
);
COMMENT ON TABLE shadow_policy IS 'The policy that is tried beside the one in force and decides nothing; no row: none is. `cerrojo shadow` compares both.';
COMMENT ON COLUMN shadow_policy.since_ms IS 'When the trial began, by this server''s clock.';
