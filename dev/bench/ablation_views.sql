-- Times readers of event_log with each optimisation switched off, round after round in one session.
-- :rounds; :case names the state of the table. ablation_write.sql creates the table of results.
CREATE OR REPLACE PROCEDURE bench.ablate(case_ text, rounds integer) LANGUAGE plpgsql AS $$
DECLARE
    variant record;
    statement record;
    started timestamptz;
    taken double precision;
BEGIN
    FOR round IN 0..rounds LOOP
        FOR variant IN
            SELECT * FROM (VALUES
                (1, 'on', 'on', 'on'),
                (2, 'brin_summaries', 'off', 'on'),
                (3, 'wal_skip', 'on', 'off')
            ) AS v (n, off, brin, wal)
            -- Forward and backward in turn: a drift of the machine meets all.
            ORDER BY CASE WHEN round % 2 = 0 THEN n ELSE -n END
        LOOP
            PERFORM set_config('crewsnow_ops.brin_summaries', variant.brin, false),
                set_config('crewsnow_ops.wal_skip', variant.wal, false);
            FOR statement IN SELECT * FROM (VALUES
                ('edge_functions_monitoring', 'SELECT * FROM edge_functions_monitoring'),
                ('error_rate_monitoring', 'SELECT * FROM error_rate_monitoring'),
                ('roll_up_events()', 'SELECT * FROM crewsnow_ops.roll_up_events()')
            ) AS s (what, sql) LOOP
                COMMIT;
                started := clock_timestamp();
                EXECUTE statement.sql;
                taken := 1000 * bench.seconds_since(started);
                -- Rolled back, so that each round counts the same events.
                ROLLBACK;
                IF round > 0 THEN
                    INSERT INTO bench.ablation
                    VALUES (statement.what || ', ' || case_, variant.off, taken);
                END IF;
            END LOOP;
        END LOOP;
    END LOOP;
END $$;

-- The alternative to reading BRIN pages by hand: the access method, as a bitmap index scan uses it.
CREATE OR REPLACE PROCEDURE bench.access_method(case_ text, rounds integer) LANGUAGE plpgsql AS $$
DECLARE
    plan json;
    first bigint := (SELECT pg_snapshot_xmax(covered)::text::bigint FROM crewsnow_ops.rollup_state);
BEGIN
    SET enable_seqscan = off;
    FOR round IN 0..rounds LOOP
        EXECUTE format('EXPLAIN (ANALYZE, FORMAT JSON)
            SELECT count(*) FROM today WHERE tx >= %s AND created_at >= %L',
            first, now() - interval '1 hour') INTO plan;
        IF round > 0 THEN
            INSERT INTO bench.ablation SELECT 'BRIN by the access method, ' || case_, 'on',
                jsonb_path_query_first(plan::jsonb,
                    '$.**?(@."Node Type" == "Bitmap Index Scan")."Actual Total Time"'
                )::double precision;
        END IF;
        COMMIT;
    END LOOP;
    RESET enable_seqscan;
END $$;

CALL bench.ablate(:'case', :rounds);
CALL bench.access_method(:'case', :rounds);
