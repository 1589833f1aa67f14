-- The approved list of everything that the extension and its tables put into a database, and rules that hold for
-- all of it. A new object changes the expected output of this file: that is the moment to review it.
\set SHOW_CONTEXT never
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -

-- The schemas of this extension.
CREATE TEMPORARY TABLE ours AS
SELECT n.oid AS schema, n.nspname FROM pg_namespace AS n WHERE n.nspname IN ('analytics', 'analytics_internal');

CREATE TEMPORARY VIEW member AS
SELECT d.classid, d.objid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
WHERE e.extname = 'shadower_analytics' AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

------------------------------------------------------------------------------------------------------------------------
-- Routines. (Lists are printed unaligned: a new line does not change the others.)
------------------------------------------------------------------------------------------------------------------------
\pset format unaligned
CREATE FUNCTION pg_temp.short(text) RETURNS text LANGUAGE sql AS $$
    SELECT replace(replace($1, 'timestamp with time zone', 'timestamptz'), 'double precision', 'float8') $$;

SELECT pg_temp.short(p.oid::regprocedure::text) AS routine, l.lanname AS language,
       CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
       CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel,
       concat_ws(', ', CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' END,
                 CASE WHEN p.proisstrict THEN 'strict' END, CASE WHEN p.proretset THEN 'set' END,
                 CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END) AS other
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.oid IN (SELECT m.objid FROM member AS m WHERE m.classid = 'pg_proc'::regclass)
ORDER BY (p.oid::regprocedure)::text COLLATE "C";

-- What callers rely on: names and defaults of arguments, and the result.
SELECT p.oid::regproc AS routine, pg_temp.short(pg_get_function_arguments(p.oid)) AS arguments,
       pg_temp.short(pg_get_function_result(p.oid)) AS result
FROM pg_proc AS p
WHERE p.oid IN (SELECT m.objid FROM member AS m WHERE m.classid = 'pg_proc'::regclass)
  AND p.pronamespace = 'analytics'::regnamespace
ORDER BY (p.oid::regprocedure)::text COLLATE "C";

-- Settings that routines pin, other than search_path.
SELECT p.oid::regproc AS routine, setting
FROM pg_proc AS p CROSS JOIN unnest(p.proconfig) AS setting
WHERE p.oid IN (SELECT m.objid FROM member AS m WHERE m.classid = 'pg_proc'::regclass)
  AND setting !~ '^search_path='
ORDER BY (p.oid::regprocedure)::text COLLATE "C", setting COLLATE "C";

-- Members that are not routines. (Since PostgreSQL 17 the array of a type is one, too.)
SELECT o.type, o.identity
FROM member AS m CROSS JOIN LATERAL pg_identify_object(m.classid, m.objid, 0) AS o
WHERE m.classid <> 'pg_proc'::regclass AND o.identity NOT LIKE '%[]'
ORDER BY o.type COLLATE "C", o.identity COLLATE "C";

------------------------------------------------------------------------------------------------------------------------
-- Tables and views, as setup() made them
------------------------------------------------------------------------------------------------------------------------
SELECT c.oid::regclass AS relation,
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' ELSE c.relkind::text END AS kind,
       c.reloptions AS options
FROM pg_class AS c JOIN ours ON ours.schema = c.relnamespace
WHERE c.relkind NOT IN ('i', 'I', 't', 'c') AND NOT c.relispartition
ORDER BY (c.oid::regclass)::text COLLATE "C";

SELECT c.oid::regclass AS relation, a.attname AS column, pg_temp.short(format_type(a.atttypid, a.atttypmod)) AS type,
       CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS nullable, coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS "default"
FROM pg_class AS c JOIN ours ON ours.schema = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
ORDER BY (c.oid::regclass)::text COLLATE "C", a.attnum;

-- Keys.
SELECT o.conrelid::regclass AS relation, pg_get_constraintdef(o.oid) AS constraint
FROM pg_constraint AS o JOIN ours ON ours.schema = o.connamespace JOIN pg_class AS c ON c.oid = o.conrelid
WHERE o.contype IN ('p', 'u', 'f', 'x') AND NOT c.relispartition AND o.conparentid = 0
ORDER BY (o.conrelid::regclass)::text COLLATE "C", o.contype DESC, o.conname COLLATE "C";

-- Checks: the files of this suite break each of them.
SELECT o.conrelid::regclass AS relation, o.conname AS check
FROM pg_constraint AS o JOIN ours ON ours.schema = o.connamespace JOIN pg_class AS c ON c.oid = o.conrelid
WHERE o.contype = 'c' AND NOT c.relispartition
ORDER BY (o.conrelid::regclass)::text COLLATE "C", o.conname COLLATE "C";

-- Indexes that are not keys.
SELECT i.indrelid::regclass AS relation,
       replace(replace(pg_get_indexdef(i.indexrelid), 'CREATE INDEX ', ''), ' ON ' || CASE WHEN c.relkind = 'p' THEN 'ONLY ' ELSE '' END || i.indrelid::regclass || ' USING', '') AS index
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid JOIN ours ON ours.schema = c.relnamespace
WHERE NOT c.relispartition AND NOT i.indisunique AND c.relkind <> 't'
ORDER BY (i.indrelid::regclass)::text COLLATE "C", (i.indexrelid::regclass)::text COLLATE "C";

SELECT g.tgrelid::regclass AS relation, g.tgname AS trigger, g.tgfoid::regproc AS function,
       regexp_replace(pg_get_triggerdef(g.oid), '^CREATE TRIGGER "?\w+"? (.*) ON .* (FOR EACH \w+).*$', '\1 \2') AS fires
FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid JOIN ours ON ours.schema = c.relnamespace
WHERE NOT g.tgisinternal AND NOT c.relispartition
ORDER BY (g.tgrelid::regclass)::text COLLATE "C", g.tgname COLLATE "C";

-- The tables belong to the user: none is a member of the extension.
SELECT m.objid::regclass AS table_of_the_extension FROM member AS m WHERE m.classid = 'pg_class'::regclass;

------------------------------------------------------------------------------------------------------------------------
-- Rules. Each of these lists what breaks one; none has a row.
------------------------------------------------------------------------------------------------------------------------
\pset format aligned
-- Everything has a comment.
SELECT 'routine' AS kind, p.oid::regprocedure::text AS without_comment
FROM pg_proc AS p JOIN ours ON ours.schema = p.pronamespace WHERE obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT 'relation', c.oid::regclass::text
FROM pg_class AS c JOIN ours ON ours.schema = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND obj_description(c.oid, 'pg_class') IS NULL
UNION ALL
SELECT 'column', c.oid::regclass || '.' || a.attname
FROM pg_class AS c JOIN ours ON ours.schema = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND col_description(c.oid, a.attnum) IS NULL
UNION ALL
SELECT 'type', t.oid::regtype::text
FROM pg_type AS t JOIN ours ON ours.schema = t.typnamespace
LEFT JOIN pg_class AS c ON c.oid = t.typrelid
WHERE t.typcategory <> 'A' AND coalesce(c.relkind, 'c') = 'c' AND obj_description(t.oid, 'pg_type') IS NULL
UNION ALL
SELECT 'operator', o.oid::regoperator::text
FROM pg_operator AS o JOIN ours ON ours.schema = o.oprnamespace WHERE obj_description(o.oid, 'pg_operator') IS NULL
UNION ALL
SELECT 'machinery', nspname FROM ours WHERE nspname = 'analytics_internal' AND obj_description(schema, 'pg_namespace') IS NULL
ORDER BY 1, 2;

-- PUBLIC may do nothing. (Types of rows follow their tables.)
SELECT 'schema' AS kind, ours.nspname::text AS open_to_public, a.privilege_type
FROM ours JOIN pg_namespace AS n ON n.oid = ours.schema
CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a WHERE a.grantee = 0
UNION ALL
SELECT 'routine', p.oid::regprocedure::text, a.privilege_type
FROM pg_proc AS p JOIN ours ON ours.schema = p.pronamespace
CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a WHERE a.grantee = 0
UNION ALL
SELECT 'relation', c.oid::regclass::text, a.privilege_type
FROM pg_class AS c JOIN ours ON ours.schema = c.relnamespace
CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) AS a
WHERE a.grantee = 0
UNION ALL
SELECT 'type', t.oid::regtype::text, a.privilege_type
FROM pg_type AS t JOIN ours ON ours.schema = t.typnamespace
CROSS JOIN LATERAL aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) AS a
WHERE a.grantee = 0 AND t.typcategory <> 'A' AND t.typrelid = 0
ORDER BY 1, 2;

-- Nor may anybody else: everything belongs to the role that created the extension, and only to it.
SELECT p.oid::regprocedure AS routine, pg_get_userbyid(p.proowner) AS owner, p.proacl AS rights
FROM pg_proc AS p JOIN ours ON ours.schema = p.pronamespace
JOIN pg_extension AS e ON e.extname = 'shadower_analytics'
WHERE p.proowner <> e.extowner
   OR EXISTS (SELECT FROM aclexplode(p.proacl) AS a WHERE a.grantee NOT IN (e.extowner, 0));
SELECT c.oid::regclass AS relation, pg_get_userbyid(c.relowner) AS owner, c.relacl AS rights
FROM pg_class AS c JOIN ours ON ours.schema = c.relnamespace
JOIN pg_extension AS e ON e.extname = 'shadower_analytics'
WHERE c.relowner <> e.extowner
   OR EXISTS (SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee NOT IN (e.extowner, 0));
SELECT n.nspname AS schema, pg_get_userbyid(n.nspowner) AS owner, n.nspacl AS rights
FROM pg_namespace AS n JOIN ours ON ours.schema = n.oid
JOIN pg_extension AS e ON e.extname = 'shadower_analytics'
WHERE n.nspowner <> e.extowner
   OR EXISTS (SELECT FROM aclexplode(n.nspacl) AS a WHERE a.grantee NOT IN (e.extowner, 0));
SELECT t.oid::regtype AS type, pg_get_userbyid(t.typowner) AS owner
FROM pg_type AS t JOIN ours ON ours.schema = t.typnamespace
JOIN pg_extension AS e ON e.extname = 'shadower_analytics'
WHERE t.typowner <> e.extowner;

-- A body that is parsed when it runs pins its search_path. (One that was parsed at CREATE FUNCTION has no names left.)
SELECT p.oid::regprocedure AS not_pinned
FROM pg_proc AS p JOIN ours ON ours.schema = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
WHERE l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)
ORDER BY (p.oid::regprocedure)::text COLLATE "C";

-- Nothing runs with the rights of its owner, and no view may see every row of its tables but those that mask texts.
SELECT p.oid::regprocedure AS security_definer
FROM pg_proc AS p JOIN ours ON ours.schema = p.pronamespace WHERE p.prosecdef;
SELECT c.oid::regclass AS view_of_its_owner
FROM pg_class AS c JOIN ours ON ours.schema = c.relnamespace
WHERE c.relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false);

-- workspace_id leads every key and every index that serves a tenant; only those of machinery and BRIN do not, and the
-- one that answers, for a role, which workspaces it may see.
SELECT i.indexrelid::regclass AS index
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_class AS x ON x.oid = i.indexrelid
JOIN pg_am AS m ON m.oid = x.relam
LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE c.relnamespace = 'analytics'::regnamespace AND m.amname <> 'brin' AND a.attname IS DISTINCT FROM 'workspace_id'
  AND i.indexrelid <> 'analytics.workspace_members_role_idx'::regclass
ORDER BY (i.indexrelid::regclass)::text COLLATE "C";

-- No identity column, no serial, no sequence: rows come from many writers.
SELECT c.oid::regclass AS relation, a.attname AS column
FROM pg_class AS c JOIN ours ON ours.schema = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE a.attidentity <> '' OR c.relkind = 'S';

-- Partitions have the same columns, checks and indexes as their table.
SELECT c.oid::regclass AS partition, 'column ' || a.attname AS differs
FROM pg_class AS c JOIN pg_inherits AS h ON h.inhrelid = c.oid JOIN ours ON ours.schema = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = h.inhparent AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attribute AS b ON b.attrelid = c.oid AND b.attname = a.attname
WHERE c.relkind = 'r' AND (a.atttypid, a.attnotnull) IS DISTINCT FROM (b.atttypid, b.attnotnull)
UNION ALL
SELECT c.oid::regclass, 'check ' || o.conname
FROM pg_class AS c JOIN pg_inherits AS h ON h.inhrelid = c.oid JOIN ours ON ours.schema = c.relnamespace
JOIN pg_constraint AS o ON o.conrelid = h.inhparent AND o.contype = 'c'
WHERE c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.conname = o.conname AND k.convalidated)
UNION ALL
SELECT c.oid::regclass, 'index ' || i.indexrelid::regclass
FROM pg_class AS c JOIN pg_inherits AS h ON h.inhrelid = c.oid JOIN ours ON ours.schema = c.relnamespace
JOIN pg_index AS i ON i.indrelid = h.inhparent
WHERE c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_inherits AS k JOIN pg_index AS j ON j.indexrelid = k.inhrelid
                                      WHERE k.inhparent = i.indexrelid AND j.indrelid = c.oid AND j.indisvalid);
