-- Times 10,000 calls in one statement, with direct_insert on and off in turn. :rounds.
CREATE TABLE bench.ablation (what text, variant text, ms double precision);
CREATE PROCEDURE bench.ablate_writing(rounds integer) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    taken double precision;
    switch text;
BEGIN
    FOR round IN 0..2 * rounds LOOP
        switch := CASE WHEN round % 2 = 0 THEN 'on' ELSE 'off' END;
        PERFORM set_config('crewsnow_ops.direct_insert', switch, false);
        COMMIT;
        started := clock_timestamp();
        PERFORM log_system_event(event_type, user_id, payload, execution_time_ms, function_name)
        FROM bench.events WHERE n <= 10000;
        taken := 1000 * bench.seconds_since(started);
        COMMIT;
        IF round > 0 THEN
            INSERT INTO bench.ablation
            VALUES ('log_system_event, 10,000 in one statement', 'direct_insert ' || switch, taken);
        END IF;
    END LOOP;
END $$;
CALL bench.ablate_writing(:rounds);
