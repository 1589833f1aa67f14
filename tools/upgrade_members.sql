-- The routines of the extension and its other members, as JSON: for tools/upgrade-script.
SELECT json_agg(m ORDER BY m.oid)
FROM (
    SELECT d.objid::bigint AS oid, i.type, i.identity, obj_description(d.objid, c.relname) AS comment,
           CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END AS definition,
           -- What CREATE OR REPLACE cannot change.
           concat_ws(' ', pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid), p.prokind, p.pronargdefaults) AS shape,
           CASE WHEN p.prokind = 'a' THEN (
               SELECT json_build_object('transition', a.aggtransfn::regproc, 'state', format_type(a.aggtranstype, NULL),
                          'space', a.aggtransspace, 'final', nullif(a.aggfinalfn::oid, 0)::regproc,
                          'final_modify', a.aggfinalmodify, 'combine', nullif(a.aggcombinefn::oid, 0)::regproc,
                          'serial', nullif(a.aggserialfn::oid, 0)::regproc, 'deserial', nullif(a.aggdeserialfn::oid, 0)::regproc,
                          'initial', a.agginitval, 'kind', a.aggkind, 'parallel', p.proparallel,
                          'arguments', pg_get_function_arguments(p.oid), 'moving', nullif(a.aggmtransfn::oid, 0)::regproc)
               FROM pg_aggregate AS a WHERE a.aggfnoid = p.oid) END AS aggregate
    FROM pg_depend AS d
    JOIN pg_class AS c ON c.oid = d.classid
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
    LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
      AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'shadower_analytics')
) AS m;
