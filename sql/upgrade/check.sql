-- An upgrade runs as the bootstrap superuser, in a database whose owner may have altered members of the extension, taken
-- them out, put others in their places, or put something of theirs in. A routine is no danger: it is made anew. All else
-- must be what the old version made, or the upgrade is refused. (tools/upgrade-script puts the list of members in.)
DO $check$
DECLARE
    extension record;
    expected  record;
    -- Objects as class/oid.
    members   text[];
    known     text[] := '{}';
    object    text;
    problem   text;
    stranger  record;
BEGIN
    -- Queries would see the catalogue of the transaction's start, statements that change it today's.
    IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'an upgrade cannot run in a transaction of level %', pg_catalog.current_setting('transaction_isolation')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run it in a transaction of level READ COMMITTED.';
    END IF;

    SELECT e.oid, n.nspname AS schema INTO extension
    FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'shadower_analytics';
    IF extension.schema <> 'analytics' THEN
        RAISE EXCEPTION 'the schema of the extension is called "%"', extension.schema
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = pg_catalog.format('Run ALTER SCHEMA %I RENAME TO analytics and try again.', extension.schema);
    END IF;

    -- Until the upgrade ends, nobody renames or alters what has been looked at.
    PERFORM FROM pg_catalog.pg_namespace AS n WHERE n.nspname IN ('analytics', 'analytics_internal') FOR UPDATE;
    PERFORM FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_depend AS d ON d.objid = t.oid
    WHERE d.refobjid = extension.oid AND d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass FOR UPDATE OF t;
    PERFORM FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_depend AS d ON d.objid = p.oid
    WHERE d.refobjid = extension.oid AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass FOR UPDATE OF p;
    PERFORM FROM pg_catalog.pg_operator AS o JOIN pg_catalog.pg_depend AS d ON d.objid = o.oid
    WHERE d.refobjid = extension.oid AND d.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass FOR UPDATE OF o;

    SELECT pg_catalog.array_agg(c.relname || '/' || d.objid) INTO members
    FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS c ON c.oid = d.classid
    WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = extension.oid AND d.deptype = 'e';

    FOR expected IN
        SELECT e.kind, e.name, e.detail FROM (VALUES
        @members@
        ) AS e (kind, name, detail)
    LOOP
        problem := NULL;
        CASE expected.kind
            WHEN 'SCHEMA' THEN
                object := 'pg_namespace/' || pg_catalog.to_regnamespace(expected.name)::oid;
            WHEN 'TYPE' THEN
                object := 'pg_type/' || pg_catalog.to_regtype(expected.name)::oid;
                -- Only a superuser makes such a type.
                SELECT 'is not the type that this extension made' INTO problem
                WHERE expected.detail IS DISTINCT FROM (
                    SELECT pg_catalog.concat_ws(' ', i.prosrc, o.prosrc, r.prosrc, s.prosrc)
                    FROM pg_catalog.pg_type AS t
                    JOIN pg_catalog.pg_proc AS i ON i.oid = t.typinput
                    JOIN pg_catalog.pg_proc AS o ON o.oid = t.typoutput
                    JOIN pg_catalog.pg_proc AS r ON r.oid = t.typreceive
                    JOIN pg_catalog.pg_proc AS s ON s.oid = t.typsend
                    WHERE t.oid = pg_catalog.to_regtype(expected.name) AND t.typtype = 'b'
                      AND (i.probin, o.probin, r.probin, s.probin)
                          = ('MODULE_PATHNAME', 'MODULE_PATHNAME', 'MODULE_PATHNAME', 'MODULE_PATHNAME'));
            WHEN 'OPERATOR' THEN
                object := 'pg_operator/' || pg_catalog.to_regoperator(expected.name)::oid;
                SELECT 'does not call ' || expected.detail INTO problem
                FROM pg_catalog.pg_operator AS o
                WHERE o.oid = pg_catalog.to_regoperator(expected.name)
                  AND o.oprcode::oid IS DISTINCT FROM pg_catalog.to_regprocedure(expected.detail)::oid;
            WHEN 'CAST' THEN
                SELECT 'pg_cast/' || c.oid, CASE WHEN c.castmethod <> 'b' OR c.castcontext <> 'e' THEN 'is not binary and explicit' END
                INTO object, problem
                FROM pg_catalog.pg_cast AS c
                WHERE expected.name = pg_catalog.format('(%s AS %s)', c.castsource::pg_catalog.regtype, c.casttarget::pg_catalog.regtype);
            ELSE
                object := CASE
                    WHEN expected.name LIKE '%(%' THEN 'pg_proc/' || pg_catalog.to_regprocedure(expected.name)::oid
                    -- Where 0.2.0 leaves the arguments out, there is one member of that name.
                    ELSE (SELECT 'pg_proc/' || p.oid
                          FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
                          WHERE n.nspname || '.' || p.proname = expected.name AND 'pg_proc/' || p.oid = ANY (members) LIMIT 1)
                END;
        END CASE;

        IF (object = ANY (members)) IS NOT TRUE THEN
            problem := 'is not a member of the extension';
        END IF;
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION '% % %', pg_catalog.lower(expected.kind), expected.name, problem
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'ALTER EXTENSION shadower_analytics ADD puts back what was taken out. Where it is gone, dump this database and restore it into a new one.';
        END IF;
        known := known || object;
    END LOOP;

    SELECT i.type, i.identity INTO stranger
    FROM pg_catalog.pg_depend AS d
    JOIN pg_catalog.pg_class AS c ON c.oid = d.classid
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i
    WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = extension.oid AND d.deptype = 'e'
      AND c.relname || '/' || d.objid <> ALL (known)
      -- The array types of our types.
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS t
                      WHERE c.relname = 'pg_type' AND t.typarray = d.objid AND 'pg_type/' || t.oid = ANY (known))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% % is a member of the extension, which did not make it', stranger.type, stranger.identity
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = pg_catalog.format('Run ALTER EXTENSION shadower_analytics DROP %s %s and try again.',
                                           pg_catalog.upper(stranger.type), stranger.identity);
    END IF;
END
$check$;
