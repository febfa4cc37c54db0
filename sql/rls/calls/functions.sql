-- $1 signatures, $2 roles. The functions as a call names them, the arguments that a call may give
-- (required ones first), why a function cannot be called, and what it returns. An argument's kind
-- tells which columns hold values for it; [] marks an array of them.
SELECT
    f.signature, p.oid, format('%I.%I', n.nspname, p.proname) AS name,
    CASE
        WHEN p.prokind <> 'f' THEN 'it is no function'
        WHEN p.provolatile = 'v' THEN 'it is VOLATILE'
        WHEN p.prorettype = 'record'::regtype AND p.proallargtypes IS NULL
            THEN 'its result has no fixed columns'
        WHEN p.provariadic <> 0 THEN 'it is VARIADIC'
    END AS reason,
    p.pronargs - p.pronargdefaults AS required,
    CASE
        WHEN p.proretset OR y.typtype = 'c' OR y.typcategory = 'A'
            OR y.oid IN ('json'::regtype, 'jsonb'::regtype, 'record'::regtype) THEN 'rows'
        WHEN y.oid IN ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype)
            THEN 'number'
        ELSE 'value'
    END AS result,
    ARRAY(
        SELECT has_function_privilege(r.oid, p.oid, 'EXECUTE')
            AND has_schema_privilege(r.oid, n.oid, 'USAGE')
        FROM unnest($2) WITH ORDINALITY AS r (oid, place)
        ORDER BY r.place
    ) AS is_callable,
    ARRAY(
        SELECT coalesce(i.name, '')
        FROM unnest(p.proargnames, p.proargmodes::text[]) WITH ORDINALITY AS i (name, mode, place)
        WHERE coalesce(i.mode, 'i') IN ('i', 'b')
        ORDER BY i.place
    ) AS names,
    ARRAY(
        SELECT format_type(a.type, NULL)
        FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, place)
        ORDER BY a.place
    ) AS types,
    ARRAY(
        SELECT CASE
                WHEN e.typcategory = 'S' THEN 'text'
                WHEN e.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'int'
                WHEN e.typtype = 'p' OR e.oid IN ('json'::regtype, 'jsonb'::regtype) THEN ''
                ELSE e.oid::text
            END
                || CASE WHEN b.typcategory = 'A' AND b.typelem <> 0 THEN '[]' ELSE '' END
        FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, place)
        JOIN pg_type AS t ON t.oid = a.type
        JOIN pg_type AS b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
        JOIN pg_type AS e ON e.oid = CASE
            WHEN b.typcategory = 'A' AND b.typelem <> 0 THEN b.typelem
            ELSE b.oid
        END
        ORDER BY a.place
    ) AS kinds,
    (
        SELECT format('%I.%I', s.nspname, c.relname)
        FROM pg_class AS c
        JOIN pg_namespace AS s ON s.oid = c.relnamespace
        WHERE c.oid = y.typrelid AND c.relkind IN ('r', 'p')
    ) AS returned
FROM unnest($1) AS f (signature)
JOIN pg_proc AS p ON p.oid = to_regprocedure(f.signature)
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_type AS y ON y.oid = p.prorettype
