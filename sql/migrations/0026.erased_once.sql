-- depends: 0025.who_resizes

-- As before; a row that another deletion of the name has emptied since it was found keeps its salt,
-- which would else be that of a salt, and vouch for nothing. The latest rows come first.
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
