-- depends: 0012.account_versions

-- Which forms of password hashes there are, for the hashes against which unknown names are checked.
CREATE TABLE password_forms (
    form     text PRIMARY KEY,
    accounts bigint NOT NULL,
    settled  double precision NOT NULL DEFAULT 0
);
COMMENT ON TABLE password_forms IS 'The forms of the password hashes in accounts. An unknown name is checked against a hash of one of them, in proportion, so that the time of a login does not tell it from an account.';
COMMENT ON COLUMN password_forms.form IS 'As password_form() gives it: the algorithm and what it costs.';
COMMENT ON COLUMN password_forms.accounts IS 'The accounts with such a hash, when they were last counted, and those imported since.';
COMMENT ON COLUMN password_forms.settled IS 'The share of the accounts by which it was last settled which names may have this form.';

CREATE TABLE decoy_key (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    key       bytea NOT NULL
);
COMMENT ON TABLE decoy_key IS 'One row: the secret with which a gateway chooses the form for an unknown name, always the same for the same name.';
COMMENT ON COLUMN decoy_key.singleton IS 'Keeps it one row.';
COMMENT ON COLUMN decoy_key.key IS 'Random; who knows it can tell by the time of a login whether a name is an account.';
INSERT INTO decoy_key (key) VALUES (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- The text of a hash up to its salt: `form_of` in gateway/passwords/hash_formats.py says the same.
CREATE FUNCTION password_form(password_hash text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $body$
    SELECT CASE
        WHEN password_hash LIKE '$2%' OR password_hash LIKE 'bcrypt\_sha256$$2%'
        THEN left(password_hash, -53)
        ELSE coalesce(substring(password_hash FROM '^(.*\$)[^$]*\$[^$]*$'), '')
    END
$body$;

-- Count anew. Imports wait meanwhile; logins do not.
CREATE FUNCTION count_password_forms() RETURNS void
LANGUAGE plpgsql AS $$
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
